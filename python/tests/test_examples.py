"""The examples, as their users would run them."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import kazoo.exceptions
import pytest
from kazoo.client import KazooClient
from kazoo.security import make_digest_acl_credential

from conftest import EXAMPLES, PATIENCE, Servers, await_that, free_port
from dictionary import Dictionary
from mirror import Mirror
from policy import Policy
from proc_tree import ProcTree
from sqlite_gateway import SqliteGateway

PRINTED = '''from zoo_server import ZooServer

class MyServer(ZooServer):
    def get_children(self, path):
        # …
        pass
    def create(self, path, data):
        pass
    def delete(self, path):
        pass
    def set_data(self, path, data):
        pass
    def get_data(self, path):
        pass

if __name__ == '__main__':
    server = MyServer()
    server.start()
'''


def test_the_printed_program_is_a_complete_server(tmp_path: Path, package_path: dict[str, str]) -> None:
    program = EXAMPLES / "my_server.py"
    assert program.read_text() == PRINTED
    # As printed it listens on 2181; the test gives it another port from outside.
    port = free_port()
    run = f"""
import runpy, zoo_server
zoo_server.ZooServer.__init__.__kwdefaults__["port"] = {port}
runpy.run_path({str(program)!r}, run_name="__main__")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", run],
        cwd=tmp_path,
        env=package_path,
        stdout=subprocess.PIPE,
        text=True,
        # A shell that runs the tests in the background lets them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"zoo_server: clients connect to 127.0.0.1:{port}; stop with Ctrl-C\n"
        client = KazooClient(f"127.0.0.1:{port}")
        client.start(PATIENCE)
        assert client.create("/a", b"1", ephemeral=True) == "/a"
        assert client.get("/a")[0] == b"1" and client.get_children("/") == ["a", "zookeeper"]
        assert client.set("/a", b"2").version == 1
        client.delete("/a")
        lock = client.Lock("/lock")
        with lock:
            assert len(lock.contenders()) == 1
        client.stop()
        client.close()
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
        assert (tmp_path / "ostler-data").is_dir(), "its data are beside it"
    finally:
        process.kill()
        process.wait()


