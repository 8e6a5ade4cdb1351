"""Why a number is what it is: the sum, and behind each part who holds or moved it, now and then."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from tests.flow.kit import House, UnhurriedShop, house

from sfsync.domain.assortment import Floor, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.resync import Scope
from sfsync.domain.stock import LevelKey
from sfsync.domain.why import NotKeptError, Question, UnknownLocationError, UnknownSkuError
from sfsync.flow.comparing import Seen
from sfsync.flow.folding import FoldWish
from sfsync.flow.hands import Hands
from sfsync.flow.letters import Letters
from sfsync.flow.reconcile import take_over
from sfsync.flow.why import GONE, HELD_BACK, LAST, Why
from sfsync.ports import ChannelItem, TryLater, told_to

BAG, FAR = "BAG-1|ECOM", "BAG-1|DUBAI"
GATED = PolicyRule(("BAG-*",), guarantee=Guarantee.GATED)


async def told(h: House, **asked: Any) -> Any:
    """The whole answer about the bag."""
    return await Why(h.ctx).tell(Question("BAG-1", **asked))


def sums(answer: Any, channel: str) -> list[tuple[str, int]]:
    """The parts of what a channel should show."""
    (shown,) = [each for each in answer["channels"] if each["channel"] == channel]
    assert max(0, sum(part["units"] for part in shown["sum"])) == shown["should_show"]
    return [(part["what"], part["units"]) for part in shown["sum"]]


def behind(answer: Any, channel: str, what: str) -> list[tuple[str, int]]:
    """What stands behind one part."""
    (shown,) = [each for each in answer["channels"] if each["channel"] == channel]
    (part,) = [each for each in shown["sum"] if each["what"] == what]
    return [(each["what"], each["units"]) for each in part["because"]]


async def test_each_part_of_a_number_names_who_holds_and_who_moved_it() -> None:
    """Five came, the till sold one, London's order holds one and a client's reservation two."""
    async with house({BAG: 5}) as h:
        h.org.till(BAG, -1, "till-7")
        await h.shows("BAG-1", 4, 4)
        number = h.shops["london"].buy("BAG-1")
        await h.deliver("london", number)
        outcome = await h.reserve("BAG-1", 2)
        assert outcome.reservation is not None
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        seen: list[tuple[str, int, int | None]] = []
        with told_to(lambda *far: seen.append(far)):
            answer = await told(h)
        assert seen == [("stock levels read in the org", 0, 1)]
        assert sums(answer, "dubai") == [("on hand at ECOM", 4), ("reserved at ECOM", -3)]
        assert ("sale till-7", -1) in behind(answer, "dubai", "on hand at ECOM")
        assert sum(units for _, units in behind(answer, "dubai", "on hand at ECOM")) == 4
        held = dict(behind(answer, "dubai", "reserved at ECOM"))
        assert held.pop(f"order #{number} of london") == 1
        ((name, units),) = held.items()
        assert (outcome.reservation.id in name, units) == (True, 2)
        (shown,) = [each for each in answer["channels"] if each["channel"] == "dubai"]
        assert (shown["shows"], shown["should_show"], shown["in_flight"], shown["problem"]) == (
            1,
            1,
            False,
            "",
        )
        (level,) = answer["levels"]
        assert (level["on_hand"], level["reserved"], level["known"]["version"]) == (4, 3, level["rows"])
        assert [each["channel"] for each in (await told(h, channel="london"))["channels"]] == ["london"]


async def test_the_past_is_the_ledger_up_to_then() -> None:
    """Before the sale five were there, and nobody held any; what nobody keeps of then is not told."""
    async with house({BAG: 5, FAR: 2}, rules=(GATED,)) as h:
        await h.shows("BAG-1", 7, 7)
        before = h.clock.now()
        h.org.move(BAG, on_hand=-3)
        await h.shows("BAG-1", 4, 4)
        then = await told(h, at=before)
        assert then["past"]
        assert sums(then, "london") == [("on hand at DUBAI", 2), ("on hand at ECOM", 5)]
        assert "shows" not in then["channels"][0]
        assert sorted(sums(await told(h), "london")) == [("on hand at DUBAI", 2), ("on hand at ECOM", 2)]
        assert [each["location"] for each in (await told(h, location="DUBAI"))["levels"]] == ["DUBAI"]


async def test_the_past_is_told_under_the_settings_of_then() -> None:
    """London kept one bag back until it was told not to; what was shown before is explained by that."""
    kept = (PolicyRule(("BAG-*",), ("london",), safety_stock=1),)
    async with house({BAG: 5}, rules=kept) as h:
        await h.shows("BAG-1", 4, 5)
        before = h.clock.now()
        await h.stop()
        h.rules = ()
        await h.start()
        await h.shows("BAG-1", 5, 5)
        then, now = await told(h, at=before), await told(h)
        assert (then["settings"], now["settings"]) == ("of then", "in force")
        assert sums(then, "london") == [("on hand at ECOM", 5), ("safety stock", -1)]
        assert sums(now, "london") == [("on hand at ECOM", 5)]
        h.org.age(days=100)  # its books are older than what is kept of the settings
        long_ago = await told(h, at=before - timedelta(days=50))
        assert long_ago["settings"] == "of today"


async def test_the_past_of_a_channel_at_which_changed_settings_waited_is_told_as_it_was() -> None:
    """A cap was held back, and let go later: in between, London went on without it."""
    many = {f"BAG-{number}|ECOM": 5 for number in range(30)}
    async with house(many) as h:
        await h.shows("BAG-1", 5, 5)
        await h.stop()
        h.rules, h.approve, h.ask_above_percent = (PolicyRule(("*",), ("london",), cap=2),), False, 20
        await h.start()
        await h.until_kept(lambda tx: "london" in tx.holds())
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())
        between = h.clock.now()
        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        await h.supervisor.resync.put_right(plan.id, yes_change=30)
        await h.shows("BAG-1", 2, 5)
        assert sums(await told(h), "london") == [("on hand at ECOM", 5), ("above its cap of 2", -3)]
        then = await told(h, at=between)
        assert sums(then, "london")[-1] == (HELD_BACK, 3)


async def test_a_gated_shop_is_told_of_what_its_own_shopper_holds() -> None:
    """The same reservation takes the unit from the one and leaves it to the other."""
    async with house({BAG: 1}, rules=(GATED,)) as h:
        outcome = await h.reserve("BAG-1", shop="london")
        assert outcome.reservation is not None
        await h.shows("BAG-1", 1, 0)
        answer = await told(h)
        assert sums(answer, "dubai") == [("on hand at ECOM", 1), ("reserved at ECOM", -1)]
        assert sums(answer, "london")[-1] == ("its own reservations", 1)
        assert behind(answer, "london", "its own reservations") == behind(answer, "dubai", "reserved at ECOM")


async def test_an_order_that_no_stock_covers_stands_in_every_shops_sum() -> None:
    """Dubai owes its customer one: London must not show it when it comes."""
    async with house({BAG: 1}) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await h.deliver("london", one)
        await h.idle()
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: tx.incidents())
        await h.idle()
        answer = await told(h)
        assert ("orders that no stock covers", -1) in sums(answer, "london")
        assert behind(answer, "london", "orders that no stock covers") == [(f"order #{two} of dubai", 1)]


async def test_what_cannot_be_told_is_said() -> None:
    """An unknown SKU; a past whose movements are folded; an org that does not answer."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        with pytest.raises(UnknownSkuError, match="BAG-9"):
            await Why(h.ctx).tell(Question("BAG-9"))
        with pytest.raises(UnknownLocationError, match=r"'MOON' is no location .* 'BAG-1' is at ECOM"):
            await told(h, location="MOON")
        before = h.clock.now()
        for number in range(3):
            h.org.till(BAG, -1, f"till-{number}")
        await h.shows("BAG-1", 2, 2)
        await h.idle()
        h.org.age(days=100)
        run = h.supervisor.fold(FoldWish(timedelta(days=90)))
        assert run is not None
        await h.until(lambda: run.ended_at is not None)
        assert sums(await told(h), "london") == [("on hand at ECOM", 2)]
        with pytest.raises(NotKeptError, match="folded"):
            await told(h, at=before)
        h.org.cut_off = True
        answer = await told(h)
        assert answer["org"].startswith("not read: ")
        assert sums(answer, "london") == [("on hand at ECOM", 2)]
        with pytest.raises(TryLater, match="not read"):
            await told(h, at=h.clock.now())


