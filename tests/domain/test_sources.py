"""Two sources of one order: whoever speaks first, last or twice, the same is wanted."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.places import LinePlace
from sfsync.domain.sources import Source, Word, Words, deciding, pair, wanted

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
SHOP, ORG = Source.CHANNEL, Source.ORG


def line(
    open_: int, fulfilled: int = 0, returned: int = 0, *, name: str = "1", sku: str = "BAG-1"
) -> OrderLine:
    return OrderLine(name, sku, open_, fulfilled, returned)


def word(told: OrderLine, version: int = 0) -> Word:
    return Word(NOW + timedelta(seconds=version), told)


@pytest.mark.parametrize(
    ("storefront", "org", "authority", "expected"),
    [
        # one source alone counts, whoever is the authority
        (line(2), None, SHOP, (2, 0, 0)),
        (None, line(2), SHOP, (2, 0, 0)),
        (line(2), None, ORG, (2, 0, 0)),
        # the same sale told by both is one sale
        (line(2), line(2), SHOP, (2, 0, 0)),
        # edited in one: the authority's number counts, until the authority repeats the edit
        (line(3), line(2), SHOP, (3, 0, 0)),
        (line(3), line(2), ORG, (2, 0, 0)),
        (line(1), line(2), SHOP, (1, 0, 0)),
        # cancelled by the authority; cancelled by the other one
        (line(0), line(2), SHOP, (0, 0, 0)),
        (line(2), line(0), SHOP, (2, 0, 0)),
        (line(2), line(0), ORG, (0, 0, 0)),
        # goods that left have left, whoever says so; what is open is the rest of the authority's quantity
        (line(1, 1), line(2), ORG, (1, 1, 0)),
        (line(2), line(0, 2), SHOP, (0, 2, 0)),
        (line(0, 2), line(0, 2), SHOP, (0, 2, 0)),
        # a refund with the goods back, heard of once or twice, is one return
        (line(0, 2, 1), line(0, 2), SHOP, (0, 2, 1)),
        (line(0, 2, 1), line(0, 2, 1), SHOP, (0, 2, 1)),
        (line(0, 2), line(0, 2, 1), SHOP, (0, 2, 1)),
    ],
)
def test_what_two_sources_want_together(
    storefront: OrderLine | None, org: OrderLine | None, authority: Source, expected: tuple[int, int, int]
) -> None:
    """(still to deliver, delivered, returned) of one line."""
    words = {s: word(told) for s, told in ((SHOP, storefront), (ORG, org)) if told is not None}
    found = wanted({"A": words}, authority)["A"]
    assert (found.open_quantity, found.fulfilled_quantity, found.returned_quantity) == expected


def test_only_the_storefront_knows_its_own_shelf_and_a_place_named_by_anybody_counts() -> None:
    """What the shop took off its number; and the location that the authority left open."""
    shop = OrderLine("1", "BAG-1", 2, taken_quantity=2)
    org = OrderLine("802A", "BAG-1", 2, location="DUBAI")
    found = wanted({"A": {SHOP: word(shop), ORG: word(org)}}, ORG)["A"]
    assert (found.taken_quantity, found.location) == (2, "DUBAI")
    assert wanted({"A": {SHOP: word(shop), ORG: word(org)}}, SHOP)["A"].location == "DUBAI"


@pytest.mark.parametrize(("authority", "expected"), [(SHOP, {"bond": 2, "mall": 1}), (ORG, {"bond": 2})])
def test_only_the_storefront_knows_which_of_its_locations_sends_a_unit(
    authority: Source, expected: dict[str, int]
) -> None:
    """The org has reduced the order to two: where they stand is still the storefront's word."""
    places = (LinePlace("bond", 2, 0, 0, 2), LinePlace("mall", 1, 0, 0, 1))
    shop = OrderLine("1", "BAG-1", 3, taken_quantity=3, places=places, routed=True)
    (found,) = wanted({"a": {SHOP: word(shop), ORG: word(line(2))}}, authority).values()
    assert {place.location: place.open_quantity for place in found.places if place.open_quantity} == expected
    assert sum(place.taken_quantity for place in found.places) == found.taken_quantity == 3


def test_what_the_other_source_has_beyond_the_authoritys_lines_of_an_sku_is_superseded() -> None:
    """The org split one line of three into two; the storefront's three count, not more."""
    order: dict[str, Words] = {
        "A": {SHOP: word(line(3)), ORG: word(line(1, name="802A"))},
        "B": {ORG: word(line(2, name="802B"))},
    }
    assert {key: each.open_quantity for key, each in wanted(order, SHOP).items()} == {"A": 3, "B": 0}
    assert {key: each.open_quantity for key, each in wanted(order, ORG).items()} == {"A": 1, "B": 2}


