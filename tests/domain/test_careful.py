"""When a number may be written that goes over whatever was sold unseen (correctness D and E)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from sfsync.domain.relay import (
    AfterUnknown,
    Care,
    Do,
    DueNumber,
    Next,
    after_unknown,
    drained,
    next_number,
)

NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
CARE = Care(settle=timedelta(seconds=120), reading_lasts=timedelta(seconds=60))


def at(seconds: float) -> datetime:
    """So long after noon, when every number below was decided."""
    return NOON + timedelta(seconds=seconds)


WRITE, READ, WAIT = Do.WRITE, Do.READ_ORDERS, Do.WAIT


@pytest.mark.parametrize(
    ("shows", "target", "now", "read", "do"),
    [
        (5, 0, 0, None, WRITE),  # sold out: at once, whatever is not known
        (5, 3, 0, None, READ),  # where three were sold unseen, writing 3 would be a raise
        (5, 3, 61, 0, READ),  # read too long ago
        (5, 3, 60, 0, WRITE),
        (3, 5, 119, 119, WAIT),  # a raise is slow
        (3, 5, 120, None, READ),
        (3, 5, 130, 119, READ),  # sales from before it was decided may be missing in that reading
        (3, 5, 130, 120, WRITE),
        (3, 5, 181, 120, READ),  # and this one is of too long ago
        (0, 1, 130, 130, WRITE),
    ],
)
def test_zero_goes_at_once_lower_after_a_reading_and_higher_slowly(
    shows: int, target: int, now: float, read: float | None, do: Do
) -> None:
    """Bad news first: the worse a number is, the less must be known before it is written."""
    due = DueNumber(shows, target, NOON)
    read_at = None if read is None else at(read)
    step = next_number(due, read_at=read_at, now=at(now), care=CARE)
    assert step.do is do
    if do is WRITE:
        assert step.number == target


def test_a_raise_says_when_it_is_to_be_seen_again() -> None:
    """So that nobody has to look all the time."""
    assert next_number(DueNumber(3, 5, NOON), read_at=NOON, now=NOON, care=CARE) == Next(
        WAIT, not_before=at(120)
    )


def test_a_raise_waits_for_a_sale_that_is_known_and_not_entered() -> None:
    """The reading has told of it; the number to write does not know it yet."""
    due = DueNumber(3, 5, NOON, undecided=True)
    assert next_number(due, read_at=at(130), now=at(130), care=CARE).do is WAIT
    assert next_number(DueNumber(5, 3, NOON, undecided=True), read_at=at(130), now=at(130), care=CARE).do is (
        WRITE
    )


@pytest.mark.parametrize(
    ("shows", "target", "missing", "now", "read", "step"),
    [
        (5, 3, 0, 0, None, Next(WRITE, 0)),  # close: a lower number would not say what was sold
        (5, 7, 0, 119, 119, Next(WAIT, not_before=at(120))),  # to raise it can wait
        (5, 7, 0, 120, None, Next(WRITE, 0)),  # close
        (0, 3, 5, 130, 130, Next(WAIT)),  # not drained: five units may be sold
        (0, 3, 0, 130, 100, Next(READ, 3)),
        (0, 3, 0, 130, 130, Next(WRITE, 3)),  # open
        (0, 3, 0, 119, 119, Next(WAIT, not_before=at(120))),
    ],
)
def test_units_of_an_allocation_are_closed_drained_and_opened(
    shows: int, target: int, missing: int, now: float, read: float | None, step: Next
) -> None:
    """From one number to another leads no way but over zero."""
    due = DueNumber(shows, target, NOON, allocated=True, missing=missing)
    assert next_number(due, read_at=None if read is None else at(read), now=at(now), care=CARE) == step


@pytest.mark.parametrize(("read", "is_drained"), [(None, False), (0, False), (119, False), (120, True)])
def test_a_closed_number_is_drained_once_every_order_from_before_is_known(
    read: float | None, *, is_drained: bool
) -> None:
    """The order list runs behind the sales by as much as the setting says."""
    read_at = None if read is None else at(read)
    assert drained(closed_at=NOON, read_at=read_at, care=CARE) is is_drained


@pytest.mark.parametrize(
    ("changes", "then"),
    [
        ((-1, -5), AfterUnknown.SAME_AGAIN),
        ((0,), AfterUnknown.SAME_AGAIN),
        ((-1, 1), AfterUnknown.READ_BACK),
        ((3,), AfterUnknown.READ_BACK),
    ],
)
def test_a_lowering_of_unknown_outcome_is_sent_again_and_a_raise_never(
    changes: tuple[int, ...], then: AfterUnknown
) -> None:
    """Twice or late, a lower number does no harm; a higher one puts on sale what was sold meanwhile."""
    assert after_unknown(changes) is then
