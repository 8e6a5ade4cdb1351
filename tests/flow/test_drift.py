"""Cheap looks find what no event and no push has told: in the org by sums, at channels by sample."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from sqlalchemy import update
from tests.flow.kit import House, house

from sfsync.domain.drift import Pace
from sfsync.domain.resync import Scope
from sfsync.flow.drift import WHOLE_SECONDS, DriftWatch
from sfsync.overview import Overview
from sfsync.store.tables import drift as drift_table

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"
Told = list[tuple[object, object, object, object, object]]


def watch(h: House, *, started: int = 0, **pace: int) -> DriftWatch:
    """Looks at once, and takes what is there for settled."""
    h.pulse.started_at = h.pulse.started_at.replace(microsecond=started)
    made = Pace(settle=timedelta(0), **pace)
    return DriftWatch(h.ctx, h.supervisor.polls, h.supervisor.reconcile, made)


async def told(looks: DriftWatch) -> Told:
    found = (await looks.tell())["open"]
    assert isinstance(found, list)
    return [(row["channel"], row["sku"], row["ours"], row["theirs"], row["code"]) for row in found]


async def test_a_movement_that_no_event_told_of_is_found_by_sums_and_put_right_by_a_resync() -> None:
    """One level of four differs; what is applied ends it."""
    stock = {BAG: 5, SCARF: 5, "BAG-1|MALL": 2, "SCARF|MALL": 2}
    async with house(stock, shops=("london",)) as h:
        looks = watch(h)
        h.org.summed = 0
        assert await looks.look_at_org() == 0
        assert h.org.summed <= 3  # the sums of both places, and nothing else
        h.org.move("SCARF|MALL", on_hand=-1, told=False)
        assert await looks.look_at_org() == 1
        assert await told(looks) == [("org", "SCARF", 2, 1, "missed-event")]
        plan = await h.supervisor.resync.compare(Scope(("SCARF",)))
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("SCARF", 6)
        assert await told(looks) == []
        assert await looks.look_at_org() == 0
        assert await told(looks) == []


async def test_a_level_that_is_gone_from_the_org_is_found() -> None:
    """Deleted, and no event told of it: it counts as empty."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        looks = watch(h)
        del h.org.keys[h.org.id_of(h.org.level(SCARF).key)]
        assert await looks.look_at_org() == 1
        assert await told(looks) == [("org", "SCARF", 5, 0, "missed-event")]


async def test_a_look_stays_within_its_calls() -> None:
    """Two calls are allowed: the sums, and one reading; the other place waits for the next look."""
    async with house({BAG: 5, "BAG-1|MALL": 2}, shops=("london",)) as h:
        looks = watch(h, org_calls=2)
        h.org.move(BAG, on_hand=-1, told=False)
        h.org.move("BAG-1|MALL", on_hand=-1, told=False)
        assert await looks.look_at_org() == 1
        assert looks.checked.org_calls == 2


