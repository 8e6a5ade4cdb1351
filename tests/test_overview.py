"""What people are told: the exact shape that page and API promise, and numbers that add up."""

from __future__ import annotations

import types
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from tests.flow.kit import TILL, WAKE, House, UnhurriedShop, house

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.budget import Outlook, Standing, Work
from sfsync.domain.turns import Turns
from sfsync.flow.policies import Policies
from sfsync.overview import Overview
from sfsync.overview.health import short_of_calls
from sfsync.ports import Tx
from sfsync.web.status_shape import Status, StockOfSku

BAG, SCARF, GOLD = "BAG-1|ECOM", "SCARF|ECOM", "GOLD|ECOM"
RULES = (
    PolicyRule(("GOLD",), ("london",), Guarantee.ALLOCATED),
    PolicyRule(("SCARF",), guarantee=Guarantee.GATED),
)


def mismatches(value: Any, shape: Any, where: str = "status") -> list[str]:
    """Where a value is not of a TypedDict's shape: missing, unknown and wrongly typed entries."""
    if is_typeddict(shape):
        if not isinstance(value, dict):
            return [f"{where} is {value!r}"]
        hints = get_type_hints(shape)
        wrong = [f"{where}.{name} is {told}" for name, told in _keys(value, hints)]
        return wrong + [
            line
            for name in hints.keys() & value.keys()
            for line in mismatches(value[name], hints[name], f"{where}.{name}")
        ]
    origin, parts = get_origin(shape), get_args(shape)
    if origin is list:
        entries = enumerate(value) if isinstance(value, list) else ()
        found = [line for n, entry in entries for line in mismatches(entry, parts[0], f"{where}[{n}]")]
        return found if isinstance(value, list) else [f"{where} is {value!r}"]
    if origin is dict:
        return [
            line
            for key, entry in value.items()
            for line in mismatches(key, parts[0], where) + mismatches(entry, parts[1], f"{where}[{key}]")
        ]
    if origin is Literal:
        return [] if value in parts else [f"{where} is {value!r}, none of {parts}"]
    if origin in (Union, types.UnionType):
        return [] if any(not mismatches(value, part, where) for part in parts) else [f"{where} is {value!r}"]
    exact = type(value) is shape or (shape is float and type(value) is int)
    return [] if exact else [f"{where} is {value!r}, not {shape.__name__}"]


def _keys(value: dict[str, Any], hints: dict[str, Any]) -> list[tuple[str, str]]:
    missing = [(name, "missing") for name in sorted(hints.keys() - value.keys())]
    return missing + [(name, "unknown") for name in sorted(value.keys() - hints.keys())]


def overview(h: House, *, running: bool = True) -> Overview:
    kinds = dict.fromkeys(h.shops, "shopify")
    return Overview(h.store, h.ctx.assortment, h.clock, kinds, h.pulse if running else None)


async def test_a_quiet_house_is_green_and_says_so() -> None:
    """Every channel has been told what the org has."""
    async with house({BAG: 5, SCARF: 2, GOLD: 1}, rules=RULES) as h:
        status = await overview(h).status()
        assert mismatches(status, Status) == []
        assert (status["health"]["state"], status["health"]["reasons"]) == ("good", [])
        assert status["health"]["sentence"] == "Every channel has been told what the org has."
        assert await overview(h).healthy() == (True, "The org answers and the stream flows.")
        for channel in status["channels"]:
            assert channel["approved"]
            assert channel["levels"] == 3 == sum(channel["guarantees"].values())  # type: ignore[arg-type]  # counts, all of them
            assert (channel["due"], channel["in_flight"], channel["problems"]) == (0, 0, 0)
        assert [(s["sku"], s["available"]) for s in status["scarce"]] == [("GOLD", 0), ("SCARF", 2)]
        sellers = {seller["channel"]: seller["may"] for seller in status["scarce"][0]["sellers"]}
        assert sellers == {"london": "sells", "dubai": "closed"}


async def test_a_place_that_owes_takes_nothing_from_what_the_others_can_sell() -> None:
    """One place has fifty-five, another ninety-five less than none: the SKU is not scarce."""
    async with house({BAG: 55, "BAG-1|DUBAI": 1, SCARF: 2}) as h:
        h.org.move("BAG-1|DUBAI", on_hand=-96)
        await h.until_kept(lambda tx: tx.incidents())
        assert [each["sku"] for each in (await overview(h).status())["scarce"]] == ["SCARF"]


