"""Takes turns with other programs: `turns.py KIND PATH COUNT FOLDER HOST:PORT`.

Each turn makes the file `inside`, which nobody else may have made, and adds a line to `turns`.
"""

import os
import sys
import time

from kazoo.client import KazooClient

KIND, PATH, COUNT, FOLDER, HOSTS = sys.argv[1:]


def visit():
    inside = os.path.join(FOLDER, "inside")
    os.close(os.open(inside, os.O_CREAT | os.O_EXCL))
    with open(os.path.join(FOLDER, "turns"), "a") as turns:
        turns.write("python\n")
    time.sleep(0.002)
    os.remove(inside)


def take(client):
    if KIND == "elect":
        client.Election(PATH, "python").run(visit)
        return
    patterns = {"lock": (), "lock-of-all": ("-lock-",)}[KIND]
    with client.Lock(PATH, "python", extra_lock_patterns=patterns):
        visit()


client = KazooClient(hosts=HOSTS)
client.start()
for _ in range(int(COUNT)):
    take(client)
client.stop()
print("PASSED")
