"""Group commit: what goes into a request, and what its answer means. Every story of the small print, B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sfsync.domain.ledger import (
    NOT_READ,
    REQUEST_GROUPS,
    REQUEST_ROWS,
    Alike,
    Answer,
    Bundle,
    Judgement,
    Request,
    RowAnswer,
    RowResult,
    Verdict,
    judge,
    judge_checked,
    judge_void,
    next_request,
    shortage,
    unfit,
)
from sfsync.domain.ledger import entered as entered_keys
from sfsync.domain.letters import REUSED
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
BAG, SCARF, BELT = (LevelKey(sku, "ECOM") for sku in ("BAG", "SCARF", "BELT"))
LEVELS = (BAG, SCARF, BELT)


def move(number: int, level: LevelKey = BAG, *, on_hand: int = 0, reserved: int = 0) -> Movement:
    kind = MovementKind.ORDER if reserved > 0 else MovementKind.RELEASE if reserved else MovementKind.SALE
    subject = f"order:london:{number}:1"
    return Movement(f"{subject}:0", subject, level, kind, on_hand, reserved, "", "", NOW)


def ask(number: int, units: int = 1, level: LevelKey = BAG, **state: int | bool) -> Bundle:
    return replace(Bundle(number, (move(number, level, reserved=units),), number), **state)  # type: ignore[arg-type]  # flags by name


def post(number: int, level: LevelKey = BAG, *, on_hand: int = -1, reserved: int = 0) -> Bundle:
    return Bundle(number, (move(number, level, on_hand=on_hand, reserved=reserved),), number)


def group(number: int, *parts: Movement) -> Bundle:
    return Bundle(number, tuple(replace(m, key=f"{m.key}/{i}") for i, m in enumerate(parts)), number)


def stock(**available: int) -> dict[LevelKey, StockLevel]:
    return {key: StockLevel(key, available[key.sku], 0, 1, key.sku) for key in LEVELS if key.sku in available}


def numbers(bundles: tuple[Bundle, ...]) -> list[int]:
    return [bundle.id for bundle in bundles]


def plan(*waiting: Bundle, busy: frozenset[LevelKey] = frozenset(), **available: int) -> Request:
    request = next_request(waiting, stock(**available), busy)
    assert request is not None
    return request


# -- what goes into a request ------------------------------------------------------------------------


def test_a_posting_goes_before_a_reservation_of_its_level_and_never_with_it() -> None:
    """A release and a new reservation together would net out and pass the org's rule unseen."""
    request = plan(ask(1), post(2, on_hand=0, reserved=-1), post(3), BAG=5)
    assert numbers(request.sent) == [2, 3]


def test_levels_do_not_wait_for_one_another() -> None:
    """A posting of the scarf keeps nobody from asking for the bag."""
    request = plan(ask(1), post(2, SCARF), BAG=1, SCARF=1)
    assert sorted(numbers(request.sent)) == [1, 2]


def test_a_level_in_flight_is_left_alone() -> None:
    """One request in flight per level; the next takes what arrived meanwhile."""
    assert numbers(plan(ask(1), ask(2, level=SCARF), busy=frozenset({BAG}), SCARF=1).sent) == [2]
    assert next_request([ask(1)], stock(BAG=1), frozenset({BAG})) is None
    assert next_request([], {}, frozenset()) is None


def test_reservations_fill_only_what_is_there_first_come_first_served() -> None:
    """Three units: the first two asks fit, the third is left to the level read back, a small one fits."""
    request = plan(ask(4, 1), ask(1, 1), ask(2, 1), ask(3, 2), BAG=3)
    assert (numbers(request.singles), numbers(request.checked)) == ([1, 2, 4], [3])
    assert request.levels == {BAG}


def test_what_may_have_been_sent_is_sent_again_even_when_it_does_not_fit() -> None:
    """Its first attempt may have lowered the very number it is measured by."""
    request = plan(ask(1, maybe_sent=True), BAG=0)
    assert (numbers(request.sent), numbers(request.checked)) == ([1], [])


