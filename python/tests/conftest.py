"""What the tests share: servers with ports and data of their own, and clients."""

from __future__ import annotations

import contextlib
import os
import random
import socket
import sys
import time
from pathlib import Path
from typing import Any, Callable, Iterator

import pytest
from kazoo.client import KazooClient

from zoo_server import ZooServer

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path.insert(0, str(EXAMPLES))

PATIENCE = 30.0
"""How long a test waits for what must happen, in seconds. Only a failure waits for it."""


def free_port() -> int:
    """A port below those from which the system serves outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(12_000, 32_000)
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port


def await_that(what: str, ask: Callable[[], Any]) -> Any:
    """Waits until ``ask`` answers something that counts as true, and returns it."""
    deadline = time.monotonic() + PATIENCE
    while not (answer := ask()):
        assert time.monotonic() < deadline, f"after {PATIENCE} s it is not so that {what}"
        time.sleep(0.01)
    return answer


class Servers:
    """Starts servers, and ends them with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ends = contextlib.ExitStack()
        self.count = 0

    def start(self, kind: Callable[..., ZooServer] = ZooServer, *arguments: Any, **options: Any) -> ZooServer:
        """A server of this class, in the background."""
        self.count += 1
        options = {"data_dir": self.folder / str(self.count), "port": free_port(), "admin.enableServer": False, **options}
        server = kind(*arguments, **options)
        server.start(background=True)
        self.ends.callback(server.stop)
        return server

    def client(self, server: ZooServer, **options: Any) -> KazooClient:
        """A session at a server."""
        client = KazooClient(server.address, timeout=options.pop("timeout", 10.0), **options)
        client.start(PATIENCE)

        def end() -> None:
            client.stop()
            client.close()

        self.ends.callback(end)
        return client


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[Servers]:
    """Servers and clients that end with the test."""
    servers = Servers(tmp_path)
    with servers.ends:
        yield servers


@pytest.fixture
def package_path() -> dict[str, str]:
    """The environment of a process that imports what this one imports."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
