"""An order that two sources tell of, and the ledger that comes of it, whatever arrives when and how often."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsync.domain.orders import LineFacts, OrderLine, OrderSnapshot, next_step
from sfsync.domain.org_orders import (
    OrgItem,
    OrgOrder,
    OrgOrderRules,
    OrgReduction,
    OrgReturnLine,
    snapshot,
)
from sfsync.domain.sources import Source, Word, Words, pair, wanted
from sfsync.domain.stock import LevelKey, Movement, order_line_subject

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
RULES = OrgOrderRules({"Web": "london"}, received_statuses=frozenset({"Closed"}))
ON_HAND = 100


@dataclass
class Ledger:
    """Plenty of everything at one place, and a place for returns; keys are unique."""

    rows: dict[str, Movement] = field(default_factory=dict)

    def of(self, subject: str) -> list[Movement]:
        return [row for row in self.rows.values() if row.subject == subject]

    def sums(self) -> Counter[tuple[str, str]]:
        found: Counter[tuple[str, str]] = Counter()
        for row in self.rows.values():
            found[row.level.sku, f"reserved {row.level.location}"] += row.reserved_delta
            found[row.level.sku, f"on hand {row.level.location}"] += row.on_hand_delta
        return Counter({key: value for key, value in found.items() if value})


@dataclass
class Desk:
    """Records what either source tells, and brings the ledger there."""

    authority: Source
    ledger: Ledger = field(default_factory=Ledger)
    order: dict[str, Words] = field(default_factory=dict)

    def hear(self, told: OrderSnapshot, source: Source) -> None:
        for subject, line in zip(pair(self.order, told.lines, source), told.lines, strict=True):
            key = subject or order_line_subject(told.channel, told.order_id, line.line_id)
            known = self.order.setdefault(key, {}).get(source)
            if known is None or known.version <= told.version:
                self.order[key] = {**self.order[key], source: Word(told.version, line)}
        for subject, line in wanted(self.order, self.authority).items():
            self._bring(subject, line)

    def _bring(self, subject: str, line: OrderLine) -> None:
        level, back = LevelKey(line.sku, "ECOM"), LevelKey(line.sku, "RETURNS")
        for _ in range(30):
            rows = self.ledger.of(subject)
            there = {level: ON_HAND}
            facts = LineFacts(
                subject, line, rows, len(rows), [level], there, (), False, "#1", "v", NOW, returns_to=back
            )
            step = next_step(facts)
            assert not step.uncovered
            if not step.bundle:
                return
            for row in step.bundle:
                assert row.key not in self.ledger.rows
                self.ledger.rows[row.key] = row
        pytest.fail("the line never came to rest")


@dataclass(frozen=True)
class Truth:
    """One line of the order as it really went: units ordered, cancelled, delivered, and back."""

    sku: str
    ordered: int
    cancelled: int
    delivered: int
    back: int


def from_shop(truths: list[Truth], version: int) -> OrderSnapshot:
    lines = tuple(
        OrderLine(
            str(number),
            each.sku,
            each.ordered - each.cancelled - each.delivered,
            each.delivered,
            each.back,
        )
        for number, each in enumerate(truths)
    )
    return OrderSnapshot("london", "7", "#1001", NOW + timedelta(seconds=version), NOW, lines)


def from_org(truths: list[Truth], version: int) -> OrderSnapshot:
    items = [
        OrgItem(f"802{number}", each.sku, each.ordered, each.delivered) for number, each in enumerate(truths)
    ]
    less = [
        OrgReduction(f"802{number}", -each.cancelled, "Activated", "Activated")
        for number, each in enumerate(truths)
    ]
    back = [
        OrgReturnLine(f"0r{number}", "RO", each.sku, each.back, each.back, "Closed", NOW, f"802{number}")
        for number, each in enumerate(truths)
    ]
    order = OrgOrder("801", "00001", "Activated", "Activated", NOW, items, less, back, "Web", "#1001")
    return snapshot(order, RULES, NOW - timedelta(days=1) + timedelta(seconds=version))


@st.composite
def lives(draw: st.DrawFn) -> list[list[Truth]]:
    """An order of one to three lines, and how it goes on; each stage is a state that both may tell."""
    goods = st.tuples(st.sampled_from(["BAG-1", "BELT"]), st.integers(1, 4))
    lines = draw(st.lists(goods, min_size=1, max_size=3))
    life = [[Truth(sku, units, 0, 0, 0) for sku, units in lines]]
    for _ in range(draw(st.integers(0, 4))):
        stage = list(life[-1])
        at = draw(st.integers(0, len(stage) - 1))
        each = stage[at]
        open_ = each.ordered - each.cancelled - each.delivered
        what = draw(st.sampled_from(["more", "cancel", "deliver", "return"]))
        if what == "more":
            each = replace(each, ordered=each.ordered + 1)
        elif what == "cancel" and open_:
            each = replace(each, cancelled=each.cancelled + 1)
        elif what == "deliver" and open_:
            each = replace(each, delivered=each.delivered + 1)
        elif what == "return" and each.back < each.delivered:
            each = replace(each, back=each.back + 1)
        stage[at] = each
        life.append(stage)
    return life


@settings(max_examples=300, deadline=None)
@given(lives(), st.sampled_from(Source), st.booleans(), st.randoms(use_true_random=False))
def test_the_ledger_is_the_orders_truth_once_both_sources_have_told_it_all(
    life: list[list[Truth]], authority: Source, authority_ends_it: bool, chance: random.Random
) -> None:
    """Late, twice, in any order, from either; and when only the authority tells the end, the end counts."""
    tellers = {Source.CHANNEL: from_shop, Source.ORG: from_org}
    arrivals = [(source, stage) for source in Source for stage in range(len(life))] * 2
    if authority_ends_it:
        arrivals = [each for each in arrivals if each[0] is authority or each[1] < len(life) - 1]
    chance.shuffle(arrivals)
    desk = Desk(authority)
    for source, stage in arrivals:
        desk.hear(tellers[source](life[stage], stage), source)
    expected: Counter[tuple[str, str]] = Counter()
    for each in life[-1]:
        expected[each.sku, "reserved ECOM"] += each.ordered - each.cancelled - each.delivered
        expected[each.sku, "on hand ECOM"] -= each.delivered
        expected[each.sku, "on hand RETURNS"] += each.back
    assert desk.ledger.sums() == Counter({key: value for key, value in expected.items() if value})
