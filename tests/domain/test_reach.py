"""Divided units that not every channel can have: each sells from its own places, and no unit is left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sfsync.domain.allocation import Books, Move, Share, Stock, divide, moves, split, stock, target

L, D, P = "london", "dubai", "paris"
EVEN = (Share(L), Share(D))
TOGETHER = {L: ("hub", "bond"), D: ("hub",)}  # Dubai does not sell what stands in Bond Street


@pytest.mark.parametrize(
    ("units", "reach", "shares", "goals"),
    [
        # Everybody sells from everywhere: the plain split.
        ({"hub": 4, "bond": 3}, {L: ("hub", "bond"), D: ("bond", "hub")}, EVEN, {L: 4, D: 3}),
        # Dubai's half is in the hub: nothing changes.
        ({"hub": 3, "bond": 3}, TOGETHER, EVEN, {L: 3, D: 3}),
        # One in the hub: Dubai can have no more, and Bond Street's are London's.
        ({"hub": 1, "bond": 5}, TOGETHER, EVEN, {L: 5, D: 1}),
        ({"hub": 0, "bond": 5}, TOGETHER, EVEN, {L: 5, D: 0}),
        ({"hub": 6, "bond": 0}, TOGETHER, EVEN, {L: 3, D: 3}),
        # Nothing in common: each has its own.
        ({"hub": 1, "bond": 5}, {L: ("bond",), D: ("hub",)}, EVEN, {L: 5, D: 1}),
        # What London may not have, Dubai does not get: it cannot.
        ({"hub": 1, "bond": 5}, TOGETHER, (Share(L, most=2), Share(D)), {L: 2, D: 1}),
        # Dubai's limit first: the rest is London's.
        ({"hub": 5, "bond": 1}, TOGETHER, (Share(L), Share(D, most=2)), {L: 4, D: 2}),
        # By weight among those that can: three to one of eight would be six and two.
        ({"hub": 6, "bond": 2}, TOGETHER, (Share(L, 1), Share(D, 3)), {L: 2, D: 6}),
        ({"hub": 2, "bond": 6}, TOGETHER, (Share(L, 1), Share(D, 3)), {L: 6, D: 2}),
        # London and Dubai have the hub's three alone, so Paris has its own seven, and not a third of ten.
        (
            {"hub": 3, "rue": 7},
            {L: ("hub",), D: ("hub",), P: ("hub", "rue")},
            (*EVEN, Share(P)),
            {L: 2, D: 1, P: 7},
        ),
        # London's third would be all of the hub: it divides the hub's two with Paris, and Dubai has rue's.
        (
            {"hub": 2, "rue": 4},
            {L: ("hub",), P: ("hub",), D: ("rue",)},
            (Share(L), Share(P), Share(D)),
            {L: 1, P: 1, D: 4},
        ),
        # Who sells from nowhere has nothing.
        ({"hub": 2}, {L: ("hub",)}, EVEN, {L: 2, D: 0}),
        # Units where nobody of them sells from are nobody's.
        ({"hub": 2, "vault": 9}, TOGETHER, EVEN, {L: 1, D: 1}),
        ({"vault": 9}, TOGETHER, EVEN, {L: 0, D: 0}),
        # One channel at a time: where only the others sell from, units wait.
        ({"hub": 2, "bond": 3}, TOGETHER, (Share(L, 0), Share(D)), {L: 0, D: 2}),
    ],
)
def test_units_are_divided_among_those_who_sell_from_where_they_stand(
    units: Mapping[str, int],
    reach: Mapping[str, tuple[str, ...]],
    shares: tuple[Share, ...],
    goals: dict[str, int],
) -> None:
    """Of six bags five stand in Bond Street: Dubai's half cannot be three."""
    assert divide(Stock(units, reach), shares, {}) == goals