def test_a_line_that_only_one_of_them_has_counts() -> None:
    """A gift that staff added in the org is reserved although the storefront knows nothing of it."""
    order: dict[str, Words] = {"A": {SHOP: word(line(1))}, "B": {ORG: word(line(1, sku="POUCH"))}}
    assert {key: each.open_quantity for key, each in wanted(order, SHOP).items()} == {"A": 1, "B": 1}


@pytest.mark.parametrize(
    ("held", "told", "expected"),
    [
        ({}, [line(1)], [None]),
        # its own earlier word; the other's line by id; the other's line by SKU; nobody's
        ({"A": {SHOP: word(line(1))}}, [line(2)], ["A"]),
        ({"A": {ORG: word(line(1, name="1"))}}, [line(2)], ["A"]),
        ({"A": {ORG: word(line(1, name="802A"))}}, [line(2)], ["A"]),
        ({"A": {ORG: word(line(1, name="802A", sku="BELT"))}}, [line(2)], [None]),
        # two lines of one SKU: the id first, then first with first; none twice
        (
            {"A": {ORG: word(line(1, name="8"))}, "B": {ORG: word(line(1, name="1"))}},
            [line(1, name="1"), line(1, name="2"), line(1, name="3")],
            ["B", "A", None],
        ),
    ],
)
def test_which_known_line_a_told_line_is(
    held: dict[str, Words], told: list[OrderLine], expected: list[str | None]
) -> None:
    """By id, then by SKU."""
    assert pair(held, told, SHOP) == expected


def test_movements_carry_the_version_of_the_word_that_decides() -> None:
    """Each source has its own clock."""
    both = {SHOP: word(line(1), 5), ORG: word(line(1), 9)}
    assert deciding(both, SHOP).version == NOW + timedelta(seconds=5)
    assert deciding({ORG: both[ORG]}, SHOP).version == NOW + timedelta(seconds=9)


# -- any number of tellings, in any order ----------------------------------------------------------------

skus = st.sampled_from(["BAG-1", "BELT"])
quantity = st.integers(0, 3)
telling = st.lists(st.tuples(skus, quantity, quantity, st.integers(0, 1)), min_size=1, max_size=3)


def as_lines(told: list[tuple[str, int, int, int]], start: str) -> list[OrderLine]:
    return [
        OrderLine(f"{start}{number}", sku, open_, fulfilled, min(returned, fulfilled))
        for number, (sku, open_, fulfilled, returned) in enumerate(told)
    ]


def outcome(order: dict[str, Words], authority: Source) -> Counter[tuple[str, str]]:
    sums: Counter[tuple[str, str]] = Counter()
    for each in wanted(order, authority).values():
        sums[each.sku, "open"] += each.open_quantity
        sums[each.sku, "on hand"] += each.returned_quantity - each.fulfilled_quantity
    return sums


@given(
    st.lists(telling, min_size=1, max_size=3),
    st.lists(telling, min_size=1, max_size=3),
    st.sampled_from(Source),
    st.randoms(use_true_random=False),
)
def test_any_order_and_repetition_of_both_sources_snapshots_wants_the_same(
    shop: list[list[tuple[str, int, int, int]]],
    org: list[list[tuple[str, int, int, int]]],
    authority: Source,
    chance: random.Random,
) -> None:
    """Lines of an order keep their SKU; quantities are edited at will in both places."""
    stories = {SHOP: _same_goods(shop), ORG: _same_goods(org)}
    results = []
    for _ in range(3):
        arrivals = [(source, n) for source, story in stories.items() for n in range(len(story))] * 2
        chance.shuffle(arrivals)
        order: dict[str, Words] = {}
        for source, version in arrivals:
            told = as_lines(stories[source][version], f"{source} ")
            for subject, each in zip(pair(order, told, source), told, strict=True):
                key = subject or each.line_id
                known = order.setdefault(key, {}).get(source)
                if known is None or known.version <= word(each, version).version:
                    order[key] = {**order[key], source: word(each, version)}
        results.append(outcome(order, authority))
    assert results[0] == results[1] == results[2]


def _same_goods(story: list[list[tuple[str, int, int, int]]]) -> list[list[tuple[str, int, int, int]]]:
    """Every snapshot of an order has the lines of the first one, with other numbers."""
    first = story[0]
    return [[(first[n][0], *told[min(n, len(told) - 1)][1:]) for n in range(len(first))] for told in story]


@pytest.mark.parametrize("authority", list(Source))
def test_goods_left_at_the_earlier_of_two_moments_whoever_is_the_authority(authority: Source) -> None:
    """The storefront tells of one parcel; the org's record, saved later, of both."""
    parcel = replace(line(1, 1), left=(Moment(NOW - timedelta(hours=2), 1),))
    saved = replace(line(0, 2, 1), left=(Moment(NOW, 2),), came_back=(Moment(NOW, 1),))
    found = wanted({"s": {SHOP: word(parcel), ORG: word(saved)}}, authority)["s"]
    assert (found.fulfilled_quantity, found.left) == (2, (*parcel.left, Moment(NOW, 1)))
    assert found.came_back == saved.came_back
