"""Every statement of the store, once, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from operator import methodcaller

import pytest

from sfsync.domain.block import Draw
from sfsync.domain.budget import HourOfCalls
from sfsync.domain.exposure import Exposure
from sfsync.domain.ledger import Wish
from sfsync.domain.letters import REUSED, Cause
from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine
from sfsync.domain.products import Product
from sfsync.domain.reservations import (
    Reservation,
    ReservationKind,
    ReservationLine,
    ReservationState,
)
from sfsync.domain.rights import Sight
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.ports import ChannelItem, Held, LineState, PushRow
from sfsync.store import Database
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, 0, 250_000, tzinfo=UTC)
LATER = NOW + timedelta(seconds=90)
WEB, SHOP, SCARF = LevelKey("BAG-1", "ECOM"), LevelKey("BAG-1", "SHOP", "S/1"), LevelKey("SCARF", "ECOM")


async def test_a_store_belongs_to_one_org(store: Database) -> None:
    """Nothing before it is bound; afterwards the org's id and the moment."""
    assert await store.read(lambda tx: (tx.bound_org(), tx.first_start())) == (None, None)
    await store.write(lambda tx: tx.bind_org("00D000000000001AAA", NOW))
    assert await store.read(lambda tx: (tx.bound_org(), tx.first_start())) == ("00D000000000001AAA", NOW)


async def test_a_store_cannot_be_bound_twice(store: Database) -> None:
    """It is that org's for ever."""
    await store.write(lambda tx: tx.bind_org("00D000000000001AAA", NOW))
    with pytest.raises(Exception, match=r"(?i)unique"):
        await store.write(lambda tx: tx.bind_org("00D000000000002AAA", NOW))
    assert await store.read(lambda tx: tx.bound_org()) == "00D000000000001AAA"


async def test_a_bookmark_is_kept_whole_and_can_be_dropped(store: Database) -> None:
    """Eight opaque bytes and when they were good, per topic."""
    await store.write(lambda tx: tx.put_cursor("a", b"\x00\xff" * 4, NOW))
    await store.write(lambda tx: tx.put_cursor("a", b"\x01\xfe" * 4, LATER))
    await store.write(lambda tx: tx.put_cursor("b", b"", NOW))
    assert await store.read(lambda tx: (tx.cursor("a"), tx.cursor_at("a"))) == (b"\x01\xfe" * 4, LATER)
    assert await store.read(lambda tx: tx.cursor("b")) == b""
    await store.write(lambda tx: tx.drop_cursor("a"))
    assert await store.read(lambda tx: (tx.cursor("a"), tx.cursor_at("a"))) == (None, None)
    assert await store.read(lambda tx: tx.cursor("b")) == b""


async def test_the_calls_of_each_hour_are_kept_until_they_tell_nothing_any_more(store: Database) -> None:
    """An hour is replaced by what is known of it later; what the org allows is the newest word."""
    first, second, third = (HourOfCalls(NOW + timedelta(hours=n), 10 * n, None) for n in range(3))
    assert await store.read(lambda tx: tx.calls()) == ([], None)
    await store.write(lambda tx: tx.put_calls([first, second], 1_000, forget_before=first.hour))
    more = replace(second, ours=15, used=400)
    await store.write(lambda tx: tx.put_calls([more, third], 2_000, forget_before=second.hour))
    assert await store.read(lambda tx: tx.calls()) == ([more, third], 2_000)


async def test_holes_are_open_until_closed(store: Database) -> None:
    """Oldest first, each with its reason."""
    for source in ("a", "b"):
        await store.write(methodcaller("open_hole", source, NOW, f"why {source}", LATER))
    first, second = await store.read(lambda tx: tx.open_holes())
    assert (first.source, first.since, first.reason, first.opened_at) == ("a", NOW, "why a", LATER)
    await store.write(lambda tx: tx.close_hole(first.id, LATER))
    assert await store.read(lambda tx: tx.open_holes()) == [second]


async def test_levels_are_replaced_whole(store: Database) -> None:
    """All four numbers and the moment; found by key, by SKU, and as the list of SKUs."""
    one, other = StockLevel(WEB, 3, 1, 4, "a01"), StockLevel(SHOP, 1, 0, 1, "a02")
    scarf = StockLevel(SCARF, -1, 2, 7, "a03")
    await store.write(lambda tx: tx.put_levels([one, other, scarf], NOW))
    changed = StockLevel(WEB, 2, 2, 5, "a01")
    await store.write(lambda tx: tx.put_levels([changed], LATER))
    await store.write(lambda tx: tx.put_levels([], LATER))
    assert await store.read(lambda tx: tx.levels([WEB, SHOP, LevelKey("BAG-1", "SHOP")])) == {
        WEB: (changed, LATER),
        SHOP: (other, NOW),
    }
    assert {*await store.read(lambda tx: tx.levels_of(["BAG-1"]))} == {changed, other}
    assert await store.read(lambda tx: tx.levels_of([])) == []
    assert await store.read(lambda tx: tx.all_skus()) == ["BAG-1", "SCARF"]
    assert await store.read(lambda tx: tx.skus_at("ECOM")) == ["BAG-1", "SCARF"]
    assert await store.read(lambda tx: tx.skus_at("SHOP")) == ["BAG-1"]
    assert await store.read(lambda tx: tx.skus_at("NOWHERE")) == []


