"""What goes wrong: every fault class of the simulators, a rough network, crashes and restarts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from random import Random

from sfsync.simulators.org.fates import Fate
from sfsync.simulators.org.faults import Fault as OrgFault

from .actors import NONSENSE, Actor, Day, stock_event
from .net import Weather
from .plan import SHOPS
from .world import World

STOCK, TILLS = "/data/SfsyncStock__chn", "/event/StockEvent__e"
AFTER_THE_DAY_SECONDS = 120.0  # of a day without calls: so long it can be seen whether anybody storms the org

ORG_FAULTS = (
    "drop",
    "cut_after",
    "error",
    "error_after",
    "delay",
    "delay_after",
    "hang",
    "lock",
    "expire_token",
)
SHOP_FAULTS = (
    "error_before",
    "error_after",
    "cut_before",
    "cut_after",
    "delay_before",
    "delay_inside",
    "delay_after",
    "half_answer",
    "broken_json",
    "internal_error",
    "throttled",
    "too_many_requests",
    "unavailable",
)
WEBHOOK_FAULTS = ("lose", "duplicate", "late", "reorder", "forge", "truncate", "foreign_shop")


class Trouble(Actor):
    """Draws one fault after another. On a hasty day there are several of them, and faults fall together."""

    acts_an_order = 0.4

    def __init__(self, world: World, day: Day, number: int = 0) -> None:
        super().__init__(world, day)
        if number:
            self.chance = world.chance(f"trouble {number}")

    @classmethod
    def several(cls, world: World, day: Day) -> list[Trouble]:
        """As many as the day's haste asks for."""
        return [cls(world, day, number) for number in range(1 if world.plan.haste == 1 else 3)]

    def pace(self) -> float:
        return 0.7 / max(0.1, self.world.plan.roughness)

    async def act(self) -> None:
        if not self.world.plan.roughness:
            return
        kind = self.chance.choices(["org", "shop", "webhook", "bus", "network"], weights=[4, 4, 5, 4, 2])[0]
        await getattr(self, f"_{kind}")()

    async def _org(self) -> None:
        kind = self.chance.choice(ORG_FAULTS)
        if self.chance.random() < 0.02:
            kind = "daily_limit"
        path = self.chance.choice([None, None, "/composite", "/query"])
        status = self.chance.choice([500, 502, 503])
        fault = OrgFault(kind, times=self.chance.choice([1, 1, 2, 4]), path=path, status=status, seconds=2.0)
        self.world.org.faults.arm(fault)
        self.tell(f"org: {kind} at {path or 'anything'}, {fault.times} times")

    async def _shop(self) -> None:
        name, kind = self.chance.choice(SHOPS), self.chance.choice(SHOP_FAULTS)
        match = self.chance.choice([None, "inventoryAdjustQuantities"])
        order = {"kind": kind, "match": match, "times": self.chance.choice([1, 1, 2]), "seconds": 2.0}
        self.world.shops[name].faults.order(order)
        self.tell(f"{name}: {kind} at {match or 'anything'}")

    async def _webhook(self) -> None:
        name, kind = self.chance.choice(SHOPS), self.chance.choice(WEBHOOK_FAULTS)
        seconds = self.chance.choice([0.3, 3.0, 20.0])
        self.world.shops[name].faults.order(
            {"kind": kind, "times": self.chance.choice([1, 3, 6]), "seconds": seconds}
        )
        self.tell(f"{name}: webhooks {kind}")

    async def _bus(self) -> None:
        what = self.chance.choice(
            [
                "gap",
                "overflow",
                "duplicate",
                "cut",
                "reset",
                "silence",
                "hold",
                "allowance",
                "forbid",
                "refuse",
                "fates",
            ]
        )
        self.tell(f"bus: {what}")
        await getattr(self, f"_bus_{what}")()

    async def _bus_gap(self) -> None:
        """A change is told only as a gap: the next ones, each with its own record ids."""
        self.world.bus.fates.order([Fate.GAP] * self.chance.choice([1, 3]))

    async def _bus_overflow(self) -> None:
        """Some changes are told by nothing but an overflow event."""
        fates, rows = self.world.bus.fates, self.world.org.engine.store.tables["StockMovement__c"].rows
        fates.order([Fate.LOST] * 3)
        before = set(rows)
        await asyncio.sleep(1.0)
        fates.ordered.clear()
        for told in self.world.overflows:
            told(sorted(set(rows) - before))
        self.world.bus.inject_overflow("StockMovement__c")

    async def _bus_duplicate(self) -> None:
        topic = self.chance.choice([STOCK, TILLS])
        self.world.bus.duplicate_last(topic, self.chance.choice([1, 3]))

    async def _bus_fates(self) -> None:
        self.world.bus.fates.order([Fate.DUPLICATE] * 3)

    async def _bus_cut(self) -> None:
        self.world.pubsub.cut(self.chance.choice([None, STOCK, TILLS]))

    async def _bus_reset(self) -> None:
        """An instance refresh: events are gone and replay ids mean nothing. The tills send theirs again."""
        self.world.bus.reset_stream()
        for told in self.world.resets:
            told()
        for source, (sku, place, units) in list(self.day.postings.items()):
            at = self.day.happened.get(source)
            await self.world.publish(stock_event(source, sku, place, units, at))
        for source in list(self.day.poison):
            await self.world.publish(stock_event(source, *NONSENSE))

    async def _bus_silence(self) -> None:
        self.world.pubsub.go_silent()
        await asyncio.sleep(self.chance.choice([5.0, 40.0, 120.0]))
        self.world.pubsub.speak()

    async def _bus_hold(self) -> None:
        """Events come late, and in any order."""
        self.world.bus.hold()
        await asyncio.sleep(self.chance.choice([2.0, 10.0]))
        self.world.bus.release()

    async def _bus_allowance(self) -> None:
        if self.chance.random() < 0.3:
            self.world.bus.allowance.use_up()
            await asyncio.sleep(5.0)
            self.world.bus.allowance.refill()

    async def _bus_forbid(self) -> None:
        topic = self.chance.choice([STOCK, TILLS])
        self.world.bus.forbid(topic)
        await asyncio.sleep(self.chance.choice([2.0, 15.0]))
        self.world.bus.allow(topic)

    async def _bus_refuse(self) -> None:
        self.world.pubsub.refuse_next(self.chance.choice(["Subscribe", "GetTopic", "GetSchema"]))

    async def _network(self) -> None:
        to = self.chance.choice(["org", *SHOPS, "webhooks", "sfsync"])
        weather = Weather(
            refused=self.chance.choice([0.0, 0.3]),
            lost=self.chance.choice([0.0, 0.2]),
            reply_lost=self.chance.choice([0.0, 0.3]),
            late=self.chance.choice([0.0, 0.2]),
            slowest_seconds=self.chance.choice([None, 0.5]),
        )
        self.world.net.weather[to] = weather
        self.tell(f"network to {to}: {weather}")
        await asyncio.sleep(self.chance.choice([2.0, 8.0]))
        self.world.net.weather.pop(to, None)

    def end(self) -> None:
        """From now on everything works."""
        world = self.world
        self.tell(f"struck so far: {world.org.faults.struck}, {world.bus.fates.struck}")
        world.org.faults.clear()
        for shop in world.shops.values():
            shop.faults.clear()
        world.pubsub.speak()
        world.bus.release()
        world.bus.fates.clear()
        world.bus.allowance.refill()
        for topic in (STOCK, TILLS):
            world.bus.allow(topic)
        world.net.weather.clear()


