"""Limited editions as a merchandiser reads them: how many, for whom, since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.allocation import Share
from sfsync.domain.editions import (
    REST,
    Edition,
    Switch,
    claims,
    dealt,
    denial,
    on_show,
    opening,
    same_client,
    set_aside,
    switched,
    with_units,
)

NOON = datetime(2026, 12, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
DROP = Edition("drop", ("BAG-RED", "BAG-BLUE"), 500)
DIVIDED = Edition("drop", ("BAG-RED", "BAG-BLUE"), 500, {"london": 200, "dubai": 250})


@pytest.mark.parametrize(
    ("edition", "taken", "channel", "room"),
    [
        # everybody shares the size
        (DROP, {}, "london", 500),
        (DROP, {REST: 499}, "dubai", 1),
        (DROP, {REST: 500}, None, 0),
        (DROP, {REST: 503}, None, 0),  # sold beyond it by a channel that did not ask
        # a split binds: london is sold out though dubai is not
        (DIVIDED, {"london": 200, "dubai": 10}, "london", 0),
        (DIVIDED, {"london": 200, "dubai": 10}, "dubai", 240),
        # whoever is not named shares the 50 that are left
        (DIVIDED, {}, "milan", 50),
        (DIVIDED, {REST: 45}, None, 5),
        # one channel sold beyond its share: never more than the size in all
        (DIVIDED, {"london": 230, REST: 50}, "dubai", 220),
    ],
)
def test_how_many_more_a_channel_may_sell(
    edition: Edition, taken: dict[str, int], channel: str | None, room: int
) -> None:
    """500 bags: 200 for London, 250 for Dubai, the rest for whoever else sells them."""
    assert edition.room(taken, edition.party(channel)) == room


TWO_EACH = Edition("drop", ("BAG",), 500, {"london": 200}, 2, NOON)


@pytest.mark.parametrize(
    ("is_open", "taken", "wanted", "client", "has", "expected"),
    [
        (True, {}, 1, "C7", 0, None),
        (True, {}, 2, "C7", 0, None),
        (True, {"london": 199}, 1, "C7", 1, None),
        (
            False,
            {},
            1,
            "C7",
            0,
            ("edition-closed", "the edition drop is closed; it opens at 2026-12-01 12:00 UTC"),
        ),
        (
            True,
            {},
            1,
            "",
            0,
            ("client-missing", "the edition drop is sold 2 to a client: say whose it is in client"),
        ),
        (
            True,
            {},
            2,
            "C7",
            1,
            ("client-limit", "the edition drop is sold 2 to a client, and this one has 1"),
        ),
        (
            True,
            {"london": 199},
            2,
            "C7",
            0,
            ("edition-sold-out", "of the edition drop 200 of 500 are london's to be sold, and 1 are left"),
        ),
    ],
)
def test_why_a_reservation_is_not_even_asked_for(
    is_open: bool,
    taken: dict[str, int],
    wanted: int,
    client: str,
    has: int,
    expected: tuple[str, str] | None,
) -> None:
    """Not yet open, no client named, this client has enough, London has sold its share: each says so."""
    found = denial(
        TWO_EACH, is_open=is_open, taken=taken, channel="london", wanted=wanted, client=client, client_has=has
    )
    assert (found and (found.kind, found.detail)) == expected


@pytest.mark.parametrize(
    ("switch", "now", "opens"),
    [
        (None, NOON - MINUTE, False),
        (None, NOON, True),
        (None, NOON + MINUTE, True),  # it was not running at noon
        (Switch(True, NOON, "the plan", NOON), NOON + MINUTE, False),  # once
        (Switch(False, NOON + MINUTE, "anna", NOON), NOON + 2 * MINUTE, False),  # closed by hand stays closed
        (Switch(False, NOON - MINUTE, "anna", NOON), NOON, False),  # called off before
        (Switch(False, NOON - MINUTE, "anna", NOON - MINUTE), NOON, True),  # a new time is a new plan
        (Switch(False, NOON - MINUTE, "anna", None), NOON, True),
    ],
)
def test_a_planned_opening_happens_once_and_a_persons_word_outranks_it(
    switch: Switch | None, now: datetime, opens: bool
) -> None:
    """At noon it opens by itself, unless somebody has called it off; what was closed by hand stays closed."""
    after = opening(TWO_EACH, switch, now)
    assert (after is not None) is opens
    if after is not None:
        assert (after.open, after.who, after.planned) == (True, "the plan", NOON)
        assert opening(TWO_EACH, after, now + MINUTE) is None


def test_opening_twice_is_opening_once() -> None:
    """Who pressed first is told; the second press changes nothing. An early opening settles the plan."""
    first = switched(TWO_EACH, None, NOON - MINUTE, on=True, who="anna")
    assert switched(TWO_EACH, first, NOON, on=True, who="ben") is first
    assert opening(TWO_EACH, first, NOON) is None
    closed = switched(TWO_EACH, first, NOON, on=False, who="ben")
    assert (closed.open, closed.who, closed.at) == (False, "ben", NOON)
    assert opening(TWO_EACH, closed, NOON + MINUTE) is None


RED, BLUE = ("BAG-RED", "online"), ("BAG-BLUE", "online")
Numbers = dict[str, dict[tuple[str, str], int]]


def even(channels: list[str]) -> tuple[Share, ...]:
    """All the same."""
    return tuple(Share(channel) for channel in channels)


@pytest.mark.parametrize(
    ("room", "wants", "shown", "expected"),
    [
        (500, {RED: 300, BLUE: 150}, {}, {RED: 300, BLUE: 150}),
        (300, {RED: 300, BLUE: 150}, {}, {RED: 200, BLUE: 100}),
        (0, {RED: 300, BLUE: 150}, {}, {RED: 0, BLUE: 0}),
        (1, {RED: 1, BLUE: 1}, {BLUE: 1}, {RED: 0, BLUE: 1}),  # it stays where it is
        (5, {}, {}, {}),
    ],
)
def test_a_channel_that_does_not_ask_shows_no_more_than_it_may_sell(
    room: int,
    wants: dict[tuple[str, str], int],
    shown: dict[tuple[str, str], int],
    expected: dict[tuple[str, str], int],
) -> None:
    """One left to sell, red or blue: a site that shows both could sell two."""
    assert dealt(room, wants, shown) == expected


@given(
    st.integers(0, 60),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c", REST]), st.integers(0, 30)),
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=6),
)
def test_claims_to_divided_units_never_add_up_to_more_than_the_edition(
    extra: int, split: dict[str, int], taken: dict[str, int], channels: list[str]
) -> None:
    """However the split and the sales so far: what all channels may be given fits into what is left."""
    edition = Edition("drop", ("BAG",), sum(split.values()) + extra, split)
    known = {party: units for party, units in taken.items() if party in split or party == REST}
    found = claims(edition, known, even(channels))
    assert [each.channel for each in found] == channels
    for party in {edition.party(channel) for channel in channels}:
        of_party = [each.most or 0 for each in found if edition.party(each.channel) == party]
        assert sum(of_party) <= edition.room(known, party)


@given(
    st.integers(0, 60),
    st.dictionaries(st.sampled_from("abcd"), st.integers(0, 20), max_size=3),
    st.dictionaries(st.sampled_from(["a", "b", "c", REST]), st.integers(0, 30)),
    st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 9)),
    st.lists(st.sampled_from("abcdef"), unique=True, max_size=6),
)
def test_what_may_be_sold_unheard_of_is_claimed_by_nobody(
    extra: int, split: dict[str, int], taken: dict[str, int], unheard: dict[str, int], channels: list[str]
) -> None:
    """Also where tills have sold of the channels' parts: all claims together fit into the edition."""
    edition = Edition("drop", ("BAG",), sum(split.values()) + extra, split)
    known = {party: units for party, units in taken.items() if party in split or party == REST}
    gone = with_units(edition, known, unheard)
    found = {each.channel: each.most or 0 for each in claims(edition, known, even(channels), unheard)}
    assert sum(found.values()) <= max(0, edition.size - sum(gone.values()))
    for channel in channels:
        party = edition.party(channel)
        assert sum(n for each, n in found.items() if edition.party(each) == party) <= edition.room(
            gone, party
        )


