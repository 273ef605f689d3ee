"""kazoo against a server: `client.py HOST:PORT[,HOST:PORT…]`.

Prints one line per passed check and `PASSED` at the end. Prints `RESTART 0x<session>` when it wants the server of that
session killed and started again, and waits for `RESTARTED` on its standard input; prints `SPARE` when it wants a server
to add to the ensemble, and waits for its line.
"""

import datetime
import logging
import os
import queue
import sys
import threading
import time

from kazoo.client import KazooClient
from kazoo.exceptions import (
    BadVersionError,
    InvalidACLError,
    NewConfigNoQuorumError,
    NoAuthError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    RolledBackError,
)
from kazoo.protocol.states import EventType
from kazoo.recipe.barrier import DoubleBarrier
from kazoo.recipe.cache import TreeCache
from kazoo.recipe.watchers import ChildrenWatch, DataWatch
from kazoo.security import make_acl, make_digest_acl

HOSTS = sys.argv[1]
WAIT = 20

# With OSTLER_TLS every connection uses it: a folder with ca.pem, client.crt and client.key.
TLS = {}
if os.environ.get("OSTLER_TLS"):
    folder = os.environ["OSTLER_TLS"]
    TLS = {"use_ssl": True, "ca": f"{folder}/ca.pem", "certfile": f"{folder}/client.crt", "keyfile": f"{folder}/client.key"}


def connect(**options):
    client = KazooClient(hosts=HOSTS, timeout=10.0, **{**TLS, **options})
    client.start(timeout=WAIT)
    return client


def leave(client):
    client.stop()
    client.close()


def refuses(error, call, *args, **kwargs):
    try:
        result = call(*args, **kwargs)
    except error:
        return
    raise AssertionError(f"expected {error.__name__}, got {result!r}")


def eventually(condition, what):
    deadline = time.monotonic() + WAIT
    while not condition():
        assert time.monotonic() < deadline, f"did not happen: {what}"
        time.sleep(0.02)


def next_event(events, kind, path):
    event = events.get(timeout=WAIT)
    assert (event.type, event.path) == (kind, path), event


def crud(zk):
    assert zk.create("/kazoo", b"one") == "/kazoo"
    refuses(NodeExistsError, zk.create, "/kazoo", b"")
    data, stat = zk.get("/kazoo")
    assert data == b"one" and stat.version == 0 and stat.dataLength == 3, stat
    assert zk.set("/kazoo", b"two", version=0).version == 1
    refuses(BadVersionError, zk.set, "/kazoo", b"three", version=0)
    path, stat = zk.create("/kazoo/a/b/c", b"deep", makepath=True, include_data=True)
    assert path == "/kazoo/a/b/c" and stat.dataLength == 4, (path, stat)
    assert zk.get_children("/kazoo/a") == ["b"]
    children, stat = zk.get_children("/kazoo", include_data=True)
    assert children == ["a"] and stat.numChildren == 1 and stat.cversion == 1, stat
    refuses(NotEmptyError, zk.delete, "/kazoo/a")
    zk.delete("/kazoo/a", recursive=True)
    assert zk.exists("/kazoo/a") is None
    refuses(NoNodeError, zk.get, "/kazoo/a")
    assert zk.sync("/kazoo") == "/kazoo"
    assert zk.ensure_path("/kazoo/ensured")
    # kazoo cannot send four-letter words over TLS: it takes the address for the name of the host.
    if not TLS:
        assert zk.server_version() >= (3, 9)
        assert zk.command(b"ruok") == "imok"


def sequential(zk):
    names = [zk.create("/kazoo/seq/n-", makepath=True, sequence=True) for _ in range(3)]
    assert names == [f"/kazoo/seq/n-{number:010d}" for number in range(3)], names
    assert zk.create("/kazoo/seq/", sequence=True, ephemeral=True) == "/kazoo/seq/0000000003"


