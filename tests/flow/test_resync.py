"""A comparison on a person's wish: it survives kills, never undoes a sale, asks before it goes far."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.flow.kit import House, LittleShop, house

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.resync import (
    BusyError,
    Cause,
    Difference,
    NobodyKnowsError,
    Scope,
    TooMuchError,
    WrittenPlan,
)
from sfsync.domain.stock import LevelKey
from sfsync.flow.resync import Plan
from sfsync.flow.resync_told import ResyncDesk
from sfsync.ports import Refused, ResyncRun, RowState, RunState, TryLater

BAG, SCARF = "BAG-1|ECOM", "SCARF|ECOM"
DUBAI_SELLS = PolicyRule(skus=("*",), channels=("dubai",), sells_from=("ECOM",))
DUBAI_SELLS_AT_THE_MALL = PolicyRule(skus=("*",), channels=("dubai",), sells_from=("MALL",))
LATER = datetime(2100, 1, 1, tzinfo=UTC)  # stands for: after the first receipt
MANY = {f"S{n:03}|ECOM": 5 for n in range(60)}


def told(plan: Plan) -> list[tuple[str, str, int | None, int | None, Cause]]:
    return [(row.channel, row.sku, row.shows, row.target, row.cause) for row in plan.rows]


async def states(h: House, run_id: str) -> dict[str, tuple[RowState, str]]:
    """What became of each row, by SKU."""
    found: dict[str, tuple[RowState, str]] = {}
    async for part in h.supervisor.resync.rows(run_id):
        found |= {row.difference.sku: (row.state, row.note) for row in part}
    return found


async def written(h: House, *rows: Difference) -> ResyncRun:
    """A plan comes out of a file."""
    return await h.supervisor.resync.bring(WrittenPlan(h.clock.now(), "00D000000000001AAA", rows))


async def test_a_sale_that_no_event_told_of_is_found_in_the_org_and_only_told_until_it_is_applied() -> None:
    """Promise 8 failed for once; the plan names it, nothing moves; applied, every shop follows."""
    async with house({BAG: 5, SCARF: 5}) as h:
        h.org.move(BAG, on_hand=-2, told=False)
        plan = await h.supervisor.resync.compare()
        assert told(plan) == [
            ("dubai", "BAG-1", 5, 3, Cause.MISSED_EVENT),
            ("london", "BAG-1", 5, 3, Cause.MISSED_EVENT),
        ]
        assert [shop.shelf["BAG-1"] for shop in h.shops.values()] == [5, 5]
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 3, 3)
        await h.shows("SCARF", 5, 5)
        assert told(await h.supervisor.resync.compare()) == []


async def test_without_the_org_only_what_is_known_is_compared() -> None:
    """A scope may leave it out; so does an org that does not answer, and that is told."""
    async with house({BAG: 5}) as h:
        h.org.move(BAG, on_hand=-2, told=False)
        assert told(await h.supervisor.resync.compare(Scope(org=False))) == []
        h.org.cut_off = True
        plan = await h.supervisor.resync.compare()
        assert (told(plan), plan.run.about["org"]["unread"]) == ([], "the org is away")


@pytest.mark.parametrize(
    ("scope", "skus"),
    [
        (Scope(), {"BAG-1", "SCARF", "HAT"}),
        (Scope(skus=("SCARF",)), {"SCARF"}),
        (Scope(channels=("dubai",)), {"HAT"}),
        (Scope(locations=("ECOM",)), {"BAG-1", "SCARF", "HAT"}),
        (Scope(causes=("manual-edit",)), {"SCARF"}),
        (Scope(causes=("order-unseen", "mapping")), {"BAG-1", "HAT"}),
    ],
)
async def test_a_comparison_is_narrowed_by_what_was_asked(scope: Scope, skus: set[str]) -> None:
    """One number lower, one higher, and one SKU that a shop does not list."""
    async with house({BAG: 5, SCARF: 5, "HAT|ECOM": 5}) as h:
        h.shops["london"].shelf |= {"BAG-1": 4, "SCARF": 9}
        del h.shops["dubai"].shelf["HAT"]
        plan = await h.supervisor.resync.compare(scope)
        assert {row.sku for row in plan.rows} == skus


@pytest.mark.parametrize(
    ("scope", "compared", "sentence"),
    [
        (Scope(), 4, ""),
        (Scope(skus=("BAG-1",)), 2, "2 channel levels compared: every one shows what it should."),
        (Scope(causes=("push-refused",)), 4, "of what was asked for nothing differs (1 other does)."),
        (Scope(causes=("push-due", "mapping")), 4, "of what was asked for nothing differs (1 other does)."),
        (
            Scope(changed_since=LATER),
            0,
            "Nothing was compared: nothing has changed since 2100-01-01 00:00:00 UTC.",
        ),
        (Scope(skus=("ONLY-ORG",)), 0, "Nothing was compared: no channel lists what was asked for."),
    ],
)
async def test_a_comparison_says_what_it_has_compared_and_what_it_has_left_out(
    scope: Scope, compared: int, sentence: str
) -> None:
    """Somebody typed a higher number of scarves at London, and asks for bags, or for something else."""
    async with house({BAG: 5, SCARF: 5}) as h:
        h.shops["london"].shelf["SCARF"] = 9
        if scope.skus == ("ONLY-ORG",):
            h.org.add("ONLY-ORG|ECOM", 1, told=False)
        plan = await h.supervisor.resync.compare(replace(scope, org=scope.skus != ("BAG-1",)))
        run: Any = await ResyncDesk(h.ctx, h.supervisor.resync).run(plan.id)
        assert run["compared"] == compared
        assert (sentence in run["finding"]) if sentence else (run["finding"] == "")


async def test_what_is_left_out_by_its_location_is_not_counted_as_compared() -> None:
    """Dubai sells from the mall alone: of the warehouse's numbers London's are compared, and no other."""
    async with house({BAG: 5, "BAG-1|MALL": 5}, rules=(DUBAI_SELLS_AT_THE_MALL,)) as h:
        h.shops["dubai"].shelf["BAG-1"] = 9
        plan = await h.supervisor.resync.compare(Scope(locations=("ECOM",)))
        run: Any = await ResyncDesk(h.ctx, h.supervisor.resync).run(plan.id)
        sentence = "1 channel level compared: of what was asked for nothing differs (1 other does)."
        assert (run["compared"], run["finding"]) == (1, sentence)


async def test_where_a_channel_was_not_read_nothing_is_said_to_be_right() -> None:
    """Dubai's token is revoked; of London alone it can be said."""
    async with house({BAG: 5}) as h:
        h.shops["dubai"].shut = Refused("HTTP 401", advice="give it a new token")
        for names, sentence in (
            ((), "1 channel level compared: what could be read shows what it should."),
            (("dubai",), "Nothing was compared: dubai could not be read."),
        ):
            plan = await h.supervisor.resync.compare(Scope(channels=names))
            run: Any = await ResyncDesk(h.ctx, h.supervisor.resync).run(plan.id)
            assert run["finding"] == sentence


