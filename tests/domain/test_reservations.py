"""What a reservation is after the org's answers, where it is moved, and when somebody must look at it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.reservations import (
    LONGEST,
    ORDER_PATIENCE,
    OrphanCause,
    PickUpWindow,
    Refusals,
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
    Wish,
    answered,
    as_told,
    asks,
    beyond,
    carried,
    fetched,
    follows,
    for_less,
    gave_way,
    handed_over,
    moves,
    order_names,
    orphaned,
    over,
    overdue,
    part,
    parted,
    prolonged,
    spoken_for,
    still_due,
    still_owed,
    store_found,
    store_lacks,
    takes_place,
    unfetched,
    whole,
)
from sfsync.domain.stock import LevelKey, MovementKind

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
ECOM, TOWN = LevelKey("BAG", "ECOM"), LevelKey("BAG", "TOWN")
SCARF, ELSEWHERE = LevelKey("SCARF", "ECOM"), LevelKey("SCARF", "TOWN")
State = ReservationState
WISHED = Reservation(
    "r",
    State.PENDING,
    ReservationKind.CART,
    "london",
    "cart 7",
    (ReservationLine(ECOM, 2), ReservationLine(SCARF, 1)),
    NOW,
    NOW + timedelta(minutes=15),
)
BAGS, SCARVES = WISHED.subjects()


def said(reservation: Reservation, *, found: bool) -> Reservation:
    """What becomes of it when the shop has said so of all of it."""
    if found:
        return store_found(reservation, {0, 1}, {"ECOM"}, now=NOW)
    stays, lost = store_lacks(reservation, {0, 1}, {"ECOM"}, number="r2", reason="not found", now=NOW)
    assert stays is None
    return lost


@pytest.mark.parametrize(
    ("state", "paid", "bags", "scarves", "becomes"),
    [
        (State.PENDING, False, 2, 1, State.GRANTED),
        (State.PENDING, False, 0, 1, State.GRANTED),  # a part, where a part would do
        (State.PENDING, False, 0, 0, State.REFUSED),
        (State.PENDING, True, 2, 1, State.CONFIRMED),
        (State.PENDING, True, 0, 0, State.PAID_UNAVAILABLE),
        (State.GRANTED, False, 2, 0, State.GRANTED),  # its order has taken over the scarf
        (State.GRANTED, False, 0, 0, State.SETTLED),
        (State.CONFIRMED, True, 0, 0, State.SETTLED),
        (State.EXPIRED, False, 2, 1, State.EXPIRED),  # what it still holds is given back
        (State.RELEASED, False, 0, 0, State.RELEASED),
        (State.REFUSED, False, 0, 0, State.REFUSED),
    ],
)
def test_a_reservation_is_what_the_ledger_holds_for_it(
    state: State, paid: bool, bags: int, scarves: int, becomes: State
) -> None:
    """Nobody's word but the org's rows."""
    reservation = replace(WISHED, state=state, paid_at=NOW if paid else None)
    after = answered(reservation, {BAGS: {ECOM: bags}, SCARVES: {SCARF: scarves}}, "not available")
    assert after.state is becomes
    assert (after.reason == "not available") is (
        after.state is not state and not bags + scarves and state is State.PENDING
    )
    if state is State.PENDING and after.state is not State.REFUSED and bags + scarves:
        assert [line.quantity for line in after.lines] == [bags, scarves]
        assert [line.wanted for line in after.lines] == [2, 1]
    assert (after.expires_at is None) is (becomes is State.CONFIRMED and state is State.PENDING)


def test_a_line_is_where_its_units_are() -> None:
    """Moved to the boutique: the list of the boutique shows it."""
    held = replace(WISHED, state=State.GRANTED)
    after = answered(held, {BAGS: {ECOM: 0, TOWN: 2}, SCARVES: {SCARF: 1}}, "")
    assert [line.level for line in after.lines] == [TOWN, SCARF]


@pytest.mark.parametrize(
    ("state", "needs", "there", "becomes"),
    [
        (State.GRANTED, True, TOWN, (State.AWAITING_STORE, True)),  # moved to where the shop must look
        (State.CONFIRMED, True, TOWN, (State.AWAITING_STORE, True)),
        (State.GRANTED, True, ECOM, (State.GRANTED, False)),  # the move was refused
        (State.AWAITING_STORE, False, TOWN, (State.GRANTED, False)),  # moved away from a shop that must look
        (State.AWAITING_STORE, False, ECOM, (State.AWAITING_STORE, True)),  # and that was refused
    ],
)
def test_a_moved_piece_counts_once_the_shop_where_it_is_has_said_so(
    state: State, needs: bool, there: LevelKey, becomes: tuple[State, bool]
) -> None:
    """The word of the shop where it was says nothing of the shop where it is."""
    paid = NOW if state is State.CONFIRMED else None
    line = ReservationLine(ECOM, 1)
    held = replace(WISHED, state=state, lines=(line,), needs_store=needs, paid_at=paid)
    after = answered(held, {BAGS: {there: 1}}, "")
    assert (after.state, after.needs_store, after.lines[0].level) == (*becomes, there)


@pytest.mark.parametrize(
    ("there", "may_give", "expected"),
    [
        pytest.param([TOWN, TOWN], {TOWN: 3}, None, id="as many as it may give"),
        pytest.param([TOWN, TOWN], {TOWN: 2}, (TOWN, 3), id="one more, of both lines together"),
        pytest.param([TOWN, TOWN], {TOWN: -1}, (TOWN, 3), id="it owes"),
        pytest.param([TOWN, TOWN], {ECOM: 0}, None, id="nothing is kept there: it is asked"),
        pytest.param([ECOM, TOWN], {ECOM: 0, TOWN: 2}, None, id="what stays where it is asks for nothing"),
        pytest.param([ECOM, TOWN], {ECOM: 0, TOWN: 1}, (TOWN, 2), id="only what comes there counts"),
    ],
)
def test_a_reservation_is_moved_to_what_a_location_may_give(
    there: list[LevelKey], may_give: dict[LevelKey, int], expected: tuple[LevelKey, int] | None
) -> None:
    """One and two pieces are to be held in town, beside what the shop keeps for whoever comes in."""
    assert beyond([ReservationLine(ECOM, 1), ReservationLine(ECOM, 2)], there, may_give) == expected


def test_a_move_gives_back_and_asks_with_following_steps_of_one_subject() -> None:
    """Both rows in one transaction; what is there already stays untouched."""
    held = {BAGS: {ECOM: 2}, SCARVES: {LevelKey("SCARF", "TOWN"): 1}}
    rows = moves(WISHED, held, {BAGS: 1, SCARVES: 3}, "TOWN", NOW)
    assert [(row.key, str(row.level), row.kind, row.reserved_delta) for row in rows] == [
        ("reservation:r:0:1", "BAG|ECOM", MovementKind.RELEASE, -2),
        ("reservation:r:0:2", "BAG|TOWN", MovementKind.CART, 2),
    ]


def test_goods_handed_over_leave_what_is_held_and_what_is_there_together() -> None:
    """Available stays as it was: the unit was promised before."""
    rows = handed_over(WISHED, {BAGS: {ECOM: 2}, SCARVES: {}}, {BAGS: 1, SCARVES: 1}, "receipt 7", NOW)
    assert [(row.key, row.on_hand_delta, row.reserved_delta, row.reference) for row in rows] == [
        ("reservation:r:0:1", -2, -2, "receipt 7")
    ]


ORDERED = "order:london:1001:1", "order:london:1001:2"


@pytest.mark.parametrize(
    ("partial", "granted", "due"),
    [
        (False, (2, 1), (2, 1)),
        (False, (2, 0), (2, 1)),  # all or nothing: the scarf is owed although its order holds it
        (True, (1, 1), (1, 1)),  # a part will do: as many as were granted
        (True, (1, 0), (1, 0)),
        (True, (0, 1), (0, 1)),
        (True, (0, 0), (2, 1)),  # nothing was granted: all that was wanted
    ],
)
def test_a_customer_is_to_have_all_or_the_part_that_was_granted(
    partial: bool, granted: tuple[int, int], due: tuple[int, int]
) -> None:
    """Of two bags and a scarf."""
    lines = tuple(replace(line, quantity=units) for line, units in zip(WISHED.lines, granted, strict=True))
    assert replace(WISHED, lines=lines, partial=partial).due() == due


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        # The order gives up what the reservation sells: two bags, a scarf.
        (
            [(0, ECOM, 2), (1, SCARF, 1)],
            [
                (f"{ORDERED[0]}:4", ECOM, MovementKind.RELEASE, 0, -2),
                (f"{BAGS}:1", ECOM, MovementKind.SALE, -2, 0),
                (f"{ORDERED[1]}:7", SCARF, MovementKind.RELEASE, 0, -1),
                (f"{SCARVES}:2", SCARF, MovementKind.SALE, -1, 0),
            ],
        ),
        # Three are held: no more leave with her than she had reserved.
        (
            [(0, ECOM, 3)],
            [
                (f"{ORDERED[0]}:4", ECOM, MovementKind.RELEASE, 0, -2),
                (f"{BAGS}:1", ECOM, MovementKind.SALE, -2, 0),
            ],
        ),
        # One here and two there: two in all, each step with a number of its own.
        (
            [(0, ECOM, 1), (0, TOWN, 2)],
            [
                (f"{ORDERED[0]}:4", ECOM, MovementKind.RELEASE, 0, -1),
                (f"{BAGS}:1", ECOM, MovementKind.SALE, -1, 0),
                (f"{ORDERED[0]}:5", TOWN, MovementKind.RELEASE, 0, -1),
                (f"{BAGS}:2", TOWN, MovementKind.SALE, -1, 0),
            ],
        ),
        # A level that holds nothing, or owes, and a SKU that she never reserved: nothing leaves of them,
        # and what comes after them does.
        (
            [(0, TOWN, 0), (0, TOWN, -1), (0, LevelKey("HAT", "ECOM"), 1), (1, SCARF, 1)],
            [
                (f"{ORDERED[1]}:7", SCARF, MovementKind.RELEASE, 0, -1),
                (f"{SCARVES}:2", SCARF, MovementKind.SALE, -1, 0),
            ],
        ),
        ([], []),
    ],
)
def test_what_she_fetches_of_her_order_the_order_gives_up_and_the_reservation_sells(
    held: list[tuple[int, LevelKey, int]], expected: list[tuple[str, LevelKey, MovementKind, int, int]]
) -> None:
    """So much leaves on hand as was reserved, under the till's receipt."""
    steps = {BAGS: 1, SCARVES: 2, ORDERED[0]: 4, ORDERED[1]: 7}
    of_order = [(ORDERED[line], level, units) for line, level, units in held]
    rows = handed_over(WISHED, {}, steps, "receipt 7", NOW, of_orders=of_order)
    assert [(row.key, row.level, row.kind, row.on_hand_delta, row.reserved_delta) for row in rows] == expected
    assert {(row.reference, row.source_version, row.occurred_at) for row in rows} <= {
        ("receipt 7", "for london", NOW)
    }
    assert [row.key for row in rows] == [f"{row.subject}:{row.key.rpartition(':')[2]}" for row in rows]


