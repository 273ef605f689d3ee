"""A running system as znodes: ``/proc/<pid>/status`` and its like, read when a client asks.

    python proc_tree.py
    ostler shell get /proc/1/comm
"""

from __future__ import annotations

import os
from typing import Optional

from zoo_server import NoAuthError, NoNodeError, ZooServer

ROOT = "/proc"
FILES = ("cmdline", "comm", "io", "stat", "statm", "status")


class ProcTree(ZooServer):
    """Processes below ``/proc``; everything else is the built-in tree."""

    def get_children(self, path: str) -> Optional[list[str]]:
        """Processes, or what is known of one. The root of all znodes has ``proc`` as well."""
        if path == "/":
            return sorted({*super().get_children(path), "proc"})  # type: ignore[misc]
        parts = self.parts(path)
        if parts is None:
            return None
        if not parts:
            return sorted((name for name in os.listdir(ROOT) if name.isdigit()), key=int)
        if len(parts) == 1 and os.path.isdir(self.file(parts)):
            return list(FILES)
        if len(parts) == 2 and parts[1] in FILES:
            return []
        raise NoNodeError(path)

    def get_data(self, path: str) -> Optional[bytes]:
        """The content of a file."""
        parts = self.parts(path)
        if parts is None:
            return None
        try:
            if len(parts) < 2:
                os.stat(self.file(parts))
                return b""
            with open(self.file(parts), "rb") as file:
                return file.read()
        except (FileNotFoundError, ProcessLookupError):
            raise NoNodeError(path) from None
        except PermissionError:
            raise NoAuthError(path) from None

    def create(self, path: str, data: bytes) -> None:
        """Nobody writes there."""
        self.refuse(path)

    def set_data(self, path: str, data: bytes) -> None:
        """Nobody writes there."""
        self.refuse(path)

    def delete(self, path: str) -> None:
        """Nobody writes there."""
        self.refuse(path)

    def refuse(self, path: str) -> None:
        """Refuses a write below ``/proc``."""
        if self.parts(path) is not None:
            raise NoAuthError(path)

    @staticmethod
    def parts(path: str) -> Optional[list[str]]:
        """The process and the file in a path; ``None`` outside of ``/proc``."""
        first, *parts = path[1:].split("/")
        if first != "proc":
            return None
        if parts and not parts[0].isdigit() or len(parts) > 2 or len(parts) == 2 and parts[1] not in FILES:
            raise NoNodeError(path)
        return parts

    @staticmethod
    def file(parts: list[str]) -> str:
        """The file of the system."""
        return os.path.join(ROOT, *parts)


if __name__ == "__main__":
    ProcTree().start()
