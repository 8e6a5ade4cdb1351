"""Settings that were changed while the daemon was down hold from its start."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.assortment import PLENTY, Assortment, ChannelPlan, Floor, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import BlockRule
from sfsync.domain.editions import Edition
from sfsync.domain.mapping import must_ask
from sfsync.domain.products import Wanted
from sfsync.domain.resync import Cause, Scope, TooMuchError, WrittenPlan
from sfsync.flow.resync_told import ResyncDesk
from sfsync.overview.health import channel_state
from sfsync.store import views

BAG = "BAG-1|ECOM"
LONDON = ChannelPlan("london", {"online": ("ECOM",)})
BASE = Assortment({"london": LONDON}, (PolicyRule(("BAG-*",), cap=3),), floor=Floor(frozenset({"SHOP", "X"})))


async def test_a_changed_cap_holds_from_the_start_although_nothing_has_moved() -> None:
    """Nine bags: after the restart the shops show two, and after the next one all of them."""
    async with house({BAG: 9}) as h:
        await h.shows("BAG-1", 9, 9)
        for rules, units in (((PolicyRule(("BAG-1",), cap=2),), 2), ((), 9)):
            await h.stop()
            h.rules = rules
            await h.start()
            await h.shows("BAG-1", units, units)
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())


MANY = {f"BAG-{number:02}|ECOM": 9 for number in range(30)}


async def restarted(h: House, *rules: PolicyRule) -> None:
    """The daemon is started anew, with these policies, and has decided everything by them."""
    await h.stop()
    h.rules, h.approve, h.ask_above_percent = rules, False, 20
    for shop in h.shops.values():
        shop.sent.clear()
    await h.start()
    await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())


async def test_where_the_guarantee_is_unknown_nothing_is_shown() -> None:
    """Dubai must not sell the bag yet, whatever comes in and goes out."""
    rules = (PolicyRule(("BAG-1",), channels=("dubai",), guarantee=Guarantee.UNKNOWN),)
    async with house({BAG: 3}, rules=rules, shelf={"BAG-1": 3}) as h:
        await h.shows("BAG-1", 3, 0)
        h.org.move(BAG, on_hand=2)
        await h.shows("BAG-1", 5, 0)


async def test_settings_that_change_most_numbers_of_a_channel_wait_for_a_person() -> None:
    """A cap meant for one bag is written for all of them; sales and receipts reach both shops as ever."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        hold = await h.store.read(lambda tx: tx.held("london"))
        assert hold is not None
        assert (hold.changed, hold.known) == (30, 30)
        counts = await h.store.read(lambda tx: views.channel_counts(tx, h.clock.now()))
        state, sentence = channel_state(counts["london"], "")
        assert state == "bad"
        assert (
            "30 of 30 numbers of london would change; held until `sfsync resync --channel london`" in sentence
        )
        h.org.move("BAG-00|ECOM", on_hand=-1)
        h.org.move("BAG-01|ECOM", on_hand=-9)
        h.org.move("BAG-02|ECOM", on_hand=3)
        for sku, units in (("BAG-00", 8), ("BAG-01", 0), ("BAG-02", 12), ("BAG-03", 9)):
            await h.shows(sku, units, units)
        shown = {"london": h.shops["london"].shelf["BAG-29"], "dubai": h.shops["dubai"].shelf["BAG-29"]}
        assert shown == {"london": 9, "dubai": 9}

        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        rows = {(row.shows, row.target, row.cause) for row in plan.rows}
        assert rows == {(shows, 2, Cause.SETTINGS_HELD) for shows in (8, 9, 12)}
        await h.supervisor.resync.put_right(plan.id, yes_change=29)
        left = {"BAG-01": 0}
        await h.until(lambda: h.shops["london"].shelf == {key.partition("|")[0]: 2 for key in MANY} | left)
        assert await h.store.read(lambda tx: tx.held("london")) is None
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())


async def test_changed_settings_that_wait_are_let_go_only_by_whoever_names_the_number() -> None:
    """A script applies whatever the plan says: it stops, the shop stays as it was, and the plan says why."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=0))
        desk = ResyncDesk(h.ctx, h.supervisor.resync)
        plan = await h.supervisor.resync.compare()
        told: Any = await desk.run(plan.id)
        assert told["warnings"] == [
            "30 numbers at london are others by changed settings that wait for a person, 30 of them nothing: "
            "applied, those settings hold there"
        ]
        for named in (None, 29):
            with pytest.raises(
                TooMuchError, match="30 of 30 numbers at london, 30 of them to nothing"
            ) as said:
                await h.supervisor.resync.apply(plan.id, yes_change=named)
            assert said.value.changes == 30
        await h.let_a_minute_pass()
        assert set(h.shops["london"].shelf.values()) == {9}
        assert await h.store.read(lambda tx: tx.held("london")) is not None


async def test_changed_settings_of_some_numbers_alone_are_looked_at_and_left() -> None:
    """The cause is asked for: its rows are told, and that only the whole channel's plan lets them go."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        plan = await h.supervisor.resync.compare(Scope(causes=("settings-held",)))
        assert {(row.channel, row.target, row.cause) for row in plan.rows} == {
            ("london", 2, Cause.SETTINGS_HELD)
        }
        run = await h.supervisor.resync.put_right(plan.id)
        assert run is not None
        assert run.about["rows"] == {"left": 30}
        await h.let_a_minute_pass()
        assert set(h.shops["london"].shelf.values()) == {9}


