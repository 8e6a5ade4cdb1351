"""Folding old movements into opening rows: what may fold, and that nothing is changed by it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsync.domain.fold import (
    CALLS,
    MERGED_CHARACTERS,
    ROWS_A_CALL,
    Fold,
    Folded,
    Kept,
    LedgerRow,
    from_text,
    plan,
    to_text,
    totals,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind, fold_subject

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
OLD = NOW - timedelta(days=200)
BEFORE = NOW - timedelta(days=90)
BAG, ATELIER = LevelKey("BAG", "ECOM"), LevelKey("BAG", "ATELIER")


def row(
    subject: str,
    step: int | None = 0,
    on_hand: int = 0,
    reserved: int = 0,
    *,
    level: LevelKey = BAG,
    kind: MovementKind = MovementKind.ORDER,
    at: datetime = OLD,
    ours: bool = True,
    key: str | None = None,
) -> LedgerRow:
    """A ledger row; its id says what it is."""
    if key is None:
        key = "" if step is None else f"{subject}:{step}"
    movement = Movement(key, subject, level, kind, on_hand, reserved, "", "", at)
    return LedgerRow(f"{subject}/{step}/{on_hand}/{reserved}/{at:%j}", movement, 1, at, ours)


def shipped(number: int, units: int = 1) -> list[LedgerRow]:
    """An order line that was reserved and delivered."""
    subject = f"order:dubai:{number}:1"
    return [row(subject, 0, 0, units), row(subject, 1, -units, -units)]


def person(on_hand: int, at: datetime = OLD, number: int = 0, reserved: int = 0) -> LedgerRow:
    """A movement that somebody entered by hand: no key, no subject."""
    made = row("", None, on_hand, reserved, at=at, ours=False, kind=MovementKind.RECEIPT)
    return replace(made, id=f"person {number} {on_hand} {reserved}")


def opening(on_hand: int, said: dict[str, Folded], step: int = 0) -> LedgerRow:
    """What an earlier fold left behind."""
    made = row(fold_subject(BAG), step, on_hand, kind=MovementKind.OPENING)
    return replace(made, version_delta=7, folded=said)


RECEIPT = person(10)
YOUNG = NOW - timedelta(days=3)


@pytest.mark.parametrize(
    ("story", "rows", "elsewhere", "open_subjects", "reason", "stay"),
    [
        ("an open order", [row("order:a:1:1", 0, 0, 1)], [], set(), Kept.OPEN, 1),
        ("part delivered", [row("o:1", 0, 0, 2), row("o:1", 1, -1, -1)], [], set(), Kept.OPEN, 2),
        (
            "open at another level",
            [row("r:1", 0, 0, 1), row("r:1", 1, 0, -1)],
            [row("r:1", 2, 0, 1, level=ATELIER)],
            set(),
            Kept.OPEN,
            2,
        ),
        (
            "levels that only net out together",
            [row("r:1", 0, 0, 1)],
            [row("r:1", 1, 0, -1, level=ATELIER)],
            set(),
            Kept.OPEN,
            1,
        ),
        ("something of it waits with us", shipped(1), [], {"order:dubai:1:1"}, Kept.OPEN, 2),
        (
            "returned the day before yesterday",
            [*shipped(1), row("order:dubai:1:1", 2, 1, 0, at=YOUNG)],
            [],
            set(),
            Kept.YOUNG,
            3,
        ),
        (
            "a young row at another level",
            shipped(1),
            [row("order:dubai:1:1", 2, 1, 0, at=YOUNG, level=ATELIER)],
            set(),
            Kept.YOUNG,
            2,
        ),
        ("another system's key", [row("pos", 0, -1, ours=False, key="POS-77")], [], set(), Kept.FOREIGN, 1),
        ("a key not made from its subject", [row("pos", 0, -1, key="POS-77")], [], set(), Kept.FOREIGN, 1),
        ("a person's open reservation", [person(0, reserved=2)], [], set(), Kept.OPEN, 1),
        ("the newest count", [row("count:1", 0, -1, kind=MovementKind.COUNT)], [], set(), Kept.COUNT, 1),
        (
            "more rows than a call deletes",
            [row("o:1", step, 0, 1 if step % 2 == 0 else -1) for step in range(ROWS_A_CALL + 2)],
            [],
            set(),
            Kept.LARGE,
            ROWS_A_CALL + 2,
        ),
        (
            "an opening row with a long text",
            [opening(3, {"x" * MERGED_CHARACTERS: Folded(1, 3)})],
            [],
            set(),
            Kept.OPENING,
            1,
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)
def test_a_row_that_must_stay_stays_and_the_reason_is_told(
    story: str,
    rows: list[LedgerRow],
    elsewhere: list[LedgerRow],
    open_subjects: set[str],
    reason: Kept,
    stay: int,
) -> None:
    """Open, young, another system's, the newest count: beside two receipts that fold."""
    receipts = [person(4, number=1), person(5, number=2)]
    found = plan(BAG, [*receipts, *rows], elsewhere, before=BEFORE, open_subjects=open_subjects)
    assert found.fold is not None, story
    assert {each for call in found.fold.calls for each in call} == {each.id for each in receipts}, story
    assert found.kept == {reason: stay}, story


