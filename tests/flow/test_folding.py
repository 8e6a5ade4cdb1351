"""Folding beside the daily work, and a ledger that somebody has rewritten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from tests.flow.kit import TILL, HastyClock, House, house, total

from sfsync.domain.fold import Fold
from sfsync.domain.incidents import PAID_UNAVAILABLE, REWRITTEN
from sfsync.domain.reservations import ReservationKind, Wish, WishedLine
from sfsync.domain.transfers import Stage, Transfer
from sfsync.flow.folding import FoldRun, FoldWish
from sfsync.flow.levels import apply_levels
from sfsync.ports import Incident, Tx

BAG = "BAG-1|ECOM"
DAYS = timedelta(days=90)


async def fold(h: House, *, dry_run: bool = False) -> FoldRun:
    """Fold what is older than ninety days, to the end."""
    run = h.supervisor.fold(FoldWish(DAYS, dry_run=dry_run))
    assert run is not None
    await h.until(lambda: run.ended_at is not None)
    return run


async def sold(h: House, units: int = 1) -> str:
    """An order in Dubai that is delivered, long ago."""
    dubai = h.shops["dubai"]
    number = dubai.buy("BAG-1", units)
    await h.deliver("dubai", number)
    await h.until(lambda: total(h.org.of("order:")) == (0, units))
    dubai.change(number, open_quantity=0, fulfilled_quantity=units)
    await h.deliver("dubai", number)
    await h.until(lambda: total(h.org.of("order:")) == (-units, 0))
    await h.idle()
    h.org.age(days=200)
    return number


def steps(h: House) -> list[str]:
    return [key.rpartition(":")[2] for key, _, _ in h.org.of("order:")]


async def rewritten(h: House) -> list[Incident]:
    return [each for each in await h.store.read(lambda tx: tx.incidents()) if each.kind == REWRITTEN]


async def test_a_fold_changes_no_number_and_makes_the_version_higher() -> None:
    """Three rows become one; nobody takes that for a rewritten ledger."""
    async with house({BAG: 5}) as h:
        await sold(h)
        before = h.org.level(BAG)
        run = await fold(h)
        assert (run.rows, run.requests, run.problems) == (3, 1, [])
        after = h.org.level(BAG)
        assert (after.on_hand, after.reserved, after.version) == (4, 0, before.version + 1)
        assert len(h.org.rows) == 1
        await h.shows("BAG-1", 4, 4)
        h.org.tell("wake-ups", levels=frozenset({after.record_id}), events=1)
        await h.deliver("london", h.shops["london"].buy("BAG-1"))
        await h.shows("BAG-1", 3, 3)
        assert not await rewritten(h)


async def test_a_return_after_a_fold_finds_its_line() -> None:
    """The line's steps 0 and 1 are folded: the return is step 2, entered once."""
    async with house({BAG: 5}) as h:
        number = await sold(h)
        await fold(h)
        h.shops["dubai"].change(number, returned_quantity=1, taken_quantity=0)
        await h.deliver("dubai", number)
        await h.deliver("dubai", number, "again")
        await h.until(lambda: h.org.of("order:"))
        await h.idle()
        assert (total(h.org.of("order:")), steps(h)) == ((1, 0), ["2"])
        assert h.org.numbers(BAG) == (5, 0)


async def test_a_late_webhook_after_a_fold_enters_nothing() -> None:
    """The creation of the order is delivered again when its rows are long gone."""
    async with house({BAG: 5}) as h:
        number = await sold(h)
        await fold(h)
        assert await h.deliver("dubai", number, "late")
        await h.supervisor.polls.poll("dubai")
        await h.idle()
        assert h.org.of("order:") == []
        assert h.org.numbers(BAG) == (4, 0)


async def test_a_lost_store_finds_in_the_org_what_was_folded() -> None:
    """A new store, the whole order list read again, and a return: no step happens twice."""
    async with house({BAG: 5}) as h:
        number = await sold(h)
        await fold(h)
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.idle()
        line = f"order:dubai:{number}:1"
        assert await h.store.read(lambda tx: tx.next_step(line)) == 2
        rows = (await h.store.read(lambda tx: tx.rows_of([line])))[line]
        assert [(m.on_hand_delta, m.reserved_delta) for m in rows] == [(-1, 0)]