async def test_of_a_time_before_the_books_begin_nothing_is_told() -> None:
    """Six years ago sfsync knew of no bag: that is not the same as having had none."""
    async with house({BAG: 5, "SCARF|MALL": 1}) as h:
        long_ago = h.clock.now() - timedelta(days=2200)
        begin = min(row.created_at for row in await h.org.rows_at([h.org.id_of(LevelKey.parse(BAG))]))
        with pytest.raises(NotKeptError, match=f"begin at {begin:%Y-%m-%dT%H:%M:%S}"):
            await told(h, at=long_ago)
        await h.let_a_minute_pass()
        between = h.clock.now()
        h.org.add("BAG-1|MALL", 3)
        await h.shows("BAG-1", 8, 8)
        answer = await told(h, at=between)
        assert sums(answer, "london") == [("on hand at ECOM", 5), ("on hand at MALL", 0)]
        (told_of_mall,) = behind(answer, "london", "on hand at MALL")
        assert "its books begin at" in told_of_mall[0]
        with pytest.raises(NotKeptError, match="MALL"):
            await told(h, at=between, location="MALL")


async def findings(h: House, sku: str = "BAG-1", **asked: Any) -> dict[str, tuple[str, str, bool]]:
    """What is amiss with a SKU, by where."""
    answer: Any = await Why(h.ctx).tell(Question(sku, **asked))
    return {each["where"]: (each["what"], each["remedy"], each["wrong"]) for each in answer["findings"]}