async def test_more_skus_than_one_statement_takes_are_found(store: Database) -> None:
    """Asked in slices."""
    levels = [StockLevel(LevelKey(f"S{n:05}", "ECOM"), n, 0, 1, f"id{n}") for n in range(6000)]
    await store.write(lambda tx: tx.put_levels(levels, NOW))
    found = await store.read(lambda tx: tx.levels([level.key for level in levels]))
    assert len(found) == 6000


async def test_the_inbox_takes_each_thing_once(store: Database) -> None:
    """The same key of the same source is the same thing; another source's is another."""

    def put(tx: SqlTx, source: str, key: str) -> bool:
        return tx.put_inbox(source, "orders/create", key, b'{"a": "\xc3\xa9"}', NOW)

    assert await store.write(lambda tx: [put(tx, "london", "1"), put(tx, "london", "1")]) == [True, False]
    assert await store.write(lambda tx: [put(tx, "london", "1"), put(tx, "dubai", "1")]) == [False, True]
    first, second = await store.read(lambda tx: tx.inbox(10))
    assert (first.source, first.topic, first.key, first.body, first.received_at) == (
        "london",
        "orders/create",
        "1",
        b'{"a": "\xc3\xa9"}',
        NOW,
    )
    assert await store.read(lambda tx: tx.inbox(1)) == [first]
    await store.write(lambda tx: tx.finish_inbox(first.id, LATER))
    assert await store.read(lambda tx: tx.inbox(10)) == [second]
    assert await store.write(lambda tx: put(tx, "london", "1")) is False  # also when long decided


LINE = LineState(
    "order:london:1:1",
    "london",
    "1",
    "#1001",
    OrderLine("1", "BAG-1", 2, 1, 0, 3, "S/1", "ECOM", left=(Moment(NOW, 1, "online"),)),
    NOW,
    NOW - timedelta(hours=1),
    "online",
    ("r1", "r2"),
    0,
    False,
    True,
)


async def test_an_order_line_is_kept_as_it_is(store: Database) -> None:
    """Everything told of it comes back, and the newest put counts."""
    plain = replace(
        LINE, subject="order:london:2:1", line=OrderLine("1", "SCARF", 1), reservations=(), due=False
    )
    for line in (LINE, plain):
        await store.write(methodcaller("put_line", line))
    kept = await store.read(lambda tx: tx.lines([LINE.subject, plain.subject, "order:x"]))
    assert kept == {LINE.subject: LINE, plain.subject: plain}
    for line in (LINE, plain):  # equality leaves moments out
        again = kept[line.subject].line
        assert (again.left, again.came_back) == (line.line.left, line.line.came_back)
    changed = replace(LINE, uncovered=2, asked_in_vain=True, version=LATER)
    await store.write(lambda tx: tx.put_line(changed))
    assert await store.read(lambda tx: tx.lines([LINE.subject])) == {LINE.subject: changed}


async def test_lines_to_decide_come_oldest_first_and_not_while_they_wait_for_an_answer(
    store: Database,
) -> None:
    """A subject with a movement under way is left alone."""
    young = replace(LINE, subject="order:london:2:1", placed_at=NOW)
    done = replace(LINE, subject="order:london:3:1", due=False)
    busy = replace(LINE, subject="order:london:4:1")
    for line in (young, LINE, done, busy):
        await store.write(methodcaller("put_line", line))
    bundle = await store.write(lambda tx: tx.add_bundle([move(busy.subject, 0, reserved=1)], {}, NOW))
    assert await store.read(lambda tx: tx.due_lines(10)) == [LINE, young]
    assert await store.read(lambda tx: tx.due_lines(1)) == [LINE]
    await store.write(lambda tx: tx.finish_bundle(bundle, "refused", "", NOW))
    assert busy in await store.read(lambda tx: tx.due_lines(10))


