"""sfsync in shadow beside a glue script: it writes nothing, and its report names what that script did.

The script here is an actor of its own: it works on the shops and the org as their staff and people do, so
that every call that their interfaces count is one of sfsync's.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.sandbox import OrgSandbox, Sandbox, start_org, start_shop
from tests.test_daemon import HTTP, Daemon, buy, free_port, until

from sfsync.store import Database, open_store, shadow

LEVELS = [
    {"sku": "BAG-1", "location": "ECOM", "on_hand": 1},
    {"sku": "BELT-1", "location": "ECOM", "on_hand": 30},
    {"sku": "SCARF-1", "location": "ECOM", "on_hand": 30},
    {"sku": "GATED-1", "location": "ECOM", "on_hand": 1},
    {"sku": "ALLOC-1", "location": "ECOM", "on_hand": 1},
]
SKUS = [str(level["sku"]) for level in LEVELS]
SETTINGS = {
    "SFSYNC_SHADOW__NUMBERS_EVERY_SECONDS": "0.3",
    "SFSYNC_SHADOW__ORDERS_EVERY_SECONDS": "0.5",
    "SFSYNC_SHADOW__LATE_AFTER_SECONDS": "2",
}
LONG_SECONDS = 3.2  # before the order; shops tell times in whole seconds, rounded down


class Glue:
    """The other integration: carries numbers to the shops, and orders into the org, when it is told to."""

    def __init__(self, org: OrgSandbox, shops: Mapping[str, Sandbox]) -> None:
        self._org, self._shops = org, shops

    def carry(self, *skus: str) -> None:
        """Show everywhere what the org has."""
        for sku in skus:
            level = self._org.level(f"{sku}|ECOM")
            units = int(level["OnHand__c"] - level["Reserved__c"])
            for shop in self._shops.values():
                shop.control("POST", "/stock", {"sku": sku, "location": "Online", "set": max(0, units)})

    def enter(self, sku: str, shop: str, order: str) -> None:
        """Enter an order's unit as sold, with its name."""
        self._org.create(
            "StockMovement__c",
            StockLevel__c=self._org.level(f"{sku}|ECOM")["Id"],
            Kind__c="Sale",
            OnHandDelta__c=-1,
            ReservedDelta__c=0,
            VersionDelta__c=1,
            Reference__c=f"{shop} order {order}",
        )


def written(org: OrgSandbox, shops: Mapping[str, Sandbox]) -> dict[str, int]:
    """The calls that sfsync made which may have changed something, as the other sides have counted them."""
    made: dict[str, int] = {
        kind: count
        for kind, count in org.control("GET", "/calls")["by_kind"].items()
        if not kind.startswith("GET ")
    }
    for name, shop in shops.items():
        told = shop.control("GET", "/calls")["operations"]
        reading = {"shop", "orders", "order", "productVariants", "locations", "currentAppInstallation"}
        reading |= {"publicApiVersions", "webhookSubscriptions"}
        made |= {f"{name} {each}": told[each]["count"] for each in told if each not in reading}
    return made


def placed(shop: Sandbox, sku: str) -> str:
    """A shopper pays; the order's name."""
    answer = buy(shop, sku)
    assert answer.status_code == 201, answer.text
    name: str = shop.control("GET", "/orders")["orders"][-1]["name"]
    return name


def would_show(daemon: Daemon, sku: str, *numbers: int) -> None:
    """Wait until that is what sfsync would have Dubai and London show."""

    def shown() -> bool:
        levels = store(daemon).read_now(lambda tx: tx.channel_levels([sku]))
        return tuple(each.published for each in sorted(levels, key=lambda each: each.channel)) == numbers

    until(shown, f"{numbers} of {sku} to be what would be shown")


def store(daemon: Daemon) -> Database:
    """What it keeps."""
    return open_store(f"sqlite:///{daemon.folder / 's.db'}", exclusive=False, migrate=False)


def token(daemon: Daemon) -> dict[str, str]:
    """The right to ask it anything."""
    return {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}


