"""Bounds and signs of what decides who gets a unit: what a change by one, or of a sign, would do."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from tests.domain.one_place import HERE, moves_here

from sfsync.domain.allocation import Books, Move, Share, spent, split
from sfsync.domain.ledger import (
    ENCODING_CHARACTERS,
    KEY_CHARACTERS,
    REQUEST_GROUPS,
    Answer,
    Bundle,
    RowAnswer,
    RowResult,
    Verdict,
    judge,
    next_request,
    shortage,
)
from sfsync.domain.reservations import (
    NO_LASTS,
    ORDER_PATIENCE,
    REFUSED_LATELY,
    OrphanCause,
    Outcome,
    Refusals,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    SoldOut,
    Wish,
    WishedLine,
    answered,
    asks,
    channel_told,
    chosen,
    gave_way,
    handed_over,
    orphaned,
    part,
    takes_place,
    told_channel,
)
from sfsync.domain.reservations import moves as carried
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
BAG, SCARF = LevelKey("BAG", "ECOM"), LevelKey("SCARF", "ECOM")
BAG_IN_TOWN, SCARF_IN_TOWN = LevelKey("BAG", "TOWN"), LevelKey("SCARF", "TOWN")
WEST = LevelKey("BAG", "WEST")
ONE, TWO, FAR = LevelKey("BAG", "ECOM", "1"), LevelKey("BAG", "ECOM", "2"), LevelKey("BAG", "TOWN", "3")
K, State = MovementKind, ReservationState
CART = Reservation(
    "r",
    State.GRANTED,
    ReservationKind.CART,
    "london",
    "cart 7",
    (ReservationLine(BAG, 2), ReservationLine(SCARF, 1)),
    NOW,
    NOW + timedelta(minutes=15),
)
BAGS, SCARVES = CART.subjects()


def row(
    subject: str, step: int, level: LevelKey, kind: MovementKind, on_hand: int, reserved: int
) -> Movement:
    """A movement of the cart's, whole."""
    return Movement(f"{subject}:{step}", subject, level, kind, on_hand, reserved, "cart 7", "for london", NOW)


# -- what a reservation enters ------------------------------------------------------------------------


def test_a_cart_asks_for_its_units_and_leaves_on_hand_alone() -> None:
    """Each line by its own subject and step; a line of nothing asks nothing."""
    cart = replace(CART, lines=(*CART.lines, ReservationLine(SCARF_IN_TOWN, 0, 1)))
    assert asks(cart, (3, 0, 0), NOW) == (
        row(BAGS, 3, BAG, K.CART, 0, 2),
        row(SCARVES, 0, SCARF, K.CART, 0, 1),
    )


def test_a_cart_that_moves_gives_back_here_what_it_takes_there() -> None:
    """Step after step, level after level; what is there already, or holds nothing, stays."""
    held = {BAGS: {BAG: 2, BAG_IN_TOWN: 1}, SCARVES: {SCARF: 0}}
    assert carried(CART, held, {BAGS: 1, SCARVES: 5}, "TOWN", NOW) == (
        row(BAGS, 1, BAG, K.RELEASE, 0, -2),
        row(BAGS, 2, BAG_IN_TOWN, K.CART, 0, 2),
    )
    two = {BAGS: {BAG: 1, LevelKey("BAG", "WEST"): 1}}
    steps = [each.key for each in carried(CART, two, {BAGS: 0, SCARVES: 0}, "TOWN", NOW)]
    assert steps == [f"{BAGS}:{number}" for number in range(4)]


def test_what_has_been_moved_before_is_moved_on_from_where_it_is() -> None:
    """Nothing is held where it was at first."""
    held = {BAGS: {BAG: 0, BAG_IN_TOWN: 2}, SCARVES: {SCARF: 1}}
    assert carried(CART, held, {BAGS: 3, SCARVES: 1}, "WEST", NOW) == (
        row(BAGS, 3, BAG_IN_TOWN, K.RELEASE, 0, -2),
        row(BAGS, 4, WEST, K.CART, 0, 2),
        row(SCARVES, 1, SCARF, K.RELEASE, 0, -1),
        row(SCARVES, 2, LevelKey("SCARF", "WEST"), K.CART, 0, 1),
    )