async def test_the_answers_of_several_are_stored_at_once(store: Database) -> None:
    """All that was entered holds, and their lines are decided again; nobody else's are."""
    lines = [replace(LINE, subject=f"order:london:{number}:1", due=False) for number in range(4)]
    numbers: list[int] = []
    for line in lines:
        await store.write(methodcaller("put_line", line))
        rows = [move(line.subject, 0, reserved=2), move(line.subject, 1, SHOP, reserved=1)]
        numbers.append(await store.write(methodcaller("add_bundle", rows, {line.subject: "london"}, NOW)))
    first, second, refused, waiting = (line.subject for line in lines)

    def answered(tx: SqlTx) -> tuple[bool, bool]:
        tx.finish_bundles(numbers[:2], "done", "", LATER)
        tx.finish_bundles([numbers[2]], "refused", "nothing left", LATER)
        tx.finish_bundles([], "done", "", LATER)
        more = tx.lines_answered([first, second], due=True), tx.lines_answered(["reservation:r:0"], due=True)
        assert tx.lines_answered([refused], due=False, in_vain=True)
        assert not tx.lines_answered([], due=True)
        return more

    assert await store.write(answered) == (True, False)
    held = await store.read(lambda tx: tx.holdings([line.subject for line in lines]))
    assert {(each.subject, each.level, each.reserved, each.channel) for each in held} == {
        (subject, level, units, "london")
        for subject in (first, second)
        for level, units in ((WEB, 2), (SHOP, 1))
    }
    assert await store.read(lambda tx: tx.next_steps([first, refused, waiting])) == {
        first: 2,
        refused: 0,
        waiting: 2,
    }
    assert [bundle.id for bundle in await store.read(lambda tx: tx.waiting_bundles(0))] == [numbers[3]]
    found = await store.read(lambda tx: tx.lines([line.subject for line in lines]))
    assert found == {
        first: replace(lines[0], due=True),
        second: replace(lines[1], due=True),
        refused: replace(lines[2], asked_in_vain=True),
        waiting: lines[3],
    }
    # What was asked in vain once stays so, whatever is answered after it.
    await store.write(lambda tx: tx.lines_answered([refused], due=True))
    assert (await store.read(lambda tx: tx.lines([refused])))[refused].asked_in_vain


async def test_a_line_that_settles_is_decided_once_more_only_if_something_else_came(store: Database) -> None:
    """What it asked was the last it wanted. Any other answer, and any news of it, has it looked at again."""
    lines = [replace(LINE, subject=f"order:london:{number}:1", settles=True) for number in range(4)]
    settled, refused, changed, more = lines
    for line in [settled, refused, changed, replace(more, settles=False)]:
        await store.write(methodcaller("put_line", line))

    def answered(tx: SqlTx) -> None:
        tx.put_line(replace(tx.lines([changed.subject])[changed.subject], version=LATER))
        tx.lines_answered([refused.subject], due=True)
        tx.lines_entered([line.subject for line in lines])
        tx.lines_entered([])

    await store.write(answered)
    due = await store.read(lambda tx: tx.due_lines(10))
    assert [line.subject for line in due] == [refused.subject, changed.subject, more.subject]


async def test_incidents_about_lines_are_found_by_their_subjects(store: Database) -> None:
    """Those that are open, and of the kinds that are about a line."""
    told = [("oversold", "a"), ("misplaced", "b"), ("sold from a shop floor", "a"), ("misplaced", "over")]
    for kind, key in [*told, ("hole", "a"), ("oversold", "other")]:
        await store.write(methodcaller("open_incident", kind, key, "told", {}, NOW))
    await store.write(lambda tx: tx.close_incident("misplaced", "over", LATER))
    assert await store.read(lambda tx: tx.lines_told_of(["a", "b", "over"])) == frozenset(told[:3])
    assert await store.read(lambda tx: tx.lines_told_of([])) == frozenset()


async def test_uncovered_lines_are_found_by_sku(store: Database) -> None:
    """Oldest order first; and their units count in the facts."""
    short = replace(LINE, uncovered=2)
    older = replace(short, subject="order:x", uncovered=1, placed_at=LINE.placed_at - timedelta(days=1))
    for line in (short, older):
        await store.write(methodcaller("put_line", line))
    assert await store.read(lambda tx: tx.uncovered_lines(["BAG-1", "SCARF"])) == [older, short]
    assert await store.read(lambda tx: tx.uncovered_lines(["SCARF"])) == []
    assert (await store.read(lambda tx: tx.facts(["BAG-1"]))).uncovered == {"BAG-1": 3}


def move(subject: str, step: int, level: LevelKey = WEB, *, on_hand: int = 0, reserved: int = 0) -> Movement:
    kind = MovementKind.ORDER if reserved > 0 else MovementKind.RELEASE
    return Movement(f"{subject}:{step}", subject, level, kind, on_hand, reserved, "#1001", "v7", NOW)


