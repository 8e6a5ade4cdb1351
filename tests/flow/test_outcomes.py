"""Promises 1, 3, 4: the org decides, nothing beyond stock, postings never lost; and doubtful outcomes."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.flow.kit import House, house, total

from sfsync.domain.incidents import NEGATIVE
from sfsync.domain.reservations import ReservationKind, ReservationState, Wish, WishedLine
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.ports import Finding, Severity, TryLater
from sfsync.store.tx import SqlTx
from sfsync.web.incident_rows import incident_row

BAG = "BAG-1|ECOM"
GRANTED, REFUSED, PENDING = ReservationState.GRANTED, ReservationState.REFUSED, ReservationState.PENDING


async def test_the_last_one_is_reserved_once_however_many_ask() -> None:
    """Twelve carts at the same instant, one bag."""
    async with house({BAG: 1}) as h:
        asked = [h.reserve("BAG-1", shop=shop) for shop in ("london", "dubai") * 6]
        states = [
            outcome.reservation and outcome.reservation.state for outcome in await asyncio.gather(*asked)
        ]
        assert sorted(map(str, states)) == ["granted"] + ["refused"] * 11
        assert h.org.numbers(BAG) == (1, 1)
        await h.shows("BAG-1", 0, 0)


async def test_a_refusal_says_what_there_is() -> None:
    """Three wanted, two there."""
    async with house({BAG: 2}) as h:
        outcome = await h.reserve("BAG-1", 3)
        assert outcome.problem == "unavailable"
        assert outcome.available == {"BAG-1": {"ECOM": 2}}
        assert outcome.detail == "3 wanted of BAG-1|ECOM, 2 available"


async def test_late_buyers_are_told_that_it_is_sold_out_and_only_while_it_is() -> None:
    """The same question a moment later has the same answer, without a look at the books. A grant whose answer
    was lost is found by its key all the same, and a bag that comes back is sold to the next who asks."""
    async with house({BAG: 1}) as h:
        h.clock.stop()  # however slow the machine is, it is the same moment
        first = await h.reserve("BAG-1", key="k1", digest="d")
        assert first.reservation is not None
        assert (await h.reserve("BAG-1", key="k2", digest="d")).problem == "unavailable"
        await h.idle()
        late = [await h.reserve("BAG-1", key=f"late {number}", digest="d") for number in range(3)]
        assert {each.problem for each in late} == {"unavailable"}
        assert len({each.reservation and each.reservation.id for each in late}) == 3
        again = await h.reserve("BAG-1", key="k1", digest="d")
        assert again.reservation is not None
        assert again.reservation.id == first.reservation.id
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: any(level.on_hand == 2 for level in tx.levels_of(["BAG-1"])))
        granted = await h.reserve("BAG-1", key="k9", digest="d")
        assert granted.reservation is not None
        assert granted.reservation.state is GRANTED


async def test_an_answer_that_came_before_anybody_waited_for_it_is_there_at_once() -> None:
    """The writer was quicker than whoever had asked: nobody waits out a shopper's patience for it."""
    async with house({BAG: 1}) as h:
        entered: list[int] = []

        def write_down(tx: SqlTx) -> None:
            row = Movement("x:0", "x", LevelKey.parse(BAG), MovementKind.RECEIPT, 1, 0, "", "", h.clock.now())
            entered.append(tx.add_bundle([row], {"x": None}, h.clock.now()))

        await h.store.write(write_down)
        early = h.supervisor.writer.answered(entered[0])
        assert not early.done()
        h.ctx.bell.ring("writer")
        await h.until(lambda: h.org.numbers(BAG) == (2, 0))
        await h.until(early.done)
        assert h.supervisor.writer.answered(entered[0]).done()


