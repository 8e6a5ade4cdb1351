"""An order line's next step: whatever is told of an order, in whatever order, the ledger ends up right."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.moments import Moment
from sfsync.domain.orders import (
    Holding,
    LineFacts,
    NextStep,
    OrderLine,
    OrderSnapshot,
    PlaceFacts,
    completes,
    handed_to,
    newer,
    next_step,
    source,
    total,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind, step_key

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
WEB, SHOP = LevelKey("BAG-1", "ECOM"), LevelKey("BAG-1", "KNIGHTSBRIDGE")
BACK = LevelKey("BAG-1", "RETURNS")
LINE = "order:london:1001:1"
CART, POOL = "reservation:r1:0", "allocation:london:BAG-1|ECOM"
K = MovementKind


def wish(open_: int, fulfilled: int = 0, returned: int = 0) -> OrderLine:
    return OrderLine("1", "BAG-1", open_, fulfilled, returned)


def row(step: int, reserved: int = 0, on_hand: int = 0, level: LevelKey = WEB) -> Movement:
    return Movement(step_key(LINE, step), LINE, level, K.ORDER, on_hand, reserved, "", "", NOW)


def step(
    line: OrderLine,
    *rows: Movement,
    sellable: Mapping[LevelKey, int] | None = None,
    holdings: tuple[Holding, ...] = (),
    vain: bool = False,
    handed: Mapping[LevelKey, int] | None = None,
    others: Set[LevelKey] = frozenset(),
) -> NextStep:
    there = {WEB: 5, SHOP: 1} if sellable is None else sellable
    facts = LineFacts(LINE, line, rows, len(rows), (WEB, SHOP), there, holdings, vain, "#1001", "v1", NOW)
    return next_step(replace(facts, handed_over=handed or {}, others=others))


def told(found: NextStep) -> list[tuple[str, str, int, int]]:
    return [(m.key, f"{m.kind} {m.level.location}", m.on_hand_delta, m.reserved_delta) for m in found.bundle]


KEPT = Holding("reservation:r1:0", SHOP, 1, 1)  # in the boutique, for the customer to fetch
WAREHOUSE = PlaceFacts((WEB, SHOP), 2)


@pytest.mark.parametrize(
    ("open_", "rows", "holding", "places", "entered"),
    [
        # Nothing is reserved yet: what is kept first, then the rest.
        (2, (), True, (), [("Release KNIGHTSBRIDGE", -1), ("Order KNIGHTSBRIDGE", 1)]),
        # It took another one before it knew: that one goes back, and the one that is kept is the line's.
        (
            1,
            ((WEB, 1),),
            True,
            (),
            [("Release ECOM", -1), ("Release KNIGHTSBRIDGE", -1), ("Order KNIGHTSBRIDGE", 1)],
        ),
        # Its channel would send it from the warehouse: she fetches it all the same.
        (2, ((WEB, 1), (SHOP, 1)), False, (WAREHOUSE,), []),
        (
            2,
            ((WEB, 2),),
            True,
            (WAREHOUSE,),
            [("Release ECOM", -1), ("Release KNIGHTSBRIDGE", -1), ("Order KNIGHTSBRIDGE", 1)],
        ),
        (1, ((SHOP, 1),), False, (PlaceFacts((WEB,), 1),), []),
        # One is called off: not hers.
        (1, ((SHOP, 1), (WEB, 1)), False, (), [("Release ECOM", -1)]),
        # All of it was sent: nothing is kept for anybody.
        (0, ((WEB, 1), (WEB, -1)), True, (), []),
    ],
)
def test_what_a_boutique_keeps_for_the_customer_is_the_lines_there(
    open_: int,
    rows: tuple[tuple[LevelKey, int], ...],
    holding: bool,
    places: tuple[PlaceFacts, ...],
    entered: list[tuple[str, int]],
) -> None:
    """She comes to Knightsbridge, whatever the order took elsewhere before it knew."""
    line = wish(open_, 0)
    known = [row(at, units, level=level) for at, (level, units) in enumerate(rows)]
    holdings = (KEPT,) if holding else ()
    facts = LineFacts(
        LINE, line, known, len(known), (WEB, SHOP), {WEB: 5, SHOP: 0}, holdings, False, "#1001", "v1", NOW
    )
    found = next_step(replace(facts, places=places, kept={SHOP: 1}))
    assert [(f"{m.kind} {m.level.location}", m.reserved_delta) for m in found.bundle] == entered
    assert (found.uncovered, found.misplaced) == (0, 0)


MONDAY, WEDNESDAY = NOW - timedelta(days=3), NOW - timedelta(days=1)
AWAY = replace(wish(0, 1, 1), left=(Moment(MONDAY, 1),), came_back=(Moment(WEDNESDAY, 1),))


@pytest.mark.parametrize("rows", [(), (row(0, 1),), (row(0, 1), row(1, -1))])
def test_what_left_and_came_back_unheard_of_is_entered_as_both(rows: tuple[Movement, ...]) -> None:
    """Gone on Monday, back on Wednesday, heard of on Thursday: a count on Tuesday saw the empty shelf."""
    held = -sum(each.reserved_delta for each in rows)
    gone = step(AWAY, *rows)
    assert told(gone) == [(f"{LINE}:{len(rows)}", "Fulfilment ECOM", -1, held)]
    back = step(AWAY, *rows, *gone.bundle)
    assert told(back) == [(f"{LINE}:{len(rows) + 1}", "Return ECOM", 1, 0)]
    assert [gone.bundle[0].occurred_at, back.bundle[0].occurred_at] == [MONDAY, WEDNESDAY]
    assert told(step(AWAY, *rows, *gone.bundle, *back.bundle)) == []


@pytest.mark.parametrize(
    ("line", "rows"),
    [
        (wish(0, 1, 1), ()),  # its channel tells no moments
        (replace(AWAY, came_back=()), ()),
        (
            AWAY,
            (row(3),),
        ),  # four steps are folded into one row that holds nothing: nobody knows what they were
        (AWAY, (row(0, on_hand=-1), row(1, on_hand=1))),  # heard of before
        (
            AWAY,
            (row(0, on_hand=-1), row(1, on_hand=1), row(2, on_hand=-1), row(3, on_hand=1)),
        ),  # and corrected
    ],
)
def test_what_left_and_came_back_is_entered_once_and_only_where_its_moments_are_known(
    line: OrderLine, rows: tuple[Movement, ...]
) -> None:
    """Without moments the two would only undo each other; folded rows may have been these very ones."""
    steps = 1 + max((int(each.key.rpartition(":")[2]) for each in rows), default=-1)
    facts = LineFacts(LINE, line, rows, steps, (WEB, SHOP), {WEB: 5}, (), False, "#1001", "v1", NOW)
    assert next_step(facts) == NextStep()


def test_of_three_that_left_the_one_that_came_back_is_not_taken_for_the_last() -> None:
    """Three parcels on three days, one of them back: each has its own day, whatever is heard together."""
    days = [NOW - timedelta(days=number) for number in (5, 4, 3)]
    parcels = tuple(Moment(day, 1) for day in days)
    line = replace(wish(0, 3, 1), left=parcels, came_back=(Moment(WEDNESDAY, 1),))
    rows = [row(0, 3)]
    while bundle := step(line, *rows).bundle:
        rows += bundle
    entered = [(each.kind, each.on_hand_delta, each.reserved_delta, each.occurred_at) for each in rows[1:]]
    assert entered == [(K.FULFILMENT, -1, -1, day) for day in days] + [(K.RETURN, 1, 0, WEDNESDAY)]


def test_what_left_from_a_place_and_came_back_there_unheard_of_is_entered_there() -> None:
    """The boutique sent one and got it back while nobody listened; the warehouse's parcel was heard of."""
    left, back = (Moment(MONDAY, 1, "shop"), Moment(MONDAY, 1, "web")), (Moment(WEDNESDAY, 1, "shop"),)
    places = (
        PlaceFacts((WEB,), 0, 1, 0, left[1:]),
        PlaceFacts((SHOP,), 0, 1, 1, left[:1], back),
    )
    line = replace(wish(0, 2, 1), left=left, came_back=back)
    rows = [row(0, on_hand=-1)]
    for _ in range(2):
        facts = LineFacts(LINE, line, rows, len(rows), (WEB, SHOP), {}, (), False, "#1", "v1", NOW)
        rows += next_step(replace(facts, places=places)).bundle
    assert [(each.level, each.on_hand_delta, each.occurred_at) for each in rows[1:]] == [
        (SHOP, -1, MONDAY),
        (SHOP, 1, WEDNESDAY),
    ]


