"""Many counts at once: all or none, each once, whatever comes in between."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from tests.flow.kit import House, house
from tests.flow.test_counts import BAG, FAR, ago, long_ago, sold

from sfsync.domain.counts import Count, Sure
from sfsync.domain.ira_wish import read_wish
from sfsync.domain.products import Product
from sfsync.domain.stock import LevelKey, Movement, MovementKind
from sfsync.domain.turnover_wish import TurnoverWish
from sfsync.flow.folding import FoldWish
from sfsync.overview import Overview
from sfsync.ports import told_to
from sfsync.reports import Reports
from sfsync.store import views


def sheet(
    h: House, *units: int, at_hours_ago: float = 14, places: tuple[str, ...] = (BAG, FAR)
) -> list[Count]:
    """One person's counts of some levels, all at one moment."""
    moment = ago(h, at_hours_ago)
    return [
        Count(f"s/{moment.isoformat()}", LevelKey.parse(place), each, moment, "", "Amina", "stock take")
        for place, each in zip(places, units, strict=True)
    ]


async def test_a_sheet_is_entered_once_and_says_why_in_the_ledger() -> None:
    """Told twice, the books change once; a person finds there who counted, and why."""
    async with house({BAG: 5, FAR: 2}) as h:
        long_ago(h)
        counts = sheet(h, 4, 2)
        for again in (False, True):
            outcomes = await h.supervisor.counts.enter_all(counts)
            assert [each.again for each in outcomes] == [again, again]
            assert [(each.state, each.variance) for each in outcomes] == [("entered", -1), ("entered", 0)]
        assert (h.org.numbers(BAG), h.org.numbers(FAR)) == ((4, 0), (2, 0))
        assert [keys for keys in h.org.requests if keys[0].startswith("count:")] == [
            [f"{count.subject}:0" for count in counts]
        ]
        await h.idle()
        noon, now = counts[0].at - timedelta(days=1), h.clock.now()
        kept = await h.store.read(lambda tx: views.counted(tx, noon, now))
        assert [(str(each.level), each.units, each.expected, each.counted_by) for each in kept] == [
            (FAR, 2, 2, "Amina"),
            (BAG, 4, 5, "Amina"),
        ]
        rows = [row for row in h.org.rows.values() if row.subject.startswith("count:")]
        assert [row.reference for row in rows] == ["stock take; counted by Amina"] * 2


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late", "later"])
async def test_a_sheet_whose_answer_is_lost_has_one_effect(fate: str) -> None:
    """A sale comes in meanwhile, the daemon is killed, and the sheet is told again."""
    async with house({BAG: 5, FAR: 2}) as h:
        long_ago(h)
        counts = sheet(h, 4, 3)
        h.org.next.append(fate)
        entering = asyncio.create_task(h.supervisor.counts.enter_all(counts))
        await h.until(lambda: any(keys[0].startswith("count:") for keys in h.org.requests))
        sold(h, ago(h, 1))
        entering.cancel()
        await h.kill()
        h.org.land()
        await h.start()
        await h.until(lambda: len(h.org.of("count:")) == 2)
        await h.idle()
        outcomes = await h.supervisor.counts.enter_all(counts)
        assert [(each.state, each.variance) for each in outcomes] == [("entered", -1), ("entered", 1)]
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(FAR)) == ((3, 0), (3, 0))


async def test_one_wrong_count_keeps_the_sheet_out_unless_the_right_ones_are_asked_for() -> None:
    """A place that the org does not know, a moment to come, and a number told differently before."""
    async with house({BAG: 5, FAR: 2}) as h:
        long_ago(h)
        counts = sheet(h, 4, 2, places=(BAG, "BAG-1|NOWHERE"))
        outcomes = await h.supervisor.counts.enter_all(counts)
        assert [each.problem for each in outcomes] == ["", "unknown-level"]
        assert h.org.numbers(BAG) == (5, 0)
        outcomes = await h.supervisor.counts.enter_all(counts, dry_run=True, partial=True)
        assert ([each.state for each in outcomes], h.org.numbers(BAG)) == (["", ""], (5, 0))
        outcomes = await h.supervisor.counts.enter_all(counts, partial=True)
        assert [each.state for each in outcomes] == ["entered", ""]
        again = [replace(counts[0], units=3), *sheet(h, 2, at_hours_ago=-1, places=(FAR,))]
        outcomes = await h.supervisor.counts.enter_all(again)
        assert [each.problem for each in outcomes] == ["id-reused", "wrong"]
        assert "date a recount at its own moment" in outcomes[0].detail
        assert (h.org.numbers(BAG), h.org.numbers(FAR)) == ((4, 0), (2, 0))