async def test_the_last_one_on_a_channel_that_does_not_ask_is_a_red_finding() -> None:
    """Both sites show it, and both may sell it."""
    async with house({BAG: 1}) as h:
        await h.shows("BAG-1", 1, 1)
        (scarce,) = (await overview(h).status())["scarce"]
        assert [(each["may"], each["why"]) for each in scarce["sellers"]] == [
            ("sells unasked", "mirrored")
        ] * 2
        health = (await overview(h).status())["health"]
        assert health["state"] == "bad"
        assert health["reasons"] == [
            "dubai and london show the last of BAG-1 without asking first, and others sell it too: a unit "
            "may be sold twice before it hears of the first sale. Gate it, or allocate it, by a policy with "
            "scarce_at; or accept it by one with exposure_accepted."
        ]
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 3, 3)
        await h.idle()
        assert (await overview(h).status())["health"]["reasons"] == []


async def test_what_is_wrong_at_many_channels_is_said_once_and_after_what_goes_wrong_now() -> None:
    """Six shops show one bag and one scarf, four also a hat, and the org is away: three sentences."""
    names = [f"market-{number}" for number in range(6)]
    hat = PolicyRule(("HAT",), ("market-0", "market-1"), exposure_accepted=True)
    async with house({BAG: 1, SCARF: 1, "HAT|ECOM": 1}, shops=names, rules=(hat,)) as h:
        h.pulse.entering_error = "HTTP 503"
        for name in names[:4]:
            h.pulse.channel_error[name] = f"{name}: HTTP 502"
        told = await overview(h).status()
        away, broken, unasked = told["health"]["reasons"]
        assert away == told["health"]["sentence"] == "The org does not answer: HTTP 503"
        assert broken == "4 channels (market-0, market-1, market-2 and 1 more): HTTP 502"
        assert unasked.startswith(
            "6 channels (market-0, market-1, market-2 and 3 more) show the last of BAG-1, SCARF, HAT without "
            "asking first, and others sell them too: "
        )


@pytest.mark.parametrize(
    "rule",
    [
        PolicyRule(("BAG-*",), guarantee=Guarantee.GATED, scarce_at=2),
        PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED, scarce_at=2),
        PolicyRule(("*",), ("dubai",), Guarantee.ALLOCATED, scarce_at=2),
        PolicyRule(("*",), ("dubai", "london"), exposure_accepted=True),
        PolicyRule(("*",), exposure_accepted=True, scarce_at=2),
    ],
    ids=["asks first", "its own", "one shop's", "accepted", "accepted of few"],
)
async def test_the_last_one_is_no_finding_where_it_is_safe_or_somebody_has_accepted_it(
    rule: PolicyRule,
) -> None:
    """A marketplace can neither ask nor have units of its own: a house that knows it says so once."""
    decoy = PolicyRule(("BAG-1",), cap=9)  # the first that matches counts, and hides no acceptance
    rules = (rule, decoy) if rule.guarantee else (decoy, rule)
    async with house({BAG: 2}, rules=rules) as h:
        await h.idle()
        assert (await overview(h).status())["health"]["reasons"] == []


async def test_what_may_be_sold_twice_is_told_before_all_that_is_scarce_and_safe() -> None:
    """Twenty last pieces that are asked for first do not push the one off the page that both sites show."""
    stock = {f"ASKED-{number:02}|ECOM": 1 for number in range(20)} | {"ZULU|ECOM": 2}
    rules = (PolicyRule(("ASKED-*",), guarantee=Guarantee.GATED),)
    async with house(stock, rules=rules) as h:
        await h.shows("ZULU", 2, 2)
        told = (await overview(h).status())["scarce"]
        assert (told[0]["sku"], [each["may"] for each in told[0]["sellers"]]) == (
            "ZULU",
            ["sells unasked"] * 2,
        )
        assert len(told) == 12


def sellers(status: Status) -> list[tuple[str, str]]:
    """Whether London, and Dubai, may sell the scarce SKU, and why."""
    (scarce,) = status["scarce"]
    found = {each["channel"]: (each["may"], each["why"]) for each in scarce["sellers"]}
    return [found["london"], found["dubai"]]