def test_a_level_we_do_not_know_is_asked_for_and_read_not_guessed() -> None:
    """Without a number nothing fits, so the org's reading decides."""
    assert numbers(plan(ask(1)).checked) == [1]


def test_groups_are_all_or_none_and_few() -> None:
    """Only so many collections fit into one composite; the others wait their turn."""
    groups = [group(n, move(n, reserved=1), move(n, SCARF, reserved=1)) for n in range(4)]
    request = plan(*groups, post(9, BELT), BAG=9, SCARF=9)
    assert len(request.groups) == REQUEST_GROUPS
    assert numbers(request.singles) == [9]


def test_units_changing_hands_are_no_ask() -> None:
    """A reservation becoming an order line nets to nothing: it goes first, and needs nothing available."""
    handed = group(1, move(1, reserved=-1), move(2, reserved=1))
    assert not handed.asks
    assert numbers(plan(handed, ask(3), BAG=0).sent) == [1]


def handed(number: int, level: LevelKey = BAG, **state: int | bool) -> Bundle:
    """A reservation that becomes an order line."""
    pair = group(number, move(number, level, reserved=-1), move(number, level, reserved=1))
    return replace(pair, **state)  # type: ignore[arg-type]  # flags by name


def test_many_units_that_change_hands_share_one_collection() -> None:
    """Five hundred orders out of one allocation would else need a call for every two of them."""
    request = plan(*(handed(n) for n in range(60)), group(99, move(99, SCARF, on_hand=-1), move(98, BELT)))
    assert (len(request.handed), numbers(request.groups)) == (60, [99])
    assert len(request.sent) == 61


def test_one_that_was_kept_out_in_company_goes_by_itself() -> None:
    """Nobody knows whose units were missing, so it is asked of each alone."""
    request = plan(handed(1), handed(2, refusals=1), handed(3, SCARF, refusals=1), handed(4))
    assert (numbers(request.handed), numbers(request.groups)) == ([1, 4], [3])


@pytest.mark.parametrize(
    ("rows", "hands_over"),
    [
        ((move(1, reserved=-1), move(2, reserved=1)), True),
        ((move(1, reserved=-1), move(2, reserved=2)), False),  # asks for one more
        ((move(1, reserved=-1), move(2, SCARF, reserved=1)), False),  # is asked of another level
        ((move(1, on_hand=-1, reserved=-1), move(2, reserved=1)), False),  # goods leave
        ((move(1), move(2)), False),  # void rows
    ],
)
def test_what_changes_hands_and_what_does_not(rows: tuple[Movement, ...], hands_over: bool) -> None:
    """Only what moves no number of any level."""
    assert group(1, *rows).hands_over is hands_over


def test_a_request_has_room_for_two_hundred_rows() -> None:
    """That is what one collections call takes."""
    assert len(plan(*(post(n) for n in range(300))).sent) == REQUEST_ROWS


bundles = st.lists(
    st.builds(
        lambda level, reserved, on_hand, pair, sent: (level, reserved, on_hand, pair, sent),
        st.sampled_from(LEVELS),
        st.integers(-3, 3),
        st.integers(-2, 2),
        st.booleans(),
        st.booleans(),
    ),
    max_size=25,
)


def made(drawn: list[tuple[LevelKey, int, int, bool, bool]]) -> list[Bundle]:
    found = []
    for number, (level, reserved, on_hand, pair, sent) in enumerate(drawn):
        rows = [move(number, level, on_hand=on_hand, reserved=reserved)]
        if pair:
            rows.append(move(number, LEVELS[(LEVELS.index(level) + 1) % 3], reserved=abs(reserved)))
        found.append(replace(group(number, *rows), maybe_sent=sent))
    return found