def test_a_numbered_piece_that_moves_is_that_piece_there_or_the_one_that_takes_its_place() -> None:
    """Bag number 1 goes to town as number 1, unless number 3 of the town is taken for it."""
    cart = replace(CART, lines=(ReservationLine(ONE, 1),))
    for to, there_is in ((None, LevelKey("BAG", "TOWN", "1")), ({ONE: FAR}, FAR), ({TWO: FAR}, None)):
        found = carried(cart, {BAGS: {ONE: 1}}, {BAGS: 1}, "TOWN", NOW, to=to)
        assert [each.level for each in found] == [ONE, there_is or LevelKey("BAG", "TOWN", "1")]


def test_goods_that_are_handed_over_leave_on_hand_and_reserved_alike() -> None:
    """As many as are held, under the till's receipt; of nothing held nothing leaves."""
    found = handed_over(CART, {BAGS: {BAG: 2}, SCARVES: {SCARF: 0}}, {BAGS: 1, SCARVES: 1}, "receipt 7", NOW)
    assert found == (replace(row(BAGS, 1, BAG, K.SALE, -2, -2), reference="receipt 7"),)


def test_what_was_moved_leaves_from_where_it_is() -> None:
    """Nothing is held where it was before; one bag here and one there are two sales."""
    held = {BAGS: {BAG: 0, BAG_IN_TOWN: 1}}
    found = handed_over(CART, held, {BAGS: 3, SCARVES: 0}, "receipt 7", NOW)
    assert found == (replace(row(BAGS, 3, BAG_IN_TOWN, K.SALE, -1, -1), reference="receipt 7"),)
    held = {BAGS: {BAG_IN_TOWN: 1, BAG: 1, SCARF: -1}}
    assert handed_over(CART, held, {BAGS: 3, SCARVES: 0}, "receipt 7", NOW) == (
        replace(row(BAGS, 3, BAG, K.SALE, -1, -1), reference="receipt 7"),
        replace(row(BAGS, 4, BAG_IN_TOWN, K.SALE, -1, -1), reference="receipt 7"),
    )


def test_a_row_says_for_which_channel_it_is_and_nothing_where_there_is_none() -> None:
    """A new store learns it there."""
    assert (told_channel(CART), told_channel(replace(CART, channel=None))) == ("for london", "")
    said = row(BAGS, 0, BAG, K.CART, 0, 2)
    versions = ("for london", "", "7", "2026-11-23 for london")
    assert [channel_told(replace(said, source_version=version)) for version in versions] == [
        "london",
        None,
        None,
        None,
    ]


# -- what a reservation is afterwards ------------------------------------------------------------------


def test_a_line_may_have_wanted_nothing_and_wants_what_it_holds_by_default() -> None:
    """Nothing is not the same as not said."""
    assert [ReservationLine(BAG, 2, wanted).wanted for wanted in (0, 1, 3)] == [0, 1, 3]
    assert ReservationLine(BAG, 2).wanted == 2


def test_a_grant_counts_what_is_held_above_nothing_wherever_it_is() -> None:
    """Two levels add up; a level of nothing, or below it, is no place."""
    held = {BAGS: {BAG: 1, BAG_IN_TOWN: 1, SCARF: -1}, SCARVES: {SCARF: 0}}
    pending = replace(CART, state=State.PENDING, reason="asked")
    found = answered(pending, held, "no")
    assert (found.state, [line.quantity for line in found.lines]) == (State.GRANTED, [2, 0])
    assert (found.reason, found.expires_at) == ("", pending.expires_at)
    paid = answered(replace(pending, paid_at=NOW), held, "no")
    assert (paid.state, paid.expires_at) == (State.CONFIRMED, None)
    assert answered(pending, {BAGS: {BAG: 0}}, "no").state is State.REFUSED
    assert answered(pending, {}, "sold out").reason == "sold out"


def test_a_cart_follows_its_units_and_stays_where_they_were_when_they_are_in_two_places() -> None:
    """Where an order has taken all of a line over, the line stays its history."""
    found = answered(CART, {BAGS: {BAG: 1, LevelKey("BAG", "ZOO"): 1}, SCARVES: {}}, "")
    assert [line.level for line in found.lines] == [BAG, SCARF]
    moved = answered(CART, {BAGS: {BAG_IN_TOWN: 2, LevelKey("BAG", "ATTIC"): 1}, SCARVES: {}}, "")
    assert [line.level for line in moved.lines] == [BAG_IN_TOWN, SCARF]


