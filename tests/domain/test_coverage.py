"""Did we miss anything last night? The arithmetic behind the answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.coverage import (
    JOINED,
    Closes,
    How,
    Interval,
    Progress,
    answer,
    asked_since,
    known_until,
    lasting,
    less,
    merged,
    remedy,
    so_far,
    then,
    unknown,
)

BEFORE, BEGAN = timedelta(minutes=-5), timedelta(0)
MORNING = datetime.fromisoformat("2026-11-24T07:30")  # by the clock on the wall
EVENING = datetime(2026, 11, 23, 18, 0, tzinfo=UTC)


def at(hour: float) -> datetime:
    """Hours after the evening began."""
    return EVENING + timedelta(hours=hour)


def interval(since: float, until: float, how: How) -> Interval:
    return Interval("stock", at(since), at(until), how)


@pytest.mark.parametrize(
    ("intervals", "left"),
    [
        ([interval(0, 12, How.LIVE)], []),
        ([], [(0, 12)]),
        ([interval(0, 3, How.LIVE), interval(3, 12, How.LIVE)], []),
        # Away from three to five: what the stream replays afterwards is observed late.
        ([interval(0, 3, How.LIVE), interval(5, 12, How.LIVE)], [(3, 5)]),
        ([interval(0, 3, How.LIVE), interval(3, 5, How.REPLAYED), interval(5, 12, How.LIVE)], []),
        # A poll of four to five covers only that.
        ([interval(0, 3, How.LIVE), interval(4, 5, How.POLLED), interval(5, 12, How.LIVE)], [(3, 4)]),
        # An open hole is not known although the stream was alive; read again, it is.
        ([interval(0, 12, How.LIVE), interval(2, 12, How.OPEN)], [(2, 12)]),
        ([interval(0, 12, How.LIVE), interval(2, 4, How.REREAD)], []),
        ([interval(0, 3, How.LIVE), interval(2.5, 6, How.REREAD), interval(5, 12, How.LIVE)], []),
        # A poll after a hole began makes up for the part that it read.
        ([interval(0, 12, How.LIVE), interval(2, 12, How.OPEN), interval(2, 9, How.POLLED)], [(9, 12)]),
    ],
)
def test_what_nobody_observed_or_read_again_is_not_known(
    intervals: list[Interval], left: list[tuple[float, float]]
) -> None:
    """From six in the evening to six in the morning."""
    assert unknown((at(0), at(12)), intervals) == [(at(since), at(until)) for since, until in left]


def test_the_answer_is_a_sentence() -> None:
    """One for a quiet night, one for a night with breaks, one for what is not known."""
    window = (at(0), at(12))
    quiet = answer("stock", window, [interval(0, 12, How.LIVE), Interval("till", at(0), at(1), How.OPEN)])
    assert (quiet.missed, quiet.sentence) == (
        False,
        "nothing was missed: the stream was observed all the time",
    )
    broken = [interval(0, 3, How.LIVE), interval(3, 5, How.REPLAYED), interval(5, 12, How.LIVE)]
    once = answer("stock", window, broken)
    assert (once.missed, once.sentence) == (
        False,
        "nothing was missed: the stream broke once, and all of it was made up for",
    )
    assert [each.how for each in once.breaks] == [How.REPLAYED]
    polled = answer("stock", window, [*broken, interval(3, 4, How.POLLED), interval(8, 9, How.REREAD)])
    assert polled.sentence == "nothing was missed: the stream broke 2 times, and all of it was made up for"
    at_once = answer("stock", window, [interval(0, 12, How.LIVE), interval(5, 5, How.REPLAYED)])
    assert at_once.sentence == once.sentence, "a cut that took no time is one all the same"
    lost = answer("stock", window, broken[:2])
    assert (lost.missed, lost.sentence) == (True, "7 hours are not known yet")


def test_a_stream_that_was_joined_for_the_first_time_did_not_break() -> None:
    """On the first morning nobody is told of a break that there never was; a real one is counted alone."""
    joined = Interval("stock", at(3), at(4), How.REREAD, JOINED)
    first = [joined, interval(3.5, 12, How.LIVE)]
    assert answer("stock", (at(3), at(12)), first).sentence == (
        "nothing was missed: the stream was joined, and what moved just before was read again"
    )
    broken = [joined, interval(3.5, 6, How.LIVE), interval(6, 7, How.REPLAYED), interval(7, 12, How.LIVE)]
    once = answer("stock", (at(3), at(12)), broken)
    assert once.sentence == "nothing was missed: the stream broke once, and all of it was made up for"
    assert joined in once.breaks, "what was read again is listed all the same"


@pytest.mark.parametrize(
    ("open_since", "words"),
    [
        (None, "nothing was missed: the stream broke once, and all of it was made up for"),
        (13, "nothing was missed: the stream broke once, and all of it was made up for"),
        (11, "nothing was missed: the stream broke once, and all of it was made up for"),
        (4, "nothing was missed: the stream was observed all the time"),
        (-1, ""),
    ],
)
def test_while_a_stream_is_down_its_status_speaks_only_of_the_time_before(
    open_since: float | None, words: str
) -> None:
    """The page says that the tills cannot be heard; it must not say beside it that nothing was missed."""
    told = [interval(0, 4, How.LIVE), interval(4, 5, How.REPLAYED), interval(5, 12, How.LIVE)]
    if open_since is None:
        assert so_far("stock", (at(0), at(12)), told) == words
        return
    told.append(interval(open_since, 14, How.OPEN))
    said = so_far("stock", (at(0), at(12)), told)
    when = f"{at(min(open_since, 12)):%H:%M:%S} UTC"
    assert said == (f"up to {when} {words}" if words else f"nothing since {when} is known yet")


@pytest.mark.parametrize(
    ("seconds", "words"), [(1, "1 second"), (119, "119 seconds"), (7200, "2 hours"), (200_000, "2 days")]
)
def test_a_duration_is_told_in_its_largest_sensible_unit(seconds: float, words: str) -> None:
    """For the sentence."""
    assert lasting(seconds) == words


@pytest.mark.parametrize(
    ("words", "moment"),
    [
        ("90m", "2026-11-24T06:00"),
        ("12h", "2026-11-23T19:30"),
        ("2 d", "2026-11-22T07:30"),
        ("last night", "2026-11-23T18:00"),
        (" Last  Night ", "2026-11-23T18:00"),
        ("yesterday", "2026-11-23T00:00"),
        ("today", "2026-11-24T00:00"),
        ("2026-11-23T22:15", "2026-11-23T22:15"),
        ("2026-11-23", "2026-11-23T00:00"),
        ("2026-11-23T22:15+04:00", "2026-11-23T22:15+04:00"),
    ],
)
def test_a_person_says_since_when_as_people_do(words: str, moment: str) -> None:
    """Asked at half past seven in the morning, by the clock on the wall."""
    assert asked_since(words, MORNING) == datetime.fromisoformat(moment)


@pytest.mark.parametrize("words", ["", "long ago", "12", "12 hours", "-3h", "99999h", "2026-13-01", "12:00"])
def test_what_names_no_moment_is_told_with_what_is_accepted(words: str) -> None:
    """So that the second try succeeds."""
    with pytest.raises(
        ValueError, match="names no moment; give 90m, 12h, 2d, today, yesterday, 'last night'"
    ):
        asked_since(words, MORNING)


Batch = tuple[int, bool, int, timedelta | None]  # minute, joined, events, commit after the stream was joined
SIGN, KEEP_ALIVE = (0, True, 0, None), (2, False, 0, None)


@pytest.mark.parametrize(
    ("from_now", "batches", "caught_up", "reached"),
    [
        # That it is there proves nothing: the first sign may come before what is to be sent.
        (False, [SIGN], False, None),
        (False, [SIGN, KEEP_ALIVE], True, None),
        # Five minutes behind, then two: known up to there, and no further.
        (False, [SIGN, (0, False, 3, timedelta(minutes=-5))], False, timedelta(minutes=-5)),
        (False, [(0, False, 3, timedelta(minutes=-5))], False, timedelta(minutes=-5)),
        (
            False,
            [SIGN, (0, False, 3, BEFORE), (1, False, 2, timedelta(minutes=-2))],
            False,
            timedelta(minutes=-2),
        ),
        # An older commit that comes late takes nothing back.
        (False, [SIGN, (0, False, 3, BEFORE), (1, False, 1, timedelta(minutes=-9))], False, BEFORE),
        # Nothing more to send; or a commit of after the joining: what came before is through.
        (False, [SIGN, (0, False, 3, BEFORE), KEEP_ALIVE], True, BEFORE),
        (False, [SIGN, (1, False, 1, timedelta(minutes=1))], True, timedelta(minutes=1)),
        (False, [(0, False, 1, BEGAN)], True, BEGAN),
        # An event that cannot be read tells no time.
        (False, [SIGN, (1, False, 1, None)], False, None),
        # Joined from now on, nothing is to be carried again.
        (True, [SIGN], True, None),
        (True, [(0, False, 1, BEFORE)], True, BEFORE),
        # The session was lost and joined again, unseen: what came meanwhile is pending.
        (True, [SIGN, KEEP_ALIVE, (9, True, 0, None)], False, None),
        (
            True,
            [SIGN, KEEP_ALIVE, (9, True, 0, None), (9, False, 1, timedelta(minutes=8))],
            False,
            timedelta(minutes=8),
        ),
        (False, [SIGN, KEEP_ALIVE, (9, True, 0, None), (11, False, 0, None)], True, None),
        # Once through it stays so, however late an event was.
        (False, [SIGN, KEEP_ALIVE, (3, False, 1, BEFORE)], True, BEFORE),
    ],
)
def test_a_replay_is_through_only_when_nothing_can_be_pending(
    from_now: bool, batches: list[Batch], caught_up: bool, reached: timedelta | None
) -> None:
    """Joined at six in the evening; minutes since then."""
    progress = Progress(from_now)
    for minute, joined, events, commit in batches:
        progress = progress.after(
            joined=joined,
            events=events,
            committed_at=None if commit is None else EVENING + commit,
            now=at(minute / 60),
        )
    assert progress.caught_up is caught_up
    assert progress.reached == (None if reached is None else EVENING + reached)
    assert progress.events == sum(batch[2] for batch in batches)


def test_a_hole_tells_all_that_went_wrong_each_once() -> None:
    """Cut in the evening, permission gone when it came back: the second is what a person has to mend."""
    both = then("the stream was cut", "permission lost")
    assert both == "the stream was cut; then: permission lost"
    assert then(both, "permission lost") == both == then(both, "")
    assert then("", "silent  \n for 9 s") == "silent for 9 s"
    refused = "no permission (request 5186ee32)"
    assert then(refused, "no permission (request 8f7d9b78)") == refused
    assert then("a" * 390, "silent for a long time") == "a" * 390


@pytest.mark.parametrize(
    ("closes", "posts", "away", "words"),
    [
        (Closes.READING, False, False, "a reading of all that moved since"),
        (
            Closes.READING,
            False,
            True,
            "the stream's next sign of life, then a reading of all that moved since",
        ),
        (Closes.REPLAY, False, False, "the stream's replay or a reading of all that moved since"),
        (
            Closes.REPLAY,
            False,
            True,
            "the stream's return, then its replay or a reading of all that moved since",
        ),
        (Closes.REPLAY, True, False, "the end of the stream's replay"),
        (Closes.REPLAY, True, True, "the stream's return, then the end of its replay"),
    ],
)
def test_what_closes_a_hole_is_told(closes: Closes, posts: bool, away: bool, words: str) -> None:
    """A till's receipts stand in no record that could be read again."""
    assert remedy(closes, posts=posts, away=away) == words


