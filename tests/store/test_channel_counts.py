"""What the status counts of each channel: the same as by looking at every row, and without doing so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import func, insert, select, text

from sfsync.domain.relay import IN_DOUBT
from sfsync.store import Database
from sfsync.store import tables as t
from sfsync.store.tx import SqlTx
from sfsync.store.views import channel_counts

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)


def _rows() -> list[dict[str, Any]]:
    """Every kind of number there may be: told or not, on its way or not, kept back, shown too long."""
    kinds = product(
        (None, 3, 5),  # what it should show; it shows 3
        (None, 7),  # the push that is on its way
        ("", IN_DOUBT, "the channel does not track this item"),
        (False, True),  # it may show another number
        ((0, 0.0), (2, 0.0), (0, 12.5), (1, 4.0)),  # units shown too many now, unit seconds until now
    )
    return [
        {
            "channel": ("london", "dubai", "paris")[number % 3],
            "sku": f"SKU-{number}",
            "location": "online",
            "item_id": str(number),
            "location_id": "1",
            "published": 3,
            "target": target,
            "baseline_from": NOW,
            "baseline_at": NOW,
            "changed_at": NOW,
            "problem": problem,
            "push": push,
            "unsure": unsure,
            "exposure_units": units,
            "exposure_unit_seconds": seconds,
            "exposure_since": (NOW - timedelta(seconds=10)).timestamp(),
        }
        for number, (target, push, problem, unsure, (units, seconds)) in enumerate(kinds)
    ]


async def test_the_counts_of_each_channel_are_those_of_its_rows(store: Database) -> None:
    """Due, in flight, never written, shown too long."""
    rows = _rows()

    def fill(tx: SqlTx) -> None:
        tx.connection.execute(insert(t.channel_level), rows)

    store.write_now(fill)
    found = store.read_now(lambda tx: channel_counts(tx, NOW))
    assert found.keys() == {"london", "dubai", "paris"}
    for name, counts in found.items():
        mine = [row for row in rows if row["channel"] == name]
        due = [
            row
            for row in mine
            if not row["problem"]
            and row["target"] is not None
            and (row["target"] != row["published"] or row["unsure"])
        ]
        assert (counts.levels, counts.due) == (len(mine), len(due))
        assert counts.in_flight == sum(row["push"] is not None for row in mine)
        assert counts.problems == sum(row["problem"] not in ("", IN_DOUBT) for row in mine)
        assert counts.exposed_units == sum(row["exposure_units"] for row in mine)
        seconds = sum(row["exposure_unit_seconds"] + 10 * row["exposure_units"] for row in mine)
        assert counts.exposure_unit_seconds == pytest.approx(seconds)


async def test_no_row_of_a_large_house_is_looked_at_for_them(store: Database) -> None:
    """Each count has an index that holds its few rows ready; the number of levels comes from the key's."""
    if store.read_now(lambda tx: tx.connection.dialect.name) != "sqlite":
        pytest.skip("PostgreSQL decides by how many rows there are")
    conditions = (
        "push IS NULL AND problem = '' AND (target <> published OR unsure) AND target IS NOT NULL",
        "push IS NOT NULL",
        "problem <> ''",
        "exposure_units > 0",
        "exposure_unit_seconds > 0",
    )

    channel = t.channel_level.c.channel

    def plans(tx: SqlTx) -> list[str]:
        wanted = [select(channel, func.count()).where(text(each)).group_by(channel) for each in conditions]
        return [tx.connection.execute(text(f"EXPLAIN QUERY PLAN {each}")).one()[3] for each in wanted]

    for condition, plan in zip(conditions, store.read_now(plans), strict=True):
        assert "USING" in plan, (condition, plan)
        assert "ix_channel_level" in plan, (condition, plan)