def test_what_was_fetched_in_the_shops_own_system_leaves_no_second_time() -> None:
    """Two bags to fetch, of an order of four: two left from where they were kept. A parcel is neither."""
    two = replace(WISHED, lines=(ReservationLine(ECOM, 2),))
    steps = {BAGS: 0, ORDERED[0]: 1}
    of_orders = [(ORDERED[0], ECOM, 2)]
    assert handed_over(two, {}, steps, "receipt 7", NOW, of_orders=of_orders, sent={ECOM: 2}) == ()
    rows = handed_over(two, {}, steps, "receipt 7", NOW, of_orders=of_orders, sent={TOWN: 2})
    assert sum(row.on_hand_delta for row in rows) == -2
    assert (fetched(two, {ECOM: 1}), fetched(two, {TOWN: 1})) == ((1,), (2,))


def test_lines_of_one_article_are_fetched_together() -> None:
    """One bag of one line and two of the other: three leave, wherever her order holds them, and not four."""
    two = replace(WISHED, lines=(ReservationLine(ECOM, 1), ReservationLine(TOWN, 2)))
    held = [(ORDERED[0], ECOM, 1), (ORDERED[1], TOWN, 5)]
    steps = {BAGS: 0, SCARVES: 0, ORDERED[0]: 1, ORDERED[1]: 1}
    rows = handed_over(two, {}, steps, "receipt 7", NOW, of_orders=held)
    assert [(row.level, row.on_hand_delta, row.reserved_delta) for row in rows] == [
        (ECOM, 0, -1),
        (ECOM, -1, 0),
        (TOWN, 0, -2),
        (TOWN, -2, 0),
    ]


DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("until", "expires", "becomes", "fetched", "open_until"),
    [
        (2, 1, 2, None, None),
        (1, 2, 2, None, None),  # no extension makes a life shorter
        (30, 2, 30, None, None),
        (31, 2, 30, None, None),  # a month from its beginning, however often it is prolonged
        (40, 35, 35, None, None),  # one that was given more from the beginning keeps it
        (5, 2, 5, 3, 5),  # she may fetch it as long as it is kept
        (5, 2, 5, 5, 5),
        (5, 2, 5, 6, 6),  # and a window that is open longer stays so
        (5, None, None, 3, 5),  # paid for, it expires no more; she has more time
        (3, None, None, 5, 5),
        (31, None, None, 3, 30),
        (5, None, None, None, None),  # and where she has not said when, it has no end
    ],
)
def test_a_reservation_is_prolonged_up_to_a_month_and_its_window_with_it(
    until: int, expires: int | None, becomes: int | None, fetched: int | None, open_until: int | None
) -> None:
    """In days from its beginning."""

    def day(number: int | None) -> datetime | None:
        return None if number is None else NOW + number * DAY

    def window(number: int | None) -> PickUpWindow | None:
        return None if number is None else PickUpWindow(NOW, NOW + number * DAY)

    held = replace(WISHED, expires_at=day(expires), window=window(fetched))
    after = prolonged(held, NOW + until * DAY)
    assert after == replace(held, expires_at=day(becomes), window=window(open_until))


def test_a_line_of_no_units_asks_for_nothing() -> None:
    """It keeps its place among the lines, and its number."""
    reservation = replace(WISHED, lines=(ReservationLine(ECOM, 0, 2), ReservationLine(SCARF, 1)))
    assert [row.key for row in asks(reservation, [0, 0], NOW)] == ["reservation:r:1:0"]