async def test_a_transfer_told_again_after_a_fold_and_a_lost_store_moves_nothing() -> None:
    """Both its rows are folded, one at each place, and the daemon starts with an empty store."""
    shop, way, far = BAG, "BAG-1|IN-TRANSIT", "BAG-1|DUBAI"
    async with house({shop: 5, way: 0, far: 0}) as h:
        sent = Transfer("s", "T-1", Stage.SENT, "BAG-1", 3, h.clock.now(), origin="ECOM")
        came = Transfer("r", "T-1", Stage.RECEIVED, "BAG-1", 3, h.clock.now(), target="DUBAI")
        for event in (sent, came):
            h.org.tell(TILL, transfers=(event,), events=1)
        await h.until(lambda: [h.org.numbers(each)[0] for each in (shop, way, far)] == [2, 0, 3])
        await h.idle()
        h.org.age(days=200)
        assert (await fold(h)).problems == []
        assert h.org.of("transfer:") == []
        await h.kill()
        h.forget_everything()
        await h.start()
        await h.idle()
        for event in (sent, came):
            h.org.tell(TILL, transfers=(event,), events=1)
        h.org.till(BAG, -1, "receipt 9")  # told after them: when it is entered, they have been handled
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert [h.org.numbers(each)[0] for each in (shop, way, far)] == [1, 0, 3]
        assert h.org.of("transfer:") == []


async def test_a_posting_that_comes_again_after_a_fold_is_entered_once() -> None:
    """The till publishes its sale again a year later."""
    async with house({BAG: 5}) as h:
        h.org.till(BAG, -1, "receipt 7")
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        h.org.age(days=200)
        assert (await fold(h)).rows == 2
        h.org.till(BAG, -1, "receipt 7")
        h.org.till(BAG, -1, "receipt 8")
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert [key for key, _, _ in h.org.of("posting:")] == ["posting:receipt 8"]
        assert h.org.numbers(BAG) == (3, 0)


class Evening(HastyClock):
    """The machine's time, moved so that at first it is a minute before two in the morning."""

    def __init__(self) -> None:
        super().__init__()
        real = datetime.now(UTC)
        self.ahead = (real + timedelta(days=1)).replace(hour=1, minute=59, second=0, microsecond=0) - real

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.mark.parametrize(("days", "left"), [(90, 1), (None, 3), (300, 3)])
async def test_where_the_settings_say_so_old_movements_fold_by_night(days: int | None, left: int) -> None:
    """Nobody asks. At two o'clock what is older than the set age folds; without the setting nothing does."""
    async with house({BAG: 5}) as h:
        await sold(h)
        await h.kill()
        h.clock, h.fold_nightly_days = Evening(), days
        await h.start()
        await h.idle()
        if days is not None:
            await h.until(lambda: (run := h.supervisor.folding.run) is not None and run.ended_at is not None)
        else:
            await h.clock.sleep(120)  # past two
            assert h.supervisor.folding.run is None
        assert (len(h.org.rows), h.org.numbers(BAG)) == (left, (4, 0))


async def test_an_open_order_and_a_young_movement_stay() -> None:
    """Only the closed and the old folds."""
    async with house({BAG: 5}) as h:
        await sold(h)
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.numbers(BAG) == (4, 1))
        await h.idle()
        h.org.age(days=200)
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 5, 5)
        run = await fold(h)
        assert run.rows == 3
        assert h.org.numbers(BAG) == (6, 1)
        assert [key for key, _, _ in h.org.of("order:")] == [f"order:dubai:{number}:1:0"]
        assert dict(run.kept) == {"their subject is open": 1, "younger than the set age": 1}


async def test_a_dry_run_counts_and_changes_nothing() -> None:
    """What would be folded is told first."""
    async with house({BAG: 5}) as h:
        await sold(h)
        before = dict(h.org.rows)
        run = await fold(h, dry_run=True)
        assert (run.rows, run.requests, h.org.folds) == (3, 0, [])
        assert h.org.rows == before


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late", "later"])
async def test_an_unknown_fold_is_known_in_the_end_and_happens_once(fate: str) -> None:
    """Time-outs before and after the effect: one opening row, the same stock."""
    async with house({BAG: 5}) as h:
        await sold(h)
        h.org.next.extend([fate])
        run = await fold(h)
        h.org.land()
        assert (run.rows, run.problems) == (3, [])
        assert (len(h.org.rows), h.org.numbers(BAG)) == (1, (4, 0))
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.shows("BAG-1", 3, 3)