async def test_the_org_says_no_where_our_picture_said_yes() -> None:
    """A counter sale that no event has told of yet: the org's rule, not our mirror, decides."""
    async with house({BAG: 1}) as h:
        h.org.move(BAG, on_hand=-1, told=False)
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        assert outcome.reservation.state is REFUSED
        assert h.org.numbers(BAG) == (0, 0)
        await h.shows("BAG-1", 0, 0)  # the answer carried the level: no event was needed


async def test_the_org_says_yes_where_our_picture_said_no() -> None:
    """A receipt that no event has told of yet: nobody is refused by a stale number."""
    async with house({BAG: 0}) as h:
        h.org.move(BAG, on_hand=1, told=False)
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None
        assert outcome.reservation.state is GRANTED


async def test_a_key_used_again_gives_the_same_reservation_and_for_another_wish_none() -> None:
    """A storefront that repeats itself gets one unit."""
    async with house({BAG: 5}) as h:
        asked = [h.reserve("BAG-1", key="k", digest="one") for _ in range(4)]
        numbers = {o.reservation.id for o in await asyncio.gather(*asked) if o.reservation}
        assert len(numbers) == 1
        assert (await h.reserve("BAG-1", key="k", digest="two")).problem == "key-reused"
        await h.idle()
        assert h.org.numbers(BAG) == (5, 1)


async def test_two_lines_are_granted_together_or_not_at_all() -> None:
    """The scarf is there, the bag is not."""
    async with house({BAG: 0, "SCARF|ECOM": 3}) as h:
        refused = await _both(h)
        assert refused is REFUSED
        assert h.org.numbers("SCARF|ECOM") == (3, 0)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 1, 1)
        assert await _both(h) is GRANTED
        assert (h.org.numbers(BAG), h.org.numbers("SCARF|ECOM")) == ((1, 1), (3, 1))


async def _both(h: House) -> ReservationState | None:
    lines = (WishedLine("BAG-1", 1), WishedLine("SCARF", 1))
    wish = Wish(ReservationKind.CART, "london", "cart", lines, timedelta(minutes=9))
    outcome = await h.desk.create(wish, idempotency_key=None, digest="")
    return outcome.reservation.state if outcome.reservation else None


async def test_refused_while_an_attempt_is_under_way_is_made_final_by_a_void_row() -> None:
    """The first attempt is late, the stock is gone meanwhile, and when it lands it must not be granted."""
    async with house({BAG: 1}) as h:
        h.org.next.append("late")
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.org.under_way)
        h.org.move(BAG, on_hand=-1, told=False)
        outcome = await asked
        assert outcome.reservation is not None
        assert outcome.reservation.state is REFUSED
        h.org.move(BAG, on_hand=1, told=False)
        h.org.land()
        assert h.org.numbers(BAG) == (1, 0)
        assert h.org.of("reservation:") == [(f"reservation:{outcome.reservation.id}:0:0", 0, 0)]


async def test_a_restart_does_not_forget_that_an_attempt_may_be_under_way() -> None:
    """Sent, killed, the stock gone: refused only behind a void row, so the late attempt grants nothing."""
    async with house({BAG: 1}) as h:
        h.org.next.append("late")
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.org.under_way)
        h.org.move(BAG, on_hand=-1)
        await h.until_kept(lambda tx: tx.levels_of(["BAG-1"])[0].on_hand == 0)
        await h.kill()
        await asyncio.gather(asked, return_exceptions=True)
        await h.start()
        await h.idle()
        h.org.move(BAG, on_hand=1)
        h.org.land()
        assert total(h.org.of("reservation:")) == (0, 0)
        assert h.org.numbers(BAG) == (1, 0)


async def test_a_void_row_that_finds_the_reservation_granted_grants_it() -> None:
    """The late attempt lands between the refusal and the void row."""
    async with house({BAG: 1}) as h:
        h.org.next.extend(["late", "", "lost"])  # the void row is on its way for a while
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.org.under_way)
        h.org.move(BAG, on_hand=-1, told=False)  # the second attempt is refused ...
        await h.until(lambda: len(h.org.requests) >= 2)
        h.org.move(BAG, on_hand=1, told=False)  # ... a receipt, and the first attempt arrives
        h.org.land()
        outcome = await asked
        assert outcome.reservation is not None
        assert outcome.reservation.state is GRANTED
        assert h.org.numbers(BAG) == (1, 1)