@pytest.mark.parametrize(
    ("wanted", "ecom", "town", "asked"),
    [
        (3, 5, 5, [(ECOM, 3)]),
        (3, 2, 5, [(ECOM, 2), (TOWN, 1)]),
        (3, -1, 1, [(TOWN, 1)]),
        (3, 0, 0, []),
    ],
)
def test_a_part_is_taken_from_the_best_place_first(
    wanted: int, ecom: int, town: int, asked: list[tuple[LevelKey, int]]
) -> None:
    """Never more than seems to be there; a place that owes gives nothing."""
    assert part(wanted, [ECOM, TOWN], {ECOM: ecom, TOWN: town}) == asked


WINDOW = PickUpWindow(NOW, NOW + timedelta(days=2))


@pytest.mark.parametrize(
    ("channel", "window", "after", "somebody_must_look"),
    [
        ("london", None, ORDER_PATIENCE - timedelta(seconds=1), False),
        ("london", None, ORDER_PATIENCE, True),
        ("london", WINDOW, ORDER_PATIENCE, False),
        ("london", WINDOW, ORDER_PATIENCE + timedelta(days=2), True),
        (None, None, ORDER_PATIENCE, False),
        (None, None, LONGEST, True),
    ],
)
def test_units_held_for_an_order_that_never_came_are_overdue(
    channel: str | None, window: PickUpWindow | None, after: timedelta, somebody_must_look: bool
) -> None:
    """A shop tells of its orders within minutes; a client of the boutique may take weeks."""
    paid = replace(WISHED, state=State.CONFIRMED, paid_at=NOW, channel=channel, window=window)
    assert overdue(paid, NOW + after) is somebody_must_look
    assert not overdue(replace(paid, state=State.SETTLED), NOW + after)


def test_where_a_channel_tells_of_no_orders_a_paid_reservation_stands_for_its_order() -> None:
    """Until it is handed over; somebody must look only when that takes as long as anything may."""
    paid = replace(WISHED, state=State.CONFIRMED, paid_at=NOW, channel="boutique", window=None)
    assert not overdue(paid, NOW + ORDER_PATIENCE, told=False)
    assert overdue(paid, NOW + LONGEST, told=False)


GRANTED = replace(WISHED, state=State.GRANTED)
CONFIRMED = replace(WISHED, state=State.CONFIRMED, paid_at=NOW)


@pytest.mark.parametrize(
    ("before", "bags", "scarves", "state", "lines"),
    [
        (GRANTED, 2, 0, State.GRANTED, (2, 0)),
        (GRANTED, 1, 1, State.GRANTED, (1, 1)),
        (GRANTED, 3, 1, State.GRANTED, (2, 1)),  # never more than it was
        (GRANTED, 0, 0, State.RELEASED, (2, 1)),
        (GRANTED, -1, 0, State.RELEASED, (2, 1)),
        (CONFIRMED, 1, 0, State.CONFIRMED, (1, 0)),
        (CONFIRMED, 0, 0, State.PAID_UNAVAILABLE, (2, 1)),
        (replace(GRANTED, state=State.AWAITING_STORE), 0, 0, State.RELEASED, (2, 1)),
        (replace(GRANTED, state=State.EXPIRED), 0, 0, State.EXPIRED, (2, 1)),
        (replace(GRANTED, state=State.PENDING), 0, 0, State.PENDING, (2, 1)),
    ],
)
def test_what_gave_way_to_goods_that_have_left_is_less_or_over(
    before: Reservation, bags: int, scarves: int, state: State, lines: tuple[int, int]
) -> None:
    """The money of a paid one is here and its goods are not; any other is released, and says why."""
    after = gave_way(before, {BAGS: {ECOM: bags}, SCARVES: {SCARF: scarves}}, "1 sold at the till")
    assert (after.state, tuple(line.quantity for line in after.lines)) == (state, lines)
    over = before.state in (State.EXPIRED, State.PENDING)
    assert after.reason == ("" if over else "1 sold at the till")
    assert [line.level for line in after.lines] == [ECOM, SCARF]


@pytest.mark.parametrize(
    ("gone", "stays", "lost"),
    [
        ((2, 1), None, [(ECOM, 2), (SCARF, 1)]),  # all of it
        ((2, 0), [0, 1], [(ECOM, 2)]),
        ((1, 0), [1, 1], [(ECOM, 1)]),
        ((1, 1), [1, 0], [(ECOM, 1), (SCARF, 1)]),
    ],
)
def test_what_stock_covers_of_a_paid_reservation_stays_and_the_rest_is_one_of_its_own(
    gone: tuple[int, int], stays: list[int] | None, lost: list[tuple[LevelKey, int]]
) -> None:
    """The bag has left over the counter, the scarf lies there: hers is the scarf, and the bag is owed."""
    paid = replace(CONFIRMED, order_reference="#1001", expires_at=None)
    covered, rest = parted(paid, gone, "other", "sold at the till")
    assert (rest.state, rest.reason) == (State.PAID_UNAVAILABLE, "sold at the till")
    assert (rest.order_reference, rest.paid_at, rest.expires_at) == ("#1001", NOW, None)
    assert [(line.level, line.quantity) for line in rest.lines] == lost
    assert rest.due() == tuple(units for _, units in lost)
    if stays is None:
        assert (covered, rest.id) == (None, "r")
        return
    assert covered is not None
    assert (covered.id, covered.state, rest.id, rest.instead_of) == ("r", State.CONFIRMED, "other", "r")
    assert ([line.quantity for line in covered.lines], list(covered.due())) == (stays, stays)


@pytest.mark.parametrize(
    ("paid", "found", "state", "reason"),
    [
        (False, True, State.GRANTED, ""),
        (True, True, State.CONFIRMED, ""),
        (False, False, State.RELEASED, "not found"),
        (True, False, State.PAID_UNAVAILABLE, "not found"),
    ],
)
def test_the_shop_says_whether_it_has_the_piece(paid: bool, found: bool, state: State, reason: str) -> None:
    """It counts from then on, or is over; the shop is not asked again."""
    waiting = replace(WISHED, state=State.AWAITING_STORE, needs_store=True, paid_at=NOW if paid else None)
    after = said(waiting, found=found)
    assert (after.state, after.reason, after.needs_store) == (state, reason, False)
    assert after.lines == tuple(replace(line, found=found) for line in WISHED.lines)


@pytest.mark.parametrize("found", [True, False])
def test_the_shop_says_of_what_an_order_has_taken_over_whether_it_has_it(found: bool) -> None:
    """An order is paid for at its channel, although nobody has confirmed it here."""
    taken = replace(WISHED, state=State.ORDERED, found_at=None if found else NOW - DAY)
    after = said(taken, found=found)
    if found:
        lines = tuple(replace(line, found=True) for line in taken.lines)
        assert after == replace(taken, lines=lines, found_at=NOW)
    else:
        lost = State.PAID_UNAVAILABLE
        assert after == replace(taken, state=lost, reason="not found", paid_at=NOW, found_at=None)


def test_a_shops_word_counts_for_what_is_kept_in_that_shop_and_for_the_articles_that_it_names() -> None:
    """A bag from the warehouse, one and a scarf from two boutiques: each speaks of its own."""
    lines = (ReservationLine(ECOM, 2), ReservationLine(TOWN, 1), ReservationLine(ELSEWHERE, 1))
    both = replace(WISHED, lines=lines)
    for locations, skus, expected in (
        ({"TOWN"}, (), {1, 2}),
        ({"TOWN"}, ("SCARF",), {2}),
        ({"ECOM"}, ("SCARF",), set()),
        ({"MAYFAIR"}, (), set()),
        (None, (), {1, 2}),  # whoever speaks for all shops: for those that have to be asked
        (None, ("BAG",), {1}),
    ):
        places = None if locations is None else frozenset(locations)
        assert spoken_for(both, {"TOWN"}, locations=places, skus=frozenset(skus)) == expected
    assert spoken_for(both, frozenset()) == {0, 1, 2}


def test_what_two_shops_have_to_find_counts_when_both_have_found_it() -> None:
    """One bag stands among TOWN's last, one among MAYFAIR's; the two in the warehouse ask nobody."""
    mayfair = LevelKey("BAG", "MAYFAIR")
    lines = (ReservationLine(ECOM, 2), ReservationLine(TOWN, 1), ReservationLine(mayfair, 1))
    waiting = replace(WISHED, lines=lines, state=State.AWAITING_STORE, needs_store=True)
    floors = frozenset({"TOWN", "MAYFAIR"})
    once = store_found(waiting, {1}, floors, now=NOW)
    assert (once.state, once.needs_store, once.found_at) == (State.AWAITING_STORE, True, None)
    twice = store_found(once, {2}, floors, now=NOW)
    assert (twice.state, twice.needs_store, twice.found_at) == (State.GRANTED, False, None)
    assert store_found(twice, {0}, floors, now=NOW).found_at == NOW


def test_what_a_shop_does_not_find_of_something_paid_is_parted_from_the_rest() -> None:
    """Bag and scarf are paid, the scarf is not there: the bag stays hers, and waits for nobody any more."""
    for state, kept in (
        (State.CONFIRMED, State.CONFIRMED),
        (State.AWAITING_STORE, State.CONFIRMED),
        (State.ORDERED, State.ORDERED),
    ):
        waits = state is State.AWAITING_STORE
        paid = replace(WISHED, state=state, needs_store=waits, paid_at=NOW)
        stays, lost = store_lacks(paid, {1}, {"TOWN"}, number="r2", reason="not found", now=NOW)
        assert stays is not None
        assert (stays.id, stays.state, stays.due(), stays.needs_store) == ("r", kept, (2, 0), False)
        assert (lost.id, lost.state, lost.instead_of) == ("r2", State.PAID_UNAVAILABLE, "r")
        assert lost.lines == (ReservationLine(SCARF, 1),)


def test_what_a_shop_does_not_find_of_a_cart_ends_all_of_it_unless_a_part_will_do() -> None:
    """She wanted both; or whatever there is."""
    cart = replace(WISHED, state=State.AWAITING_STORE, needs_store=True)
    stays, lost = store_lacks(cart, {1}, {"ECOM"}, number="r2", reason="not found", now=NOW)
    assert (stays, lost.state, lost.id) == (None, State.RELEASED, "r")
    part = replace(cart, partial=True)
    stays, _ = store_lacks(part, {1}, frozenset(), number="r2", reason="not found", now=NOW)
    assert stays is not None
    assert (stays.state, stays.due()) == (State.GRANTED, (2, 0))
    stays, _ = store_lacks(part, {1}, {"ECOM"}, number="r2", reason="not found", now=NOW)
    assert stays is not None
    assert (stays.state, stays.needs_store) == (State.AWAITING_STORE, True)


@pytest.mark.parametrize(
    ("held", "expected"),
    [
        ([(0, ECOM, 2), (1, SCARF, 1)], [(0, ECOM, TOWN, 2), (1, SCARF, ELSEWHERE, 1)]),
        # More than hers stays; what the first line lacks the second has.
        (
            [(0, ECOM, 1), (1, ECOM, 5), (1, SCARF, 1)],
            [(0, ECOM, TOWN, 1), (1, ECOM, TOWN, 1), (1, SCARF, ELSEWHERE, 1)],
        ),
        # Not all of it is where it was to be fetched: nothing is carried in part.
        ([(0, ECOM, 1), (0, TOWN, 1), (1, SCARF, 1)], None),
        ([(0, ECOM, 2)], None),
    ],
)
def test_what_her_orders_hold_of_a_pick_up_is_moved_all_or_none(
    held: list[tuple[int, LevelKey, int]], expected: list[tuple[int, LevelKey, LevelKey, int]] | None
) -> None:
    """Two bags and a scarf go to town, or none does."""
    of_orders = [(ORDERED[line], level, units) for line, level, units in held]
    found = carried(WISHED, (TOWN, ELSEWHERE), of_orders, WISHED.due())
    told = None if found is None else [(ORDERED.index(subject), *rest) for subject, *rest in found]
    assert told == expected
    assert carried(WISHED, (ECOM, SCARF), of_orders, WISHED.due()) == []


def test_of_a_half_ordered_pick_up_the_order_carries_its_half() -> None:
    """One bag is the order's, the other and the scarf are held by the pick-up itself."""
    of_orders = [(ORDERED[0], ECOM, 5)]
    assert carried(WISHED, (TOWN, ELSEWHERE), of_orders, (1, 0)) == [(ORDERED[0], ECOM, TOWN, 1)]


@pytest.mark.parametrize(
    ("had", "elsewhere", "units"),
    [
        ({}, {}, (2, 1, 1)),
        ({TOWN: 1}, {}, (2, 0, 1)),  # what was had at a line's own level is that line's
        ({TOWN: 2}, {}, (1, 0, 1)),
        ({ELSEWHERE: 1}, {"BAG": 1}, (1, 1, 0)),
        ({ECOM: 9}, {"SCARF": 9}, (0, 0, 0)),
        ({ECOM: -1}, {"BAG": -1}, (2, 1, 1)),  # came back
    ],
)
def test_what_is_still_due_is_what_no_order_has_had(
    had: dict[LevelKey, int], elsewhere: dict[str, int], units: tuple[int, ...]
) -> None:
    """Two bags of the warehouse, one of town, a scarf."""
    lines = (ReservationLine(ECOM, 2), ReservationLine(TOWN, 1), ReservationLine(SCARF, 1))
    assert still_due(replace(WISHED, lines=lines), had, elsewhere) == units


@pytest.mark.parametrize("partial", [False, True])
def test_asked_for_less_all_of_it_is_due_still(partial: bool) -> None:
    """Of three wanted bags two were granted, where a part would do; one of them is in an order."""
    lines = (ReservationLine(ECOM, 2, 3), ReservationLine(SCARF, 1))
    before = replace(WISHED, lines=lines, partial=partial)
    asked = for_less(before, (1, 0))
    assert ([line.quantity for line in asked.lines], asked.due()) == ([1, 0], before.due())
    assert for_less(before, before.due()).partial is partial


@pytest.mark.parametrize(
    ("state", "left", "level", "becomes"),
    [
        (State.ORDERED, 0, TOWN, State.ORDERED),
        (State.PAID_UNAVAILABLE, 1, TOWN, State.ORDERED),  # found elsewhere, it is kept for her again
        (
            State.ORDERED,
            2,
            ECOM,
            State.ORDERED,
        ),  # another bag of the order was carried, to be sent from there
        (State.RELEASED, 0, ECOM, State.RELEASED),
    ],
)
def test_a_pick_up_follows_the_units_of_its_order(
    state: State, left: int, level: LevelKey, becomes: State
) -> None:
    """She is told of the boutique where her order's bags are."""
    pick_up = replace(WISHED, state=state, found_at=NOW, reason="not found")
    after = follows(pick_up, {ECOM: TOWN}, {ECOM: left, SCARF: 1})
    assert ([line.level for line in after.lines], after.state) == ([level, SCARF], becomes)
    assert (after == pick_up) is (level == ECOM)
    assert level == ECOM or (after.found_at, after.reason) == (None, "")


@pytest.mark.parametrize(("own", "level"), [({0, 1}, ECOM), ({1}, TOWN)])
def test_of_a_half_ordered_pick_up_only_the_orders_half_follows_the_order(
    own: set[int], level: LevelKey
) -> None:
    """What it holds itself is where that is held; it stays confirmed."""
    pick_up = replace(WISHED, state=State.CONFIRMED)
    after = follows(pick_up, {ECOM: TOWN}, {}, own)
    assert ([line.level for line in after.lines], after.state) == ([level, SCARF], State.CONFIRMED)


@pytest.mark.parametrize(
    ("state", "window", "days", "told"),
    [
        (State.ORDERED, 2, 2, True),
        (State.ORDERED, 2, 1, False),
        (State.ORDERED, None, 30, True),
        (State.ORDERED, None, 29, False),
        (State.CONFIRMED, 2, 40, False),
    ],
)
def test_nobody_has_come_when_the_window_is_over_or_after_a_month(
    state: State, window: int | None, days: int, told: bool
) -> None:
    """What an order has taken over waits for its customer; a boutique asks her at some time."""
    comes = None if window is None else PickUpWindow(NOW, NOW + window * DAY)
    assert unfetched(replace(WISHED, state=state, window=comes), NOW + days * DAY) is told


def test_a_wish_ends_with_its_window_or_after_its_life() -> None:
    """A pick-up that the customer has said the day of lives until that day's end."""
    wish = Wish(ReservationKind.PICK_UP, "london", "#7", (), timedelta(days=3))
    assert wish.ends(NOW) == NOW + timedelta(days=3)
    window = PickUpWindow(NOW + timedelta(days=5), NOW + timedelta(days=6))
    assert replace(wish, window=window).ends(NOW) == NOW + timedelta(days=6)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        ("#1001", ("1001", "#1001")),
        (" 1001 ", ("1001", "#1001")),
        ("", ()),
        ("#", ()),
        ("A#7", ("A#7", "#A#7")),
    ],
)
def test_an_order_is_known_by_its_number_with_and_without_its_mark(said: str, names: tuple[str, ...]) -> None:
    """However the shop writes it."""
    assert order_names(said) == names


PAID = replace(WISHED, state=State.CONFIRMED, paid_at=NOW)


@pytest.mark.parametrize(
    ("reservation", "hours", "told", "cause"),
    [
        (None, 0, True, OrphanCause.UNKNOWN),
        (replace(WISHED, state=State.GRANTED), 0, True, None),
        (replace(WISHED, state=State.RELEASED), 0, True, OrphanCause.OVER),
        (replace(WISHED, state=State.EXPIRED), 0, True, OrphanCause.OVER),
        (replace(WISHED, state=State.REFUSED), 0, True, OrphanCause.OVER),
        (PAID, 23, True, None),
        (PAID, 24, True, OrphanCause.NO_ORDER),
        (PAID, 24, False, None),  # its channel tells of no orders: it stands for one
        (replace(PAID, channel=None), 24, True, None),  # a client fetches it in person
        (replace(PAID, state=State.AWAITING_STORE, channel=None), 23, True, None),
        (replace(PAID, state=State.AWAITING_STORE, channel=None), 24, True, OrphanCause.NO_WORD),
        (replace(WISHED, state=State.AWAITING_STORE), 24, True, None),  # it expires
    ],
)
def test_what_nobody_will_come_for_has_a_cause(
    reservation: Reservation | None, hours: int, told: bool, cause: OrphanCause | None
) -> None:
    """Of a reservation that holds units still."""
    assert orphaned(reservation, NOW + timedelta(hours=hours), told=told) is cause


@pytest.mark.parametrize(
    ("seconds", "units", "available", "freeing", "stands"),
    [
        (0.5, 1, 0, False, True),
        (1.9, 1, 0, False, True),
        (2.0, 1, 0, False, False),  # by then somebody may have brought one back and not told us
        (0.5, 1, 1, False, False),  # the org has told of a unit since
        (0.5, 2, 1, False, True),
        (0.5, 1, 0, True, False),  # somebody gives one back, and may have been told so
        (0.5, 1, -3, False, True),
    ],
)
def test_a_refusal_is_told_to_others_for_a_moment(
    seconds: float, units: int, available: int, freeing: bool, stands: bool
) -> None:
    """As long as nothing says that the org would answer otherwise."""
    refusals = Refusals()
    refusals.note([ECOM], NOW)
    now = NOW + timedelta(seconds=seconds)
    assert refusals.stands(ECOM, units, available=available, freeing=freeing, now=now) is stands
    assert not refusals.stands(SCARF, units, available=available, freeing=freeing, now=now)


