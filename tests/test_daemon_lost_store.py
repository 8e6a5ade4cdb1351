"""The store of a running daemon is deleted: a new one on the same org goes on with everybody's story."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
from tests.sandbox import OrgSandbox
from tests.test_daemon import HTTP, Daemon, buy, until, world
from tests.test_daemon_fold import staff


def ask(daemon: Daemon, method: str, path: str, body: object = None) -> httpx.Response:
    """With the token that the daemon has left for its own machine."""
    headers = {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}
    return HTTP.request(method, f"{daemon.url}/v1/reservations{path}", headers=headers, json=body)


def books(org: OrgSandbox, sku: str) -> tuple[int, int]:
    """(on hand, reserved)."""
    level = org.level(f"{sku}|ECOM")
    return level["OnHand__c"], level["Reserved__c"]


def reach(org: OrgSandbox, sku: str, on_hand: int, reserved: int) -> None:
    """Wait until the org's level has these numbers."""
    until(lambda: books(org, sku) == (on_hand, reserved), f"{on_hand}, {reserved} of {sku}")


def test_after_a_lost_store_everybody_holds_what_they_held(tmp_path: Path) -> None:
    """A client's belts, an open order, and one of the hour in which nothing ran: once each, to the end."""
    with world(tmp_path) as (org, daemon):
        daemon.start("--approve")
        daemon.shows("BELT-1", 30)
        _, dubai = daemon.shops.values()
        wish = {
            "kind": "client",
            "channel": "london",
            "owner": "Ms A",
            "lines": [{"sku": "BELT-1", "quantity": 2}],
        }
        made = ask(daemon, "POST", "", wish)
        assert made.status_code == 201, made.text
        number = made.json()["id"]
        order = str(buy(dubai, "BAG-1", 3).json()["id"])
        reach(org, "BAG-1", 30, 3)
        reach(org, "BELT-1", 30, 2)
        daemon.kill()
        for path in tmp_path.glob("s.db*"):
            path.unlink()
        assert buy(dubai, "BAG-1").status_code == 201

        daemon.start("--approve")
        reach(org, "BAG-1", 30, 4)
        found: dict[str, Any] = until(
            lambda: (answer := ask(daemon, "GET", f"/{number}")).is_success and answer.json(), "the belts"
        )
        assert (found["state"], found["owner"], found["channel"], found["kind"]) == (
            "granted",
            "Ms A",
            "london",
            "client",
        )
        assert "learned again" in found["reason"]
        assert found["lines"] == made.json()["lines"]
        listed = ask(daemon, "GET", "?state=open").json()["reservations"]
        assert [each["id"] for each in listed] == [number]

        staff(dubai, order, "fulfil")
        reach(org, "BAG-1", 27, 1)
        released = ask(daemon, "POST", f"/{number}/release", {"reason": "not wanted"})
        assert released.json()["state"] == "released", released.text
        reach(org, "BELT-1", 30, 0)
        daemon.shows("BELT-1", 30)
        daemon.shows("BAG-1", 26)
