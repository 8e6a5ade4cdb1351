"""People are woken once when something begins, once when it is over, and never for what is past."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from tests.channels.clock import HandClock
from tests.flow.kit import House, house

from sfsync.domain.alerts import SILENT_AFTER, AlertKind, Notice
from sfsync.domain.budget import HourOfCalls, Outlook, Standing, Usage, Work
from sfsync.domain.callbacks import Patience
from sfsync.domain.exposure import Exposure
from sfsync.domain.forecast import Space
from sfsync.domain.incidents import SET_ASIDE
from sfsync.flow.alerting import Alerts, Limits
from sfsync.ports import Finding, Gone, OutsideError, Refused, TryLater, Unusable
from sfsync.store.tx import SqlTx

BAG = "BAG-1|ECOM"
Look = Callable[[], Awaitable[list[str]]]


class Pager:
    """Somebody who is told; `heard` keeps what it took, in order: "+" for a beginning, "-" for an end."""

    patience = Patience(set_aside_after=timedelta(days=1), schedule_seconds=(0.02,), probe_seconds=0.02)

    def __init__(self, name: str = "pager", kinds: Collection[AlertKind] = ()) -> None:
        self.name, self.kinds = name, frozenset(kinds)
        self.heard: list[str] = []
        self.tried: list[str] = []
        self.failure: Exception | None = None

    async def check(self) -> Sequence[Finding]:
        return ()

    async def tell(self, notice: Notice) -> None:
        self.tried.append(notice.message_id)
        if self.failure is not None:
            raise self.failure
        self.heard.append(("+" if notice.resolved_at is None else "-") + notice.title)

    async def close(self) -> None:
        return None


@asynccontextmanager
async def alerts(h: House, *receivers: Pager) -> AsyncIterator[None]:
    """Alerts of the running house, until the block ends."""
    task = asyncio.create_task(Alerts(h.ctx, receivers, Limits()).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def raises(h: House, title: str) -> None:
    await h.store.write(lambda tx: tx.open_incident("oversold", title, title, {}, h.clock.now()))


async def ends(h: House, title: str) -> None:
    await h.store.write(lambda tx: tx.close_incident("oversold", title, h.clock.now()))


async def test_an_incident_is_told_once_and_its_end_once() -> None:
    """However often it is looked at, and over a restart."""
    pager = Pager()
    async with house({BAG: 5}) as h:
        await raises(h, "sold twice")
        async with alerts(h, pager):
            await h.until(lambda: pager.heard == ["+sold twice"])
            await h.until_kept(lambda tx: tx.next_notice("pager") is None)
        async with alerts(h, pager):
            await raises(h, "sold thrice")
            await h.until(lambda: len(pager.heard) == 2)
            await ends(h, "sold twice")
            await h.until(lambda: len(pager.heard) == 3)
    assert pager.heard == ["+sold twice", "+sold thrice", "-sold twice"]


async def test_a_receiver_that_was_away_hears_what_is_so_and_not_what_has_been() -> None:
    """What began and ended meanwhile is no news; a try that failed is the same message again."""
    pager = Pager()
    async with house({BAG: 5}) as h:
        pager.failure = TryLater("it answers 503")
        async with alerts(h, pager):
            await raises(h, "over soon")
            await h.until(lambda: len(pager.tried) > 2)
            assert len(set(pager.tried)) == 1
            await ends(h, "over soon")
            await h.until_kept(lambda tx: not tx.open_alerts())
            await raises(h, "still so")
            await h.until_kept(lambda tx: tx.open_alerts())
            pager.failure = None
            await h.until(lambda: pager.heard)
            await h.until_kept(lambda tx: tx.failing("alerts:pager") is None)
    assert pager.heard == ["+still so"]


async def test_whoever_asks_for_one_kind_hears_of_no_other() -> None:
    """The desk has the dead letters, all of a source as one; the pager everything."""
    pager, desk = Pager(), Pager("desk", [AlertKind.DEAD_LETTERS])
    async with house({BAG: 5}) as h, alerts(h, pager, desk):
        now = h.clock.now()
        await raises(h, "sold twice")
        for number in range(3):
            await h.store.write(
                lambda tx, number=number: tx.dead_letter("london", f"push:{number}", "no", "look", "", now)
            )
        await h.until(lambda: desk.heard and len(pager.heard) > 1)
        for number in range(3):
            await h.store.write(lambda tx, number=number: tx.drop_dead_letter("london", f"push:{number}"))
        await ends(h, "sold twice")
        await h.until(lambda: len(desk.heard) == 2 and len(pager.heard) == 4)
    assert [each[0] for each in desk.heard] == ["+", "-"]
    assert "of london cannot be handled without a person" in desk.heard[0]


async def test_a_receiver_that_wants_no_more_is_an_incident_of_which_the_others_hear() -> None:
    """Until it takes messages again."""
    pager, desk = Pager(), Pager("desk")
    async with house({BAG: 5}) as h, alerts(h, pager, desk):
        pager.failure = Gone("it answers 410")
        await raises(h, "sold twice")
        await h.until(lambda: any("alerts:pager takes no callbacks" in each for each in desk.heard))
        assert [i.key for i in await h.store.read(lambda tx: tx.incidents()) if i.kind == SET_ASIDE] == [
            "alerts:pager"
        ]
        pager.failure = None
        await h.until(lambda: "+sold twice" in pager.heard)
        await h.until(lambda: any(each.startswith("-alerts:pager") for each in desk.heard))
        assert pager.heard == ["+sold twice"]


async def test_a_message_that_a_receiver_cannot_use_does_not_hold_back_the_next() -> None:
    """It is given up, and told in the log."""
    pager = Pager()
    async with house({BAG: 5}) as h, alerts(h, pager):
        pager.failure = Unusable("it answers 422")
        await raises(h, "odd")
        await h.until(lambda: [line for line in h.logged if line["event"] == "alert refused"])
        pager.failure = None
        await raises(h, "plain")
        await h.until(lambda: pager.heard == ["+plain"])


async def test_a_hole_that_stays_open_is_told_until_it_is_closed() -> None:
    """One of a moment is not."""
    async with house({BAG: 5}) as h:
        clock = HandClock()
        clock.at = datetime.now(UTC)
        look = watching(h, clock)
        await h.store.write(lambda tx: tx.open_hole("a topic", clock.at, "it broke", clock.at))
        assert await look() == []
        clock.at += timedelta(minutes=1)
        assert await look() == ["hole"]
        await h.store.write(lambda tx: [tx.close_hole(hole.id, clock.at) for hole in tx.open_holes()])
        assert await look() == []


async def test_silence_is_told_when_it_lasts() -> None:
    """Of the org after a minute without an answer, of a stream after more than its longest pause."""
    async with house({BAG: 5}) as h:
        clock = HandClock()
        clock.at = datetime.now(UTC)
        look = watching(h, clock)
        h.pulse.topics = ("a topic",)
        h.pulse.last_sign["a topic"] = clock.at
        h.pulse.entering_error = "timed out"
        assert await look() == []
        clock.at += timedelta(minutes=1)
        h.pulse.last_sign["a topic"] = clock.at
        assert await look() == ["silence"]
        h.pulse.entering_error = ""
        assert await look() == []
        clock.at += SILENT_AFTER + timedelta(seconds=1)
        assert await look() == ["silence"]


async def test_a_shop_whose_orders_are_not_heard_is_told() -> None:
    """At once where it refuses us; where it only does not answer, when an order would be late by now."""
    async with house({BAG: 5}) as h:
        clock = HandClock()
        clock.at = h.clock.now()
        look, london = watching(h, clock), h.shops["london"]
        revoked = Refused("HTTP 401", advice="give the app a new token")
        for says, minutes, told in (
            (TryLater("no answer"), 0, []),
            (None, 0, []),
            (TryLater("no answer"), 30, ["silence"]),
            (None, 0, []),
            (revoked, 0, ["silence"]),
            (None, 0, []),
        ):
            london.shut = says
            if minutes:
                heard = h.clock.now() - timedelta(minutes=minutes)
                await h.store.write(lambda tx, heard=heard: tx.put_poll_mark("london", heard))
            with suppress(OutsideError):
                await h.supervisor.polls.poll("london")
            assert await look() == told


async def test_shortages_are_told_before_they_hurt() -> None:
    """API calls of which some work already waits; storage and rows that are used up within a month."""
    async with house({BAG: 5}) as h:
        clock = HandClock()
        look = watching(h, clock)
        until = clock.at + timedelta(hours=2)
        paused = Standing(90_000, 100_000, 70_000, 80_000, 20_000, {Work.BULK: until}, refused=False)
        h.pulse.calls = lambda: paused
        h.pulse.space = Space(1024, 10, 9_000, 500, 10, BAG, 9_000, BAG, 2)
        assert await look() == []
        clock.at += timedelta(minutes=1)
        assert await look() == ["allowance"] * 3
        h.pulse.calls = lambda: replace(paused, paused={})
        h.pulse.space = replace(h.pulse.space, full_in_days=200, crowded_in_days=None)
        assert await look() == []


async def test_calls_and_deliveries_that_will_be_used_up_are_told_before_they_are() -> None:
    """At everybody's pace, within the next 24 hours; not when the pace has fallen."""
    async with house({BAG: 5}) as h:
        clock = HandClock()
        look = watching(h, clock)
        soon = Outlook(9_000, 100_000, clock.at + timedelta(hours=5))
        calls = Standing(60_000, 100_000, 9_000, 80_000, 20_000, {}, refused=False, outlook=soon)
        h.pulse.calls = lambda: calls
        hours = tuple(
            HourOfCalls(clock.at - timedelta(hours=ago), used=used)
            for ago, used in ((1, 30_000), (0, 48_000))
        )
        h.pulse.delivered = Usage(0, hours, 50_000)
        assert await look() == []
        clock.at += timedelta(minutes=1)
        assert await look() == ["allowance", "allowance"]
        h.pulse.calls = lambda: replace(calls, outlook=replace(soon, used_up_at=None))
        h.pulse.delivered = None
        assert await look() == []