@pytest.mark.parametrize(
    ("held", "paid", "state", "left"),
    [
        ({BAGS: {BAG: 1, SCARF: -1}, SCARVES: {SCARF: 1}}, False, State.GRANTED, [1, 1]),
        ({BAGS: {BAG: 5}}, False, State.GRANTED, [2, 0]),  # never more than it was granted
        ({BAGS: {BAG: 0}}, False, State.RELEASED, [2, 1]),
        ({BAGS: {BAG: 0}}, True, State.PAID_UNAVAILABLE, [2, 1]),
        ({}, True, State.PAID_UNAVAILABLE, [2, 1]),
    ],
)
def test_what_gives_way_leaves_what_is_still_held(
    held: dict[str, dict[LevelKey, int]], paid: bool, state: ReservationState, left: list[int]
) -> None:
    """A part of it, or all."""
    cart = replace(CART, paid_at=NOW if paid else None)
    found = gave_way(cart, held, "the goods have left")
    assert (found.state, [line.quantity for line in found.lines]) == (state, left)
    assert found.reason == "the goods have left"
    over = replace(cart, state=State.EXPIRED)
    assert gave_way(over, held, "the goods have left") == over


def test_a_part_is_what_each_level_has_and_no_more_than_is_wanted() -> None:
    """The best first; a level below nothing gives nothing, and takes nothing from what is wanted."""
    levels = (BAG, SCARF, BAG_IN_TOWN, SCARF_IN_TOWN)
    able = {BAG: -3, SCARF: 1, BAG_IN_TOWN: 2}
    assert part(2, levels, able) == [(SCARF, 1), (BAG_IN_TOWN, 1)]
    assert part(9, levels, able) == [(SCARF, 1), (BAG_IN_TOWN, 2)]
    assert part(1, levels, able) == [(SCARF, 1)]


def test_a_paid_reservation_is_nobodys_when_its_channel_has_been_silent_for_a_day() -> None:
    """Unless it is said otherwise, a channel tells of its orders."""
    paid = replace(CART, state=State.CONFIRMED, paid_at=NOW)
    assert orphaned(paid, NOW + ORDER_PATIENCE) is OrphanCause.NO_ORDER
    assert orphaned(paid, NOW + ORDER_PATIENCE - timedelta(seconds=1)) is None
    assert orphaned(paid, NOW + ORDER_PATIENCE, told=False) is None


def test_a_refusal_is_kept_for_its_moment_and_no_longer() -> None:
    """What was refused two seconds ago is asked again, and takes no room when it is twice as long ago."""
    refusals = Refusals()
    refusals.note([BAG], NOW)
    refusals.note([SCARF], NOW + 2 * REFUSED_LATELY - timedelta(milliseconds=1))
    assert set(refusals.told) == {BAG, SCARF}
    refusals.note([BAG_IN_TOWN], NOW + 2 * REFUSED_LATELY)
    assert set(refusals.told) == {SCARF, BAG_IN_TOWN}


def test_each_refusal_that_follows_at_once_is_told_for_twice_as_long() -> None:
    """Two seconds, four, eight, sixteen, and thirty from then on."""
    refusals, now, lasted = Refusals(), NOW, []
    for _ in range(6):
        refusals.note([BAG], now)
        lasted.append(refusals.told[BAG][1].total_seconds())
        refusals.note([BAG], now + refusals.told[BAG][1] - timedelta(milliseconds=1))  # asked together
        now, long = refusals.told[BAG]
        assert long.total_seconds() == lasted[-1]
        now += long
    assert lasted == [2, 4, 8, 16, 30, 30]