def ephemerals(zk):
    other = connect()
    other.create("/kazoo/ephemeral", b"", ephemeral=True)
    refuses(NoChildrenForEphemeralsError, other.create, "/kazoo/ephemeral/child")
    gone = threading.Event()
    stat = zk.exists("/kazoo/ephemeral", watch=lambda event: gone.set())
    assert stat.ephemeralOwner == other.client_id[0]
    leave(other)
    assert gone.wait(WAIT), "the ephemeral outlived its session"
    assert zk.exists("/kazoo/ephemeral") is None


def watches(zk):
    events = queue.Queue()
    zk.exists("/kazoo/watched", watch=events.put)
    zk.create("/kazoo/watched", b"")
    next_event(events, EventType.CREATED, "/kazoo/watched")
    zk.get("/kazoo/watched", watch=events.put)
    zk.set("/kazoo/watched", b"x")
    next_event(events, EventType.CHANGED, "/kazoo/watched")
    zk.get_children("/kazoo/watched", watch=events.put)
    zk.create("/kazoo/watched/child", b"")
    next_event(events, EventType.CHILD, "/kazoo/watched")
    zk.delete("/kazoo/watched/child")
    zk.get("/kazoo/watched", watch=events.put)
    zk.delete("/kazoo/watched")
    next_event(events, EventType.DELETED, "/kazoo/watched")
    assert events.empty()


def watcher_recipes(zk):
    values, lists = queue.Queue(), queue.Queue()
    zk.ensure_path("/kazoo/followed")
    DataWatch(zk, "/kazoo/followed", lambda data, stat: values.put(data))
    ChildrenWatch(zk, "/kazoo/followed", lambda children: lists.put(children))
    assert values.get(timeout=WAIT) == b"" and lists.get(timeout=WAIT) == []
    zk.set("/kazoo/followed", b"new")
    assert values.get(timeout=WAIT) == b"new"
    zk.create("/kazoo/followed/child", b"")
    assert lists.get(timeout=WAIT) == ["child"]
    cache = TreeCache(zk, "/kazoo/followed")
    cache.start()
    eventually(lambda: cache.get_data("/kazoo/followed/child") is not None, "the cache fills")
    zk.set("/kazoo/followed/child", b"cached")
    eventually(lambda: cache.get_data("/kazoo/followed/child").data == b"cached", "the cache follows")
    cache.close()


def acls(zk):
    acl = make_digest_acl("ann", "secret", all=True)
    zk.create("/kazoo/private", b"hers", acl=[acl])
    refuses(NoAuthError, zk.get, "/kazoo/private")
    refuses(NoAuthError, zk.set, "/kazoo/private", b"")
    refuses(InvalidACLError, zk.create, "/kazoo/none", b"", acl=[make_acl("nonesuch", "x", all=True)])
    ann = connect(auth_data=[("digest", "ann:secret")])
    assert ann.get("/kazoo/private")[0] == b"hers"
    acls_read, stat = ann.get_acls("/kazoo/private")
    assert acls_read == [acl] and stat.aversion == 0
    assert ann.set_acls("/kazoo/private", [acl], version=0).aversion == 1
    leave(ann)
    admin = connect()
    admin.add_auth("digest", "super:test")
    assert admin.get("/kazoo/private")[0] == b"hers"
    leave(admin)


def transactions(zk):
    zk.create("/kazoo/multi", b"")
    transaction = zk.transaction()
    transaction.check("/kazoo/multi", 0)
    transaction.create("/kazoo/multi/a", b"1")
    transaction.set_data("/kazoo/multi", b"2")
    transaction.delete("/kazoo/multi/a")
    checked, created, changed, deleted = transaction.commit()
    assert checked is True and created == "/kazoo/multi/a" and changed.version == 1 and deleted is True
    transaction = zk.transaction()
    transaction.create("/kazoo/multi/b", b"")
    transaction.check("/kazoo/multi", 7)
    transaction.create("/kazoo/multi/c", b"")
    results = transaction.commit()
    assert isinstance(results[0], RolledBackError) and isinstance(results[1], BadVersionError), results
    assert zk.exists("/kazoo/multi/b") is None


