"""A channel's yes is looked at: what it confirmed and does not show is told, and written again."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Double, type_coerce, update
from tests.flow.kit import TILL, WAKE, House, house

from sfsync.domain.incidents import HOLE, NOT_APPLIED
from sfsync.flow.watching import tell_holes
from sfsync.ports import TryLater
from sfsync.store.tables import channel_level, hole, push

BAG = "BAG-1|ECOM"


async def kinds(h: House) -> list[str]:
    """The open incidents."""
    return [each.kind for each in await h.store.read(lambda tx: tx.incidents())]


async def look(h: House) -> int:
    """Two quiet minutes later the daemon looks at London's numbers."""
    await h.idle()
    age = timedelta(minutes=2).total_seconds()
    changed, answered = channel_level.c.changed_at, push.c.answered_at
    older = {
        channel_level: {changed: type_coerce(changed, Double) - age},
        push: {answered: type_coerce(answered, Double) - age},
    }
    for table, values in older.items():
        await h.store.write(lambda tx, t=table, v=values: tx.connection.execute(update(t).values(v)))
    return await h.supervisor.proving.look("london")


async def rested(h: House) -> None:
    """All that was written so far has been looked at, in the first look or before it."""
    while await look(h):
        pass


async def test_what_a_shop_confirms_and_does_not_show_is_told_and_written_again() -> None:
    """Its page showed five although three were left: seen twice it is an incident, until it is shown."""
    async with house({BAG: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        async with h.supervisor.polls.reading["london"]:  # nobody else looks meanwhile
            for _ in range(3):  # a look that is under way ends meanwhile
                await rested(h)
            london.ignored.add("BAG-1")
            h.org.move(BAG, on_hand=-2)
            await h.until(lambda: len(london.sent) == 2)
            assert (await look(h), london.shelf["BAG-1"], await kinds(h)) == (1, 5, [])
            london.ignored.clear()
            assert await look(h) == 1
            (found,) = await h.store.read(lambda tx: tx.incidents())
            assert (found.kind, found.detail["shows"], found.detail["confirmed"]) == (NOT_APPLIED, 5, 3)
            await h.shows("BAG-1", 3)
            assert (await look(h), await kinds(h)) == (1, [])


async def test_a_sale_nobody_has_heard_of_is_no_broken_promise_of_the_shop() -> None:
    """One came in and one was sold: the number seems untouched, until the order is known."""
    async with house({BAG: 5}, shops=("london",)) as h:
        london = h.shops["london"]
        await rested(h)
        h.org.move(BAG, on_hand=1)
        await h.shows("BAG-1", 6)
        order = london.buy("BAG-1")
        assert (await look(h), london.shelf["BAG-1"]) == (1, 5)
        await h.deliver("london", order)
        await h.until(lambda: h.org.numbers(BAG) == (6, 1))
        await look(h)
        london.shelf["BAG-1"] = 2  # and somebody's edit is another matter
        await look(h)
        assert await kinds(h) == []


async def test_a_hole_that_stays_is_an_incident_until_it_is_closed() -> None:
    """A break of seconds is none. After a quarter of an hour somebody should look."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.org.broken[TILL] = [TryLater("the org hung up")] * 1000
        h.org.hang_up(TILL)
        await h.until_kept(lambda tx: tx.open_holes())
        await h.store.write(lambda tx: tell_holes(tx, h.ctx))
        assert await kinds(h) == []
        older = type_coerce(hole.c.opened_at, Double) - timedelta(minutes=20).total_seconds()
        await h.store.write(lambda tx: tx.connection.execute(update(hole).values(opened_at=older)))
        for _ in range(2):
            await h.store.write(lambda tx: tell_holes(tx, h.ctx))
        (found,) = await h.store.read(lambda tx: tx.incidents())
        assert (found.kind, found.key, "the org hung up" in found.title) == (HOLE, TILL, True)
        h.org.broken.clear()
        h.org.tell(WAKE, events=1)
        await h.until_kept(lambda tx: not tx.open_holes())
        await h.store.write(lambda tx: tell_holes(tx, h.ctx))
        assert await kinds(h) == []