def test_that_it_is_sold_out_is_told_for_a_moment_to_all_who_ask_the_same() -> None:
    """Under whatever name; not for other pieces or of another client, and not when its SKU has changed."""
    wish = Wish(ReservationKind.CART, "london", "cart 7", (WishedLine("BAG", 1),), timedelta(minutes=15))
    refused = replace(CART, state=State.REFUSED, reason="1 wanted, 0 available")
    sold_out = SoldOut()
    sold_out.keep(wish, Outcome(refused, "unavailable"), NOW)
    told = sold_out.answer(replace(wish, owner="cart 8"), NOW)
    assert told is not None
    assert (told.problem, told.detail) == ("unavailable", "1 wanted, 0 available a moment ago")
    assert told.reservation == replace(refused, reason=told.detail)
    sold_out.keep(wish, told, NOW)  # told again, it is no longer ago
    assert sold_out.answer(wish, NOW) == told
    assert sold_out.answer(wish, NOW + NO_LASTS - timedelta(milliseconds=1)) is not None
    assert sold_out.answer(wish, NOW + NO_LASTS) is None
    for other in ({"channel": None}, {"client": "c"}, {"lines": (WishedLine("BAG", 2),)}, {"partial": True}):
        assert sold_out.answer(replace(wish, **other), NOW) is None
    sold_out.forget({"SCARF"})
    assert sold_out.answer(wish, NOW) is not None
    sold_out.forget({"SCARF", "BAG"})
    assert sold_out.answer(wish, NOW) is None
    sold_out.keep(wish, Outcome(None, "unavailable"), NOW)
    assert sold_out.answer(wish, NOW) is None
    for moment in (timedelta(), NO_LASTS):  # what nobody is told any more takes no room
        sold_out.keep(replace(wish, client=str(moment)), Outcome(refused, "unavailable"), NOW + moment)
    assert len(sold_out.told) == 1


def test_a_stand_in_takes_over_what_was_paid_for_and_ends_it() -> None:
    """The order, the payment and no expiry; the former one says which reservation took its place."""
    paid = replace(CART, state=State.PAID_UNAVAILABLE, paid_at=NOW, order_reference="#1001", expires_at=None)
    asked = replace(CART, id="s", lines=(ReservationLine(SCARF, 3),), instead_of="r", reason="was refused")
    taken, over = takes_place(asked, paid)
    assert (taken.state, taken.order_reference, taken.paid_at, taken.expires_at, taken.reason) == (
        State.CONFIRMED,
        "#1001",
        NOW,
        None,
        "",
    )
    assert over is not None
    assert (over.state, over.reason) == (State.RELEASED, "3 SCARF at ECOM instead: reservation s")
    _, over = takes_place(replace(asked, lines=(ReservationLine(SCARF, 3), ReservationLine(BAG, 1))), paid)
    assert over is not None
    assert over.reason == "3 SCARF at ECOM, 1 BAG at ECOM instead: reservation s"
    on_floor, _ = takes_place(replace(asked, needs_store=True), paid)
    assert on_floor.state is State.AWAITING_STORE
    for late in (None, replace(paid, state=State.RELEASED), replace(paid, state=State.CONFIRMED)):
        let_go, nothing = takes_place(asked, late)
        assert (let_go.state, let_go.paid_at, nothing) == (State.RELEASED, None, None)
        assert let_go.reason == "what it was to stand in for has found another way"


# -- what goes into a request --------------------------------------------------------------------------


def bundle(
    number: int, *parts: tuple[LevelKey, int, int], asked: int | None = None, refusals: int = 0
) -> Bundle:
    """A bundle of (level, on hand, reserved), asked for in the order of the numbers."""
    subject = f"order:london:{number}:1"
    rows = tuple(
        Movement(f"{subject}:{step}", subject, level, K.ORDER, on_hand, reserved, "", "", NOW)
        for step, (level, on_hand, reserved) in enumerate(parts)
    )
    return replace(Bundle(number, rows, number if asked is None else asked), refusals=refusals)


def there(**available: int) -> dict[LevelKey, StockLevel]:
    """Levels at ECOM by SKU."""
    return {
        LevelKey(sku, "ECOM"): StockLevel(LevelKey(sku, "ECOM"), n, 0, 1, sku) for sku, n in available.items()
    }


def test_a_movement_that_stands_alone_is_no_group() -> None:
    """Groups have few places in a request; whoever asks for one level takes none of them."""
    singles = [bundle(number, (BAG, 0, 1)) for number in range(REQUEST_GROUPS + 2)]
    request = next_request(singles, there(BAG=99), frozenset())
    assert request is not None
    assert (len(request.singles), request.groups) == (REQUEST_GROUPS + 2, ())


