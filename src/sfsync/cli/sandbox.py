"""`sfsync sandbox …`: the other parties, simulated on this machine over their real wire.

Each is a program of its own that shares nothing with the product: this process becomes it.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import typer

PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}

app = typer.Typer(
    help="Run a simulated Salesforce org, storefront or marketplace on this machine, over its real wire.",
    no_args_is_help=True,
)


@app.command("org", context_settings=PASS_ON)
def org(context: typer.Context) -> None:
    """A Salesforce org: REST over HTTP and HTTPS, Pub/Sub API, with the ledger's objects and rules."""
    _become("sfsync.simulators.org", context.args)


@app.command("shopify", context_settings=PASS_ON)
def shopify(context: typer.Context) -> None:
    """A Shopify storefront: Admin GraphQL, a way to buy, signed webhooks."""
    _become("sfsync.simulators.shopify", context.args)


@app.command("receiver", context_settings=PASS_ON)
def receiver(context: typer.Context) -> None:
    """A storefront that is told its stock by signed callbacks."""
    _become("sfsync.simulators.receiver", context.args)


@app.command("mirakl", context_settings=PASS_ON)
def mirakl(context: typer.Context) -> None:
    """A Mirakl marketplace: the seller API for stock files and orders, with its limits."""
    _become("sfsync.simulators.mirakl", context.args)


@app.command("amazon", context_settings=PASS_ON)
def amazon(context: typer.Context) -> None:
    """An Amazon store: the Selling Partner API for listings, feeds and orders, with its limits."""
    _become("sfsync.simulators.amazon", context.args)


@app.command("vendure", context_settings=PASS_ON)
def vendure(context: typer.Context) -> None:
    """A Vendure shop with our plugin: the Admin API for stock and orders, and signed webhooks."""
    _become("sfsync.simulators.vendure", context.args)


def _become(module: str, arguments: list[str]) -> NoReturn:
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 — our own program, no shell