async def test_a_bundle_is_written_down_before_it_is_sent_and_holds_when_it_is_done(store: Database) -> None:
    """Waiting rows are busy and pending; done rows are the subject's rows and its holding."""
    subject, other = LINE.subject, "reservation:r1:0"
    rows = [move(other, 1, reserved=-2), move(subject, 0, reserved=2)]
    number = await store.write(lambda tx: tx.add_bundle(rows, {subject: "london", other: "london"}, NOW))
    (waiting,) = await store.read(lambda tx: tx.waiting_bundles(0))
    assert (waiting.id, waiting.movements, waiting.maybe_sent) == (number, tuple(rows), False)
    assert await store.read(lambda tx: tx.waiting_bundles(number)) == []
    assert await store.read(lambda tx: tx.busy([subject, other, "order:x"])) == {subject, other}
    assert await store.read(lambda tx: [tx.next_step(subject), tx.next_step(other)]) == [1, 2]
    facts = await store.read(lambda tx: tx.facts(["BAG-1"]))
    assert {(p.bundle, p.kind, p.channel, p.level, p.reserved_delta) for p in facts.pending} == {
        (number, "order", "london", WEB, 2),
        (number, "reservation", "london", WEB, -2),
    }
    (own,) = await store.read(lambda tx: tx.pending_of([other]))
    assert (own.bundle, own.kind, own.reserved_delta) == (number, "reservation", -2)
    await store.write(lambda tx: tx.finish_bundle(number, "done", "", LATER))
    assert await store.read(lambda tx: tx.rows_of([subject])[subject]) == [rows[1]]
    assert await store.read(lambda tx: tx.busy([subject, other])) == frozenset()
    (held,) = await store.read(lambda tx: tx.holdings([subject]))
    assert (held.kind, held.channel, held.level, held.reserved, held.on_hand, held.since) == (
        "order",
        "london",
        WEB,
        2,
        0,
        LATER,
    )
    assert (await store.read(lambda tx: tx.facts(["BAG-1"]))).pending == []


async def test_grants_that_wait_are_added_up_however_many_there_are(store: Database) -> None:
    """A look at a SKU in a drop reads a pair of rows a channel and level, not one a buyer."""

    def draw(number: int, channel: str, level: LevelKey = WEB) -> Draw:
        name = f"r{number}"
        kind = MovementKind.CART
        return Draw(f"reservation:{name}:0", name, channel, level, 1 + number % 2, kind, "cart")

    for channel, numbers in (("london", range(40)), ("dubai", range(40, 50))):
        await store.write(methodcaller("add_draws", [draw(number, channel) for number in numbers], NOW))
    await store.write(lambda tx: tx.add_draws([draw(50, "dubai", LevelKey("SCARF", "ECOM"))], NOW))
    await store.write(lambda tx: tx.plan_draws("r0", 7))  # its bundle has rows of its own
    pending = await store.read(lambda tx: tx.pending(["BAG-1"]))
    assert sorted((row.kind, row.channel or "", row.level, row.reserved_delta) for row in pending) == [
        ("allocation", "sfsync", WEB, -59),
        ("allocation", "sfsync", WEB, -15),
        ("reservation", "dubai", WEB, 15),
        ("reservation", "london", WEB, 59),
    ]
    own = await store.read(lambda tx: tx.pending_of(["reservation:r0:0", "reservation:r1:0"]))
    assert [(row.kind, row.channel, row.reserved_delta) for row in own] == [("reservation", "london", 2)]


@pytest.mark.parametrize(
    ("state", "step", "rows"), [("refused", 0, 0), ("wrong", 0, 0), ("conflict", 0, 0), ("voided", 1, 0)]
)
async def test_what_is_not_done_holds_nothing_and_only_a_void_row_spends_its_number(
    store: Database, state: str, step: int, rows: int
) -> None:
    """A number that stands in the org is never used again."""
    number = await store.write(lambda tx: tx.add_bundle([move(LINE.subject, 0, reserved=1)], {}, NOW))
    await store.write(lambda tx: tx.finish_bundle(number, state, "why", LATER))
    assert await store.read(lambda tx: tx.next_step(LINE.subject)) == step
    assert len(await store.read(lambda tx: tx.rows_of([LINE.subject])[LINE.subject])) == rows
    assert sum(held.reserved for held in await store.read(lambda tx: tx.holdings([LINE.subject]))) == 0
    assert await store.read(lambda tx: tx.waiting_bundles(0)) == []


async def test_holdings_add_up_over_steps_and_places(store: Database) -> None:
    """One number sequence per subject, one holding per level."""
    steps = [
        move(LINE.subject, 0, reserved=2),
        move(LINE.subject, 1, SHOP, reserved=1),
        move(LINE.subject, 2, on_hand=-1, reserved=-1),
    ]
    for row in steps:
        number = await store.write(methodcaller("add_bundle", [row], {}, NOW))
        await store.write(methodcaller("finish_bundle", number, "done", "", NOW))
    assert await store.read(lambda tx: tx.rows_of([LINE.subject])[LINE.subject]) == steps
    held = {
        h.level: (h.on_hand, h.reserved) for h in await store.read(lambda tx: tx.holdings([LINE.subject]))
    }
    assert held == {WEB: (-1, 1), SHOP: (0, 1)}
    assert await store.read(lambda tx: tx.next_step(LINE.subject)) == 3


async def test_who_holds_units_at_a_level_is_told_newest_first(store: Database) -> None:
    """Whoever holds nothing any more is not named."""

    def enter(tx: SqlTx) -> None:
        for number, (subject, units) in enumerate([("order:a", 1), ("order:b", 1), ("order:c", 0)]):
            at = NOW + timedelta(seconds=number)
            tx.finish_bundle(tx.add_bundle([move(subject, 0, reserved=units)], {}, at), "done", "", at)

    await store.write(enter)
    holders = await store.read(lambda tx: tx.holdings_at([WEB]))
    assert [held.subject for held in holders] == ["order:b", "order:a"]
    assert await store.read(lambda tx: tx.holdings_at([SHOP])) == []