TRANSFER = (BAG, -1, 0), (BAG_IN_TOWN, 1, 0)
CHANGES_HANDS = (SCARF, 0, -1), (SCARF, 0, 1)
TWO_PIECES = (LevelKey("BELT", "ECOM"), 0, 1), (LevelKey("HAT", "ECOM"), 0, 1)
PIECE_IN_TOWN = (SCARF_IN_TOWN, 0, 1)


@pytest.mark.parametrize(
    ("waiting", "goes"),
    [
        # Two groups are the most beside what stands alone, which always has a place.
        ([TRANSFER, TRANSFER, TRANSFER], [0, 1]),
        ([TRANSFER, TRANSFER, (PIECE_IN_TOWN,)], [0, 1, 2]),
        # All that changes hands is one collection together, and counts as one group.
        ([CHANGES_HANDS, CHANGES_HANDS, CHANGES_HANDS], [0, 1, 2]),
        ([CHANGES_HANDS, TRANSFER, TRANSFER], [0, 1]),
        ([CHANGES_HANDS, TRANSFER, CHANGES_HANDS], [0, 1, 2]),
        ([TRANSFER, TRANSFER, CHANGES_HANDS], [0, 1]),
        # One of two pieces asked first: a place is left for it. One that stands alone needs none.
        ([TWO_PIECES, CHANGES_HANDS, TRANSFER], [0, 1]),
        ([(PIECE_IN_TOWN,), TRANSFER, TRANSFER], [0, 1, 2]),
    ],
)
def test_groups_have_two_places_and_what_changes_hands_takes_one_of_them(
    waiting: list[tuple[tuple[LevelKey, int, int], ...]], goes: list[int]
) -> None:
    """Each is all or none, and an org takes few of those in one request."""
    asked = [bundle(number, *parts) for number, parts in enumerate(waiting)]
    levels = there(BAG=9, BELT=9, HAT=9, SCARF=9) | {
        SCARF_IN_TOWN: StockLevel(SCARF_IN_TOWN, 9, 0, 1, "SCARF")
    }
    assert sorted(sent(asked, levels)) == goes


def test_a_reservation_that_waits_for_a_posting_holds_nobody_else_up() -> None:
    """The bag's delivery goes in first, and its cart waits for the next request; the scarf's does not."""
    delivery = bundle(1, (BAG, 3, 0))
    assert sent([delivery, bundle(2, (BAG, 0, 1)), bundle(3, (SCARF, 0, 1))], there(BAG=9, SCARF=9)) == [1, 3]


def test_goods_that_come_back_cover_what_is_reserved_with_them_and_nothing_else() -> None:
    """A return that is reserved at once fits where nothing is left; it leaves the others what there was."""
    back = bundle(1, (BAG, 1, 0), (BAG, 0, 1))
    assert sent([back], there(BAG=0)) == [1]
    assert sent([back], there(BAG=-1)) == []
    request = next_request([back, bundle(2, (BAG, 0, 1))], there(BAG=1), frozenset())
    assert request is not None
    assert [each.id for each in request.sent] == [2, 1]
    assert not request.checked
    assert shortage(back, there(BAG=0)) is None
    assert shortage(back, there(BAG=-1)) == "1 wanted of BAG|ECOM, 0 available"
    assert shortage(bundle(3, (BAG, 1, 0), (BAG, 0, 2)), there(BAG=0)) == "2 wanted of BAG|ECOM, 1 available"


def test_what_asks_for_nothing_at_a_level_is_not_short_there() -> None:
    """A swap between two pieces: the level that gives may owe others, the one that takes must have it."""
    swap = bundle(1, (BAG, 0, -1), (SCARF, 0, 1))
    assert shortage(swap, there(BAG=-5, SCARF=1)) is None
    level_of_nothing = bundle(2, (BAG, 0, 0), (SCARF, 0, 1))
    assert shortage(level_of_nothing, there(BAG=-5, SCARF=1)) is None
    request = next_request([level_of_nothing], there(BAG=-5, SCARF=1), frozenset())
    assert request is not None
    assert not request.checked