@pytest.mark.parametrize(
    ("units", "fixed", "goals"),
    [
        ({"hub": 1, "bond": 5}, {D: 4}, {L: 5, D: 1}),  # a word gives Dubai no more than it can have
        ({"hub": 3, "bond": 3}, {L: 5}, {L: 5, D: 1}),
        ({"hub": 3, "bond": 3}, {L: 3}, {L: 3, D: 3}),  # Bond Street's three: the hub's stay Dubai's
        ({"hub": 3, "bond": 3}, {L: 1}, {L: 1, D: 3}),  # the other two cannot be Dubai's
        ({"hub": 3, "bond": 3}, {D: 0}, {L: 6, D: 0}),
        ({"hub": 3, "bond": 3}, {L: 9, D: 9}, {L: 6, D: 0}),  # in the order of priority
    ],
)
def test_a_word_gives_nobody_what_it_cannot_have(
    units: Mapping[str, int], fixed: dict[str, int], goals: dict[str, int]
) -> None:
    """Whoever says so."""
    assert divide(Stock(units, TOGETHER), EVEN, {}, fixed) == goals


@pytest.mark.parametrize(
    ("said", "most", "goals"),
    [
        (4, None, {L: 4, D: 2}),
        (4, 5, {L: 4, D: 2}),
        (4, 3, {L: 3, D: 3}),  # a policy's limit holds whatever somebody says
        (4, 0, {L: 0, D: 6}),
        (-1, None, {L: 0, D: 6}),
        (-1, 3, {L: 0, D: 6}),
        (9, None, {L: 6, D: 0}),
    ],
)
def test_a_word_counts_up_to_the_limit_of_the_policy(
    said: int, most: int | None, goals: dict[str, int]
) -> None:
    """Of six that both could sell, so many are said to be London's, which may have so many at most."""
    everywhere = Stock({"hub": 6}, {L: ("hub",), D: ("hub",)})
    assert divide(everywhere, (Share(L, most=most), Share(D)), {}, {L: said}) == goals


def test_what_is_kept_for_whoever_comes_in_may_stand_anywhere() -> None:
    """Two of six are not set aside: two each are, as long as the hub has two."""
    assert divide(Stock({"hub": 3, "bond": 3}, TOGETHER, 2), EVEN, {}) == {L: 2, D: 2}
    assert divide(Stock({"hub": 1, "bond": 5}, TOGETHER, 2), EVEN, {}) == {L: 3, D: 1}
    assert divide(Stock({"hub": 3, "bond": 3}, TOGETHER, 9), EVEN, {}) == {L: 0, D: 0}


ECOM, KNIGHTSBRIDGE = "ECOM", "KNIGHTSBRIDGE"


@pytest.mark.parametrize(
    ("weights", "london", "dubai"),
    [
        # Two thirds of 107 are 71: London held 73 and showed 71; nobody could have the other two.
        pytest.param((2, 1), (73, 71), (28, 28), id="seed 28"),
        # Half of 16 are eight: the ninth of London was taken off its shelf, and nobody could have it.
        pytest.param((1, 1), (9, 8), (7, 7), id="seed 56"),
    ],
)
def test_a_shop_shows_what_it_has_beyond_its_share_where_nobody_else_sells_from(
    weights: tuple[int, int], london: tuple[int, int], dubai: tuple[int, int]
) -> None:
    """Two simulated days, with 200 orders each, ended with pieces that no shop showed.

    London's stand in the warehouse. Dubai's own number is of Knightsbridge alone, all of which it has.
    """
    books = [
        Books(
            L,
            london[0],
            0,
            london[1],
            0,
            london[0] - london[1],
            sources=(ECOM, KNIGHTSBRIDGE),
            stands={ECOM: london[0]},
        ),
        Books(D, dubai[0], 0, dubai[1], 0, 0, sources=(KNIGHTSBRIDGE,), stands={KNIGHTSBRIDGE: dubai[0]}),
    ]
    shares = [Share(channel, weight) for channel, weight in zip((L, D), weights, strict=True)]
    goals = divide(stock({}, books), shares, {each.channel: each.has for each in books})
    assert [target(each, goals[each.channel]) for each in books] == [london[0], dubai[0]]
    assert moves({}, books, goals) == []