async def adopt(h: House, *items: ChannelItem) -> None:
    """London's listing is read, and it has these items."""
    now = h.clock.now() + timedelta(seconds=1)
    seen = [Seen(item, now, now) for item in items]
    await h.store.write(lambda tx: take_over(tx, ctx=h.ctx, channel="london", seen=seen))


async def test_nothing_is_amiss_with_a_number_that_is_right() -> None:
    """And no finding is told of the past, which nobody has read then."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        assert await findings(h) == {}


async def test_several_items_of_one_sku_are_told_with_what_to_do() -> None:
    """None of them is written: an admin who asks why the shop sells on must hear it."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        await adopt(h, ChannelItem("BAG-1", "online", "i1", "p1", 5, duplicate=True))
        what, remedy, wrong = (await findings(h))["london"]
        assert (wrong, "several items" in what, "its own SKU" in remedy) == (True, True, True)


async def test_an_item_that_is_not_tracked_or_sells_on_at_zero_is_told_until_it_is_mended() -> None:
    """It stands in the list of dead letters, which the status names; the next reading takes it off."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        for item, word in (
            (ChannelItem("BAG-1", "online", "i1", "p1", 5, tracked=False), "keeps no number"),
            (ChannelItem("BAG-1", "online", "i1", "p1", 5, oversell_allowed=True), "shows zero"),
        ):
            await adopt(h, item)
            what, remedy, wrong = (await findings(h))["london"]
            assert (word in what, "sfsync resync" in remedy, wrong) == (True, True, True)
            (letter,) = await h.store.read(lambda tx: tx.dead_letters())
            assert "BAG-1" in letter.reason
        await adopt(h, ChannelItem("BAG-1", "online", "i1", "p1", 5))
        assert await findings(h) == {}
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_what_is_meant_to_sell_beyond_its_stock_is_told_no_more_once_it_is_dropped() -> None:
    """A pre-order may be meant so; the record keeps who said it."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        preorder = ChannelItem("BAG-1", "online", "i1", "p1", 5, oversell_allowed=True)
        await adopt(h, preorder)
        (letter,) = await h.store.read(lambda tx: tx.dead_letters())
        await Letters(h.ctx).drop([letter.id], "Anna Kay", "a pre-order")
        await adopt(h, preorder)
        assert await h.store.read(lambda tx: tx.dead_letters()) == []