def test_two_that_were_refused_in_company_are_each_heard_alone() -> None:
    """At two levels: neither lets another one go along."""
    waiting = [
        bundle(1, (BAG, 0, 1), refusals=1),
        bundle(2, (SCARF, 0, 1), refusals=1),
        bundle(3, (BAG, 0, 1)),
        bundle(4, (SCARF, 0, 1)),
    ]
    request = next_request(waiting, there(BAG=9, SCARF=9), frozenset())
    assert request is not None
    assert [each.id for each in request.sent] == [1, 2]


def sent(waiting: list[Bundle], available: dict[LevelKey, StockLevel], **how: int) -> list[int]:
    """The ids of what goes into the next request."""
    request = next_request(waiting, available, frozenset(), **how)
    return [] if request is None else [each.id for each in request.sent]


def test_a_request_is_filled_to_its_last_place_and_no_further() -> None:
    """Three rows fit where three may go, and the fourth waits; so does a pair for which one place is left."""
    singles = [bundle(number, (BAG, 0, 1)) for number in range(4)]
    assert sent(singles, there(BAG=9), limit=3) == [0, 1, 2]
    assert sent(singles, there(BAG=9), limit=4) == [0, 1, 2, 3]
    pair = bundle(1, (BAG, 0, 1), (SCARF, 0, 1))
    assert sorted(sent([bundle(0, (BAG, 0, 1)), pair], there(BAG=9, SCARF=9), limit=3)) == [0, 1]
    assert sent([bundle(0, (BAG, 0, 1)), pair], there(BAG=9, SCARF=9), limit=2) == [0]


def test_keys_take_no_more_room_than_a_request_has() -> None:
    """Exactly full is fine, a character more is not; the first one goes however long its key is."""

    def keyed(number: int, characters: int) -> Bundle:
        made = bundle(number, (BAG, 0, 1))
        key = str(number) * (characters - ENCODING_CHARACTERS)
        return replace(made, movements=(replace(made.movements[0], key=key),))

    half = KEY_CHARACTERS // 2
    assert sent([keyed(1, half), keyed(2, half)], there(BAG=9)) == [1, 2]
    assert sent([keyed(1, half), keyed(2, half + 1)], there(BAG=9)) == [1]
    assert sent([keyed(1, KEY_CHARACTERS + 1), keyed(2, 50)], there(BAG=9)) == [1]


def test_the_last_unit_is_asked_for_and_the_one_after_it_is_looked_up() -> None:
    """Two there: two ask, and the third is not sent; at a level that nobody has read, none is."""
    asking = [bundle(number, (BAG, 0, 1)) for number in (1, 2, 3)]
    request = next_request(asking, there(BAG=2), frozenset())
    assert request is not None
    assert ([each.id for each in request.sent], [each.id for each in request.checked]) == ([1, 2], [3])
    unread = next_request([bundle(1, (BAG, 0, 1))], {}, frozenset())
    assert unread is not None
    assert (unread.sent, [each.id for each in unread.checked]) == ((), [1])
    maybe = next_request([replace(bundle(1, (BAG, 0, 1)), maybe_sent=True)], there(BAG=0), frozenset())
    assert maybe is not None
    assert [each.id for each in maybe.sent] == [1]  # it may be in already: only the org can tell


def test_a_level_of_which_nothing_is_asked_need_not_have_been_read() -> None:
    """The answer says nothing of it, and nobody is refused or kept waiting for that."""
    gives = bundle(1, (BAG, 0, -1), (SCARF, 0, 1))
    refused = {each.key: RowAnswer(RowResult.INSUFFICIENT, "no") for each in gives.movements}
    short = judge(gives, Answer(refused, there(SCARF=0), {}))
    assert (short.verdict, short.reason) == (Verdict.REFUSED, "1 wanted of SCARF|ECOM, 0 available")
    assert judge(gives, Answer(refused, there(BAG=0), {})).verdict is Verdict.LATER
    sells = bundle(2, (BAG, -1, 0), (SCARF, 0, 1))
    refused = {each.key: RowAnswer(RowResult.INSUFFICIENT, "no") for each in sells.movements}
    assert judge(sells, Answer(refused, there(SCARF=0), {})).verdict is Verdict.REFUSED