@pytest.mark.parametrize(
    ("pool", "books", "units"),
    [
        # What anybody may reserve and what the channels have, each where it stands.
        ({"hub": 3}, [], {"hub": 3}),
        ({"hub": 3}, [{"stands": {"hub": 1, "bond": 2}, "shown": 3}], {"hub": 4, "bond": 2}),
        ({}, [{"stands": {"bond": 2}, "shown": 1, "spare": 1}], {"bond": 2}),
        # A place that owes has none to divide.
        ({"hub": -2, "bond": 1}, [], {"bond": 1}),
        # What the org is being asked for counts where it will stand.
        (
            {"hub": 3},
            [{"stands": {"hub": 1}, "shown": 1, "arriving": {"hub": 2, "mall": 1}}],
            {"hub": 6, "mall": 1},
        ),
        # Two sold that nobody has told of: gone from its best place, and what is not there from the next one.
        ({}, [{"stands": {"hub": 2, "bond": 1}, "shown": 1}], {"bond": 1}),
        ({}, [{"stands": {"hub": 1, "bond": 3}, "shown": 2}], {"bond": 2}),
        ({}, [{"stands": {"hub": 1, "bond": 1, "mall": 3}, "shown": 2}], {"mall": 2}),
        ({"hub": 1}, [{"stands": {"hub": 1}, "shown": 0}], {"hub": 1}),
        # Sold, and told: its order takes it.
        ({}, [{"stands": {"hub": 3}, "shown": 2, "sold": 1}], {"hub": 2}),
        ({}, [{"stands": {"hub": 1}, "shown": -1, "sold": 2}], {}),
        # More shown, or counted as spare, than is held: only what is held is there.
        ({}, [{"stands": {"hub": 1}, "shown": 3}], {"hub": 1}),
        ({}, [{"stands": {"hub": 2}, "shown": 1, "spare": 2, "sold": 1}], {"hub": 1}),
        # Two channels at one place.
        ({"hub": 1}, [{"stands": {"hub": 1}, "shown": 1}, {"stands": {"hub": 2}, "spare": 2}], {"hub": 4}),
    ],
)
def test_what_is_divided_is_what_anybody_may_have_and_what_the_channels_have(
    pool: dict[str, int], books: list[dict[str, Any]], units: dict[str, int]
) -> None:
    """Of a SKU at hub, Bond Street and the mall, by where it stands."""
    sources = ("hub", "bond", "mall")
    each = [
        Books(name, sum(has["stands"].values()), sources=sources, **has)
        for name, has in zip((L, D), books, strict=False)
    ]
    found = stock(pool, each)
    assert {place: n for place, n in found.units.items() if n} == units
    assert found.reach == {each.channel: sources for each in each}
    assert (found.kept, found.total) == (0, sum(units.values()))


@pytest.mark.parametrize(
    ("pool", "kept", "total"),
    [
        ({"hub": 3, "bond": 2}, 2, 5),  # of five that anybody may have two are kept; two are London's
        ({"hub": 3, "bond": 2}, 5, 2),
        ({"hub": 3, "bond": 2}, 6, 2),  # nothing that London has is kept
        ({"hub": 3, "bond": -2}, 3, 2),
        ({"hub": 3}, -1, 5),
        ({}, 1, 2),
    ],
)
def test_what_is_kept_is_kept_of_what_nobody_has_yet(pool: dict[str, int], kept: int, total: int) -> None:
    """Whoever has its units keeps them."""
    assert stock(pool, [at(L, {"hub": 2}, 2)], kept).total == total


PLACES = ["hub", "bond", "mall", "rue"]
CHANNELS = [L, D, P, "milan"]


@st.composite
def stocks(draw: st.DrawFn) -> Stock:
    """Some units at some places, and where each channel sells from."""
    units = {place: draw(st.integers(0, 9)) for place in PLACES}
    reach = {channel: tuple(draw(st.permutations(PLACES)))[: draw(st.integers(0, 4))] for channel in CHANNELS}
    return Stock(units, reach, draw(st.sampled_from([0, 0, 0, 1, 4])))


