"""kazoo authenticates by SASL: `sasl.py [without | kerberos FOLDER] HOST:PORT`, with the users of tests/src/jaas.rs.

With `without`, the server does not have SASL, and kazoo must be told that it fails. With `kerberos`, it has the service
zookeeper/localhost, and the folder has the key tables of its users.

Prints one line per passed check and `PASSED` at the end.
"""

import logging
import os
import sys
import time

from kazoo.client import KazooClient
from kazoo.exceptions import AuthFailedError, NoAuthError
from kazoo.handlers.threading import KazooTimeoutError
from kazoo.security import make_acl

HOSTS = sys.argv[1]
WAIT = 20


def client(user, password):
    options = {"mechanism": "DIGEST-MD5", "username": user, "password": password}
    return KazooClient(hosts=HOSTS, timeout=10.0, sasl_options=options)


def with_ticket(folder, user, service="zookeeper"):
    """A client of this user. The library of Kerberos gets the ticket, when the client starts, by what is in its environment."""
    os.environ["KRB5_CLIENT_KTNAME"] = os.path.join(folder, user + ".keytab")
    os.environ["KRB5CCNAME"] = "FILE:" + os.path.join(folder, user + ".tickets")
    options = {"mechanism": "GSSAPI", "service": service}
    return KazooClient(hosts=HOSTS.replace("127.0.0.1", "localhost"), timeout=10.0, sasl_options=options)


def refused(action):
    try:
        action()
    except NoAuthError:
        return
    raise AssertionError("it was allowed")


def must_fail(zk):
    """The client must be told soon. It tells so by `start`, as a time-out, or with the first request."""
    began = time.monotonic()
    try:
        zk.start(timeout=WAIT)
        zk.exists("/")
    except (AuthFailedError, KazooTimeoutError):
        assert time.monotonic() - began < WAIT / 2, "the client waited for the server"
        return
    finally:
        zk.stop()
        zk.close()
    raise AssertionError("the client was let in")


def only_bob_reads(path, bob, ann):
    """Bob keeps a node from Ann and from a client that does not log in. Stops all three."""
    stranger = KazooClient(hosts=HOSTS, timeout=10.0)
    stranger.start(timeout=WAIT)
    try:
        bob.create(path, b"x", acl=[make_acl("sasl", credential="bob", all=True)])
        assert bob.get(path)[0] == b"x"
        refused(lambda: ann.get(path))
        refused(lambda: stranger.get(path))
    finally:
        for zk in (bob, ann, stranger):
            zk.stop()
            zk.close()


def the_right_password():
    bob, ann = client("bob", "bob's secret"), client("ann", "ann")
    for zk in (bob, ann):
        zk.start(timeout=WAIT)
    only_bob_reads("/kazoo-sasl", bob, ann)
    print("the right password")


def a_wrong_password():
    must_fail(client("bob", "guessed"))
    must_fail(client("nobody", "bob's secret"))
    print("a wrong password")


def logged_in(zk):
    """Starts a client. It is connected before it logs in, and sends requests after that."""
    zk.start(timeout=WAIT)
    zk.exists("/")
    return zk


def tickets(folder):
    # The ticket is that of the process: each logs in before the next one gets another.
    bob = logged_in(with_ticket(folder, "bob"))
    ann = logged_in(with_ticket(folder, "ann"))
    only_bob_reads("/kazoo-kerberos", bob, ann)
    print("the right tickets")
    must_fail(with_ticket(folder, "bob", service="other"))
    print("a ticket for another service")


logging.basicConfig(level=logging.CRITICAL)
if sys.argv[1] == "without":
    # The server does not have SASL: kazoo would ask for a challenge for ever.
    HOSTS = sys.argv[2]
    must_fail(client("bob", "bob's secret"))
elif sys.argv[1] == "kerberos":
    HOSTS = sys.argv[3]
    tickets(sys.argv[2])
else:
    the_right_password()
    a_wrong_password()
print("PASSED")