class Outage:
    """Cuts the org off from the daemon: neither calls nor stream. Shops, tills and people go on."""

    def __init__(self, world: World, day: Day) -> None:
        self.world, self.day = world, day

    async def run(self) -> None:
        """Once, from some moment of the day on, for as long as the plan says."""
        seconds, chance = self.world.plan.outage_seconds, self.world.chance("outage")
        if not seconds:
            return
        await self._until(chance.randint(0, self.world.plan.orders // 2))
        self.world.story.tell("outage", f"the org cannot be reached for {seconds:g} s")
        self.world.net.cut_off.add("org")
        self.world.pubsub.cut(None)
        self._told(self.day.away, over=False)
        await asyncio.sleep(seconds)
        self.world.net.cut_off.discard("org")
        self.world.story.tell("outage", "the org can be reached again")
        self._told(self.day.away, over=True)

    async def _until(self, orders: int) -> None:
        while self.day.orders < orders and not self.day.over.is_set():  # noqa: ASYNC110 — time is virtual
            await asyncio.sleep(1.0)

    async def _while_anybody_sells(self, seconds: float) -> None:
        """So long, or until the day has been over for a while: then no more comes to what waits."""
        ends = self.world.loop.time() + seconds
        with suppress(TimeoutError):
            await asyncio.wait_for(self.day.over.wait(), seconds)
        await asyncio.sleep(min(AFTER_THE_DAY_SECONDS, ends - self.world.loop.time()))

    @staticmethod
    def _told(whom: Sequence[Callable[[bool], None]], *, over: bool) -> None:
        for told in whom:
            told(over)


class ShortDay(Outage):
    """Lets the org's calls of the day run out, from some moment on; shops, tills and the stream go on."""

    async def run(self) -> None:
        """Once, until there are calls again."""
        short, chance, org = self.world.plan.habits.short, self.world.chance("short day"), self.world.org
        if short is None:
            return
        await self._until(chance.randint(0, self.world.plan.orders // 2))
        calls, seconds = short
        knobs, plenty = org.engine.knobs, org.engine.knobs.daily_api_requests
        knobs.refusal_tells_usage = chance.choice([True, False])
        knobs.daily_api_requests = org.usage.used + calls
        self.world.story.tell("org", f"{calls} calls are left, for {seconds} s")
        self._told(self.day.short, over=False)
        await self._while_anybody_sells(seconds)
        knobs.daily_api_requests = plenty
        self.world.story.tell("org", "it takes calls again")
        self._told(self.day.short, over=True)


class Twin(Actor):
    """Starts a second daemon by mistake: while the first works, dies, or is started anew."""

    pace_seconds = 8.0
    acts_an_order = 0.05

    async def act(self) -> None:
        life = self.world.life
        if not self.world.plan.habits.twins or life is None or not life.alive:
            return
        await self.world.start_twin(self.chance.getrandbits(16) + 1)


class Reaper:
    """Lets the daemon die, or restarts it, as often as the plan says."""

    def __init__(self, world: World, day: Day) -> None:
        self.world, self.day = world, day
        self.chance: Random = world.chance("reaper")

    async def run(self) -> None:
        """Until cancelled: whenever the daemon has ended, another life begins."""
        for _ in range(self.world.plan.crashes):
            life = self.world.life
            assert life is not None
            if self.chance.random() < 0.25:
                await self._within(self.chance.random() * 15, life.ended, self.day.over)
                if not life.alive or self.day.over.is_set():
                    break
                await self.world.stop()
            else:
                life.crash_in = int(self.chance.expovariate(1 / 800)) + 1
                self.world.story.tell("reaper", f"the daemon will die in {life.crash_in} gates")
                await self._within(None, life.ended, self.day.over)
                if life.alive:
                    life.crash_in = None
                    break
                await self.world.bury()
            await asyncio.sleep(self.chance.choice([0.1, 1.0, 5.0]))
            self.world.start()

    @staticmethod
    async def _within(seconds: float | None, *events: asyncio.Event) -> None:
        waiting = [asyncio.ensure_future(event.wait()) for event in events]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