@given(
    bundles,
    st.fixed_dictionaries({}, optional={"BAG": st.integers(-2, 5), "SCARF": st.integers(-2, 5)}),
    st.frozensets(st.sampled_from(LEVELS)),
    st.integers(1, 12),
)
def test_every_request_keeps_the_rules(
    drawn: list[tuple[LevelKey, int, int, bool, bool]],
    available: dict[str, int],
    busy: frozenset[LevelKey],
    limit: int,
) -> None:
    """Whatever waits: one kind per level, only what fits, no busy level, no more than the call takes."""
    waiting, levels = made(drawn), stock(**available)
    request = next_request(waiting, levels, busy, limit=limit)
    free = [
        b for b in waiting if not b.levels & busy and len(b.movements) <= limit and len(b.levels) <= limit
    ]
    assert (request is not None) == bool(free)  # whatever may go does not wait for nothing
    if request is None:
        return
    assert not request.levels & busy
    assert request.levels == frozenset().union(*(b.levels for b in (*request.sent, *request.checked)))
    assert sum(len(b.movements) for b in request.sent) <= limit
    assert len(request.groups) + bool(request.handed) <= REQUEST_GROUPS
    assert len({b.id for b in (*request.sent, *request.checked)}) == len(request.sent) + len(request.checked)
    for level in request.levels:
        here = [b for b in request.sent if level in b.levels]
        assert len({b.asks for b in here}) <= 1  # postings or reservations, never both
        new = [b for b in here if b.asks and not b.maybe_sent]
        wanted = sum(max(0, b.net_reserved(level) - b.brings(level)) for b in new)
        assert wanted <= max(0, levels[level].available if level in levels else 0)
    waiting_posts = {b.id for b in free if not b.asks} - {b.id for b in request.sent}
    assert not waiting_posts or len(request.sent) > 0


@given(st.lists(st.integers(1, 3), min_size=1, max_size=20), st.integers(0, 12))
def test_the_last_ones_go_to_whoever_asked_first(wants: list[int], available: int) -> None:
    """Nobody who fits is passed over for somebody who asked later."""
    request = plan(*(ask(number, units) for number, units in enumerate(wants)), BAG=available)
    left, first_served = available, []
    for number, units in enumerate(wants):
        if units <= left:
            first_served.append(number)
            left -= units
    assert numbers(request.sent) == first_served


def test_one_refused_in_company_is_heard_by_itself() -> None:
    """The org may blame all reservations of a level for one: whoever was refused so has the level alone."""
    greedy, refused = ask(1, 5, maybe_sent=True), ask(2, refusals=1)
    assert numbers(plan(greedy, refused, BAG=2).sent) == [1]
    assert numbers(plan(refused, ask(3), ask(4, level=SCARF), BAG=2, SCARF=1).sent) == [2, 4]


# -- what its answer means ---------------------------------------------------------------------------


def answered(
    bundle: Bundle,
    *results: RowResult,
    rows: tuple[Movement, ...] = (),
    available: int = 9,
    message: str = "words",
) -> Answer:
    told = {m.key: RowAnswer(result, message) for m, result in zip(bundle.movements, results, strict=True)}
    return Answer(told, stock(BAG=available, SCARF=9), {row.key: row for row in rows})


ONE = ask(1)
CART = group(1, replace(move(1, reserved=1), subject="reservation:1:0"))
COUNTED = group(1, replace(move(1, on_hand=-1), kind=MovementKind.COUNT))
ROW = ONE.movements[0]
R = RowResult


ALREADY = "its idempotency key stands in the ledger with other content"
TWIN = "its key is being entered by another request"
NONE_LEFT = "1 wanted of BAG|ECOM, 0 available"


