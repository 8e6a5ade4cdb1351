"""A concession's report: each line once, whichever way it comes, never against a count that has seen it."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from tests.flow.kit import house, total
from tests.flow.test_counts import ago, count, long_ago

from sfsync.domain.till_file import read
from sfsync.domain.tills import MaySell, Till, TillOutcome, TillSale
from sfsync.flow.context import SNAPSHOT
from sfsync.ports import told_to

BAG, TIE = "BAG-1|ECOM", "TIE-1|ECOM"
TILL = Till("rinascente", "ECOM", ZoneInfo("Europe/Rome"))


def report(*rows: tuple[int, str, int, datetime]) -> list[TillSale]:
    """Rows as (receipt, SKU, units, when), as its file tells them in the till's own time."""
    lines = [
        f"{receipt},1,{sku},{units},{at.astimezone(TILL.zone):%Y-%m-%d,%H:%M:%S}\n"
        for receipt, sku, units, at in rows
    ]
    found = read("receipt,line,sku,quantity,date,time\n" + "".join(lines), TILL)
    assert found.bad == []
    return [sale for _, sale in found.sales]


def states(outcomes: object) -> list[tuple[str, str, bool, bool]]:
    assert isinstance(outcomes, list)
    return [(each.state, each.problem, each.again, each.late) for each in outcomes]


async def test_a_report_is_in_the_ledger_once_however_often_it_comes() -> None:
    """A sale and a return lower and raise what the storefronts show; again they change nothing."""
    async with house({BAG: 5, TIE: 1}) as h:
        sales = report((77, "BAG-1", 2, ago(h, 2)), (78, "TIE-1", -1, ago(h, 1)))
        assert states(await h.supervisor.tills.enter(sales)) == [("entered", "", False, False)] * 2
        await h.shows("BAG-1", 3, 3)
        await h.shows("TIE-1", 2, 2)
        assert states(await h.supervisor.tills.enter(sales)) == [("entered", "", True, False)] * 2
        await h.idle()
        assert h.org.of("posting:till:") == [
            ("posting:till:rinascente:77:1", -2, 0),
            ("posting:till:rinascente:78:1", 1, 0),
        ]
        kinds = {row.subject: row.kind.value for row in h.org.rows.values()}
        assert kinds["posting:till:rinascente:77:1"] == "Sale"
        assert kinds["posting:till:rinascente:78:1"] == "Return"


async def test_whoever_sends_a_report_sees_how_far_it_is() -> None:
    """Checked, handed to the ledger, answered by the org: each with how many of how many lines."""
    async with house({BAG: 5, TIE: 1}) as h:
        sales = report((77, "BAG-1", 2, ago(h, 2)), (78, "TIE-1", -1, ago(h, 1)))
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            await h.supervisor.tills.enter(sales)
        assert seen == [
            ("lines checked", 2, 2),
            ("lines handed to the ledger", 2, 2),
            ("lines answered by the org", 1, 2),
            ("lines answered by the org", 2, 2),
        ]


async def test_the_evening_sale_told_in_the_morning_is_in_the_nights_count_already() -> None:
    """Five in the books, four counted at 18:00; the concession's report of its 17:00 sale comes next day."""
    async with house({BAG: 5}) as h:
        long_ago(h)
        await count(h, 4, ago(h, 14))
        await h.shows("BAG-1", 4, 4)
        sales = report((77, "BAG-1", 1, ago(h, 15)), (78, "BAG-1", 1, ago(h, 13)))
        outcomes = await h.supervisor.tills.enter(sales)
        assert states(outcomes) == [("entered", "", False, True), ("entered", "", False, False)]
        await h.supervisor.tills.enter(sales)
        await h.idle()
        assert h.org.of("late:") == [("late:posting:till:rinascente:77:1:0", 1, 0)]
        assert h.org.numbers(BAG) == (3, 0)
        await h.shows("BAG-1", 3, 3)


@pytest.mark.parametrize("fate", ["lost", "reply lost", "late"])
async def test_a_report_that_was_cut_off_by_a_kill_is_whole_after_it_comes_again(fate: str) -> None:
    """Some lines were in, the answer was lost, the daemon died: told again, each line stands there once."""
    async with house({BAG: 5, TIE: 5}) as h:
        sales = report((77, "BAG-1", 1, ago(h, 2)), (78, "TIE-1", 2, ago(h, 1)))
        h.org.next.append(fate)
        sent = len(h.org.requests)
        # The first line was written down when the daemon died, and the second was not.
        await h.supervisor.tills.enter(sales[:1])
        await h.until(lambda: len(h.org.requests) > sent)
        await h.kill()
        h.org.land()
        await h.start()
        assert [each.problem for each in await h.supervisor.tills.enter(sales)] == ["", ""]
        await h.idle()
        assert total(h.org.of("posting:till:rinascente:77")) == (-1, 0)
        assert total(h.org.of("posting:till:rinascente:78")) == (-2, 0)
        assert (h.org.numbers(BAG), h.org.numbers(TIE)) == ((4, 0), (3, 0))


