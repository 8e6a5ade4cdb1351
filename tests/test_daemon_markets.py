"""The daemon between an org, a storefront and a marketplace that takes plain numbers and tells no sale."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import OrgSandbox, Sandbox, start_amazon, start_market, start_org, start_shop
from tests.test_daemon import SEED_SHOP, Daemon, _page, buy, free_port, until

SURELY_LATER_SECONDS = 5.0  # two clocks' rounding, and what may lie between them
CONFIG = """\
[salesforce]
login_url = "https://localhost:8443"
client_id = "sfsync"

[channels.london]
kind = "shopify"
url = "https://localhost:8501"
shop_domain = "london.myshopify.com"

[channels.london.locations.online]
id = "gid://shopify/Location/1"
sells_from = ["ECOM"]

{market}
[[policies]]
skus = ["BAG-1"]
guarantee = "allocated"
"""
MIRAKL = """
[channels.bazaar]
kind = "mirakl"
url = "{url}"
api_key = "{api_key}"
settle_seconds = 0.5
imports_every_seconds = 0
status_every_seconds = 0.1
orders_every_seconds = 0.5

[channels.bazaar.locations.warehouse]
sells_from = ["ECOM"]
"""
AMAZON = """
[channels.bazaar]
kind = "amazon"
url = "{url}"
auth_url = "{url}"
seller_id = "{seller_id}"
marketplace_id = "{marketplace_id}"
client_id = "{client_id}"
client_secret = "{client_secret}"
refresh_token = "{refresh_token}"
settle_seconds = 0.5
landing_seconds = 0.3
outcome_every_seconds = 0.1
orders_every_seconds = 0.5

[channels.bazaar.locations.own]
sells_from = ["ECOM"]
"""
NUMBERS = dict.fromkeys(("BAG-1", "BELT-1", "SCARF-1"), 0)
LEVELS = [
    {"sku": "BAG-1", "location": "ECOM", "on_hand": 6},
    {"sku": "SCARF-1", "location": "ECOM", "on_hand": 30},
]


class Market:
    """A marketplace as its shoppers see it, and the settings by which it is reached."""

    def __init__(self, kind: str, sandbox: Sandbox) -> None:
        self._at = "/offers" if kind == "mirakl" else "/listings"
        self._sandbox = sandbox
        self.settings = (MIRAKL if kind == "mirakl" else AMAZON).format(**sandbox.ready)

    def shows(self, sku: str) -> int:
        """The number there."""
        return int(self._sandbox.control("GET", self._at)[sku])

    def tell(self, path: str, body: object) -> None:
        """A shopper, or staff, does something."""
        self._sandbox.control("POST", path, body)


def started(kind: str) -> AbstractContextManager[Sandbox]:
    """A simulated marketplace of a kind, without its limits and a while behind what it accepts."""
    if kind == "mirakl":
        limits = ("imports_every=0", "status_every=0", "orders_every=0", "import_takes=0.3")
        return start_market({"offers": NUMBERS}, knobs=limits)
    return start_amazon({"listings": NUMBERS}, knobs=("limits=false", "patch_takes=0.2"))


@contextmanager
def house(folder: Path, kind: str) -> Iterator[tuple[OrgSandbox, Daemon, Market]]:
    """An org, a storefront, a marketplace, and a daemon that is not yet running."""
    port = free_port()
    with ExitStack() as stack:
        org = stack.enter_context(start_org({"levels": LEVELS}))
        hook = f"http://127.0.0.1:{port}/webhooks/london"
        shop = stack.enter_context(start_shop(SEED_SHOP, options=["--name", "london", "--webhook-url", hook]))
        market = Market(kind, stack.enter_context(started(kind)))
        config = folder / "sfsync.toml"
        config.write_text(CONFIG.format(market=market.settings))
        config.chmod(0o600)
        daemon = Daemon(folder, org, {"london": shop}, port, config)
        try:
            yield org, daemon, market
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def held(org: OrgSandbox, sku: str) -> tuple[Any, Any]:
    """(on hand, reserved) in the org."""
    level = org.level(f"{sku}|ECOM")
    return level["OnHand__c"], level["Reserved__c"]


@pytest.mark.parametrize("kind", ["mirakl", "amazon"])
def test_the_last_ones_are_sold_once_at_a_storefront_and_a_marketplace(tmp_path: Path, kind: str) -> None:
    """Six bags, set aside; a sale that the marketplace tells nobody of; a kill while numbers move."""
    with house(tmp_path, kind) as (org, daemon, market):
        (london,) = daemon.shops.values()

        def shown(sku: str) -> tuple[int, int]:
            return _page(london, sku), market.shows(sku)

        daemon.start("--approve")
        until(lambda: shown("BAG-1") == (3, 3), "three bags at each")
        until(lambda: shown("SCARF-1") == (30, 30), "scarves at both")
        assert held(org, "BAG-1") == (6, 6)

        market.tell("/orders", {"units": {"BAG-1": 1, "SCARF-1": 2}})
        for _ in range(3):
            assert buy(london, "BAG-1").status_code == 201
        # Two are left, and the marketplace is closed before any of them goes to London.
        until(lambda: _began(daemon, "bazaar") > 1, "a number on its way to the marketplace")
        daemon.kill()
        daemon.start("--approve")
        until(lambda: shown("BAG-1") == (1, 1), "one bag at each")
        until(
            lambda: shown("SCARF-1") == (28, 28), "the scarves of the unseen sale to be off sale everywhere"
        )
        until(lambda: held(org, "SCARF-1") == (30, 2), "the scarves to be reserved")
        assert held(org, "BAG-1") == (6, 6)

        # What is sold so soon after its number was read that clocks may be wrong about it has it read again.
        since = time.monotonic()
        until(
            lambda: time.monotonic() - since > SURELY_LATER_SECONDS, "the sale to be later than the reading"
        )
        market.tell("/orders", {"units": {"SCARF-1": 1}})
        market.tell("/stock", {"SCARF-1": 40})  # and somebody edits the number
        applied = daemon.cli("resync", "--channel", "bazaar", "--yes")
        assert "Applied" in applied.stdout, applied.stderr
        until(lambda: shown("SCARF-1") == (27, 27), "the unseen sale to survive a resync")
        assert held(org, "SCARF-1") == (30, 3)
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log()


def _began(daemon: Daemon, channel: str) -> int:
    """How many pushes the channel has taken, by the daemon's own log."""
    lines = [json.loads(line) for line in daemon.log().splitlines() if line.startswith("{")]
    taken = "taken, to be done later"
    return sum(
        line.get("event") == "push" and line["channel"] == channel and line["outcome"] == taken
        for line in lines
    )