@pytest.mark.parametrize(
    ("bundle", "result", "rows", "available", "verdict", "reason"),
    [
        (ONE, R.CREATED, (ROW,), 0, Verdict.DONE, ""),
        (ONE, R.CREATED, (), 0, Verdict.DONE, ""),  # the read-back was cut short
        (ONE, R.DUPLICATE, (ROW,), 0, Verdict.DONE, ""),  # our own earlier attempt
        (ONE, R.LATER, (ROW,), 0, Verdict.DONE, ""),  # told as failed, and there all the same
        (ONE, R.DUPLICATE, (), 0, Verdict.LATER, TWIN),  # the twin may yet roll back: not a proof
        (ONE, R.DUPLICATE, (replace(ROW, reserved_delta=2),), 0, Verdict.CONFLICT, ALREADY),
        (ONE, R.DUPLICATE, (replace(ROW, level=SCARF),), 0, Verdict.CONFLICT, ALREADY),
        (ONE, R.DUPLICATE, (ROW.void(),), 0, Verdict.REFUSED, "not available"),  # voided before a restart
        (ONE, R.LATER, (), 0, Verdict.LATER, "words"),
        (ONE, R.ROLLED_BACK, (), 9, Verdict.LATER, "another row of its collection kept it out"),
        (ONE, R.WRONG, (), 9, Verdict.STANDS, "words"),  # an order was accepted, whatever the org says
        (ONE, R.CLOSED, (), 9, Verdict.LATER, "words"),  # the org is full: no fault of the order's
        (CART, R.WRONG, (), 9, Verdict.WRONG, "words"),  # nobody was promised anything
        (post(1), R.WRONG, (), 9, Verdict.STANDS, "words"),  # it has left
        (COUNTED, R.WRONG, (), 9, Verdict.WRONG, "words"),  # it is counted again
        (ONE, R.INSUFFICIENT, (), 0, Verdict.REFUSED, NONE_LEFT),
        (ONE, R.INSUFFICIENT, (), 1, Verdict.AGAIN, "words"),  # the level read back could cover it
        (replace(ONE, refusals=1), R.INSUFFICIENT, (), 1, Verdict.AGAIN, "words"),
        (replace(ONE, refusals=2), R.INSUFFICIENT, (), 1, Verdict.REFUSED, "words"),
        (replace(ONE, refusals=2), R.INSUFFICIENT, (), 0, Verdict.REFUSED, NONE_LEFT),
        (replace(ONE, maybe_sent=True), R.INSUFFICIENT, (), 0, Verdict.VOID_FIRST, NONE_LEFT),
        (replace(ONE, maybe_sent=True, refusals=2), R.INSUFFICIENT, (), 1, Verdict.VOID_FIRST, "words"),
        # Only the fallback rule refuses a posting.
        (post(1), R.INSUFFICIENT, (), 9, Verdict.UNCOVERS, "words"),
    ],
)
def test_what_an_answer_means(
    bundle: Bundle,
    result: RowResult,
    rows: tuple[Movement, ...],
    available: int,
    verdict: Verdict,
    reason: str,
) -> None:
    """One row sent, one answer, the level and the row read after it; and what a person would be told."""
    judgement = judge(bundle, answered(bundle, result, rows=rows, available=available))
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_a_refusal_says_how_many_there_are() -> None:
    """The reason is fit for the person who asked."""
    judgement = judge(ask(1, 3), answered(ask(1, 3), R.INSUFFICIENT, available=2))
    assert judgement.reason == "3 wanted of BAG|ECOM, 2 available"


PAIR = group(1, move(1, reserved=1), move(1, SCARF, reserved=1))


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        ((R.CREATED, R.CREATED), Verdict.DONE),
        ((R.ROLLED_BACK, R.INSUFFICIENT), Verdict.REFUSED),
        ((R.ROLLED_BACK, R.LATER), Verdict.LATER),
        ((R.WRONG, R.ROLLED_BACK), Verdict.STANDS),
        ((R.INSUFFICIENT, R.LATER), Verdict.LATER),  # nothing is final while one row may be tried again
        ((R.ROLLED_BACK, R.DUPLICATE), Verdict.LATER),
        ((R.ROLLED_BACK, R.ROLLED_BACK), Verdict.LATER),
    ],
)
def test_a_group_stands_or_falls_together(results: tuple[RowResult, ...], verdict: Verdict) -> None:
    """What one of its rows met decides for all."""
    assert judge(PAIR, answered(PAIR, *results, available=0)).verdict is verdict


@pytest.mark.parametrize(
    ("results", "verdict", "reason"),
    [
        # Another's row kept it out.
        ((R.ROLLED_BACK, R.ROLLED_BACK), Verdict.LATER, "another row of its collection kept it out"),
        # The fallback rule looks at all of them together.
        ((R.INSUFFICIENT, R.INSUFFICIENT), Verdict.AGAIN, "words"),
        ((R.WRONG, R.ROLLED_BACK), Verdict.STANDS, "words"),
    ],
)
def test_in_company_only_ones_own_row_can_be_wrong(
    results: tuple[RowResult, ...], verdict: Verdict, reason: str
) -> None:
    """What shares a collection is rolled back with the others, and blamed for nothing of theirs."""
    judgement = judge(handed(1), answered(handed(1), *results), in_company=True)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


