"""Uses kazoo's recipes as lines of standard input say: `member.py HOST:PORT`.

crates/recipes/examples/member.rs has the commands. Of the queues this has `locking` and `kazoo`, of
the counters `text` and `int`.
"""

import sys
from datetime import timedelta

from kazoo.client import KazooClient
from kazoo.retry import RetryFailedError

client = KazooClient(hosts=sys.argv[1])
client.start()
queues = {}
barrier = party = None


def queue(kind, path):
    kinds = {"locking": client.LockingQueue, "kazoo": client.Queue}
    return queues.setdefault(path, kinds[kind](path))


def take(kind, path):
    if kind == "kazoo":
        item = queue(kind, path).get()
        return "nothing" if item is None else item.decode()
    item = queue(kind, path).get(timeout=0.5)
    if item is None:
        return "nothing"
    assert queue(kind, path).consume()
    return item.decode()


def counter(kind, path):
    return client.Counter(path, support_curator={"text": False, "int": True}[kind])


def add(kind, path, times):
    for _ in range(int(times)):
        while True:
            try:
                counter(kind, path).__add__(1)
                break
            except RetryFailedError:
                # Others were faster each time.
                pass


def obey(command, *words):
    global barrier, party
    if command == "close":
        client.Barrier(*words).create()
    elif command == "open":
        assert client.Barrier(*words).remove()
    elif command == "wait":
        assert client.Barrier(*words).wait()
    elif command == "enter":
        barrier = client.DoubleBarrier(words[0], int(words[1]))
        barrier.enter()
        assert barrier.participating
    elif command == "leave":
        barrier.leave()
    elif command == "put":
        kind, path, priority, item = words
        queue(kind, path).put(item.encode(), int(priority))
    elif command == "take":
        return take(*words)
    elif command == "add":
        add(*words)
    elif command == "count":
        return str(counter(*words).value)
    elif command == "lease":
        path, holder, seconds = words
        lease = client.NonBlockingLease(path, timedelta(seconds=int(seconds)), holder)
        return "done" if lease else "held"
    elif command == "join":
        party = client.Party(*words)
        party.join()
    elif command == "quit":
        assert party.leave()
    elif command == "members":
        return " ".join(sorted(client.Party(*words)))
    else:
        raise ValueError(command)
    return "done"


for line in sys.stdin:
    print(obey(*line.split()), flush=True)
client.stop()
