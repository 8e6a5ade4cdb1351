"""`sfsync sandbox shopify`: a simulated shop as a process of its own.

It prints one JSON line with its addresses and credentials when it is ready, serves until it is
told to end by SIGTERM or SIGINT, and says nothing else on standard output.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import sys
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs, Plan, ShopConfig, seed_from_json
from sfsync.simulators.shopify.serving import Serving, serving
from sfsync.simulators.shopify.shop import Shop, build_shop

PARENT_LOOK_SECONDS = 0.5
NO_ENTRY = 2


class PlanName(StrEnum):
    """The plans, as the command line spells them."""

    standard = "standard"
    advanced = "advanced"
    plus = "plus"
    enterprise = "enterprise"


def shopify(
    port: Annotated[int, typer.Option(help="Port of the shop; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control interface; 0 takes a free one.")] = 0,
    name: Annotated[str, typer.Option(help="The shop's name, first part of its domain.")] = "shop",
    plan: Annotated[
        PlanName, typer.Option(help="Decides how many points a second the API gives.")
    ] = PlanName.standard,
    seed: Annotated[Path | None, typer.Option(help="JSON file with locations and variants.")] = None,
    webhook_url: Annotated[str | None, typer.Option(help="Where the app's settings send webhooks.")] = None,
    webhook_topic: Annotated[
        list[str] | None, typer.Option(help="Send these topics there, not the usual ones.")
    ] = None,
    time_scale: Annotated[
        float, typer.Option(help="How much faster waiting passes (webhook retries).")
    ] = 1.0,
    latency: Annotated[
        float, typer.Option(help="Seconds that each call to the Admin API takes at least.")
    ] = 0.0,
    knob: Annotated[list[str] | None, typer.Option(help="name=value; a wrong name lists them all.")] = None,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the starter has ended.")
    ] = False,
    access_token: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_SHOPIFY_ACCESS_TOKEN")] = None,
    client_id: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_SHOPIFY_CLIENT_ID")] = None,
    client_secret: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_SHOPIFY_CLIENT_SECRET")] = None,
) -> None:
    """Run a simulated Shopify storefront on this machine's loopback."""
    try:
        config = ShopConfig(
            name=name,
            plan=Plan[plan.name.upper()],
            access_token=access_token or f"shpat_{secrets.token_hex(16)}",
            client_id=client_id or secrets.token_hex(16),
            client_secret=client_secret or f"shpss_{secrets.token_hex(16)}",
            webhook_url=webhook_url,
            latency_seconds=latency,
            knobs=_knobs(knob or ()),
            **_seed(seed),
        )
        if webhook_topic:
            config = replace(config, webhook_topics=tuple(webhook_topic))
        clock = ShopClock(time_scale)
    except ValueError as error:
        typer.echo(f"sfsync sandbox shopify: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error
    asyncio.run(_serve(config, clock, port, control_port, exit_with_parent=exit_with_parent))


def _knobs(settings: Sequence[str]) -> Knobs:
    knobs = Knobs()
    for setting in settings:
        knobs = knobs.with_setting(setting)
    return knobs


def _seed(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return seed_from_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError) as error:
        raise ValueError(f"seed {path}: {error}") from error


async def _serve(
    config: ShopConfig, clock: ShopClock, port: int, control_port: int, *, exit_with_parent: bool
) -> None:
    parent = os.getppid()
    async with build_shop(config, clock) as shop:
        shop.webhooks.open()
        try:
            async with serving(shop, port, control_port) as served:
                for number in (signal.SIGTERM, signal.SIGINT):
                    asyncio.get_running_loop().add_signal_handler(number, served.end)
                watch = asyncio.create_task(_watch_parent(served, parent)) if exit_with_parent else None
                sys.stdout.write(json.dumps(_ready_line(shop, served)) + "\n")
                sys.stdout.flush()
                await served.ended()
                if watch:
                    watch.cancel()
        except OSError as error:
            typer.echo(f"sfsync sandbox shopify: cannot listen on loopback: {error}", err=True)
            raise typer.Exit(NO_ENTRY) from error


def _ready_line(shop: Shop, served: Serving) -> dict[str, Any]:
    return {
        "ready": True,
        "url": served.url,
        "control_url": served.control_url,
        "shop_domain": shop.config.domain,
        "access_token": shop.config.access_token,
        "client_id": shop.config.client_id,
        "client_secret": shop.config.client_secret,
        "webhook_secret": shop.config.client_secret,
        "locations": [{"id": place.id, "name": place.name} for place in shop.stock.locations.values()],
    }


async def _watch_parent(served: Serving, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 — nobody tells an orphan
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    served.end()


def main() -> None:
    """Run the command on its own."""
    typer.run(shopify)
