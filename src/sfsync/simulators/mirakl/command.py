"""`sfsync sandbox mirakl`: a simulated marketplace as a process of its own.

It prints one JSON line with its addresses and its key when it is ready, serves until it is told to end by
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
from typing import Annotated

import typer

from sfsync.simulators.dated import Dated
from sfsync.simulators.mirakl.api import SellerApi
from sfsync.simulators.mirakl.config import Knobs, MarketConfig, offers_from_json
from sfsync.simulators.mirakl.control import Control
from sfsync.simulators.mirakl.market import Market
from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.shopify.serving import Serving, serving

PARENT_LOOK_SECONDS = 0.5
NO_ENTRY = 2


class Stand:
    """The marketplace's two ports."""

    def __init__(self, config: MarketConfig) -> None:
        market, faults = Market(config, ShopClock()), FaultPlan(random.Random(7))  # noqa: S311 — for trouble, not secrets
        self.app = Dated(SellerApi(market, faults).app, market.clock.now)
        self.control = Control(market, faults).app
        self.public_url = ""


def mirakl(
    port: Annotated[int, typer.Option(help="Port of the seller API; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control interface; 0 takes a free one.")] = 0,
    seed: Annotated[Path | None, typer.Option(help='JSON file with {"offers": {"SKU": quantity}}.')] = None,
    knob: Annotated[list[str] | None, typer.Option(help="name=value; a wrong name lists them all.")] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the starter has ended.")
    ] = False,
    api_key: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_MIRAKL_API_KEY")] = None,
) -> None:
    """Run a simulated Mirakl marketplace on this machine's loopback."""
    try:
        offers = {} if seed is None else _offers(seed)
        config = MarketConfig(api_key or secrets.token_hex(16), offers=offers, knobs=_knobs(knob or ()))
    except ValueError as error:
        typer.echo(f"sfsync sandbox mirakl: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error
    asyncio.run(_serve(config, port, control_port, exit_with_parent=exit_with_parent))


def _knobs(settings: Sequence[str]) -> Knobs:
    knobs = Knobs()
    for setting in settings:
        knobs = knobs.with_setting(setting)
    return knobs


def _offers(path: Path) -> dict[str, int]:
    try:
        return offers_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"seed {path}: {error}") from error


async def _serve(config: MarketConfig, port: int, control_port: int, *, exit_with_parent: bool) -> None:
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
                "api_key": config.api_key,
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await served.ended()
            if watch:
                watch.cancel()
    except OSError as error:
        typer.echo(f"sfsync sandbox mirakl: cannot listen on loopback: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error


async def _watch_parent(served: Serving, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 — nobody tells an orphan
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    served.end()


def main() -> None:
    """Run the command on its own."""
    typer.run(mirakl)
