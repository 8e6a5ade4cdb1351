"""Settings that were changed while the daemon was down hold from its start."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.flow.kit import house

from sfsync.domain.assortment import Assortment, ChannelPlan, Floor, PolicyRule
from sfsync.domain.ats import Guarantee

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
