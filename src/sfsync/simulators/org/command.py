"""`sfsync sandbox org`: a simulated Salesforce org in its own process, until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import tempfile
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import orjson
import typer

from sfsync.simulators.org.engine import Latency
from sfsync.simulators.org.knobs import UnknownKnob
from sfsync.simulators.org.org import OrgConfig, build_org
from sfsync.simulators.org.rollups import SchemaError
from sfsync.simulators.org.seed import SeedError
from sfsync.simulators.org.server import Ports, serve
from sfsync.simulators.org.source import SourceError
from sfsync.simulators.org.state import StateError
from sfsync.simulators.org.tls import make_jwt_key, make_tls_files

_BAD_INPUT = 2


def default_source() -> Path:
    """Our own package's source: beside the code in a checkout, inside the package when installed."""
    packaged = Path(str(files("sfsync"))) / "_data" / "salesforce"
    if packaged.is_dir():
        return packaged
    return Path(__file__).resolve().parents[4] / "salesforce"


# Seconds; `live` stands for an org far away. Round numbers: nobody's org was measured.
PROFILES: dict[str, Latency] = {
    "none": Latency(),
    "office": Latency(read=0.005, write=0.020, commit=0.010),
    "live": Latency(read=0.060, write=0.150, commit=0.050),
}


def parse_latency(text: str) -> Latency:
    """A profile's name, or `read=5,write=20,commit=10` in milliseconds; one number is for all three."""
    if text in PROFILES:
        return PROFILES[text]
    if text.replace(".", "", 1).isdigit():
        seconds = float(text) / 1000
        return Latency(seconds, seconds, seconds)
    given: dict[str, float] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        name, _, value = part.partition("=")
        if name not in ("read", "write", "commit"):
            raise ValueError(
                f"latency is {', '.join(PROFILES)}, or has read, write and commit in ms, not {name!r}"
            )
        try:
            milliseconds = float(value)
        except ValueError as error:
            raise ValueError(f"latency {name} takes milliseconds, not {value!r}") from error
        if not 0 <= milliseconds < float("inf"):
            raise ValueError(f"latency {name} takes milliseconds from 0 on, not {value}")
        given[name] = milliseconds / 1000
    return Latency(**given)


def org(
    port: Annotated[int, typer.Option(help="HTTP port; 0 takes a free one.")] = 0,
    tls_port: Annotated[int, typer.Option(help="HTTPS port.")] = 0,
    grpc_port: Annotated[int, typer.Option(help="Pub/Sub API port without TLS.")] = 0,
    grpc_tls_port: Annotated[int, typer.Option(help="Pub/Sub API port with TLS.")] = 0,
    control_port: Annotated[int, typer.Option(help="Control port: faults, clock, rules, log.")] = 0,
    source: Annotated[Path | None, typer.Option(help="SFDX project to build the org from.")] = None,
    seed: Annotated[Path | None, typer.Option(help="JSON file with the first records.")] = None,
    state: Annotated[
        Path | None, typer.Option(help="File to go on from, if it exists, and to write at the end.")
    ] = None,
    latency: Annotated[
        str, typer.Option(help="none, office or live; or ms: one number, or read=5,write=20,commit=10.")
    ] = "",
    knob: Annotated[list[str] | None, typer.Option(help="name=value; may be given again.")] = None,
    faults: Annotated[
        int | None, typer.Option(help="Seed of a mix of faults on REST and stream; none if not given.")
    ] = None,
    random_seed: Annotated[int, typer.Option(help="Seed of ids, tokens and chance faults.")] = 1,
    exit_with_parent: Annotated[bool, typer.Option(help="Stop when standard input is closed.")] = False,
) -> None:
    """Run a simulated Salesforce org; prints one JSON line with addresses and credentials when ready."""
    with tempfile.TemporaryDirectory(prefix="sfsync-org-") as folder:
        tls, key = make_tls_files(Path(folder)), make_jwt_key(Path(folder))
        try:
            config = OrgConfig(
                source=source or default_source(),
                knobs=knob or (),
                latency=parse_latency(latency),
                seed=None if seed is None else orjson.loads(seed.read_bytes()),
                random_seed=random_seed,
                jwt_public_key=key.public_pem,
                state=state,
            )
            built = build_org(config)
        except (SourceError, SchemaError, SeedError, StateError, UnknownKnob, ValueError, OSError) as error:
            typer.echo(str(error), err=True)
            raise typer.Exit(_BAD_INPUT) from error
        if faults is not None:
            built.arm_mix(faults)
        ports = Ports(port, tls_port, grpc_port, grpc_tls_port, control_port)

        async def run() -> None:
            stopping = _stop_event(exit_with_parent=exit_with_parent)
            async with serve(built, ports, tls, jwt_key_file=key.private_file) as ready:
                sys.stdout.write(orjson.dumps(ready.line()).decode() + "\n")
                sys.stdout.flush()
                await stopping.wait()
            built.save()

        try:
            asyncio.run(run())
        except OSError as error:
            typer.echo(f"cannot open a port: {error}", err=True)
            raise typer.Exit(1) from error


def _stop_event(*, exit_with_parent: bool) -> asyncio.Event:
    """Set by SIGTERM, SIGINT or, on request, the end of standard input."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):
            loop.add_signal_handler(number, stopping.set)
    if exit_with_parent:

        def read() -> None:
            if not os.read(sys.stdin.fileno(), 4096):
                loop.remove_reader(sys.stdin)
                stopping.set()

        loop.add_reader(sys.stdin, read)
    return stopping
