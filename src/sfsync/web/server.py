"""The HTTP server inside the daemon: started and stopped by it, with no signal handlers of its own."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from .patience import HEAD_SECONDS, PatientProtocol

GRACE_SECONDS = 5
LAST_WORDS_SECONDS = 1.0
CONNECTIONS = 1000  # at once; more are answered 503
BACKLOG = 512


class CannotListenError(Exception):
    """The address cannot be listened at; says which and why."""


class _Uvicorn(uvicorn.Server):
    """Tells when it listens, and leaves signals to the daemon."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class WebServer:
    """Serves an app at one address. `start` returns once it listens; `stop` may be called twice."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, *, grace_seconds: int, head_seconds: float
    ) -> None:
        self._host, self._port = host, port
        stopping = self._stopping = asyncio.Event()

        async def told(scope: Scope, receive: Receive, send: Send) -> None:
            """Each request can see that the server stops: one that goes on for long must end then."""
            scope.setdefault("state", {})["stopping"] = stopping
            await app(scope, receive, send)

        protocol = type("Protocol", (PatientProtocol,), {"head_seconds": head_seconds})
        config = uvicorn.Config(
            told,
            http=protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=grace_seconds,
        )
        self._server = _Uvicorn(config)
        self._task: asyncio.Task[None] | None = None

    @property
    def address(self) -> str:
        """``http://host:port``, with the port that was really taken."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises `CannotListenError` where the address is taken or not ours."""
        listener = await _listen(self._host, self._port)
        self._port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve([listener]), name="web")
        listening = asyncio.create_task(self._server.listening.wait())
        try:
            await asyncio.wait({self._task, listening}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
        if self._task.done():
            await self._task

    async def stop(self) -> None:
        """Take no more requests, finish those in hand within the grace, then close."""
        self._stopping.set()
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.shield(self._task)
            given_up = set(self._server.server_state.tasks)
            if given_up:  # they still say so to whoever waits for them
                await asyncio.wait(given_up, timeout=LAST_WORDS_SECONDS)
            for connection in list(self._server.server_state.connections):
                with suppress(Exception):
                    connection.transport.close()

    async def run(self) -> None:
        """Start, serve until stopped, and stop when cancelled: for a task group."""
        await self.start()
        try:
            if self._task is not None:
                await asyncio.shield(self._task)
        finally:
            await self.stop()


def serve(
    app: ASGIApp,
    host: str,
    port: int,
    *,
    grace_seconds: int = GRACE_SECONDS,
    head_seconds: float = HEAD_SECONDS,
) -> WebServer:
    """A server for an app, not yet started. Port 0 takes any free one.

    `grace_seconds` is what a stop gives the requests in hand; `head_seconds` what a request's head may take.
    """
    return WebServer(app, host, port, grace_seconds=grace_seconds, head_seconds=head_seconds)


async def _listen(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        # The protocol is named, because asyncio sets TCP_NODELAY only where it is.
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
            listener.setblocking(False)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        why = "another program listens there" if error.errno == errno.EADDRINUSE else _reason(error)
        raise CannotListenError(f"cannot listen at {host}:{port}: {why}") from error
    return listener


def _reason(error: OSError) -> str:
    return error.strerror or os.strerror(error.errno or 0)
