"""A read-only mirror of another ZooKeeper, which asks it when a client asks.

    python mirror.py HOST:PORT,HOST:PORT
"""

from __future__ import annotations

import sys
from typing import Any

from kazoo.client import KazooClient
from kazoo.protocol.states import WatchedEvent

from zoo_server import Children, Data, NotReadOnlyCallError, Stat, ZooServer


class Mirror(ZooServer):
    """Answers every read from the source, and refuses every write. Errors of the source are errors here."""

    def __init__(self, source: str, **options: Any) -> None:
        """Connects to the source."""
        super().__init__(**options)
        # What clients were told of the children that they watch.
        self.told: dict[str, set[str]] = {}
        self.source: Any = KazooClient(source, read_only=True)
        self.source.start()

    def get_data(self, path: str) -> Data:
        """The data of the source. A client that watches them watches the source through this server."""
        data, stat = self.source.get(path, watch=self.watch())
        return Data(data, Stat(*stat))

    def get_children(self, path: str) -> Children:
        """The children of the source."""
        names, stat = self.source.get_children(path, watch=self.watch(), include_data=True)
        if self.request.watch:
            self.told[path] = set(names)
        return Children(names, Stat(*stat))

    def exists(self, path: str) -> Any:
        """Whether the source has a znode."""
        stat = self.source.exists(path, watch=self.watch())
        return False if stat is None else Stat(*stat)

    def watch(self) -> Any:
        """What the source calls on a change, if the client wants to know."""
        return self.tell if self.request.watch else None

    def tell(self, event: WatchedEvent) -> None:
        """Passes an event of the source on."""
        if event.type == "CREATED":
            self.created(event.path)
        elif event.type == "DELETED":
            self.deleted(event.path)
        elif event.type == "CHANGED":
            self.changed(event.path)
        elif event.type == "CHILD":
            self.tell_children(event.path)

    def tell_children(self, path: str) -> None:
        """Tells which children came and went."""
        before, now = self.told.pop(path, set()), set(self.source.get_children(path))
        for name in now - before:
            self.created(f"{path.rstrip('/')}/{name}")
        for name in before - now:
            self.deleted(f"{path.rstrip('/')}/{name}")

    def create(self, path: str, data: bytes) -> None:
        """Refused."""
        raise NotReadOnlyCallError(path)

    def set_data(self, path: str, data: bytes) -> None:
        """Refused."""
        raise NotReadOnlyCallError(path)

    def delete(self, path: str) -> None:
        """Refused."""
        raise NotReadOnlyCallError(path)

    def set_acl(self, path: str, acl: Any) -> None:
        """Refused."""
        raise NotReadOnlyCallError(path)

    def stop(self) -> None:
        """Ends the server, and the session at the source."""
        super().stop()
        self.source.stop()
        self.source.close()


if __name__ == "__main__":
    Mirror(sys.argv[1]).start()