SOLD = group(1, move(1, on_hand=-1), move(2, reserved=-1))
GIVES_WAY = replace(SOLD, companions=1)
SALE, GONE = GIVES_WAY.movements


@pytest.mark.parametrize(
    ("results", "rows", "verdict", "reason", "entered"),
    [
        ((R.CREATED, R.CREATED), (SALE, GONE), Verdict.DONE, "", 2),
        ((R.CREATED, R.CREATED), (), Verdict.DONE, "", 2),
        # The sale went in alone the first time, late; the promise was never released.
        ((R.DUPLICATE, R.ROLLED_BACK), (SALE,), Verdict.DONE, "", 1),
        # An earlier attempt of the same group had gone in.
        ((R.DUPLICATE, R.DUPLICATE), (SALE, GONE), Verdict.DONE, "", 2),
        # The order was cancelled while we wanted to release it: its step is taken.
        (
            (R.ROLLED_BACK, R.DUPLICATE),
            (replace(GONE, reserved_delta=-3),),
            Verdict.PLAN_ANEW,
            "order:london:2:1 has changed meanwhile",
            None,
        ),
        # ... but a twin that may yet roll back is no proof.
        (
            (R.ROLLED_BACK, R.DUPLICATE),
            (),
            Verdict.LATER,
            "another row of its collection kept it out",
            None,
        ),
        # The sale's own number stands for something else.
        ((R.DUPLICATE, R.ROLLED_BACK), (replace(SALE, on_hand_delta=-2),), Verdict.CONFLICT, ALREADY, None),
        ((R.INSUFFICIENT, R.INSUFFICIENT), (), Verdict.UNCOVERS, "words", None),  # one more must give way
        ((R.LATER, R.ROLLED_BACK), (), Verdict.LATER, "words", None),
        ((R.ROLLED_BACK, R.WRONG), (), Verdict.STANDS, "words", None),
        ((R.CLOSED, R.CLOSED), (), Verdict.LATER, "words", None),
    ],
)
def test_a_sale_that_promises_give_way_to_is_in_when_its_own_row_is(
    results: tuple[RowResult, ...],
    rows: tuple[Movement, ...],
    verdict: Verdict,
    reason: str,
    entered: int | None,
) -> None:
    """The releases along with it follow it, never the other way round."""
    answer = answered(GIVES_WAY, *results, rows=rows)
    judgement = judge(GIVES_WAY, answer)
    assert (judgement.verdict, judgement.reason) == (verdict, reason)
    if entered is not None:
        assert len(entered_keys(GIVES_WAY, answer)) == entered


def test_two_sales_under_one_identity_are_a_persons_business() -> None:
    """A till used its receipt number twice: the second sale is set aside, not taken for the first."""
    sale = Movement("posting:r1", "posting:r1", BAG, MovementKind.SALE, -1, 0, "", "", NOW)
    bundle = Bundle(1, (sale,), 1)
    other = replace(sale, on_hand_delta=-2)
    judgement = judge(bundle, answered(bundle, R.DUPLICATE, rows=(other,)))
    assert (judgement.verdict, judgement.reason) == (Verdict.WRONG, REUSED)


def test_what_fits_into_no_request_is_said_and_does_not_wait_for_ever() -> None:
    """Two hundred rows are the most that can happen together."""
    assert unfit(group(1, *(move(n) for n in range(REQUEST_ROWS)))) is None
    assert "201 movements" in (unfit(group(1, *(move(n) for n in range(REQUEST_ROWS + 1)))) or "")


def test_long_keys_do_not_keep_a_group_out_for_ever() -> None:
    """Their read-back is cut; the group goes alone rather than never."""
    rows = [replace(move(n), key=f"{n}" + "k" * 240) for n in range(60)]
    assert plan(group(1, *rows), BAG=1).sent