async def test_what_has_left_of_a_shops_own_units_may_be_sold_twice_while_it_shows_it() -> None:
    """One each, and the counter sells one; neither shop is reached: one of them sells what is not there."""
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED)
    async with house({BAG: 2}, rules=(rule,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 1, 1)
        for shop in h.shops.values():
            assert isinstance(shop, UnhurriedShop)
            shop.answering.clear()
        h.org.till(BAG, -1, "receipt-1")
        await h.until_kept(lambda tx: tx.incidents())
        told = sorted(sellers(await overview(h).status()))
        assert told == [
            ("sells", "its allocation"),
            ("sells unasked", "its allocation, of which some has left"),
        ]


async def test_a_number_is_told_as_a_shops_own_only_once_all_it_shows_is_set_aside() -> None:
    """Three of five are sold at the till, and London is not reached: it may still sell five, unasked.

    Then no policy divides it, and London is not reached again: its unit is its own until it is given back.
    """
    rule = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, scarce_at=2, plentiful_at=6)

    def told_all(tx: Tx) -> bool:
        """The org and Dubai have answered, and the answers are kept."""
        return not tx.waiting_bundles(0) and not tx.open_pushes("dubai") and not tx.due("dubai", 1)

    async with house({BAG: 5}, rules=(rule,), make_shop=UnhurriedShop) as h:
        await h.shows("BAG-1", 5, 5)
        london = h.shops["london"]
        assert isinstance(london, UnhurriedShop)
        london.answering.clear()
        h.org.move(BAG, on_hand=-3)
        await h.shows("BAG-1", 5, 0)
        await h.until(lambda: h.org.numbers(BAG) == (2, 2))
        await h.until_kept(told_all)
        told = sellers(await overview(h).status())
        assert told == [("sells unasked", "mirrored, being set aside"), ("closed", "sold out")]
        london.answering.set()
        await h.shows("BAG-1", 1, 1)
        await h.idle()
        told = sellers(await overview(h).status())
        assert told == [("sells", "its allocation")] * 2
        london.answering.clear()
        policies = Policies(h.ctx, ask=False)
        await policies.adopt(replace(h.ctx.assortment, rules=()))
        await policies.run()
        await h.until(lambda: h.org.numbers(BAG) == (2, 1))
        await h.shows("BAG-1", 1, 1)
        await h.until_kept(told_all)
        told = sellers(await overview(h).status())
        assert told == [("sells", "its allocation, being given back"), ("sells unasked", "mirrored")]


async def test_whose_turn_it_is_to_sell_the_last_one_is_told_to_the_minute() -> None:
    """London's first: Dubai's is closed until then, and says so."""
    turns = PolicyRule(("BAG-1",), guarantee=Guarantee.ALLOCATED, turns=Turns(24.0))
    async with house({BAG: 1}, rules=(turns,)) as h:
        await h.shows("BAG-1", 1, 0)
        await h.idle()
        london, dubai = sellers(await overview(h).status())
        assert london[0] == "sells"
        assert london[1].startswith("its turn until ")
        assert london[1].endswith(" UTC, then dubai's")
        assert (dubai[0], dubai[1]) == ("closed", london[1].replace("its", "london's"))


async def test_how_far_a_stream_is_behind_is_told() -> None:
    """From the commit in the org to the moment when every target is stored; not known before an event."""
    async with house({BAG: 5}) as h:
        h.org.move(BAG, on_hand=1, told=False)
        h.org.tell(
            WAKE,
            levels=frozenset({h.org.level(BAG).record_id}),
            committed_at=h.clock.now() - timedelta(hours=3),
            events=1,
        )
        await h.until(lambda: WAKE in h.pulse.lag_seconds)
        h.pulse.topics = (WAKE, TILL)
        wake, till = (topic["lag_seconds"] for topic in (await overview(h).status())["stream"]["topics"])
        assert wake is not None
        assert 10_800 <= wake < 10_900
        assert till is None


async def test_a_house_in_trouble_has_the_same_shape_and_names_its_troubles() -> None:
    """An oversold bag, a bad row, a hole, a queue: each is told, and the sums hold."""
    async with house({BAG: 1, SCARF: 5, GOLD: 1}, rules=RULES) as h:
        one, two = (h.shops[name].buy("BAG-1") for name in ("london", "dubai"))
        await h.deliver("london", one)
        await h.idle()
        await h.deliver("dubai", two)
        await h.until_kept(lambda tx: tx.incidents())
        h.shops["dubai"].bad = {"SCARF": "the item is archived"}
        h.org.move(SCARF, on_hand=-1)
        await h.until_kept(lambda tx: tx.dead_letters())
        await h.until(lambda: h.shops["london"].shelf["SCARF"] == 4)
        await h.store.write(
            lambda tx: tx.open_hole("elsewhere", h.clock.now(), "somebody slept", h.clock.now())
        )
        h.org.next.extend(["lost"] * 200)
        await h.deliver("london", h.shops["london"].buy("SCARF"))
        await h.until_kept(lambda tx: tx.waiting_bundles(0))
        status = await overview(h).status()
        assert mismatches(status, Status) == []
        assert status["health"]["state"] == "bad"
        text = " ".join(status["health"]["reasons"])
        assert "sold at dubai that no stock covers" in text
        assert "somebody slept" in text
        assert "dead letter" in text
        assert status["ledger"]["queue"] == 1
        assert [hole["source"] for hole in status["stream"]["holes"]] == ["elsewhere"]
        (incident,) = status["incidents"]
        assert incident["units"] == 1
        assert {(order["order"], order["covered"]) for order in incident["orders"]} == {
            (f"#{two}", False),
            (f"#{one}", True),
        }
        dubai = next(channel for channel in status["channels"] if channel["name"] == "dubai")
        assert (dubai["state"], dubai["problems"], dubai["dead_letters"]) == ("warning", 1, 1)
        assert await overview(h).healthy() == (False, "timed out")
        h.org.next.clear()
        await h.until(lambda: not h.pulse.org_error)
        assert (await overview(h).healthy())[0] is True  # what went wrong in the shop takes nothing offline
        h.ctx.pulse.entering_error = "it is away"
        assert await overview(h).healthy() == (False, "it is away")