@pytest.mark.parametrize(
    ("line", "rows", "handed", "expected"),
    [
        # handed over before the order was heard of: nothing is asked, and nothing leaves a second time
        (wish(1), (), 1, None),
        (wish(0, 1), (), 1, None),
        # of two, one has been fetched: the other is still to be asked for, and to be sent
        (wish(2), (), 1, (f"{LINE}:0", "Order ECOM", 0, 1)),
        (wish(1, 1), (row(0, 1),), 1, None),
        (wish(0, 2), (row(0, 1),), 1, (f"{LINE}:1", "Fulfilment ECOM", -1, -1)),
        # fetched out of what the order held
        (wish(1), (row(0, 1), row(1, -1)), 1, None),
        (wish(0, 1), (row(0, 1), row(1, -1)), 1, None),
        # brought back: to where it was fetched
        (wish(0, 1, 1), (), 1, (f"{LINE}:0", "Return ECOM", 1, 0)),
        # the order is cancelled, and the goods are gone all the same
        (wish(0), (), 0, None),
    ],
)
def test_what_a_shop_handed_over_leaves_once(
    line: OrderLine, rows: tuple[Movement, ...], handed: int, expected: tuple[str, str, int, int] | None
) -> None:
    """Whether the channel says that it was sent before, after or never."""
    found = told(step(line, *rows, handed={WEB: handed} if handed else None))
    assert found == ([] if expected is None else [expected])


def test_lines_that_share_a_reservation_share_what_was_handed_over() -> None:
    """Each as much as it was sold, in the order of their names; never one unit in two."""
    lines = {"a": wish(1), "b": wish(1, 1), "c": wish(0)}
    handed = {WEB: 1, SHOP: 2}
    given = {each: handed_to(sorted(lines), lines, handed, each) for each in lines}
    assert given == {"a": {WEB: 1}, "b": {SHOP: 2}, "c": {}}