SHARES = st.permutations(CHANNELS).flatmap(
    lambda names: st.tuples(
        *(st.builds(Share, st.just(name), st.integers(0, 4), st.none() | st.integers(0, 9)) for name in names)
    )
)
UNITS = st.fixed_dictionaries({channel: st.integers(0, 9) for channel in CHANNELS})
WORDS = st.just(dict[str, int]()) | st.dictionaries(st.sampled_from(CHANNELS), st.integers(0, 9))


def most_together(units: Stock, channels: set[str]) -> int:
    """Units that so many channels could have at most, whatever the others get."""
    places = {place for channel in channels for place in units.reach[channel]}
    return sum(units.units[place] for place in places)


def can_have(units: Stock, goals: Mapping[str, int]) -> bool:
    """True when the goals can all be met at once: no group of channels is to have more than it can."""
    groups = (
        {channel for bit, channel in enumerate(CHANNELS) if group >> bit & 1}
        for group in range(1 << len(CHANNELS))
    )
    return sum(goals.values()) <= units.total and all(
        sum(goals[channel] for channel in group) <= most_together(units, group) for group in groups
    )


@given(stocks(), SHARES, UNITS, WORDS)
@settings(max_examples=120, deadline=None)
def test_nobody_gets_what_it_cannot_have_and_nothing_is_left_that_somebody_could(
    units: Stock, shares: tuple[Share, ...], has: dict[str, int], fixed: dict[str, int]
) -> None:
    """Whatever the weights, limits and words, and wherever everybody sells from."""
    goals = divide(units, shares, has, fixed)
    assert can_have(units, goals)
    for share in shares:
        assert 0 <= goals[share.channel] <= (99 if share.most is None else share.most)
        if share.channel in fixed:
            assert goals[share.channel] <= fixed[share.channel]
            wants_more = goals[share.channel] < min(
                fixed[share.channel], 99 if share.most is None else share.most
            )
            # Only those before it are served before it.
            before = shares[: shares.index(share)]
            told = {each.channel: goals[each.channel] for each in before if each.channel in fixed}
            room = dict.fromkeys(CHANNELS, 0) | told | {share.channel: goals[share.channel] + 1}
            assert not (wants_more and can_have(units, room))
        elif share.weight and goals[share.channel] != share.most:
            # Units kept back may be any: none of them is somebody's for the place where it stands.
            assert not can_have(units, goals | {share.channel: goals[share.channel] + 1})


@given(stocks(), SHARES, UNITS)
@settings(max_examples=120, deadline=None)
def test_units_that_everybody_can_have_are_split_as_ever(
    units: Stock, shares: tuple[Share, ...], has: dict[str, int]
) -> None:
    """Where everybody sells from everywhere, places make no difference."""
    everywhere = Stock(units.units, dict.fromkeys(CHANNELS, PLACES), units.kept)
    assert divide(everywhere, shares, has) == split(units.total, shares, has)


@given(stocks(), SHARES, UNITS, WORDS)
@settings(max_examples=120, deadline=None)
def test_once_everybody_has_its_share_nothing_is_moved_for_the_sake_of_rounding(
    units: Stock, shares: tuple[Share, ...], has: dict[str, int], fixed: dict[str, int]
) -> None:
    """Worked out again with what everybody has got, the shares are the same."""
    goals = divide(units, shares, has, fixed)
    assert divide(units, shares, goals, fixed) == goals


def at(channel: str, stands: Mapping[str, int], shown: int = 0, *, to: str = "", coming: int = 0) -> Books:
    """A channel that holds units at places, of which it shows some; it sells from where `TOGETHER` says."""
    held = sum(stands.values())
    arriving = {to: coming} if coming else {}
    return Books(
        channel,
        held,
        coming,
        shown,
        spare=held - shown,
        sources=TOGETHER[channel],
        stands=stands,
        arriving=arriving,
    )


