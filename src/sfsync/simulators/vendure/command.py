"""`sfsync sandbox vendure`: a simulated Vendure shop as a process of its own.

It prints one JSON line with its addresses and credentials when it is ready, serves until it is told to end by
SIGTERM or SIGINT, and says nothing else on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import secrets
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sfsync.simulators.dated import Dated
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.shopify.serving import Serving, serving
from sfsync.simulators.vendure.api import AdminApi
from sfsync.simulators.vendure.config import Knobs, ShopConfig, seed_from_json
from sfsync.simulators.vendure.control import Control
from sfsync.simulators.vendure.plugin import Plugin
from sfsync.simulators.vendure.shop import Shop

PARENT_LOOK_SECONDS = 0.5
NO_ENTRY = 2


class Stand:
    """The shop's two ports."""

    def __init__(self, config: ShopConfig) -> None:
        shop, faults = Shop(config, ShopClock()), FaultPlan(random.Random(7))  # noqa: S311 — for trouble, not secrets
        api, plugin = AdminApi(shop, faults), Plugin(shop, faults)
        self.app = Dated(api.app, shop.clock.now)
        self.control = Control(shop, api, plugin, faults).app
        self.public_url = ""


def vendure(
    port: Annotated[int, typer.Option(help="Port of the Admin API; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control interface; 0 takes a free one.")] = 0,
    seed: Annotated[Path | None, typer.Option(help='JSON file with {"locations", "variants"}.')] = None,
    knob: Annotated[list[str] | None, typer.Option(help="name=value; a wrong name lists them all.")] = None,
    webhook_url: Annotated[str, typer.Option(help="Where the plugin posts to.")] = "",
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the starter has ended.")
    ] = False,
    api_key: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_VENDURE_API_KEY")] = None,
    password: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_VENDURE_PASSWORD")] = None,
    webhook_secret: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_VENDURE_SECRET")] = None,
) -> None:
    """Run a simulated Vendure shop on this machine's loopback."""
    try:
        config = ShopConfig(
            api_key or secrets.token_hex(16),
            password or secrets.token_hex(16),
            webhook_secret or f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
            webhook_url=webhook_url,
            knobs=_knobs(knob or ()),
            **({} if seed is None else _seed(seed)),
        )
    except ValueError as error:
        typer.echo(f"sfsync sandbox vendure: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error
    asyncio.run(_serve(config, port, control_port, exit_with_parent=exit_with_parent))


def _knobs(settings: Sequence[str]) -> Knobs:
    knobs = Knobs()
    for setting in settings:
        knobs = knobs.with_setting(setting)
    return knobs


def _seed(path: Path) -> dict[str, Any]:
    try:
        return seed_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"seed {path}: {error}") from error


async def _serve(config: ShopConfig, port: int, control_port: int, *, exit_with_parent: bool) -> None:
    parent = os.getppid()
    try:
        async with serving(Stand(config), port, control_port) as served:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, served.end)
            watch = asyncio.create_task(_watch_parent(served, parent)) if exit_with_parent else None
            ready = {
                "ready": True,
                "url": served.url,
                "control_url": served.control_url,
                "locations": {name: str(n) for n, name in enumerate(config.locations, 1)},
                "api_key": config.api_key,
                "username": config.username,
                "password": config.password,
                "webhook_secret": config.webhook_secret,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await served.ended()
            if watch:
                watch.cancel()
    except OSError as error:
        typer.echo(f"sfsync sandbox vendure: cannot listen on loopback: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error


async def _watch_parent(served: Serving, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 — nobody tells an orphan
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    served.end()


def main() -> None:
    """Run the command on its own."""
    typer.run(vendure)
