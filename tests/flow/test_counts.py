"""Counts, and what is told after them: nothing is subtracted twice, nothing is lost."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from tests.flow.kit import TILL, House, house, total

from sfsync.domain.counts import Count, CountOutcome, Sure, compensation
from sfsync.domain.incidents import DATED_AHEAD
from sfsync.domain.moments import Moment
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.domain.transfers import Stage, Transfer
from sfsync.flow.folding import FoldWish
from sfsync.flow.lateness import Seen, add, add_further
from sfsync.ports import Posting, Tx

BAG, FAR, WAY = "BAG-1|ECOM", "BAG-1|DUBAI", "BAG-1|IN-TRANSIT"


def ago(h: House, hours: float) -> datetime:
    return h.clock.now().replace(microsecond=0) - timedelta(hours=hours)


def long_ago(h: House, days: float = 2) -> None:
    """All that stands in the ledger happened and was entered two days ago."""
    h.org.age(days=days)
    h.org.rows = {
        number: replace(row, occurred_at=row.occurred_at - timedelta(days=days))
        for number, row in h.org.rows.items()
    }


async def count(
    h: House, units: int, at: datetime, name: str = "c-1", place: str = BAG, *, old: bool = True
) -> CountOutcome:
    return await h.supervisor.counts.enter(Count(name, LevelKey.parse(place), units, at), Sure(old=old))


def sold(h: House, at: datetime, source: str = "receipt-1", units: int = -1, place: str = BAG) -> None:
    """The concession tells of a sale (or a receipt) that happened at `at`."""
    kind = MovementKind.SALE if units < 0 else MovementKind.RECEIPT
    posting = Posting(source, kind, LevelKey.parse(place), units, source, at)
    h.org.tell(TILL, postings=(posting,), events=1)


def counted_by_a_person(h: House, variance: int, at: datetime, *, told: bool = True) -> None:
    """Somebody enters a count in the org by hand."""
    subject = f"person:{len(h.org.rows)}"
    level = LevelKey.parse(BAG)
    h.org._enter(Movement(subject, subject, level, MovementKind.COUNT, variance, 0, "", "", at))
    if told:
        h.org.tell("wake-ups", levels=frozenset({h.org.id_of(level)}), events=1)


async def test_the_five_o_clock_sale_told_after_the_six_o_clock_count() -> None:
    """Five in the books, four counted at 18:00; in the morning the concession tells of its 17:00 sale."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        outcome = await count(h, 4, ago(h, 14))
        assert (outcome.state, outcome.variance, outcome.problem) == ("entered", -1, "")
        assert h.org.numbers(BAG) == (4, 0)
        await h.shows("BAG-1", 4, 4)
        sold(h, ago(h, 15))
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.of("posting:") == [("posting:receipt-1", -1, 0)]
        assert h.org.of("late:") == [("late:posting:receipt-1:0", 1, 0)]
        assert ["posting:receipt-1", "late:posting:receipt-1:0"] in h.org.requests
        assert h.org.numbers(BAG) == (4, 0)
        sold(h, ago(h, 13), "receipt-2")
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        assert len(h.org.of("late:")) == 1


