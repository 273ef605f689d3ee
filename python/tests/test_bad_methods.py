"""Methods that loop, wait, fork, call back, and fail, while other clients work."""

from __future__ import annotations

import gc
import logging
import os
import resource
import subprocess
import sys
import threading
import time
from typing import Any

import kazoo.exceptions
import pytest

from conftest import PATIENCE, Servers, await_that, free_port
from raw import Raw
from zoo_server import ZooServer

CALLS = int(os.environ.get("OSTLER_TEST_CALLS", "40000"))
"""Calls after which memory must be flat. A million in the long form."""


class Stuck(ZooServer):
    """Loops, or waits, until it is let go."""

    go_on = threading.Event()

    def get_data(self, path: str) -> Any:
        if path == "/loop":
            while not self.go_on.is_set():
                pass
        if path == "/wait":
            self.go_on.wait(PATIENCE)
        return b"x"


@pytest.mark.parametrize("path", ["/loop", "/wait"])
def test_a_method_that_does_not_return_delays_its_own_client_only(servers: Servers, path: str) -> None:
    Stuck.go_on.clear()
    server = servers.start(Stuck, deadline=2.0)
    client, other = servers.client(server, timeout=5.0), servers.client(server)
    try:
        begun = time.monotonic()
        asked = client.get_async(path)
        answered = 0
        while not asked.ready():
            assert other.get("/other")[0] == b"x"
            assert other.get_children("/") == ["zookeeper"]
            answered += 1
        with pytest.raises(kazoo.exceptions.OperationTimeoutError):
            asked.get()
        assert time.monotonic() - begun >= 2.0 and answered > 10
        assert client.get("/other")[0] == b"x", "the client goes on"
    finally:
        Stuck.go_on.set()


def test_many_clients_of_a_stuck_method_find_an_end(servers: Servers) -> None:
    Stuck.go_on.clear()
    server = servers.start(Stuck, deadline=1.0, maxClientCnxns=0)
    other = servers.client(server)
    try:
        clients = [Raw(server.port) for _ in range(150)]
        threads = [threading.Thread(target=lambda c=c: codes.append(c.get("/wait", 1)[0])) for c in clients]
        codes: list[int] = []
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            assert other.get_children("/") == ["zookeeper"]
        # Those that found a thread, and those that did not.
        assert codes == [kazoo.exceptions.OperationTimeoutError.code] * len(clients)
        for raw in clients:
            raw.close()
    finally:
        Stuck.go_on.set()
    await_that("the threads go on", lambda: other.get("/other")[0] == b"x")


class Recursive(ZooServer):
    """Is a client of itself."""

    def __init__(self, servers: Servers, **options: Any) -> None:
        super().__init__(**options)
        self.servers = servers

    def get_data(self, path: str) -> Any:
        first, _, rest = path[1:].partition("/")
        if first != "again":
            return None
        with_session = self.servers.client(self)
        return with_session.get(f"/{rest}")[0]


def test_a_method_may_be_a_client_of_its_own_server(servers: Servers) -> None:
    client = servers.client(servers.start(Recursive, servers))
    client.create("/a", b"1")
    assert client.get("/again/again/a")[0] == b"1"


class Counts(ZooServer):
    """Answers and fails."""

    def get_data(self, path: str) -> Any:
        if path == "/raise":
            raise ValueError(path)
        if path == "/type":
            return 7
        if path == "/super":
            return super().get_data("/zookeeper")
        return b"x" * 100


def test_memory_is_flat_over_many_calls_of_every_kind(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    # Not what logging keeps.
    caplog.set_level(logging.CRITICAL, "zoo_server")
    server = servers.start(Counts)
    raw = Raw(server.port)

    def round_of(calls: int) -> None:
        for path, share, code in [("/v", 16, 0), ("/raise", 2, -1), ("/type", 1, -1), ("/super", 1, 0)]:
            for _ in range(calls * share // 20 // 500):
                assert set(raw.get(path, 500)) == {code}

    round_of(CALLS // 4)
    gc.collect()
    before = memory()
    round_of(CALLS)
    gc.collect()
    grown = memory() - before
    raw.close()
    # A leak of one small object for each call would be ten times that.
    assert grown < CALLS * 8 + (2 << 20), f"{grown} bytes more after {CALLS} calls"


def memory() -> int:
    """Bytes of memory of this process."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def run(program: str, servers: Servers, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a program of its own."""
    command = [sys.executable, "-W", "error::ResourceWarning", "-c", program, str(servers.folder / "data"), str(free_port())]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=2 * PATIENCE)


BEGIN = """
import os, sys, threading, time
from zoo_server import ZooServer

class Own(ZooServer):
    def get_data(self, path):
        if path == "/stop":
            self.stop()
        if path == "/sleep":
            time.sleep(3600)
        return b"x"

server = Own(sys.argv[1], port=int(sys.argv[2]), **{"admin.enableServer": False})
"""

CLIENT = """
sys.path.insert(0, os.environ["OSTLER_TESTS"])
from raw import Raw
"""


@pytest.fixture
def environment(package_path: dict[str, str]) -> dict[str, str]:
    """The environment of a program of its own."""
    return {**package_path, "OSTLER_TESTS": os.path.dirname(__file__)}


def test_a_forked_child_is_told_that_it_has_no_server(servers: Servers, environment: dict[str, str]) -> None:
    program = BEGIN + """
server.start(background=True)
child = os.fork()
if child == 0:
    for call in (lambda: server.changed("/v"), server.stop, server.start):
        try:
            call()
        except (RuntimeError, OSError) as error:
            print(error, flush=True)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
server.changed("/v")
server.stop()
print("stopped")
"""
    done = run(program, servers, environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("was forked") == 2 and done.stdout.endswith("stopped\n"), done.stdout


@pytest.mark.parametrize(
    "end",
    [
        "server.start(background=True)",
        "server.start(background=True)\ndel server",
        CLIENT + "server.start(background=True); Raw(server.port).get('/v', 100)",
        CLIENT + "server.start(background=True)\n"
        "threading.Thread(target=lambda: Raw(server.port).get('/sleep', 1), daemon=True).start(); time.sleep(0.2)",
    ],
    ids=["running", "forgotten", "served", "in a method"],
)
def test_the_interpreter_ends_with_a_server_that_runs(
    servers: Servers, environment: dict[str, str], end: str
) -> None:
    done = run(BEGIN + end + "\nprint('end', flush=True)", servers, environment)
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_a_method_may_stop_the_server(servers: Servers, environment: dict[str, str]) -> None:
    program = BEGIN + CLIENT + """
def ask():
    while server._server is None:
        time.sleep(0.01)
    try:
        Raw(server.port).get("/stop", 1)
    except (AssertionError, OSError):
        pass

threading.Thread(target=ask).start()
server.start()
print("end")
"""
    done = run(program, servers, environment)
    assert done.returncode == 0 and done.stdout.endswith("end\n"), (done.stdout, done.stderr)


def test_a_subclass_may_forget_to_call_its_base(servers: Servers, environment: dict[str, str]) -> None:
    program = """
from zoo_server import ZooServer

class Own(ZooServer):
    def __init__(self):
        self.mine = 1

print(Own()._options, Own()._overrides("get_data"))
"""
    done = run(program, servers, environment)
    assert done.stdout == "{} False\n", done.stderr