@pytest.mark.parametrize(
    ("line", "rows", "expected"),
    [
        # a new order asks; the same snapshot again asks nothing
        (wish(2), (), (f"{LINE}:0", "Order ECOM", 0, 2)),
        (wish(2), (row(0, 2),), None),
        # edited up and down
        (wish(3), (row(0, 2),), (f"{LINE}:1", "Order ECOM", 0, 1)),
        (wish(1), (row(0, 2),), (f"{LINE}:1", "Release ECOM", 0, -1)),
        # cancelled; cancelled again; cancelled before it was ever heard of
        (wish(0), (row(0, 2),), (f"{LINE}:1", "Release ECOM", 0, -2)),
        (wish(0), (row(0, 2), row(1, -2)), None),
        (wish(0), (), None),
        # edited 1, 2, 1, 2: each a step of its own
        (wish(2), (row(0, 1), row(1, 1), row(2, -1)), (f"{LINE}:3", "Order ECOM", 0, 1)),
        # fulfilled, in part; fulfilled before it was heard of
        (wish(1, 1), (row(0, 2),), (f"{LINE}:1", "Fulfilment ECOM", -1, -1)),
        (wish(0, 1), (), (f"{LINE}:0", "Fulfilment ECOM", -1, 0)),
        # returned: the goods come back where they left from
        (
            wish(0, 1, 1),
            (row(0, 1, 0, SHOP), row(1, -1, -1, SHOP)),
            (f"{LINE}:2", "Return KNIGHTSBRIDGE", 1, 0),
        ),
        # refunded without return: nothing
        (wish(0, 1), (row(0, 1), row(1, -1, -1)), None),
    ],
)
def test_the_next_step_of_a_line(
    line: OrderLine, rows: tuple[Movement, ...], expected: tuple[str, str, int, int] | None
) -> None:
    """What the snapshot wants, less what the ledger holds."""
    assert told(step(line, *rows)) == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    ("line", "rows", "expected"),
    [
        # delivered and back, in two steps, even when both are heard of at once
        (wish(0, 1, 1), (), (f"{LINE}:0", "Fulfilment ECOM", -1, 0)),
        (wish(0, 1, 1), (row(0, 0, -1),), (f"{LINE}:1", "Return RETURNS", 1, 0)),
        (wish(0, 1, 1), (row(0, 0, -1), row(1, 0, 1, BACK)), None),
        # the return is taken back; so is the parcel
        (wish(0, 1), (row(0, 0, -1), row(1, 0, 1, BACK)), (f"{LINE}:2", "Return RETURNS", -1, 0)),
        (wish(1), (row(0, 0, -1),), (f"{LINE}:1", "Return ECOM", 1, 0)),
        # goods come in that nobody of ours sent
        (wish(0, 0, 2), (), (f"{LINE}:0", "Return RETURNS", 2, 0)),
    ],
)
def test_where_returns_have_a_place_of_their_own_they_never_meet_the_shelf(
    line: OrderLine, rows: tuple[Movement, ...], expected: tuple[str, str, int, int] | None
) -> None:
    """What left and what came back are two things, at two places."""
    facts = LineFacts(
        LINE, line, rows, len(rows), (WEB, SHOP), {WEB: 5}, (), False, "#1001", "v1", NOW, returns_to=BACK
    )
    assert told(next_step(facts)) == ([] if expected is None else [expected])


def test_what_was_reserved_in_two_places_is_shipped_from_both_step_by_step() -> None:
    """One step at a time, the fullest place first."""
    rows = [row(0, 1, 0, WEB), row(1, 2, 0, SHOP)]
    for _ in range(5):
        found = step(wish(0, 3), *rows)
        rows += found.bundle
    assert {(m.level, m.on_hand_delta, m.reserved_delta) for m in rows[2:]} == {(SHOP, -2, -2), (WEB, -1, -1)}


HOURS = [NOW - timedelta(hours=n) for n in range(5)]
PARCELS = (Moment(HOURS[4], 1, "web"), Moment(HOURS[3], 1, "shop"), Moment(HOURS[2], 1, "shop"))
REFUNDS = (Moment(HOURS[1], 1, "shop"), Moment(HOURS[0] + timedelta(hours=9), 1, "shop"))
RESERVED = (row(0, 2), row(1, 2, level=SHOP))