# -- where units are asked for -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("quantity", "sellable", "expected"),
    [
        (2, {BAG: 2, WEST: 9}, [(BAG, 2)]),  # just enough is enough, and the first place comes first
        (2, {BAG: 1, WEST: 2}, [(WEST, 2)]),
        (3, {BAG: 1, WEST: 2}, [(WEST, 3)]),  # nobody has three: who has most is asked for all
        (3, {BAG: 2, WEST: 2}, [(BAG, 3)]),
        (1, {BAG: 0, WEST: 0}, [(BAG, 1)]),
        (1, {BAG: -2, WEST: -1}, [(WEST, 1)]),  # it owes less
        (1, {}, [(BAG, 1)]),
        (1, {BAG: 0}, [(BAG, 1)]),  # a place that nobody knows of has none
        (1, {WEST: 1}, [(WEST, 1)]),
        (1, {WEST: 0}, [(BAG, 1)]),
        (1, {BAG: -1}, [(WEST, 1)]),
    ],
)
def test_all_of_it_is_asked_of_one_place(
    quantity: int, sellable: dict[LevelKey, int], expected: list[tuple[LevelKey, int]]
) -> None:
    """The first that can give it; else the one that has most."""
    assert chosen(quantity, [BAG, WEST], sellable) == expected


def test_pieces_of_one_place_make_up_what_is_wanted() -> None:
    """Two numbered bags of one shop, never one here and one there; the one too many is asked of the last."""
    there_are = {ONE: 1, TWO: 1, FAR: 1}
    assert chosen(2, [ONE, TWO, FAR], there_are) == [(ONE, 1), (TWO, 1)]
    assert chosen(1, [ONE, TWO, FAR], {**there_are, ONE: 0}) == [(TWO, 1)]
    assert chosen(3, [ONE, TWO, FAR], there_are) == [(ONE, 1), (TWO, 2)]
    assert chosen(1, [ONE, TWO, FAR], {ONE: 0, TWO: 0, FAR: 1}) == [(FAR, 1)]


def test_where_only_what_came_lately_is_numbered_all_of_it_can_be_had() -> None:
    """Two out of the old ones when there are two; else numbered ones and old ones, as many as are wanted."""
    both = [ONE, TWO, BAG]
    assert chosen(2, both, {ONE: 1, TWO: 1, BAG: 2}) == [(BAG, 2)]
    assert chosen(2, both, {ONE: 1, TWO: 1, BAG: 1}) == [(ONE, 1), (TWO, 1)]
    assert chosen(1, both, {ONE: 1, TWO: 1, BAG: 1}) == [(ONE, 1)]
    assert chosen(3, both, {ONE: 1, TWO: 1, BAG: 1}) == [(ONE, 1), (TWO, 1), (BAG, 1)]


def test_a_pick_up_without_units_waits_for_who_fetches_it_and_a_cart_is_over() -> None:
    """Its order took them over: the bag is still to be handed out, unless it was."""
    pick_up = replace(CART, kind=ReservationKind.PICK_UP, state=State.CONFIRMED)
    assert answered(pick_up, {}, "") == replace(pick_up, state=State.ORDERED, expires_at=None)
    assert answered(pick_up, {}, "", left=1).state is State.SETTLED
    assert answered(replace(CART, state=State.CONFIRMED), {}, "").state is State.SETTLED
    assert answered(pick_up, {BAGS: {BAG: 1}}, "", left=1).state is State.CONFIRMED
    ordered = replace(pick_up, state=State.ORDERED)
    assert answered(ordered, {}, "", left=1) == replace(pick_up, state=State.SETTLED)
    assert answered(ordered, {}, "") == ordered  # nobody has come for it yet
    for over in (State.EXPIRED, State.RELEASED, State.REFUSED, State.PAID_UNAVAILABLE):
        assert answered(replace(pick_up, state=over), {}, "", left=1).state is over
    for paid_at, state in ((None, State.REFUSED), (NOW, State.PAID_UNAVAILABLE)):
        pending = replace(CART, state=State.PENDING, paid_at=paid_at)
        assert answered(pending, {BAGS: {BAG: 0}}, "no").state is state


# -- who gets what of the units that are divided --------------------------------------------------------


