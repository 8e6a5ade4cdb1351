"""What commands print of times: UTC, wherever the person sits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from sfsync.cli import app, why
from sfsync.cli.tables import utc

NIGHT = "2025-01-05T02:30:00.000Z"  # the evening before, in New York
SHOWN: dict[str, Any] = {
    "channel": "london",
    "location": "online",
    "guarantee": "mirrored",
    "shows": 1,
    "should_show": 1,
    "problem": "",
    "in_flight": False,
    "changed_at": NIGHT,
    "policy": "the default",
    "sum": [],
}


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The machine's clock on the wall is New York's."""
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_new_york")
def test_the_sum_behind_a_number_is_told_in_utc_and_says_so() -> None:
    """As every other command tells it: the same sale has one time."""
    told = {"sku": "BAG-1", "past": True, "at": NIGHT, "settings": "of then", "org": "read", "turn": None}
    found = told | {"channels": [SHOWN], "piece": None, "findings": [], "levels": []}
    page = StringIO()
    Console(width=200, file=page).print(why.tree(found))
    printed = page.getvalue()
    assert "BAG-1 at 5 Jan 2025 02:30:00 UTC, under the settings of then; times in UTC" in printed
    assert "shows 1, since 5 Jan 2025 02:30:00" in printed


@pytest.mark.usefixtures("in_new_york")
def test_the_moments_of_tables_are_told_in_utc() -> None:
    """Whatever offset a moment came with."""
    assert utc(NIGHT) == utc("2025-01-04T21:30:00-05:00") == "2025-01-05 02:30:00"


def test_a_zone_that_there_is_not_is_a_wrong_option() -> None:
    """As any other option that is spelt wrong: nothing else is looked at before."""
    asked = CliRunner().invoke(app, ["count", "import", "counts.csv", "--timezone", "Europe/Nowhere"])
    assert (asked.exit_code, "no time zone" in asked.output) == (2, True)
