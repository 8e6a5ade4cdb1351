"""Folding the ledger beside a running daemon, over real sockets: nothing that is sold meanwhile is lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import OrgSandbox, Sandbox
from tests.test_daemon import HTTP, Daemon, buy, until, world

DELIVERED, SOLD_MEANWHILE = 3, 12
EXACT, FALLBACK = "Reservation_needs_stock", "Reserved_within_on_hand"


def staff(shop: Sandbox, order: str, verb: str, **body: Any) -> None:
    """What the shop's people do with an order."""
    answer = HTTP.post(f"{shop.ready['url']}/storefront/orders/{order}/{verb}", json=body)
    assert answer.is_success, answer.text


def numbers(org: OrgSandbox) -> tuple[int, int]:
    level = org.level("BAG-1|ECOM")
    return level["OnHand__c"], level["Reserved__c"]


def reach(org: OrgSandbox, on_hand: int, reserved: int) -> None:
    """Wait until the org's level has these numbers."""
    until(lambda: numbers(org) == (on_hand, reserved), f"{on_hand} on hand and {reserved} reserved")


def fold(daemon: Daemon) -> dict[str, Any]:
    """Fold what has no open subject, however young it is."""
    done = daemon.cli("ledger", "fold", "--older-than", "0", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    run: dict[str, Any] = json.loads(done.stdout)
    return run


def keys(org: OrgSandbox, like: str) -> list[str]:
    soql = f"SELECT IdempotencyKey__c FROM StockMovement__c WHERE IdempotencyKey__c LIKE '{like}'"  # noqa: S608 — a test's own pattern
    return [row["IdempotencyKey__c"] for row in org.query(soql)]


@pytest.mark.parametrize("rule", [EXACT, FALLBACK])
def test_a_fold_amid_sales_loses_and_doubles_nothing_and_returns_find_their_orders(
    tmp_path: Path, rule: str
) -> None:
    """Delivered orders become one opening row while both shops go on selling; then the goods come back."""
    with world(tmp_path) as (org, daemon):
        for name in (EXACT, FALLBACK):
            org.control("POST", "/rules", {"name": name, "active": name == rule})
        daemon.start("--approve")
        daemon.shows("BAG-1", 30)
        london, dubai = daemon.shops.values()
        orders = [str(buy(london, "BAG-1").json()["id"]) for _ in range(DELIVERED)]
        reach(org, 30, DELIVERED)
        for order in orders:
            staff(london, order, "fulfil")
        reach(org, 30 - DELIVERED, 0)

        answers: list[int] = []
        begun = threading.Event()

        def sell() -> None:
            for number in range(SOLD_MEANWHILE):
                answers.append(buy((london, dubai)[number % 2], "BAG-1").status_code)
                begun.set()

        seller = threading.Thread(target=sell)
        seller.start()
        assert begun.wait(20)
        run = fold(daemon)
        seller.join(40)
        assert answers == [201] * SOLD_MEANWHILE
        assert (run["older_than_days"], run["problems"]) == (0, [])
        assert run["rows"] >= 2 * DELIVERED
        reach(org, 30 - DELIVERED, SOLD_MEANWHILE)
        daemon.shows("BAG-1", 30 - DELIVERED - SOLD_MEANWHILE)
        assert len(keys(org, "order:%")) == len(set(keys(org, "order:%"))) == SOLD_MEANWHILE
        assert keys(org, "fold:BAG-1|ECOM:%")

        for order in orders:
            staff(london, order, "refund", restock=True)
        reach(org, 30, SOLD_MEANWHILE)
        returns = keys(org, "order:london:%:2")
        assert len(returns) == len(set(returns)) == DELIVERED
        daemon.shows("BAG-1", 30 - SOLD_MEANWHILE)
        # The returns are closed as well, as soon as the daemon has taken the org's answer over.
        until(lambda: not (fold(daemon)["problems"] or keys(org, "order:%:2")), "the returns to be closed")
        assert numbers(org) == (30, SOLD_MEANWHILE)
        daemon.shows("BAG-1", 30 - SOLD_MEANWHILE)
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log()