async def test_the_orgs_rows_replace_ours(store: Database) -> None:
    """Ours are a cache: after a conflict the org's are taken over, with the owner that we know."""
    subject = LINE.subject

    def enter(tx: SqlTx) -> None:
        tx.finish_bundle(
            tx.add_bundle([move(subject, 0, reserved=1)], {subject: "london"}, NOW), "done", "", NOW
        )
        tx.finish_bundle(
            tx.add_bundle([move(subject, 1, reserved=1)], {subject: "london"}, NOW), "conflict", "", NOW
        )
        tx.replace_rows(subject, [move(subject, 0, reserved=2), move(subject, 1, reserved=3)], LATER)

    await store.write(enter)
    assert [row.reserved_delta for row in await store.read(lambda tx: tx.rows_of([subject])[subject])] == [
        2,
        3,
    ]
    (held,) = await store.read(lambda tx: tx.holdings([subject]))
    assert (held.reserved, held.channel) == (5, "london")
    assert await store.read(lambda tx: tx.next_step(subject)) == 2
    await store.write(lambda tx: tx.replace_rows(subject, [], LATER))
    assert await store.read(lambda tx: (tx.rows_of([subject])[subject], tx.next_step(subject))) == ([], 0)


async def test_a_posting_has_one_row_whatever_its_source_calls_it(store: Database) -> None:
    """An id that looks like a numbered step is none."""
    subject = "posting:till-7:5"
    row = Movement(subject, subject, WEB, MovementKind.SALE, -1, 0, "", "", NOW)
    assert await store.read(lambda tx: tx.next_step(subject)) == 0
    number = await store.write(lambda tx: tx.add_bundle([row], {}, NOW))
    assert await store.read(lambda tx: tx.next_step(subject)) == 1
    await store.write(lambda tx: tx.finish_bundle(number, "done", "", NOW))
    assert await store.read(lambda tx: tx.next_step(subject)) == 1


RESERVATION = Reservation(
    "r1",
    ReservationState.PENDING,
    ReservationKind.PICK_UP,
    "london",
    "cart 7",
    (ReservationLine(WEB, 1), ReservationLine(SHOP, 1)),
    NOW,
    LATER,
)


async def test_a_reservation_is_kept_as_it_is(store: Database) -> None:
    """And changes its state."""
    assert await store.read(lambda tx: tx.reservation("r1")) is None
    await store.write(lambda tx: tx.put_reservation(RESERVATION))
    assert await store.read(lambda tx: tx.reservation("r1")) == RESERVATION
    confirmed = replace(
        RESERVATION, state=ReservationState.CONFIRMED, expires_at=None, order_reference="#1001", channel=None
    )
    await store.write(lambda tx: tx.put_reservation(confirmed))
    assert await store.read(lambda tx: tx.reservation("r1")) == confirmed


async def test_reservations_are_listed_within_a_party_s_sight(store: Database) -> None:
    """Its channels' and those with a piece at its locations, page by page as if there were no others."""
    bag = ReservationLine(LevelKey("BAG", "MAYFAIR"), 1)
    made = [
        replace(RESERVATION, id="r1", channel="london"),
        replace(RESERVATION, id="r2", channel="dubai"),
        replace(RESERVATION, id="r3", channel="dubai", lines=(*RESERVATION.lines, bag)),
        replace(RESERVATION, id="r4", channel=None),
    ]
    for one in made:
        await store.write(methodcaller("put_reservation", one))
    for sight, seen in (
        (Sight(frozenset({"london"})), ["r1"]),
        (Sight(frozenset({"london"}), frozenset({"MAYFAIR"})), ["r1", "r3"]),
        (Sight(frozenset(), frozenset({"MAYFAIR"})), ["r3"]),
        (Sight(), []),
        (Sight(None, frozenset()), ["r1", "r2", "r3", "r4"]),
        (Sight(frozenset(), None), ["r1", "r2", "r3", "r4"]),
    ):
        found = await store.read(methodcaller("reservations", sight=sight))
        assert [one.id for one in found] == seen == [one.id for one in made if sight.sees(one)]
        first = await store.read(methodcaller("reservations", sight=sight, limit=1))
        rest = await store.read(methodcaller("reservations", sight=sight, after=seen[0])) if seen else []
        assert [one.id for one in (*first, *rest)] == seen


async def test_only_granted_reservations_expire(store: Database) -> None:
    """Oldest first, and not before their time."""
    early = replace(RESERVATION, id="r2", state=ReservationState.GRANTED, expires_at=NOW)
    late = replace(early, id="r3", expires_at=LATER)
    confirmed = replace(early, id="r4", state=ReservationState.CONFIRMED, expires_at=None)
    for one in (RESERVATION, late, early, confirmed):
        await store.write(methodcaller("put_reservation", one))
    just_before = LATER - timedelta(milliseconds=1)
    assert await store.read(lambda tx: tx.expired_reservations(just_before, 10)) == [early]
    assert await store.read(lambda tx: tx.expired_reservations(LATER, 10)) == [early, late]
    assert await store.read(lambda tx: tx.expired_reservations(LATER, 1)) == [early]