def test_a_delivered_order_and_a_receipt_become_one_row_that_remembers_the_order() -> None:
    """Ten received, one sold: nine on hand, four versions and one more, the order's next step is 2."""
    found = plan(BAG, [person(10), *shipped(1), person(-1, number=2)], [], before=BEFORE)
    assert found.fold is not None
    assert found.fold.opening.on_hand_delta == 8
    assert found.fold.opening.reserved_delta == 0
    assert found.fold.opening.kind is MovementKind.OPENING
    assert found.fold.opening.key == "fold:BAG|ECOM:0"
    assert found.fold.version_delta == 5
    assert found.fold.folded == {"order:dubai:1:1": Folded(2, -1)}
    assert found.fold.opening_first


def test_sales_without_the_receipt_fold_with_the_opening_row_last() -> None:
    """Entered first, a negative opening row would pass through a level with stock missing."""
    found = plan(BAG, [person(10, at=YOUNG), *shipped(1), *shipped(2)], [], before=BEFORE)
    assert found.fold is not None
    assert found.fold.opening.on_hand_delta == -2
    assert not found.fold.opening_first


def test_a_person_s_reservation_and_release_fold_together() -> None:
    """Nobody's rows have no subject; what they reserved and gave back is closed together."""
    found = plan(BAG, [person(0, reserved=2), person(0, reserved=-2, number=1)], [], before=BEFORE)
    assert found.fold is not None
    assert found.fold.rows == 2
    assert found.fold.folded == {}


def test_an_older_count_folds_and_the_newest_stays() -> None:
    """A late posting is held against the newest count; the ones before it say nothing any more."""
    counts = [row(f"count:{n}", 0, -1, kind=MovementKind.COUNT, at=OLD + timedelta(days=n)) for n in range(3)]
    found = plan(BAG, counts, [], before=BEFORE)
    assert found.fold is not None
    assert set(found.fold.folded) == {"count:0", "count:1"}


def test_a_small_opening_row_folds_again_and_its_memory_is_added() -> None:
    """The order was folded before, returned, and folds again: one entry with the sum of both."""
    earlier = opening(9, {"order:dubai:1:1": Folded(2, -1), "order:dubai:2:1": Folded(2, -1)})
    returned = row("order:dubai:1:1", 2, 1, kind=MovementKind.RETURN)
    found = plan(BAG, [earlier, returned, person(1)], [], before=BEFORE)
    assert found.fold is not None
    assert found.fold.folded == {"order:dubai:1:1": Folded(3, 0), "order:dubai:2:1": Folded(2, -1)}
    assert found.fold.fresh == {"order:dubai:1:1": Folded(3, 1)}
    assert found.fold.version_delta == 7 + 1 + 1 + 1
    assert found.fold.opening.key == "fold:BAG|ECOM:1"


def test_opening_rows_alone_are_not_folded_over_and_over() -> None:
    """Every night the same two rows would change nothing and cost a request."""
    found = plan(BAG, [opening(1, {}), opening(2, {}, 1)], [], before=BEFORE)
    assert found.fold is None
    assert found.kept == {Kept.FEW: 2}


def test_a_request_takes_a_thousand_rows_and_says_how_many_are_left() -> None:
    """Five calls of two hundred; an order's two rows are never in different calls."""
    rows = [each for number in range(900) for each in shipped(number)]
    found = plan(BAG, rows, [], before=BEFORE)
    assert found.fold is not None
    assert [len(call) for call in found.fold.calls] == [ROWS_A_CALL] * CALLS
    assert found.more == 800
    by_id = {each.id: each for each in rows}
    for call in found.fold.calls:
        assert sum(by_id[each].movement.reserved_delta for each in call) == 0


def test_the_text_of_an_opening_row_is_read_as_it_was_written() -> None:
    """Whatever a storefront calls its lines; and never a composite's reference."""
    said = {"order:dubai:@{singles[0].id}:1": Folded(3, -2), "サンダル|'\"\\": Folded(0, 5)}
    assert from_text(to_text(said)) == said
    assert "@{" not in to_text(said)


