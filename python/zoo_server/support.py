"""What the native part calls."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import inspect
import logging
import os
import threading
import weakref
from typing import Any, Callable, Coroutine, Optional

from . import _native, exceptions, values

logger = logging.getLogger("zoo_server")

current_request: contextvars.ContextVar[Optional[_native.Request]] = contextvars.ContextVar(
    "zoo_server.request", default=None
)
"""The request that a coroutine answers."""


class Loop:
    """An event loop on a thread of its own, for the methods that are coroutines."""

    def __init__(self) -> None:
        """Starts nothing yet."""
        self._lock = threading.Lock()
        self._loop: Optional[asyncio.AbstractEventLoop] = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="zoo_server-asyncio", daemon=True).start()
            return self._loop

    def submit(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine; returns its future."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._running())

    def stop(self) -> None:
        """Ends the thread. What still runs is cancelled."""
        with self._lock:
            loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(_cancel_all, loop)


def _cancel_all(loop: asyncio.AbstractEventLoop) -> None:
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.call_soon(loop.stop)


class Support:
    """The values and functions of this package that the native part uses."""

    done = values.DONE
    stat_type = values.Stat
    data_type = values.Data
    children_type = values.Children
    path_type = values.Path
    acls = staticmethod(values.acls)
    exception = staticmethod(exceptions.by_code)
    is_awaitable = staticmethod(inspect.isawaitable)

    def __init__(self, name: str) -> None:
        """For the class of this name."""
        self._name = name
        self.loop = Loop()

    def code(self, method: str, error: BaseException) -> int:
        """The code that the client gets for an exception."""
        module = type(error).__module__
        if isinstance(error, exceptions.ZookeeperError) or module == "kazoo.exceptions":
            code = getattr(error, "code", None)
            if isinstance(code, int):
                return code
        logger.error("%s.%s failed", self._name, method, exc_info=error)
        return exceptions.SystemZookeeperError.code

    def spawn(
        self,
        awaitable: Coroutine[Any, Any, Any],
        request: _native.Request,
        finish: Callable[[Any, Optional[int]], None],
    ) -> None:
        """Runs a coroutine, and calls ``finish`` with its result or the code of its error."""

        async def run() -> None:
            current_request.set(request)
            try:
                result = await awaitable
            except asyncio.CancelledError:
                finish(None, exceptions.ConnectionLoss.code)
                raise
            except BaseException as error:
                finish(None, self.code(request.method, error))
            else:
                finish(result, None)

        self.loop.submit(run())

    def run(self, awaitable: Coroutine[Any, Any, Any]) -> Any:
        """Runs a coroutine to its end."""
        request = _native.current()

        async def run() -> Any:
            current_request.set(request)
            return await awaitable

        return self.loop.submit(run()).result()


class _Log:
    """The thread that takes the server's lines to ``logging``."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="zoo_server-log", daemon=True)
                self._thread.start()

    @staticmethod
    def _run() -> None:
        is_open = True
        while is_open:
            is_open, line = _native.next_log()
            if line is not None:
                level, module, text = line
                logging.getLogger(f"zoo_server.{module.replace('::', '.')}").log(level, text)

    def stop(self) -> None:
        _native.close_log()
        if self._thread is not None:
            self._thread.join()


log = _Log()
servers: weakref.WeakSet[Any] = weakref.WeakSet()
"""The servers that run."""


def _stop_all(process: int) -> None:
    # A forked child has none of the threads.
    if os.getpid() != process:
        return
    for server in list(servers):
        server.stop()
    log.stop()


atexit.register(_stop_all, os.getpid())