spans = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), max_size=8)


@given(spans, spans)
def test_the_arithmetic_is_that_of_single_minutes(
    first: list[tuple[int, int]], second: list[tuple[int, int]]
) -> None:
    """Counted minute by minute, the long way round."""

    def minutes(of: list[tuple[int, int]]) -> set[int]:
        return {minute for since, until in of for minute in range(since, until)}

    def moments(of: list[tuple[int, int]]) -> list[tuple[datetime, datetime]]:
        return [(at(since / 60), at(until / 60)) for since, until in of]

    left = less(moments(first), moments(second))
    assert left == merged(left)
    counted = {minute for minute in range(40) for since, until in left if since <= at(minute / 60) < until}
    assert counted == minutes(first) - minutes(second)


@pytest.mark.parametrize(
    ("away", "told", "unread", "replayed", "expected"),
    [
        (False, 3, [], [], 10),  # there, and nothing is open
        (True, 3, [], [], 3),
        (True, None, [], [], None),  # never heard
        (False, 3, [5, 7], [], 5),  # it named what is not read yet
        (False, 3, [], [2], 3),  # its replay is no further than a poll has been
        (False, 3, [], [6], 6),
        (False, None, [], [6], 6),
        (False, 9, [4], [6], 4),
    ],
)
def test_how_far_our_knowledge_reaches(
    away: bool, told: int | None, unread: list[int], replayed: list[int], expected: int | None
) -> None:
    """At minute ten: up to now while the stream is there and nothing is open, else up to what is certain."""

    def at(minute: int) -> datetime:
        return datetime(2026, 11, 1, 12, minute, tzinfo=UTC)

    found = known_until(
        at(10),
        away=away,
        told=None if told is None else at(told),
        unread=map(at, unread),
        replayed=map(at, replayed),
    )
    assert found == (None if expected is None else at(expected))