async def test_two_counts_of_one_shelf_on_a_sheet_are_entered_in_the_order_made() -> None:
    """The later one is what the books say, whichever line it stands on."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        late, early = sheet(h, 3, places=(BAG,)), sheet(h, 4, at_hours_ago=20, places=(BAG,))
        outcomes = await h.supervisor.counts.enter_all([*late, *early])
        assert [each.variance for each in outcomes] == [-1, -1]
        assert h.org.numbers(BAG) == (3, 0)


async def test_a_key_is_remembered_with_what_came_under_it() -> None:
    """Over a restart too."""
    async with house({BAG: 5}) as h:
        desk = h.supervisor.counts
        assert await desk.sheet("shop:1", "abc")
        assert await desk.sheet("shop:1", "abc")
        assert not await desk.sheet("shop:1", "xyz")


async def test_the_report_tells_a_late_sale_from_a_missing_bag() -> None:
    """Both shelves are one short; at one the sale is told the next morning, at the other nothing is."""
    async with house({BAG: 5, FAR: 2}) as h:
        long_ago(h)
        bag = Product("p1", "BAG-1", {"Family": "Leather"}, price=900.0)
        h.ctx.assortment.learn([bag])
        await h.store.write(lambda tx: tx.put_products([bag]))
        await h.supervisor.counts.enter_all(sheet(h, 4, 1))
        sold(h, ago(h, 15))
        await h.until(lambda: h.org.of("late:"))
        await h.idle()
        reports = Reports(h.store, h.clock, "Family")
        wish = read_wish({"by": "location,class,band", "tolerance": "exact,1"}, h.clock.now())
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            told: Any = await reports.ira(wish)
        assert seen == [("counts read", 0, 2)]
        dubai, ecom = told["rows"]
        assert (ecom["location"], ecom["class"], ecom["band"]) == ("ECOM", "Leather", "500-1000")
        assert (ecom["late_only"], ecom["physical"], ecom["missing"], ecom["net_value"]) == (1, 0, 1, -900)
        assert (dubai["late_only"], dubai["physical"], dubai["missing"]) == (0, 1, 1)
        exact, one = told["total"]["accuracy"]
        assert (exact["n"], exact["percent"], exact["complete"], one["percent"]) == (2, 0, 50, 100)
        overview = Overview(h.store, h.ctx.assortment, h.clock, {}, h.ctx.pulse)
        places = (await overview.status())["accuracy"]
        assert [
            (each["location"], each["spans"][0]["n"], each["spans"][0]["complete"]) for each in places
        ] == [
            ("DUBAI", 1, 0),
            ("ECOM", 1, 100),
        ]
        old: Any = await reports.ira(read_wish({"until": "24h"}, h.clock.now()))
        assert (old["rows"], old["total"]["n"]) == ([], 0)


async def test_a_recount_is_known_though_the_first_count_lies_before_the_report() -> None:
    """Counted wrong yesterday at noon and right in the evening: the report of the evening has nothing."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await h.supervisor.counts.enter_all(
            [*sheet(h, 4, places=(BAG,)), *sheet(h, 4, at_hours_ago=8, places=(BAG,))]
        )
        await h.idle()
        told: Any = await Reports(h.store, h.clock).ira(read_wish({"since": "10h"}, h.clock.now()))
        assert (told["total"]["n"], told["total"]["recounts"]) == (0, 1)


async def test_what_sold_is_the_ledgers_word_whoever_entered_it() -> None:
    """The till told us of two; a person entered one more in the org, which we never wrote."""
    async with house({BAG: 5, FAR: 40, "BAG-1|IN-TRANSIT": 3}) as h:
        long_ago(h)
        sold(h, ago(h, 5), "receipt-1", -2)
        await h.until(lambda: h.org.of("posting:"))
        level = LevelKey.parse(BAG)
        h.org._enter(Movement("person:77", "person:77", level, MovementKind.SALE, -1, 0, "", "", ago(h, 4)))
        h.org.tell("wake-ups", levels=frozenset({h.org.id_of(level)}), events=1)
        await h.until_kept(lambda tx: [at.on_hand for at, _ in tx.levels([level]).values()] == [2])
        await h.idle()
        reports = Reports(h.store, h.clock, "", h.org, frozenset({"IN-TRANSIT"}))
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            told: Any = await reports.sell_through(TurnoverWish(days=3, by=("location",)))
        assert seen[-1] == ("stock levels", 0, 2)
        ecom, dubai = told["rows"]
        assert (ecom["location"], ecom["sold"], ecom["on_hand"], ecom["sell_through"]) == ("ECOM", 3, 2, 60)
        assert (ecom["velocity"], ecom["cover_days"], dubai["sell_through"]) == (1, 2, 0)
        told = await reports.replenish(TurnoverWish(days=3, lead_days=2, cover_days=8, over_days=30))
        lacks, idle = told["rows"]
        assert (lacks["location"], lacks["lacking"], lacks["move_from"], lacks["buy"]) == (
            "ECOM",
            8,
            {"DUBAI": 8},
            0,
        )
        assert (idle["location"], idle["over"]) == ("DUBAI", 32)