async def test_exposure_beyond_the_limit_is_told_and_at_the_limit_is_not() -> None:
    """Units that a mirrored channel shows and nobody has to sell."""

    def exposed(tx: SqlTx, units: int) -> None:
        levels = tx.channel_levels(["BAG-1"], "london")
        tx.put_numbers([replace(each, exposure=Exposure(units=units)) for each in levels])

    async with house({BAG: 5}) as h:
        clock = HandClock()
        look = watching(h, clock, Limits(exposed_units=4))
        for units, expected in ((4, []), (5, ["exposure"]), (4, [])):
            await h.store.write(lambda tx, units=units: exposed(tx, units))
            await look()
            clock.at += timedelta(minutes=1)
            assert await look() == expected


def watching(h: House, clock: HandClock, limits: Limits | None = None) -> Look:
    """Looks by a clock in the hand; what holds then, by kind."""
    watcher = Alerts(replace(h.ctx, clock=clock), [Pager()], limits or Limits())

    async def look() -> list[str]:
        await watcher.look()
        return sorted(key.partition(":")[0] for key in await h.store.read(lambda tx: tx.open_alerts()))

    return look


async def test_who_is_taken_on_while_something_goes_on_is_told_of_it_once() -> None:
    """By changed settings or at a start; of what he is to hear; and of its end, as everybody."""
    old, new, deaf = Pager("old"), Pager("new"), Pager("deaf", [AlertKind.SILENCE])
    async with house({BAG: 5}) as h:
        watcher = Alerts(h.ctx, [old], Limits())
        task = asyncio.create_task(watcher.run())
        await raises(h, "sold twice")
        await h.until(lambda: old.heard == ["+sold twice"])
        await watcher.adopt([old, new, deaf], Limits())
        await h.until(lambda: new.heard == ["+sold twice"])
        await h.until_kept(lambda tx: tx.next_notice("new") is None)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        late = Pager("late")
        async with alerts(h, old, new, deaf, late):
            await h.until(lambda: late.heard == ["+sold twice"])
            await ends(h, "sold twice")
            await h.until(lambda: len(late.heard) == len(new.heard) == len(old.heard) == 2)
    assert old.heard == new.heard == late.heard == ["+sold twice", "-sold twice"]
    assert deaf.heard == []