@pytest.mark.parametrize(
    ("pool", "books", "goals", "expected"),
    [
        # Dubai can have the hub's alone, so London takes Bond Street's although the hub is nearer to it.
        (
            {"hub": 3, "bond": 3},
            [at(L, {}), at(D, {})],
            (3, 3),
            [Move(None, L, 3, "bond"), Move(None, D, 3, "hub")],
        ),
        # London has the hub's. It is given Bond Street's first: then it has too many, and gives the hub's.
        ({"bond": 3}, [at(L, {"hub": 3}, 3), at(D, {})], (3, 3), [Move(None, L, 3, "bond")]),
        # Those are on their way: nothing more is asked.
        ({}, [at(L, {"hub": 3}, 3, to="bond", coming=3), at(D, {})], (3, 3), []),
        ({}, [at(L, {"hub": 3, "bond": 3}, 3), at(D, {})], (3, 3), [Move(L, D, 3, "hub")]),
        # It shows more than its goal: lowered first, and nothing is asked meanwhile.
        ({}, [at(L, {"hub": 3, "bond": 3}, 6), at(D, {})], (3, 3), []),
        # What nobody else can have is not taken from the pool for nothing.
        ({"bond": 5}, [at(L, {"bond": 1}, 1), at(D, {})], (1, 0), []),
        # Of what it has beyond its goal, what stands in Bond Street goes back to everybody.
        (
            {},
            [at(L, {"hub": 1, "bond": 2}), at(D, {})],
            (1, 1),
            [Move(L, D, 1, "hub"), Move(L, None, 1, "bond")],
        ),
    ],
)
def test_units_move_where_the_taker_sells_from(
    pool: Mapping[str, int], books: list[Books], goals: tuple[int, int], expected: list[Move]
) -> None:
    """Nobody is given units that it cannot sell, and nobody waits for those that another could do without."""
    assert moves(pool, books, dict(zip((L, D), goals, strict=True))) == expected


# London sells from rue, Bond Street and the hub, Dubai from the hub alone; Paris and Milan wait for units.
FROM = {L: ("rue", "bond", "hub"), D: ("hub",), P: ("rue",), "milan": ("bond",)}
RUE, BOND, HUB = "rue", "bond", "hub"


def has(channel: str, shown: int = 0, spare: int = 0, **stands: int) -> Books:
    """A channel that holds so many units by place, sells from where `FROM` says, and shows some of them."""
    return Books(
        channel, sum(stands.values()), shown=shown, spare=spare, sources=FROM[channel], stands=dict(stands)
    )