@contextmanager
def house(folder: Path) -> Iterator[tuple[OrgSandbox, Daemon, Glue]]:
    """An org, two shops, a glue script that has just carried all numbers, and a daemon not yet running."""
    port = free_port()
    variants = [{"sku": sku, "title": sku, "price": "9.00", "available": {"Online": 0}} for sku in SKUS]
    with ExitStack() as stack:
        org = stack.enter_context(start_org({"levels": LEVELS}))
        shops = {
            name: stack.enter_context(
                start_shop(
                    {"locations": ["Online"], "variants": variants},
                    options=["--name", name, "--webhook-url", f"http://127.0.0.1:{port}/webhooks/{name}"],
                )
            )
            for name in ("london", "dubai")
        }
        glue = Glue(org, shops)
        glue.carry(*SKUS)
        daemon = Daemon(folder, org, shops, port)
        daemon.env |= SETTINGS
        try:
            yield org, daemon, glue
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def test_a_shadow_writes_nothing_and_names_what_the_glue_script_did(tmp_path: Path) -> None:
    """A missed order, one entered twice, three last pieces sold after they were gone; and then going live."""
    with house(tmp_path) as (org, daemon, glue):
        london, dubai = daemon.shops["london"], daemon.shops["dubai"]
        daemon.start("--shadow")
        would_show(daemon, "SCARF-1", 30, 30)
        would_show(daemon, "GATED-1", 1, 1)
        would_show(daemon, "ALLOC-1", 0, 1)  # set aside for London
        good, doubled, missed = placed(london, "SCARF-1"), placed(dubai, "SCARF-1"), placed(london, "BELT-1")
        would_show(daemon, "SCARF-1", 28, 28)
        would_show(daemon, "BELT-1", 29, 29)
        daemon.kill()
        glue.enter("SCARF-1", "london", good)  # while nobody hears it
        daemon.start("--shadow")
        for _ in range(2):
            glue.enter("SCARF-1", "dubai", doubled)
        glue.carry("SCARF-1")
        for sku in ("BAG-1", "GATED-1"):
            org.move(f"{sku}|ECOM", on_hand=-1, kind="Sale")  # in the boutique
            would_show(daemon, sku, 0, 0)
        glue.enter("ALLOC-1", "london", placed(london, "ALLOC-1"))
        would_show(daemon, "ALLOC-1", 0, 0)
        until(lambda: gone_for(daemon, "GATED-1") > LONG_SECONDS, "the last pieces to be gone for long")
        late = {sku: placed(dubai, sku) for sku in ("BAG-1", "GATED-1", "ALLOC-1")}
        until(lambda: len(uncovered(daemon)) == len(late), "three sales beyond stock")
        for sku, order in late.items():
            glue.enter(sku, "dubai", order)
        glue.carry(*SKUS)
        would_show(daemon, "SCARF-1", 28, 28)  # one of its three movements never should have been
        _promises_nothing(daemon)
        _told(daemon, missed, doubled, late)
        _on_pages(daemon)
        _looks(daemon)
        assert daemon.terminate() == 0
        assert "rewritten" not in daemon.log(), "no level ever seemed to go back"
        assert written(org, daemon.shops) == {}
        assert org.query("SELECT Id FROM StockMovement__c WHERE BySfsync__c = true") == []
        _goes_live(org, daemon, missed)


def _promises_nothing(daemon: Daemon) -> None:
    """Who asks for a promise, or for numbers to act upon, is told that this is a shadow; people may look."""
    wish = {"kind": "cart", "owner": "c", "lines": [{"sku": "SCARF-1", "quantity": 1}]}
    asked = HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=token(daemon))
    assert (asked.status_code, asked.json()["type"]) == (503, "urn:sfsync:problem:shadow")
    assert HTTP.get(f"{daemon.url}/v1/levels", headers=token(daemon)).status_code == 503
    assert daemon.status()["health"]["shadow_since"] is not None
    assert "<strong>In shadow</strong>" in HTTP.get(daemon.url).text


def _looks(daemon: Daemon) -> None:
    """The doctor tries nothing out where the settings say that this is a shadow."""
    daemon.env["SFSYNC_SHADOW__ENABLED"] = "true"
    checked = daemon.cli("check", "--json")
    assert checked.returncode in (0, 1), checked.stdout + checked.stderr
    assert "was not tried: nothing is written in shadow" in checked.stdout
    del daemon.env["SFSYNC_SHADOW__ENABLED"]