async def test_the_status_tells_the_newest_dead_letters_and_counts_the_rest() -> None:
    """As many as a page has room for, however many items of a shop sell beyond their stock."""

    def set_aside(tx: Tx) -> None:
        for number in range(103):
            tx.dead_letter("london", f"beyond:SCARF-{number}@online", "r", "a", "", h.clock.now())

    async with house({BAG: 5}) as h:
        await h.store.write(set_aside)
        status = await overview(h).status()
        assert [each["key"] for each in status["dead_letters"][:2]] == [
            "beyond:SCARF-102@online",
            "beyond:SCARF-101@online",
        ]
        assert (len(status["dead_letters"]), status["dead_letters_more"]) == (100, 3)
        assert status["dead_letters_by_source"] == {"london": 103}
        assert any("103 dead letters wait" in reason for reason in status["health"]["reasons"])


async def test_the_movements_told_are_those_of_the_ledger() -> None:
    """Newest first, with what is left of the level."""
    async with house({BAG: 5}) as h:
        for _ in range(2):
            await h.deliver("dubai", h.shops["dubai"].buy("BAG-1"))
            await h.idle()
        recent = (await overview(h).status())["recent"]
        assert [(m["sku"], m["location"], m["kind"], m["reserved_delta"], m["source"]) for m in recent] == [
            ("BAG-1", "ECOM", "Order", 1, "dubai")
        ] * 2
        assert [m["available"] for m in recent] == [3, 3]


async def test_one_sku_is_told_with_all_its_levels_and_channels() -> None:
    """Available is on hand less reserved; each channel's number beside it."""
    async with house({BAG: 5, "BAG-1|SHOP": 1, SCARF: 2}) as h:
        await h.reserve("BAG-1")
        await h.idle()
        found = await overview(h).levels("bag", 10)
        assert [line for sku in found for line in mismatches(sku, StockOfSku)] == []
        (bag,) = found
        assert sum(level["available"] for level in bag["levels"]) == 5
        assert all(level["available"] == level["on_hand"] - level["reserved"] for level in bag["levels"])
        assert {(shown["channel"], shown["published"], shown["target"]) for shown in bag["shown"]} == {
            ("london", 5, 5),
            ("dubai", 5, 5),
        }
        assert await overview(h).levels("100%", 10) == []


async def test_without_a_daemon_the_store_is_told_and_that_nothing_runs() -> None:
    """`sfsync status` beside a daemon that was killed."""
    async with house({BAG: 5}) as h:
        status = overview(h, running=False).status_now()
        assert mismatches(status, Status) == []
        assert status["health"]["state"] == "bad"
        assert status["health"]["sentence"] == "The daemon is not running."
        assert [channel["levels"] for channel in status["channels"]] == [1, 1]


def test_the_shape_checker_finds_what_is_wrong() -> None:
    """A missing entry, an unknown one and a wrong type."""
    level: dict[str, Any] = {"location": "ECOM", "on_hand": "5", "reserved": 0, "available": 5, "extra": 1}
    wrong = mismatches({"sku": "BAG-1", "levels": [level], "shown": []}, StockOfSku, "sku")
    assert sorted(wrong) == [
        "sku.levels[0].extra is unknown",
        "sku.levels[0].on_hand is '5', not int",
        "sku.levels[0].unit is missing",
        "sku.levels[0].version is missing",
    ]