async def test_a_plan_from_before_the_settings_changed_does_not_let_them_go() -> None:
    """Looked at when no cap was set, applied when one waits: what was edited is put right, and no more."""
    async with house(MANY) as h:
        h.shops["london"].shelf["BAG-03"] = 30
        plan = await h.supervisor.resync.compare()
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        await h.supervisor.resync.put_right(plan.id)
        await h.shows("BAG-03", 9, 9)
        await h.let_a_minute_pass()
        assert set(h.shops["london"].shelf.values()) == {9}
        assert await h.store.read(lambda tx: tx.held("london")) is not None


async def test_a_plan_from_a_file_lets_changed_settings_hold_only_with_all_of_its_rows() -> None:
    """The plan shows all bags at two; with one row left in its file, nobody has agreed to the others."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        rows = (await h.supervisor.resync.compare(Scope(channels=("london",)))).rows
        made_at, shelf = h.clock.now(), h.shops["london"].shelf
        typed = tuple(replace(row, cause=Cause.OUR_PUSH_DUE) for row in rows)  # by hand, into the file
        for some, left in ((rows[:1], True), (typed, True), (rows, False)):
            plan = WrittenPlan(made_at, "00D000000000001AAA", some)
            run = await h.supervisor.resync.bring(plan)
            await h.supervisor.resync.put_right(run.id, yes_change=len(some))
            await h.let_a_minute_pass()
            assert await h.store.read(lambda tx: tx.held("london") is not None) is left
            assert set(shelf.values()) == ({9} if left else {2})


async def test_a_channel_that_waits_for_a_person_is_neither_raised_nor_freed_by_the_way() -> None:
    """A safety stock is taken away for all bags; looking after one of them lets no other go up."""
    rules = (PolicyRule(("BAG-*",), ("london",), safety_stock=4),)
    async with house(MANY, rules=rules) as h:
        await h.shows("BAG-00", 5, 9)
        await restarted(h)
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        h.org.move("BAG-00|ECOM", on_hand=-6)
        await h.shows("BAG-00", 0, 3)
        plan = await h.supervisor.resync.compare(Scope(skus=("BAG-01",), channels=("london",)))
        assert plan.rows == ()
        await h.supervisor.resync.put_right(plan.id)
        h.org.move("BAG-01|ECOM", on_hand=-1)
        await h.shows("BAG-01", 4, 8)
        assert h.shops["london"].shelf["BAG-02"] == 5
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        await h.kill()
        h.approve = False
        await h.start()
        h.org.move("BAG-02|ECOM", on_hand=-1)
        await h.shows("BAG-02", 4, 8)


async def test_stock_that_changed_settings_take_out_of_sale_is_shown_no_longer_while_they_wait() -> None:
    """The boutique's bags are for its own shoppers from now on: the lower number goes out, none rises."""
    stock = MANY | {f"BAG-{number:02}|SHOP": 2 for number in range(30)}
    async with house(stock) as h:
        await h.shows("BAG-00", 11, 11)
        h.not_for_sale = frozenset({"SHOP"})
        await restarted(h, PolicyRule(("BAG-*",), ("london",), safety_stock=3))
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)


async def test_units_that_changed_settings_divide_among_channels_are_never_shown_twice() -> None:
    """Both shops wait for a person: each goes down to its own units at once, and no number rises."""
    async with house(MANY) as h:
        await h.shows("BAG-00", 9, 9)
        await restarted(h, PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED, shares={"dubai": 2}))
        await h.until_kept(lambda tx: len(tx.allocated_skus()) == 30)

        def within() -> bool:
            shelves = [shop.shelf for shop in h.shops.values()]
            return all(sum(shelf[sku] for shelf in shelves) <= 9 for sku in shelves[0])

        await h.until(within)


async def test_units_set_aside_stay_each_shops_own_while_another_policy_waits_for_a_person() -> None:
    """No policy divides the bags any more; until somebody has looked, nothing is closed or given back."""
    async with house(MANY, rules=(PolicyRule(("BAG-*",), guarantee=Guarantee.ALLOCATED),)) as h:
        await h.shows("BAG-00", 5, 4)
        await h.idle()
        await restarted(h)
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        await h.deliver("london", h.shops["london"].buy("BAG-00"))
        await h.until(lambda: h.org.of("order:london:"))
        await h.idle()
        await h.shows("BAG-00", 4, 4)
        await h.shows("BAG-01", 5, 4)
        assert h.org.numbers("BAG-01|ECOM") == (9, 9)
        plan = await h.supervisor.resync.compare()
        await h.supervisor.resync.put_right(plan.id, yes_change=60)
        await h.shows("BAG-01", 9, 9)
        await h.shows("BAG-00", 8, 8)
        await h.idle()
        assert h.org.numbers("BAG-00|ECOM") == (9, 1)