@pytest.mark.parametrize("seed", range(4))
async def test_word_and_ledger_agree_under_any_trouble(seed: int) -> None:
    """Whatever gets lost or late, who was told yes holds one unit, who was told no holds none."""
    chance = random.Random(seed)
    async with house({BAG: 3}) as h:
        asked = []
        for _ in range(8):
            h.org.next.append(chance.choice(["", "later", "lost", "reply lost", "late"]))
            asked.append(asyncio.create_task(h.reserve("BAG-1", shop=chance.choice(["london", "dubai"]))))
            if chance.random() < 0.3:
                h.org.move(BAG, on_hand=chance.choice([-1, 1]), told=chance.random() < 0.5)
            for _ in range(chance.randrange(20)):
                await asyncio.sleep(0)
            if chance.random() < 0.3:
                h.org.land()
        outcomes = await asyncio.gather(*asked)
        h.org.next.clear()
        h.org.land()
        await h.idle()
        for outcome in outcomes:
            assert outcome.reservation is not None
            told = await h.desk.get(outcome.reservation.id)
            assert told is not None
            held = total(h.org.of(f"reservation:{told.id}:"))
            assert (told.state, held) in ((GRANTED, (0, 1)), (REFUSED, (0, 0)))


async def test_a_reservation_refused_here_is_asked_for_elsewhere_also_after_a_void_row() -> None:
    """The void row has the first number of the subject; the next place gets the next number."""
    async with house({BAG: 1, "BAG-1|KNIGHTSBRIDGE": 1}) as h:
        h.org.next.append("lost")
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.org.requests)
        h.org.move(BAG, on_hand=-1, told=False)
        outcome = await asked
        assert outcome.reservation is not None
        assert outcome.reservation.state is GRANTED
        assert h.org.numbers("BAG-1|KNIGHTSBRIDGE") == (1, 1)


async def test_an_expired_reservation_gives_its_unit_back_once() -> None:
    """Forgotten carts, and a restart in the middle."""
    async with house({BAG: 2}) as h:
        await h.reserve("BAG-1", life=timedelta(milliseconds=50))
        h.org.next.extend(["reply lost", "lost"])
        await h.until(lambda: len(h.org.requests) > 1)
        await h.kill()
        await h.start()
        await h.idle()
        assert h.org.numbers(BAG) == (2, 0)
        assert len(h.org.of("reservation:")) == 2
        await h.shows("BAG-1", 2, 2)


async def test_an_expiry_racing_the_order_loses_and_doubles_no_unit() -> None:
    """The order that was sold on it arrives at the moment its time is over; then a release, twice."""
    for pause in range(6):
        async with house({BAG: 1}) as h:
            outcome = await h.reserve("BAG-1", shop="dubai", life=timedelta(milliseconds=40 + 10 * pause))
            assert outcome.reservation is not None
            number = outcome.reservation.id
            h.shops["dubai"].shelf["BAG-1"] = 1  # it lets the cart's owner pay
            order = h.shops["dubai"].buy("BAG-1", reservations=(number,))
            await h.deliver("dubai", order)
            await h.desk.release(number)
            await h.desk.release(number)
            await h.until(lambda: total(h.org.of("order:")) == (0, 1))
            await h.idle()
            assert h.org.numbers(BAG) == (1, 1)
            assert total(h.org.of("reservation:")) == (0, 0)


