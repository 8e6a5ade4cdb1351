"""`sfsync sandbox …`: the other parties, simulated on this machine over their real wire."""

from __future__ import annotations

import typer

from sfsync.simulators.org.command import org
from sfsync.simulators.shopify.command import shopify

app = typer.Typer(
    help="Run a simulated Salesforce org or storefront on this machine, over its real wire.",
    no_args_is_help=True,
)
app.command("org")(org)
app.command("shopify")(shopify)