@pytest.mark.parametrize(
    ("unheard", "expected"),
    [
        ({}, {"london": 2, "dubai": 1}),
        ({"london": 1}, {"london": 1, "dubai": 1}),  # of its own part: Dubai keeps its unit
        ({"london": 3}, {"london": 0, "dubai": 0}),
        ({"dubai": 2}, {"london": 1, "dubai": 0}),
    ],
)
def test_a_sale_unheard_of_is_of_its_channels_own_part(
    unheard: dict[str, int], expected: dict[str, int]
) -> None:
    """Three are to be sold by two shops that share them."""
    found = claims(Edition("drop", ("BAG",), 3), {}, even(["london", "dubai"]), unheard)
    assert {each.channel: each.most for each in found} == expected


@pytest.mark.parametrize(
    ("wants", "shown", "expected"),
    [
        ({"london": {RED: 2}, "dubai": {RED: 1}}, {}, {"london": {RED: 2}, "dubai": {RED: 1}}),
        # Dubai's rises once London is lowered, and not before.
        (
            {"london": {RED: 2}, "dubai": {RED: 1}},
            {"london": {RED: 3}},
            {"london": {RED: 2}, "dubai": {RED: 0}},
        ),
        # Red and blue of two shops: three in all.
        (
            {"london": {RED: 3, BLUE: 3}, "dubai": {RED: 3, BLUE: 3}},
            {},
            {"london": {RED: 1, BLUE: 1}, "dubai": {RED: 1, BLUE: 0}},
        ),
        # One shop's blue waits for its red.
        ({"london": {RED: 0, BLUE: 3}}, {"london": {RED: 3}}, {"london": {RED: 0, BLUE: 0}}),
    ],
)
def test_what_channels_show_of_their_own_is_no_more_than_the_edition_together(
    wants: Numbers, shown: Numbers, expected: Numbers
) -> None:
    """Three of a red and of a blue bag are to be sold, and two shops share them."""
    now = {channel: shown.get(channel, {}) for channel in wants}
    assert on_show(Edition("drop", ("BAG-RED", "BAG-BLUE"), 3), {}, wants, now) == expected