async def test_the_last_pieces_at_a_shop_that_takes_plain_numbers_only_are_a_red_finding() -> None:
    """London's interface could write over a sale not yet heard of; deep stock and a gated SKU are none."""
    rules = (*RULES, PolicyRule(("BELT",), scarce_at=4, guarantee=Guarantee.MIRRORED))
    stock = {BAG: 2, "BELT|ECOM": 4, "HAT|ECOM": 3, SCARF: 1, GOLD: 1}
    async with house(stock, rules=rules) as h:
        await h.stop()
        london = h.shops["london"]
        london.ability = replace(london.ability, relative=False, compare_and_set=False)
        await h.start()
        await h.idle()
        health = (await overview(h).status())["health"]
        assert health["state"] == "bad"
        # The streams that were just joined may still have to show their first sign.
        dubai, reason = [each for each in health["reasons"] if not each.startswith("The stream")]
        assert reason.startswith("london shows the last of BAG-1, BELT without asking first")
        assert ("plain numbers only" in reason, "plain numbers only" in dubai) == (True, False)
        h.org.move(BAG, on_hand=1)
        h.org.move("BELT|ECOM", on_hand=-4)
        await h.shows("BAG-1", 3, 3)
        await h.shows("BELT", 0, 0)
        await h.idle()
        left = (await overview(h).status())["health"]["reasons"]
        assert [each for each in left if not each.startswith("The stream")] == []


@pytest.mark.parametrize(
    ("paused", "said"),
    [
        ({Work.SALE: 1, Work.REFRESH: 3, Work.BULK: 9}, ["sales wait", "about 2026-11-23 10:00 UTC"]),
        (
            {Work.REFRESH: 3, Work.BULK: 9},
            [
                "looking again waits, expected to go on about 2026-11-23 12:00",
                "about 2026-11-23 18:00 UTC",
            ],
        ),
        ({Work.BULK: 9}, ["bulk work waits, expected to go on about 2026-11-23 18:00 UTC"]),
    ],
)
def test_each_kind_of_work_is_told_its_own_hour_of_recovery(paused: dict[Work, int], said: list[str]) -> None:
    """Sales go on in an hour; that folding waits until the evening is no reason to say that they do."""
    nine = datetime(2026, 11, 23, 9, tzinfo=UTC)
    waits = {work: nine + timedelta(hours=hours) for work, hours in paused.items()}
    standing = Standing(400, 400, 300, 300, 100, waits, refused=Work.SALE in waits)
    (sentence,) = [each for told in short_of_calls(standing, nine) for each in told]
    assert all(each in sentence for each in said)
    assert sentence.count("UTC") == len(paused) or Work.SALE in paused
    assert sentence.count("UTC") == 1 or Work.SALE not in paused


@pytest.mark.parametrize(
    ("hours", "when"),
    [(5, "at 14:00 UTC at this pace"), (17, "at 02:00 on 2026-11-24 UTC at this pace"), (None, "")],
)
def test_calls_that_will_be_used_up_are_told_before_they_are(hours: int | None, when: str) -> None:
    """In doubt, not wrong: nothing waits yet. With the pace, and how much of it is ours."""
    nine = datetime(2026, 11, 23, 9, tzinfo=UTC)
    ahead = Outlook(9_000, 100_000, None if hours is None else nine + timedelta(hours=hours))
    standing = Standing(60_000, 100_000, 12_000, 80_000, 20_000, {}, refused=False, outlook=ahead)
    bad, doubtful = short_of_calls(standing, nine)
    assert bad == []
    if hours is None:
        assert doubtful == []
    else:
        (sentence,) = doubtful
        assert when in sentence
        assert "9,000 an hour; of the last 24 hours' 60,000 we made 12,000" in sentence
        assert short_of_calls(replace(standing, paused={Work.BULK: nine}), nine)[1] != doubtful


async def test_a_day_that_will_not_last_turns_the_status_yellow() -> None:
    """As `sfsync status` and `/v1/status` tell it; green again when the pace has fallen."""
    async with house({BAG: 5}) as h:
        assert (await overview(h).status())["health"]["state"] == "good"
        soon = Outlook(9_000, 100_000, h.clock.now() + timedelta(hours=2))
        calls = Standing(60_000, 100_000, 9_000, 80_000, 20_000, {}, refused=False, outlook=soon)
        h.pulse.calls = lambda: calls
        health = (await overview(h).status())["health"]
        assert health["state"] == "warning"
        assert "will be used up at" in health["sentence"]
        h.pulse.calls = lambda: replace(calls, outlook=replace(soon, used_up_at=None))
        assert (await overview(h).status())["health"]["state"] == "good"