def test_groups_of_postings_leave_a_place_to_a_reservation_that_asked_before() -> None:
    """A reservation of two pieces is not starved by transfers that come and come."""
    asked = group(1, move(1, SCARF, reserved=1), move(1, BELT, reserved=1))
    transfers = [
        group(number, move(number, BAG, on_hand=-1), move(number + 10, BAG, on_hand=1))
        for number in (2, 3, 4)
    ]
    assert 1 in numbers(plan(asked, *transfers, BAG=9, SCARF=1, BELT=1).sent)


def test_half_a_group_in_the_ledger_is_not_done() -> None:
    """One row found and the other not: the group did not happen as we sent it, or not yet."""
    half = answered(PAIR, R.DUPLICATE, R.ROLLED_BACK, rows=PAIR.movements[:1])
    assert judge(PAIR, half).verdict is not Verdict.DONE


@pytest.mark.parametrize(
    ("bundle", "available", "verdict", "reason"),
    [
        (ONE, 1, Verdict.AGAIN, ""),  # there is one after all: now send it
        (ONE, 0, Verdict.REFUSED, NONE_LEFT),
        (replace(ONE, maybe_sent=True), 0, Verdict.VOID_FIRST, NONE_LEFT),
    ],
)
def test_what_did_not_fit_is_judged_by_the_level_read_after_it_was_asked(
    bundle: Bundle, available: int, verdict: Verdict, reason: str
) -> None:
    """Not by our memory of the level."""
    judgement = judge_checked(bundle, stock(BAG=available))
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


def test_without_a_reading_nobody_is_refused() -> None:
    """The read-back failed: nothing is known of the level, so it is asked again, not refused."""
    nothing = Answer({ROW.key: RowAnswer(R.INSUFFICIENT)}, {}, {})
    for judgement in (judge_checked(ONE, {}), judge(ONE, nothing)):
        assert (judgement.verdict, judgement.reason) == (Verdict.LATER, NOT_READ)


VOID = ROW.void()


@pytest.mark.parametrize(
    ("result", "rows", "verdict", "reason"),
    [
        (R.CREATED, (VOID,), Verdict.REFUSED, "not available"),
        (R.CREATED, (), Verdict.REFUSED, "not available"),
        (R.DUPLICATE, (VOID,), Verdict.REFUSED, "not available"),  # our void of before
        (R.DUPLICATE, (ROW,), Verdict.DONE, ""),  # it had been granted after all
        (R.DUPLICATE, (replace(ROW, reserved_delta=5),), Verdict.CONFLICT, ALREADY),
        (R.DUPLICATE, (), Verdict.LATER, "the void row is not to be seen yet"),
        (R.LATER, (), Verdict.LATER, "the void row is not to be seen yet"),
    ],
)
def test_what_the_answer_to_a_void_row_means(
    result: RowResult, rows: tuple[Movement, ...], verdict: Verdict, reason: str
) -> None:
    """Refused only when the void row holds the key; granted when the first attempt holds it."""
    sent = replace(ONE, movements=(VOID,))
    judgement = judge_void(sent.movements, ONE, answered(sent, result, rows=rows))
    assert (judgement.verdict, judgement.reason) == (verdict, reason)


# -- a small org, and the interleavings of it ----------------------------------------------------------