NUMBERS = st.dictionaries(
    st.sampled_from("abcd"), st.fixed_dictionaries({RED: st.integers(0, 9), BLUE: st.integers(0, 9)})
)


@given(
    st.integers(0, 20),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 9)),
    st.dictionaries(st.sampled_from(["a", "b", REST]), st.integers(0, 9)),
    NUMBERS,
    NUMBERS,
)
def test_no_number_of_an_edition_rises_into_what_another_may_still_show(
    extra: int, split: dict[str, int], taken: dict[str, int], wants: Numbers, shown: Numbers
) -> None:
    """Whatever has reached its shop by now: all sold together are no more than the edition."""
    edition = Edition("drop", ("BAG-RED", "BAG-BLUE"), sum(split.values()) + extra, split)
    known = {party: units for party, units in taken.items() if party in split or party == REST}
    now = {channel: shown.get(channel, {RED: 0, BLUE: 0}) for channel in wants}
    found = on_show(edition, known, wants, now)
    worst = {c: sum(max(now[c][key], found[c][key]) for key in (RED, BLUE)) for c in wants}
    before = {c: sum(now[c].values()) for c in wants}
    left = max(0, edition.size - sum(known.values()))
    assert sum(worst.values()) <= max(left, sum(before.values()))
    for party in {edition.party(channel) for channel in wants}:
        of_party = [channel for channel in wants if edition.party(channel) == party]
        room = edition.room(known, party)
        assert sum(sum(found[c].values()) for c in of_party) <= room
        assert sum(worst[c] for c in of_party) <= max(room, sum(before[c] for c in of_party))
    settled = on_show(edition, known, wants, {c: found[c] for c in wants})
    assert sum(sum(each.values()) for each in settled.values()) <= left
    if not split:
        wanted = sum(sum(numbers.values()) for numbers in wants.values())
        assert sum(sum(each.values()) for each in settled.values()) == min(left, wanted)


@pytest.mark.parametrize(
    ("goals", "has", "expected"),
    [
        ({"london": 1, "dubai": 1}, {"london": 2, "dubai": 0}, {"london": 1, "dubai": 0}),
        ({"london": 1, "dubai": 1}, {"london": 1, "dubai": 0}, {"london": 1, "dubai": 1}),
        ({"london": 2, "dubai": 1}, {"paris": 1}, {"london": 1, "dubai": 0}),  # Paris has left, and has one
    ],
)
def test_nothing_is_set_aside_of_an_edition_before_others_gave_up_as_much(
    goals: dict[str, int], has: dict[str, int], expected: dict[str, int]
) -> None:
    """Two are left of three, and Dubai has just sold one."""
    assert set_aside(Edition("drop", ("BAG",), 3), {REST: 1}, goals, has) == expected


@pytest.mark.parametrize(
    "written", ["anna@example.com", "Anna@Example.com", " ANNA@example.COM ", "anna@example.com\t"]
)
def test_capitals_and_spaces_make_nobody_another_client(written: str) -> None:
    """One to a client, however the websites write her address."""
    assert same_client(written) == "anna@example.com"


def test_ids_that_differ_in_capitals_are_two_clients() -> None:
    """Two contacts of an org, by their ids of fifteen characters."""
    assert same_client(" 0035g00000AbCdE") == "0035g00000AbCdE" != same_client("0035g00000aBcDe")