def test_the_port_of_the_printed_program_is_zookeepers(tmp_path: Path, package_path: dict[str, str]) -> None:
    run = "import sys, zoo_server; server = zoo_server.ZooServer(sys.argv[1]); server.start()"
    command = [sys.executable, "-c", run, str(tmp_path)]
    process = subprocess.Popen(command, env=package_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None and process.stderr is not None
        first = process.stdout.readline() or process.stderr.read()
        # Another server of this machine may have the port: then that is what it says.
        assert "127.0.0.1:2181" in first, first
    finally:
        process.kill()
        process.communicate()


def test_a_dictionary(servers: Servers) -> None:
    Dictionary.nodes = {}
    client = servers.client(servers.start(Dictionary))
    events: list[Any] = []
    assert client.exists("/a", watch=events.append) is None
    assert client.create("/a", b"1") == "/a"
    await_that("the watch fires", lambda: [event.type for event in events] == ["CREATED"])
    assert client.create("/a/n-", sequence=True) == "/a/n-0000000000"
    client.ensure_path("/deep/er/est")
    assert client.get_children("/") == ["a", "deep"]
    data, stat = client.get("/a")
    assert (data, stat.version, stat.numChildren, stat.cversion) == (b"1", 0, 1, 1)
    with pytest.raises(kazoo.exceptions.BadVersionError):
        client.set("/a", b"x", version=3)
    assert client.set("/a", b"22", version=0).dataLength == 2
    with pytest.raises(kazoo.exceptions.NotEmptyError):
        client.delete("/a")
    client.delete("/a", recursive=True)
    with pytest.raises(kazoo.exceptions.NoNodeError):
        client.get_children("/a")


def test_the_processes_of_the_system(servers: Servers) -> None:
    client = servers.client(servers.start(ProcTree))
    own = os.getpid()
    assert "proc" in client.get_children("/")
    assert str(own) in client.get_children("/proc")
    assert client.get_children(f"/proc/{own}") == ["cmdline", "comm", "io", "stat", "statm", "status"]
    assert f"Pid:\t{own}\n".encode() in client.get(f"/proc/{own}/status")[0]
    assert client.exists(f"/proc/{own}") and not client.exists("/proc/999999999")
    with pytest.raises(kazoo.exceptions.NoNodeError):
        client.get("/proc/1/environ")
    with pytest.raises(kazoo.exceptions.NoAuthError):
        client.set(f"/proc/{own}/comm", b"x")
    # The tree beside it.
    assert client.create("/mine", b"1") == "/mine"


def test_a_gateway_to_a_database(servers: Servers, tmp_path: Path) -> None:
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as database:
        database.execute("create table items (name text unique, price integer, picture blob)")
        database.execute("insert into items values ('tea', 3, x'00ff')")
    client = servers.client(servers.start(SqliteGateway, str(file)))
    assert client.get_children("/db") == ["items"]
    assert client.get_children("/db/items") == ["1"]
    assert json.loads(client.get("/db/items/1")[0]) == {"name": "tea", "price": 3, "picture": "AP8="}
    events: list[Any] = []
    client.get("/db/items/1", watch=events.append)
    client.set("/db/items/1", b'{"price": 4}')
    await_that("the watch fires", lambda: [event.type for event in events] == ["CHANGED"])
    assert client.create("/db/items/7", b'{"name": "cup", "price": 9}') == "/db/items/7"
    for path, data, error in [
        ("/db/items/8", b'{"name": "cup"}', kazoo.exceptions.NodeExistsError),
        ("/db/items/9", b"no JSON", kazoo.exceptions.BadArgumentsError),
        ("/db/items/9", b'{"none\\"; drop table items": 1}', kazoo.exceptions.BadArgumentsError),
        ("/db/none/1", b"{}", kazoo.exceptions.NoNodeError),
    ]:
        with pytest.raises(error):
            client.create(path, data)
    client.delete("/db/items/1")
    with sqlite3.connect(file) as database:
        assert database.execute("select name, price from items").fetchall() == [("cup", 9)]


def test_rules_of_the_house(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    server = servers.start(Policy)
    client = servers.client(server)
    assert client.create("/good-name", b"") == "/good-name"
    for path, data, error in [
        ("/BAD", b"", kazoo.exceptions.BadArgumentsError),
        ("/long", bytes(20_000), kazoo.exceptions.ZookeeperError),
        ("/secret", b"", kazoo.exceptions.NoAuthError),
    ]:
        with pytest.raises(error):
            client.create(path, data)
    with pytest.raises(kazoo.exceptions.NoAuthError):
        client.get("/secret")
    client.add_auth("digest", "operator:password")
    assert make_digest_acl_credential("operator", "password").startswith("operator:")
    assert client.create("/secret", b"s") == "/secret"
    client.set("/secret", b"t")
    assert "operator created /secret" in caplog.text and "operator set /secret" in caplog.text
    assert "127.0.0.1 created /good-name" in caplog.text


def test_a_mirror_of_another_server(servers: Servers) -> None:
    source = servers.start()
    at_source = servers.client(source)
    at_source.create("/a", b"1")
    client = servers.client(servers.start(Mirror, source.address))
    events: list[Any] = []
    data, stat = client.get("/a", watch=events.append)
    assert (data, stat) == at_source.get("/a")
    assert client.get_children("/", watch=events.append) == ["a", "zookeeper"]
    assert client.exists("/b", watch=events.append) is None
    at_source.set("/a", b"2")
    await_that("the data watch fires", lambda: ("CHANGED", "/a") in [(e.type, e.path) for e in events])
    assert client.get("/a")[0] == b"2"
    at_source.create("/b")
    await_that(
        "both watches fire",
        lambda: {("CREATED", "/b"), ("CHILD", "/")} <= {(e.type, e.path) for e in events},
    )
    for write in (lambda: client.set("/a", b"x"), lambda: client.create("/c"), lambda: client.delete("/a")):
        with pytest.raises(kazoo.exceptions.NotReadOnlyCallError):
            write()
    with pytest.raises(kazoo.exceptions.NoNodeError):
        client.get("/none")
