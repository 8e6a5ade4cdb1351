"""The daemon at every setting of what is not known for sure about the platform: the promises hold in each.

Public documents leave points open; the simulated org has a knob for each. A knob that touches what sfsync
relies on stands in `SETTINGS`; the days below go through all of its settings, over each transport.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.sandbox import OrgSandbox
from tests.test_daemon import HTTP, LEVELS, Daemon, buy, until, world

TOKEN = "the-boutiques-own-token-0123"
LAST = "LAST-1"
SETTINGS: Mapping[str, tuple[object, ...]] = {
    "priorvalue_sees_rollup": ("true", "false", "true"),
    "rollup_error_attribution": ("all", "last"),
    "roll_up_touches_last_modified": ("true", "false"),
    "null_matches_not_equal": ("true", "false"),
    "lock_error_status": (400, 409, 503),
    "lock_wait_seconds": (10.0, 0.1),
    "parse_error_scope": ("request", "record"),
    "atomic_composite_order": ("given", "creates_first", "deletes_first"),
    "session_seconds": (7200.0, 4.0),
    "session_extends_with_use": ("true", "false"),
    "reuse_session": ("true", "false"),
    "formula_fields_in_events": ("true", "false"),
    "merge_equal_changes": ("true", "false"),
    "parent_event_on_rollup": ("true", "false"),
    "overflow_changes": (100_000, 2),
    "largest_event_characters": (1_000_000, 40),
    "selected_entities": ("", "StockLevel__c"),
    "event_delay_seconds": (0.0, 0.5),
    "event_delay_jitter_seconds": (0.0, 0.5),
    "keepalive_seconds": (60.0, 0.3),
    "unrequested_close_seconds": (70.0, 0.5),
    "first_answer_is_keepalive": ("false", "true"),
    "batch_size": (100, 1),
    "replay_id_bytes": (8, 10),
    "recheck_token": ("true", "false"),
    "cometd_accepts_bearer": ("true", "false"),
    "cometd_first_connect_at_once": ("true", "false"),
    "cometd_changed_fields": ("updates", "never"),
    "cometd_names_missing_cookie": ("true", "false"),
    "cometd_expired_token_is_http_401": ("true", "false"),
    "cometd_timeout_seconds": (110.0, 0.5),
    "cometd_max_interval_seconds": (40.0, 0.5),
    "cometd_interval_milliseconds": (0, 200),
}
OF_NO_CONSEQUENCE = {
    "cancelled_status_category": "orders in the org: salesforce/test_orders_wire.py has both",
    "daily_api_requests": "an allowance",
    "refusal_tells_usage": "simulation/test_short_day.py has both",
    "delivery_allowance": "an allowance",
    "hourly_published_events": "an allowance; sfsync publishes none",
    "most_selected_entities": "of the installation",
    "setup_visible": "what `sfsync check` may read: test_check_cli.py has both",
    "channel_told_by": "what `sfsync check` reads: test_check_cli.py has both",
    "bulk_job_seconds": "bulk jobs are polled until they are complete",
}
DAYS = max(map(len, SETTINGS.values()))


def test_every_knob_is_turned_or_has_a_reason_not_to_be(tmp_path: Path) -> None:
    """A new knob needs a word on whether sfsync depends on it."""
    with world(tmp_path) as (org, _):
        assert {each["name"] for each in org.control("GET", "/knobs")} == set(SETTINGS) | set(
            OF_NO_CONSEQUENCE
        )


@pytest.mark.slow
@pytest.mark.parametrize("transport", ["pubsub", "cometd"])
@pytest.mark.parametrize("day", range(DAYS))
def test_the_promises_hold_at_every_setting(tmp_path: Path, day: int, transport: str) -> None:
    """The last one is sold once, each sale is entered once, and every shop shows what the org has."""
    settings = {name: values[day % len(values)] for name, values in SETTINGS.items()}
    levels = [*LEVELS, {"sku": LAST, "location": "ECOM", "on_hand": 1}]
    knobs = [f"{name}={value}" for name, value in settings.items() if value != ""]
    with world(tmp_path, levels=levels, knobs=knobs) as (org, daemon):
        if settings["priorvalue_sees_rollup"] == "false":
            org.control("POST", "/rules", {"name": "Reservation_needs_stock", "active": False})
            org.control("POST", "/rules", {"name": "Reserved_within_on_hand", "active": True})
        daemon.env |= {
            "SFSYNC_WEB__TOKENS": json.dumps([{"name": "boutique", "token": TOKEN, "channels": ["*"]}]),
            "SFSYNC_SALESFORCE__TRANSPORT": transport,
        }
        daemon.start("--approve")
        daemon.shows("BAG-1", 30)
        _the_last_one(org, daemon)
        _a_busy_hour(org, daemon)
        daemon.kill()
        org.move("BELT-1|ECOM", on_hand=-2, kind="Sale")
        daemon.start("--approve")
        daemon.shows("BELT-1", 25)
        assert daemon.terminate() == 0
        assert "Traceback" not in daemon.log()


def _the_last_one(org: OrgSandbox, daemon: Daemon) -> None:
    """Four want it at once while the org cannot lock its rows: one gets it, three hear so."""
    org.arm("lock", times=2)
    with ThreadPoolExecutor(4) as people:
        answers = list(people.map(lambda who: _reserve(daemon, who), range(4)))
    assert sorted(answer["state"] for answer in answers) == ["granted", *["refused"] * 3]
    level = org.level(f"{LAST}|ECOM")
    assert (level["OnHand__c"], level["Reserved__c"]) == (1, 1)


def _reserve(daemon: Daemon, who: int) -> dict[str, Any]:
    """Ask, and ask again until there is an answer."""
    headers = {"authorization": f"Bearer {TOKEN}", "idempotency-key": f"client-{who}"}
    lines = [{"sku": LAST, "quantity": 1, "location": "ECOM"}]
    wish = {"kind": "client", "owner": f"client {who}", "lines": lines, "expires_in_seconds": 3600}

    def answered() -> dict[str, Any] | None:
        try:
            answer = HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=headers)
        except httpx.TransportError:
            return None
        told: dict[str, Any] = answer.json()
        told = told.get("reservation") or told
        return told if told.get("state") in ("granted", "refused") else None

    found: dict[str, Any] = until(answered, f"an answer for client {who}")
    return found


def _a_busy_hour(org: OrgSandbox, daemon: Daemon) -> None:
    """By hand, several at once; at both shops; and an order cancelled again."""
    org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
    level = org.level("BELT-1|ECOM")["Id"]
    sale = {"StockLevel__c": level, "Kind__c": "Sale", "OnHandDelta__c": -1, "VersionDelta__c": 1}
    rows = [{"attributes": {"type": "StockMovement__c"}, **sale} for _ in range(3)]
    assert all(each["success"] for each in org.control("POST", "/records/create", {"records": rows}))
    london, dubai = daemon.shops.values()
    for shop, units in ((london, 1), (dubai, 2)):
        assert buy(shop, "BAG-1", units).status_code == 201
    assert buy(london, "SCARF-1", 5).status_code == 201
    for sku, units in (("BAG-1", 26), ("BELT-1", 27), ("SCARF-1", 25)):
        daemon.shows(sku, units)
    soql = "SELECT SubjectKey__c FROM StockMovement__c WHERE SubjectKey__c LIKE 'order:%'"
    assert len({row["SubjectKey__c"] for row in org.query(soql)}) == len(org.query(soql)) == 3