@pytest.mark.parametrize(
    ("scope", "problems"),
    [
        (
            Scope(locations=("ECOM", "NOWHERE")),
            {"locations": "'NOWHERE', which no channel has or sells from"},
        ),
        (
            Scope(locations=("MALL",), channels=("london",)),
            {"locations": "'MALL', which none of these channels has or sells from"},
        ),
        (Scope(skus=("BAG-1", "NOPE")), {"skus": "'NOPE', which neither the org nor a channel knows"}),
        (Scope(skus=("NEW-ORG",), org=False), {"skus": "'NEW-ORG'"}),
    ],
)
async def test_a_name_that_nobody_knows_is_told_before_anything_is_compared(
    scope: Scope, problems: dict[str, str]
) -> None:
    """Mistyped, nothing would differ of it: that must not read as if all were well."""
    rules = (DUBAI_SELLS_AT_THE_MALL,)
    async with house({BAG: 5, "BAG-1|MALL": 5}, rules=rules, plan={"online": ("ECOM",)}) as h:
        h.org.add("NEW-ORG|ECOM", 1, told=False)
        with pytest.raises(NobodyKnowsError) as said:
            await h.supervisor.resync.begin(scope)
        assert said.value.problems.keys() == problems.keys()
        assert all(words in said.value.problems[name] for name, words in problems.items())
        assert await h.store.read(lambda tx: tx.last_resync()) is None