@pytest.mark.parametrize(
    ("pool", "kept", "books", "goals", "expected"),
    [
        # The hub has what London could sell instead of what Paris waits for: as many as Paris needs,
        (
            {"hub": 5},
            0,
            [has(L, 3, rue=3), has(P)],
            {L: 3, P: 1},
            [Move(None, L, 1, HUB)],
        ),
        # ... as London has in rue,
        ({"hub": 5}, 0, [has(L, 1, rue=1), has(P)], {L: 1, P: 3}, [Move(None, L, 1, HUB)]),
        # ... as are in the hub,
        ({"hub": 2}, 0, [has(L, 3, rue=3), has(P)], {L: 3, P: 3}, [Move(None, L, 2, HUB)]),
        # ... and as need not be kept there.
        ({"hub": 3}, 2, [has(L, 3, rue=3), has(P)], {L: 3, P: 3}, [Move(None, L, 1, HUB)]),
        ({"hub": 3}, 3, [has(L, 3, rue=3), has(P)], {L: 3, P: 3}, []),
        # One in the hub is for one of the two who wait; so is one of two when the other is kept.
        (
            {"hub": 1},
            0,
            [has(L, 2, rue=1, bond=1), has(P), has("milan")],
            {L: 2, P: 1, "milan": 1},
            [Move(None, L, 1, HUB)],
        ),
        (
            {"hub": 1, "vault": 4},  # from where nobody sells
            0,
            [has(L, 2, rue=1, bond=1), has(P), has("milan")],
            {L: 2, P: 1, "milan": 1},
            [Move(None, L, 1, HUB)],
        ),
        (
            {"hub": 2},
            1,
            [has(L, 2, rue=1, bond=1), has(P), has("milan")],
            {L: 2, P: 1, "milan": 1},
            [Move(None, L, 1, HUB)],
        ),
        (
            {"hub": 2},
            0,
            [has(L, 2, rue=1, bond=1), has(P), has("milan")],
            {L: 2, P: 1, "milan": 1},
            [Move(None, L, 2, HUB)],
        ),
        # Three in the hub, and London has two in each of the others' ways: two for Paris, one for Milan.
        (
            {"hub": 3},
            0,
            [has(L, 4, rue=2, bond=2), has(P), has("milan")],
            {L: 4, P: 2, "milan": 2},
            [Move(None, L, 3, HUB)],
        ),
        # Whoever waits may come before the others.
        ({"hub": 5}, 0, [has(P), has(L, 3, rue=3)], {L: 3, P: 1}, [Move(None, L, 1, HUB)]),
        # Dubai has too many in the hub: London is given those, and Paris will be given London's.
        ({}, 0, [has(L, 1, rue=1), has(D, 1, 1, hub=2), has(P)], {L: 1, D: 1, P: 1}, [Move(D, L, 1, HUB)]),
        # No more than Paris needs: the rest goes back to everybody,
        (
            {},
            0,
            [has(L, 2, rue=2), has(D, 0, 3, hub=3), has(P)],
            {L: 2, D: 0, P: 1},
            [Move(D, L, 1, HUB), Move(D, None, 2, HUB)],
        ),
        # ... than London has there,
        (
            {},
            0,
            [has(L, 2, rue=2), has(D, 0, 3, hub=3), has(P)],
            {L: 2, D: 0, P: 3},
            [Move(D, L, 2, HUB), Move(D, None, 1, HUB)],
        ),
        # ... and than Dubai has beyond its goal.
        ({}, 0, [has(L, 3, rue=3), has(D, 1, 1, hub=2), has(P)], {L: 3, D: 1, P: 2}, [Move(D, L, 1, HUB)]),
        # What Dubai shows is lowered first: Paris waits for it, and is asked nothing for meanwhile.
        ({}, 0, [has(L, 1, rue=1), has(D, 2, hub=2), has(P)], {L: 1, D: 1, P: 1}, []),
        # One of Dubai's is spare and goes at once; the other is lowered first.
        (
            {},
            0,
            [has(L, 2, rue=2), has(D, 2, 1, hub=3), has(P)],
            {L: 2, D: 1, P: 2},
            [Move(D, L, 1, HUB)],
        ),
        # Nobody stands in the way: there is nothing to be had.
        ({"hub": 5}, 0, [has(L, 1, bond=1), has(P)], {L: 1, P: 1}, []),
    ],
)
def test_whoever_stands_in_the_way_is_given_as_many_others_as_are_waited_for(
    pool: dict[str, int], kept: int, books: list[Books], goals: dict[str, int], expected: list[Move]
) -> None:
    """Of each the first step; the next one follows when the org has confirmed it."""
    assert moves(pool, books, goals, kept) == expected


M = "milan"
AT_THE_HUB = replace(has(M), sources=("hub",))  # Milan, where it sells from the hub, too


