"""What methods get and return."""

from __future__ import annotations

import enum
from typing import Any, Final, Iterable, Literal, NamedTuple, Optional


class Stat(NamedTuple):
    """The metadata of a znode, in ZooKeeper's order and by kazoo's names.

    zxids are numbers of transactions, times are milliseconds since 1970.
    """

    czxid: int = 0
    mzxid: int = 0
    ctime: int = 0
    mtime: int = 0
    version: int = 0
    cversion: int = 0
    aversion: int = 0
    ephemeralOwner: int = 0
    dataLength: int = 0
    numChildren: int = 0
    pzxid: int = 0


class Id(NamedTuple):
    """Who an entry of an ACL is for."""

    scheme: str
    id: str


class ACL(NamedTuple):
    """An entry of an ACL. ``perms`` is a sum: 1 read, 2 write, 4 create, 8 delete, 16 admin."""

    perms: int
    id: Id


class Data(bytes):
    """Data of a znode, with its ``Stat``. Plain ``bytes`` have one of zeros."""

    stat: Optional[Stat]

    def __new__(cls, data: bytes = b"", stat: Optional[Stat] = None) -> Data:
        """The data, and the ``Stat`` that the client gets with them."""
        self = super().__new__(cls, data)
        self.stat = stat
        return self


class Children(list[str]):
    """Names of children, with the ``Stat`` of their parent."""

    stat: Optional[Stat]

    def __init__(self, names: Iterable[str] = (), stat: Optional[Stat] = None) -> None:
        """The names, and the ``Stat`` that the client gets with them."""
        super().__init__(names)
        self.stat = stat


class Path(str):
    """The path of a new znode, with its ``Stat``."""

    stat: Optional[Stat]

    def __new__(cls, path: str = "", stat: Optional[Stat] = None) -> Path:
        """The path, and the ``Stat`` that the client gets with it."""
        self = super().__new__(cls, path)
        self.stat = stat
        return self


class Done(enum.Enum):
    """The type of ``DONE``."""

    DONE = "done"

    def __repr__(self) -> str:
        """Its name in this package."""
        return "zoo_server.DONE"


DONE: Final[Literal[Done.DONE]] = Done.DONE
"""A method has done what the client asked for."""


def acls(entries: Iterable[tuple[int, str, str]]) -> list[ACL]:
    """A list of ACLs from permissions, schemes and ids."""
    return [ACL(perms, Id(scheme, id)) for perms, scheme, id in entries]


def setting(value: Any) -> str:
    """A value of zoo.cfg as text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