async def test_a_change_of_settings_that_was_let_go_is_not_asked_for_again_after_a_kill() -> None:
    """The person has looked; sfsync dies before every number is decided, and goes on where it was."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        await h.supervisor.resync.put_right(plan.id, yes_change=30)
        await h.store.write(lambda tx: tx.put_policies(""))
        await h.kill()
        await h.start()
        await h.until_kept(lambda tx: tx.policies() == h.ctx.assortment.fingerprint())
        assert await h.store.read(lambda tx: tx.holds()) == {}
        await h.shows("BAG-00", 2, 9)


async def test_settings_that_were_put_right_again_free_the_channel_by_themselves() -> None:
    """The mistake was seen, mended, and never reached the shop."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("*",), ("london",), cap=0))
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        await restarted(h)
        assert await h.store.read(lambda tx: tx.holds()) == {}
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)
        assert len(h.shops["london"].sent) == 1


async def test_a_second_change_while_the_first_waits_is_weighed_against_what_is_shown() -> None:
    """The cap of all bags becomes the cap of one: nothing waits any more, and that one follows."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=3))
        assert await h.store.read(lambda tx: tx.held("london")) is not None
        await restarted(h, PolicyRule(("BAG-07",), ("london",), cap=3))
        await h.shows("BAG-07", 3, 9)
        assert h.shops["london"].shelf["BAG-08"] == 9


async def test_settings_that_change_a_few_numbers_are_followed_at_once() -> None:
    """Two of thirty bags are nothing to ask about."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-00", "BAG-01"), ("london",), cap=2))
        await h.shows("BAG-00", 2, 9)
        assert await h.store.read(lambda tx: tx.approved("london"))


@pytest.mark.parametrize(
    ("changed", "known", "percent", "asks"),
    [
        (20, 99, 20, True),
        (20, 100, 20, False),
        (19, 19, 20, False),
        (20, 20, 100, False),
        (20, 1000, 0, True),
        (0, 0, 0, False),
    ],
)
def test_a_person_is_asked_when_too_large_a_share_of_not_too_few_numbers_would_change(
    changed: int, known: int, percent: int, asks: bool
) -> None:
    """More than the share, and at least twenty."""
    assert must_ask(changed, known, percent) is asks


@pytest.mark.parametrize(
    "other",
    [
        replace(BASE, rules=()),
        replace(BASE, rules=(replace(BASE.rules[0], guarantee=Guarantee.GATED),)),
        replace(BASE, channels={"london": replace(LONDON, safety_stock=1)}),
        replace(BASE, channels={"london": replace(LONDON, locations={"online": ("SHOP",)})}),
        replace(BASE, not_for_sale=frozenset({"RETURNS"})),
        replace(BASE, floor=Floor(frozenset({"SHOP"}))),
    ],
)
def test_every_change_that_decides_a_number_is_told_apart(other: Assortment) -> None:
    """What is told apart is decided again at the start."""
    assert other.fingerprint() != BASE.fingerprint()


def test_the_same_settings_are_not_decided_again() -> None:
    """Sets have no order, and what was learnt since is no setting."""
    same = replace(BASE, floor=Floor(frozenset({"X", "SHOP"})))
    same.policy("london", "BAG-1", PLENTY)
    assert same.fingerprint() == BASE.fingerprint()


async def test_what_is_kept_of_the_settings_is_all_that_decides_a_number() -> None:
    """Read back they have the same fingerprint: a setting that was forgotten would decide otherwise."""
    rich = Assortment(
        {"london": replace(LONDON, safety_stock=1, cap=4, counts_down=False)},
        (
            PolicyRule(
                ("BAG-*",),
                ("london",),
                Guarantee.ALLOCATED,
                shares={"london": 2},
                scarce_at=2,
                plentiful_at=5,
                block=BlockRule(5, ("ECOM",)),
                product=Wanted({"Family": "Bags"}, ("new",), 500.0),
                sells_from=("ECOM",),
            ),
        ),
        {"all": ("ECOM", "SHOP")},
        in_transit="ROAD",
        not_for_sale=frozenset({"RETURNS"}),
        floor=Floor(frozenset({"SHOP"}), 3),
        stays={"SHOP": 1},
        editions={
            "noir": Edition("noir", ("LE-1",), 50, {"london": 10}, 1, datetime(2026, 12, 1, tzinfo=UTC))
        },
    )
    async with house({BAG: 1}) as h:
        await h.store.write(lambda tx: tx.put_rulebook(rich.fingerprint(), rich))
        kept = await h.store.read(lambda tx: tx.rulebook(rich.fingerprint()))
        assert kept is not None
        assert kept.fingerprint() == rich.fingerprint()
