"""A party on two ports of this machine's loopback: one for the world, one for control."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import uvicorn
from starlette.types import ASGIApp

from sfsync.simulators.shopify.wire import CuttableProtocol

HOST = "127.0.0.1"
GRACE_SECONDS = 2


class Party(Protocol):
    """What is served: for the world, and for whoever controls it. It is told where the world finds it."""

    public_url: str
    app: Any
    control: Any


@dataclass(frozen=True, slots=True)
class Serving:
    """A party that can be reached."""

    url: str
    control_url: str
    _servers: Sequence[uvicorn.Server]
    _runs: Sequence[asyncio.Task[None]]

    def end(self) -> None:
        """Take no more calls and finish those in hand."""
        for server in self._servers:
            server.should_exit = True

    async def ended(self) -> None:
        """Return when both ports are closed."""
        await asyncio.wait(self._runs)


@asynccontextmanager
async def serving(party: Party, port: int = 0, control_port: int = 0) -> AsyncIterator[Serving]:
    """Serve while the block runs; port 0 takes a free one. Raises OSError for a port that is taken."""
    sockets: list[socket.socket] = []
    try:
        for wanted in (port, control_port):
            sockets.append(_listening(wanted))
        servers = [_Server(party.app, cuttable=True), _Server(party.control, cuttable=False)]
        runs = [
            asyncio.create_task(server.serve(sockets=[taken]))
            for server, taken in zip(servers, sockets, strict=True)
        ]
        urls = [f"http://localhost:{taken.getsockname()[1]}" for taken in sockets]
        party.public_url = urls[0]
        for server in servers:
            await server.begun.wait()
        served = Serving(urls[0], urls[1], servers, runs)
        try:
            yield served
        finally:
            served.end()
            await served.ended()
    finally:
        for taken in sockets:
            taken.close()


def _listening(port: int) -> socket.socket:
    # Named as TCP, so that asyncio switches Nagle's delay off on every connection it accepts.
    taken = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((HOST, port))
    except OSError:
        taken.close()
        raise
    taken.listen(1024)
    return taken


class _Server(uvicorn.Server):
    """A server that tells when it serves, and leaves signals to the process it runs in."""

    def __init__(self, app: ASGIApp, *, cuttable: bool) -> None:
        http: Any = CuttableProtocol if cuttable else "auto"
        super().__init__(
            uvicorn.Config(
                app,
                http=http,
                lifespan="off",
                log_level="critical",
                access_log=False,
                date_header=False,  # each party has a clock of its own
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self.begun = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve."""
        await super().startup(sockets)
        self.begun.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield
