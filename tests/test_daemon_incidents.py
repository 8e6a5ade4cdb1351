"""Incidents and their ways out beside a running daemon, over real sockets and from the command line."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import Any

from tests.test_daemon import HTTP, Daemon, buy, until, world

LEVELS = [
    {"sku": "BAG-1", "location": "ECOM", "on_hand": 1},
    {"sku": "BAG-1", "location": "MAYFAIR", "on_hand": 2},  # neither shop sells from there
    {"sku": "BELT-1", "location": "ECOM", "on_hand": 1},
    {"sku": "SCARF-1", "location": "ECOM", "on_hand": 1},
]
LAST = ("BAG-1", "BELT-1", "SCARF-1")


def resolved(daemon: Daemon, incident: dict[str, Any], code: int, *words: str) -> Any:
    """What the command says of a way out."""
    done = daemon.cli("incidents", "resolve", str(incident["id"]), *words, "--by", "Anna Kay", "--json")
    assert done.returncode == code, done.stdout + done.stderr
    told = json.loads(done.stdout)
    return told["error"]["message"] if code else told


def clicked(daemon: Daemon, incident: dict[str, Any], **wish: Any) -> str:
    """How far the page's button gets with the same."""
    headers = {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}
    body = {"reason": "as said", "by": "Anna Kay", **wish}
    address = f"{daemon.url}/v1/incidents/{incident['id']}/resolution"
    return str(HTTP.post(address, json=body, headers=headers).raise_for_status().json()["stage"])


def opened(daemon: Daemon) -> dict[str, dict[str, Any]]:
    """The open incidents by SKU."""
    return {each["sku"]: each for each in daemon.status()["incidents"] if each["closed_at"] is None}


def sell_the_last_ones_twice(daemon: Daemon) -> None:
    """Both shops sell the last of everything while the daemon hears of nothing."""
    assert daemon.process is not None
    os.kill(daemon.process.pid, signal.SIGSTOP)
    for shop in daemon.shops.values():
        for sku in LAST:
            assert buy(shop, sku).is_success
    os.kill(daemon.process.pid, signal.SIGCONT)


def test_three_pieces_sold_twice_are_moved_cancelled_and_waited_for(tmp_path: Path) -> None:
    """Each way out is taken twice; the org's ledger and the shop's order tell that it was once."""
    with world(tmp_path, levels=LEVELS) as (org, daemon):
        daemon.start("--approve")
        for sku in LAST:
            daemon.shows(sku, 1)
        sell_the_last_ones_twice(daemon)
        found = until(lambda: len(of := opened(daemon)) == len(LAST) and of, "three incidents")
        for each in found.values():
            assert (each["ways"], each["orders"][0]["covered"]) == (["move", "wait", "cancel"], False)

        words = ("--move", "MAYFAIR", "--reason", "found in the window")
        assert resolved(daemon, found["BAG-1"], 0, *words)["stage"] == "done"
        assert clicked(daemon, found["BAG-1"], way="move", location="MAYFAIR") == "done"
        level = org.level("BAG-1|MAYFAIR")
        assert (level["OnHand__c"], level["Reserved__c"]) == (2, 1)
        rows = org.query(
            "SELECT Reference__c FROM StockMovement__c "
            "WHERE StockLevel__r.LevelKey__c = 'BAG-1|MAYFAIR' AND ReservedDelta__c = 1"
        )
        name = found["BAG-1"]["orders"][0]["order"]
        assert [row["Reference__c"] for row in rows] == [f"{name}; moved by Anna Kay: found in the window"]

        refused = resolved(daemon, found["SCARF-1"], 3, "--accept", "--reason", "so be it")
        assert "move, wait, cancel" in refused
        wait = ("--wait-for-receipt", "--reason", "twelve come with T-88")
        assert resolved(daemon, found["SCARF-1"], 0, *wait)["stage"] == "done"

        cancel = ("--cancel-at-channel", "--refund", "--reason", "none is left")
        assert resolved(daemon, found["BELT-1"], 0, *cancel)["stage"] == "done"
        assert clicked(daemon, found["BELT-1"], way="cancel", refund=True) == "done"
        order = found["BELT-1"]["orders"][0]
        shop, number = daemon.shops[order["channel"]], order["promise"].split(":")[2]
        told = HTTP.get(f"{shop.ready['url']}/storefront/orders/{number}").json()
        assert (bool(told["cancelled_at"]), len(told["refunds"])) == (True, 1)

        until(lambda: set(opened(daemon)) == {"SCARF-1"}, "two incidents to close")
        waiting = daemon.cli("incidents")
        assert (waiting.returncode, "May wait until" in waiting.stdout) == (0, True)
        assert daemon.status()["health"]["state"] != "bad"
        assert daemon.shown("BELT-1") == [0, 0]

        orphans = daemon.cli("reservations", "--orphans")
        assert (orphans.returncode, orphans.stdout) == (0, "Nothing is held for nobody.\n")
        assert (daemon.cli("reservations", "--json").stdout.strip()) == "[]"


def test_money_for_a_piece_that_is_gone_is_owed_until_the_shop_has_paid_it_back(tmp_path: Path) -> None:
    """Reserved, expired, sold to somebody else, and paid for all the same: the shop's own refund ends it."""
    with world(tmp_path, levels=LEVELS) as (_org, daemon):
        daemon.start("--approve")
        for sku in LAST:
            daemon.shows(sku, 1)
        headers = {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}
        wish = {"kind": "cart", "channel": "london", "owner": "cart-7", "expires_in_seconds": 1}
        wish |= {"lines": [{"sku": "BELT-1", "quantity": 1}]}
        asked = HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=headers).raise_for_status()
        address = f"{daemon.url}/v1/reservations/{asked.json()['id']}"

        def state() -> Any:
            return HTTP.get(address, headers=headers).json()["state"]

        until(lambda: state() == "expired", "the reservation to expire")
        daemon.shows("BELT-1", 1)
        assert buy(daemon.shops["dubai"], "BELT-1").is_success
        daemon.shows("BELT-1", 0)
        order = buy(daemon.shops["london"], "BAG-1").raise_for_status().json()
        paid = HTTP.post(f"{address}/confirm", json={"order_reference": order["name"]}, headers=headers)
        assert (paid.status_code, paid.json()["ways_out"]) == (409, ["move", "substitute", "refund"])

        [incident] = [each for each in daemon.status()["incidents"] if each["closed_at"] is None]
        assert incident["ways"] == ["move", "substitute", "refund", "wait"]
        assert "'HAT-1'" in resolved(daemon, incident, 3, "--substitute", "HAT-1", "--reason", "a hat?")
        owed = resolved(daemon, incident, 0, "--refund", "--reason", "none is left")
        assert (owed["refund_task"], owed["owner"]) == (1, "cart-7")
        assert state() == "released"
        listed = daemon.cli("refunds")
        assert (listed.returncode, "cart-7" in listed.stdout) == (1, True)
        assert "1 refund is owed" in " ".join(daemon.status()["health"]["reasons"])

        shop = daemon.shops["london"].ready["url"]
        HTTP.post(f"{shop}/storefront/orders/{order['id']}/refund", json={}).raise_for_status()
        until(lambda: daemon.cli("refunds").returncode == 0, "the refund to be heard of")
        [task] = json.loads(daemon.cli("refunds", "--all", "--json").stdout)
        assert (task["state"], task["closed_by"], task["order_reference"]) == (
            "refunded",
            "london",
            order["name"],
        )
        again = daemon.cli("refunds", "done", "1", "--reason", "by card", "--by", "Anna Kay")
        assert (again.returncode, "refunded" in again.stdout) == (0, True)
        other = daemon.cli("refunds", "withdraw", "1", "--reason", "a mistake", "--by", "Anna Kay")
        assert (other.returncode, "is refunded since" in other.stderr) == (3, True)