@pytest.mark.parametrize(
    ("line", "rows", "places", "returns_to", "expected"),
    [
        # each parcel left when it left, whatever happened to the order later
        (wish(1, 3), RESERVED, False, None, ("Fulfilment ECOM", -1, HOURS[4])),
        (wish(1, 3), (*RESERVED, row(2, -1, -1)), False, None, ("Fulfilment KNIGHTSBRIDGE", -1, HOURS[3])),
        # of a unit more than the parcels tell, only the order's change is known
        (wish(0, 4), (*RESERVED, row(2, -2, -3)), False, None, ("Fulfilment KNIGHTSBRIDGE", -1, HOURS[0])),
        # each location sent its own
        (wish(1, 3), RESERVED, True, None, ("Fulfilment KNIGHTSBRIDGE", -1, HOURS[3])),
        (
            wish(1, 3),
            (*RESERVED, row(2, -1, -1, level=SHOP)),
            True,
            None,
            ("Fulfilment ECOM", -1, HOURS[4]),
        ),
        # what came back came back when its refund says; nothing has happened that is still to come
        (wish(0, 4, 1), (row(0, 0, -4),), False, None, ("Return ECOM", 1, HOURS[1])),
        (wish(0, 4, 2), (row(0, 0, -4), row(1, 0, 1)), False, None, ("Return ECOM", 1, HOURS[0])),
        (wish(0, 4, 2), (row(0, 0, -4),), False, BACK, ("Return RETURNS", 1, HOURS[1])),
        # a parcel that was called off is no return
        (wish(1, 3, 1), (row(0, 0, -4), row(1, 0, 1, BACK)), False, BACK, ("Return ECOM", 1, HOURS[0])),
    ],
)
def test_goods_leave_and_come_back_when_they_did(
    line: OrderLine,
    rows: tuple[Movement, ...],
    places: bool,
    returns_to: LevelKey | None,
    expected: tuple[str, int, datetime],
) -> None:
    """Three parcels of three hours and two refunds: one step has one moment."""
    told_line = replace(line, left=PARCELS, came_back=REFUNDS)
    facts = LineFacts(
        LINE, told_line, rows, len(rows), (WEB, SHOP), {}, (), False, "#1001", "v1", NOW, returns_to
    )
    if places:
        web = PlaceFacts((WEB,), 1, 1, 0, PARCELS[:1])
        facts = replace(facts, places=(web, PlaceFacts((SHOP,), 0, 2, 0, PARCELS[1:])))
    (movement,) = next_step(facts).bundle
    kind = f"{movement.kind} {movement.level.location}"
    assert (kind, movement.on_hand_delta, movement.occurred_at) == expected


def test_a_line_claims_what_it_was_sold_on_before_it_asks() -> None:
    """The reservation's unit changes hands in one all-or-none bundle; only the rest is asked for."""
    holding = Holding(CART, WEB, 1, 1)
    first = step(wish(2), holdings=(holding,))
    assert told(first) == [(f"{CART}:1", "Release ECOM", 0, -1), (f"{LINE}:0", "Order ECOM", 0, 1)]
    rest = step(wish(2), row(0, 1), holdings=(replace(holding, reserved=0, next_step=2),))
    assert told(rest) == [(f"{LINE}:1", "Order ECOM", 0, 1)]


ELSEWHERE = "allocation:london:BAG-1|KNIGHTSBRIDGE"


@pytest.mark.parametrize(
    ("elsewhere", "sellable", "vain", "expected"),
    [
        # what is there of its allocation, although it stands at a worse place
        (1, {}, False, [(f"{ELSEWHERE}:7", "Release KNIGHTSBRIDGE"), (f"{LINE}:0", "Order KNIGHTSBRIDGE")]),
        # else what anybody may have, in place of what has left
        (0, {SHOP: 1}, False, [(f"{POOL}:4", "Release ECOM"), (f"{LINE}:0", "Order KNIGHTSBRIDGE")]),
        # else what has left: somebody was promised it
        (0, {}, False, [(f"{POOL}:4", "Release ECOM"), (f"{LINE}:0", "Order ECOM")]),
        (0, {SHOP: 1}, True, [(f"{POOL}:4", "Release ECOM"), (f"{LINE}:0", "Order ECOM")]),  # refused
    ],
)
def test_a_line_claims_what_is_there_before_what_has_left(
    elsewhere: int, sellable: Mapping[LevelKey, int], vain: bool, expected: list[tuple[str, str]]
) -> None:
    """Its channel's bag in the warehouse went over a counter before its sale was heard of."""
    holdings = (
        Holding(POOL, WEB, 0, 4, takes_back=True),
        Holding(ELSEWHERE, SHOP, elsewhere, 7, takes_back=True),
        Holding(POOL, WEB, 1, 4, takes_back=True, gone=True),
    )
    found = told(step(wish(1), sellable=sellable, holdings=holdings, vain=vain))
    assert found == [(*expected[0], 0, -1), (*expected[1], 0, 1)]


def test_a_line_is_not_put_on_what_has_left_where_it_is_to_be_sent_from() -> None:
    """It is reserved in Knightsbridge, and the warehouse that is to send it has none any more."""
    line, gone = wish(1), Holding(POOL, WEB, 1, 4, takes_back=True, gone=True)
    facts = LineFacts(LINE, line, (row(0, 1, 0, SHOP),), 1, (WEB, SHOP), {}, (gone,), False, "", "", NOW)
    assert next_step(replace(facts, places=(PlaceFacts((WEB,), 1),))) == NextStep(misplaced=1)


CARRIED_ONE = [(f"{LINE}:1", "Release ECOM", 0, -1), (f"{LINE}:2", "Fulfilment KNIGHTSBRIDGE", -1, 0)]