async def test_a_kill_between_a_fold_and_its_answer_is_healed_by_the_next_start() -> None:
    """It happened, and nobody here knew: the next start asks, and the late return finds step 2."""
    async with house({BAG: 5}) as h:
        number = await sold(h)
        answer, sent = h.org.fold, h.until

        async def dies(asked: Fold, record_id: str) -> object:
            await answer(asked, record_id)
            raise AssertionError("the power failed")

        h.org.fold = dies  # type: ignore[assignment,method-assign]  # the org's answer never arrives
        assert h.supervisor.fold(FoldWish(DAYS)) is not None
        await sent(lambda: h.org.folds)
        await h.kill()
        h.org.fold = answer  # type: ignore[method-assign]  # the line works again
        assert len(h.org.rows) == 1
        await h.start()
        await h.until_kept(lambda tx: not tx.open_folds())
        h.shops["dubai"].change(number, returned_quantity=1, taken_quantity=0)
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.of("order:"))
        await h.idle()
        assert (steps(h), h.org.numbers(BAG)) == (["2"], (5, 0))


async def test_a_fold_that_cannot_be_proved_is_not_tried() -> None:
    """An org that does not keep a composite whole: nothing is deleted there."""
    async with house({BAG: 5}) as h:
        await sold(h)
        h.org.foldable = False
        run = await fold(h)
        assert run.problems == ["movements cannot be folded; assign the permission set"]
        assert h.org.folds == []


# -- rewritten ---------------------------------------------------------------------------------------


