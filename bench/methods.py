"""Servers that bench/methods.sh measures: `methods.py WHAT PORT DIR`, where WHAT says which methods they have."""

import sys

from zoo_server import ZooServer

DATA = bytes(100)


class Elsewhere(ZooServer):
    """A method that is never asked about what is measured."""

    def get_children(self, path):
        return None


class Asked(ZooServer):
    """Is asked about every read, and lets the server go on."""

    def get_data(self, path):
        return None


class Answers(ZooServer):
    """Answers every read."""

    def get_data(self, path):
        return DATA


class Awaits(ZooServer):
    """The same by a coroutine."""

    async def get_data(self, path):
        return DATA


what, port, folder = sys.argv[1:]
kinds = {"elsewhere": Elsewhere, "asked": Asked, "answers": Answers, "awaits": Awaits}
kinds[what](folder, port=int(port), **{"admin.enableServer": False}).start()
