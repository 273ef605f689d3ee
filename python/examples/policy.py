"""Rules of the house in front of the built-in tree: names, sizes, and a log of who wrote what.

    python policy.py
"""

from __future__ import annotations

import logging
import re
from typing import Any

from zoo_server import BadArgumentsError, NoAuthError, QuotaExceededError, Request, ZooServer

NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
DATA_MAX = 16 << 10

audit = logging.getLogger("audit")


class Policy(ZooServer):
    """Refuses what breaks a rule; the built-in tree does the rest."""

    def create(self, path: str, data: bytes) -> Any:
        """New names are in lower case, and data are short."""
        name = path.rpartition("/")[2]
        if not NAME.fullmatch(name) and not (self.request.sequential and name == ""):
            raise BadArgumentsError(f"{name!r} is not a name here")
        self.check_size(data)
        created = super().create(path, data)
        audit.info("%s created %s", self.who(), created)
        return created

    def set_data(self, path: str, data: bytes) -> Any:
        """Data are short."""
        self.check_size(data)
        stat = super().set_data(path, data)
        audit.info("%s set %s", self.who(), path)
        return stat

    def check(self, request: Request) -> None:
        """Only operators see what is below ``/secret``."""
        if request.path.startswith("/secret") and ("digest", "operator") not in self.people():
            raise NoAuthError(request.path)

    def check_size(self, data: bytes) -> None:
        """Refuses long data."""
        if len(data) > DATA_MAX:
            raise QuotaExceededError(f"{len(data)} bytes are more than {DATA_MAX}")

    def people(self) -> set[tuple[str, str]]:
        """Who the client is: schemes and names, without the digests of passwords."""
        return {(scheme, id.partition(":")[0]) for scheme, id in self.request.identities}

    def who(self) -> str:
        """The client in a line of the log."""
        names = sorted(name for scheme, name in self.people() if scheme != "ip")
        return ",".join(names) or self.request.address[0]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    Policy().start()