async def test_what_waits_for_the_org_keeps_nothing_else_from_ending(store: Database) -> None:
    """The two oldest are on their way to the org, which is away: the third one ends all the same."""
    early = replace(RESERVATION, state=ReservationState.GRANTED, expires_at=NOW)
    carts = [replace(early, id="r2"), replace(early, id="r3")]
    free = replace(early, id="r4", expires_at=LATER)
    for one in (*carts, free):
        await store.write(methodcaller("put_reservation", one))
        row = Movement(
            f"reservation:{one.id}:0:0", f"reservation:{one.id}:0", WEB, MovementKind.CART, 0, 1, "", "", NOW
        )
        bundle = await store.write(methodcaller("add_bundle", [row], {row.subject: "london"}, NOW))
        if one is free:
            await store.write(methodcaller("finish_bundle", bundle, "done", "", NOW))
    assert await store.read(lambda tx: tx.expired_reservations(LATER, 2)) == [free]
    over = [replace(one, state=ReservationState.EXPIRED) for one in (*carts, free)]
    for one in over:
        await store.write(methodcaller("put_reservation", one))
    assert await store.read(lambda tx: tx.ended_still_holding(1)) == [over[2]]


async def test_an_idempotency_key_is_remembered_per_party(store: Database) -> None:
    """What was asked, and what came of it."""
    await store.write(lambda tx: tx.remember("london", "k", "digest", "r1", NOW))
    assert await store.read(lambda tx: tx.remembered("london", "k")) == ("digest", "r1")
    assert await store.read(lambda tx: tx.remembered("dubai", "k")) is None


ITEM = ChannelItem("BAG-1", "online", "gid://1", "gid://9", 5)


async def test_a_baseline_keeps_what_we_have_learnt_of_the_item(store: Database) -> None:
    """A new reading replaces number and problem, and leaves target and exposure."""
    other = replace(ITEM, sku="SCARF", shows=0)
    await store.write(
        lambda tx: tx.put_items("london", [ITEM, other], {("SCARF", "online"): "not tracked"}, NOW, NOW)
    )
    bag, scarf = sorted(await store.read(lambda tx: tx.channel_levels()), key=lambda level: level.sku)
    assert (bag.channel, bag.published, bag.target, bag.baseline_at, bag.problem, bag.push) == (
        "london",
        5,
        None,
        NOW,
        "",
        None,
    )
    assert scarf.problem == "not tracked"
    changed = replace(
        bag,
        target=3,
        published=4,
        exposure=Exposure(1.5, 1, 1763885700.25, 1763885698.0, 0.5, 2, True, 4, 1763885600.0, 0.0),
    )
    await store.write(lambda tx: tx.put_numbers([changed]))
    await store.write(lambda tx: tx.put_numbers([]))
    assert await store.read(lambda tx: tx.channel_levels(["BAG-1"], "london")) == [changed]
    assert await store.read(lambda tx: tx.channel_levels(["BAG-1"], "dubai")) == []
    assert await store.read(lambda tx: tx.channel_levels([], "london")) == []
    await store.write(lambda tx: tx.put_items("london", [replace(ITEM, shows=9)], {}, LATER, LATER))
    assert await store.read(lambda tx: tx.channel_levels(["BAG-1"])) == [
        replace(changed, published=9, baseline_from=LATER, baseline_at=LATER, changed_at=LATER)
    ]


async def test_bad_news_goes_first(store: Database) -> None:
    """Sold out, then lower, then higher; scarce before deep; what has a problem not at all."""
    numbers = {  # sku: (published, target)
        "HIGHER-9": (1, 9),
        "HIGHER-2": (1, 2),
        "LOWER-7": (9, 7),
        "LOWER-1": (9, 1),
        "SOLD-OUT": (1, 0),
        "RIGHT": (3, 3),
        "UNKNOWN": (3, None),
        "BROKEN": (3, 0),
    }
    items = [replace(ITEM, sku=sku, shows=published) for sku, (published, _) in numbers.items()]
    await store.write(lambda tx: tx.put_items("london", items, {("BROKEN", "online"): "why"}, NOW, NOW))

    def aim(tx: SqlTx) -> None:
        tx.put_numbers([replace(lv, target=numbers[lv.sku][1]) for lv in tx.channel_levels()])

    await store.write(aim)
    due = await store.read(lambda tx: tx.due("london", 10))
    assert [level.sku for level in due] == ["SOLD-OUT", "LOWER-1", "LOWER-7", "HIGHER-2", "HIGHER-9"]
    assert [level.sku for level in await store.read(lambda tx: tx.due("london", 2))] == [
        "SOLD-OUT",
        "LOWER-1",
    ]
    assert await store.read(lambda tx: tx.due("dubai", 2)) == []


