"""Contenders for one lock, each with a session of its own: `contenders.py HOST:PORT PATH CONTENDERS SECONDS`.

Speaks as crates/recipes/examples/contenders.rs does, which see.
"""

import sys
import threading
import time

from kazoo.client import KazooClient

SERVER, PATH, CONTENDERS, SECONDS = sys.argv[1:]


def take_turns(client, end, waits):
    lock = client.Lock(PATH)
    while time.monotonic() < end:
        asked = time.monotonic()
        lock.acquire()
        waits.append(time.monotonic() - asked)
        lock.release()


def percentile(waits, percent):
    return sorted(waits)[(len(waits) - 1) * percent // 100] * 1e3


clients = [KazooClient(hosts=SERVER, timeout=30.0) for _ in range(int(CONTENDERS))]
for client in clients:
    client.start(timeout=60)
print("READY", flush=True)
sys.stdin.readline()
waits, began = [], time.monotonic()
end = began + float(SECONDS)
threads = [threading.Thread(target=take_turns, args=(client, end, waits)) for client in clients]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
rate = len(waits) / (time.monotonic() - began)
print(f"{len(waits)} {rate:.1f} {percentile(waits, 50):.2f} {percentile(waits, 99):.2f}", flush=True)
sys.stdin.readline()
for client in clients:
    client.stop()