@pytest.mark.parametrize(
    ("on_hand", "follows", "expected"),
    [
        (2, 2, [(f"{LINE}:1", "Fulfilment ECOM", -2, -2)]),  # both are there still
        (1, 1, [(f"{LINE}:1", "Fulfilment ECOM", -1, -1)]),  # of the other one a step of its own tells
        (0, 1, CARRIED_ONE),
        (-1, 1, CARRIED_ONE),
        (
            0,
            2,
            [(f"{LINE}:1", "Release ECOM", 0, -2), (f"{LINE}:2", "Fulfilment KNIGHTSBRIDGE", -2, 0)],
        ),
        (0, 0, [(f"{LINE}:1", "Fulfilment ECOM", -2, -2)]),  # nobody can tell
    ],
)
@pytest.mark.parametrize("placed", [False, True])
def test_what_is_sent_leaves_from_where_the_books_have_it(
    on_hand: int, follows: int, expected: list[tuple[str, str, int, int]], *, placed: bool
) -> None:
    """Reserved in the warehouse, and carried to Knightsbridge before it was sent."""
    line, rows = wish(0, 2), (row(0, 2),)
    facts = LineFacts(LINE, line, rows, 1, (WEB, SHOP), {WEB: 0, SHOP: 0}, (), False, "", "", NOW)
    facts = replace(facts, follows={SHOP: follows}, on_hand={WEB: on_hand, SHOP: follows})
    if placed:
        facts = replace(facts, places=(PlaceFacts((WEB, SHOP), 0, 2),))
    assert told(next_step(facts)) == expected


def test_a_piece_that_is_sent_is_no_other_piece_that_stands_elsewhere() -> None:
    """Number one was sold and is nowhere in the books; number two, in Knightsbridge, has not left."""
    one, two = LevelKey("BAG-1", "ECOM", "1"), LevelKey("BAG-1", "KNIGHTSBRIDGE", "2")
    line, rows = wish(0, 1), (row(0, 1, 0, one),)
    facts = LineFacts(LINE, line, rows, 1, (one, two), {two: 1}, (), False, "", "", NOW)
    found = next_step(replace(facts, on_hand={one: 0, two: 1}))
    assert [(each.level, each.on_hand_delta) for each in found.bundle] == [(one, -1)]


VAULT = LevelKey("BAG-1", "VAULT")
CART_THERE = Holding(CART, VAULT, 1, 1)
OWN_THERE = Holding("allocation:london:BAG-1|VAULT", VAULT, 2, 3, takes_back=True)
OWN_GONE = replace(OWN_THERE, gone=True)


@pytest.mark.parametrize(
    ("holdings", "sellable", "placed", "entered"),
    [
        # What it was sold on is claimed first, then what its shop has of its own; it leaves from there.
        (
            (OWN_THERE, CART_THERE),
            {WEB: 5},
            (),
            [
                [("Release VAULT", 0, -1), ("Order VAULT", 0, 1)],
                [("Fulfilment VAULT", -1, -1)],
                [("Release VAULT", 0, -2), ("Order VAULT", 0, 2)],
                [("Fulfilment VAULT", -2, -2)],
            ],
        ),
        # Then what nobody was promised, in the order of the places, as far as it goes.
        ((), {WEB: 0, VAULT: 4}, (), [[("Fulfilment VAULT", -3, 0)]]),
        (
            (CART_THERE,),
            {WEB: 0, VAULT: 2},
            (),
            [
                [("Release VAULT", 0, -1), ("Order VAULT", 0, 1)],
                [("Fulfilment VAULT", -1, -1)],
                [("Fulfilment VAULT", -2, 0)],
            ],
        ),
        # Nobody has any: the first place is told to have sent them.
        ((), {WEB: 0, VAULT: 0}, (), [[("Fulfilment ECOM", -3, 0)]]),
        # Of an allocation that has left other units are taken, as long as there are any.
        (
            (OWN_GONE,),
            {WEB: 1, VAULT: -2},
            (),
            [
                [("Release VAULT", 0, -1), ("Fulfilment ECOM", -1, 0)],
                [("Release VAULT", 0, -1), ("Order VAULT", 0, 1)],
                [("Fulfilment VAULT", -1, -1)],
                [("Fulfilment ECOM", -1, 0)],
            ],
        ),
        # Its channel says that the warehouse sent them: its own there; what was reserved elsewhere is let go.
        (
            (CART_THERE, replace(OWN_THERE, subject=POOL, level=WEB, reserved=1)),
            {WEB: 2},
            (PlaceFacts((WEB,), 0, 3),),
            [
                [("Release VAULT", 0, -1), ("Order VAULT", 0, 1)],
                [("Release VAULT", 0, -1), ("Release ECOM", 0, -1), ("Order ECOM", 0, 1)],
                [("Fulfilment ECOM", -1, -1)],
                [("Fulfilment ECOM", -2, 0)],
            ],
        ),
        (
            (CART_THERE, OWN_THERE),
            {WEB: 0},
            (PlaceFacts((WEB,), 0, 3),),
            [
                [("Release VAULT", 0, -1), ("Order VAULT", 0, 1)],
                [("Release VAULT", 0, -1), ("Allocation VAULT", 0, 1), ("Fulfilment ECOM", -1, 0)],
                [("Fulfilment ECOM", -2, 0)],
            ],
        ),
    ],
)
def test_what_was_sent_before_it_was_heard_of_leaves_from_what_it_was_sold_on(
    holdings: tuple[Holding, ...],
    sellable: dict[LevelKey, int],
    placed: tuple[PlaceFacts, ...],
    entered: list[list[tuple[str, int, int]]],
) -> None:
    """Three are sent, and nothing was reserved by then: never another's unit, as long as there are others."""
    rows: list[Movement] = []

    def then() -> tuple[Movement, ...]:
        facts = LineFacts(LINE, wish(0, 3), rows, len(rows), (WEB, VAULT), there, theirs, False, "", "", NOW)
        return next_step(replace(facts, places=placed)).bundle

    there, theirs = sellable, holdings
    for expected in entered:
        bundle = then()
        found = [(f"{m.kind} {m.level.location}", m.on_hand_delta, m.reserved_delta) for m in bundle]
        assert found == expected
        rows += [each for each in bundle if each.subject == LINE]
        moved = {(m.subject, m.level): m.reserved_delta for m in bundle}
        theirs = tuple(
            replace(each, reserved=each.reserved + moved.get((each.subject, each.level), 0))
            for each in theirs
        )
        there = {
            level: units + sum(m.on_hand_delta - m.reserved_delta for m in bundle if m.level == level)
            for level, units in there.items()
        }
    assert not then()


