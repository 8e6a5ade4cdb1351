"""The local block: what may be granted from it, what the org is asked for it, and how grants are entered."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given as whatever
from hypothesis import strategies as st

from sfsync.domain.block import BlockLevel, Draw, added, changes, due, given, picked, settlement, staying
from sfsync.domain.stock import LevelKey, Movement, MovementKind

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
ECOM, TOWN = LevelKey("BAG", "ECOM"), LevelKey("BAG", "TOWN")


@pytest.mark.parametrize(
    ("level", "ready"),
    [
        (BlockLevel(ECOM, held=5), 5),
        (BlockLevel(ECOM, held=5, gone=2), 3),
        (BlockLevel(ECOM, held=5, coming=4), 5),  # asked for is not there yet
        (BlockLevel(ECOM, held=5, gone=2, oversold=1), 2),  # stock does not cover it any more
        (BlockLevel(ECOM, held=5, gone=7), 0),
        (BlockLevel(ECOM, held=5, gone=1, stays=3), 1),  # the last ones of the shop
        (BlockLevel(ECOM, held=5, oversold=1, stays=3), 2),  # of which stock lacks one
    ],
)
def test_only_what_the_org_holds_and_nobody_has_may_be_granted(level: BlockLevel, ready: int) -> None:
    """Neither what is asked for or on its way back, nor what stock does not cover or is the shop's last."""
    assert level.ready == ready


@pytest.mark.parametrize(
    ("wanted", "levels", "asked"),
    [
        (50, [BlockLevel(ECOM, pool=500)], {ECOM: 50}),  # set aside
        (50, [BlockLevel(ECOM, pool=30), BlockLevel(TOWN, pool=30)], {ECOM: 30, TOWN: 20}),
        (
            50,
            [BlockLevel(ECOM, held=50, gone=10, pool=99)],
            {},
        ),  # more than half is ready: the org is left alone
        (50, [BlockLevel(ECOM, held=50, gone=25, pool=99)], {ECOM: 25}),  # topped up
        (50, [BlockLevel(ECOM, held=50, gone=50, coming=50, pool=99)], {}),  # it was asked for already
        (50, [BlockLevel(ECOM, held=50, gone=50)], {}),  # nothing is left to ask for
        (10, [BlockLevel(ECOM, held=50, gone=5, pool=9)], {ECOM: -35}),  # the policy wants fewer now
        (0, [BlockLevel(ECOM, held=8), BlockLevel(TOWN, held=4, gone=1)], {ECOM: -8, TOWN: -3}),  # withdrawn
        (10, [BlockLevel(ECOM, held=10, gone=1, oversold=4)], {ECOM: -4}),  # unsold units give way first
        (10, [BlockLevel(ECOM, held=10, gone=8, oversold=4)], {ECOM: -2}),
        (10, [BlockLevel(ECOM, oversold=2, pool=5)], {}),
        (10, [BlockLevel(ECOM, held=10, gone=8, stays=2)], {ECOM: -2}),  # the last two of the shop
        (10, [BlockLevel(ECOM, held=10, stays=3, pool=0), BlockLevel(TOWN, pool=9)], {ECOM: -3}),
    ],
)
def test_what_the_org_is_asked_for(wanted: int, levels: list[BlockLevel], asked: dict[LevelKey, int]) -> None:
    """Units wanted, what there is of them, and the movements that follow."""
    assert changes(wanted, levels) == asked


def test_orders_without_stock_come_before_a_block() -> None:
    """While an accepted order goes without, nothing is set aside."""
    assert changes(50, [BlockLevel(ECOM, pool=30)], short=True) == {}


@pytest.mark.parametrize(
    ("unsold", "unpromised", "last", "stays"),
    [
        (3, 10, 2, 0),  # there are others that may be the last
        (3, 4, 2, 1),
        (3, 3, 0, 0),  # a warehouse
        (3, 2, 2, 3),  # one of them is not covered, the others are the last
        (3, -4, 0, 3),
        (0, 2, 2, 0),
    ],
)
def test_the_last_pieces_of_a_shop_are_not_granted_out_of_a_block(
    unsold: int, unpromised: int, last: int, stays: int
) -> None:
    """They may be in a customer's hand: so many of a block's pieces are not to be granted."""
    assert staying(unsold, unpromised, last) == stays


