"""What was promised at one place and carried to another is for sale nowhere."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.ats import LevelFacts
from sfsync.domain.debts import Rank, by_places, owed
from sfsync.domain.stock import LevelKey

ECOM, TOWN, MALL = (LevelKey("BAG-1", place) for place in ("ECOM", "TOWN", "MALL"))
TRANSIT, FLOOR, FAR = (LevelKey("BAG-1", place) for place in ("TRANSIT", "FLOOR", "FAR"))
ONE_ECOM, ONE_TOWN, ONE_TRANSIT = (LevelKey("BAG-1", place, "1") for place in ("ECOM", "TOWN", "TRANSIT"))
TWO_TOWN = LevelKey("BAG-1", "TOWN", "2")
HERE = {"ECOM", "TOWN", "MALL", "FLOOR"}  # some channel sells from all of these
RANK: Rank = by_places({"TRANSIT"}, {"FLOOR"}, lambda place: HERE if place in HERE else {place})
Stock = Mapping[LevelKey, tuple[int, ...]]  # level -> on hand, reserved, being asked, leaving


def levels(stock: Stock) -> list[LevelFacts]:
    found = []
    for key, numbers in stock.items():
        on_hand, reserved, asked, leaving = (*numbers, 0, 0)[:4]
        found.append(LevelFacts(key, on_hand, reserved, asked, leaving))
    return found


@pytest.mark.parametrize(
    ("stock", "aside", "expected"),
    [
        pytest.param({ECOM: (1, 1), TOWN: (1, 0)}, {}, {}, id="nothing is owed"),
        pytest.param({ECOM: (0, 1), TOWN: (1, 0)}, {}, {TOWN: 1}, id="sold, and carried to town"),
        pytest.param({ECOM: (0, 1), TOWN: (3, 0)}, {}, {TOWN: 1}, id="of three, two are for sale"),
        pytest.param(
            {ECOM: (0, 3), TOWN: (1, 0), MALL: (1, 0)}, {}, {TOWN: 1, MALL: 1}, id="more than is there"
        ),
        pytest.param({ECOM: (0, 1), TOWN: (1, 0), MALL: (2, 0)}, {}, {MALL: 1}, id="of the fullest"),
        pytest.param({ECOM: (0, 1), TOWN: (1, 1), MALL: (1, 0)}, {}, {MALL: 1}, id="each has his own"),
        pytest.param({ECOM: (-5, 0), TOWN: (1, 0)}, {}, {}, id="books that lack a posting"),
        pytest.param({ECOM: (-5, 1), TOWN: (9, 0)}, {}, {TOWN: 1}, id="only what was promised"),
        pytest.param({ECOM: (0, 1), TOWN: (1, 0)}, {ECOM: 1}, {}, id="a channel's right, which goes back"),
        pytest.param({ECOM: (0, 2), TOWN: (5, 0)}, {ECOM: 1}, {TOWN: 1}, id="a right, and a customer's"),
        pytest.param({ECOM: (1, 2), TOWN: (5, 0)}, {ECOM: 1}, {}, id="the customer's is there"),
        pytest.param({ECOM: (0, 0, 1), TOWN: (1, 0)}, {}, {}, id="only asked for, and the org says no"),
        pytest.param({ECOM: (1, 1, 0, 1), TOWN: (1, 0)}, {}, {TOWN: 1}, id="it is about to leave"),
        pytest.param({ECOM: (0, 1), TRANSIT: (1, 0)}, {}, {}, id="on its way, and not for sale"),
        pytest.param(
            {ECOM: (0, 1), TRANSIT: (9, 0), TOWN: (1, 0)}, {}, {TOWN: 1}, id="not for sale gives none"
        ),
        pytest.param(
            {ECOM: (0, 1), FLOOR: (9, 0), TOWN: (1, 0)}, {}, {TOWN: 1}, id="a shop floor gives last"
        ),
        pytest.param({ECOM: (0, 2), FLOOR: (9, 0), TOWN: (1, 0)}, {}, {TOWN: 1, FLOOR: 1}, id="but it gives"),
        pytest.param({ECOM: (0, 1), FAR: (9, 0), TOWN: (1, 0)}, {}, {TOWN: 1}, id="near before far"),
        pytest.param({ECOM: (0, 1), FAR: (9, 0)}, {}, {FAR: 1}, id="carried far away"),
        # Pieces: each is one, wherever it stands.
        pytest.param({ONE_ECOM: (0, 1), ONE_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="a piece, carried"),
        pytest.param(
            {ONE_ECOM: (0, 1), ONE_TOWN: (1, 0)}, {ONE_ECOM: 1}, {ONE_TOWN: 1}, id="a shop's own piece"
        ),
        pytest.param({ONE_ECOM: (1, 1), ONE_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="twice by the books"),
        pytest.param({ONE_ECOM: (1, 0), ONE_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="offered once"),
        pytest.param({ONE_ECOM: (1, 0, 1), ONE_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="being asked for"),
        pytest.param(
            {ONE_ECOM: (-1, 0), ONE_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="sent, by the books, from ECOM"
        ),
        pytest.param({ONE_ECOM: (0, 0), ONE_TOWN: (1, 0)}, {}, {}, id="carried, and nobody's"),
        pytest.param({ONE_ECOM: (0, 0), ONE_TOWN: (2, 0)}, {}, {}, id="two under one number"),
        pytest.param(
            {ONE_ECOM: (0, 1), ONE_TOWN: (1, 0), TWO_TOWN: (1, 0)}, {}, {ONE_TOWN: 1}, id="the other is free"
        ),
        pytest.param(
            {ONE_ECOM: (0, 1), ONE_TOWN: (0, 0), TWO_TOWN: (1, 0)}, {}, {TWO_TOWN: 1}, id="gone for good"
        ),
        pytest.param(
            {ONE_TRANSIT: (1, 0), ONE_TOWN: (1, 0)}, {}, {ONE_TRANSIT: 1}, id="arrived, or just leaving"
        ),
        pytest.param({ONE_ECOM: (0, 1), TOWN: (2, 0)}, {}, {TOWN: 1}, id="promised by number, there without"),
    ],
)
def test_what_was_promised_elsewhere_is_for_sale_nowhere(
    stock: Stock, aside: Mapping[LevelKey, int], expected: Mapping[LevelKey, int]
) -> None:
    """It was carried, or what was promised left otherwise: whoever was promised it comes before others."""
    assert owed(levels(stock), RANK, aside).units == expected


@pytest.mark.parametrize(
    ("stock", "own", "expected"),
    [
        ({ECOM: (0, 1), TOWN: (1, 0)}, {ECOM: 1}, {}),
        ({ECOM: (0, 2), TOWN: (2, 0)}, {ECOM: 1}, {TOWN: 1}),
        ({ONE_ECOM: (0, 1), ONE_TOWN: (1, 0)}, {ONE_ECOM: 1}, {}),
        ({ONE_ECOM: (0, 2), ONE_TOWN: (1, 0)}, {ONE_ECOM: 1}, {ONE_TOWN: 1}),
    ],
)
def test_whoever_was_promised_it_may_follow_it(
    stock: Stock, own: Mapping[LevelKey, int], expected: Mapping[LevelKey, int]
) -> None:
    """His own promise is in nobody's way but others'."""
    assert owed(levels(stock), RANK, {}, own).units == expected


@pytest.mark.parametrize(
    ("stock", "own", "awaited"),
    [
        ({ECOM: (0, 1), TOWN: (1, 0)}, {}, set()),  # what is owed is there: more that comes is anybody's
        ({ECOM: (0, 1), TOWN: (0, 0)}, {}, {TOWN}),
        ({ECOM: (0, 1), TOWN: (0, 1)}, {}, {ECOM, TOWN}),
        ({ECOM: (0, 1), TOWN: (0, 0)}, {ECOM: 1}, set()),
        ({ECOM: (1, 1), TOWN: (0, 0)}, {}, set()),
        ({ONE_ECOM: (1, 1), ONE_TOWN: (0, 0)}, {}, {ONE_TOWN}),
        ({ONE_ECOM: (1, 0, 1), ONE_TOWN: (0, 0)}, {}, {ONE_TOWN}),
        ({ONE_ECOM: (1, 1), ONE_TOWN: (0, 0)}, {ONE_ECOM: 1}, set()),
        ({ONE_ECOM: (1, 0), ONE_TOWN: (0, 0)}, {}, set()),
    ],
)
def test_what_may_have_come_in_is_his_who_was_promised_it(
    stock: Stock, own: Mapping[LevelKey, int], awaited: set[LevelKey]
) -> None:
    """It has left, and nobody has told of its arrival yet: who asks there by chance is not given it."""
    assert owed(levels(stock), RANK, {}, own).awaited == awaited


KEYS = [ECOM, TOWN, MALL, TRANSIT, FLOOR, FAR, ONE_ECOM, ONE_TOWN, ONE_TRANSIT, TWO_TOWN]


@given(st.dictionaries(st.sampled_from(KEYS), st.tuples(st.integers(-2, 3), st.integers(0, 3))))
def test_no_more_is_for_sale_than_nobody_was_promised(stock: dict[LevelKey, tuple[int, int]]) -> None:
    """Whatever stands where: what is for sale and what was promised are together no more than there is."""
    there = levels(stock)
    found = owed(there, RANK, {}).units
    left = {each.key: max(0, each.sellable) - found.get(each.key, 0) for each in there}
    assert min(left.values(), default=0) >= 0
    for_sale = {key: units for key, units in left.items() if key.location != "TRANSIT"}
    promised = sum(reserved for _, reserved in stock.values())
    on_hand = sum(max(0, units) for units, _ in stock.values())
    assert not any(for_sale.values()) or sum(left.values()) + promised <= on_hand
    pieces = {key.unit for key in stock if key.unit is not None}
    for unit in pieces:
        own = [key for key in stock if key.unit == unit]
        if len(own) > 1:
            most = max(stock[key][0] for key in own)
            offered = sum(left[key] for key in own)
            assert not offered or offered + sum(stock[key][1] for key in own) <= most