@pytest.mark.parametrize(
    "text", ["[]", '{"v":2,"s":{}}', '{"v":1,"s":{"a":[1]}}', '{"v":1,"s":{"a":[1,"2"]}}']
)
def test_a_damaged_text_is_refused(text: str) -> None:
    """A memory that cannot be read must not pass for an empty one."""
    with pytest.raises(ValueError, match="opening row"):
        from_text(text)


# -- any ledger at all -------------------------------------------------------------------------------


@dataclass
class Ledger:
    """A level in the org: its rows, and the rule after every statement."""

    rows: dict[str, LedgerRow]
    strict: bool  # the fallback rule
    made: int = 0
    seen: list[tuple[int, int]] = field(default_factory=list)

    def on_hand(self) -> int:
        return sum(each.movement.on_hand_delta for each in self.rows.values())

    def reserved(self) -> int:
        return sum(each.movement.reserved_delta for each in self.rows.values())

    def version(self) -> int:
        return sum(each.version_delta for each in self.rows.values())

    def remembered(self) -> dict[str, tuple[int, int, int]]:
        """(next step, on hand, reserved) by subject, folded or not: what a lost store finds."""
        found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
        for each in self.rows.values():
            if each.folded is None:
                for subject, part in totals([each]).items():
                    if subject != fold_subject(BAG):
                        _add(found[subject], part, each.movement.reserved_delta)
            for subject, part in (each.folded or {}).items():
                _add(found[subject], part, 0)
        return {subject: (step, on_hand, reserved) for subject, (step, on_hand, reserved) in found.items()}

    def enter(self, fold: Fold) -> None:
        """The request, statement by statement."""
        if fold.opening_first:
            self._open(fold)
        for call in fold.calls:
            self._statement({key: each for key, each in self.rows.items() if key not in call})
        if not fold.opening_first:
            self._open(fold)

    def _open(self, fold: Fold) -> None:
        self.made += 1
        made = LedgerRow(
            f"opening {self.made}",
            fold.opening,
            fold.version_delta,
            NOW,
            True,
            from_text(to_text(fold.folded)),
        )
        self._statement(self.rows | {made.id: made})

    def _statement(self, after: dict[str, LedgerRow]) -> None:
        before = self.reserved()
        self.rows = after
        on_hand, reserved = self.on_hand(), self.reserved()
        self.seen.append((on_hand, reserved))
        if self.strict:
            assert reserved <= on_hand or self.oversold_before, "the fallback rule refuses"
        assert not (reserved > before and on_hand < reserved), "the rule refuses"

    oversold_before: bool = False


def _add(total: list[int], part: Folded, reserved: int) -> None:
    total[0] = max(total[0], part.next_step)
    total[1] += part.on_hand
    total[2] += reserved


@st.composite
def ledgers(draw: st.DrawFn) -> list[LedgerRow]:
    """Receipts, people's sales, and subjects with any steps, of any age."""
    rows: list[LedgerRow] = []
    for number in range(draw(st.integers(0, 12))):
        at = draw(st.sampled_from([OLD, YOUNG]))
        rows.append(person(draw(st.integers(-5, 9)), at, number))
    for number in range(draw(st.integers(0, 8))):
        subject = f"order:{number}"
        held = 0
        for step in range(draw(st.integers(1, 5))):
            change = draw(st.sampled_from([1, 1, -1, -held]))
            held += change
            at = draw(st.sampled_from([OLD, OLD, OLD, YOUNG]))
            rows.append(row(subject, step, draw(st.integers(-2, 2)), change, at=at))
    return rows


@settings(max_examples=400)
@given(ledgers(), st.integers(1, 3), st.booleans())
def test_a_fold_changes_nothing_but_the_number_of_rows(
    rows: Sequence[LedgerRow], runs: int, strict: bool
) -> None:
    """Stock, versions (one more each), each subject's totals and next step; no state in between is worse.

    An oversold level may fold too: its reserved never moves, and its on hand never falls below.
    """
    ledger = Ledger({each.id: each for each in rows}, strict)
    assert len(ledger.rows) == len(rows)
    for _ in range(runs):
        numbers = ledger.on_hand(), ledger.reserved()
        version, remembered = ledger.version(), ledger.remembered()
        count, ledger.seen, ledger.oversold_before = len(ledger.rows), [], numbers[0] < numbers[1]
        fold = plan(BAG, list(ledger.rows.values()), [], before=BEFORE).fold
        if fold is None:
            break
        ledger.enter(fold)
        assert (ledger.on_hand(), ledger.reserved()) == numbers
        assert ledger.version() == version + 1
        assert ledger.remembered() == remembered
        assert len(ledger.rows) == count - fold.rows + 1 < count
        assert all(on_hand >= numbers[0] and reserved == numbers[1] for on_hand, reserved in ledger.seen)
        kept = {key for call in fold.calls for key in call}
        assert not any(each.created_at >= BEFORE for each in rows if each.id in kept)