@given(st.lists(st.sampled_from(["sent", "lost request", "late request", "freed", "sold"]), max_size=8))
def test_an_asker_told_refused_holds_nothing_and_one_told_granted_holds_it_once(events: list[str]) -> None:
    """Attempts get lost, arrive late or twice while stock comes and goes: word and ledger agree."""
    ledger: dict[str, Movement] = {}
    on_hand, late = 1, []
    bundle, voiding = ONE, False

    def enter(row: Movement) -> RowResult:
        if row.key in ledger:
            return R.DUPLICATE
        if (
            row.reserved_delta > 0
            and sum(r.reserved_delta for r in ledger.values()) + row.reserved_delta > on_hand
        ):
            return R.INSUFFICIENT
        ledger[row.key] = row
        return R.CREATED

    verdict: Verdict | None = None
    for event in [*events, *["sent"] * 6]:
        row = VOID if voiding else ROW
        told = verdict in (Verdict.DONE, Verdict.REFUSED)
        if told and event.endswith("request"):
            continue  # nothing more is sent of what has its answer
        if event == "freed":
            on_hand += 1
        elif event == "sold":
            on_hand -= 1
        elif event == "lost request":
            bundle = replace(bundle, maybe_sent=True)
        elif event == "late request":
            late.append(row)
            bundle = replace(bundle, maybe_sent=True)
        elif not told:
            answer = _read_back(enter(row), ledger, on_hand)
            judged = judge_void((VOID,), bundle, answer) if voiding else judge(bundle, answer)
            verdict = judged.verdict
            voiding = voiding or verdict is Verdict.VOID_FIRST
            if verdict is Verdict.AGAIN:
                bundle = replace(bundle, refusals=bundle.refusals + 1)
        if event != "late request":
            for old in late:
                enter(old)
            late.clear()
    assert verdict in (Verdict.DONE, Verdict.REFUSED)
    assert sum(r.reserved_delta for r in ledger.values()) == (1 if verdict is Verdict.DONE else 0)


def _read_back(result: RowResult, ledger: Mapping[str, Movement], on_hand: int) -> Answer:
    level = StockLevel(BAG, on_hand, sum(r.reserved_delta for r in ledger.values()), 1, "BAG")
    return Answer({ROW.key: RowAnswer(result)}, {BAG: level}, dict(ledger))


@pytest.mark.parametrize(("second", "goes"), [(5988, [1, 2, 3]), (5989, [1, 2]), (6003, [1, 3])])
def test_the_keys_of_a_request_fit_into_the_query_that_reads_them_back(second: int, goes: list[int]) -> None:
    """12,000 characters and no more, each key with the twelve around it; a shorter one takes the place."""
    keyed = [
        Bundle(number, (replace(move(number, level, on_hand=-1), key="k" * length),), number)
        for number, level, length in ((1, BAG, 5988 - 14), (2, SCARF, second), (3, BELT, 2))
    ]
    assert numbers(plan(*keyed).singles) == goes


def test_what_is_short_is_found_behind_what_is_given_back() -> None:
    """From one place to another: the first level gives, the second has nothing, and never less than that."""
    moved = group(1, move(1, BAG, reserved=-1), move(1, SCARF, reserved=1))
    assert shortage(moved, stock(BAG=0, SCARF=-2)) == f"1 wanted of {SCARF}, 0 available"
    assert shortage(moved, stock(BAG=0, SCARF=1)) is None


def refused(number: int, words: str = "words") -> tuple[Answer, dict[int, Judgement]]:
    """What the org says of one order's row that it does not take."""
    return answered(ONE, R.WRONG), {number: Judgement(Verdict.STANDS, words)}


TAKEN = answered(ONE, R.CREATED), {9: Judgement(Verdict.DONE)}
NOT_YET = answered(ONE, R.LATER), {9: Judgement(Verdict.LATER, "locked")}


@pytest.mark.parametrize(
    ("heard", "told"),
    [
        ([refused(1), refused(2)], ""),
        ([refused(1), refused(2), refused(3)], "words"),
        ([refused(1), refused(2), NOT_YET, refused(3)], "words"),
        ([refused(1), refused(1), refused(1)], ""),  # the same row, again and again
        ([refused(1), refused(2), TAKEN, refused(3)], ""),  # it takes others: these are at fault
        ([refused(1), refused(2), refused(3), TAKEN], ""),
        ([refused(1), refused(2), refused(3, "others")], ""),
        ([refused(1, "others"), refused(2), refused(3), refused(4)], "words"),
        ([(answered(ONE, R.CLOSED), {1: Judgement(Verdict.LATER, "full")})], "words"),
    ],
)
def test_what_every_row_meets_is_no_fault_of_a_row(
    heard: list[tuple[Answer, dict[int, Judgement]]], told: str
) -> None:
    """Three orders in a row that the org refuses with the same words: somebody has mended the org amiss."""
    alike = Alike()
    assert [alike.heard(*each) for each in heard][-1] == told