async def test_the_shelf_that_was_off_is_to_be_counted_before_the_one_that_was_right() -> None:
    """And the one that was never counted before both; an incident brings a shelf forward."""
    async with house({BAG: 5, FAR: 2, "SCARF|ECOM": 9}) as h:
        long_ago(h)
        await h.supervisor.counts.enter_all(sheet(h, 4, 2))
        await h.idle()
        reports = Reports(h.store, h.clock, "", h.org)
        told: Any = await reports.count_next(TurnoverWish(limit=2))
        assert [(row["sku"], row["location"]) for row in told["rows"]] == [
            ("SCARF", "ECOM"),
            ("BAG-1", "ECOM"),
        ]
        assert (told["left_off"], told["rows"][0]["why"]) == (1, ["never counted"])
        assert told["rows"][1]["why"][-1] == "off by -1 at the last count"
        detail = {"sku": "BAG-1", "location": "DUBAI"}
        await h.store.write(
            lambda tx: [tx.open_incident(f"k{n}", "x", "t", detail, h.clock.now()) for n in range(3)]
        )
        told = await reports.count_next(TurnoverWish(limit=1))
        assert told["rows"][0]["location"] == "DUBAI"


async def test_a_dry_run_knows_what_only_the_orgs_books_know() -> None:
    """A date of before the level's books begin is told by the rehearsal, and nothing of the sheet goes in."""
    async with house({BAG: 5, FAR: 2}) as h:
        long_ago(h)
        counts = [*sheet(h, 4, places=(BAG,)), *sheet(h, 2, at_hours_ago=72, places=(FAR,))]
        for dry_run, partial in ((True, False), (True, True), (False, False)):
            told = await h.supervisor.counts.enter_all(counts, dry_run=dry_run, partial=partial)
            assert [each.problem for each in told] == ["", "too-old"]
            assert (h.org.of("count:"), [each.state for each in told]) == ([], ["", ""])
        told = await h.supervisor.counts.enter_all(counts, partial=True)
        assert [(each.state, each.problem) for each in told] == [("entered", ""), ("", "too-old")]
        asked = h.org.reads
        await h.supervisor.counts.enter_all(sheet(h, 2, at_hours_ago=0, places=(FAR,)), dry_run=True)
        assert h.org.reads == asked  # a shelf that is being scanned costs no calls


async def test_an_old_count_is_entered_at_a_persons_word_and_late_sales_fall_where_they_belong() -> None:
    """Three weeks old: asked about. Said to be true, it is held against that day, and a sale of the day
    before, told later, is no second missing bag; the newer count stands.
    """
    async with house({BAG: 5}) as h:
        long_ago(h, days=40)
        old = sheet(h, 4, at_hours_ago=21 * 24, places=(BAG,))
        for dry_run in (True, False):
            (told,) = await h.supervisor.counts.enter_all(old, partial=True, dry_run=dry_run)
            assert (told.problem, "21 days ago" in told.detail) == ("long-ago", True)
        assert h.org.numbers(BAG) == (5, 0)
        await h.supervisor.counts.enter_all(sheet(h, 5, at_hours_ago=4, places=(BAG,)))
        (told,) = await h.supervisor.counts.enter_all(old, sure=Sure(old=True))
        assert (told.state, told.variance) == ("entered", -1)
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)
        sold(h, ago(h, 22 * 24))
        await h.until(lambda: h.org.of("posting:"))
        await h.idle()
        assert h.org.numbers(BAG) == (5, 0)


async def test_folded_counts_stay_in_the_history_with_their_variance() -> None:
    """Two counts of a shelf; the older one is folded away in the org, and the report is as it was."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        older = sheet(h, 4, at_hours_ago=40, places=(BAG,))
        await h.supervisor.counts.enter_all([*older, *sheet(h, 4, at_hours_ago=4, places=(BAG,))])
        await h.idle()
        since, until = ago(h, 50), h.clock.now()
        before = await h.store.read(lambda tx: views.counted(tx, since, until))
        assert [count.variance for count in before] == [-1, 0]
        h.org.age(days=200)
        run = h.supervisor.fold(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.until(lambda: run.ended_at is not None)
        assert len(h.org.of("count:")) == 1
        assert await h.store.read(lambda tx: views.counted(tx, since, until)) == before
