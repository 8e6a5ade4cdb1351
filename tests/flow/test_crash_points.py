"""The power goes off at every step of a story, one after the other; its end is the same each time.

A step is a commit that changed something, seen just before and just after, or a call to the org or a
storefront, before and after its effect. Nothing of ours is patched: the parts that the daemon is given are
wrapped, and once the power is off none of them does anything or answers any more.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from tests.flow.kit import House, house

from sfsync.domain.reservations import ReservationState
from sfsync.store.database import Database
from sfsync.store.tx import SqlTx

T = TypeVar("T")
BAG = "BAG-1|ECOM"
UNSEEN = {"check", "close", "org_id", "encode"}  # have no effect that a crash could tear apart
FEWEST_STEPS = 20  # of any story here: fewer means that the wrappers see nothing any more


class PowerOffError(Exception):
    """From here on nothing happens."""


class Power:
    """Counts steps, and goes off at the one that was chosen."""

    def __init__(self) -> None:
        self.fails_at = 0  # never
        self.steps: list[str] = []
        self.off = False

    def feeds(self, part: Any) -> Any:
        """The part as the daemon is given it."""
        return PoweredStore(part, self) if isinstance(part, Database) else PoweredPart(part, self)

    def needed(self) -> None:
        """Raises when it is off."""
        if self.off:
            raise PowerOffError

    def step(self, name: str) -> None:
        """A step is about to be taken."""
        self.needed()
        self.steps.append(name)
        if len(self.steps) == self.fails_at:
            self.off = True
            raise PowerOffError

    async def fails(self) -> None:
        """Returns when it has gone off; the step may be one of the store's own thread."""
        while not self.off:  # noqa: ASYNC110 — set by another thread, which knows no event loop
            await asyncio.sleep(0.002)

    def restored(self) -> None:
        """It is back, and does not fail again."""
        self.off, self.fails_at = False, 0


async def darkness() -> Any:
    """What a part does without power: it never answers."""
    await asyncio.get_running_loop().create_future()


class PoweredPart:
    """The org, or a storefront."""

    def __init__(self, part: Any, power: Power) -> None:
        self._part, self._power = part, power

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if name in UNSEEN or not inspect.iscoroutinefunction(found):
            return found

        async def call(*args: Any, **more: Any) -> Any:
            try:
                self._power.step(f"before {name}")
                answer = await found(*args, **more)
                self._power.step(f"after {name}")
            except PowerOffError:
                return await darkness()
            return answer

        return call


class PoweredStore:
    """The store: a commit that changes nothing is no step."""

    def __init__(self, store: Database, power: Power) -> None:
        self._store, self._power = store, power

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def write(self, work: Callable[[SqlTx], T]) -> T:
        """The transaction is rolled back when the power goes off before its commit."""
        told: list[str] = []

        def powered(tx: SqlTx) -> T:
            self._power.needed()
            before = _changes(tx)
            result = work(tx)
            if _changes(tx) != before:
                told.append(work.__qualname__ if hasattr(work, "__qualname__") else "commit")
                self._power.step(f"before {told[0]}")
            return result

        try:
            result = await self._store.write(powered)
            if told:
                self._power.step(f"after {told[0]}")
        except PowerOffError:
            return await darkness()  # type: ignore[no-any-return]  # it never comes back
        return result


def _changes(tx: SqlTx) -> int:
    return int(tx.connection.exec_driver_sql("SELECT total_changes()").scalar_one())


class Story:
    """A house whose power may fail, and people outside who ask again until they are answered."""

    def __init__(self, h: House, power: Power, fails_at: int) -> None:
        self.h, self._power, self._fails_at = h, power, fails_at

    def begins(self) -> None:
        """From here on the power may fail: what was done before is no step."""
        self._power.steps.clear()
        self._power.fails_at = self._fails_at

    async def insist(self, act: Callable[[], Awaitable[T]]) -> T:
        """Ask; when the daemon dies meanwhile, it is started again and asked again."""
        while True:
            asked = asyncio.ensure_future(act())
            failing = asyncio.ensure_future(self._power.fails())
            await asyncio.wait({asked, failing}, return_when=asyncio.FIRST_COMPLETED)
            failing.cancel()
            if not self._power.off:
                return await asked
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
            await self.h.kill()
            self._power.restored()
            await self.h.start()

    async def tell(self, shop: str, number: str, event: str) -> None:
        """A storefront delivers a webhook, again and again until it is taken, and all comes to rest."""
        await self.insist(lambda: self.h.deliver(shop, number, event))
        await self.insist(self.h.idle)

    async def shows(self, *units: int) -> None:
        """Both storefronts come to show these numbers."""
        await self.insist(lambda: self.h.shows("BAG-1", *units))


