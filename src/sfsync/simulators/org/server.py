"""An org on real ports: REST on HTTP and HTTPS, Pub/Sub with and without TLS, and the control port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from sfsync.simulators.org.control import Control
from sfsync.simulators.org.org import Org
from sfsync.simulators.org.pubsub import serve as serve_pubsub
from sfsync.simulators.org.tls import TlsFiles

_HOST = "127.0.0.1"
_KEEP_ALIVE_SECONDS = 75
_BACKLOG = 512


@dataclass(frozen=True, slots=True)
class Ports:
    """Wanted ports; 0 takes any free one."""

    http: int = 0
    https: int = 0
    grpc: int = 0
    grpc_tls: int = 0
    control: int = 0


@dataclass(frozen=True, slots=True)
class Ready:
    """The line that tells where everything is."""

    rest_url: str
    http_url: str
    grpc: str
    grpc_tls: str
    control_url: str
    ca_file: str
    org_id: str
    client_id: str
    client_secret: str
    username: str
    password: str
    jwt_key_file: str | None = None

    def line(self) -> dict[str, Any]:
        return {"ready": True, **asdict(self)}


class _CuttableProtocol(HttpToolsProtocol):
    """HTTP that lets a fault abort its socket."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # reason: as uvicorn has it
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


@asynccontextmanager
async def serve(
    org: Org, ports: Ports, tls: TlsFiles, *, jwt_key_file: Path | None = None
) -> AsyncIterator[Ready]:
    """Serves the org until the context is left; the ports are open when it is entered."""
    control = Control(org)
    credentials = grpc.ssl_server_credentials(
        [(tls.key_file.read_bytes(), tls.certificate_file.read_bytes())]
    )
    pubsub = await serve_pubsub(
        org.bus,
        org.sessions,
        host=_HOST,
        port=ports.grpc,
        tls=credentials,
        tls_port=ports.grpc_tls,
        knobs=org.pubsub_knobs,
    )
    control.bus.serve(pubsub.service)
    sockets = {name: _listen(getattr(ports, name)) for name in ("http", "https", "control")}
    servers = {
        "http": _server(org.app),
        "https": _server(org.app, tls),
        "control": _server(control.app()),
    }
    tasks = [
        asyncio.create_task(_run(servers[name], sockets[name]), name=f"sandbox {name}") for name in servers
    ]
    try:
        await _started(list(servers.values()), tasks)
        yield _ready(org, sockets, pubsub.port, pubsub.tls_port, tls, jwt_key_file)
    finally:
        for server in servers.values():
            server.should_exit = True
            server.force_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await pubsub.stop()


def _listen(port: int) -> socket.socket:
    # asyncio turns Nagle's algorithm off only for sockets that say they are TCP.
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind((_HOST, port))
    listening.listen(_BACKLOG)
    return listening


def _server(app: Any, tls: TlsFiles | None = None) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        http=_CuttableProtocol,
        loop="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # clients that ask for a WebSocket first are no news
        access_log=False,
        server_header=False,
        date_header=False,  # the org has a clock of its own
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ssl_certfile=str(tls.certificate_file) if tls else None,
        ssl_keyfile=str(tls.key_file) if tls else None,
    )
    return uvicorn.Server(config)


async def _run(server: uvicorn.Server, listening: socket.socket) -> None:
    """`Server.serve` without its signal handlers: those belong to the process."""
    server.config.load()
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup([listening])
    await server.main_loop()
    await server.shutdown([listening])


async def _started(servers: list[uvicorn.Server], tasks: list[asyncio.Task[None]]) -> None:
    while not all(server.started for server in servers):
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(0.005)


def _ready(
    org: Org,
    sockets: dict[str, socket.socket],
    grpc_port: int,
    grpc_tls_port: int | None,
    tls: TlsFiles,
    jwt_key_file: Path | None,
) -> Ready:
    port = {name: listening.getsockname()[1] for name, listening in sockets.items()}
    app = next(iter(org.identity.apps.values()))
    return Ready(
        rest_url=f"https://localhost:{port['https']}",
        http_url=f"http://localhost:{port['http']}",
        grpc=f"localhost:{grpc_port}",
        grpc_tls=f"localhost:{grpc_tls_port}",
        control_url=f"http://localhost:{port['control']}",
        ca_file=str(tls.ca_file),
        org_id=org.identity.org_id,
        client_id=app.client_id,
        client_secret=app.client_secret,
        username=app.run_as.username,
        password=app.run_as.password,
        jwt_key_file=None if jwt_key_file is None else str(jwt_key_file),
    )
