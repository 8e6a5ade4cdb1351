"""One of one: each piece has a stock level of its own, and whoever gets a piece gets that very one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sfsync.domain.orders import LineFacts, OrderLine, PlaceFacts, next_step
from sfsync.domain.reservations import ReservationLine, chosen, levels_at
from sfsync.domain.stock import LevelKey, Movement, MovementKind, step_key

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
A, B, C = (LevelKey("BAG", "VAULT", unit) for unit in ("A-1", "B-2", "C-3"))
TOWN = LevelKey("BAG", "TOWN", "D-4")
PLAIN, EMPTY = LevelKey("SCARF", "VAULT"), LevelKey("BAG", "VAULT")
RETURNS = LevelKey("BAG", "RETURNS")
LINE = "order:london:1001:1"


@pytest.mark.parametrize(
    ("quantity", "sellable", "expected"),
    [
        (1, {A: 1, B: 1}, [(A, 1)]),
        (1, {A: 0, B: 1}, [(B, 1)]),
        (2, {A: 1, B: 0, C: 1}, [(A, 1), (C, 1)]),
        # both from one place, though the better place has one
        (
            2,
            {A: 1, TOWN: 1, LevelKey("BAG", "TOWN", "E-5"): 1},
            [(TOWN, 1), (LevelKey("BAG", "TOWN", "E-5"), 1)],
        ),
        # too few: the org is asked for all of it where most are, and refuses
        (3, {A: 1, B: 1, TOWN: 1}, [(A, 1), (B, 2)]),
        (1, {A: 0, B: 0}, [(A, 1)]),
        # units that are all alike come out of one level
        (3, {PLAIN: 5}, [(PLAIN, 3)]),
        (9, {PLAIN: 5}, [(PLAIN, 9)]),
        # an old level without units beside the pieces
        (1, {EMPTY: 0, A: 1}, [(A, 1)]),
    ],
)
def test_a_reservation_takes_as_many_pieces_as_it_wants_out_of_one_place(
    quantity: int, sellable: dict[LevelKey, int], expected: list[tuple[LevelKey, int]]
) -> None:
    """Two of a limited bag are two numbered pieces that lie in one vault."""
    assert chosen(quantity, list(sellable), sellable) == expected


def row(step: int, level: LevelKey, on_hand: int = 0, reserved: int = 0) -> Movement:
    kind = MovementKind.ORDER
    return Movement(step_key(LINE, step), LINE, level, kind, on_hand, reserved, "", "", NOW)


def steps(
    line: OrderLine, rows: list[Movement], free: dict[LevelKey, int], back: LevelKey | None = None
) -> list[tuple[str, int, int]]:
    """(level, on hand, reserved) of every movement until the line is at rest."""
    found: list[tuple[str, int, int]] = []
    fit = sorted(key for key in {A, B, C} | free.keys() if line.unit in (None, key.unit))
    named = PlaceFacts(fit, line.open_quantity, line.fulfilled_quantity, line.returned_quantity)
    for _ in range(9):
        facts = LineFacts(
            LINE,
            line,
            rows,
            len(rows),
            fit,
            free,
            (),
            False,
            "#1",
            "v",
            NOW,
            back,
            (named,) if line.unit else (),
        )
        made = next_step(facts).bundle
        if not made:
            return found
        for movement in made:
            rows = [*rows, movement]
            free = free | {
                movement.level: free.get(movement.level, 0) + movement.on_hand_delta - movement.reserved_delta
            }
            found.append((str(movement.level), movement.on_hand_delta, movement.reserved_delta))
    pytest.fail("the line never came to rest")


HELD = [row(0, A, reserved=1), row(1, C, reserved=1)]
GONE = [row(0, A, on_hand=-1), row(1, C, on_hand=-1)]


@pytest.mark.parametrize(
    ("line", "rows", "free", "back", "expected"),
    [
        # sold without naming a piece: whichever are there, one step each
        (
            OrderLine("1", "BAG", 2),
            [],
            {A: 1, B: 0, C: 1},
            None,
            [("BAG|VAULT|A-1", 0, 1), ("BAG|VAULT|C-3", 0, 1)],
        ),
        # sold by its serial number: that one
        (OrderLine("1", "BAG", 1, unit="B-2"), [], {A: 1, B: 1}, None, [("BAG|VAULT|B-2", 0, 1)]),
        # sent: the pieces that were held for it
        (
            OrderLine("1", "BAG", 0, 2),
            HELD,
            {},
            None,
            [("BAG|VAULT|A-1", -1, -1), ("BAG|VAULT|C-3", -1, -1)],
        ),
        # sent before anybody held them: two pieces, not one twice
        (
            OrderLine("1", "BAG", 0, 2),
            [],
            {A: 1, B: 1},
            None,
            [("BAG|VAULT|A-1", -1, 0), ("BAG|VAULT|B-2", -1, 0)],
        ),
        # both came back: each to its own level
        (OrderLine("1", "BAG", 0, 2, 2), GONE, {}, None, [("BAG|VAULT|A-1", 1, 0), ("BAG|VAULT|C-3", 1, 0)]),
        # both came back to where returns wait: still those two pieces
        (
            OrderLine("1", "BAG", 0, 2, 2),
            GONE,
            {},
            RETURNS,
            [("BAG|RETURNS|A-1", 1, 0), ("BAG|RETURNS|C-3", 1, 0)],
        ),
        # the shop names the piece after one was taken: exchanged in one bundle, or not at all
        (
            OrderLine("1", "BAG", 1, unit="B-2"),
            [row(0, A, reserved=1)],
            {B: 1},
            None,
            [("BAG|VAULT|A-1", 0, -1), ("BAG|VAULT|B-2", 0, 1)],
        ),
        (OrderLine("1", "BAG", 1, unit="B-2"), [row(0, A, reserved=1)], {B: 0}, None, []),
        # the named piece was sent although another was held: what left is what the shop said
        (
            OrderLine("1", "BAG", 0, 1, unit="B-2"),
            [row(0, A, reserved=1)],
            {B: 1},
            None,
            [("BAG|VAULT|A-1", 0, -1), ("BAG|VAULT|B-2", -1, 0)],
        ),
    ],
)
def test_a_line_holds_sends_and_takes_back_its_very_pieces(
    line: OrderLine,
    rows: list[Movement],
    free: dict[LevelKey, int],
    back: LevelKey | None,
    expected: list[tuple[str, int, int]],
) -> None:
    """The bag with number 7 is sold, sent and comes back as number 7."""
    assert steps(line, rows, free, back) == expected


def test_keys_with_and_without_a_unit_stand_in_one_order() -> None:
    """An old level without a unit beside numbered pieces confuses nobody."""
    assert sorted([B, A, EMPTY, TOWN]) == [TOWN, EMPTY, A, B]
    assert max([EMPTY, A]) == A


E = LevelKey("BAG", "TOWN", "E-5")
ONE, OTHER = ReservationLine(A, 1), ReservationLine(B, 1)
NAMED = ReservationLine(A, 1, named=True)


@pytest.mark.parametrize(
    ("lines", "location", "free", "expected"),
    [
        ((ONE,), None, {A: 1, B: 1}, (A,)),
        ((ONE,), None, {A: 0, B: 1}, (B,)),
        ((ONE,), None, {A: 0, B: 0}, (A,)),  # nothing is free: the org is asked for it, and says no
        ((NAMED,), None, {A: 0, B: 1}, (A,)),
        ((ONE, OTHER), None, {A: 0, B: 0, C: 1}, (C, B)),
        ((ONE, OTHER), "TOWN", {TOWN: 1, E: 1}, (TOWN, E)),
        ((NAMED,), "TOWN", {TOWN: 1}, (LevelKey("BAG", "TOWN", "A-1"),)),
        ((ReservationLine(PLAIN, 2),), "TOWN", {}, (LevelKey("SCARF", "TOWN"),)),
    ],
)
def test_a_piece_that_nobody_named_may_be_another_one(
    lines: tuple[ReservationLine, ...],
    location: str | None,
    free: dict[LevelKey, int],
    expected: tuple[LevelKey, ...],
) -> None:
    """Held at another shop, or paid for too late: any piece of that bag will do, unless one was named."""
    assert levels_at(lines, location, free) == expected