def test_a_piece_that_was_sent_unheard_is_not_the_one_that_a_customer_was_promised() -> None:
    """Two pieces are nobody's any more by the books, and one is a customer's: another than hers has left."""
    hers, sold = LevelKey("BAG-1", "ECOM", "A"), LevelKey("BAG-1", "ECOM", "B")
    line = wish(0, 1)
    facts = LineFacts(LINE, line, (), 0, (hers, sold), {hers: 0, sold: 0}, (), False, "", "", NOW)
    for theirs, left in (({hers}, sold), ({hers, sold}, hers)):
        (movement,) = next_step(replace(facts, theirs=frozenset(theirs))).bundle
        assert (movement.level, movement.on_hand_delta) == (left, -1)


def test_what_an_allocated_line_gives_up_goes_back_to_its_allocation() -> None:
    """Line to allocation in one bundle, never through the pool where another channel could take it."""
    found = step(wish(0), row(0, 2), holdings=(Holding(POOL, WEB, 0, 4, takes_back=True),))
    assert told(found) == [(f"{POOL}:4", "Allocation ECOM", 0, 2), (f"{LINE}:1", "Release ECOM", 0, -2)]


@pytest.mark.parametrize(
    ("taken", "vain", "level", "with_it"),
    [
        (1, False, WEB, True),  # two sold, one back, and the channel shows it again
        (2, False, WEB, False),  # back, and the channel has not put it on its number
        (1, True, WEB, False),  # the org has refused both together: the return is never lost
        (1, False, SHOP, False),  # an allocation holds units of its own level only
    ],
)
def test_returned_goods_that_the_channel_shows_again_go_to_its_allocation_with_the_return(
    taken: int, vain: bool, level: LevelKey, with_it: bool
) -> None:
    """On hand and allocation rise in one bundle; from the pool another channel could take what it shows."""
    line = replace(wish(0, 2, 1), taken_quantity=taken)
    rows = row(0, 2, 0, level), row(1, -2, -2, level)
    found = step(line, *rows, holdings=(Holding(POOL, WEB, 0, 4, takes_back=True),), vain=vain)
    back = (f"{LINE}:2", f"Return {level.location}", 1, 0)
    assert told(found) == [back, *([(f"{POOL}:4", "Allocation ECOM", 0, 1)] if with_it else [])]


def test_what_came_from_elsewhere_does_not_go_to_the_allocation() -> None:
    """An allocation holds units of its own level only."""
    found = step(wish(0), row(0, 2, 0, SHOP), holdings=(Holding(POOL, WEB, 0, 4, takes_back=True),))
    assert told(found) == [(f"{LINE}:1", "Release KNIGHTSBRIDGE", 0, -2)]


@pytest.mark.parametrize(
    ("line", "rows", "there", "last"),
    [
        (wish(2), (), 5, True),  # all that was sold is asked for at once
        (wish(2), (), 1, False),  # one of two: the other is asked for after it
        (wish(0, 1), (row(0, 1),), 5, True),  # sent from where it was reserved
        (wish(1, 1), (row(0, 1),), 5, False),  # one was sent, and one more was sold
        (wish(0), (row(0, 2),), 5, True),  # called off
        (wish(0, 1, 1), (row(0, 1), row(1, -1, -1)), 5, True),  # brought back
    ],
)
def test_a_line_has_all_it_wants_with_its_last_step(
    line: OrderLine, rows: tuple[Movement, ...], there: int, last: bool
) -> None:
    """Then nobody need look at it again when the org has entered that."""
    facts = LineFacts(
        LINE, line, rows, len(rows), (WEB,), {WEB: there}, (), False, "#1001", "v1", occurred_at=NOW
    )
    assert completes(facts, next_step(facts)) is last


def test_only_the_org_says_no() -> None:
    """Nothing seems to be there: asked all the same, once; after its refusal the units are uncovered."""
    nothing = {WEB: 0, SHOP: -1}
    assert told(step(wish(1), sellable=nothing)) == [(f"{LINE}:0", "Order ECOM", 0, 1)]
    assert step(wish(1), sellable=nothing, vain=True) == NextStep(uncovered=1)
    assert told(step(wish(1), sellable={WEB: 1}, vain=True)) == [(f"{LINE}:0", "Order ECOM", 0, 1)]