async def test_a_parcel_that_left_before_the_count_is_not_dated_by_a_parcel_that_left_after_it() -> None:
    """Sold three, and we are away: one left at five, the shelf was counted at six, two left next morning."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        london = h.shops["london"]
        number = london.buy("BAG-1", 3)
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 3))
        await h.kill()
        parcels = (Moment(ago(h, 15), 1), Moment(ago(h, 1), 2))
        london.change(number, open_quantity=0, fulfilled_quantity=3, left=parcels)
        counted_by_a_person(h, -1, ago(h, 14), told=False)  # four lay there, five were in the books
        await h.start()
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("order:")) == (-3, 0))
        await h.idle()
        assert [units for _, units, _ in h.org.of("order:") if units] == [-1, -2]
        assert [units for _, units, _ in h.org.of("late:")] == [1]
        assert h.org.numbers(BAG) == (2, 0)  # what lies there


@pytest.mark.parametrize("counted", [None, "between", "after"])
async def test_a_parcel_that_left_and_came_back_unheard_of_is_in_the_books_whatever_was_counted(
    counted: str | None,
) -> None:
    """We are away: a bag leaves, the shelf is counted, the bag is back: five lie there, five are booked."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        london = h.shops["london"]
        number = london.buy("BAG-1")
        await h.deliver("london", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.kill()
        left, back = (Moment(ago(h, 15), 1),), (Moment(ago(h, 5), 1),)
        london.change(
            number, open_quantity=0, fulfilled_quantity=1, returned_quantity=1, left=left, came_back=back
        )
        if counted:
            units, hours = (-1, 10) if counted == "between" else (0, 2)
            counted_by_a_person(h, units, ago(h, hours), told=False)
        await h.start()
        await h.deliver("london", number)
        await h.until(lambda: [units for _, units, _ in h.org.of("order:") if units] == [-1, 1])
        await h.deliver("london", number)
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)
        assert total(h.org.of("order:")) == (0, 0)
        assert len(h.org.of("late:")) == {None: 0, "between": 1, "after": 2}[counted]


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late", "later"])
async def test_a_late_sale_whose_answer_is_lost_has_one_effect(fate: str) -> None:
    """Both rows or none, and each once, over a kill as well."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 14))
        h.org.next.append(fate)
        sold(h, ago(h, 15))
        await h.until(lambda: ["posting:receipt-1", "late:posting:receipt-1:0"] in h.org.requests)
        await h.kill()
        h.org.land()
        await h.start()
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert (total(h.org.of("posting:")), total(h.org.of("late:"))) == ((-1, 0), (1, 0))
        assert h.org.numbers(BAG) == (4, 0)


@pytest.mark.parametrize("killed", [False, True])
async def test_a_person_counts_while_a_late_sale_is_under_way(killed: bool) -> None:
    """We had not heard of the count when the sale was written down: the order of the rows decides."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        counted_by_a_person(h, -1, ago(h, 14), told=False)
        if killed:
            h.org.next.append("late")
        sold(h, ago(h, 15))
        if killed:
            await h.until(lambda: h.org.under_way)
            await h.kill()
            h.org.land()
            await h.start()
        await h.until(lambda: h.org.of("late:"))
        await h.idle()
        assert h.org.of("late:") == [("late:posting:receipt-1:0", 1, 0)]
        assert h.org.numbers(BAG) == (4, 0)


async def test_a_person_who_counts_after_the_sale_is_in_has_seen_it() -> None:
    """The sale's answer is lost, and a person counts meanwhile: asked again, it is not taken for late."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        h.org.next.append("late")
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.under_way)
        await h.kill()
        h.org.land()
        counted_by_a_person(h, 0, ago(h, 14))
        await h.start()
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        assert h.org.of("late:") == []
        assert h.org.numbers(BAG) == (4, 0)


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late", "later"])
async def test_a_count_whose_answer_is_lost_is_entered_once(fate: str) -> None:
    """Killed in the middle and asked for again under its id."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        at = ago(h, 14)
        h.org.next.append(fate)
        await count(h, 3, at)
        await h.kill()
        h.org.land()
        await h.start()
        outcome = await count(h, 3, at)
        await h.idle()
        assert (outcome.variance, h.org.of("count:")) == (-2, [("count:c-1:BAG-1|ECOM:0", -2, 0)])
        assert h.org.numbers(BAG) == (3, 0)


