"""All znodes in a dictionary of this process: the five methods of a whole tree.

    python dictionary.py
"""

from __future__ import annotations

import time

from zoo_server import (
    DONE,
    BadVersionError,
    Children,
    Data,
    Done,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
    Path,
    Stat,
    ZooServer,
)


class Node:
    """A znode: its data, and what clients see beside them."""

    def __init__(self, data: bytes, zxid: int) -> None:
        """A new znode."""
        self.data = data
        now = int(time.time() * 1000)
        self.stat = Stat(czxid=zxid, mzxid=zxid, pzxid=zxid, ctime=now, mtime=now)
        self.names: set[str] = set()
        self.created = 0

    def stat_now(self) -> Stat:
        """The ``Stat`` that clients get."""
        return self.stat._replace(dataLength=len(self.data), numChildren=len(self.names))


def parent_of(path: str) -> str:
    """The path above."""
    return path.rpartition("/")[0] or "/"


class Dictionary(ZooServer):
    """Keeps every znode in memory; nothing is left when it ends."""

    zxid = 0
    nodes: dict[str, Node] = {}

    def node(self, path: str) -> Node:
        """The znode with this path."""
        if not self.nodes:
            self.nodes["/"] = Node(b"", 0)
        try:
            return self.nodes[path]
        except KeyError:
            raise NoNodeError(path) from None

    def get_data(self, path: str) -> Data:
        """The data."""
        node = self.node(path)
        return Data(node.data, node.stat_now())

    def get_children(self, path: str) -> Children:
        """The names of the children."""
        node = self.node(path)
        return Children(sorted(node.names), node.stat_now())

    def create(self, path: str, data: bytes) -> Path:
        """Creates a znode. Ephemeral ones live as long as any other here: this is an example."""
        parent = self.node(parent_of(path))
        if self.request.sequential:
            path += f"{parent.created:010d}"
        if path in self.nodes:
            raise NodeExistsError(path)
        self.zxid += 1
        self.nodes[path] = Node(data, self.zxid)
        parent.names.add(path.rpartition("/")[2])
        parent.created += 1
        parent.stat = parent.stat._replace(cversion=parent.stat.cversion + 1, pzxid=self.zxid)
        self.created(path)
        return Path(path, self.nodes[path].stat_now())

    def delete(self, path: str) -> Done:
        """Deletes a znode without children."""
        node = self.node(path)
        self.check_version(node)
        if node.names:
            raise NotEmptyError(path)
        self.zxid += 1
        del self.nodes[path]
        parent = self.node(parent_of(path))
        parent.names.discard(path.rpartition("/")[2])
        parent.stat = parent.stat._replace(cversion=parent.stat.cversion + 1, pzxid=self.zxid)
        self.deleted(path)
        return DONE

    def set_data(self, path: str, data: bytes) -> Stat:
        """Replaces the data."""
        node = self.node(path)
        self.check_version(node)
        self.zxid += 1
        node.data = data
        node.stat = node.stat._replace(
            version=node.stat.version + 1, mzxid=self.zxid, mtime=int(time.time() * 1000)
        )
        self.changed(path)
        return node.stat_now()

    def check_version(self, node: Node) -> None:
        """Refuses a write that expects another version."""
        if self.request.version not in (-1, node.stat.version):
            raise BadVersionError()


if __name__ == "__main__":
    Dictionary().start()