@pytest.mark.parametrize(
    ("intervals", "since", "missed", "said"),
    [
        # A quiet stream: up to its last sign of life nothing was missed, and the rest is said.
        ([interval(0, 11.9, How.LIVE)], 0, False, "not yet known: since 05:54:00 UTC"),
        # Asked for no more than that rest, nobody can say that nothing was missed.
        ([interval(0, 11.9, How.LIVE)], 11.95, True, "nothing of this time is known yet"),
        # A hole counts at once, however young.
        ([interval(0, 12, How.LIVE), interval(11.95, 12, How.OPEN)], 0, True, "are not known yet"),
        # While polls stand in for a stream that is away, what is newer than the last is not known yet.
        (
            [interval(0, 5, How.LIVE), interval(5, 12, How.OPEN), interval(5, 11.9, How.POLLED)],
            0,
            False,
            "not yet known: since 05:54:00 UTC",
        ),
        # What lasts longer than a quiet stream's patience is no rest.
        ([interval(0, 11, How.LIVE)], 0, True, "60 minutes are not known yet"),
    ],
)
def test_what_is_not_yet_known_is_said_and_a_hole_in_it_counts(
    intervals: list[Interval], since: float, missed: bool, said: str
) -> None:
    """At six in the morning, with a patience of ten minutes."""
    told = answer("stock", (at(since), at(12)), intervals, timedelta(minutes=10))
    assert (told.missed, said in told.sentence) == (missed, True)
