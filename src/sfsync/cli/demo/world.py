"""The world of the demo: a house with its org and two storefronts, and sfsync between them."""

from __future__ import annotations

import asyncio
import json
import time
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from sfsync.resources import config_folder

from .catalogue import LOCATIONS, Catalogue, from_last_batch, make_catalogue, org_seed, shop_seed
from .daemon import Daemon
from .outside import Change, Org, Shop
from .processes import Child, Stage
from .sums import Key, Level, Row, Rules, SoldLine, covers, expected
from .telling import Teller, ms

STATUS_PORT = 8181
READY_SECONDS = 60.0
SHOWN_SECONDS = 60.0
SEEN_SECONDS = 30.0
# A storefront's waiting passes so much faster: the first retry of a webhook comes after half a second instead
# of one minute, so that the story with the killed daemon fits into the time of a coffee.
TIME_SCALE = 120.0
PLANS = {"london": "plus", "dubai": "standard"}
OPENING = {"london": "showed yesterday's batch", "dubai": "showed nothing yet"}


@dataclass(frozen=True, slots=True)
class Picture:
    """Org and storefronts, read one after the other: whole only when nothing moves."""

    levels: Sequence[Level]
    rows: Sequence[Row]
    lines: Sequence[SoldLine]
    should: Mapping[Key, int]
    shows: Mapping[Key, int]

    @property
    def wrong(self) -> list[str]:
        """The storefronts' numbers that are not what the org's numbers make them."""
        return [
            f"{sku} at {channel} shows {self.shows.get((channel, sku))}, should {units}"
            for (channel, sku), units in self.should.items()
            if self.shows.get((channel, sku)) != units
        ]


@dataclass(slots=True)
class World:
    """Everybody who takes part."""

    teller: Teller
    stage: Stage
    seed: int
    catalogue: Catalogue
    rules: Rules
    org: Org
    shops: dict[str, Shop]
    daemon: Daemon

    def luck(self, whose: str) -> Random:
        """Chance of one's own, the same for the same seed."""
        return Random(f"{whose} {self.seed}")  # noqa: S311 — plays shoppers, guards nothing

    async def levels(self) -> list[Level]:
        """The org's stock levels of what the house sells, without the one that sfsync probes the rule on."""
        articles = {article.sku for article in self.catalogue.articles}
        return [level for level in await self.org.levels() if level.sku in articles]

    async def picture(self) -> Picture:
        """Read the outside."""
        levels, rows = await asyncio.gather(self.levels(), self.org.rows())
        lines = [line for shop in self.shops.values() for line in await shop.lines()]
        shows = {
            (name, sku): units
            for name, shop in self.shops.items()
            for sku, units in (await shop.shows()).items()
        }
        return Picture(levels, rows, lines, expected(self.rules, levels, rows, lines), shows)

    async def shown(self, sku: str) -> dict[str, int]:
        """What each storefront shows of a SKU."""
        return {name: await shop.shows_of(sku) for name, shop in self.shops.items()}

    async def comes_to_show(self, name: str, sku: str, units: int) -> Change:
        """The change by which a storefront came to show so many of a SKU, waited for."""
        shop = self.shops[name]

        async def look() -> Change | None:
            last = next((change for change in reversed(await shop.follow()) if change.sku == sku), None)
            return last if last is not None and last.after == units else None

        return await self.stage.until(f"{name} to show {units} of {sku}", look, SEEN_SECONDS)

    async def entered(self, line: SoldLine) -> str:
        """The id of the org's first movement for an order line, once the org holds all of it."""

        async def look() -> str | None:
            rows = [row for row in await self.org.rows() if row.subject == line.subject]
            return rows[0].id if rows and covers([line], rows)[0].exact else None

        what = f"the org to hold order {line.order} of {line.channel}"
        return await self.stage.until(what, look, SEEN_SECONDS)

    async def close(self) -> None:
        """Let go of every connection; the stage ends the processes."""
        await self.daemon.close()
        for shop in self.shops.values():
            await shop.close()
        await self.org.close()


