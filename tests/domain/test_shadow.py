"""What a shadow may conclude from what it saw, and what it may not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.ats import Guarantee
from sfsync.domain.ledger import Bundle, Request, RowResult
from sfsync.domain.shadow import (
    Apart,
    Entry,
    Outcome,
    Overlay,
    Sale,
    Seen,
    Would,
    answered,
    below_since,
    booked,
    compared,
    drop_own_sales,
    matched,
    number_at,
    oversell,
    spread,
)
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
BAG = LevelKey("BAG", "ECOM")


def at(seconds: float) -> datetime:
    """So many seconds past noon."""
    return NOON + timedelta(seconds=seconds)


def sale(number: int = 1001, *, channel: str = "london", placed: float = 0, units: int = 1) -> Sale:
    """An order line, heard a second after it was placed."""
    return Sale(
        f"order:{channel}:{9_000_000 + number}:1",
        channel,
        f"gid://shop/Order/{9_000_000 + number}",
        f"#{number}",
        "BAG",
        "online",
        units,
        units,
        at(placed),
        at(placed + 1),
    )


def entry(number: str, words: str, made: float, *, on_hand: int = -1, reserved: int = 0) -> Entry:
    """A movement of somebody else."""
    return Entry(number, BAG, MovementKind.SALE, on_hand, reserved, words, at(made))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("#1001", True),
        ("1001", True),
        ("shop order #1001", True),
        ("glue:1001:BAG", True),
        ("gid://shop/Order/9001001", True),
        ("9001001", True),
        ("order 10011", False),  # another order's number begins with it
        ("receipt 77", False),
        ("BAG", False),
    ],
)
def test_a_movement_that_names_an_order_is_that_orders(words: str, found: bool) -> None:
    """However the other integration writes it; a till's receipt is no order of a shop."""
    one = sale()
    got = matched([one], [entry("a", words, 30)])
    assert ("a" in got) is found
    assert all(match.certain and match.subject == one.subject for match in got.values())


def test_a_receipt_with_an_orders_number_from_before_the_order_is_none_of_it() -> None:
    """Nor is a digit or two in a key: they count lines, or shops."""
    assert matched([sale(1001, placed=600)], [entry("a", "receipt 1001", 5)]) == {}
    assert matched([sale(12)], [entry("a", "till:12:BAG", 5)]) == {}
    assert set(matched([sale(12)], [entry("a", "order #12", 5)])) == {"a"}


def test_a_movement_that_says_nothing_is_taken_for_the_oldest_sale_before_it_that_lacks_it() -> None:
    """How many are missing is then sure; which ones is not."""
    first, second = sale(1001, placed=0), sale(1002, placed=10)
    early, silent = entry("early", "", -1), entry("silent", "", 60)
    got = matched([second, first], [silent, early])
    assert set(got) == {"silent"}, "what was entered before a sale is not that sale"
    assert (got["silent"].subject, got["silent"].certain) == (first.subject, False)
    standing = booked([first, second], [early, silent], got)
    assert [each.missing for each in standing] == [0, 1]
    assert [each.doubled for each in standing] == [0, 0]


def test_a_movement_that_says_nothing_gives_way_to_one_that_names_the_order() -> None:
    """A till's sale without a word, then the order's own movement: nothing was entered twice."""
    one = sale()
    entries = [entry("till", "", 5), entry("glue", "#1001", 60)]
    got = matched([one], entries)
    assert set(got) == {"glue"}
    (standing,) = booked([one], entries, got)
    assert (standing.missing, standing.doubled, standing.late_seconds) == (0, 0, 60)


def test_two_shops_with_an_order_of_one_name_are_told_apart_by_id_by_shop_and_by_what_lacks() -> None:
    """Where nothing tells them apart, the totals are still right."""
    london, dubai = sale(1001), sale(1001, channel="dubai")
    dubai = replace(dubai, order_id="gid://shop/Order/7")
    assert matched([london, dubai], [entry("a", "dubai #1001", 5)])["a"].subject == dubai.subject
    assert matched([london, dubai], [entry("a", "1001 7", 5)])["a"].subject == dubai.subject
    both = [entry("a", "#1001", 5), entry("b", "#1001", 6)]
    found = matched([london, dubai], both)
    assert {match.subject for match in found.values()} == {london.subject, dubai.subject}
    standing = booked([london, dubai], both, found)
    assert [(each.doubled, each.missing, each.or_at) for each in standing] == [
        (0, 0, frozenset({"dubai"})),
        (0, 0, frozenset({"london"})),
    ]


