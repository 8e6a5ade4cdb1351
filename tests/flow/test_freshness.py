"""What is scarce is closed while nobody tells us what moves in the org; deep stock stays open."""

from __future__ import annotations

from tests.flow.kit import WAKE, House, house
from tests.test_overview import overview

from sfsync.domain.assortment import PolicyRule
from sfsync.domain.ats import Guarantee
from sfsync.flow.intake import Poll
from sfsync.ports import TryLater

BAG, SCARF, GOLD = "BAG-1|ECOM", "SCARF|ECOM", "GOLD|ECOM"
SECOND = PolicyRule(("BAG-1", "SCARF"), scarce_at=3, fresh_seconds=1.0)
OWN = PolicyRule(("GOLD",), ("london",), Guarantee.ALLOCATED, scarce_at=3, fresh_seconds=1.0)
CLOSED = "the org was not heard for too long"


def cut_off(h: House) -> None:
    """Neither the stream nor the records of the org are to be had."""
    h.org.cut_off = True
    h.org.broken[WAKE] = [TryLater("no way to the org") for _ in range(1000)]
    h.org.hang_up(WAKE)


def heal(h: House) -> None:
    h.org.cut_off = False
    h.org.broken[WAKE].clear()


async def test_the_last_pieces_are_closed_while_the_org_is_away_and_open_again_when_it_is_back() -> None:
    """One bag and forty scarves: the bag is closed at both shops; the scarves and an allocation stay."""
    async with house({BAG: 1, SCARF: 40, GOLD: 2}, rules=(SECOND, OWN)) as h:
        await h.shows("BAG-1", 1, 1)
        await h.shows("GOLD", 2, 0)
        cut_off(h)
        await h.shows("BAG-1", 0, 0)
        await h.shows("SCARF", 40, 40)
        await h.shows("GOLD", 2, 0)
        await h.until_kept(lambda tx: not any(tx.open_pushes(name) for name in h.shops))
        status = await overview(h).status()
        assert any("was not heard for more than" in reason for reason in status["health"]["reasons"])
        (bag,) = [each for each in status["scarce"] if each["sku"] == "BAG-1"]
        assert {(seller["may"], seller["why"]) for seller in bag["sellers"]} == {("closed", CLOSED)}
        heal(h)
        await h.shows("BAG-1", 1, 1)
        await h.until(lambda: not h.pulse.stale)
        await h.idle()
        reasons = (await overview(h).status())["health"]["reasons"]
        assert [each for each in reasons if "the last of BAG-1 without asking" not in each] == []


async def test_a_piece_that_was_sold_meanwhile_is_never_shown_again() -> None:
    """The till sold the last bag while we heard nothing: it is closed before, and sold out after."""
    async with house({BAG: 1}, rules=(SECOND,)) as h:
        cut_off(h)
        await h.shows("BAG-1", 0, 0)
        h.org.move(BAG, on_hand=-1)
        pushed = [len(shop.sent) for shop in h.shops.values()]
        heal(h)
        await h.until(lambda: not h.pulse.stale)
        await h.idle()
        await h.shows("BAG-1", 0, 0)
        assert [len(shop.sent) for shop in h.shops.values()] == pushed


async def test_a_poll_is_as_good_as_the_stream() -> None:
    """The stream stays away, and the org answers when it is asked what moved: nothing is closed for long."""
    async with house({BAG: 1}, rules=(SECOND,)) as h:
        cut_off(h)
        await h.shows("BAG-1", 0, 0)
        h.org.cut_off = False
        await Poll(h.ctx, WAKE, after_seconds=60.0).look(away=True)
        await h.shows("BAG-1", 1, 1)
        await h.shows("BAG-1", 0, 0)  # and that grows old in its turn


async def test_a_stream_that_names_what_cannot_be_read_tells_nothing() -> None:
    """The stream is there and says that a bag moved; the org does not let us read how many there are."""
    async with house({BAG: 2, SCARF: 3}, rules=(SECOND,)) as h:
        h.org.cut_off = True
        h.org.move(SCARF, on_hand=-1)
        await h.shows("BAG-1", 0, 0)
        h.org.cut_off = False
        await h.shows("BAG-1", 2, 2)
        await h.shows("SCARF", 2, 2)


async def test_a_restart_without_the_org_does_not_open_what_was_closed() -> None:
    """How old the numbers are stands in the store, not in the memory of the daemon."""
    async with house({BAG: 1}, rules=(SECOND,)) as h:
        cut_off(h)
        await h.shows("BAG-1", 0, 0)
        await h.kill()
        await h.start()
        await h.until(lambda: bool(h.pulse.stale))
        await h.shows("BAG-1", 0, 0)
        heal(h)
        await h.shows("BAG-1", 1, 1)


async def test_a_house_without_such_a_policy_keeps_its_numbers() -> None:
    """Nobody asked for it: the last one stays on the shelf, and the status tells that the stream is down."""
    async with house({BAG: 1}) as h:
        cut_off(h)
        await h.until(lambda: WAKE in h.pulse.stream_error)
        plan = await h.supervisor.resync.compare()
        assert [row.target for row in plan.rows if row.applicable] == []
        await h.shows("BAG-1", 1, 1)
