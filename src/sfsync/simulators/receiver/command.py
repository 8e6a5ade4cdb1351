"""`sfsync sandbox receiver`: a simulated storefront that is told by callbacks, as a process of its own.

It prints one JSON line with its addresses and secret when it is ready, serves until it is told to end by
SIGTERM or SIGINT, and says nothing else on standard output.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import signal
import sys
from typing import Annotated

import typer

from sfsync.simulators.receiver.storefront import Storefront
from sfsync.simulators.shopify.serving import Serving, serving

PARENT_LOOK_SECONDS = 0.5
NO_ENTRY = 2


def receiver(
    port: Annotated[int, typer.Option(help="Port of the storefront; 0 takes a free one.")] = 0,
    control_port: Annotated[int, typer.Option(help="Port of the control interface; 0 takes a free one.")] = 0,
    exit_with_parent: Annotated[
        bool, typer.Option("--exit-with-parent", help="End when the starter has ended.")
    ] = False,
    secret: Annotated[str | None, typer.Option(envvar="SFSYNC_SANDBOX_RECEIVER_SECRET")] = None,
) -> None:
    """Run a simulated receiver of callbacks on this machine's loopback."""
    made = secret or f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    asyncio.run(_serve(Storefront([made]), port, control_port, exit_with_parent=exit_with_parent))


async def _serve(shop: Storefront, port: int, control_port: int, *, exit_with_parent: bool) -> None:
    parent = os.getppid()
    try:
        async with serving(shop, port, control_port) as served:
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, served.end)
            watch = asyncio.create_task(_watch_parent(served, parent)) if exit_with_parent else None
            ready = {
                "ready": True,
                "url": f"{served.url}/stock",
                "control_url": served.control_url,
                "secret": shop.secrets[0],
            }
            sys.stdout.write(json.dumps(ready) + "\n")
            sys.stdout.flush()
            await served.ended()
            if watch:
                watch.cancel()
    except OSError as error:
        typer.echo(f"sfsync sandbox receiver: cannot listen on loopback: {error}", err=True)
        raise typer.Exit(NO_ENTRY) from error


async def _watch_parent(served: Serving, parent: int) -> None:
    while os.getppid() == parent:  # noqa: ASYNC110 — nobody tells an orphan
        await asyncio.sleep(PARENT_LOOK_SECONDS)
    served.end()


def main() -> None:
    """Run the command on its own."""
    typer.run(receiver)