@pytest.mark.parametrize(
    ("total", "weights", "has", "expected"),
    [
        (3, (1, 1), {}, (2, 1)),  # a tie goes by priority
        (3, (1, 1), {"dubai": 1}, (2, 1)),  # it has no more than its part
        (3, (1, 1), {"dubai": 2}, (1, 2)),
        (4, (3, 2), {}, (2, 2)),  # 2.4 and 1.6: the larger fraction
        (4, (2, 3), {}, (2, 2)),
        (1, (1, 1), {"london": 0}, (1, 0)),
        (5, (0, 1), {"london": 5}, (0, 5)),
        (-3, (1, 1), {}, (0, 0)),
    ],
)
def test_the_unit_that_is_left_over_goes_where_it_is_then_by_fraction_then_by_priority(
    total: int, weights: tuple[int, int], has: dict[str, int], expected: tuple[int, int]
) -> None:
    """So nothing is moved for the sake of rounding."""
    shares = [Share(name, weight) for name, weight in zip(("london", "dubai"), weights, strict=True)]
    assert tuple(split(total, shares, has).values()) == expected


def test_a_share_of_nothing_gets_nothing_not_even_what_is_left_over() -> None:
    """Though it has one: of three the third goes to who has a claim."""
    shares = [Share("london", 0), Share("dubai", 1), Share("paris", 1)]
    assert split(3, shares, {"london": 1}) == {"london": 0, "dubai": 2, "paris": 1}


def test_who_has_nothing_at_all_is_served_before_who_has_too_few() -> None:
    """One unit, London has one of two and Dubai none: it is Dubai's; with one each it is London's."""
    london, dubai = Books("london", held=1, shown=1), Books("dubai")
    goals = {"london": 2, "dubai": 1}
    assert moves_here(1, [london, dubai], goals) == [Move(None, "dubai", 1, HERE)]
    both = [london, Books("dubai", held=1, shown=1)]
    assert moves_here(1, both, {"london": 2, "dubai": 2}) == [Move(None, "london", 1, HERE)]


def test_what_is_on_its_way_is_not_asked_for_again() -> None:
    """What comes covers first what is shown uncovered, and counts beyond that."""
    one_bare = Books("london", held=0, shown=1)
    assert moves_here(9, [one_bare], {"london": 1}) == [Move(None, "london", 1, HERE)]
    assert moves_here(9, [replace(one_bare, coming=1)], {"london": 1}) == []
    assert moves_here(9, [replace(one_bare, coming=2)], {"london": 3}) == [Move(None, "london", 1, HERE)]
    two_bare = Books("london", held=0, shown=2, coming=1)
    assert moves_here(9, [two_bare], {"london": 5}) == [Move(None, "london", 4, HERE)]


@pytest.mark.parametrize(
    ("spare", "units", "left"), [(3, 2, 1), (2, 2, 0), (2, 3, 0), (0, 1, 0), (-1, 1, -1), (-1, 0, -1)]
)
def test_a_raise_takes_spare_units_and_never_more_than_there_are(spare: int, units: int, left: int) -> None:
    """What was owed before stays owed."""
    assert spent(spare, units) == left


def test_what_a_channel_may_not_have_goes_to_the_others_to_the_last_unit() -> None:
    """Caps of nothing, of less than a share, and of just a share."""
    shares = [Share("london", 1, most=0), Share("dubai", 1, most=3), Share("paris", 1)]
    assert split(10, shares, {}) == {"london": 0, "dubai": 3, "paris": 7}
    assert split(2, [Share("london", 1, most=1), Share("dubai", 1)], {}) == {"london": 1, "dubai": 1}
    assert split(1, [Share("london", 1, most=5)], {}) == {"london": 1}
    assert split(0, [Share("london", 1)], {}) == {"london": 0}
    # A quarter of four is just what London may have: it gets none of what is left over, though it has two.
    quarter = [Share("london", 2, most=1), Share("dubai", 3), Share("paris", 3)]
    assert split(4, quarter, {"london": 2}) == {"london": 1, "dubai": 2, "paris": 1}


def test_whoever_has_no_goal_is_covered_while_it_may_still_sell_and_given_nothing() -> None:
    """A channel that has left shows two that nothing is reserved for: it may sell them till it is lowered."""
    books = [Books("dubai", held=0, shown=2), Books("london", held=1, spare=1)]
    assert moves_here(3, books, {"london": 1}) == [Move(None, "dubai", 2, HERE)]
    assert moves_here(3, [Books("dubai")], {}) == []
    assert moves_here(3, books, {"dubai": 1, "london": 1}) == [Move(None, "dubai", 2, HERE)]