async def test_a_confirmed_reservation_waits_for_its_order_and_is_settled_by_it() -> None:
    """No second claim: one bundle moves the unit, and the reservation is over."""
    async with house({BAG: 3}) as h:
        outcome = await h.reserve("BAG-1", shop="dubai", life=timedelta(milliseconds=300))
        assert outcome.reservation is not None
        number = outcome.reservation.id
        assert (await h.desk.confirm(number, "#1001")).problem == ""
        order = h.shops["dubai"].buy("BAG-1", reservations=(number,))
        await h.deliver("dubai", order)
        await h.idle()
        settled = await h.desk.get(number)
        assert settled is not None
        assert settled.state is ReservationState.SETTLED
        assert h.org.numbers(BAG) == (3, 1)
        assert [sorted(keys) for keys in h.org.requests][-1] == [
            f"order:dubai:{order}:1:0",
            f"reservation:{number}:0:1",
        ]
        await h.shows("BAG-1", 2, 2)


async def test_nobody_can_be_granted_while_the_orgs_rule_is_off() -> None:
    """An administrator switched the rule off: reservations wait, postings go on."""
    async with house({BAG: 3}) as h:
        h.pulse.rule_error = "the rule is not active"
        assert (await h.reserve("BAG-1")).problem == "later"
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 2, 2)


async def test_a_rule_found_off_at_the_start_is_an_error_until_it_is_on() -> None:
    """Checked at the start and looked at again soon."""
    async with house({BAG: 3}) as h:
        await h.kill()
        h.org.findings = [Finding(Severity.FATAL, "the rule is not active", "activate it")]
        await h.start()
        await h.until(lambda: h.pulse.rule_error)
        h.org.findings = []
        await h.until(lambda: not h.pulse.rule_error)
        outcome = await h.reserve("BAG-1")
        assert outcome.reservation is not None


async def test_stock_below_zero_that_nobody_was_promised_is_no_promise_broken() -> None:
    """More was sold at the counter than the books had: to be counted, and nobody's order is at stake."""
    async with house({BAG: 1}) as h:
        h.org.till(BAG, -3, "R1")
        await h.until_kept(lambda tx: tx.incidents())
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.key) == (NEGATIVE, BAG)
        assert incident.title == f"{BAG} is at -2: more has left than came"
        row = incident_row(incident, (), None, h.clock.now())
        assert (row["ways"], "sfsync count" in row["detail"]) == (["wait"], True)
        h.org.move(BAG, on_hand=4)
        await h.until_kept(lambda tx: not tx.incidents())


async def test_a_posting_that_uncovers_a_promise_is_entered_and_raised() -> None:
    """The reserved bag is sold at the counter; a receipt ends the incident."""
    async with house({BAG: 1}) as h:
        await h.reserve("BAG-1")
        h.org.till(BAG, -1, "receipt-1")
        await h.until(lambda: h.org.numbers(BAG) == (0, 1))
        await h.until_kept(lambda tx: tx.incidents())
        (incident,) = await h.store.read(lambda tx: tx.incidents())
        assert (incident.kind, incident.key, incident.detail["units"]) == ("oversold", BAG, 1)
        h.org.move(BAG, on_hand=1)
        await h.until_kept(lambda tx: not tx.incidents())


async def test_a_posting_for_a_level_we_have_not_heard_of_is_entered_when_it_is_known() -> None:
    """The till is quicker than the event of the new level."""
    async with house({BAG: 1}) as h:
        h.org.add("SCARF|ECOM", 4)
        h.org.till("SCARF|ECOM", -1, "receipt-1")
        await h.until(lambda: h.org.numbers("SCARF|ECOM") == (3, 0))


async def test_what_the_org_will_never_take_is_set_aside_with_its_reason_and_does_not_loop() -> None:
    """An administrator's validation refuses our releases; orders go on."""
    async with house({BAG: 5}) as h:
        h.org.wrong.add("Release")
        first = h.shops["dubai"].buy("BAG-1", 2)
        await h.deliver("dubai", first)
        await h.until(lambda: total(h.org.of("order:")) == (0, 2))
        h.shops["dubai"].change(first, open_quantity=1, taken_quantity=1)
        await h.deliver("dubai", first)
        await h.until_kept(lambda tx: tx.dead_letters())
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        assert (letter.source, letter.reason) == ("ledger", "wrong")
        calls = len(h.org.requests)
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: total(h.org.of("order:")) == (0, 3))
        assert len(h.org.requests) <= calls + 2