@pytest.mark.parametrize(
    ("pool", "kept", "books", "goals", "expected"),
    [
        # Who has spare ones gives them at once, though one before it will have some when it is lowered.
        (
            {},
            0,
            [has(D, 2, hub=2), has(L, 0, 1, hub=1), AT_THE_HUB],
            {D: 1, L: 0, M: 1},
            [Move(L, M, 1, HUB)],
        ),
        (
            {},
            0,
            [AT_THE_HUB, has(D, 2, hub=2), has(L, 0, 1, hub=1)],
            {D: 1, L: 0, M: 1},
            [Move(L, M, 1, HUB)],
        ),
        # It gives what is least its own: of rue and Bond Street, Bond Street's.
        (
            {},
            0,
            [has(L, 1, 1, rue=1, bond=1), replace(has(P), sources=(RUE, BOND))],
            {L: 1, P: 1},
            [Move(L, P, 1, BOND)],
        ),
        # No more than it has there, and nothing where it has nothing; the rest goes back from where it is.
        (
            {},
            0,
            [has(L, 0, 3, bond=2, hub=1), has(D)],
            {L: 0, D: 3},
            [Move(L, D, 1, HUB), Move(L, None, 2, BOND)],
        ),
        ({}, 0, [has(L, 0, 1, bond=1), has(D)], {L: 0, D: 1}, [Move(L, None, 1, BOND)]),
        # Once to one of two.
        (
            {},
            0,
            [has(L, 0, 3, rue=2, hub=1), has(D), AT_THE_HUB],
            {L: 0, D: 1, M: 1},
            [Move(L, D, 1, HUB), Move(L, None, 2, RUE)],
        ),
        # Back to everybody, the least its own first, down to what it is to have.
        (
            {},
            0,
            [has(L, 1, 3, rue=3, hub=1)],
            {L: 1},
            [Move(L, None, 1, HUB), Move(L, None, 2, RUE)],
        ),
        # One of the hub's two is kept: Dubai has the other one, and London can be given none for rue's.
        (
            {"hub": 2},
            1,
            [has(L, 1, rue=1), has(D), has(P)],
            {L: 1, D: 1, P: 1},
            [Move(None, D, 1, HUB)],
        ),
        # What Dubai will have to give is waited for, and what lacks beyond that is asked of the next one.
        (
            {},
            0,
            [has(L, 3, rue=3), has(D, 2, 1, hub=3), replace(has(M, 1, 1, hub=2), sources=("hub",)), has(P)],
            {L: 3, D: 1, M: 1, P: 3},
            [Move(D, L, 1, HUB), Move(M, L, 1, HUB)],
        ),
        # Three are lacking: one of the first, two of the next one, whose third goes back.
        (
            {},
            0,
            [has(L, 4, rue=4), has(D, 0, 1, hub=1), replace(has(M, 0, 3, hub=3), sources=("hub",)), has(P)],
            {L: 4, P: 3},
            [Move(D, L, 1, HUB), Move(M, L, 2, HUB), Move(M, None, 1, HUB)],
        ),
        # Sales of Dubai's that are known may still draw on what it has: it gives none of it away.
        ({}, 0, [replace(has(D, 0, 2, hub=2), claimed=True), AT_THE_HUB], {D: 0, M: 1}, []),
    ],
)
def test_who_has_more_than_its_share_gives_to_whoever_lacks_and_the_rest_to_everybody(
    pool: dict[str, int], kept: int, books: list[Books], goals: dict[str, int], expected: list[Move]
) -> None:
    """From the places that both sell from, and each unit once."""
    assert moves(pool, books, goals, kept) == expected


@pytest.mark.parametrize(
    ("london", "goal", "lacks", "asked"),
    [
        # London has the hub's, which alone Dubai can have, and Bond Street's could be London's instead.
        (has(L, 3, hub=3), 3, 3, 3),
        # It is being given those: it will have too many of its own accord, and nothing is asked twice.
        (replace(has(L, 3, hub=3), coming=3, arriving={"bond": 3}), 3, 3, 0),
        (replace(has(L, 3, hub=3), coming=1, arriving={"bond": 1}), 3, 3, 2),
        # What comes covers a number that nothing was reserved for: there will be none to give.
        (replace(has(L, 4, hub=3), coming=1, arriving={"bond": 1}), 4, 1, 1),
        # One that it is to have and does not show yet is none that it could give.
        (has(L, 1, 1, hub=2), 2, 1, 1),
        # One that has no share any more will have all to give, once it is lowered.
        (has(L, 1, hub=1), None, 1, 0),
    ],
)
def test_what_will_be_given_anyway_is_waited_for(
    london: Books, goal: int | None, lacks: int, asked: int
) -> None:
    """Three in Bond Street, where Dubai does not sell from."""
    goals = {D: lacks} if goal is None else {L: goal, D: lacks}
    expected = [Move(None, L, asked, BOND)] if asked else []
    assert moves({BOND: 3}, [london, has(D)], goals) == expected


