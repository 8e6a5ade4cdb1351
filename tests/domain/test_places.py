"""Where the units of a line stand at a channel with several locations, and what follows for the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.orders import Holding, LineFacts, NextStep, OrderLine, PlaceFacts, next_step
from sfsync.domain.places import Because, Draw, LinePlace, drawn, kept, matched, settled
from sfsync.domain.stock import LevelKey, Movement, MovementKind, allocation_subject

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
BOND, MALL, ROOM = (LevelKey("BAG-1", place) for place in ("BOND", "MALL", "ROOM"))
LINE = "order:london:1:1"


def place(name: str, opened: int = 0, sent: int = 0, back: int = 0, taken: int | None = None) -> LinePlace:
    """A place whose number fell by what it is to send and has sent, unless told otherwise."""
    return LinePlace(name, opened, sent, back, opened + sent - back if taken is None else taken)


@pytest.mark.parametrize(
    ("named", "place", "several", "routed", "expected"),
    [
        ("DUBAI", "mall", True, True, Draw(("DUBAI",), Because.NAMED)),
        ("DUBAI", "mall", False, False, Draw(("DUBAI",), Because.NAMED)),
        ("DUBAI", "gid 9", True, True, Draw(("DUBAI",), Because.NAMED)),
        (None, "mall", True, True, Draw(("MALL", "ROOM"), Because.ASSIGNED)),
        (None, "bond", True, True, Draw(("BOND",), Because.ASSIGNED)),
        (None, "bond", True, False, Draw(("BOND",), Because.SUPPOSED)),
        (None, "mall", True, False, Draw(("MALL", "ROOM"), Because.SUPPOSED)),
        (None, "mall", False, False, Draw(("MALL", "ROOM"), Because.LISTED)),
        (None, "gid 9", True, True, Draw(("BOND",), Because.UNKNOWN)),
        (None, "gid 9", True, False, Draw(("BOND",), Because.UNKNOWN)),
        (None, "closed", True, True, Draw(("BOND",), Because.LISTED)),
        (None, "gone", False, False, Draw(("BOND",), Because.LISTED)),
        ("", "mall", True, True, Draw(("MALL", "ROOM"), Because.ASSIGNED)),
    ],
)
def test_the_order_is_believed_before_the_shops_routing_and_that_before_the_list(
    named: str | None, place: str, several: bool, routed: bool, expected: Draw
) -> None:
    """A location that nobody named draws on the first one's list: sold it is, and somewhere it must stand."""
    plan = {"bond": ("BOND",), "mall": ("MALL", "ROOM"), "closed": ()}
    assert drawn(named, place, plan, several=several, routed=routed) == expected


def test_of_a_channel_that_is_gone_nothing_is_drawn() -> None:
    """Its orders wait for a person, as dead letters."""
    assert drawn(None, "bond", {}, several=False, routed=False).locations == ()


@pytest.mark.parametrize(
    ("told", "total", "before", "routed", "expected"),
    [
        pytest.param([], place("", 2), [], False, [place("first", 2)], id="nothing told: the first location"),
        pytest.param(
            [place("mall", 2)], place("", 2), [], True, [place("mall", 2)], id="told: that location"
        ),
        pytest.param(
            [place("mall", 1), place("bond", 2)],
            place("", 3),
            [place("first", 3)],
            True,
            [place("mall", 1), place("bond", 2)],
            id="told: what was supposed is forgotten",
        ),
        pytest.param(
            [],
            place("", 3),
            [place("bond", 1), place("mall", 1)],
            False,
            [place("bond", 2), place("mall", 1)],
            id="one more: with the others until told",
        ),
        pytest.param(
            [place("mall", 0, 1)],
            place("", 1, 1),
            [place("bond", 1), place("mall", 1)],
            False,
            [place("bond", 1), place("mall", 0, 1)],
            id="what the Mall has sent is no longer open there",
        ),
        pytest.param(
            [place("mall", 0, 1), place("bond", 0, 0, 1, 0)],
            place("", 0, 1, 1),
            [place("mall", 0, 1)],
            False,
            [place("mall", 0, 1), place("bond", 0, 0, 1, -1)],
            id="sent from the Mall, brought back to Bond Street",
        ),
        pytest.param(
            [],
            place("", 0, taken=1),
            [place("mall", 1)],
            False,
            [place("mall", 0, taken=1)],
            id="called off and not put back: it stays away from where it was",
        ),
    ],
)
def test_every_unit_stands_somewhere(
    told: list[LinePlace],
    total: LinePlace,
    before: list[LinePlace],
    routed: bool,
    expected: list[LinePlace],
) -> None:
    """As told, else as before, else at the first location."""
    found = settled(told, total, before, "first", routed=routed)
    assert sorted(found, key=lambda each: each.location) == sorted(expected, key=lambda each: each.location)


units = st.integers(0, 4)
places = st.lists(
    st.builds(place, st.sampled_from(["bond", "mall", "room"]), units, units, units), max_size=3
).map(lambda found: list({each.location: each for each in found}.values()))


@given(told=places, before=places, extra=units, away=units, routed=st.booleans())
def test_no_unit_is_lost_or_made_by_placing_it(
    told: list[LinePlace], before: list[LinePlace], extra: int, away: int, routed: bool
) -> None:
    """Whatever was told and known before, the places add up to the line."""
    opened = sum(each.open_quantity for each in told) + (0 if routed else extra)
    sent, back = (sum(getattr(p, w) for p in told) for w in ("fulfilled_quantity", "returned_quantity"))
    total = LinePlace("", opened, sent, back, opened + sent - back + away)
    found = settled(told, total, before, "first", routed=routed)
    sums = [
        sum(getattr(each, what) for each in found)
        for what in ("open_quantity", "fulfilled_quantity", "returned_quantity", "taken_quantity")
    ]
    assert sums == [opened, sent, back, total.taken_quantity]
    assert all(each.open_quantity >= 0 for each in found)
    assert kept(found) == away
    if routed:
        at = {each.location: each.open_quantity for each in found if each.open_quantity}
        assert at == {each.location: each.open_quantity for each in told if each.open_quantity}


wants = st.lists(st.tuples(st.sets(st.sampled_from("ABCD"), min_size=1), units), max_size=4)


@given(have=st.dictionaries(st.sampled_from("ABCD"), units), wanted=wants)
def test_as_many_units_are_matched_as_can_be(
    have: dict[str, int], wanted: list[tuple[set[str], int]]
) -> None:
    """Nobody gets more than wanted or from where it may not; no other choice would serve more."""
    given_ = matched(have, wanted)
    for part, (levels, most) in zip(given_, wanted, strict=True):
        assert set(part) <= levels
        assert all(n > 0 for n in part.values())
        assert sum(part.values()) <= most
    used = Counter[str]()
    for part in given_:
        used.update(part)
    assert all(used[level] <= have.get(level, 0) for level in used)
    # The theorem of the smallest cut: for some set of levels, all wants are bounded by it, and reached.
    subsets = [{level for n, level in enumerate("ABCD") if mask >> n & 1} for mask in range(16)]
    bound = min(
        sum(have.get(level, 0) for level in "ABCD" if level in cut)
        + sum(most for levels, most in wanted if not levels <= cut)
        for cut in subsets
    )
    assert used.total() == bound


def row(step: int, level: LevelKey, on_hand: int, reserved: int) -> Movement:
    kind = MovementKind.ORDER if reserved > 0 else MovementKind.FULFILMENT
    return Movement(f"{LINE}:{step}", LINE, level, kind, on_hand, reserved, "#1", "v", NOON)


def step(
    places: list[PlaceFacts], rows: list[Movement], sellable: dict[LevelKey, int], **more: Any
) -> NextStep:
    """The next step of a line with these places and rows."""
    line = OrderLine(
        "1",
        "BAG-1",
        sum(each.open_quantity for each in places),
        sum(each.fulfilled_quantity for each in places),
        sum(each.returned_quantity for each in places),
    )
    sources = list(dict.fromkeys(level for each in places for level in each.sources))
    facts: dict[str, Any] = {"holdings": [], "asked_in_vain": False, "sources": sources, **more}
    return next_step(
        LineFacts(
            LINE,
            line,
            rows,
            len(rows),
            facts["sources"],
            sellable,
            facts["holdings"],
            facts["asked_in_vain"],
            "#1",
            "v",
            NOON,
            places=places,
            follows=facts.get("follows"),
        )
    )


def told(found: NextStep) -> list[tuple[str, str, int, int]]:
    """Kind, location and deltas of the rows to enter."""
    return [
        (row.kind.value, row.level.location, row.on_hand_delta, row.reserved_delta) for row in found.bundle
    ]


def test_each_location_asks_for_its_own_units() -> None:
    """Two from Bond Street, one from the Mall: one step at a time, each where it will be sent from."""
    both = [PlaceFacts([BOND], 2), PlaceFacts([MALL], 1)]
    shown = {BOND: 9, MALL: 9}
    assert told(step(both, [], shown)) == [("Order", "BOND", 0, 2)]
    assert told(step(both, [row(0, BOND, 0, 2)], shown)) == [("Order", "MALL", 0, 1)]
    assert step(both, [row(0, BOND, 0, 2), row(1, MALL, 0, 1)], shown) == NextStep()


def test_a_line_moves_from_one_location_to_another_in_one_bundle() -> None:
    """Released here and reserved there, under the line's next two numbers."""
    found = step([PlaceFacts([MALL], 1)], [row(0, BOND, 0, 1)], {BOND: 4, MALL: 5})
    assert told(found) == [("Release", "BOND", 0, -1), ("Order", "MALL", 0, 1)]
    assert [each.key for each in found.bundle] == [f"{LINE}:1", f"{LINE}:2"]


def test_a_line_stays_where_it_is_while_the_other_location_has_nothing() -> None:
    """A promise covered at the wrong place is better than none; it is told."""
    assert step([PlaceFacts([MALL], 1)], [row(0, BOND, 0, 1)], {BOND: 4, MALL: 0}) == NextStep(misplaced=1)


def test_what_was_carried_to_where_it_is_sent_from_is_reserved_there() -> None:
    """The Mall sends it, and has it: for anybody else it is promised, for this line it is its own."""
    nothing = {BOND: -1, MALL: 0}
    found = step([PlaceFacts([MALL], 1)], [row(0, BOND, 0, 1)], nothing, follows={BOND: -1, MALL: 1})
    assert told(found) == [("Release", "BOND", 0, -1), ("Order", "MALL", 0, 1)]


def test_as_much_moves_as_the_other_location_has() -> None:
    """Two of three now."""
    found = step([PlaceFacts([MALL], 3)], [row(0, BOND, 0, 3)], {MALL: 2})
    assert told(found) == [("Release", "BOND", 0, -2), ("Order", "MALL", 0, 2)]


def test_what_comes_from_an_allocation_goes_back_to_it_when_the_line_moves() -> None:
    """The channel's number at the old location rises by itself: the unit stays its own there."""
    own = [
        Holding(allocation_subject("london", level), level, units, 7, takes_back=True)
        for level, units in ((BOND, 0), (MALL, 2))
    ]
    found = step([PlaceFacts([MALL], 1)], [row(0, BOND, 0, 1)], {BOND: 0, MALL: 0}, holdings=own)
    assert told(found) == [
        ("Release", "BOND", 0, -1),
        ("Allocation", "BOND", 0, 1),
        ("Release", "MALL", 0, -1),
        ("Order", "MALL", 0, 1),
    ]


def test_goods_leave_from_the_location_that_sent_them() -> None:
    """What was reserved elsewhere for them is given back in the same bundle."""
    sent = [PlaceFacts([MALL], 0, 1)]
    found = step(sent, [row(0, BOND, 0, 1)], {})
    assert told(found) == [("Release", "BOND", 0, -1), ("Fulfilment", "MALL", -1, 0)]
    rows = [row(0, BOND, 0, 1), row(1, BOND, 0, -1), row(2, MALL, -1, 0)]
    assert step(sent, rows, {}) == NextStep()


def test_what_another_location_still_has_to_send_stays_reserved_there() -> None:
    """The Mall has sent its one; Bond Street's one is still to go, although both were reserved there."""
    places = [PlaceFacts([BOND], 1), PlaceFacts([MALL], 0, 1)]
    found = step(places, [row(0, BOND, 0, 2)], {})
    assert told(found) == [("Release", "BOND", 0, -1), ("Fulfilment", "MALL", -1, 0)]


def test_goods_come_back_to_the_location_that_took_them() -> None:
    """Sent from the Mall, handed in at Bond Street."""
    places = [PlaceFacts([MALL], 0, 1), PlaceFacts([BOND], 0, 0, 1)]
    rows = [row(0, MALL, 0, 1), row(1, MALL, -1, -1)]
    assert told(step(places, rows, {})) == [("Return", "BOND", 1, 0)]
    assert step(places, [*rows, row(2, BOND, 1, 0)], {}) == NextStep()


@pytest.mark.parametrize(
    ("rows", "first"),
    [
        ([], ("Fulfilment", "MALL", -1, 0)),
        ([row(0, MALL, 0, 1)], ("Fulfilment", "MALL", -1, -1)),
        ([row(0, BOND, 0, 1), row(1, BOND, 0, -1)], ("Fulfilment", "MALL", -1, 0)),
    ],
    ids=["never reserved", "still reserved", "given up already"],
)
def test_goods_sent_and_brought_back_elsewhere_change_both_locations_though_heard_of_together(
    rows: list[Movement], first: tuple[str, str, int, int]
) -> None:
    """Sent from the Mall and handed in at Bond Street before we heard of either: one less, one more."""
    places = [PlaceFacts([MALL], 0, 1), PlaceFacts([BOND], 0, 0, 1)]
    found = step(places, rows, {})
    assert told(found) == [first]
    assert told(step(places, [*rows, *found.bundle], {})) == [("Return", "BOND", 1, 0)]


def test_goods_sent_and_brought_back_change_nothing_where_both_locations_share_a_level() -> None:
    """The Mall and Bond Street both sell from the store room: the goods are where they were."""
    places = [PlaceFacts([ROOM, MALL], 0, 1), PlaceFacts([ROOM], 0, 0, 1)]
    assert step(places, [], {}) == NextStep()


@given(
    story=st.lists(
        st.tuples(st.sampled_from([BOND, MALL, ROOM]), st.sampled_from(["sent", "back"]), st.booleans()),
        max_size=12,
    )
)
def test_every_level_has_less_by_what_left_it_and_more_by_what_came_back_to_it(
    story: list[tuple[LevelKey, str, bool]],
) -> None:
    """Whichever of the goods' comings and goings were heard of together, and whichever one by one."""
    sent, back, rows = Counter[LevelKey](), Counter[LevelKey](), list[Movement]()
    for level, what, heard in [*story, (BOND, "sent", True)]:
        if what == "back" and back.total() == sent.total():
            continue  # nothing is out
        (sent if what == "sent" else back)[level] += 1
        places = [PlaceFacts([each], 0, sent[each], back[each]) for each in (BOND, MALL, ROOM)]
        for _ in range(40 if heard else 0):
            found = step(places, rows, {})
            if not found.bundle:
                break
            rows += found.bundle
        assert not heard or found == NextStep()
    for level in (BOND, MALL, ROOM):
        assert sum(each.on_hand_delta for each in rows if each.level == level) == back[level] - sent[level]


def test_units_called_off_are_given_up_where_nobody_needs_them() -> None:
    """Of two at Bond Street and one at the Mall, the Mall's is called off."""
    found = step([PlaceFacts([BOND], 2)], [row(0, BOND, 0, 2), row(1, MALL, 0, 1)], {})
    assert told(found) == [("Release", "MALL", 0, -1)]


def test_two_locations_may_draw_on_one_level() -> None:
    """Whichever of the two sends it, the goods are in the same store room: nothing moves."""
    places = [PlaceFacts([ROOM, BOND], 1), PlaceFacts([ROOM], 1)]
    assert step(places, [row(0, ROOM, 0, 1), row(1, BOND, 0, 1)], {ROOM: 5, BOND: 5}) == NextStep()


def test_what_one_location_cannot_cover_does_not_keep_another_from_asking() -> None:
    """The org has refused Bond Street's; the Mall's is asked for all the same."""
    places = [PlaceFacts([BOND], 1), PlaceFacts([MALL], 1)]
    assert told(step(places, [], {MALL: 1}, asked_in_vain=True)) == [("Order", "MALL", 0, 1)]
    assert step(places, [row(0, MALL, 0, 1)], {}, asked_in_vain=True) == NextStep(uncovered=1)


def test_what_the_assigned_location_does_not_have_is_taken_where_the_channel_has_it() -> None:
    """The Mall has none, Bond Street has: the promise is covered there at once, and told as misplaced."""
    assigned, more = [PlaceFacts([MALL], 1)], {"sources": [MALL, BOND]}
    assert told(step(assigned, [], {BOND: 4, MALL: 0}, **more)) == [("Order", "BOND", 0, 1)]
    assert step(assigned, [row(0, BOND, 0, 1)], {BOND: 4, MALL: 0}, **more) == NextStep(misplaced=1)
    assert told(step(assigned, [], {BOND: 4, MALL: 1}, **more)) == [("Order", "MALL", 0, 1)]
    assert told(step([PlaceFacts([MALL], 3)], [], {BOND: 4, MALL: 2}, **more)) == [("Order", "MALL", 0, 2)]


OWN_TAKEN = [("Release", "BOND", 0, -1), ("Order", "BOND", 0, 1)]


@pytest.mark.parametrize(
    ("sellable", "own", "in_vain", "expected"),
    [
        pytest.param({MALL: 0}, 1, False, OWN_TAKEN, id="none there: the channel's right where it stands"),
        pytest.param({MALL: 0, BOND: 3}, 1, False, OWN_TAKEN, id="its own before what everybody may have"),
        pytest.param({MALL: 1}, 1, False, [("Order", "MALL", 0, 1)], id="one there: the right is kept"),
        pytest.param({MALL: 0, BOND: 1}, 0, False, [("Order", "BOND", 0, 1)], id="no right left: the pool"),
        pytest.param({MALL: 0}, 0, False, [("Order", "MALL", 0, 1)], id="none: but only the org may say no"),
        pytest.param({MALL: 0}, 1, True, OWN_TAKEN, id="refused at the Mall: the right counts all the same"),
        pytest.param({MALL: 0}, 0, True, [], id="refused, and none anywhere: told"),
    ],
)
def test_a_sale_at_one_location_is_a_sale_of_what_is_set_aside_at_another(
    sellable: dict[LevelKey, int], own: int, in_vain: bool, expected: list[tuple[str, str, int, int]]
) -> None:
    """The shop sold one of its own. Asked of the Mall alone, it would show and sell it once more."""
    held = [
        Holding(allocation_subject("london", level), level, units, 7, takes_back=True)
        for level, units in ((MALL, 0), (BOND, own))
    ]
    found = step(
        [PlaceFacts([MALL], 1)], [], sellable, sources=[MALL, BOND], holdings=held, asked_in_vain=in_vain
    )
    assert told(found) == expected
    assert found.uncovered == (0 if expected else 1)


def test_what_was_taken_at_another_location_goes_back_to_the_right_there_when_it_is_called_off() -> None:
    """Never to everybody: the shop has put it on its own number again."""
    held = [
        Holding(allocation_subject("london", level), level, 0, 7, takes_back=True) for level in (MALL, BOND)
    ]
    rows = [row(0, BOND, 0, 1)]
    found = step([PlaceFacts([MALL], 0)], rows, {}, sources=[MALL, BOND], holdings=held)
    assert told(found) == [("Allocation", "BOND", 0, 1), ("Release", "BOND", 0, -1)]


small = st.integers(0, 2)
lines = st.lists(
    st.builds(
        PlaceFacts,
        st.sampled_from([[BOND], [MALL], [ROOM, MALL], [BOND, ROOM]]),
        small,
        small,
        st.just(0),
    ),
    min_size=1,
    max_size=3,
)


@given(story=st.lists(lines, min_size=1, max_size=4))
def test_whatever_the_shop_decides_the_ledger_follows_and_comes_to_rest(
    story: list[list[PlaceFacts]],
) -> None:
    """With stock everywhere, each snapshot is reached in a few steps; each unit stands where it should."""
    rows: list[Movement] = []
    sent = 0
    for wish in story:
        if sum(each.fulfilled_quantity for each in wish) < sent:
            continue  # goods that left have left
        sent = sum(each.fulfilled_quantity for each in wish)
        for _ in range(40):
            found = step(wish, rows, {BOND: 99, MALL: 99, ROOM: 99})
            if not found.bundle:
                break
            keys = [each.key for each in found.bundle]
            assert keys == [f"{LINE}:{len(rows) + n}" for n in range(len(keys))]
            rows += found.bundle
        assert found == NextStep()
        reserved, on_hand = Counter[LevelKey](), Counter[LevelKey]()
        for each in rows:
            reserved[each.level] += each.reserved_delta
            on_hand[each.level] += each.on_hand_delta
        assert all(units >= 0 for units in reserved.values())
        served = matched(reserved, [(each.sources, each.open_quantity) for each in wish])
        assert [sum(part.values()) for part in served] == [each.open_quantity for each in wish]
        assert reserved.total() == sum(each.open_quantity for each in wish)
        assert -on_hand.total() == sent
