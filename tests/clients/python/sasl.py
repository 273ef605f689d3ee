"""kazoo authenticates by SASL: `sasl.py [without] HOST:PORT`, with the users of tests/src/jaas.rs.

With `without`, the server does not have SASL, and kazoo must be told that it fails.

Prints one line per passed check and `PASSED` at the end.
"""

import logging
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


def the_right_password():
    bob, ann = client("bob", "bob's secret"), client("ann", "ann")
    stranger = KazooClient(hosts=HOSTS, timeout=10.0)
    for zk in (bob, ann, stranger):
        zk.start(timeout=WAIT)
    try:
        bob.create("/kazoo-sasl", b"x", acl=[make_acl("sasl", credential="bob", all=True)])
        assert bob.get("/kazoo-sasl")[0] == b"x"
        refused(lambda: ann.get("/kazoo-sasl"))
        refused(lambda: stranger.get("/kazoo-sasl"))
    finally:
        for zk in (bob, ann, stranger):
            zk.stop()
            zk.close()
    print("the right password")


def a_wrong_password():
    must_fail(client("bob", "guessed"))
    must_fail(client("nobody", "bob's secret"))
    print("a wrong password")


logging.basicConfig(level=logging.CRITICAL)
if sys.argv[1] == "without":
    # The server does not have SASL: kazoo would ask for a challenge for ever.
    HOSTS = sys.argv[2]
    must_fail(client("bob", "bob's secret"))
else:
    the_right_password()
    a_wrong_password()
print("PASSED")
