"""(d) The daemon is killed amid traffic, twice, and started again: nothing is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .sums import Outage, covers, explained
from .telling import ms
from .traffic import TillSale, Traffic
from .world import World

KILLS = 2
CALM_SECONDS = (3.0, 5.0)  # between two disturbances
AFTERWARDS_SECONDS = 4.0
CAUGHT_UP_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Day:
    """What the busy day left: the tills' own list, and the times without the daemon."""

    till: Sequence[TillSale]
    outages: Sequence[Outage]


async def busy_day(world: World, taken: Collection[str]) -> Day:
    """Traffic with kills in it; `taken` are SKUs that it leaves alone."""
    teller, luck = world.teller, world.luck("kills")
    teller.chapter("(d) A busy day; the daemon is killed amid it, twice")
    teller.say(
        "  Shoppers at both sites, staff who send orders off or call them back, tills in Knightsbridge; "
        f"SIGKILL at random moments (seed {world.seed})."
    )
    traffic = Traffic(world, taken)
    outages: list[Outage] = []
    killed = 0
    async with traffic.flowing():
        for number in range(1, KILLS + 1):
            with teller.busy("business as usual", plain=False):
                await asyncio.sleep(luck.uniform(*CALM_SECONDS))
            orders, sales = traffic.orders, len(traffic.till)
            with teller.busy("SIGKILL; business goes on while the daemon is started again"):
                killed_at = _now()
                killed += world.daemon.kill()
                await world.daemon.start()
                listening_at = _now()
                orders, sales = traffic.orders - orders, len(traffic.till) - sales
                await _caught_up(world, list(traffic.till))
            outages.append(Outage(killed_at, listening_at, _now()))
            teller.say(
                f"  Kill {number}: away for {ms(listening_at - killed_at)}, in which {orders} orders and "
                f"{sales} till sales were made; all of them caught up "
                f"[bold]{ms(outages[-1].caught_up_at - listening_at)}[/] later"
            )
        with teller.busy("business as usual", plain=False):
            await asyncio.sleep(AFTERWARDS_SECONDS)
    teller.say(
        f"  The day: {traffic.orders} orders, {traffic.sold_out} shoppers came too late, "
        f"{len(traffic.till)} till sales."
    )
    teller.check(
        "The daemon is killed by SIGKILL amid traffic and catches up", killed == KILLS, f"{killed} times"
    )
    return Day(traffic.till, outages)


def _now() -> float:
    return time.time() * 1000


async def _caught_up(world: World, sales: Sequence[TillSale]) -> None:
    """Until all that was sold so far has arrived: till sales on both sites, orders in the org."""
    on_sites = {sale.sku for sale in sales if sale.alone}
    in_org = {line.subject for shop in world.shops.values() for line in await shop.lines()}

    missing: list[str] = []

    async def look() -> bool | None:
        missing.clear()
        for name, shop in world.shops.items():
            shown = {change.sku for change in await shop.follow() if not change.own}
            missing.extend(f"the till sale of {sku} at {name}" for sku in sorted(on_sites - shown))
        now = await world.picture()
        # An order may change again while we look: each has arrived once it was seen to stand as it should.
        in_org.difference_update(
            cover.line.subject
            for cover in covers(now.lines, now.rows)
            if cover.exact or explained(cover, now.levels, world.rules.groups[cover.line.channel])
        )
        missing.extend(f"{subject} in the org" for subject in sorted(in_org))
        return None if missing else True

    what = "both sites and the org to catch up with what was sold while the daemon was away"
    await world.stage.until(what, look, CAUGHT_UP_SECONDS, every=0.2, missing=missing)