async def order_and_edit(story: Story) -> None:
    """Somebody buys one bag in Dubai and then makes it two."""
    story.begins()
    h, shop = story.h, story.h.shops["dubai"]
    number = shop.buy("BAG-1")
    await story.tell("dubai", number, "created")
    await story.shows(4, 4)
    shop.change(number, open_quantity=2, taken_quantity=2)
    await story.tell("dubai", number, "edited")
    await story.shows(3, 3)
    line = f"order:dubai:{number}:1"
    assert h.org.of("order:") == [(f"{line}:0", 0, 1), (f"{line}:1", 0, 1)]
    assert h.org.numbers(BAG) == (5, 2)


async def granted(h: House) -> str:
    """A checkout asks under one key until it is told yes or no; the id of what it was granted."""
    while True:
        answer = (await h.reserve("BAG-1", key="cart 7", digest="one bag")).reservation
        assert answer is not None
        if answer.state is not ReservationState.PENDING:
            assert answer.state is ReservationState.GRANTED
            return answer.id
        await asyncio.sleep(0.01)


async def reserve_confirm_order(story: Story) -> None:
    """A cart in London is granted a bag, its customer pays, and the order takes the bag over."""
    story.begins()
    h = story.h
    held = await story.insist(lambda: granted(h))
    await story.shows(4, 4)
    number = h.shops["london"].buy("BAG-1", reservations=(held,))
    paid = await story.insist(lambda: h.desk.confirm(held, f"#{number}"))
    assert not paid.problem
    await story.tell("london", number, "created")
    await story.shows(4, 4)
    await story.insist(
        lambda: h.until_kept(
            lambda tx: (r := tx.reservation(held)) is not None and r.state is ReservationState.SETTLED
        )
    )
    cart, line = f"reservation:{held}:0", f"order:london:{number}:1"
    assert h.org.of("reservation:") == [(f"{cart}:0", 0, 1), (f"{cart}:1", 0, -1)]
    assert h.org.of("order:") == [(f"{line}:0", 0, 1)]
    assert h.org.numbers(BAG) == (5, 1)


async def compare_and_put_right(story: Story) -> None:
    """A bag was sold unheard of, a scarf's number edited in Dubai; a person applies the plan to mend both."""
    h = story.h
    h.org.move(BAG, on_hand=-1, told=False)
    h.shops["dubai"].shelf["SCARF"] = 9
    plan = await h.supervisor.resync.compare()
    story.begins()
    await story.insist(lambda: h.supervisor.resync.put_right(plan.id, yes_change=3))
    run = await story.insist(lambda: h.supervisor.resync.ended(plan.id))
    assert run is not None
    assert sum(run.about["rows"].values()) == len(plan.rows) == 3
    assert run.about["levels_applied"] == 1
    await story.shows(4, 4)
    await story.insist(lambda: h.shows("SCARF", 2, 2))


async def played(tale: Callable[[Story], Awaitable[None]], fails_at: int) -> list[str]:
    """The steps of the tale, told whole with the power failing at one of them (0: at none)."""
    power = Power()
    async with house({BAG: 5, "SCARF|ECOM": 2}, rim=power.feeds) as h:
        try:
            await tale(Story(h, power, fails_at))
            await h.idle()
            assert await h.store.read(lambda tx: tx.dead_letters()) == []
            assert await h.store.read(lambda tx: tx.incidents()) == []
        except AssertionError as error:
            at = power.steps[fails_at - 1] if 0 < fails_at <= len(power.steps) else "no step"
            error.add_note(f"the power failed at step {fails_at}: {at}")
            raise
        return power.steps


@pytest.mark.slow
@pytest.mark.parametrize("tale", [order_and_edit, reserve_confirm_order, compare_and_put_right])
async def test_a_crash_at_any_step_changes_nothing_of_the_end(
    tale: Callable[[Story], Awaitable[None]],
) -> None:
    """At every commit and call, before and after: an order, edit, reservation or plan counts once."""
    whole = await played(tale, 0)
    assert len(whole) >= FEWEST_STEPS, whole
    assert {"before push", "after push"} <= set(whole)
    for number in range(1, len(whole) + 1):
        await played(tale, number)