async def test_a_sku_that_only_a_channel_has_is_told_and_one_that_nobody_has_is_unknown() -> None:
    """What the shop shows of it is written by nobody."""
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        await adopt(h, ChannelItem("NEW-1", "online", "i2", "p1", 7))
        found = await findings(h, "NEW-1")
        assert ("no stock level" in found["org"][0], "create the stock level" in found["org"][1]) == (
            True,
            True,
        )
        assert ("showed 7" in found["london"][0], found["london"][2]) == (True, True)
        with pytest.raises(UnknownSkuError):
            await findings(h, "NEW-2")


async def test_a_channel_that_does_not_list_a_sku_is_named() -> None:
    """Which need not be wrong, unless that channel was asked for."""
    async with house({BAG: 5, "SCARF|ECOM": 3}, shops=("london",), shelf={"BAG-1": 0}) as h:
        what, remedy, wrong = (await findings(h, "SCARF"))["london"]
        assert ("does not list it" in what, "--channel london" in remedy, wrong) == (True, True, False)
        assert (await findings(h, "SCARF", channel="london"))["london"][2]


async def test_what_has_left_of_a_shops_units_stands_behind_its_number() -> None:
    """Two are set aside for Dubai, and the counter sold one; so it says also when it is asked later."""
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
    async with house({BAG: 2}, rules=(rule,), shops=("dubai",), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 2)
        dubai = h.shops["dubai"]
        assert isinstance(dubai, UnhurriedShop)
        dubai.answering.clear()
        h.org.till(BAG, -1, "receipt-1")
        await h.until_kept(lambda tx: tx.incidents())
        answer, (row,) = await told(h), await Hands(h.ctx).standing("BAG-1")
        assert sums(answer, "dubai") == [("its allocation", 1)]
        held = [("allocation of dubai", 2), (GONE.format("ECOM"), -1)]
        assert behind(answer, "dubai", "its allocation") == held
        assert (row.held, row.shows, row.lacking, row.goal) == (2, 2, 1, 1)
        then = h.clock.now()
        dubai.answering.set()
        await h.shows("BAG-1", 1)
        await h.until(lambda: h.org.numbers(BAG) == (1, 1))
        await h.idle()
        assert behind(await told(h), "dubai", "its allocation") == [("allocation of dubai", 1)]
        past = await told(h, at=then)
        assert (sums(past, "dubai"), behind(past, "dubai", "its allocation")) == (
            [("its allocation", 1)],
            held,
        )


async def test_what_is_among_a_shops_last_pieces_by_now_stands_behind_the_number_too() -> None:
    """Two of four in a boutique are set aside for Dubai, and the counter sold one: three are there still."""
    rule, floor = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED), Floor(frozenset({"TOWN"}), 2)
    stock = {"BAG-1|TOWN": 4}
    async with house(stock, rules=(rule,), shops=("dubai",), floor=floor, make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 2)
        dubai = h.shops["dubai"]
        assert isinstance(dubai, UnhurriedShop)
        dubai.answering.clear()
        h.org.move("BAG-1|TOWN", on_hand=-1)
        await h.until_kept(lambda tx: any(level.on_hand == 3 for level in tx.levels_of(["BAG-1"])))
        answer = await told(h)
        assert sums(answer, "dubai") == [("its allocation", 1)]
        held = [("allocation of dubai", 2), (LAST.format("TOWN"), -1)]
        assert behind(answer, "dubai", "its allocation") == held
        dubai.answering.set()
        await h.shows("BAG-1", 1)
        await h.until(lambda: h.org.numbers("BAG-1|TOWN") == (3, 1))
