"""When a receiver of callbacks is tried again, when it is left alone, and what names a message."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from sfsync.domain.callbacks import (
    SCHEDULE_SECONDS,
    Failing,
    Patience,
    failed,
    heard,
    message_id,
    next_sequence,
)

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
PATIENCE = Patience(set_aside_after=timedelta(days=30))


def seconds(moment: datetime, since: datetime) -> float:
    return (moment - since).total_seconds()


def run(message: str, tries: int, patience: Patience = PATIENCE, luck: float = 0.0) -> list[Failing]:
    """A message that is sent again, each time at the earliest moment, and never taken."""
    found: list[Failing] = []
    now = NOW
    for _ in range(tries):
        before = found[-1] if found else None
        found.append(failed(before, message, "it answers 500", now, luck, patience))
        now = found[-1].next_at(message)
    return found


def test_an_unchanged_message_is_tried_by_the_standards_schedule() -> None:
    """At once, then after 5 s, 5 min, 30 min, 2, 5, 10, 14, 20 and 24 hours; the last wait for ever."""
    moments = [NOW] + [each.next_at("m") for each in run("m", 11)]
    waits = [seconds(after, before) for before, after in pairwise(moments)]
    assert tuple(waits) == (*SCHEDULE_SECONDS, SCHEDULE_SECONDS[-1], SCHEDULE_SECONDS[-1])
    assert sum(SCHEDULE_SECONDS) / 3600 == pytest.approx(75.6, abs=0.1)


@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999])
def test_waits_are_spread_by_luck_and_never_shorter_than_the_schedule(luck: float) -> None:
    """Up to a quarter is added."""
    first = run("m", 1, luck=luck)[0]
    assert 5.0 <= seconds(first.again_at, NOW) <= 5.0 * 1.25


def test_a_changed_payload_need_not_wait_for_the_old_ones_turn() -> None:
    """After three failures of the same message, half an hour away, another may go within a few seconds."""
    third = run("m", 3)[2]
    before = run("m", 2)[1].next_at("m")
    assert seconds(third.next_at("m"), before) == 1800
    assert seconds(third.next_at("another"), before) <= 1.0


def test_changed_payloads_keep_a_distance_that_grows_to_a_minute() -> None:
    """A receiver that is down is not stormed by a busy day's numbers."""
    now, before, waits = NOW, None, []
    for number in range(14):
        before = failed(before, f"m{number}", "no answer", now, 0.0, PATIENCE)
        waits.append(seconds(before.next_at("the next"), now))
        now = before.next_at("the next")
    assert waits == sorted(waits)
    assert waits[-1] == 30.0  # the least that luck may make of a minute
    assert before is not None
    assert (before.failures, before.tries) == (14, 1)


def test_what_a_receiver_asks_for_is_never_undercut() -> None:
    """Retry-After holds for the same message and for any other; a day is the most."""
    told = failed(None, "m", "it answers 429", NOW, 0.0, PATIENCE, asked_seconds=120)
    assert told.next_at("m") == told.next_at("another") == NOW + timedelta(seconds=120)
    greedy = failed(None, "m", "it answers 429", NOW, 0.0, PATIENCE, asked_seconds=1e9)
    assert greedy.next_at("another") == NOW + timedelta(days=1)


def test_who_has_failed_for_the_set_time_is_set_aside_and_probed_slowly() -> None:
    """Whatever changes meanwhile; and since when stays as it was."""
    patience = Patience(set_aside_after=timedelta(minutes=30), probe_seconds=3600)
    first = failed(None, "m", "no answer", NOW, 0.0, patience)
    early = failed(first, "n", "no answer", NOW + timedelta(minutes=29), 0.0, patience)
    assert early.set_aside_at is None
    late = NOW + timedelta(minutes=30)
    aside = failed(early, "o", "no answer", late, 0.0, patience)
    assert (aside.since, aside.set_aside_at) == (NOW, late)
    assert aside.next_at("o") == aside.next_at("another") == late + timedelta(hours=1)
    later = late + timedelta(hours=1)
    still = failed(aside, "p", "no answer", later, 0.0, patience)
    assert still.set_aside_at == late
    assert still.next_at("p") == later + timedelta(hours=1)


def test_who_wants_no_more_is_set_aside_at_once() -> None:
    """410."""
    assert failed(None, "m", "it answers 410", NOW, 0.0, PATIENCE, gone=True).set_aside_at == NOW


def test_a_receiver_that_asks_for_its_numbers_is_tried_at_once() -> None:
    """But not sooner than the schedule's first wait after the last try, whoever asks, however often."""
    failing = run("m", 4)[3]
    tried_at = failing.tried_at
    later = tried_at + timedelta(minutes=7)
    assert heard(failing, later).next_at("m") == later
    soon = heard(failing, tried_at + timedelta(seconds=1))
    assert soon.next_at("m") == tried_at + timedelta(seconds=5)
    assert soon.next_at("another") <= tried_at + timedelta(seconds=5)
    assert heard(soon, tried_at + timedelta(seconds=2)) == soon
    assert (soon.since, soon.failures) == (failing.since, failing.failures)


def test_the_same_payload_has_the_same_id_and_any_other_another() -> None:
    """By channel, SKU, location, number and sequence number."""
    rows = [("BAG", "online", 3, 17), ("SCARF", "online", 0, 18)]
    same = message_id("boutique", list(rows))
    assert same == message_id("boutique", rows)
    others = {
        message_id("outlet", rows),
        message_id("boutique", rows[:1]),
        message_id("boutique", [("BAG", "online", 2, 17), rows[1]]),
        message_id("boutique", [("BAG", "online", 3, 19), rows[1]]),
        message_id("boutique", [("BAG", "shop", 3, 17), rows[1]]),
    }
    assert len(others | {same}) == 6


def test_sequence_numbers_rise_within_a_store_and_over_a_lost_one() -> None:
    """By one at least; and a new store, later, goes on above the old one."""
    first = next_sequence(0, NOW)
    second = next_sequence(first, NOW)
    assert second == first + 1
    assert next_sequence(second, NOW - timedelta(days=1)) == second + 1
    assert next_sequence(0, NOW + timedelta(seconds=1)) > second
    assert second < 2**53  # so that JavaScript reads it exactly
