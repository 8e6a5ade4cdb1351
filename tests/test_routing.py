"""A store with two locations, a real daemon and a simulated org: the assigned location, over real sockets."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.sandbox import OrgSandbox, Sandbox, start_org, start_shop
from tests.test_daemon import HTTP, Daemon, free_port, until

PLACES = {"London": "BOND", "Mall": "MALL"}  # the store's locations, and the org's
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
def two_places(
    folder: Path, knobs: Sequence[str], units: int = 5
) -> Iterator[tuple[OrgSandbox, Sandbox, Daemon]]:
    """An org, a store with two locations, and a daemon that has brought both up to date."""
    levels = [{"sku": "BAG-1", "location": place, "on_hand": units} for place in PLACES.values()]
    port = free_port()
    with ExitStack() as stack:
        org = stack.enter_context(start_org({"levels": levels}))
        hook = ["--webhook-url", f"http://127.0.0.1:{port}/webhooks/london"]
        shop = stack.enter_context(start_shop(SEED, knobs=knobs, options=["--name", "london", *hook]))
        config = folder / "sfsync.toml"
        config.write_text(CONFIG.format(*(place["id"] for place in shop.ready["locations"])))
        daemon = Daemon(folder, org, {"london": shop}, port, config)
        try:
            daemon.start("--approve")
            until(lambda: seen(shop) == (units, units), "both locations to show what they have")
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


@pytest.mark.parametrize(
    ("seed", "knobs"),
    [
        (1, ()),
        (2, ("routing_seconds=1", "move_touches_order=false", "edit_raises=new_line")),
    ],
)
def test_whatever_happens_in_whatever_order_both_ledgers_agree_at_both_locations(
    tmp_path: Path, seed: int, knobs: Sequence[str]
) -> None:
    """Sold, moved, split, edited, sent, returned, called off; told twice, late and in the wrong order.

    What the store has committed at a location is what the org has reserved there, and what every order has
    taken off its shelf, in sum, is what the org has less.
    """
    rng, done = random.Random(seed), Counter[str]()
    with two_places(tmp_path, knobs, units=60) as (org, shop, _daemon):
        since = shop.control("GET", "/log")["next"]
        for fault in (
            {"kind": "duplicate", "probability": 0.5},
            {"kind": "reorder", "probability": 0.3},
            {"kind": "late", "seconds": 2.0, "probability": 0.2},
        ):
            shop.control("POST", "/faults", {**fault, "times": 0})
        sold: list[int] = []
        for _ in range(50):
            if not sold or (len(sold) < 8 and rng.random() < 0.3):
                row = {"sku": "BAG-1", "quantity": rng.randint(1, 3), "location": rng.choice(list(PLACES))}
                answer = HTTP.post(f"{shop.ready['url']}/storefront/buy", json=row).raise_for_status()
                sold.append(answer.json()["id"])
                continue
            verb, body = _turn(rng)
            answer = HTTP.post(f"{shop.ready['url']}/storefront/orders/{rng.choice(sold)}/{verb}", json=body)
            assert answer.status_code in (200, 422), answer.text
            done[verb] += answer.is_success
        shop.control("DELETE", "/faults")
        row = {"sku": "BAG-1", "location": "Mall"}  # one more: a webhook may be waiting for the next to pass
        HTTP.post(f"{shop.ready['url']}/storefront/buy", json=row).raise_for_status()
        # Which of them the store could do depends on what it had assigned by then.
        assert sum(done[verb] > 0 for verb in ("move", "edit", "fulfil", "refund", "cancel")) >= 3, done
        until(lambda: books(org) == _truth(shop, since, 60), f"{_truth(shop, since, 60)}: {done}")
        available = tuple(on_hand - reserved for on_hand, reserved in books(org))
        until(lambda: seen(shop) == available, f"the store to show {available}")
        assert (books(org), seen(shop)) == (_truth(shop, since, 60), available)


def _turn(rng: random.Random) -> tuple[str, dict[str, object]]:
    """Something that staff does to an order. What leaves it goes back on the shelf."""
    (verb,) = rng.choices(["fulfil", "unfulfil", "refund", "edit", "move", "cancel"], [3, 1, 4, 4, 6, 1])
    rows, place = [{"sku": "BAG-1", "quantity": 1}], rng.choice(list(PLACES))
    bodies: dict[str, dict[str, object]] = {
        "fulfil": {"line_items": rows},
        "refund": {"line_items": rows, "restock": True, "location": place},
        "edit": {"line_items": [{"sku": "BAG-1", "delta": rng.choice([-1, 1, 2])}], "restock": True},
        "move": {"location": place},
        "cancel": {"restock": True},
    }
    return verb, bodies.get(verb, {})


def _truth(shop: Sandbox, since: int, units: int) -> tuple[tuple[int, int], ...]:
    """(on hand, reserved) of each location, as the store's own log and levels have it."""
    moved: Counter[str] = Counter()
    while (page := shop.control("GET", f"/log?since={since}"))["next"] != since:
        since = page["next"]
        for row in page["changes"]:
            moved[row["location"]] += row["delta"] if row["order"] else 0
    committed = {level["location"]: level["committed"] for level in shop.control("GET", "/levels")["levels"]}
    return tuple((units + moved[place] + committed[place], committed[place]) for place in PLACES)
