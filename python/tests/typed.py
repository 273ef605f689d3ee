"""Programs as users write them, for type checkers only."""

from __future__ import annotations

from typing import Optional

from zoo_server import ACL, DONE, Children, Data, Done, Path, Request, Stat, ZooServer


class Plain(ZooServer):
    """Methods with plain values."""

    def get_data(self, path: str) -> Optional[bytes]:
        return b"x" if path == "/x" else None

    def get_children(self, path: str) -> list[str]:
        return ["a"]

    def create(self, path: str, data: bytes) -> str:
        return path

    def delete(self, path: str) -> Done:
        return DONE

    def set_data(self, path: str, data: bytes) -> Done:
        return DONE

    def exists(self, path: str) -> bool:
        return True

    def check(self, request: Request) -> None:
        print(request.path, request.acl[0].id.scheme)


class Rich(ZooServer):
    """Methods with ``Stat``s, some of them coroutines."""

    async def get_data(self, path: str) -> Data:
        return Data(b"x", Stat(version=1))

    async def get_children(self, path: str) -> Children:
        return Children(["a"], Stat())

    def create(self, path: str, data: bytes) -> Path:
        return Path(path, Stat())

    def set_data(self, path: str, data: bytes) -> Stat:
        return Stat()

    async def set_acl(self, path: str, acl: list[ACL]) -> Done:
        return DONE


def use() -> tuple[str, int]:
    """Starts and stops a server."""
    with Plain("data", port=0, tickTime=2000) as server:
        server.changed("/x")
        return server.address, server.port