@pytest.mark.parametrize(
    ("entries", "missing", "doubled"),
    [
        ([], 2, 0),
        ([entry("a", "#1001", 5)], 1, 0),
        ([entry("a", "#1001", 5, on_hand=-2)], 0, 0),
        ([entry("a", "#1001", 5, on_hand=0, reserved=2)], 0, 0),
        (
            [entry("a", "#1001", 5, on_hand=0, reserved=2), entry("b", "#1001", 9, on_hand=-2, reserved=-2)],
            0,
            0,
        ),
        ([entry("a", "#1001", 5, on_hand=-2), entry("b", "#1001", 9, on_hand=-2)], 0, 2),
        ([entry("a", "#1001", 5, on_hand=-2), entry("b", "#1001", 9, on_hand=2)], 2, 0),
    ],
)
def test_a_sale_is_booked_by_what_its_movements_take_together(
    entries: Sequence[Entry], missing: int, doubled: int
) -> None:
    """Reserved first and sent later is once; sent and taken back is not at all."""
    one = sale(units=2)
    (standing,) = booked([one], entries, matched([one], entries))
    assert (standing.missing, standing.doubled) == (missing, doubled)


def test_what_was_called_off_is_not_missing() -> None:
    """A cancelled order need not be entered."""
    one = replace(sale(), wanted=0)
    (standing,) = booked([one], [], {})
    assert standing.missing == 0


WOULD = [Would(at(0), 1), Would(at(100), 0)]


def test_how_long_a_number_was_wrong_is_told_as_at_least_and_at_most() -> None:
    """It was last read wrong at 140 and first right at 145: nobody knows when it changed between the two."""
    both = compared(WOULD, [Seen(1, at(1), at(140)), Seen(0, at(145), at(200))], at(200))
    assert both.met
    assert both.apart == (Apart(at(100), at(145), 0, 1, 40, 45, behind=True),)
    assert both.apart[0].too_high


def test_a_number_that_was_not_read_in_the_meantime_was_wrong_for_at_least_no_time() -> None:
    """The other integration may have been as quick as sfsync."""
    (only,) = compared(WOULD, [Seen(1, at(1), at(90)), Seen(0, at(105), at(200))], at(200)).apart
    assert (only.least_seconds, only.most_seconds) == (0, 5)


def test_a_number_that_is_still_wrong_counts_as_long_as_it_was_read() -> None:
    """And may have been wrong until now."""
    (only,) = compared(WOULD, [Seen(1, at(1), at(150))], at(160)).apart
    assert (only.ended_at, only.least_seconds, only.most_seconds) == (None, 50, 60)


def test_a_number_below_zero_offers_no_more_and_no_less_than_nothing() -> None:
    """A late sale takes sfsync's number below zero for a while: the channel was behind all the same."""
    would = [*WOULD, Would(at(143), -1), Would(at(150), 0)]
    both = compared(would, [Seen(1, at(1), at(140)), Seen(0, at(145), at(200))], at(200))
    assert both.apart == (Apart(at(100), at(145), 0, 1, 40, 45, behind=True),)


def test_where_sfsync_would_have_been_the_later_one_the_other_is_not_behind() -> None:
    """Said as it was, also when it does not flatter."""
    (only,) = compared(WOULD, [Seen(1, at(1), at(80)), Seen(0, at(85), at(200))], at(200)).apart
    assert (only.behind, only.too_high, only.least_seconds, only.most_seconds) == (False, False, 15, 20)


def test_numbers_that_were_never_equal_are_no_lateness() -> None:
    """The other integration keeps no safety stock, say: that is another policy."""
    both = compared(
        [Would(at(0), 4), Would(at(50), 3)], [Seen(5, at(1), at(40)), Seen(4, at(55), at(90))], at(99)
    )
    assert (both.met, both.apart) == (False, ())


def test_a_channels_own_sale_is_nobodys_lateness() -> None:
    """Its number falls by itself when it is bought, before anybody hears of it, and ours when we do."""
    own = sale(placed=10)
    low = Apart(at(10.4), at(11), 1, 0, 0.2, 0.6, behind=False)
    high = Apart(at(11), at(11.5), 0, 1, 0, 0.5, behind=True)
    elsewhere = Apart(at(11), at(50), 0, 1, 38, 39, behind=True)
    assert drop_own_sales([low, high, elsewhere], [own], "london", "BAG", "online") == [elsewhere]
    assert drop_own_sales([low], [own], "dubai", "BAG", "online") == [low]


def test_what_would_have_been_shown_at_a_moment_is_known_from_the_last_change_before_it() -> None:
    """And nothing is known before the first."""
    assert [number_at(WOULD, at(second)) for second in (-1, 0, 99, 100, 500)] == [None, 1, 1, 0, 0]
    steps = [Would(at(0), 2), Would(at(10), 1), Would(at(20), 0), Would(at(30), 3), Would(at(40), 0)]
    assert below_since(steps, 1, at(25)) == at(20)
    assert below_since(steps, 2, at(25)) == at(10), "one left is too few for two"
    assert below_since(steps, 1, at(35)) is None
    assert below_since(steps, 1, at(60)) == at(40)