def test_the_org_is_not_asked_for_what_others_were_promised_elsewhere() -> None:
    """Its rule would give them: who was promised them comes first, and the order has nothing."""
    nothing = {WEB: 0, SHOP: 0}
    assert told(step(wish(1), sellable=nothing, others={WEB})) == [(f"{LINE}:0", "Order KNIGHTSBRIDGE", 0, 1)]
    assert step(wish(1), sellable=nothing, others={WEB, SHOP}) == NextStep(uncovered=1)


@pytest.mark.parametrize(
    ("units", "sellable", "expected"),
    [
        (1, {WEB: 5, SHOP: 5}, (WEB, 1)),  # the best source that has it all
        (3, {WEB: 2, SHOP: 3}, (SHOP, 3)),
        (4, {WEB: 2, SHOP: 3}, (SHOP, 3)),  # nobody has it all: the fullest gives what it has
        (4, {WEB: 3, SHOP: 3}, (WEB, 3)),
        (1, {WEB: 0, SHOP: -2}, None),
        (1, {}, None),
    ],
)
def test_where_units_are_taken_from(
    units: int, sellable: dict[LevelKey, int], expected: tuple[LevelKey, int] | None
) -> None:
    """One place if one can give all, else the fullest."""
    assert source(units, [WEB, SHOP], sellable) == expected


@pytest.mark.parametrize(
    ("units", "promised", "expected"),
    [
        (1, {WEB: 0, SHOP: 2}, (SHOP, 1)),  # the last of a floor is not the first to go
        (2, {WEB: 1, SHOP: 1}, (WEB, 1)),  # one from each; the rest is asked for afterwards
        (1, {WEB: 0, SHOP: 0}, (WEB, 1)),  # nothing else is left, and it is sold already
        (3, {WEB: 0}, (SHOP, 2)),  # what is not named promises all that it has
    ],
)
def test_what_is_not_promised_to_others_is_drawn_on_last(
    units: int, promised: dict[LevelKey, int], expected: tuple[LevelKey, int]
) -> None:
    """The last pieces of a shop floor, and what a location keeps."""
    assert source(units, [WEB, SHOP], {WEB: 2, SHOP: 2}, promised) == expected


LOST = (row(1, -1, level=SHOP), row(2, 1))  # the row that had reserved it in the shop is gone, then it moved


@pytest.mark.parametrize(
    ("open_", "rows", "sellable", "vain", "entered"),
    [
        # What the shop holds for others is one more than its level says: that is put right first.
        (1, LOST, {}, False, [("Order KNIGHTSBRIDGE", 1)]),
        (1, (*LOST, row(3, 1, level=SHOP)), {}, False, []),
        # It was asked for again elsewhere before anybody saw why: it goes back, both rows or neither.
        (1, (*LOST, row(3, 1)), {}, False, [("Release ECOM", -1), ("Order KNIGHTSBRIDGE", 1)]),
        # The order was called off meanwhile.
        (0, LOST, {}, False, [("Release ECOM", -1), ("Order KNIGHTSBRIDGE", 1)]),
        (0, LOST[:1], {}, False, [("Order KNIGHTSBRIDGE", 1)]),
        # The org has refused: somebody else has the shop's unit, and it is asked again when one is there.
        (1, LOST, {}, True, []),
        (1, LOST, {SHOP: 1}, True, [("Order KNIGHTSBRIDGE", 1)]),
        (0, LOST, {}, True, [("Release ECOM", -1)]),
    ],
)
def test_a_line_that_holds_less_than_nothing_somewhere_is_put_right_there(
    open_: int,
    rows: tuple[Movement, ...],
    sellable: dict[LevelKey, int],
    vain: bool,
    entered: list[tuple[str, int]],
) -> None:
    """A rewritten ledger has lost the row that had reserved a unit, and the line gave it up afterwards."""
    found = step(wish(open_), *rows, sellable=sellable, vain=vain)
    assert [(what, reserved) for _, what, _, reserved in told(found)] == entered


def test_what_a_rewritten_ledger_has_cost_is_told_as_uncovered() -> None:
    """The shop's unit is somebody else's now: one of the two promises cannot be kept, and that is told."""
    assert step(wish(1), *LOST, sellable={}, vain=True) == NextStep(uncovered=1)
    sent = row(1, -1, -1, level=SHOP)
    assert step(wish(0, 1), sent, sellable={}, vain=True) == NextStep(uncovered=1)


def test_older_snapshots_are_dropped() -> None:
    """A late old snapshot must not reopen a cancelled line; an equal one may be read again."""
    snapshot = OrderSnapshot("london", "1", "#1", NOW, NOW, ())
    assert newer(None, snapshot)
    assert newer(NOW, snapshot)
    assert not newer(NOW + timedelta(seconds=1), snapshot)


# -- a little org: every story of an order ends with the same ledger -----------------------------------