def _on_pages(daemon: Daemon) -> None:
    """JSON, page and metrics tell what the command tells."""
    headers = {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}
    told = HTTP.get(f"{daemon.url}/v1/shadow", headers=headers).json()
    assert (told["sales"]["lines"], told["oversells"]["units"], told["in_shadow"]) == (7, 3, True)
    page = HTTP.get(f"{daemon.url}/shadow", headers=headers)
    assert (page.status_code, "3 units; 3 of them" in page.text) == (200, True)
    until(lambda: "sfsync_shadow_oversold_units 3" in HTTP.get(f"{daemon.url}/metrics").text, "the metrics")


def _told(daemon: Daemon, missed: str, doubled: str, late: Mapping[str, str]) -> None:
    """Exactly what went wrong, and what may be said of it."""

    def report() -> Any:
        told = daemon.cli("shadow", "report", "--json")
        assert told.returncode == 1, told.stderr
        return json.loads(told.stdout)

    told = until(lambda: found if not (found := report())["too_young"] else None, "every sale to be settled")
    sales, oversells = told["sales"], told["oversells"]
    assert sales["lines"] == 7
    assert [(each["channel"], each["order"]) for each in sales["missing_lines"]] == [("london", missed)]
    assert [(each["channel"], each["order"]) for each in sales["doubled_lines"]] == [("dubai", doubled)]
    assert (oversells["units"], oversells["would_not_have_happened"]) == (3, 3)
    cases = {each["sku"]: each for each in oversells["cases"]}
    assert {sku: each["order"] for sku, each in cases.items()} == late
    assert {sku: each["outcome"] for sku, each in cases.items()} == {
        "BAG-1": "not on show",
        "GATED-1": "refused",
        "ALLOC-1": "not on show",
    }
    assert all(each["seconds_before_the_order"] >= 2 for each in cases.values())
    assert cases["BAG-1"]["sentence"].startswith("would have shown 0 since ")
    for channel in told["channels"]:
        assert channel["later_than_sfsync"]["worst_seconds"] >= 2, channel
        assert {"BAG-1", "GATED-1"} <= {each["sku"] for each in channel["worst"]}
    text = daemon.cli("shadow", "report").stdout
    for words in ("Never entered", missed, "Entered twice", doubled, "Sold beyond stock: 3 units"):
        assert words in text, text


def _goes_live(org: OrgSandbox, daemon: Daemon, missed: str) -> None:
    """The script is stopped, and sfsync started without --shadow: all begins anew, from the org's numbers."""
    org.move("BELT-1|ECOM", on_hand=5, kind="Receipt")
    daemon.start("--approve")
    daemon.shows("BELT-1", 35)  # the order that nobody entered is a person's to enter now
    daemon.shows("SCARF-1", 27)
    (letter,) = daemon.letters()
    assert (letter["source"], missed in letter["reason"]) == ("london", True)
    assert daemon.status()["health"]["shadow_since"] is None
    sold = buy(daemon.shops["london"], "BELT-1")
    assert sold.status_code == 201
    until(lambda: org.level("BELT-1|ECOM")["Reserved__c"] == 1, "the order to be sfsync's to enter")
    daemon.shows("BELT-1", 34)
    made = written(org, daemon.shops)
    assert made["POST composite"]
    assert made["dubai inventoryAdjustQuantities"]
    assert daemon.terminate() == 0
    assert len(store(daemon).read_now(shadow.sales)) == 7, "what the shadow has seen is kept"
    refused = daemon.command("run", "--shadow")
    assert (refused.returncode, "used without --shadow" in refused.stderr) == (3, True), refused.stderr


def gone_for(daemon: Daemon, sku: str) -> float:
    """For how many seconds Dubai would not have shown it any more."""
    ((_, would, _),) = store(daemon).read_now(lambda tx: list(shadow.numbers(tx, "dubai", sku=sku)))
    last = would[-1]
    return (datetime.now(UTC) - last.at).total_seconds() if last.number <= 0 else 0.0


def uncovered(daemon: Daemon) -> list[str]:
    """SKUs sold beyond stock."""
    return [sale.sku for sale in store(daemon).read_now(shadow.sales) if sale.uncovered]