facts = st.builds(
    BlockLevel,
    st.sampled_from([ECOM, TOWN]),
    *(st.integers(0, 9) for _ in range(6)),
)


@whatever(st.integers(0, 12), st.lists(facts, max_size=2, unique_by=lambda level: level.key))
def test_a_block_gives_back_only_unsold_units_and_asks_only_for_what_is_there(
    wanted: int, levels: list[BlockLevel]
) -> None:
    """Whatever the books: nothing granted is given away, nothing is asked for twice or beyond the pool."""
    asked = changes(wanted, levels)
    for level in levels:
        assert -level.unsold <= asked.get(level.key, 0) <= level.pool
    more = sum(units for units in asked.values() if units > 0)
    assert more == 0 or more + sum(level.ready + level.coming for level in levels) <= wanted


def test_the_first_location_that_has_all_of_it_gives() -> None:
    """Better one parcel than two."""
    assert picked(2, [ECOM, TOWN], {ECOM: 1, TOWN: 2}) == TOWN
    assert picked(2, [ECOM, TOWN], {ECOM: 2, TOWN: 2}) == ECOM
    assert picked(3, [ECOM, TOWN], {ECOM: 2, TOWN: 2}) is None


@pytest.mark.parametrize(
    ("units", "pool", "ready", "more"),
    [(3, 3, 9, 0), (3, 1, 9, 2), (3, 0, 3, 3), (3, -2, 3, 3), (3, 1, 1, 0)],
)
def test_a_block_adds_what_the_pool_lacks_or_nothing(units: int, pool: int, ready: int, more: int) -> None:
    """Wanted, in the pool, in the block. Where both have too few, only the org knows better."""
    assert added(units, pool, ready) == more


def test_what_a_block_adds_leaves_it_with_the_row_that_asks() -> None:
    """Three lines of a cart: the first is the pool's alone, the others are two steps of the block."""
    rows = [
        Movement(
            f"reservation:r:{at}:0", f"reservation:r:{at}", ECOM, MovementKind.CART, 0, 2, "cart", "", NOW
        )
        for at in range(3)
    ]
    own = "allocation:sfsync:BAG|ECOM"
    pool, *others = given([(rows[0], 0), (rows[1], 1), (rows[2], 2)], {own: 7}, NOW)
    assert pool == (rows[0],)
    assert [each[0] for each in others] == rows[1:]
    assert [(each[1].key, each[1].reserved_delta) for each in others] == [(f"{own}:7", -1), (f"{own}:8", -2)]


@pytest.mark.parametrize(
    ("grants", "oldest", "now"), [(0, 99.0, False), (1, 0.5, False), (1, 2.0, True), (90, 0.0, True)]
)
def test_grants_wait_for_company_but_not_long(grants: int, oldest: float, now: bool) -> None:
    """Ninety fill a call; two seconds are the longest that one waits for others."""
    assert due(grants, oldest) is now


def _draw(line: int, units: int, level: LevelKey = ECOM) -> Draw:
    return Draw(f"reservation:r:{line}", "r", "london", level, units, MovementKind.CART, "cart 7")


def test_each_line_is_entered_and_its_units_leave_the_block_with_it() -> None:
    """Two lines of one level are two steps of the block there; each level nets to nothing."""
    draws = [_draw(0, 1), _draw(1, 2), _draw(2, 1, TOWN)]
    own = {ECOM: "allocation:sfsync:BAG|ECOM", TOWN: "allocation:sfsync:BAG|TOWN"}
    steps = {draw.subject: 0 for draw in draws} | {own[ECOM]: 7, own[TOWN]: 1}
    rows = settlement(draws, steps, {}, NOW)
    assert [(row.key, row.kind.value, row.reserved_delta) for row in rows] == [
        ("reservation:r:0:0", "Cart", 1),
        ("reservation:r:1:0", "Cart", 2),
        ("reservation:r:2:0", "Cart", 1),
        (f"{own[ECOM]}:7", "Release", -1),
        (f"{own[ECOM]}:8", "Release", -2),
        (f"{own[TOWN]}:1", "Release", -1),
    ]


def test_what_the_ledger_names_already_is_not_entered_again() -> None:
    """The reply was lost and the store restored: the org's rows are the truth."""
    own = "allocation:sfsync:BAG|ECOM"
    assert settlement([_draw(0, 2)], {"reservation:r:0": 1, own: 1}, {"reservation:r:0": 2}, NOW) == ()
