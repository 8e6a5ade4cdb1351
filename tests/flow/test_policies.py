"""Settings that were changed while the daemon was down hold from its start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.flow.kit import House, house

from sfsync.domain.assortment import Assortment, ChannelPlan, Floor, PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.domain.mapping import must_ask
from sfsync.domain.resync import Cause, Scope
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
    """A cap meant for one bag is written for all of them, at one channel; the other goes on as ever."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("BAG-*",), ("london",), cap=2))
        assert await h.store.read(lambda tx: (tx.approved("london"), tx.approved("dubai"))) == (False, True)
        counts = await h.store.read(lambda tx: views.channel_counts(tx, h.clock.now()))
        state, sentence = channel_state(counts["london"], "")
        assert state == "bad"
        assert "30 of 30 numbers" in sentence
        assert "`sfsync resync --channel london`" in sentence
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.until(lambda: h.shops["dubai"].shelf["BAG-00"] == 8)
        assert h.shops["london"].sent == []

        plan = await h.supervisor.resync.compare(Scope(channels=("london",)))
        assert {(row.shows, row.target, row.cause) for row in plan.rows} == {(9, 2, Cause.OUR_PUSH_DUE)}
        await h.supervisor.resync.put_right(plan.id)
        await h.until(lambda: set(h.shops["london"].shelf.values()) == {2})
        assert await h.store.read(lambda tx: tx.held("london")) == ""


async def test_settings_that_were_put_right_again_free_the_channel_by_themselves() -> None:
    """The mistake was seen, mended, and never reached the shop."""
    async with house(MANY) as h:
        await restarted(h, PolicyRule(("*",), ("london",), cap=0))
        assert not await h.store.read(lambda tx: tx.approved("london"))
        await restarted(h)
        assert await h.store.read(lambda tx: (tx.approved("london"), tx.held("london"))) == (True, "")
        h.org.move("BAG-00|ECOM", on_hand=-1)
        await h.shows("BAG-00", 8, 8)
        assert len(h.shops["london"].sent) == 1


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
    same.policy("london", "BAG-1")
    assert same.fingerprint() == BASE.fingerprint()