@pytest.mark.parametrize(
    ("available", "freeing", "stands"), [(0, False, True), (1, False, False), (0, True, False)]
)
def test_where_units_are_followed_nobody_has_to_be_refused_first(
    available: int, freeing: bool, stands: bool
) -> None:
    """A local block is empty, and the org's stream would tell of more."""
    told = Refusals().stands(ECOM, 1, available=available, freeing=freeing, now=NOW, followed=True)
    assert told is stands


def test_what_was_refused_long_ago_is_forgotten() -> None:
    """A year of drops takes no room."""
    refusals = Refusals()
    refusals.note([ECOM], NOW)
    refusals.note([SCARF], NOW + timedelta(seconds=4))
    assert refusals.told.keys() == {SCARF}


def test_what_the_org_refuses_again_and_again_is_told_for_longer_each_time() -> None:
    """Ten thousand ask all evening for what is gone: fourteen questions, where there were two hundred."""
    refusals, asked = Refusals(), 0
    for second in range(400):
        now = NOW + timedelta(seconds=second)
        if not refusals.stands(ECOM, 1, available=0, freeing=False, now=now):
            asked += 1
            refusals.note([ECOM], now)
            refusals.note([ECOM], now)  # two asked in the same moment
    assert asked <= 20
    later = NOW + timedelta(seconds=520)
    refusals.note([ECOM], later)
    assert refusals.stands(ECOM, 1, available=0, freeing=False, now=later + timedelta(seconds=1.9))
    assert not refusals.stands(ECOM, 1, available=0, freeing=False, now=later + timedelta(seconds=2))


@pytest.mark.parametrize(
    ("pieces", "rest"),
    [
        ({"TOTE": 1}, (1, 1)),
        ({"TOTE": 2}, (0, 1)),
        ({"TOTE": 3}, (0, 0)),
        ({"TOTE": 4}, (0, 0)),
        ({"SCARF": 1}, (2, 0)),
        ({"SCARF": 2}, (1, 0)),
        ({"TOTE": 1, "SCARF": 1}, (1, 0)),
    ],
)
def test_what_no_other_piece_stands_for_is_still_owed(pieces: dict[str, int], rest: tuple[int, ...]) -> None:
    """Two bags and a scarf were paid for. A scarf stands for the scarf, any other piece for a bag."""
    paid = replace(WISHED, state=State.PAID_UNAVAILABLE, paid_at=NOW)
    lines = tuple(ReservationLine(LevelKey(sku, "TOWN"), units) for sku, units in pieces.items())
    stand_in = replace(WISHED, id="s", lines=lines, instead_of="r")
    assert still_owed(paid, stand_in, paid.due()) == rest


def test_a_bag_that_was_sent_needs_no_other_to_stand_for_it() -> None:
    """Two bags and a scarf were paid for, one bag was sent: a bag stands for the other, the scarf is owed."""
    paid = replace(WISHED, state=State.PAID_UNAVAILABLE, paid_at=NOW)
    bag = replace(WISHED, id="s", lines=(ReservationLine(TOWN, 1),), instead_of="r")
    _, rest = takes_place(bag, paid, (1, 1))
    assert rest is not None
    assert ([line.quantity for line in rest.lines], still_due(rest, {ECOM: 1})) == ([0, 1], (0, 1))
    assert rest.reason.startswith("1 still owed")


def test_a_reservation_is_over_from_its_end_on() -> None:
    """Its end is the first moment at which it is over; what was paid for has no end."""
    held = replace(WISHED, state=State.GRANTED)
    ends = NOW + timedelta(minutes=15)
    assert not over(held, ends - timedelta(seconds=1))
    assert as_told(held, ends).state is State.EXPIRED
    assert as_told(replace(held, state=State.AWAITING_STORE), ends).state is State.EXPIRED
    assert as_told(replace(held, state=State.CONFIRMED, expires_at=None), ends).state is State.CONFIRMED


@pytest.mark.parametrize(("bags", "scarves", "all_of_it"), [(2, 1, True), (1, 1, False), (2, 0, False)])
def test_it_is_whole_while_every_unit_is_held(bags: int, scarves: int, *, all_of_it: bool) -> None:
    """Wherever they stand by now."""
    held = {BAGS: {ECOM: 1, TOWN: bags - 1}, SCARVES: {SCARF: scarves}}
    assert whole(replace(WISHED, state=State.GRANTED), held) is all_of_it
