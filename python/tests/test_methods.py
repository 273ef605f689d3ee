"""What methods may return and raise, and what clients get for it."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import Any

import kazoo.exceptions
import pytest
from kazoo.security import make_acl
from kazoo.client import KazooClient

import zoo_server
from conftest import PATIENCE, Servers, await_that, free_port
from zoo_server import ACL, DONE, Children, Data, Id, NoNodeError, Path, Stat, ZooServer


class Values(ZooServer):
    """Answers with every kind of value."""

    answers: dict[str, Any] = {}

    def answer(self, path: str) -> Any:
        answer = self.answers.get(path)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def get_data(self, path: str) -> Any:
        return self.answer(path)

    def get_children(self, path: str) -> Any:
        return self.answer(path)

    def exists(self, path: str) -> Any:
        return self.answer(path)

    def create(self, path: str, data: bytes) -> Any:
        return self.answer(path)

    def delete(self, path: str) -> Any:
        return self.answer(path)

    def set_data(self, path: str, data: bytes) -> Any:
        return self.answer(path)

    def get_acl(self, path: str) -> Any:
        return self.answer(path)

    def set_acl(self, path: str, acl: list[ACL]) -> Any:
        assert all(isinstance(entry, ACL) and isinstance(entry.id, Id) for entry in acl)
        return self.answer(path)


def test_none_lets_the_server_go_on(servers: Servers) -> None:
    client = servers.client(servers.start(Values))
    assert client.create("/a", b"1") == "/a"
    assert client.get("/a")[0] == b"1"
    assert client.set("/a", b"2").version == 1
    assert client.exists("/a").version == 1
    assert client.get_children("/") == ["a", "zookeeper"]
    assert client.create("/a/n-", sequence=True, ephemeral=True) == "/a/n-0000000000"
    assert client.get_acls("/a")[0] == [make_acl("world", "anyone", all=True)]
    client.set_acls("/a", [make_acl("world", "anyone", read=True, delete=True)])
    client.delete("/a/n-0000000000")
    client.delete("/a")
    assert client.exists("/a") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"data", (b"data", 0)),
        (Data(b"data"), (b"data", 0)),
        (Data(b"data", Stat(version=7)), (b"data", 7)),
        (b"", (b"", 0)),
    ],
)
def test_data(servers: Servers, value: Any, expected: tuple[bytes, int]) -> None:
    client = servers.client(servers.start(lambda **o: with_answers(o, {"/v": value})))
    data, stat = client.get("/v")
    assert (data, stat.version, stat.dataLength) == (*expected, len(expected[0]))


def with_answers(options: dict[str, Any], answers: dict[str, Any]) -> Values:
    server = Values(**options)
    server.answers = answers
    return server


def test_values_of_the_other_methods(servers: Servers) -> None:
    stat = Stat(czxid=1, mzxid=2, ctime=3, mtime=4, version=5, cversion=6, aversion=7, pzxid=8)
    answers: dict[str, Any] = {
        "/list": ["b", "a"],
        "/names": Children(("x", "y"), stat),
        "/there": True,
        "/absent": False,
        "/stat": stat,
        "/done": DONE,
        "/new": "/new",
        "/path": Path("/path-7", stat),
        "/acl": [ACL(3, Id("digest", "u:h"))],
    }
    client = servers.client(servers.start(lambda **o: with_answers(o, answers)))
    assert client.get_children("/list") == ["b", "a"]
    names, got = client.get_children("/names", include_data=True)
    assert (names, got.cversion, got.numChildren) == (["x", "y"], 6, 2)
    assert client.exists("/there") is not None
    assert client.exists("/absent") is None
    assert tuple(client.exists("/stat"))[:7] == stat[:7]
    assert client.set("/done", b"").version == 0
    assert client.set("/stat", b"").mzxid == 2
    client.delete("/done")
    assert client.create("/new") == "/new"
    path, got = client.create("/path", include_data=True)
    assert (path, got.aversion) == ("/path-7", 7)
    assert client.get_acls("/acl")[0] == [kazoo.security.ACL(3, kazoo.security.Id("digest", "u:h"))]
    client.set_acls("/done", [make_acl("world", "anyone", all=True)])


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("get", "text"),
        ("get", 7),
        ("get_children", "names"),
        ("get_children", b"names"),
        ("get_children", [1]),
        ("get_children", ["a/b"]),
        ("exists", 1),
        ("create", True),
        ("create", "/elsewhere"),
        ("delete", True),
        ("delete", ()),
        ("get_acls", ["acl"]),
    ],
)
def test_values_of_a_wrong_type_fail(
    servers: Servers, caplog: pytest.LogCaptureFixture, call: str, value: Any
) -> None:
    client = servers.client(servers.start(lambda **o: with_answers(o, {"/v": value})))
    with caplog.at_level(logging.ERROR, "zoo_server"), pytest.raises(kazoo.exceptions.SystemZookeeperError):
        getattr(client, call)("/v")
    assert any(record.exc_info for record in caplog.records), "the log says why"
    assert client.exists("/zookeeper"), "the server lives"


@pytest.mark.parametrize("name", [name for name in zoo_server.__all__ if name.endswith("Error")])
def test_exceptions_become_the_clients_errors(servers: Servers, name: str) -> None:
    ours, theirs = getattr(zoo_server, name), getattr(kazoo.exceptions, name, None)
    if theirs is None or name in ("ZookeeperError", "SessionExpiredError", "AuthFailedError"):
        pytest.skip("kazoo raises it for other reasons too, or does not have it")
    client = servers.client(servers.start(lambda **o: with_answers(o, {"/v": ours("why")})))
    with pytest.raises(theirs):
        client.get("/v")


def test_exceptions_of_kazoo_count_too(servers: Servers) -> None:
    answers = {"/v": kazoo.exceptions.NotEmptyError()}
    client = servers.client(servers.start(lambda **o: with_answers(o, answers)))
    with pytest.raises(kazoo.exceptions.NotEmptyError):
        client.delete("/v")


def test_any_other_exception_fails_for_its_client_only(
    servers: Servers, caplog: pytest.LogCaptureFixture
) -> None:
    answers = {"/v": ZeroDivisionError("boom"), "/exit": SystemExit(3)}
    server = servers.start(lambda **o: with_answers(o, answers))
    client = servers.client(server)
    for path in answers:
        with pytest.raises(kazoo.exceptions.SystemZookeeperError):
            client.get(path)
    assert "boom" in caplog.text
    assert client.get("/zookeeper")[0] == b""


class Middle(ZooServer):
    """Uses the built-in tree in the middle."""

    def get_data(self, path: str) -> Any:
        if path == "/both":
            return b"".join([super().get_data("/a"), super().get_data("/b")])  # type: ignore[list-item]
        return super().get_data(path)

    def set_data(self, path: str, data: bytes) -> Any:
        return super().set_data(path, data.upper())

    def create(self, path: str, data: bytes) -> Any:
        created = super().create(path, data.upper())
        super().create(f"{created}/history", b"created")
        return created

    def delete(self, path: str) -> Any:
        for name in super().get_children(path):  # type: ignore[union-attr]
            super().delete(f"{path}/{name}")
        return super().delete(path)


def test_the_built_in_tree_in_the_middle(servers: Servers) -> None:
    client = servers.client(servers.start(Middle))
    client.create("/a", b"abc")
    assert client.get("/a")[0] == b"ABC"
    assert client.get("/a")[1].czxid > 0, "the Stat is that of the znode"
    assert client.get_children("/a") == ["history"]
    assert client.set("/a", b"def", version=0).version == 1
    with pytest.raises(kazoo.exceptions.BadVersionError):
        client.set("/a", b"x", version=0)
    client.create("/b", b"g")
    assert client.get("/both")[0] == b"DEFG"
    with pytest.raises(kazoo.exceptions.NodeExistsError):
        client.create("/a")
    client.delete("/a")
    with pytest.raises(kazoo.exceptions.NoNodeError):
        client.get("/a")


def test_outside_of_a_request_there_is_none() -> None:
    with pytest.raises(RuntimeError, match="use a client such as kazoo"):
        ZooServer().get_data("/a")
    with pytest.raises(RuntimeError, match="start it first"):
        ZooServer().changed("/a")


class Knows(ZooServer):
    """Writes down what it knows of a request."""

    seen: dict[str, Any] = {}

    def check(self, request: zoo_server.Request) -> None:
        names = ("method", "operation", "path", "data", "version", "acl", "ephemeral", "sequential", "container")
        self.seen[request.path] = {name: getattr(request, name) for name in (*names, "ttl_ms", "watch", "multi")}


def test_a_request_says_what_the_client_asks_for(servers: Servers) -> None:
    server = servers.start(Knows, extendedTypesEnabled=True)
    client = servers.client(server)
    client.create("/e-", b"x", ephemeral=True, sequence=True)
    seen = Knows.seen["/e-"]
    assert (seen["method"], seen["operation"], seen["data"]) == ("create", "create", b"x")
    assert seen["ephemeral"] and seen["sequential"] and not seen["container"]
    assert seen["acl"] == [ACL(31, Id("world", "anyone"))]
    client.exists("/w", watch=lambda event: None)
    assert (Knows.seen["/w"]["method"], Knows.seen["/w"]["watch"]) == ("exists", True)
    transaction = client.transaction()
    transaction.create("/t")
    transaction.delete("/t", 0)
    transaction.commit()
    assert (Knows.seen["/t"]["version"], Knows.seen["/t"]["multi"]) == (0, True)


class Waits(ZooServer):
    """Coroutines, of which many wait at the same time."""

    begun = 0
    all_begun = threading.Event()

    async def get_data(self, path: str) -> Any:
        if path.startswith("/wait"):
            Waits.begun += 1
            if Waits.begun == 100:
                self.all_begun.set()
            while not self.all_begun.is_set():
                await asyncio.sleep(0.001)
            return self.request.path.encode()
        if path == "/raise":
            raise NoNodeError(path)
        if path == "/type":
            return "text"
        return super().get_data(path)

    async def check(self, request: zoo_server.Request) -> None:
        await asyncio.sleep(0)


def test_methods_may_be_coroutines(servers: Servers) -> None:
    client = servers.client(servers.start(Waits))
    asked = [client.get_async(f"/wait{number}") for number in range(100)]
    assert [answer.get(timeout=PATIENCE)[0] for answer in asked] == [b"/wait%d" % n for n in range(100)]
    with pytest.raises(kazoo.exceptions.NoNodeError):
        client.get("/raise")
    with pytest.raises(kazoo.exceptions.SystemZookeeperError):
        client.get("/type")
    client.create("/a", b"1")
    assert client.get("/a")[0] == b"1"
    # A multi asks about each part.
    client.transaction().commit()


def test_an_awaited_serve_ends_when_it_is_cancelled(servers: Servers) -> None:
    async def serve() -> None:
        options = {"data_dir": servers.folder / "served", "port": free_port(), "admin.enableServer": False}
        server = ZooServer(**options)  # type: ignore[arg-type]
        serving = asyncio.create_task(server.serve())
        while server._server is None:
            await asyncio.sleep(0.01)
        client = KazooClient(server.address)
        await asyncio.to_thread(client.start)
        assert await asyncio.to_thread(client.get_children, "/") == ["zookeeper"]
        await asyncio.to_thread(client.stop)
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        with pytest.raises(RuntimeError, match="start it first"):
            server.address

    asyncio.run(serve())


class News(ZooServer):
    """Data outside of the tree."""

    value = b"0"

    def get_data(self, path: str) -> Any:
        return self.value if path == "/v" else None

    def get_children(self, path: str) -> Any:
        return ["a"] if path == "/v" else None


def test_announced_changes_fire_watches(servers: Servers) -> None:
    server = servers.start(News)
    client = servers.client(server)
    events: list[Any] = []
    assert client.get("/v", watch=events.append)[0] == b"0"
    server.changed("/v")
    await_that("the data watch fires", lambda: [e.type for e in events] == ["CHANGED"])
    assert client.get_children("/v", watch=events.append) == ["a"]
    server.created("/v/b")
    await_that("the child watch fires", lambda: [e.type for e in events[1:]] == ["CHILD"])
    client.exists("/v", watch=events.append)
    server.deleted("/v")
    await_that("the watch fires", lambda: [e.type for e in events[2:]] == ["DELETED"])
    with pytest.raises(ValueError, match="not the path"):
        server.changed("no/path")


class Door(ZooServer):
    """Knows clients by tokens, and hears of their sessions."""

    heard: list[tuple[str, int]] = []

    def authenticate(self, scheme: str, credentials: bytes) -> Any:
        if scheme != "token":
            return None
        if credentials != b"secret":
            raise zoo_server.AuthFailedError()
        return "alice"

    def create(self, path: str, data: bytes) -> Any:
        if ("token", "alice") not in self.request.identities:
            raise zoo_server.NoAuthError(path)

    def session_opened(self, session: int) -> None:
        self.heard.append(("opened", session))

    def session_closed(self, session: int) -> None:
        self.heard.append(("closed", session))


def test_clients_may_prove_who_they_are_in_a_way_of_ones_own(servers: Servers) -> None:
    server = servers.start(Door)
    client = servers.client(server)
    session = client.client_id[0]
    with pytest.raises(kazoo.exceptions.NoAuthError):
        client.create("/a")
    with pytest.raises(kazoo.exceptions.NoAuthError):
        transaction = client.transaction()
        transaction.create("/a")
        raise transaction.commit()[0]
    client.add_auth("token", "secret")
    assert client.create("/a") == "/a"
    client.add_auth("digest", "user:password")
    client.stop()
    await_that("both are heard", lambda: {("opened", session), ("closed", session)} <= set(Door.heard))
    with pytest.raises(kazoo.exceptions.AuthFailedError):
        servers.client(server).add_auth("token", "guess")


def test_a_server_tells_where_it_is_and_keeps_its_data(servers: Servers) -> None:
    folder = servers.folder / "kept"
    with ZooServer(folder, port=0, **{"admin.enableServer": False}) as server:  # type: ignore[arg-type]
        assert server.address == f"127.0.0.1:{server.port}" and server.admin_port is None
        servers.client(server).create("/kept", b"1")
        with pytest.raises(RuntimeError, match="runs already"):
            server.start()
    server.stop()
    with server.running():
        assert servers.client(server).get("/kept")[0] == b"1"


def test_wrong_settings_are_refused_with_what_is_allowed(servers: Servers) -> None:
    for options, why in [
        ({"tickTime": "never"}, "tickTime"),
        ({"deadline": -1.0}, "deadline"),
        ({"config": servers.folder / "none.cfg"}, "none.cfg"),
    ]:
        with pytest.raises(ValueError, match=why):
            servers.start(**options)  # type: ignore[arg-type]
    taken = servers.start()
    with pytest.raises(OSError, match=str(taken.port)):
        servers.start(port=taken.port)


def test_an_ensemble_takes_views_and_no_more(servers: Servers) -> None:
    folder = servers.folder / "member"
    folder.mkdir()
    (folder / "myid").write_text("1")
    members = {f"server.{n}": f"127.0.0.1:{12000 + n}:{13000 + n}" for n in (1, 2, 3)}
    options = {"data_dir": folder, "initLimit": 10, "syncLimit": 5, **members}
    with pytest.raises(ValueError, match="ensemble"):
        servers.start(Middle, **options)


def test_the_servers_log_goes_to_logging(servers: Servers, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        servers.start()
        await_that("it says that clients are served", lambda: "clients are served" in caplog.text)