async def test_a_sale_that_slips_into_a_count_is_its_next_step() -> None:
    """A till that writes to the org itself enters an earlier sale, just ahead of the count's row."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        at = ago(h, 14)
        h.org.next.append("late")
        counting = asyncio.create_task(count(h, 4, at))
        await h.until(lambda: h.org.under_way)
        subject, level = "person:till", LevelKey.parse(BAG)
        h.org._enter(
            Movement(subject, subject, level, MovementKind.SALE, -1, 0, "", "", at - timedelta(hours=1))
        )
        h.org.land()
        assert (await counting).problem == ""
        await h.until(lambda: len(h.org.of("count:")) == 2)
        await h.idle()
        assert h.org.of("count:") == [
            ("count:c-1:BAG-1|ECOM:0", -1, 0),
            ("count:c-1:BAG-1|ECOM:1", 1, 0),
        ]
        assert h.org.numbers(BAG) == (4, 0)
        assert (await count(h, 4, at)).variance == 0


async def test_a_late_sale_whose_compensation_waits_for_the_org_is_not_made_good_twice() -> None:
    """The count looks back just then: the ledger has the sale already, and its compensation comes next."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        at = ago(h, 14)
        await count(h, 5, at)
        await h.idle()
        level = LevelKey.parse(BAG)
        sale = Movement("posting:a:0", "posting:a", level, MovementKind.SALE, -1, 0, "", "", ago(h, 15))
        h.org._enter(sale)
        rows = await h.org.level_rows(h.org.id_of(level))
        entered = next(row.movement for row in rows if row.movement.kind is MovementKind.COUNT)
        seen = Seen((), [(entered, rows)])

        def look(tx: Tx, late: list[Movement]) -> int:
            if late:
                add(tx, late, {}, h.clock.now())
            add_further(tx, h.ctx, seen)
            return tx.next_step(entered.subject)

        assert await h.store.write(lambda tx: look(tx, [compensation(sale, at)])) == 1
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)


async def test_a_late_sale_that_was_deleted_and_is_told_again_finds_its_compensation_there() -> None:
    """Told after the count, deleted by somebody who left its compensation, and told once more by its till."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 14))
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("late:"))
        await h.idle()
        h.org.forget(h.org.number_of("posting:receipt-1"))
        await h.until_kept(lambda tx: not tx.next_step("posting:receipt-1"))
        await h.idle()
        requests = len(h.org.requests)
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert (h.org.of("posting:"), h.org.of("late:")) == (
            [("posting:receipt-1", -1, 0)],
            [("late:posting:receipt-1:0", 1, 0)],
        )
        assert h.org.numbers(BAG) == (4, 0)
        assert len(h.org.requests) <= requests + 3


async def test_a_late_sale_that_was_deleted_and_is_told_again_finds_its_compensation_folded() -> None:
    """As before, and the compensation is folded away meanwhile: it counts still, and is not entered again."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 14))
        for name in ("receipt-1", "receipt-2"):
            sold(h, ago(h, 15), name)
        await h.until(lambda: len(h.org.of("late:")) == 2)
        await h.idle()
        h.org.forget(h.org.number_of("posting:receipt-1"))
        await h.until_kept(lambda tx: not tx.next_step("posting:receipt-1"))
        await h.idle()
        h.org.age(days=200)
        assert (await _folded(h)) > 2
        assert h.org.of("late:") == []
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.of("late:") == []
        assert h.org.numbers(BAG) == (4, 0)


async def test_a_count_told_after_a_newer_one_changes_nothing() -> None:
    """The newer count stands; the older one is in the ledger for those who look."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 10), "evening")
        outcome = await count(h, 9, ago(h, 20), "noon")
        await h.idle()
        assert (outcome.state, outcome.variance) == ("entered", 4)
        assert h.org.of("late:count:noon") == [("late:count:noon:BAG-1|ECOM:0:0", -4, 0)]
        assert h.org.numbers(BAG) == (4, 0)


async def test_a_count_that_finds_what_the_books_say_still_moves_the_moment() -> None:
    """Variance 0: what is told later of before is in it all the same."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        outcome = await count(h, 5, ago(h, 14))
        assert (outcome.state, outcome.variance) == ("entered", 0)
        sold(h, ago(h, 15), units=3)
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)