async def test_who_is_let_go_hears_no_more_and_who_is_another_now_is_tried_at_once() -> None:
    """A receiver that was set aside for its wrong address need not wait for its next turn."""
    gone, wrong, right = Pager("gone"), Pager("pager"), Pager("pager")
    wrong.patience = replace(Pager.patience, schedule_seconds=(86_400.0,))
    async with house({BAG: 5}) as h:
        watcher = Alerts(h.ctx, [gone, wrong], Limits())
        task = asyncio.create_task(watcher.run())
        wrong.failure = TryLater("nobody lives there")
        await raises(h, "sold twice")
        await h.until(lambda: bool(gone.heard and wrong.tried))
        await h.until_kept(lambda tx: tx.next_notice("gone") is None)
        await h.until_kept(lambda tx: tx.failing("alerts:pager"))
        await watcher.adopt([right], Limits())
        await h.until(lambda: right.heard == ["+sold twice"])
        await raises(h, "sold thrice")
        await h.until(lambda: len(right.heard) == 2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert gone.heard == ["+sold twice"]


async def test_nobody_is_told_until_somebody_is_taken_on() -> None:
    """A house that has named nobody may name somebody without a restart."""
    pager = Pager()
    async with house({BAG: 5}) as h:
        watcher = Alerts(h.ctx, [], Limits())
        task = asyncio.create_task(watcher.run())
        await raises(h, "sold twice")
        await watcher.adopt([pager], Limits())
        await h.until(lambda: pager.heard == ["+sold twice"])
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await watcher.close()
