"""A store with two locations, a real daemon and a simulated org: the assigned location, over real sockets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.sandbox import OrgSandbox, Sandbox, start_org, start_shop
from tests.test_daemon import HTTP, Daemon, free_port, until

LEVELS = [{"sku": "BAG-1", "location": place, "on_hand": 5} for place in ("BOND", "MALL")]
SEED = {
    "locations": ["London", "Mall"],
    "variants": [{"sku": "BAG-1", "title": "a bag", "available": {"London": 0, "Mall": 0}}],
}
CONFIG = """
[salesforce]
login_url = "https://localhost:8443"
client_id = "sfsync-test"
pubsub_endpoint = "localhost:7443"

[web]
open_status = true

[channels.london]
kind = "shopify"
url = "https://localhost:8501"
shop_domain = "london.myshopify.com"

[channels.london.locations.online]
id = "{0}"
sells_from = ["BOND"]

[channels.london.locations.mall]
id = "{1}"
sells_from = ["MALL"]
"""


@contextmanager
def two_places(folder: Path, knobs: Sequence[str]) -> Iterator[tuple[OrgSandbox, Sandbox, Daemon]]:
    """An org, a store with two locations, and a daemon that has brought both up to date."""
    port = free_port()
    with ExitStack() as stack:
        org = stack.enter_context(start_org({"levels": LEVELS}))
        hook = ["--webhook-url", f"http://127.0.0.1:{port}/webhooks/london"]
        shop = stack.enter_context(start_shop(SEED, knobs=knobs, options=["--name", "london", *hook]))
        config = folder / "sfsync.toml"
        config.write_text(CONFIG.format(*(place["id"] for place in shop.ready["locations"])))
        daemon = Daemon(folder, org, {"london": shop}, port, config)
        try:
            daemon.start("--approve")
            until(lambda: seen(shop) == (5, 5), "both locations to show what they have")
            yield org, shop, daemon
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def seen(shop: Sandbox) -> tuple[int, int]:
    """What the store has available at London and at the Mall."""
    found = {level["location"]: level["available"] for level in shop.control("GET", "/levels")["levels"]}
    return found["London"], found["Mall"]


def books(org: OrgSandbox) -> tuple[tuple[int, int], ...]:
    """(on hand, reserved) of both levels in the org."""
    levels = (org.level(f"BAG-1|{place}") for place in ("BOND", "MALL"))
    return tuple((int(level["OnHand__c"]), int(level["Reserved__c"])) for level in levels)


def staff(shop: Sandbox, order: str, verb: str, **body: object) -> None:
    """Somebody in the store does something to an order."""
    url = f"{shop.ready['url']}/storefront/orders/{order}/{verb}"
    HTTP.post(url, json=body).raise_for_status()


def settles(org: OrgSandbox, shop: Sandbox, numbers: tuple[int, int], *levels: tuple[int, int]) -> None:
    """Wait until store and org stand like this."""
    until(lambda: (seen(shop), books(org)) == (numbers, levels), f"{numbers} and {levels}")


@pytest.mark.parametrize(
    "knobs",
    [
        pytest.param((), id="routed at once and told"),
        pytest.param(("routing_seconds=3",), id="routed later and told"),
        pytest.param(
            ("routing_seconds=3", "routing_webhooks=false", "move_touches_order=false"),
            id="routed later and never told",
        ),
    ],
)
def test_a_sale_is_taken_from_the_location_that_the_store_assigns(
    tmp_path: Path, knobs: Sequence[str]
) -> None:
    """Sold from the Mall, moved to London, sent: whenever and however the store tells of it."""
    with two_places(tmp_path, knobs) as (org, shop, daemon):
        body = {"sku": "BAG-1", "quantity": 1, "location": "Mall"}
        order = str(
            HTTP.post(f"{shop.ready['url']}/storefront/buy", json=body).raise_for_status().json()["id"]
        )
        settles(org, shop, (5, 4), (5, 0), (5, 1))
        staff(shop, order, "move", location="London")
        if "routing_webhooks=false" not in knobs:
            settles(org, shop, (4, 5), (5, 1), (5, 0))
        staff(shop, order, "fulfil")
        settles(org, shop, (4, 5), (4, 0), (5, 0))
        assert [channel["drift"] for channel in daemon.status()["channels"] if "drift" in channel] in (
            [],
            [0],
        )
        plan = daemon.cli("resync", "--dry-run", "--json")
        assert plan.returncode == 0, plan.stdout + plan.stderr
