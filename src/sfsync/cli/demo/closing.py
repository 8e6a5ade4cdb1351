"""(e) The closing table: everything compared once more from outside, when nothing moves any more."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict

from .catalogue import FLAGSHIP, org_seed
from .kills import Day
from .sums import (
    Arrival,
    arrivals,
    covers,
    explained,
    percentile,
    repeated,
    undisturbed,
    wrong_on_hand,
)
from .telling import ms
from .world import Picture, World

QUIET_SECONDS = 30.0
NAMED = 3  # examples of what is wrong


async def close_the_books(world: World, day: Day, first_sales: Collection[str]) -> None:
    """Wait until nothing moves, then compare all; `first_sales` are the SKUs tills sold before the day."""
    teller = world.teller
    teller.chapter("(e) Closing")
    with teller.busy("waiting until nothing moves any more"):
        picture = await _quiet(world)
    await _orders(world, picture)
    _tills(world, day, picture, first_sales)
    _keys(world, picture)
    _shelves(world, picture)
    await _latency(world, day)
    await _calls(world)
    await _keep(world, picture, day)


async def _quiet(world: World) -> Picture:
    """The last picture: right and the same twice in a row, or the best to be had in time."""
    deadline = time.monotonic() + QUIET_SECONDS
    before: Picture | None = None

    async def look() -> Picture | None:
        nonlocal before
        pending = sum([await shop.webhooks_pending() for shop in world.shops.values()])
        picture = await world.picture()
        settled = not pending and not picture.wrong and before == picture
        before = picture
        return picture if settled or time.monotonic() > deadline else None

    return await world.stage.until("everything to come to rest", look, QUIET_SECONDS + 20, every=0.4)


async def _orders(world: World, picture: Picture) -> None:
    """Each accepted line stands in the org exactly once; one that cannot is explained by an incident."""
    lines = covers(picture.lines, picture.rows)
    status = await world.daemon.status()
    told = Counter(
        (order["channel"], order["order"], incident["sku"])
        for incident in status["incidents"]
        if incident["kind"] == "oversold" and incident["closed_at"] is None
        for order in incident["orders"]
        if not order["covered"]
        for _ in range(order["units"])
    )
    short = Counter(
        (cover.line.channel, cover.line.order, cover.line.sku)
        for cover in lines
        for _ in range(cover.oversold)
    )
    wrong = [
        cover.line
        for cover in lines
        if not cover.exact and not explained(cover, picture.levels, world.rules.groups[cover.line.channel])
    ]
    sent = sum(cover.line.sent > 0 for cover in lines)
    off = sum(cover.line.units == 0 for cover in lines)
    world.teller.check(
        "Each accepted order line stands in the org exactly once: sent, reserved, or called off",
        not wrong and sum(short.values()) >= 1,
        f"{len(lines)} lines, {sent} sent, {off} called off, {sum(short.values())} uncovered: see (c)"
        + _examples([f"{line.order} at {line.channel}" for line in wrong]),
    )
    world.teller.check(
        "sfsync names every order that no stock covers, and no other",
        told == short,
        ", ".join(f"{order} at {channel}" for channel, order, _ in told) or "none",
    )


def _tills(world: World, day: Day, picture: Picture, first_sales: Collection[str]) -> None:
    sold = Counter((sale.sku, FLAGSHIP) for sale in day.till)
    sold.update((sku, FLAGSHIP) for sku in first_sales)
    opening = {(row["sku"], row["location"]): row["on_hand"] for row in org_seed(world.catalogue)["levels"]}
    wrong = wrong_on_hand(opening, picture.levels, picture.rows, sold)
    entered = Counter(row.reference for row in picture.rows if row.kind == "Sale")
    lost = [sale.receipt for sale in day.till if entered[sale.receipt] != 1]
    world.teller.check(
        "Each till sale is counted once: on hand is opening less till sales less goods sent",
        not wrong and not lost and sum(entered.values()) == sold.total(),
        f"{sold.total()} till sales, {len(opening):,} stock levels" + _examples(lost + wrong),
    )


def _keys(world: World, picture: Picture) -> None:
    keys = [row.key for row in picture.rows]
    again = repeated(keys)
    ours = sum(row.subject != "" for row in picture.rows)
    world.teller.check(
        "Every idempotency key is unique, and every movement has one",
        not again and all(keys),
        f"{len(keys)} movements, {ours} of them by sfsync" + _examples(again),
    )


def _shelves(world: World, picture: Picture) -> None:
    skus = len({sku for _, sku in picture.should})
    for name in world.shops:
        right = sum(
            picture.shows.get((at, sku)) == units for (at, sku), units in picture.should.items() if at == name
        )
        world.teller.check(
            f"Every SKU in the org = {name}",
            right == skus,
            f"{right} of {skus} equal"
            + _examples([text for text in picture.wrong if f" at {name} " in text]),
        )


async def _latency(world: World, day: Day) -> None:
    """How long till sales took to either site, the times of the kills left out."""
    teller = world.teller
    at = await world.org.commits()
    commits = {sale.sku: at[sale.movement] for sale in day.till if sale.alone}
    changes = {
        name: [(change.sku, change.at) for change in await shop.follow() if not change.own]
        for name, shop in world.shops.items()
    }
    ways = arrivals(commits, changes)
    calm = undisturbed(ways, day.outages)
    table = teller.table(
        "site",
        ("SKUs", "right"),
        ("till sales", "right"),
        ("p50", "right"),
        ("p99", "right"),
        ("slowest", "right"),
    )
    for name in world.shops:
        own = [way.latency_ms for way in calm if way.channel == name]
        table.add_row(
            name,
            f"{len(world.catalogue.articles)}",
            str(len(own)),
            ms(percentile(own, 50)),
            ms(percentile(own, 99)),
            ms(percentile(own, 100)),
        )
    teller.show(table)
    teller.say(
        "  [dim]From the org's commit to the site's own change, of the day's till sales of articles that "
        f"nobody else sold; {len(ways) - len(calm)} of {len(ways)} ways left out, which met a kill.[/]"
    )
    missing = [way for way in ways if way.shown_at is None]
    teller.check(
        "Each till sale reaches both sites, kills or not",
        bool(ways) and not missing,
        f"{len(ways) - len(missing)} of {len(ways)}; "
        f"undisturbed p50 {_ms_of(calm, 50)}, p99 {_ms_of(calm, 99)}",
    )


def _ms_of(ways: Sequence[Arrival], percent: int) -> str:
    return ms(percentile([way.latency_ms for way in ways], percent))


async def _calls(world: World) -> None:
    used = [f"org {await world.org.calls_by_sfsync()} API requests"]
    for name, shop in world.shops.items():
        calls, points = await shop.points()
        used.append(f"{name} {calls} calls, {points:,.0f} points")
    world.teller.say(f"  Used by sfsync: {'; '.join(used)}.")


async def _keep(world: World, picture: Picture, day: Day) -> None:
    """Write down what was seen from outside, for whoever looks into the folder afterwards."""
    seen = {
        "rows": [asdict(row) for row in picture.rows],
        "levels": [asdict(level) for level in picture.levels],
        "lines": [asdict(line) for line in picture.lines],
        "changes": {
            name: [asdict(each) for each in await shop.follow()] for name, shop in world.shops.items()
        },
        "till": [asdict(sale) for sale in day.till],
        "outages": [asdict(outage) for outage in day.outages],
        "wrong": picture.wrong,
    }
    (world.stage.folder / "seen.json").write_text(json.dumps(seen), encoding="utf-8")


def _examples(wrong: Sequence[str]) -> str:
    return f"; wrong: {', '.join(wrong[:NAMED])}{' …' if len(wrong) > NAMED else ''}" if wrong else ""