async def test_what_was_done_with_long_ago_is_forgotten_and_nothing_else(store: Database) -> None:
    """A waiting webhook and an open push stay, however old."""
    await store.write(lambda tx: tx.put_inbox("london", "orders/create", "done", b"{}", NOW))
    await store.write(lambda tx: tx.put_inbox("london", "orders/create", "waiting", b"{}", NOW))
    done = (await store.read(lambda tx: tx.inbox(10)))[0]
    await store.write(lambda tx: tx.finish_inbox(done.id, NOW))
    await store.write(lambda tx: tx.put_items("london", [ITEM], {}, NOW, NOW))
    rows = (PushRow("BAG-1", "online", 1),)
    await store.write(lambda tx: tx.add_push("london", "ended", b"{}", rows, NOW))
    await store.write(lambda tx: tx.add_push("london", "open", b"{}", rows, NOW))
    ended = (await store.read(lambda tx: tx.open_pushes("london")))[0]
    await store.write(lambda tx: tx.finish_push(ended, "applied", "", NOW))
    assert await store.write(lambda tx: tx.forget(NOW)) == 0
    assert await store.write(lambda tx: tx.forget(LATER)) == 2
    assert [item.key for item in await store.read(lambda tx: tx.inbox(10))] == ["waiting"]
    assert [push.key for push in await store.read(lambda tx: tx.open_pushes("london"))] == ["open"]


async def test_a_push_is_kept_byte_for_byte_until_its_outcome_is_known(store: Database) -> None:
    """Its rows are in flight meanwhile, and free afterwards."""
    await store.write(lambda tx: tx.put_items("london", [ITEM, replace(ITEM, sku="SCARF")], {}, NOW, NOW))
    await store.write(lambda tx: tx.put_numbers([replace(level, target=1) for level in tx.channel_levels()]))
    rows = (PushRow("BAG-1", "online", -4),)
    number = await store.write(lambda tx: tx.add_push("london", "key-1", b"\x00{}\xff", rows, NOW))
    (record,) = await store.read(lambda tx: tx.open_pushes("london"))
    assert (record.id, record.key, record.body, record.rows, record.planned_at) == (
        number,
        "key-1",
        b"\x00{}\xff",
        rows,
        NOW,
    )
    assert [level.sku for level in await store.read(lambda tx: tx.due("london", 9))] == ["SCARF"]
    assert await store.read(lambda tx: tx.open_pushes("dubai")) == []
    await store.write(lambda tx: tx.finish_push(record, "dropped", "", LATER))
    assert await store.read(lambda tx: tx.open_pushes("london")) == []
    assert len(await store.read(lambda tx: tx.due("london", 9))) == 2
    await store.write(lambda tx: tx.set_problem("london", "BAG-1", "online", "why", NOW))
    assert [level.sku for level in await store.read(lambda tx: tx.due("london", 9))] == ["SCARF"]
    await store.write(lambda tx: tx.set_problem("london", "BAG-1", "online", "", NOW))
    assert len(await store.read(lambda tx: tx.due("london", 9))) == 2


async def test_approval_and_poll_mark_do_not_touch_each_other(store: Database) -> None:
    """A channel may be polled before anybody has approved it."""
    assert await store.read(lambda tx: (tx.approved("london"), tx.poll_mark("london"))) == (False, None)
    await store.write(lambda tx: tx.put_poll_mark("london", NOW))
    assert await store.read(lambda tx: (tx.approved("london"), tx.poll_mark("london"))) == (False, NOW)
    await store.write(lambda tx: tx.approve("london", LATER))
    await store.write(lambda tx: tx.put_poll_mark("london", LATER))
    assert await store.read(lambda tx: (tx.approved("london"), tx.poll_mark("london"))) == (True, LATER)
    assert not await store.read(lambda tx: tx.approved("dubai"))


async def test_dead_letters_are_told_by_cause_and_in_pages(store: Database) -> None:
    """Ten thousand items that sell beyond their stock are a number and a page, not ten thousand rows."""

    def set_aside(tx: SqlTx) -> None:
        for number in range(7):
            tx.dead_letter("london", f"beyond:SCARF-{number}@online", "r", "a", "", NOW)
        tx.dead_letter("london", "push:BAG@online", "r", "a", "", NOW)
        tx.dead_letter("london", "push:BAG@online", f"{REUSED}: a bag", "a", "", NOW)

    await store.write(set_aside)
    assert await store.read(lambda tx: tx.letters_by_cause()) == {Cause.BEYOND_STOCK: 7, Cause.REUSED: 1}
    first = await store.read(lambda tx: tx.dead_letters([Cause.BEYOND_STOCK], limit=5))
    rest = await store.read(lambda tx: tx.dead_letters([Cause.BEYOND_STOCK], after=first[-1].id, limit=5))
    assert [each.key for each in (*first, *rest)] == [f"beyond:SCARF-{number}@online" for number in range(7)]
    assert len(first) == 5
    (bag,) = await store.read(lambda tx: tx.newest_letters(1))
    assert bag.key == "push:BAG@online"
    chosen = await store.read(lambda tx: tx.dead_letters(ids=[bag.id, first[0].id, 999]))
    assert [each.id for each in chosen] == [first[0].id, bag.id]