async def test_an_order_whose_movement_was_deleted_is_asked_for_again() -> None:
    """An administrator deletes the reservation's row: the incident says so, and the org is asked anew."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        h.org.forget(h.org.number_of(f"order:dubai:{number}:1:0"))
        await h.until(lambda: h.org.numbers(BAG) == (5, 1))
        await h.idle()
        (incident,) = await rewritten(h)
        assert incident.detail["subjects"] == [f"order:dubai:{number}:1"]
        await h.shows("BAG-1", 4, 4)


async def test_a_reservation_that_lost_its_row_is_reported_and_not_believed() -> None:
    """A cart's unit went back to the pool when its movement was deleted: the cart does not hold it."""
    async with house({BAG: 1}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        mine = outcome.reservation.id
        h.org.forget(h.org.number_of(f"reservation:{mine}:0:0"))
        await h.until_kept(lambda tx: tx.reservation(mine).state == "released")  # type: ignore[union-attr]  # it is there
        (incident,) = await rewritten(h)
        assert incident.detail["reservations_lost"] == [mine]
        await h.shows("BAG-1", 1, 1)


async def test_what_was_deleted_and_then_given_back_is_free_once() -> None:
    """Nobody has heard that a cart's movement is gone, and the cart gives it back: two bags, not three."""
    async with house({BAG: 2}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        mine = outcome.reservation.id
        await h.idle()
        h.org.forget(h.org.number_of(f"reservation:{mine}:0:0"), told=False)
        await h.desk.release(mine)
        await h.until(lambda: [units for *_, units in h.org.of("reservation:")] == [-1, 1])
        await h.idle()
        assert h.org.numbers(BAG) == (2, 0)
        await h.shows("BAG-1", 2, 2)
        assert len(await rewritten(h)) == 1


async def test_a_reservation_that_lost_one_of_its_articles_is_granted_the_others_alone() -> None:
    """A bag and a hat in one cart, and somebody deletes the hat's movement: nobody believes in the hat."""
    async with house({BAG: 1, "HAT|ECOM": 1}) as h:
        lines = (WishedLine("BAG-1", 1), WishedLine("HAT", 1))
        wish = Wish(ReservationKind.CART, "london", "cart 7", lines, timedelta(minutes=15))
        outcome = await h.desk.create(wish, idempotency_key=None, digest="")
        assert outcome.reservation is not None
        mine = outcome.reservation.id
        await h.shows("HAT", 0, 0)
        h.org.forget(h.org.number_of(f"reservation:{mine}:1:0"))
        await h.shows("HAT", 1, 1)

        def units(tx: Tx) -> list[int]:
            known = tx.reservation(mine)
            return [] if known is None else [line.quantity for line in known.lines]

        await h.until_kept(lambda tx: units(tx) == [1, 0])
        kept = await h.store.read(lambda tx: tx.reservation(mine))
        assert kept is not None
        assert (kept.state, kept.reason) == ("granted", "its movement was deleted from the org's ledger")
        (incident,) = await rewritten(h)
        assert incident.detail["reservations_lost"] == [mine]
        assert h.org.numbers(BAG) == (1, 1)


async def test_a_paid_reservation_whose_row_was_deleted_is_told_with_that_reason() -> None:
    """It was paid for in time: nobody is told that it had expired. The bag is there and asked for again."""
    async with house({BAG: 1}) as h:
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        mine = outcome.reservation.id
        assert (await h.desk.confirm(mine, "#500")).problem == ""
        await h.idle()
        h.org.forget(h.org.number_of(f"reservation:{mine}:0:0"))

        def told(tx: Tx) -> list[Incident]:
            return [each for each in tx.incidents(open_only=False) if each.kind == PAID_UNAVAILABLE]

        await h.until_kept(lambda tx: any(each.closed_at for each in told(tx)))
        (incident,) = await h.store.read(told)
        assert "deleted from the org's ledger" in incident.title
        await h.idle()
        assert h.org.numbers(BAG) == (1, 1)


async def test_a_late_reading_from_before_the_rewriting_does_not_win() -> None:
    """It shows a higher version, and stock that a restored backup has taken away."""
    async with house({BAG: 5}) as h:
        extra = h.org.move(BAG, on_hand=3)
        await h.shows("BAG-1", 8, 8)
        asked_at, old = h.clock.now(), h.org.level(BAG)
        h.org.forget(extra)
        await h.shows("BAG-1", 5, 5)
        await h.until_kept(lambda tx: not tx.to_read_again())
        bells = await h.store.write(lambda tx: apply_levels(tx, h.ctx, [old], asked_at))
        h.ctx.bell.ring(*bells)
        await h.until_kept(lambda tx: not tx.to_read_again())
        held = await h.store.read(lambda tx: tx.levels([old.key]))
        assert held[old.key][0] == h.org.level(BAG)
        await h.shows("BAG-1", 5, 5)


async def test_a_deletion_hidden_behind_newer_movements_is_found_when_folding() -> None:
    """Deleted, and others entered before we looked: no lower version betrays it, the missing row does."""
    async with house({BAG: 5}) as h:
        number = h.shops["dubai"].buy("BAG-1")
        await h.deliver("dubai", number)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        del h.org.rows[h.org.number_of(f"order:dubai:{number}:1:0")]
        h.org.move(BAG, on_hand=1, told=False)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 7, 7)
        h.org.age(days=200)
        run = await fold(h)
        assert "deleted by somebody" in run.problems[0]
        assert not h.org.folds
        await h.until(lambda: h.org.numbers(BAG) == (7, 1))
        assert len(await rewritten(h)) == 1
        await h.shows("BAG-1", 6, 6)


async def test_a_restored_backup_brings_folded_rows_back_and_is_taken_over() -> None:
    """The opening row is gone, the order's own rows are there again: the line's next step is still 2."""
    async with house({BAG: 5}) as h:
        number = await sold(h)
        rows, moments = dict(h.org.rows), dict(h.org.entered_at)
        await fold(h)
        h.org.rows, h.org.entered_at, h.org.folded = rows, moments, {}
        h.org.tell("wake-ups", levels=frozenset({h.org.level(BAG).record_id}), events=1)
        await h.until_kept(lambda tx: [each for each in tx.incidents() if each.kind == REWRITTEN])
        await h.until_kept(lambda tx: not tx.to_read_again())
        line = f"order:dubai:{number}:1"
        assert await h.store.read(lambda tx: tx.next_step(line)) == 2
        h.shops["dubai"].change(number, returned_quantity=1, taken_quantity=0)
        await h.deliver("dubai", number)
        await h.until(lambda: h.org.numbers(BAG) == (5, 0))
        assert steps(h) == ["0", "1", "2"]