async def test_a_sku_that_no_event_told_of_is_asked_for_at_org_and_channels() -> None:
    """New in the org, or new at a shop: it is known there, and is compared; so it is when nobody answers."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.org.add("NEW-ORG|ECOM", 1, told=False)
        h.shops["london"].shelf["NEW-SHOP"] = 3
        plan = await h.supervisor.resync.compare(Scope(skus=("NEW-ORG", "NEW-SHOP")))
        assert [(row.sku, row.cause) for row in plan.rows] == [("NEW-SHOP", Cause.NOT_IN_ORG)]
        h.shops["london"].shut = TryLater("no answer")
        plan = await h.supervisor.resync.compare(Scope(skus=("NOPE",)))
        assert list(plan.unread) == ["london"]


async def test_a_sold_last_piece_is_not_put_back_on_sale_while_its_order_may_only_be_late() -> None:
    """Its webhook is lost, and the shop's list is behind: the row waits, and the order explains it."""
    async with house({BAG: 1, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        number = london.buy("BAG-1")
        order = london.orders.pop(number)
        london.shelf["SCARF"] = 9
        plan = await h.supervisor.resync.compare()
        assert ("london", "BAG-1", 0, 1, Cause.ORDER_UNSEEN) in told(plan)
        run = await h.supervisor.resync.put_right(plan.id)
        assert run is not None
        assert run.about["rows"] == {"applied": 1, "left": 1}
        await h.shows("SCARF", 5)
        assert london.shelf["BAG-1"] == 0
        london.orders[number] = order
        await h.supervisor.polls.poll("london")
        await h.until(lambda: h.org.level(BAG).available == 0)
        assert told(await h.supervisor.resync.compare()) == []
        assert london.shelf["BAG-1"] == 0


async def test_a_person_who_knows_better_puts_a_lower_number_right_at_once() -> None:
    """It was her own edit: she names the cause."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.shops["london"].shelf["BAG-1"] = 4
        plan = await h.supervisor.resync.compare(Scope(causes=("order-unseen",)))
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 5)


async def test_what_changed_since_a_time_is_compared_alone() -> None:
    """The bag moved in the org; the scarf was edited at the shop, of which nobody has heard."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        since = h.clock.now()
        h.shops["london"].shelf["SCARF"] = 9
        h.org.move(BAG, on_hand=-1, told=False)
        plan = await h.supervisor.resync.compare(Scope(changed_since=since))
        assert told(plan) == [("london", "BAG-1", 5, 4, Cause.MISSED_EVENT)]
        assert plan.run.about["compared"] == 1


async def test_a_plan_outlives_the_daemon_that_made_it() -> None:
    """Killed between looking and applying; its number is good after the next start."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.shops["london"].shelf["BAG-1"] = 9
        plan = await h.supervisor.resync.compare()
        await h.kill()
        await h.start()
        run = await h.supervisor.resync.put_right(plan.id)
        assert run is not None
        assert run.state is RunState.DONE
        await h.shows("BAG-1", 5)


class PagedShop(LittleShop):
    """A shop whose listing is gone on with from a place; it counts the pages that were asked for."""

    asked: list[str | None]

    async def items_from(self, place):  # type: ignore[no-untyped-def]  # reason: as the port has it
        self.asked = [*getattr(self, "asked", []), place]
        for sku in sorted(self.shelf):
            if place is None or sku > place:
                async for page in self.items([sku]):
                    yield sku, page


@pytest.mark.parametrize("make_shop", [LittleShop, PagedShop])
async def test_a_comparison_goes_on_after_a_kill(make_shop: type[LittleShop]) -> None:
    """Killed after some pages: what was compared stays, or is read again where a shop knows no place."""
    async with house(MANY, shops=("london",), make_shop=make_shop) as h:
        london = h.shops["london"]
        london.shelf |= {"S000": 9, "S059": 9}
        london.reading = asyncio.Semaphore(10)
        run = await h.supervisor.resync.begin(Scope())
        await h.until_kept(lambda tx: tx.resync_place(run.id, "london") is not None)
        await h.until(lambda: london.reading is not None and london.reading.locked())
        await h.kill()
        london.reading = None
        await h.start()
        ended = await h.supervisor.resync.ended(run.id)
        assert ended is not None
        assert ended.about["compared"] == 60
        assert set(await states(h, run.id)) == {"S000", "S059"}
        if isinstance(london, PagedShop):
            first, second = london.asked
            assert first is None
            assert second is not None


async def test_applying_goes_on_after_a_kill_and_touches_each_row_once() -> None:
    """The shop answers nothing for a while, the daemon is killed meanwhile; every number comes right."""
    async with house(MANY, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf |= dict.fromkeys((name.split("|")[0] for name in MANY), 6)
        plan = await h.supervisor.resync.compare()
        assert len(plan.rows) == 60
        london.next.extend(["reply lost"] * 100)
        await h.supervisor.resync.apply(plan.id, yes_change=60)
        await h.until_kept(lambda tx: tx.resync_rows(plan.id, planned=True, limit=1) == [])
        await h.kill()
        london.next.clear()
        await h.start()
        run = await h.supervisor.resync.ended(plan.id)
        assert run is not None
        assert run.about["rows"] == {"applied": 60}
        await h.idle()
        assert set(london.shelf.values()) == {5}


async def test_a_sale_while_a_plan_is_applied_is_not_overwritten() -> None:
    """Compared with 9 on the shelf instead of 5; one is sold before the plan is applied, and told later."""
    async with house({BAG: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf["BAG-1"] = 9
        plan = await h.supervisor.resync.compare()
        number = london.buy("BAG-1")
        lagging = london.orders.pop(number)  # the order list does not show it yet
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 4)
        london.orders[number] = lagging
        await h.deliver("london", number)
        await h.idle()
        await h.shows("BAG-1", 4)


async def test_live_changes_go_before_the_rows_of_a_plan() -> None:
    """Promise 12: while something is due, no row is taken over; it follows when that is out."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf["SCARF"] = 9
        plan = await h.supervisor.resync.compare()
        london.sent.clear()
        london.next.extend(["later"] * 6)
        h.org.move(BAG, on_hand=-1)
        await h.until_kept(lambda tx: tx.due("london", 1) or tx.open_pushes("london"))
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("SCARF", 5)
        await h.shows("BAG-1", 4)
        first = next(body for body in london.sent if b"SCARF" in body)
        assert b"BAG-1" not in first


async def test_a_plan_that_changes_much_stops_until_its_number_is_named() -> None:
    """Sixty of sixty; the number of changes must be the very one; another plan is no help."""
    async with house(MANY, shops=("london",)) as h:
        await h.kill()
        h.ask_above_percent = 20
        await h.start()
        london = h.shops["london"]
        london.shelf |= dict.fromkeys((name.split("|")[0] for name in MANY), 6)
        plan = await h.supervisor.resync.compare()
        for named in (None, 59):
            with pytest.raises(
                TooMuchError, match="60 of 60 numbers at london, 0 of them to nothing"
            ) as said:
                await h.supervisor.resync.apply(plan.id, yes_change=named)
            assert said.value.changes == 60
        assert set(london.shelf.values()) == {6}
        await h.supervisor.resync.put_right(plan.id, yes_change=60)
        await h.until(lambda: set(london.shelf.values()) == {5})


async def test_a_first_start_is_looked_at_anyway_and_asks_no_number() -> None:
    """Everything differs, and a person approves it as ever."""
    async with house(MANY, shops=("london",)) as h:
        await h.kill()
        h.forget_everything()
        h.shops["london"].shelf = dict.fromkeys(h.shops["london"].shelf, 0)
        h.approve, h.ask_above_percent = False, 20
        await h.start()
        await h.until_kept(lambda tx: not tx.open_holes() and tx.count_channel_levels("london") == 60)
        plan = await h.supervisor.resync.compare()
        assert {row.cause for row in plan.rows} == {Cause.FIRST_START}
        await h.supervisor.resync.put_right(plan.id)
        await h.until(lambda: set(h.shops["london"].shelf.values()) == {5})


async def test_a_plan_from_a_file_applies_only_the_rows_whose_facts_still_hold() -> None:
    """Reviewed for a while: one still holds; one was edited again, one sold in the org, one delisted."""
    stock = {f"{name}|ECOM": 5 for name in ("HOLDS", "EDITED", "SOLD", "GONE")}
    async with house(stock, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf |= dict.fromkeys(("HOLDS", "EDITED", "SOLD", "GONE"), 9)
        plan = await h.supervisor.resync.compare()
        london.shelf["EDITED"] = 7
        del london.shelf["GONE"]
        h.org.move("SOLD|ECOM", on_hand=-1)
        await h.until_kept(lambda tx: [each.target for each in tx.channel_levels(["SOLD"])] == [4])
        run = await written(h, *plan.rows)
        await h.supervisor.resync.put_right(run.id)
        found = await states(h, run.id)
        assert found["HOLDS"] == (RowState.APPLIED, "")
        assert found["EDITED"] == (RowState.CHANGED, "the channel shows 7 by now, not 9")
        assert found["SOLD"][0] is RowState.CHANGED
        assert found["GONE"] == (RowState.CHANGED, "the channel does not list it any more")
        await h.until(lambda: london.shelf["HOLDS"] == 5)
        assert london.shelf["EDITED"] == 7


async def test_the_same_plan_applied_twice_finds_everything_as_it_should_be() -> None:
    """What it was to bring about has come about, by whomever: nothing is refused, and nothing sent again."""
    async with house({BAG: 5, SCARF: 4}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf |= {"BAG-1": 9, "SCARF": 9}
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right((await written(h, *plan.rows)).id)
        await h.until(lambda: (london.shelf["BAG-1"], london.shelf["SCARF"]) == (5, 4))
        await h.idle()
        london.sent.clear()
        london.shelf["SCARF"] = 8
        run = await written(h, *plan.rows)
        await h.supervisor.resync.put_right(run.id)
        assert await states(h, run.id) == {
            "BAG-1": (RowState.APPLIED, "it shows what it should already"),
            "SCARF": (RowState.CHANGED, "the channel shows 8 by now, not 9"),
        }
        await h.idle()
        assert london.sent == []


async def test_a_plan_from_a_file_cannot_make_a_number_up() -> None:
    """Somebody wrote another target into the file: the row is refused."""
    async with house({BAG: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf["BAG-1"] = 9
        (row,) = (await h.supervisor.resync.compare()).rows
        run = await written(h, replace(row, target=77))
        await h.supervisor.resync.put_right(run.id)
        assert await states(h, run.id) == {"BAG-1": (RowState.CHANGED, "it should show 5 by now, not 77")}
        assert london.shelf["BAG-1"] == 9


async def test_nothing_else_is_compared_while_a_plan_is_applied() -> None:
    """The shop hangs in the middle; a second wish is told to wait."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf["SCARF"] = 9
        h.org.move(BAG, on_hand=-1, told=False)
        plan = await h.supervisor.resync.compare()
        h.org.cut_off = True  # what it has newer is read again first, and cannot be
        await h.supervisor.resync.apply(plan.id)
        with pytest.raises(BusyError):
            await h.supervisor.resync.begin(Scope())
        h.org.cut_off = False
        assert await h.supervisor.resync.ended(plan.id) is not None
        await h.shows("BAG-1", 4)
        await h.shows("SCARF", 5)


async def test_a_newer_comparison_takes_the_place_of_one_that_is_read() -> None:
    """The older one's id is known no more, and whoever waits for it is told."""
    async with house(MANY, shops=("london",)) as h:
        london = h.shops["london"]
        london.reading = asyncio.Semaphore(3)
        first = await h.supervisor.resync.begin(Scope())
        await h.until(lambda: london.reading is not None and london.reading.locked())
        second = await h.supervisor.resync.begin(Scope())
        london.reading = None
        for _ in MANY:
            await asyncio.sleep(0)
        assert await h.supervisor.resync.ended(first.id) is None
        assert await h.supervisor.resync.apply(first.id) is None
        await h.until_kept(lambda tx: tx.resync(second.id))


async def test_a_row_that_our_refused_change_explains_is_told_so_and_mended_by_applying() -> None:
    """The item was archived; it is back: the plan takes it out of the dead letters."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.bad = {"SCARF": "the item is archived"}
        h.org.move(SCARF, on_hand=-1)
        await h.until_kept(lambda tx: tx.dead_letters())
        plan = await h.supervisor.resync.compare()
        assert told(plan) == [("london", "SCARF", 5, 4, Cause.PUSH_REFUSED)]
        london.bad = {}
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("SCARF", 4)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_how_it_stands_is_told_for_scripts() -> None:
    """Counts by cause, the price, the progress; rows in pages; an unknown id is a KeyError."""
    async with house({BAG: 5, SCARF: 5}) as h:
        h.shops["london"].shelf |= {"BAG-1": 9, "SCARF": 7}
        desk = ResyncDesk(h.ctx, h.supervisor.resync)
        assert await desk.last() is None
        begun = await desk.begin(Scope())
        await h.supervisor.resync.ended(str(begun["id"]))
        run = await desk.run(str(begun["id"]))
        assert run["causes"] == [
            {"channel": "london", "cause": "changed at the channel", "code": "manual-edit", "rows": 2}
        ]
        assert (run["state"], run["ended"], run["compared"], run["changes"]) == ("ready", True, 4, 2)
        assert run["price"] == {
            "org": {"levels": 0, "calls": 0, "calls_left": None},
            "london": {"rows": 2, "calls": 2, "points": None, "minutes": None},
        }
        first = await desk.rows(str(run["id"]), ("", "", ""), 1)
        assert first["next"] == ["london", "BAG-1", "online"]
        second = await desk.rows(str(run["id"]), ("london", "BAG-1", "online"), 1)
        assert second["next"] is None
        with pytest.raises(KeyError):
            await desk.run("p0")
        with pytest.raises(ValueError, match="made with org 00D2"):
            await desk.bring(WrittenPlan(h.clock.now() - timedelta(hours=1), "00D2", ()))


async def test_a_level_deleted_in_the_org_is_found_by_a_comparison_and_counts_as_empty_once_applied() -> None:
    """No event tells of it: what is not there is not for sale, and somebody is told."""
    async with house({BAG: 5, SCARF: 5}) as h:
        await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
        await h.until(lambda: h.org.numbers(BAG) == (5, 1))
        await h.shows("BAG-1", 4, 4)
        h.org.delete_level(BAG)
        plan = await h.supervisor.resync.compare()
        assert told(plan) == [
            ("dubai", "BAG-1", 4, 0, Cause.MISSED_EVENT),
            ("london", "BAG-1", 4, 0, Cause.MISSED_EVENT),
        ]
        run: Any = await ResyncDesk(h.ctx, h.supervisor.resync).run(plan.id)
        (warning,) = run["warnings"]
        assert "1 stock level is no longer in the org (BAG-1|ECOM)" in warning
        assert [shop.shelf["BAG-1"] for shop in h.shops.values()] == [4, 4]
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 0, 0)
        await h.shows("SCARF", 5, 5)
        (incident,) = [
            each for each in await h.store.read(lambda tx: tx.incidents()) if "deleted" in each.title
        ]
        assert incident.key == BAG
        assert told(await h.supervisor.resync.compare()) == []


async def test_a_deleted_level_of_some_skus_is_found_without_reading_the_others() -> None:
    """`sfsync drift --apply` compares the SKUs that it names, and no more."""
    async with house({BAG: 5, SCARF: 5, "BAG-1|MALL": 3}, shops=("london",)) as h:
        h.org.delete_level(BAG)
        h.org.delete_level(SCARF)
        plan = await h.supervisor.resync.compare(Scope(skus=("BAG-1",)))
        assert plan.run.about["org"]["gone_named"] == [BAG]
        await h.supervisor.resync.put_right(plan.id)
        await h.until_kept(lambda tx: [level.on_hand for level in tx.levels_of(["BAG-1"])] == [0, 3])
        assert (await h.store.read(lambda tx: tx.levels_of(["SCARF"])))[0].on_hand == 5


async def test_a_level_that_is_back_before_the_plan_is_applied_counts_as_it_is() -> None:
    """Restored from the recycle bin, under its old id: nothing is emptied."""
    async with house({BAG: 5}, shops=("london",)) as h:
        number = h.org.id_of(LevelKey.parse(BAG))
        rows = dict(h.org.rows)
        h.org.delete_level(BAG)
        plan = await h.supervisor.resync.compare()
        assert plan.run.about["org"]["gone"] == 1
        h.org.keys[number] = LevelKey.parse(BAG)
        h.org.rows = rows
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-1", 5)
        assert await h.store.read(lambda tx: tx.incidents()) == []


async def test_an_org_that_suddenly_shows_little_empties_no_channel_unasked() -> None:
    """A sharing rule that hides a location looks like a deletion of all of it: the number must be named."""
    async with house(MANY, shops=("london",)) as h:
        await h.kill()
        h.ask_above_percent = 20
        await h.start()
        for name in list(MANY)[:40]:
            h.org.delete_level(name)
        plan = await h.supervisor.resync.compare()
        with pytest.raises(TooMuchError) as stopped:
            await h.supervisor.resync.apply(plan.id)
        assert stopped.value.changes == 40


@pytest.mark.parametrize("scope", [Scope(channels=("london",)), Scope(locations=("online",))])
async def test_what_the_org_hides_is_taken_from_nobody_by_a_comparison_of_a_part(scope: Scope) -> None:
    """Its plan says nothing of Dubai's numbers, so they stay until a whole comparison has asked."""
    async with house(MANY) as h:
        await h.kill()
        h.ask_above_percent = 20
        await h.start()
        for name in list(MANY)[:40]:
            h.org.delete_level(name)
        before = {name: dict(shop.shelf) for name, shop in h.shops.items()}
        plan = await h.supervisor.resync.compare(scope)
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        assert {name: dict(shop.shelf) for name, shop in h.shops.items()} == before
        whole = await h.supervisor.resync.compare()
        with pytest.raises(TooMuchError):
            await h.supervisor.resync.apply(whole.id)


@pytest.mark.parametrize(
    ("scope", "taken", "follow"),
    [
        (Scope(), {"BAG-1|ECOM", "BAG-1|SOHO", "SCARF|ECOM"}, {}),
        (Scope(skus=("BAG-1",)), {"BAG-1|ECOM", "BAG-1|SOHO"}, {}),
        (Scope(channels=("dubai",)), {"BAG-1|ECOM", "SCARF|ECOM"}, {"london": [2, "BAG-1", "SCARF"]}),
        (
            Scope(channels=("london",)),
            {"BAG-1|ECOM", "BAG-1|SOHO", "SCARF|ECOM"},
            {"dubai": [2, "BAG-1", "SCARF"]},
        ),
        (
            Scope(locations=("SOHO",)),
            {"BAG-1|ECOM", "BAG-1|SOHO", "SCARF|ECOM"},
            {"dubai": [2, "BAG-1", "SCARF"]},
        ),
        (Scope(skus=("BAG-1",), channels=("dubai",)), {"BAG-1|ECOM"}, {"london": [1, "BAG-1"]}),
        (Scope(skus=("BAG-1",), locations=("SOHO",), channels=("dubai",)), set(), {}),
        (Scope(channels=("dubai",), causes=("manual-edit",)), set(), {}),
        (Scope(changed_since=LATER, channels=("dubai",)), {"SCARF|ECOM"}, {"london": [1, "SCARF"]}),
    ],
)
async def test_a_narrowed_plan_takes_over_what_was_asked_and_names_what_follows(
    scope: Scope, taken: set[str], follow: dict[str, list[object]]
) -> None:
    """London sells from Soho too, Dubai does not. A receipt that no event told of is not taken to London by a
    plan for Dubai, unless both sell from that very shelf: then the plan says so, and its price holds it.
    """
    start = {BAG: 5, "BAG-1|SOHO": 1, SCARF: 5}
    async with house(start, rules=(DUBAI_SELLS,)) as h:
        h.org.move(BAG, on_hand=1, told=False)
        h.org.move("BAG-1|SOHO", on_hand=4, told=False)
        if scope.changed_since is not None:
            await h.let_a_minute_pass()
            scope = replace(scope, changed_since=h.clock.now())
        h.org.move(SCARF, on_hand=2, told=False)
        plan = await h.supervisor.resync.compare(scope)
        told: Any = await ResyncDesk(h.ctx, h.supervisor.resync).run(plan.id)
        assert plan.run.about["org"]["follow"] == follow
        for channel, (numbers, *_) in follow.items():
            assert told["price"][channel]["rows"] == numbers
            assert any(channel in words for words in told["warnings"])
        await h.supervisor.resync.put_right(plan.id)
        await h.idle()
        held = await h.store.read(lambda tx: tx.levels([LevelKey.parse(key) for key in start]))
        assert {str(key) for key, (level, _) in held.items() if level.on_hand != start[str(key)]} == taken
        shown = {name: dict(shop.shelf) for name, shop in h.shops.items()}
        ecom, soho, scarf = (held[LevelKey.parse(key)][0].on_hand for key in start)
        assert shown == {
            "london": {"BAG-1": ecom + soho, "SCARF": scarf},
            "dubai": {"BAG-1": ecom, "SCARF": scarf},
        }


async def test_a_plan_of_some_rows_does_not_open_a_channel_that_nobody_has_looked_at() -> None:
    """The first plan of a shop is looked at whole: one SKU approved is not the other sixty."""
    async with house({BAG: 5, SCARF: 5}, begin=False, shops=("london",)) as h:
        h.approve = False
        h.shops["london"].shelf |= {"BAG-1": 1, "SCARF": 9}
        await h.start()
        await h.until_kept(lambda tx: tx.count_channel_levels("london") == 2)
        plan = await h.supervisor.resync.compare(Scope(skus=("BAG-1",), channels=("london",)))
        await h.supervisor.resync.put_right(plan.id)
        state, note = (await states(h, plan.id))["BAG-1"]
        assert (state, "sfsync resync --channel london" in note) == (RowState.LEFT, True)
        await h.let_a_minute_pass()
        assert h.shops["london"].shelf == {"BAG-1": 1, "SCARF": 9}
        whole = await h.supervisor.resync.compare(Scope(channels=("london",)))
        await h.supervisor.resync.put_right(whole.id)
        await h.until(lambda: h.shops["london"].shelf == {"BAG-1": 5, "SCARF": 5})


async def test_a_first_plan_from_a_file_opens_the_channel_only_with_all_of_its_rows() -> None:
    """Somebody cut the file to one row and applied it: the rest was never agreed to, and is not written."""
    async with house({BAG: 5, SCARF: 5}, begin=False, shops=("london",)) as h:
        h.approve = False
        shelf = h.shops["london"].shelf
        shelf |= {"BAG-1": 1, "SCARF": 5}
        await h.start()
        await h.until_kept(lambda tx: tx.count_channel_levels("london") == 2)
        shelf["SCARF"] = 9  # edited since the first reading
        whole = (await h.supervisor.resync.compare()).rows
        made_at = h.clock.now()
        run = await written(h, *(row for row in whole if row.sku == "BAG-1"))
        await h.supervisor.resync.put_right(run.id)
        state, note = (await states(h, run.id))["BAG-1"]
        assert (state, "the file lacks rows of it" in note) == (RowState.LEFT, True)
        await h.let_a_minute_pass()
        assert shelf == {"BAG-1": 1, "SCARF": 9}
        h.org.move(BAG, on_hand=1)  # a plan cannot tell of what happens later
        await h.until_kept(lambda tx: [each.target for each in tx.channel_levels(["BAG-1"])] == [6])
        scarf = tuple(row for row in whole if row.sku == "SCARF")
        run = await h.supervisor.resync.bring(WrittenPlan(made_at, "00D000000000001AAA", scarf))
        await h.supervisor.resync.put_right(run.id)
        await h.until(lambda: shelf == {"BAG-1": 6, "SCARF": 5})


async def test_a_plan_that_comes_in_by_parts_is_ready_when_the_last_has_come() -> None:
    """A part that comes twice counts once; until then nothing of it can be applied; a kill loses nothing."""
    async with house({BAG: 5, SCARF: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        london.shelf |= {"BAG-1": 9, "SCARF": 8}
        bag, scarf = (
            Difference("london", "BAG-1", "online", 9, 5, Cause.MANUAL_EDIT),
            Difference("london", "SCARF", "online", 8, 5, Cause.MANUAL_EDIT),
        )
        plan = WrittenPlan(h.clock.now(), "00D000000000001AAA", (bag,))
        run = await h.supervisor.resync.bring(plan, more=True)
        assert await h.supervisor.resync.apply(run.id) is None
        await h.kill()
        await h.start()
        resync = h.supervisor.resync
        for more in (True, True):
            assert await resync.bring_rows(run.id, [scarf, bag], more=more)
        with pytest.raises(ValueError, match="SCARF at london"):
            await resync.bring_rows(run.id, [replace(scarf, shows=7)], more=False)
        ready = await resync.bring_rows(run.id, [scarf], more=False)
        assert ready is not None
        assert (ready.state, ready.about["compared"]) == (RunState.READY, 2)
        assert await resync.bring_rows(run.id, [scarf], more=False) is None
        await resync.put_right(run.id)
        await h.shows("BAG-1", 5)
        await h.shows("SCARF", 5)