async def test_an_edit_at_a_channel_is_found_in_turn_and_ends_when_it_is_right_again() -> None:
    """Two SKUs, one in each look."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london, looks = h.shops["london"], watch(h, sample_skus=1)
        london.shelf["SCARF"] = 9
        assert await looks.look_at("london") == 1
        assert await told(looks) == []
        assert await looks.look_at("london") == 1
        assert await told(looks) == [("london", "SCARF", 5, 9, "manual-edit")]
        london.shelf["SCARF"] = 5
        assert await looks.look_at("london") == 1  # what differed is read again first
        assert await told(looks) == []


async def test_a_lower_number_is_an_order_perhaps_and_an_edit_after_ten_minutes() -> None:
    """The drift is known for a while, and no order has explained it; a resync then says the same."""
    async with house({BAG: 5}, shops=("london",)) as h:
        looks = watch(h)
        h.shops["london"].shelf["BAG-1"] = 4
        await looks.look_at("london")
        assert await told(looks) == [("london", "BAG-1", 5, 4, "order-unseen")]
        earlier = h.clock.now() - timedelta(minutes=11)
        await h.store.write(lambda tx: tx.connection.execute(update(drift_table).values(found_at=earlier)))
        await looks.look_at("london")
        assert await told(looks) == [("london", "BAG-1", 5, 4, "manual-edit")]
        plan = await h.supervisor.resync.compare()
        assert [row.cause.value for row in plan.rows] == ["changed at the channel"]


async def test_a_sale_is_no_drift() -> None:
    """The order list is read before the number."""
    async with house({BAG: 5}, shops=("london",)) as h:
        looks = watch(h)
        h.shops["london"].buy("BAG-1")
        await looks.look_at("london")
        assert await told(looks) == []


async def test_an_org_that_does_not_answer_keeps_nobody_from_looking_at_channels() -> None:
    """Its error is told; the shop's edit is found."""
    async with house({BAG: 5}, shops=("london",)) as h:
        looks = watch(h)
        h.org.cut_off = True
        h.shops["london"].shelf["BAG-1"] = 9
        await looks.look()
        assert looks.checked.org_error == "the org is away"
        assert await told(looks) == [("london", "BAG-1", 5, 9, "manual-edit")]


async def test_drift_is_told_by_cause_and_day_and_on_the_status() -> None:
    """Also after it is over."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        looks = watch(h)
        h.shops["london"].shelf |= {"BAG-1": 9, "SCARF": 6}
        await looks.look_at("london")
        today = h.clock.now().date().isoformat()
        assert (await looks.tell())["days"] == [
            {"day": today, "channel": "london", "cause": "changed at the channel", "found": 2, "units": 5}
        ]
        status = await Overview(h.store, h.ctx.assortment, h.clock, {"london": "shopify"}, h.pulse).status()
        reason = "2 numbers differ although nothing is under way: `sfsync drift`."
        assert reason in status["health"]["reasons"]
        h.shops["london"].shelf |= {"BAG-1": 5, "SCARF": 5}
        await looks.look_at("london")
        assert await h.store.read(lambda tx: tx.count_drifts()) == 0
        assert len((await looks.tell())["days"]) == 1  # type: ignore[arg-type]  # reason: a list


async def test_a_daemon_that_is_restarted_often_is_looked_at_all_the_same() -> None:
    """The first look comes soon after the start, and not before all that is being read has been read."""
    async with house({BAG: 5}, shops=("london",)) as h:
        now, asleep = h.clock.now(), h.clock.asleep
        await h.store.write(lambda tx: tx.open_hole("a stream", now, "it was away", now))
        looks = watch(h, soon_seconds=31, every_seconds=901)
        run = asyncio.create_task(looks.run())
        await h.until(lambda: asleep[WHOLE_SECONDS])
        assert (asleep[31], looks.checked.org_at) == (0, None)
        (hole,) = await h.store.read(lambda tx: tx.open_holes())
        await h.store.write(lambda tx: tx.close_hole(hole.id, h.clock.now()))
        await h.until(lambda: asleep[31])
        assert looks.checked.org_at is None
        await h.until(lambda: asleep[901])
        assert looks.checked.org_at is not None
        assert list(looks.checked.channel_at) == ["london"]
        run.cancel()


async def test_each_start_begins_its_round_of_a_channel_elsewhere() -> None:
    """Ten are read in a look, and after the first look it is started again: not the same ten."""
    many = {f"BAG-{number:02}|ECOM": 5 for number in range(40)}
    async with house(many, shops=("london",)) as h:
        for sku in h.shops["london"].shelf:
            h.shops["london"].shelf[sku] += 1
        found, known = list[list[str]](), set[object]()
        for part in (0, 250_000, 990_000):
            looks = watch(h, started=part, sample_skus=10)
            await looks.look_at("london")
            skus = {row[1] for row in await told(looks)}
            found.append(sorted(map(str, skus - known)))
            known |= skus
        assert [(each[0], each[-1]) for each in found] == [
            ("BAG-00", "BAG-09"),
            ("BAG-10", "BAG-19"),
            ("BAG-39", "BAG-39"),
        ]