async def test_one_bad_line_keeps_all_of_them_out_unless_it_may_be_partial() -> None:
    """An unknown SKU and a sale of tomorrow are told; the good line waits for somebody to say so."""
    async with house({BAG: 5}) as h:
        sales = report(
            (77, "BAG-1", 1, ago(h, 2)), (78, "HAT-1", 1, ago(h, 2)), (79, "BAG-1", 1, ago(h, -24))
        )
        bad = [("", "unknown-level", False, False), ("", "wrong", False, False)]
        nothing = ("", "", False, False)
        assert states(await h.supervisor.tills.enter(sales)) == [nothing, *bad]
        assert states(await h.supervisor.tills.enter(sales, partial=True, dry_run=True)) == [nothing, *bad]
        assert h.org.of("posting:") == []
        entered = ("entered", "", False, False)
        assert states(await h.supervisor.tills.enter(sales, partial=True)) == [entered, *bad]
        assert h.org.numbers(BAG) == (4, 0)


async def test_another_sale_under_the_same_number_is_told_and_not_taken_for_the_same() -> None:
    """Whatever it says: another quantity, another SKU. The first one stands."""
    async with house({BAG: 5, TIE: 5}) as h:
        first = report((77, "BAG-1", 1, ago(h, 2)))
        await h.supervisor.tills.enter(first)
        for other in (report((77, "BAG-1", 2, ago(h, 2))), report((77, "TIE-1", 1, ago(h, 2)))):
            (outcome,) = await h.supervisor.tills.enter(other)
            assert outcome.problem == "id-reused"
            assert "was told before as 1 of BAG-1|ECOM" in outcome.detail
        await h.idle()
        assert (h.org.numbers(BAG), h.org.numbers(TIE)) == ((4, 0), (5, 0))


async def test_todays_sales_told_by_their_date_count_until_now() -> None:
    """The day is not over: they are in, and no moment of tomorrow stands in the ledger."""
    async with house({BAG: 5}) as h:
        now = h.clock.now()
        (sale,) = report((77, "BAG-1", 1, now))
        day = replace(sale, at=now + timedelta(hours=6), day_began=now - timedelta(hours=6))
        assert states(await h.supervisor.tills.enter([day])) == [("entered", "", False, False)]
        (row,) = [row for row in h.org.rows.values() if row.subject == sale.subject]
        assert now <= row.occurred_at <= h.clock.now()


async def test_while_the_org_is_unread_no_sku_is_unknown() -> None:
    """Try later: nothing is entered, and nothing is called wrong."""
    async with house({BAG: 5}) as h:
        now = h.clock.now()
        await h.store.write(lambda tx: tx.open_hole(SNAPSHOT, now, "unread", now))
        told = await h.supervisor.tills.enter(report((77, "HAT-1", 1, ago(h, 1))))
        assert told == [
            TillOutcome(problem="try-later", detail="the org's stock levels are still being read")
        ]


async def test_what_the_till_may_sell_follows_the_ledger() -> None:
    """The bag that a shopper's cart holds is not the concession's to sell."""
    async with house({BAG: 5, TIE: 0, "BAG-1|DUBAI": 7}) as h:
        await h.reserve("BAG-1", 2)
        await h.idle()
        held = 2 + h.org.numbers("BAG-1|DUBAI")[0] - 7
        assert await h.supervisor.tills.may_sell(TILL) == [MaySell("TIE-1", 0), MaySell("BAG-1", 5 - held)]
        kept = replace(TILL, safety_stock=1, cap=1)
        assert await h.supervisor.tills.may_sell(kept) == [MaySell("TIE-1", 0), MaySell("BAG-1", 1)]


async def test_of_two_unlike_reports_of_a_line_at_once_one_is_in() -> None:
    """By a file and by the API in the same moment: one is in, the other is called another sale."""
    async with house({BAG: 5}) as h:
        one, two = report((77, "BAG-1", 1, ago(h, 2))), report((77, "BAG-1", 2, ago(h, 2)))
        told = await asyncio.gather(h.supervisor.tills.enter(one), h.supervisor.tills.enter(two))
        found = {outcome.problem or outcome.state: n for n, (outcome,) in enumerate(told, 1)}
        assert found.keys() == {"entered", "id-reused"}
        await h.idle()
        assert total(h.org.of("posting:")) == (-found["entered"], 0)