@dataclass
class LittleOrg:
    """Two levels and all their rows; keys are unique and a reservation beyond stock is refused."""

    on_hand: dict[LevelKey, int]
    rows: dict[str, Movement] = field(default_factory=dict)

    def reserved(self, level: LevelKey, subject: str | None = None) -> int:
        return total(r for r in self.of(subject) if r.level == level)[1]

    def of(self, subject: str | None = None) -> list[Movement]:
        return [r for r in self.rows.values() if subject in (None, r.subject)]

    def there(self, level: LevelKey) -> int:
        return self.on_hand[level] + total(r for r in self.rows.values() if r.level == level)[0]

    def sellable(self) -> dict[LevelKey, int]:
        return {level: self.there(level) - self.reserved(level) for level in self.on_hand}

    def enter(self, bundle: Iterable[Movement]) -> bool:
        """All or none; True when the rows stand there, entered now or before."""
        rows = list(bundle)
        if any(r.key in self.rows for r in rows):
            assert all(r.same_content(self.rows[r.key]) for r in rows), "a key was used for two effects"
            return True
        for level in {r.level for r in rows}:
            added = total(r for r in rows if r.level == level)[1]
            if added > 0 and added > self.sellable()[level]:
                return False
        self.rows.update({r.key: r for r in rows})
        return True

    def holdings(self, *subjects: str) -> tuple[Holding, ...]:
        return tuple(
            Holding(name, WEB, self.reserved(WEB, name), len(self.of(name)), name.startswith("allocation"))
            for name in subjects
            if name.startswith("allocation") or self.reserved(WEB, name) > 0
        )


quantities = st.integers(0, 4)
lines = st.builds(wish, quantities, quantities, st.integers(0, 2)).filter(
    lambda line: line.returned_quantity <= line.fulfilled_quantity
)


@given(
    st.lists(lines, min_size=1, max_size=5),
    st.lists(st.integers(0, 4), max_size=10),
    st.lists(st.sampled_from(["answered", "reply lost", "lost", "restart"]), max_size=12),
    st.integers(0, 6),
    st.integers(0, 3),
    st.integers(0, 3),
    st.booleans(),
)
def test_snapshots_in_any_order_converge_to_what_the_newest_wants(
    story: list[OrderLine],
    arrivals: list[int],
    fates: list[str],
    on_hand: int,
    on_cart: int,
    in_pool: int,
    allocated: bool,
) -> None:
    """Twice, late, reversed, with lost requests and replies between: the totals are the newest snapshot's."""
    org = LittleOrg({WEB: on_hand + on_cart + in_pool, SHOP: 1})
    org.enter([Movement(f"{CART}:0", CART, WEB, K.CART, 0, on_cart, "", "", NOW)] if on_cart else [])
    org.enter([Movement(f"{POOL}:0", POOL, WEB, K.ALLOCATION, 0, in_pool, "", "", NOW)] if allocated else [])
    fate, held, vain, uncovered = iter(fates), -1, False, 0
    for index in [*(arrival for arrival in arrivals if arrival < len(story)), len(story) - 1]:
        if index < held:
            continue  # older than the newest handled: dropped
        vain = vain and not (held < 0 or story[index].open_quantity > story[held].open_quantity)
        held = index
        settles = False
        for _ in range(30):
            found = next_step(
                facts := LineFacts(
                    LINE,
                    story[held],
                    org.of(LINE),
                    len(org.of(LINE)),
                    (WEB, SHOP),
                    org.sellable(),
                    org.holdings(CART, *([POOL] if allocated else [])),
                    vain,
                    "#1001",
                    "v1",
                    NOW,
                )
            )
            assert found == NextStep() or not settles, "more was to be done than was said"
            uncovered = found.uncovered
            if not found.bundle:
                break
            how = next(fate, "answered")
            if how == "lost":
                continue  # nothing happened; decided anew
            entered = org.enter(found.bundle)
            if how == "reply lost":
                assert org.enter(found.bundle) == entered  # the same bytes again: one effect
            settles = entered and completes(facts, found)
            vain = vain or not entered
        else:
            pytest.fail("the line never came to rest")
    newest = story[-1]
    shipped, reserved = total(org.of(LINE))
    assert shipped == newest.returned_quantity - newest.fulfilled_quantity
    assert reserved + uncovered == newest.open_quantity
    assert all(org.reserved(level, name) >= 0 for level in org.on_hand for name in (LINE, CART, POOL))
    if uncovered:
        assert all(units <= 0 for units in org.sellable().values())


@pytest.mark.parametrize("line", [wish(2), wish(1, 1), wish(0, 2), wish(0)])
def test_what_a_line_has_of_another_sku_is_given_up_before_anything_else(line: OrderLine) -> None:
    """The order named the scarf by mistake: whatever became of it since, no scarf is sent in its name."""
    scarf = LevelKey("SCARF", "ECOM")
    rows = [row(0, 2, level=scarf)]
    first = step(line, *rows)
    assert told(first) == [(f"{LINE}:1", "Release ECOM", 0, -2)]
    assert [each.level for each in first.bundle] == [scarf]
    rows += first.bundle
    while (found := step(line, *rows)).bundle:
        assert {each.level.sku for each in found.bundle} == {"BAG-1"}
        rows += found.bundle
    of_bags = total(each for each in rows if each.level.sku == "BAG-1")
    assert of_bags == (-line.fulfilled_quantity, line.open_quantity)


def test_what_has_left_of_another_sku_has_left() -> None:
    """Sent as a scarf, and called a bag afterwards: which of them left nobody knows, and one left."""
    scarf = LevelKey("SCARF", "ECOM")
    assert step(wish(0, 1), row(0, 1, level=scarf), row(1, -1, -1, level=scarf)) == NextStep()
