"""A channel whose settings mean another location or shop than before: nothing goes on under the old ids."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.resync import Cause, Scope, TooMuchError
from sfsync.domain.why import Question
from sfsync.flow.why import Why
from sfsync.overview.health import channel_state
from sfsync.store import views

MANY = {f"BAG-{number:02}|ECOM": 9 for number in range(30)}
SKUS = [key.partition("|")[0] for key in MANY]
OUTLET = dict.fromkeys(SKUS, 3)


async def moved(h: House, shelf: dict[str, int], place: str = "place 2") -> None:
    """The daemon is started anew with London at another of its shop's locations, which shows that."""
    await h.stop()
    await started(h, shelf, place)


async def started(h: House, shelf: dict[str, int], place: str = "place 2") -> None:
    london = h.shops["london"]
    london.place, london.shelf = place, dict(shelf)
    london.sent.clear()
    h.approve, h.ask_above_percent = False, 20
    await h.start()
    await h.until_kept(lambda tx: tx.read_whole("london"))


async def state(h: House) -> tuple[str, str]:
    counts = await h.store.read(lambda tx: views.channel_counts(tx, h.clock.now()))
    return channel_state(counts["london"], "")


async def waits(h: House) -> bool:
    hold = await h.store.read(lambda tx: tx.held("london"))
    return hold is not None and hold.moved and hold.read


async def test_a_channel_at_another_location_is_not_written_to_before_a_person_has_looked() -> None:
    """The outlet shows three of each bag; one sells out at the till: all waits, red, until they look."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        await moved(h, OUTLET)
        await h.until_kept(lambda tx: "london" in tx.holds() and tx.holds()["london"].read)
        h.org.move("BAG-00|ECOM", on_hand=-9)
        await h.until(lambda: h.shops["dubai"].shelf["BAG-00"] == 0)
        assert (h.shops["london"].shelf, h.shops["london"].sent) == (OUTLET, [])
        verdict, sentence = await state(h)
        assert verdict == "bad"
        assert "another location (or shop) than before, and 30 of 30 numbers there would change" in sentence
        assert "nothing is written to it until `sfsync resync --channel london`" in sentence

        part = await h.supervisor.resync.compare(Scope(skus=("BAG-01",), channels=("london",)))
        await h.supervisor.resync.put_right(part.id)
        assert await waits(h)
        await h.kill()
        await h.start()
        assert await waits(h)
        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        assert {row.cause for row in plan.rows} == {Cause.SETTINGS_HELD}
        with pytest.raises(TooMuchError, match="30 of 30 numbers at london, 1 of them to nothing"):
            await h.supervisor.resync.apply(plan.id)
        await h.supervisor.resync.put_right(plan.id, yes_change=30)
        await h.until(lambda: h.shops["london"].shelf == dict.fromkeys(SKUS, 9) | {"BAG-00": 0})
        assert await h.store.read(lambda tx: tx.holds()) == {}


async def test_a_plan_from_before_the_location_changed_does_not_open_it() -> None:
    """Nothing differed at the shop's first location; applied when the outlet waits, it opens nothing."""
    async with house(MANY) as h:
        plan = await h.supervisor.resync.compare()
        await moved(h, OUTLET)
        await h.until_kept(lambda tx: "london" in tx.holds() and tx.holds()["london"].read)
        await h.supervisor.resync.put_right(plan.id)
        assert await waits(h)
        assert h.shops["london"].shelf == OUTLET


async def test_a_channel_at_a_location_that_shows_nearly_the_same_goes_on_there_by_itself() -> None:
    """One number of thirty is another: it is put right, and sales go to the place that the settings mean."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        await moved(h, dict.fromkeys(SKUS, 9) | {"BAG-07": 3})
        await h.shows("BAG-07", 9, 9)
        h.org.move("BAG-00|ECOM", on_hand=-9)
        await h.shows("BAG-00", 0, 0)
        levels = await h.store.read(lambda tx: tx.channel_levels(channel="london"))
        assert {level.location_id for level in levels} == {"place 2"}
        assert await h.store.read(lambda tx: tx.holds()) == {}


async def test_a_mistaken_location_that_is_put_right_lets_the_channel_go_on_by_itself() -> None:
    """Nothing had been written to the wrong one; a sale of meanwhile reaches the right one."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        shelf = h.shops["london"].shelf
        await moved(h, OUTLET)
        await h.until_kept(lambda tx: "london" in tx.holds() and tx.holds()["london"].read)
        h.org.move("BAG-00|ECOM", on_hand=-9)
        await h.until(lambda: h.shops["dubai"].shelf["BAG-00"] == 0)
        await moved(h, shelf, "place 1")
        await h.shows("BAG-00", 0, 0)
        assert (await state(h))[0] == "good"


async def test_a_push_of_unknown_outcome_is_not_sent_again_to_another_location() -> None:
    """Killed amid a push, started at the outlet: what was meant for the other shelf is dropped."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        london = h.shops["london"]
        london.next.extend(["lost"] * 1_000)
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.until_kept(lambda tx: bool(tx.open_pushes("london")))
        await h.kill()
        london.next.clear()
        await started(h, OUTLET)
        await h.until_kept(lambda tx: "london" in tx.holds() and tx.holds()["london"].read)
        assert (london.sent, london.shelf) == ([], OUTLET)
        assert await h.store.read(lambda tx: tx.open_pushes("london")) == []


async def test_a_location_that_is_only_called_otherwise_in_the_settings_is_no_change() -> None:
    """Online is called web from now on: no number moves, nothing waits, and the next sale goes out."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        await h.stop()
        h.plan = {"web": ("ECOM",)}
        for shop in h.shops.values():
            shop.location = "web"
            shop.sent.clear()
        h.approve, h.ask_above_percent = False, 20
        await h.start()
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())
        assert await h.store.read(lambda tx: tx.holds()) == {}
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)
        assert [len(shop.sent) for shop in h.shops.values()] == [1, 1]
        levels = await h.store.read(lambda tx: tx.channel_levels())
        assert {level.location for level in levels} == {"web"}


async def test_why_says_that_a_number_waits_because_the_location_is_another() -> None:
    """Somebody asks why the outlet still offers the sold-out bag."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        await moved(h, OUTLET)
        await h.until_kept(lambda tx: "london" in tx.holds() and tx.holds()["london"].read)
        told: Any = await Why(h.ctx).tell(Question("BAG-00", channel="london"))
        (london,) = told["channels"]
        assert (london["shows"], london["should_show"], london["held"]) == (3, 9, True)
        assert "another location (or shop)" in str(london["sum"])
