"""`sfsync sandbox amazon`: a simulated Amazon store as a process of its own.

It prints one JSON line with its addresses and credentials when it is ready, serves until it is told to end by
SIGTERM or SIGINT, and says nothing else on standard output.
"""

from __future__ import annotations

import asyncio
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

from sfsync.simulators.amazon.api import PartnerApi
from sfsync.simulators.amazon.config import Knobs, StoreConfig, seed_from_json
from sfsync.simulators.amazon.control import Control
from sfsync.simulators.amazon.store import Store
from sfsync.simulators.dated import Dated
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.shopify.serving import Serving, serving

PARENT_LOOK_SECONDS = 0.5
NO_ENTRY = 2


class Stand:
    """The store's two ports."""

    def __init__(self, config: StoreConfig) -> None:
        store, faults = Store(config, ShopClock()), FaultPlan(random.Random(7))  # noqa: S311 — for trouble, not secrets
        self.app = Dated(PartnerApi(store, faults).app, store.clock.now)
        self.control = Control(store, faults).app
        self.public_url = ""


def amazon(
    port: Annotated[int, typer.Option(help="Port of the API; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control interface; 0 takes a free one.")] = 0,
    seed: Annotated[Path | None, typer.Option(help='JSON file with {"listings": {"SKU": quantity}}.')] = None,
    knob: Annotated[list[str] | None, typer.Option(help="name=value; a wrong name lists them all.")] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the starter has ended.")
    ] = False,
    client_secret: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_AMAZON_CLIENT_SECRET")] = None,
    refresh_token: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_AMAZON_REFRESH_TOKEN")] = None,
) -> None:
    """Run a simulated Amazon store on this machine's loopback."""
    try:
        config = StoreConfig(
            client_secret or f"amzn1.oa2-cs.{secrets.token_hex(16)}",
            refresh_token or f"Atzr|{secrets.token_hex(16)}",
            knobs=_knobs(knob or ()),
            **({} if seed is None else _seed(seed)),
        )
    except ValueError as error:
        typer.echo(f"sfsync sandbox amazon: {error}", err=True)
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


async def _serve(config: StoreConfig, port: int, control_port: int, *, exit_with_parent: bool) -> None:
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
                "seller_id": config.seller_id,
                "marketplace_id": config.marketplace_id,
                "client_id": config.client_id,
                "client_secret": config.client_secret,
                "refresh_token": config.refresh_token,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await served.ended()
            if watch:
                watch.cancel()
    except OSError as error:
        typer.echo(f"sfsync sandbox amazon: cannot listen on loopback: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error


async def _watch_parent(served: Serving, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 — nobody tells an orphan
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    served.end()


def main() -> None:
    """Run the command on its own."""
    typer.run(amazon)