async def test_a_release_that_meets_a_conflict_is_recomputed() -> None:
    """Our store knew less than the org: the units go back all the same."""
    async with house({BAG: 5}) as h:
        outcome = await h.reserve("BAG-1", 2)
        assert outcome.reservation is not None
        number = outcome.reservation.id
        held = h.org.rows[
            next(key for key, row in h.org.rows.items() if row.subject.startswith("reservation"))
        ]
        h.org.rows["M900"] = replace(held, key=f"reservation:{number}:0:1", reserved_delta=-1)
        assert (await h.desk.release(number)).problem == ""
        await h.until(lambda: h.org.numbers(BAG) == (5, 0))
        await h.shows("BAG-1", 5, 5)


async def test_who_comes_when_it_has_just_been_sold_out_is_told_so_without_asking_again() -> None:
    """A drop's late buyers: the org is asked once, then again when something may have come back."""
    async with house({BAG: 1}, shops=("london",)) as h:
        first = await h.reserve("BAG-1")
        assert first.reservation is not None
        assert first.reservation.state is GRANTED
        h.org.requests.clear()
        h.clock.stop()
        late = [await h.reserve("BAG-1") for _ in range(6)]
        assert [one.reservation and one.reservation.state for one in late] == [REFUSED] * 6
        assert [one.problem for one in late] == ["unavailable"] * 6
        assert len(h.org.requests) <= 1
        await h.desk.release(first.reservation.id)
        again = await h.reserve("BAG-1")  # what was given back is not kept from the next buyer
        assert again.reservation is not None
        assert again.reservation.state is GRANTED


async def test_a_refusal_that_was_not_asked_for_is_the_keys_answer_too() -> None:
    """The same key twice, one of them after a unit has come back: the same answer, as ever."""
    async with house({BAG: 0}, shops=("london",)) as h:
        h.clock.stop()
        await h.reserve("BAG-1")
        told = await h.reserve("BAG-1", key="buyer 2", digest="d")
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 1)
        again = await h.reserve("BAG-1", key="buyer 2", digest="d")
        assert told.reservation is not None
        assert told.reservation.reason == "1 wanted of BAG-1|ECOM, 0 available a moment ago"
        assert again.reservation == told.reservation


@pytest.mark.parametrize("fate", ["lost", "later"])
async def test_an_org_that_takes_no_sale_is_told_although_it_answers_questions(fate: str) -> None:
    """Whatever it answers meanwhile; all is well again with the next sale that it takes."""
    async with house({BAG: 5}) as h:
        h.org.next.extend([fate] * 3)
        asked = asyncio.create_task(h.reserve("BAG-1"))
        await h.until(lambda: h.pulse.entering_error)
        assert await h.ctx.org.sums()
        assert h.pulse.org_error
        await asked
        await h.until(lambda: not h.pulse.org_error)


async def test_an_org_that_does_not_answer_is_told_whoever_asked_it() -> None:
    """By the comparison, by the SKU's page, by a reading in pages; and any answer takes it back."""
    async with house({BAG: 5}) as h:
        h.org.cut_off = True
        with pytest.raises(TryLater):
            await h.ctx.org.sums()
        assert h.pulse.org_error == "the org is away"
        h.org.cut_off = False
        assert await h.ctx.org.levels_of_skus(["BAG-1"])
        assert h.pulse.org_error == ""
        h.org.cut_off = True
        with pytest.raises(TryLater):
            _ = [page async for page in h.ctx.org.export()]
        assert h.pulse.org_error == "the org is away"
        h.org.cut_off = False
        _ = [page async for page in h.ctx.org.export()]
        assert h.pulse.org_error == ""