@pytest.mark.parametrize(
    ("guarantee", "placed", "outcome", "before"),
    [
        (Guarantee.MIRRORED, 141, Outcome.NOT_ON_SHOW, 41),
        (Guarantee.MIRRORED, 101, Outcome.TOO_CLOSE, 1),
        (Guarantee.MIRRORED, 99, Outcome.STILL_ON_SHOW, None),
        (Guarantee.MIRRORED, -5, Outcome.UNKNOWN, None),
        (Guarantee.GATED, 141, Outcome.REFUSED, 41),
        (Guarantee.GATED, 101, Outcome.REFUSED, 1),
        (Guarantee.GATED, 99, Outcome.ASKED_FIRST, None),
        (Guarantee.ALLOCATED, 141, Outcome.SOLD_OUT, 41),
        (Guarantee.ALLOCATED, 99, Outcome.OTHER_UNITS, None),
    ],
)
def test_of_a_sale_beyond_stock_no_more_is_claimed_than_can_be_known(
    guarantee: Guarantee, placed: float, outcome: Outcome, before: float | None
) -> None:
    """A mirrored number can only be told to have been zero by then; one that asks first is refused."""
    beyond = oversell(sale(placed=placed), guarantee, WOULD, [Seen(1, at(1), at(140))])
    assert (beyond.outcome, beyond.before_seconds) == (outcome, before)
    assert beyond.prevented is (
        outcome in {Outcome.NOT_ON_SHOW, Outcome.REFUSED, Outcome.SOLD_OUT, Outcome.OTHER_UNITS}
    )


def test_a_spread_names_values_that_were_really_seen() -> None:
    """By nearest rank."""
    assert spread([]).p50 is None
    told = spread(range(1, 201))
    assert (told.count, told.p50, told.p99, told.worst) == (200, 100, 198, 200)


def test_an_overlay_counts_its_changes_so_that_no_level_seems_to_go_back() -> None:
    """The same numbers again are no change."""
    once = Overlay().with_(0, 1)
    assert (once.changes, once.with_(0, 1), once.with_(0, 0).changes) == (1, once, 2)


# -- the model of the org's ledger ------------------------------------------------------------------------


def level(on_hand: int, reserved: int = 0) -> dict[LevelKey, StockLevel]:
    """The bag's level."""
    return {BAG: StockLevel(BAG, on_hand, reserved, 1, "a01")}


def moving(key: str, on_hand: int = 0, reserved: int = 0) -> Movement:
    """A movement at it."""
    kind = MovementKind.ORDER if reserved > 0 else MovementKind.SALE
    return Movement(key, key, BAG, kind, on_hand, reserved, "", "", NOON)


def bundle(number: int, *movements: Movement) -> Bundle:
    """Movements that go together."""
    return Bundle(number, movements, number)


def test_the_model_refuses_a_reservation_beyond_stock_and_never_a_posting() -> None:
    """As the org's rule does."""
    asked = Request((bundle(1, moving("a", 0, 1)), bundle(2, moving("b", 0, 1))), (), frozenset({BAG}))
    results, taken = answered(asked, level(1), {})
    assert [results[key].result for key in "ab"] == [RowResult.CREATED, RowResult.INSUFFICIENT]
    assert [each.key for each in taken] == ["a"]
    sold = Request((bundle(1, moving("c", -1)),), (), frozenset({BAG}))
    assert answered(sold, level(1, 1), {})[0]["c"].result is RowResult.CREATED


def test_the_model_takes_a_key_once_and_a_group_whole_or_not_at_all() -> None:
    """What was sent before a restart is sent again; units that only change hands need none."""
    before = {"a": moving("a", 0, 1)}
    again = Request((bundle(1, moving("a", 0, 1)),), (), frozenset({BAG}))
    assert answered(again, level(1, 1), before)[0]["a"].result is RowResult.DUPLICATE
    hands = Request((), (), frozenset({BAG}), (), (bundle(2, moving("r", 0, -1), moving("o", 0, 1)),))
    assert {each.result for each in answered(hands, level(1, 1), {})[0].values()} == {RowResult.CREATED}
    group = Request((), (bundle(3, moving("x", 0, 2), moving("a", 0, 1)),), frozenset({BAG}))
    results, taken = answered(group, level(5), before)
    assert (results["x"].result, results["a"].result) == (RowResult.ROLLED_BACK, RowResult.DUPLICATE)
    assert taken == []


def test_the_model_has_no_level_that_the_org_has_not() -> None:
    """A movement there is wrong, and told so."""
    asked = Request((bundle(1, moving("a", -1)),), (), frozenset({BAG}))
    assert answered(asked, {}, {})[0]["a"].result is RowResult.WRONG
