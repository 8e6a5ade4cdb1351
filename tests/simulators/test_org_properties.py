"""Whatever is asked of the simulated org, its levels add up and its promise holds."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from sfsync.simulators.org.engine import Caller
from sfsync.simulators.org.model import ChangeKind, Commit
from sfsync.simulators.org.org import Org, OrgConfig, build_org
from sfsync.simulators.org.save import Operation

SOURCE = Path(__file__).resolve().parents[2] / "salesforce"
TILL = Caller("005Wt0000000001IAA", "till")
LEVELS = 3

_deltas = st.integers(-4, 6)
_counted = st.one_of(st.none(), st.integers(1, 9).map(lambda day: datetime(2026, 11, day, tzinfo=UTC)))
_keys = st.sampled_from(["k1", "k2", "k3", None])
_row = st.tuples(st.integers(0, LEVELS - 1), _deltas, _deltas, _keys, _counted)
_step = st.one_of(
    st.tuples(st.just("insert"), st.lists(_row, min_size=1, max_size=6), st.booleans()),
    st.tuples(st.just("delete"), st.lists(st.integers(0, 40), min_size=1, max_size=3), st.booleans()),
    st.tuples(st.just("undelete"), st.lists(st.integers(0, 40), min_size=1, max_size=3), st.booleans()),
)


def _org(attribution: str) -> Org:
    seed = {"levels": [{"sku": f"S{number}", "location": "L", "on_hand": 2} for number in range(LEVELS)]}
    return build_org(OrgConfig(SOURCE, (f"rollup_error_attribution={attribution}",), seed=seed))


def _operations(org: Org, kind: str, items: list[Any]) -> list[Operation]:
    sobject = org.schema.objects["StockMovement__c"]
    table = org.engine.store.tables["StockMovement__c"]
    if kind == "insert":
        levels = list(org.engine.store.tables["StockLevel__c"].rows)
        return [
            Operation(
                sobject,
                ChangeKind.CREATE,
                {
                    "StockLevel__c": levels[level],
                    "OnHandDelta__c": float(on_hand),
                    "ReservedDelta__c": float(reserved),
                    "IdempotencyKey__c": key,
                    "Kind__c": "Adjustment" if counted is None else "Count",
                    "OccurredAt__c": counted,
                },
            )
            for level, on_hand, reserved, key, counted in items
        ]
    rows = list(table.rows) if kind == "delete" else list(table.deleted)
    chosen = dict.fromkeys(rows[number % len(rows)] for number in items if rows)
    what = ChangeKind.DELETE if kind == "delete" else ChangeKind.UNDELETE
    return [Operation(sobject, what, record_id=record_id) for record_id in chosen]


def _check_sums(org: Org) -> None:
    """Each roll-up is the sum, or the newest, of the live movements; each key stands once."""
    movements = list(org.engine.store.tables["StockMovement__c"].rows.values())
    for level in org.engine.store.tables["StockLevel__c"].rows.values():
        own = [row for row in movements if row["StockLevel__c"] == level["Id"]]
        for total, part in (("OnHand__c", "OnHandDelta__c"), ("Reserved__c", "ReservedDelta__c")):
            assert level[total] == sum(row[part] for row in own)
        assert level["Version__c"] == len(own)
        counts = [row["OccurredAt__c"] for row in own if row["Kind__c"] == "Count"]
        assert level["CountedAt__c"] == max(filter(None, counts), default=None)
        assert level["Available__c"] == level["OnHand__c"] - level["Reserved__c"]
    keys = [row["IdempotencyKey__c"] for row in movements if row["IdempotencyKey__c"]]
    assert len(keys) == len(set(keys))


@settings(max_examples=120, deadline=None)
@given(st.sampled_from(["all", "last"]), st.lists(_step, max_size=12))
def test_levels_add_up_and_no_reservation_goes_beyond_stock(
    attribution: str, steps: list[tuple[str, list[Any], bool]]
) -> None:
    """After any inserts, deletes and restorations, partly refused or not, in either mode."""
    org = _org(attribution)
    commits: list[Commit] = []
    org.engine.on_commit = commits.append
    for kind, items, all_or_none in steps:
        operations = _operations(org, kind, items)
        transaction = org.engine.begin(TILL)
        org.engine.dml_now(transaction, operations, all_or_none=all_or_none)
        org.engine.commit_now(transaction)
        if all_or_none:
            assert len({each.saved for each in operations}) <= 1
        _check_sums(org)
    for commit in commits:
        for change in commit.changes:
            if change.entity == "StockLevel__c" and change.before and change.after:
                raised = change.after["Reserved__c"] > change.before["Reserved__c"]
                assert not (raised and change.after["OnHand__c"] < change.after["Reserved__c"])


@settings(max_examples=60, deadline=None)
@given(st.lists(_step, max_size=8))
def test_a_rolled_back_transaction_leaves_the_org_as_it_was(steps: list[tuple[str, list[Any], bool]]) -> None:
    """Rows, indexes and the recycle bin: everything it wrote stood in its own layer."""
    org = _org("all")
    before = _snapshot(org)
    transaction = org.engine.begin(TILL)
    for kind, items, all_or_none in steps:
        org.engine.dml_now(transaction, _operations(org, kind, items), all_or_none=all_or_none)
    org.engine.roll_back(transaction)
    assert _snapshot(org) == before


def _snapshot(org: Org) -> Any:
    return {
        name: (
            dict(table.rows),
            dict(table.deleted),
            {each: dict(index) for each, index in table.unique.items()},
        )
        for name, table in org.engine.store.tables.items()
    }