async def open_world(teller: Teller, stage: Stage, seed: int) -> World:
    """Start org, storefronts and daemon; returns when every storefront shows the right numbers."""
    began = time.monotonic()
    catalogue = make_catalogue(seed)
    rules = Rules.of_settings(tomllib.loads((config_folder() / "demo.toml").read_text(encoding="utf-8")))
    teller.chapter("The house opens")
    with teller.busy("starting the org and two storefronts"):
        org, shops = await _start_outside(stage, catalogue, seed)
        await org.log_in()
    levels = len(org_seed(catalogue)["levels"])
    teller.say(
        f"  org     {org.ready['rest_url']}   {len(catalogue.articles)} SKUs at {len(LOCATIONS)} locations, "
        f"{levels:,} stock levels"
    )
    world = World(teller, stage, seed, catalogue, rules, org, shops, Daemon(stage, org, shops))
    await _start_sfsync(world)
    teller.say(f"  [dim]Open for business after {ms((time.monotonic() - began) * 1000)}.[/]")
    return world


async def _start_sfsync(world: World) -> None:
    teller = world.teller
    before = {name: await shop.shows() for name, shop in world.shops.items()}
    with teller.busy("starting sfsync: it reads the org, compares both storefronts, pushes its first plan"):
        started = time.monotonic()
        await world.daemon.open(STATUS_PORT)
        await world.daemon.set_up(world.shops)
        listening = time.monotonic()
        picture = await _right(world)
        corrected = time.monotonic()
        await _covered(world)
    for name, shop in world.shops.items():
        wrong = sum(before[name][sku] != units for (at, sku), units in picture.should.items() if at == name)
        teller.say(
            f"  {name:<7} {shop.ready['url']}    {OPENING[name]}: {wrong} of {len(before[name])} wrong"
        )
        teller.check(
            f"The first plan puts {name} right",
            wrong > 0 and not picture.wrong,
            f"{wrong} of {len(before[name])} numbers were wrong, none is",
        )
    teller.say(
        f"  sfsync  {world.daemon.address}    its dashboard; listens after "
        f"{ms((listening - started) * 1000)}; "
        f"{ms((corrected - listening) * 1000)} later every number is right"
    )


async def _start_outside(stage: Stage, catalogue: Catalogue, seed: int) -> tuple[Org, dict[str, Shop]]:
    org_file = _written(stage, "org", org_seed(catalogue))
    # The org's sign of life comes every second instead of every four and a half minutes: it tells sfsync that
    # the stream is joined, so that what may have passed before can be read again at once.
    knobs = ["--knob", "keepalive_seconds=1"]
    simulator = ["-m", "sfsync.simulators.org", "--exit-with-parent"]
    org = stage.start("org", [*simulator, "--seed", org_file, *knobs])
    offered = {"london": from_last_batch(seed, catalogue), "dubai": lambda _: 0}
    started = {}
    for name, plan in PLANS.items():
        options = {
            "--name": f"maison-{name}",
            "--plan": plan,
            "--seed": _written(stage, name, shop_seed(catalogue, offered[name])),
            "--time-scale": f"{TIME_SCALE:g}",
        }
        words = [word for option in options.items() for word in option]
        started[name] = stage.start(name, ["-m", "sfsync.simulators.shopify", "--exit-with-parent", *words])

    async def ready(child: Child) -> Any:
        what = f"{child.name} to be ready"
        return await stage.until(what, child.ready, READY_SECONDS, concerned=child)

    ready_org = await ready(org)
    shops = {name: Shop(name, await ready(child), TIME_SCALE) for name, child in started.items()}
    return Org(ready_org), shops


def _written(stage: Stage, name: str, seed: Any) -> str:
    path = stage.folder / f"{name}.seed.json"
    path.write_text(json.dumps(seed), encoding="utf-8")
    return str(path)


async def _right(world: World) -> Picture:
    """Until every storefront shows what the org's numbers make it."""
    wrong: list[str] = []

    async def look() -> Picture | None:
        picture = await world.picture()
        wrong[:] = picture.wrong
        return None if wrong else picture

    what = "both storefronts to show what the org has"
    return await world.stage.until(what, look, SHOWN_SECONDS, every=0.2, missing=wrong)


async def _covered(world: World) -> None:
    """Until the daemon says that it has seen all that moved while it joined the stream."""

    async def look() -> bool | None:
        stream = (await world.daemon.status())["stream"]
        return True if stream["topics"] and not stream["holes"] else None

    await world.stage.until("the stream to be covered without a hole", look, SHOWN_SECONDS, every=0.2)