async def test_a_transfer_told_after_a_count_is_late_only_where_was_counted() -> None:
    """Two bags left before the count of the shop they left: they are in transit, and not missing twice."""
    async with house({BAG: 5, FAR: 0}) as h:
        long_ago(h)
        await count(h, 3, ago(h, 14))
        sent = Transfer("s", "T-1", Stage.SENT, "BAG-1", 2, ago(h, 15), origin="ECOM")
        assert (await h.supervisor.transfers.enter(sent)).state == "entered"
        await h.idle()
        assert [h.org.numbers(name)[0] for name in (BAG, WAY, FAR)] == [3, 2, 0]
        assert h.org.of("late:") == [("late:transfer:s:0:0", 2, 0)]


async def test_what_ships_today_of_yesterdays_order_was_there_at_the_count() -> None:
    """An order is older than the count, its parcel is not: the bag leaves the books today."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        dubai = h.shops["dubai"]
        number = dubai.buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (0, 1))
        await h.idle()
        await count(h, 5, h.clock.now())
        await asyncio.sleep(1.1)  # the org's moments are whole seconds
        dubai.change(number, open_quantity=0, fulfilled_quantity=1)
        await h.deliver("dubai", number)
        await h.until(lambda: total(h.org.of("order:")) == (-1, 0))
        await h.idle()
        assert h.org.of("late:") == []
        assert h.org.numbers(BAG) == (4, 0)


async def test_under_the_fallback_rule_a_late_sale_takes_nobodys_promise() -> None:
    """The last bag is promised, and was counted after the sale that is told now: it is still there."""
    async with house({BAG: 2}) as h:
        long_ago(h)
        h.org.fallback_rule = True
        await count(h, 1, ago(h, 14))
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1)
        assert not await h.store.read(lambda tx: tx.incidents())


async def test_a_count_that_uncovers_a_promise_is_entered_all_the_same() -> None:
    """Nothing is there, whatever was promised: under the fallback rule the promise gives way to the count."""
    async with house({BAG: 1}) as h:
        long_ago(h)
        h.org.fallback_rule = True
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await count(h, 0, h.clock.now())
        await h.until(lambda: h.org.numbers(BAG) == (0, 0))
        await h.idle()
        assert h.org.of("count:") == [("count:c-1:BAG-1|ECOM:0", -1, 0)]


async def test_a_lost_store_knows_a_count_by_the_org() -> None:
    """The same count again is answered from the org's rows; another under its id is refused."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        at = ago(h, 14)
        await count(h, 4, at)
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.idle()
        again = await count(h, 4, at)
        assert (again.state, again.variance) == ("entered", -1)
        assert (await count(h, 3, at)).problem == "id-reused"
        assert h.org.numbers(BAG) == (4, 0)


