"""The class that servers of one's own are made of."""

from __future__ import annotations

import asyncio
import contextlib
import os
from types import TracebackType
from typing import Any, Awaitable, Iterator, Literal, Optional, TypeVar, Union

from . import _native, support
from .values import ACL, DONE, Children, Data, Done, Path, Stat, setting

_METHODS = (
    "get_data",
    "get_children",
    "exists",
    "create",
    "delete",
    "set_data",
    "get_acl",
    "set_acl",
    "authenticate",
    "check",
    "session_opened",
    "session_closed",
)

_Self = TypeVar("_Self", bound="ZooServer")
_T = TypeVar("_T")
_MaybeAwaitable = Union[_T, Awaitable[_T]]
_Files = Union[str, "os.PathLike[str]", None]

_Written = Union[None, Done, Stat, Awaitable[Union[None, Done, Stat]]]


class ZooServer:
    """A ZooKeeper server inside this program, whose class may answer some requests itself.

    It is the real server: sessions, watches, ephemeral and sequential znodes, ACLs, four-letter
    words and the AdminServer work, and its data are durable in the data directory.

    A subclass overrides the methods that it wants to answer. A method is asked first. ``None``
    lets the server go on as if there were no method, any other value is the client's answer, and
    an exception of :mod:`zoo_server.exceptions` (or of ``kazoo.exceptions``) is the client's error.
    Any other exception, and a value of the wrong type, becomes ``SystemError`` for that client, and
    its traceback goes to the log. ``super()`` calls the built-in tree in the middle, with the
    client's rights and the conditions of its request.

    Methods are called by threads of their own, one at a time unless one takes longer than 50 ms, and
    may be coroutines. A client waits for its own requests only, at most ``deadline`` seconds.
    """

    _options: dict[str, Any] = {}
    _server: Optional[_native.Server] = None
    _support: Optional[support.Support] = None

    def __init__(
        self,
        data_dir: _Files = None,
        *,
        host: Optional[str] = None,
        port: Optional[int] = None,
        config: _Files = None,
        deadline: float = 10.0,
        **settings: Union[str, int, float, bool],
    ) -> None:
        """Says how to serve; :meth:`start` begins.

        ``data_dir`` is where snapshots and the log are, ``./ostler-data`` unless given. The server
        listens on 127.0.0.1:2181 unless ``host`` and ``port`` say otherwise; port 0 takes a free
        one. ``config`` is the path of a zoo.cfg, and ``settings`` are keys of zoo.cfg:
        ``tickTime=2000``, or ``**{"admin.serverPort": 8081}``. A client waits ``deadline`` seconds
        for a method before its request fails with ``OperationTimeout``.
        """
        self._options = {
            "data_dir": data_dir,
            "host": host,
            "port": port,
            "config": config,
            "deadline": deadline,
            "settings": [(key, setting(value)) for key, value in settings.items()],
        }

    # The methods that clients ask for.

    def get_data(self, path: str) -> _MaybeAwaitable[Optional[bytes]]:
        """A client reads data: bytes, or :class:`Data` with a ``Stat``."""
        return self.request.built_in_get_data(path)

    def get_children(self, path: str) -> _MaybeAwaitable[Optional[list[str]]]:
        """A client lists children: names, or :class:`Children` with a ``Stat``."""
        return self.request.built_in_get_children(path)

    def exists(self, path: str) -> _MaybeAwaitable[Union[None, bool, Done, Stat]]:
        """A client asks whether a znode exists: a ``Stat``, ``True`` or ``False``.

        Unless it is overridden, what :meth:`get_data` answers for exists.
        """
        return self.request.built_in_exists(path) or False

    def create(self, path: str, data: bytes) -> _MaybeAwaitable[Optional[str]]:
        """A client creates a znode: its path, or :class:`Path` with a ``Stat``.

        The path begins with the one that the client asked for; ``self.request`` says whether the
        znode shall be ephemeral or get a number. ``super().create`` keeps mode, ACL and TTL.
        """
        return self.request.built_in_create(path, data)

    def delete(self, path: str) -> _Written:
        """A client deletes a znode: ``DONE``."""
        self.request.built_in_delete(path)
        return DONE

    def set_data(self, path: str, data: bytes) -> _Written:
        """A client sets data: ``DONE``, or the ``Stat`` after it.

        ``self.request.version`` is the version that the znode must have, -1 for any.
        """
        return self.request.built_in_set_data(path, data)

    def get_acl(self, path: str) -> _MaybeAwaitable[Optional[list[ACL]]]:
        """A client reads an ACL."""
        return self.request.built_in_get_acl(path)

    def set_acl(self, path: str, acl: list[ACL]) -> _Written:
        """A client sets an ACL: ``DONE``, or the ``Stat`` after it."""
        return self.request.built_in_set_acl(path, acl)

    def authenticate(self, scheme: str, credentials: bytes) -> _MaybeAwaitable[Optional[str]]:
        """A client shows credentials: the id that they prove, or :class:`AuthFailedError`.

        ``None`` lets the server check them. The client then has this identity, in
        ``self.request.identities``.
        """
        return None

    def check(self, request: _native.Request) -> _MaybeAwaitable[None]:
        """A client asks for anything: called before the other methods. An exception refuses it."""
        return None

    def session_opened(self, session: int) -> _MaybeAwaitable[None]:
        """A client has opened a session."""
        return None

    def session_closed(self, session: int) -> _MaybeAwaitable[None]:
        """A session has been closed or has expired."""
        return None

    # What methods know and announce.

    @property
    def request(self) -> _native.Request:
        """The request that the running method is asked about.

        :raises RuntimeError: outside of a method. To read and write from elsewhere, be a client of
            the server, by kazoo.
        """
        request = support.current_request.get() or _native.current()
        if request is None:
            raise RuntimeError(
                "there is no request here: the built-in tree is asked from inside of a method that a client "
                "waits for; elsewhere, use a client such as kazoo"
            )
        return request

    def changed(self, path: str) -> None:
        """Tells clients that data outside the built-in tree have changed: their watches fire."""
        self._running().announce("changed", path)

    def created(self, path: str) -> None:
        """Tells clients that there is a new znode outside the built-in tree."""
        self._running().announce("created", path)

    def deleted(self, path: str) -> None:
        """Tells clients that a znode outside the built-in tree has gone."""
        self._running().announce("deleted", path)

    # The server.

    def start(self, background: bool = False) -> None:
        """Serves until Ctrl-C or :meth:`stop`; with ``background``, returns at once.

        :raises OSError: the port or the data directory cannot be opened.
        :raises ValueError: a setting is wrong, or does not go together with the methods.
        """
        server = self._begin()
        if background:
            support.logger.info("clients connect to %s", self.address)
            return
        print(f"zoo_server: clients connect to {self.address}; stop with Ctrl-C", flush=True)
        try:
            # In slices, so that the interpreter sees Ctrl-C.
            while not server.wait(0.2):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    async def serve(self) -> None:
        """Serves until :meth:`stop`, or until it is cancelled, beside other tasks."""
        server = self._begin()
        try:
            while not await asyncio.to_thread(server.wait, 0.2):
                pass
        finally:
            await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """Ends the server. Sessions are not closed: clients can resume them when it runs again."""
        server, self._server = self._server, None
        if server is None:
            return
        support.servers.discard(self)
        server.stop()
        while not server.wait(0.2):
            pass
        if self._support is not None:
            self._support.loop.stop()

    @contextlib.contextmanager
    def running(self: _Self) -> Iterator[_Self]:
        """Serves in the background inside of a ``with`` block."""
        with self:
            yield self

    def __enter__(self: _Self) -> _Self:
        """Starts the server in the background."""
        self.start(background=True)
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> Literal[False]:
        """Ends the server."""
        self.stop()
        return False

    @property
    def address(self) -> str:
        """Where clients connect, as ``host:port``."""
        host, port = self._running().address
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def port(self) -> int:
        """The port for clients."""
        return self._running().address[1]

    @property
    def admin_port(self) -> Optional[int]:
        """The port of the AdminServer; ``None`` if it is off or its port is taken."""
        return self._running().admin_port

    def _running(self) -> _native.Server:
        if self._server is None:
            raise RuntimeError("the server does not run: start it first")
        return self._server

    def _begin(self) -> _native.Server:
        if self._server is not None:
            raise RuntimeError("the server runs already")
        # A subclass may have forgotten to call super().__init__().
        options = self._options or {
            "data_dir": None,
            "host": None,
            "port": None,
            "config": None,
            "deadline": 10.0,
            "settings": [],
        }
        self._support = support.Support(type(self).__name__)
        self._server = _native.Server(
            {name: getattr(self, name) for name in _METHODS if self._overrides(name)},
            self._support,
            **options,
        )
        support.servers.add(self)
        support.log.start()
        return self._server

    def _overrides(self, name: str) -> bool:
        return name in vars(self) or getattr(type(self), name) is not getattr(ZooServer, name)