async def test_the_same_item_is_one_dead_letter(store: Database) -> None:
    """Set aside again, only its reason is renewed."""
    for reason in ("first", "second"):
        await store.write(methodcaller("dead_letter", "london", "k", reason, "advice", "payload é", NOW))
    await store.write(lambda tx: tx.dead_letter("dubai", "k", "other", "advice", "", LATER))
    first, second = await store.read(lambda tx: tx.dead_letters())
    assert (first.source, first.key, first.reason, first.advice, first.payload, first.at) == (
        "london",
        "k",
        "second",
        "advice",
        "payload é",
        NOW,
    )
    assert second.source == "dubai"


async def test_an_incident_is_opened_once_and_may_happen_again(store: Database) -> None:
    """Open: brought up to date; closed: a new one of the same kind is another."""
    assert await store.write(lambda tx: tx.open_incident("oversold", "k", "one", {"units": 1}, NOW))
    assert not await store.write(lambda tx: tx.open_incident("oversold", "k", "two", {"units": 2}, LATER))
    (incident,) = await store.read(lambda tx: tx.incidents())
    assert (incident.title, incident.detail, incident.opened_at) == ("two", {"units": 2}, NOW)
    assert await store.write(lambda tx: tx.close_incident("oversold", "k", LATER))
    assert not await store.write(lambda tx: tx.close_incident("oversold", "k", LATER))
    assert await store.read(lambda tx: tx.incidents()) == []
    assert await store.write(lambda tx: tx.open_incident("oversold", "k", "again", {}, LATER))
    assert [i.title for i in await store.read(lambda tx: tx.incidents(open_only=False))] == ["again", "two"]


async def test_products_are_kept_by_their_record(store: Database) -> None:
    """Put again, another SKU, gone; a blank price stays blank."""
    bag = Product("01t1", "BAG-1", {"Family": "Handbags"}, frozenset({"iconic", "gold"}), 9_500.5)
    belt = Product("01t2", "BELT-1")
    await store.write(lambda tx: tx.put_products([bag, belt]))
    assert await store.read(lambda tx: tx.products()) == [bag, belt]
    renamed = replace(bag, sku="BAG-9")
    await store.write(lambda tx: tx.put_products([renamed, replace(belt, gone=True)]))
    assert await store.read(lambda tx: tx.products()) == [renamed]


async def test_what_reservations_hold_is_added_up_by_channel_and_level(store: Database) -> None:
    """However many carts: one sum each; what was given back, and what orders hold, is none of it."""

    def enter(tx: SqlTx) -> None:
        for subject, step, channel, units in (
            ("reservation:r1:0", 0, "london", 2),
            ("reservation:r2:0", 0, "london", 3),
            ("reservation:r3:0", 0, "dubai", 1),
            ("order:london:1:1", 0, "london", 4),
            ("reservation:r1:0", 1, "london", -2),
        ):
            number = tx.add_bundle([move(subject, step, reserved=units)], {subject: channel}, NOW)
            tx.finish_bundle(number, "done", "", LATER)

    await store.write(enter)
    assert set((await store.read(lambda tx: tx.facts(["BAG-1"]))).held) == {
        Held("reservation", "london", WEB, 3),
        Held("reservation", "dubai", WEB, 1),
    }


async def test_what_is_wanted_of_a_bundle_that_waits_is_kept_until_it_is_done(store: Database) -> None:
    """A person has said so, or its order has changed: whoever sends it reads it there."""
    subjects = [f"order:london:{n}:1" for n in range(4)]
    asked = [Movement(f"{each}:0", each, WEB, MovementKind.ORDER, 0, 1, "", "", NOW) for each in subjects]

    def write(tx: SqlTx) -> list[int]:
        return [tx.add_bundle([row], {}, NOW) for row in asked]

    retried, dropped, overtaken, left = numbers = await store.write(write)

    def wish(tx: SqlTx) -> list[bool]:
        tx.put_line(replace(LINE, subject=subjects[2], due=True))
        tx.put_line(replace(LINE, subject=subjects[3], due=False))
        return [
            tx.mark_waiting(asked[0].key, Wish.RETRY),
            tx.mark_waiting(asked[1].key, Wish.DROP),
            tx.mark_waiting("nobody's key", Wish.DROP),
        ]

    assert await store.write(wish) == [True, True, False]
    wanted = {retried: Wish.RETRY, dropped: Wish.DROP, overtaken: Wish.DECIDE}
    assert await store.read(lambda tx: tx.wishes(numbers)) == wanted
    assert await store.read(lambda tx: tx.wishes([left])) == {}
    await store.write(lambda tx: tx.unmark(retried))
    await store.write(lambda tx: tx.finish_bundle(dropped, "wrong", "", LATER))
    assert await store.read(lambda tx: tx.wishes(numbers)) == {overtaken: Wish.DECIDE}
