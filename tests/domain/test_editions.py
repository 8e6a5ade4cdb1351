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
    opening,
    same_client,
    switched,
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
    found = claims(edition, known, tuple(Share(channel) for channel in channels))
    assert [each.channel for each in found] == channels
    for party in {edition.party(channel) for channel in channels}:
        of_party = [each.most or 0 for each in found if edition.party(each.channel) == party]
        assert sum(of_party) <= edition.room(known, party)


@pytest.mark.parametrize(
    "written", ["anna@example.com", "Anna@Example.com", " ANNA@example.COM ", "anna@example.com\t"]
)
def test_capitals_and_spaces_make_nobody_another_client(written: str) -> None:
    """One to a client, however the websites write her address."""
    assert same_client(written) == "anna@example.com"


def test_ids_that_differ_in_capitals_are_two_clients() -> None:
    """Two contacts of an org, by their ids of fifteen characters."""
    assert same_client(" 0035g00000AbCdE") == "0035g00000AbCdE" != same_client("0035g00000aBcDe")