def locks(zk):
    others = [connect() for _ in range(3)]
    inside, most, rounds = [0], [0], [0]

    def work(client):
        for _ in range(5):
            with client.Lock("/kazoo/lock", str(client.client_id[0])):
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                rounds[0] += 1
                time.sleep(0.005)
                inside[0] -= 1

    threads = [threading.Thread(target=work, args=(client,)) for client in others]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert rounds[0] == 15 and most[0] == 1, (rounds, most)

    with zk.ReadLock("/kazoo/rw", "r"):
        writer = others[0].WriteLock("/kazoo/rw", "w")
        assert not writer.acquire(blocking=False)
        assert others[1].ReadLock("/kazoo/rw", "r").acquire(timeout=WAIT)
    semaphore = zk.Semaphore("/kazoo/semaphore", "a", max_leases=2)
    second, third = (others[n].Semaphore("/kazoo/semaphore", "b", max_leases=2) for n in (0, 1))
    assert semaphore.acquire() and second.acquire() and not third.acquire(blocking=False)
    semaphore.release()
    assert third.acquire(timeout=WAIT)
    for other in others:
        leave(other)


def leadership(zk):
    first, second = connect(), connect()
    election = zk.Election("/kazoo/election")
    leaders = queue.Queue()
    release = threading.Event()

    def lead(name):
        leaders.put(name)
        release.wait(WAIT)

    threads = []
    for name, client in (("first", first), ("second", second)):
        threads.append(threading.Thread(target=client.Election("/kazoo/election", name).run, args=(lead, name)))
        threads[-1].start()
        eventually(lambda: len(election.contenders()) == len(threads), "the candidate stands")
    assert leaders.get(timeout=WAIT) == "first" and leaders.empty()
    assert election.contenders() == ["first", "second"]
    release.set()
    assert leaders.get(timeout=WAIT) == "second"
    for thread in threads:
        thread.join(WAIT)
    leave(first)
    leave(second)


def collections(zk):
    line = zk.Queue("/kazoo/queue")
    for value in (b"1", b"2", b"3"):
        line.put(value)
    assert [line.get() for _ in range(4)] == [b"1", b"2", b"3", None]
    line = zk.LockingQueue("/kazoo/locking")
    line.put_all([b"1", b"2"])
    assert line.get(WAIT) == b"1" and line.consume() and len(line) == 1
    counter = zk.Counter("/kazoo/counter")
    counter += 5
    counter -= 2
    assert counter.value == 3
    lease = zk.NonBlockingLease("/kazoo/lease", datetime.timedelta(minutes=1))
    assert lease
    party = zk.Party("/kazoo/party", "me")
    party.join()
    assert list(party) == ["me"]
    party.leave()


def barriers(zk):
    barrier = zk.Barrier("/kazoo/barrier")
    barrier.create()
    assert not barrier.wait(0.05)
    threading.Timer(0.1, barrier.remove).start()
    assert connect_and(lambda client: client.Barrier("/kazoo/barrier").wait(WAIT))
    arrived = queue.Queue()

    def enter():
        def both(client):
            double = DoubleBarrier(client, "/kazoo/double", 2)
            double.enter()
            arrived.put(double.participating)
            double.leave()

        connect_and(both)

    threads = [threading.Thread(target=enter) for _ in range(2)]
    for thread in threads:
        thread.start()
    assert [arrived.get(timeout=WAIT) for _ in threads] == [True, True]
    for thread in threads:
        thread.join(WAIT)


def connect_and(work):
    client = connect()
    try:
        return work(client)
    finally:
        leave(client)


def large(zk):
    zk.create("/kazoo/large", b"x" * 900_000)
    assert len(zk.get("/kazoo/large")[0]) == 900_000
    zk.ensure_path("/kazoo/many")
    pending = [zk.create_async(f"/kazoo/many/{number:04d}", b"") for number in range(1000)]
    for answer in pending:
        answer.get(timeout=WAIT)
    assert len(zk.get_children("/kazoo/many")) == 1000