async def test_the_newest_count_outlives_a_fold() -> None:
    """The fold leaves it: what is told late is still compared with it."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 14))
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 6, 6)
        long_ago(h, days=200)
        run = h.supervisor.fold(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.until(lambda: run.ended_at is not None)
        assert (run.rows, h.org.of("count:")) == (2, [("count:c-1:BAG-1|ECOM:0", -1, 0)])
        sold(h, ago(h, 200 * 24 + 15))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.numbers(BAG) == (6, 0)
        assert (await count(h, 4, ago(h, 200 * 24 + 13), "c-2")).problem == "too-old"


async def test_a_count_of_before_the_books_of_its_level_begin_is_not_entered() -> None:
    """2016 typed for 2026: nine would be put on sale on top of the ten. Of nothing at all it is the first."""
    async with house({BAG: 10, "SCARF-1|ECOM": 0}) as h:
        long_ago(h)
        told = await count(h, 9, ago(h, 24 * 365))
        assert (told.problem, "begin on" in told.detail) == ("too-old", True)
        assert h.org.numbers(BAG) == (10, 0)
        assert (await count(h, 9, ago(h, 1))).state == "entered"
        assert (await count(h, 9, ago(h, 1))).state == "entered"  # the same once more
        assert h.org.numbers(BAG) == (9, 0)


async def test_a_count_that_cannot_be_is_not_entered() -> None:
    """A place without a level, fewer than none, a time to come, an id that stands for another count."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        now = h.clock.now()
        assert (await count(h, 5, now, place="BAG-1|PARIS")).problem == "unknown-level"
        assert (await count(h, -1, now)).problem == "wrong"
        assert (await count(h, 10_001, now)).problem == "too-many"
        assert (await count(h, 5, ago(h, 24 * 15), old=False)).problem == "long-ago"
        assert (await count(h, 5, now + timedelta(hours=1))).problem == "wrong"
        assert (await count(h, 4, now)).state == "entered"
        assert (await count(h, 5, now)).problem == "id-reused"
        assert h.org.numbers(BAG) == (4, 0)


async def test_a_sale_that_somebody_has_dated_ahead_is_seen_by_the_counts_after_it() -> None:
    """Other software enters it with a date in spring: it has left the shelf, before and after a fold."""
    async with house({BAG: 98}) as h:
        spring = h.clock.now() + timedelta(days=150)
        h.org._enter(
            Movement("person:x", "person:x", LevelKey.parse(BAG), MovementKind.SALE, -1, 0, "", "", spring)
        )
        h.org.tell("wake-ups", levels=frozenset({h.org.id_of(LevelKey.parse(BAG))}), events=1)
        await h.shows("BAG-1", 97, 97)
        assert (await count(h, 97, h.clock.now())).variance == 0
        assert h.org.numbers(BAG) == (97, 0)
        await h.idle()
        h.org.age(days=200)
        assert (await _folded(h)) > 0
        later = await count(h, 96, h.clock.now(), "c-2")
        assert (later.state, later.variance, later.problem) == ("entered", -1, "")


async def test_a_count_that_somebody_has_dated_ahead_does_not_undo_what_is_sold_after_it() -> None:
    """A person enters a count with a date in spring; what is sold after its entry counts."""
    async with house({BAG: 10}) as h:
        long_ago(h)
        counted_by_a_person(h, -1, h.clock.now() + timedelta(days=150))
        await h.shows("BAG-1", 9, 9)
        entered = h.clock.now()
        await h.until(lambda: h.clock.now() - entered > timedelta(seconds=2))  # the org keeps whole seconds
        sold(h, h.clock.now(), "after")
        sold(h, ago(h, 5), "before")
        await h.until(lambda: len(h.org.of("posting:")) == 2)
        await h.until(lambda: h.org.of("late:"))
        await h.idle()
        assert [key for key, _, _ in h.org.of("late:")] == ["late:posting:before:0"]
        await h.shows("BAG-1", 8, 8)


async def test_a_till_whose_clock_is_ahead_is_told_once_and_loses_nothing() -> None:
    """Two sales dated next spring: both entered with the time of their events, and one incident."""
    async with house({BAG: 10}) as h:
        spring = h.clock.now() + timedelta(days=150)
        for name in ("R1", "R2"):
            at = h.clock.now()
            posting = Posting(name, MovementKind.SALE, LevelKey.parse(BAG), -1, name, at, spring)
            h.org.tell(TILL, postings=(posting,), events=1)
        await h.shows("BAG-1", 8, 8)
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.key) == (DATED_AHEAD, "ECOM")
        assert spring.isoformat(timespec="seconds") in incident.title


async def _folded(h: House) -> int:
    run = h.supervisor.fold(FoldWish(timedelta(days=90)))
    assert run is not None
    await h.until(lambda: run.ended_at is not None)
    return run.rows
