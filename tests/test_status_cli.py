"""`sfsync status`: what to do when it is not green."""

from __future__ import annotations

from typing import Any

import pytest

from sfsync.cli.status import next_steps

GREEN: dict[str, Any] = {
    "health": {"started_at": "2026-11-23T08:00:00Z"},
    "stream": {"state": "good"},
    "ledger": {"state": "good", "space": {"full_in_days": 400, "crowded_in_days": None}},
    "channels": [{"name": "london", "state": "good", "approved": True, "held": 0, "problems": 0}],
    "incidents": [{"closed_at": "2026-11-23T08:00:00Z", "waits_until": None}],
    "refunds": [],
    "dead_letters": [],
    "drifts": 0,
    "channels_left": [],
}
LONDON = GREEN["channels"][0]
GONE = {"name": "paris", "numbers": 77, "set_aside": 0}
SIX = [LONDON | {"name": f"market-{number}"} for number in range(6)]


@pytest.mark.parametrize(
    ("change", "steps"),
    [
        ({}, []),
        ({"health": {"started_at": ""}}, ["sfsync run"]),
        ({"stream": {"state": "bad"}}, ["sfsync check org"]),
        ({"stream": {"state": "warning"}}, []),  # a hole closes by itself
        ({"ledger": GREEN["ledger"] | {"state": "bad"}}, ["sfsync check org"]),
        ({"channels": [LONDON | {"state": "bad"}]}, ["sfsync check london"]),
        (
            {"channels": [LONDON | {"state": "warning", "approved": False}]},
            ["sfsync resync --channel london"],
        ),
        ({"channels": [LONDON | {"state": "warning", "problems": 2}]}, ["sfsync dead-letters"]),
        ({"dead_letters": [{"id": 1}]}, ["sfsync dead-letters"]),
        ({"drifts": 1}, ["sfsync drift"]),
        (
            {"channels_left": [GONE, GONE | {"name": "rome", "set_aside": 2}, GONE | {"set_aside": 1}]},
            ["sfsync channel forget paris", "sfsync reservations --orphans"],
        ),
        ({"channels_left": [GONE | {"name": each["name"]} for each in SIX]}, ["sfsync channel forget"]),
        (
            {"channels": [each | {"state": "bad"} for each in SIX[:2]]},
            ["sfsync check market-0", "sfsync check market-1"],
        ),
        ({"channels": [each | {"state": "bad"} for each in SIX]}, ["sfsync check"]),
        ({"channels": [each | {"state": "warning", "approved": False} for each in SIX]}, ["sfsync resync"]),
        ({"refunds": [{"id": 1}]}, ["sfsync refunds"]),
        ({"incidents": [{"closed_at": None, "waits_until": None}]}, ["sfsync incidents"]),
        ({"incidents": [{"closed_at": None, "waits_until": "2026-12-01T00:00:00Z"}]}, []),
        (
            {"ledger": {"state": "good", "space": {"full_in_days": 3, "crowded_in_days": None}}},
            ["sfsync ledger fold --dry-run"],
        ),
        ({"ledger": {"state": "good", "space": None}}, []),
    ],
)
def test_what_is_not_green_leads_to_the_command_that_goes_on(
    change: dict[str, Any], steps: list[str]
) -> None:
    """And what mends itself to none."""
    assert next_steps(GREEN | change) == steps