def members(zk):
    """A fourth server becomes an observer and goes again."""
    print("SPARE", flush=True)
    spare = sys.stdin.readline().strip()
    if spare == "NONE":
        return
    refuses(NoAuthError, zk.reconfig, joining=spare, leaving=None, new_members=None)
    admin = connect(auth_data=[("digest", "super:test")])
    before = admin.get("/zookeeper/config")[0].decode()
    version = int(before.rpartition("version=")[2], 16)
    refuses(BadVersionError, admin.reconfig, joining=spare, leaving=None, new_members=None, from_config=version + 1)
    nobody = ",".join(f"server.{number}=127.0.0.1:{number}:{number};{number}" for number in (5, 6, 7))
    refuses(NewConfigNoQuorumError, admin.reconfig, joining=None, leaving=None, new_members=nobody)
    configs = queue.Queue()
    DataWatch(zk, "/zookeeper/config", lambda data, stat: configs.put(data.decode()))
    assert configs.get(timeout=WAIT) == before
    # A server that is only about to ask is a member on paper until it comes.
    data, stat = admin.reconfig(joining=spare, leaving=None, new_members=None, from_config=version)
    after = data.decode()
    assert f"{spare}\n" in after, after
    assert int(after.rpartition("version=")[2], 16) == stat.mzxid > version, (after, stat)
    assert configs.get(timeout=WAIT) == after == admin.get("/zookeeper/config")[0].decode()
    fourth = KazooClient(hosts=spare.rpartition(";")[2], timeout=10.0)
    fourth.start(timeout=WAIT)
    fourth.set("/kazoo", b"through the fourth")
    assert zk.get("/kazoo")[0] == b"through the fourth"
    leave(fourth)
    data, _ = admin.reconfig(joining=None, leaving="4", new_members=None)
    assert "server.4=" not in data.decode(), data
    assert configs.get(timeout=WAIT) == data.decode()
    leave(admin)


def restart(zk):
    """The session and its ephemerals outlive the server's process.

    kazoo drops plain watches when it loses the connection; its watcher recipes set theirs again.
    """
    session = zk.client_id[0]
    states, values, lists = queue.Queue(), queue.Queue(), queue.Queue()
    zk.add_listener(states.put)
    zk.create("/kazoo/survivor", b"", ephemeral=True)
    zk.create("/kazoo/after", b"before")
    DataWatch(zk, "/kazoo/after", lambda data, stat: values.put(data))
    ChildrenWatch(zk, "/kazoo/after", lambda children: lists.put(children))
    assert values.get(timeout=WAIT) == b"before" and lists.get(timeout=WAIT) == []
    print(f"RESTART {session:#x}", flush=True)
    assert sys.stdin.readline().strip() == "RESTARTED"
    seen = []
    while seen != ["SUSPENDED", "CONNECTED"]:
        seen.append(str(states.get(timeout=WAIT)))
        assert seen in (["SUSPENDED"], ["SUSPENDED", "CONNECTED"]), seen
    assert zk.client_id[0] == session
    assert zk.exists("/kazoo/survivor").ephemeralOwner == session
    assert zk.get("/kazoo/after")[0] == b"before"
    connect_and(lambda other: other.set("/kazoo/after", b"after"))
    eventually(lambda: values.get(timeout=WAIT) == b"after", "the change is told")
    connect_and(lambda other: other.create("/kazoo/after/child", b""))
    eventually(lambda: lists.get(timeout=WAIT) == ["child"], "the child is told")
    leave(zk)
    assert connect_and(lambda other: other.exists("/kazoo/survivor")) is None


def main():
    logging.basicConfig(level=logging.ERROR)
    zk = connect()
    checks = [crud, sequential, ephemerals, watches, watcher_recipes, acls, transactions]
    checks += [locks, leadership, collections, barriers, large, members, restart]
    for check in checks:
        check(zk)
        print("passed", check.__name__, flush=True)
    print("PASSED", flush=True)


main()