@pytest.mark.parametrize(
    ("pool", "kept", "asked"), [(5, 0, 3), (5, 2, 3), (5, 3, 2), (5, 4, 1), (5, 5, 0), (5, 6, 0), (-2, 0, 0)]
)
def test_what_is_kept_of_the_pool_is_given_to_nobody(pool: int, kept: int, asked: int) -> None:
    """Dubai lacks three, and so many of what anybody may reserve are kept."""
    expected = [Move(None, D, asked, HUB)] if asked else []
    assert moves({HUB: pool}, [has(D)], {D: 3}, kept) == expected


def test_who_stands_in_the_way_is_found_at_any_place_of_the_one_who_waits() -> None:
    """Paris sells from rue and Bond Street; what London has of either stands in Bond Street."""
    paris = replace(has(P), sources=(RUE, BOND))
    assert moves({HUB: 2}, [has(L, 1, bond=1), paris], {L: 1, P: 1}) == [Move(None, L, 1, HUB)]


@given(stocks(), SHARES, st.data())
@settings(max_examples=120, deadline=None)
def test_wherever_the_units_are_they_come_to_whom_they_are_due(
    units: Stock, shares: tuple[Share, ...], data: st.DataObject
) -> None:
    """All of them at first with whoever happened to have them; in a few rounds each shows its share."""
    owners = {
        place: data.draw(st.sampled_from(["", *(each for each in CHANNELS if place in units.reach[each])]))
        for place in PLACES
    }
    pool = {place: units.units[place] for place in PLACES if not owners[place]}
    books = []
    for share in shares:
        stands = {place: units.units[place] for place in PLACES if owners[place] == share.channel}
        has = sum(stands.values())
        sources = tuple(units.reach[share.channel])
        books.append(Books(share.channel, has, shown=has, sources=sources, stands=stands))
    kept = min(units.kept, sum(pool.values()))
    goals: dict[str, int] = {}
    for _ in range(12):
        goals = divide(stock(pool, books, kept), shares, {each.channel: each.has for each in books})
        lower = {each.channel: max(0, each.shown - goals[each.channel]) for each in books}
        books = [
            replace(each, shown=each.shown - lower[each.channel], spare=each.spare + lower[each.channel])
            for each in books
        ]
        holds = {each.channel: dict(each.stands) for each in books}
        asked = moves(pool, books, goals, kept)
        given_up = {(move.giver, move.place) for move in asked}
        assert not given_up & {(move.taker, move.place) for move in asked}  # nothing is given there and back
        for move in asked:
            giver = pool if move.giver is None else holds[move.giver]
            taker = pool if move.taker is None else holds[move.taker]
            assert move.taker is None or move.place in units.reach[move.taker]
            giver[move.place] -= move.units
            taker[move.place] = taker.get(move.place, 0) + move.units
            assert giver[move.place] >= 0
        books = [
            replace(each, stands=holds[each.channel], held=sum(holds[each.channel].values()))
            for each in books
        ]
        books = [replace(each, spare=each.held - each.shown) for each in books]
        raised = {each.channel: target(each, goals[each.channel]) for each in books}
        books = [
            replace(each, shown=raised[each.channel], spare=each.held - raised[each.channel])
            for each in books
        ]
    assert {each.channel: each.shown for each in books} == goals
    assert [each for each in books if each.spare] == []
    assert sum(pool.values()) == sum(units.units.values()) - sum(goals.values())
