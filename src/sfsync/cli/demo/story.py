"""The first chapters: a sale at the till, a sale online, and the last handbag sold three ways at once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from .catalogue import FLAGSHIP, WAREHOUSE, Article
from .outside import Change, Shop
from .processes import until
from .sums import SoldLine, covers, oversold
from .telling import ms
from .world import World

SEEN_SECONDS = 15.0
WEBHOOK_SECONDS = 0.5  # what a storefront's webhook may well take


async def till_sale(world: World) -> str:
    """(a) A sale at the Knightsbridge till lowers both sites. Returns the SKU."""
    teller = world.teller
    teller.chapter("(a) A sale at the Knightsbridge till")
    article = _stocked(world, "handbag", FLAGSHIP, WAREHOUSE)
    before = await _shown(world, article.sku)
    await world.org.commits()
    movement = await world.org.sell_at_till(article.sku, FLAGSHIP, "K2-4711")
    with teller.busy("the till writes to the org; waiting for both sites", plain=False):
        after = await _all_show(world, {name: (article.sku, units - 1) for name, units in before.items()})
    at = (await world.org.commits())[movement]
    teller.say(f"  {article.title}: the till sells one, and enters it in the org as any other system would.")
    ways = [f"{n} {before[n]} → {c.after} after [bold]{ms(c.at - at)}[/]" for n, c in after.items()]
    teller.say(f"  {', '.join(ways)}   [dim](from the org's commit to the site's own change)[/]")
    teller.check(
        "A till's sale lowers both sites",
        all(change.after == before[name] - 1 and not change.own for name, change in after.items()),
        ", ".join(f"{name} after {ms(change.at - at)}" for name, change in after.items()),
    )
    return article.sku


async def online_sale(world: World) -> str:
    """(b) An online sale in Dubai lowers the org and London. Returns the SKU."""
    teller, dubai = world.teller, world.shops["dubai"]
    teller.chapter("(b) An online sale in Dubai")
    article = _stocked(world, "shoes", WAREHOUSE)
    before = await _shown(world, article.sku)
    await world.org.commits()
    order = await dubai.buy(article.sku)
    if order is None:
        teller.check(
            "An online sale lowers the org and the other site", False, "sold out before the first sale"
        )
        return article.sku
    line = dubai.line(order, order["line_items"][0])
    with teller.busy("the order's webhook goes to sfsync; waiting for the org and London", plain=False):
        movement = await _entered(world, line)
        change = (await _all_show(world, {"london": (article.sku, before["london"] - 1)}))["london"]
    ordered, at = order["created_at_ms"], (await world.org.commits())[movement]
    teller.say(
        f"  {article.title}: order {order['name']} at Dubai, {before['dubai']} → {before['dubai'] - 1} there."
    )
    way = change.at - at
    beside = (
        f"{ms(way)} after the org's commit"
        if way >= 0
        else f"{ms(-way)} before the org's commit: bad news first"
    )
    teller.say(
        f"  org reserved after [bold]{ms(at - ordered)}[/], london {before['london']} → {change.after} after "
        f"[bold]{ms(change.at - ordered)}[/]   [dim](from the order; London {beside})[/]"
    )
    held = covers([line], await world.org.rows())[0]
    shown = await dubai.shows_of(article.sku)
    teller.check(
        "An online sale lowers the org and the other site, and its own site once",
        held.exact and change.after == before["london"] - 1 and shown == before["dubai"] - 1,
        f"org after {ms(at - ordered)}, london after {ms(change.at - ordered)}",
    )
    return article.sku


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the last handbag was sold under one guarantee."""

    accepted: int
    held: int
    oversold: int
    guarantee: str = ""
    told: str = ""


async def last_handbag(world: World) -> None:
    """(c) The last handbag, wanted by both sites at the same instant, under each guarantee."""
    teller = world.teller
    teller.chapter("(c) The last handbag, wanted in London and in Dubai at the same instant, three ways")
    with teller.busy("gated: both checkouts ask before payment", plain=False):
        gated = await _gated(world)
    with teller.busy("allocated: shoppers try at both sites", plain=False):
        allocated = await _allocated(world)
    with teller.busy("mirrored: shoppers buy at both sites before either webhook arrives", plain=False):
        mirrored, explained = await _mirrored(world)
    table = teller.table(
        "guarantee",
        "what happened",
        ("accepted", "right"),
        ("held by the org", "right"),
        ("oversold", "right"),
    )
    for row in (gated, allocated, mirrored):
        count = f"[bold red]{row.oversold}[/]" if row.oversold else f"[bold green]{row.oversold}[/]"
        table.add_row(row.guarantee, row.told, str(row.accepted), str(row.held), count)
    teller.show(table)
    teller.say(
        f"  [dim]Oversold: units that a site accepted and the org does not hold for them.[/] {explained}"
    )


async def _gated(world: World) -> Outcome:
    sku, names = world.catalogue.last["gated"], list(world.shops)
    shown = await _shown(world, sku)
    answers = await asyncio.gather(*(world.daemon.reserve(name, sku) for name in names))
    statuses = dict(zip(names, (status for status, _ in answers), strict=True))
    granted = [(name, body) for name, (status, body) in zip(names, answers, strict=True) if status == 201]
    lines: list[SoldLine] = []
    confirmed = 0
    for name, body in granted:  # only who was granted one lets its customer pay
        order = await world.shops[name].buy(sku, reservation=body["id"])
        if order is not None:
            lines.append(world.shops[name].line(order, order["line_items"][0]))
            confirmed = await world.daemon.confirm(body["id"], order["name"])
    for line in lines:
        await _entered(world, line)
    outcome = await _outcome(world, sku)
    told = " and ".join(f"{name} {status}" for name, status in statuses.items())
    world.teller.check(
        "Gated: one checkout gets the last piece, the other a 409 before payment; 0 oversold",
        sorted(statuses.values()) == [201, 409]
        and set(shown.values()) == {1}
        and (outcome.accepted, outcome.held, outcome.oversold, confirmed) == (1, 1, 0, 200),
        f"{told}; {outcome.accepted} order",
    )
    winner = granted[0][0] if granted else "nobody"
    sentence = f"both checkouts asked: {told}. Only {winner} charged its customer"
    return replace(outcome, guarantee="gated", told=sentence)


async def _allocated(world: World) -> Outcome:
    sku = world.catalogue.last["allocated"]
    shown = await _shown(world, sku)
    orders = dict(
        zip(world.shops, await asyncio.gather(*(shop.buy(sku) for shop in world.shops.values())), strict=True)
    )
    for name, order in orders.items():
        if order is not None:
            await _entered(world, world.shops[name].line(order, order["line_items"][0]))
    most = {
        name: max([shown[name], *(change.after for change in await shop.follow() if change.sku == sku)])
        for name, shop in world.shops.items()
    }
    outcome = await _outcome(world, sku)
    world.teller.check(
        "Allocated: only London ever shows the last piece; 0 oversold",
        most == {"london": 1, "dubai": 0}
        and orders["dubai"] is None
        and (outcome.accepted, outcome.held, outcome.oversold) == (1, 1, 0),
        f"most ever shown: london {most['london']}, dubai {most['dubai']}; {outcome.accepted} order",
    )
    sentence = f"set aside for london: dubai showed {most['dubai']} all along; its shopper found it sold out"
    return replace(outcome, guarantee="allocated", told=sentence)


async def _mirrored(world: World) -> tuple[Outcome, str]:
    sku = world.catalogue.last["mirrored"]
    shown = await _shown(world, sku)
    for shop in world.shops.values():
        await shop.hold_back_next_order(WEBHOOK_SECONDS)
    orders = await asyncio.gather(*(shop.buy(sku) for shop in world.shops.values()))
    placed = [order["created_at_ms"] for order in orders if order is not None]
    names = {
        (name, order["name"]) for name, order in zip(world.shops, orders, strict=True) if order is not None
    }
    incident = await _incident(world, sku)
    outcome = await _outcome(world, sku)
    apart = max(placed) - min(placed) if placed else 0.0
    named = {(order["channel"], order["order"]) for order in incident["orders"]}
    exposure = incident["exposure_unit_seconds"]
    world.teller.check(
        "Mirrored: both sites sell the last piece, and sfsync says so: 1 oversold, one incident, both orders",
        set(shown.values()) == {1}
        and (outcome.accepted, outcome.held, outcome.oversold) == (2, 1, 1)
        and incident["units"] == 1
        and named == names,
        f"{outcome.accepted} orders {apart:.1f} ms apart; the incident names "
        f"{' and '.join(f'{order} at {name}' for name, order in sorted(named))}",
    )
    covered = next((o for o in incident["orders"] if o["covered"]), None)
    left = next((o for o in incident["orders"] if not o["covered"]), None)
    sentence = f"both sold it, {apart:.1f} ms apart, {WEBHOOK_SECONDS:g} s before their webhooks came"
    explained = _explained(covered, left, exposure)
    return replace(outcome, guarantee="mirrored", told=sentence), explained


def _explained(covered: Any, left: Any, exposure: float) -> str:
    if covered is None or left is None:
        return ""
    return (
        "The 1: a mirrored number is told after a sale, and nobody was asked before payment. The org "
        f"gave the piece to order {covered['order']} at {covered['channel']} and had none for order "
        f"{left['order']} at {left['channel']}; sfsync closed both sites and opened an incident that names "
        f"both orders and the exposure: at most {exposure:.1f} unit-seconds."
    )


def _stocked(world: World, family: str, *locations: str) -> Article:
    """An article of the family with some units, one at least at each of these locations."""
    fits = [
        article
        for article in world.catalogue.family(family)
        if all(article.stock.get(location, 0) for location in locations) and sum(article.stock.values()) > 2
    ]
    return world.luck(f"stocked {family}").choice(fits)


async def _shown(world: World, sku: str) -> dict[str, int]:
    return {name: await shop.shows_of(sku) for name, shop in world.shops.items()}


async def _all_show(world: World, wanted: Mapping[str, tuple[str, int]]) -> dict[str, Change]:
    """The change by which each of these storefronts came to show so many of the SKU."""
    return {name: await _change(world, world.shops[name], *what) for name, what in wanted.items()}


async def _change(world: World, shop: Shop, sku: str, units: int) -> Change:
    async def look() -> Change | None:
        last = next((change for change in reversed(await shop.follow()) if change.sku == sku), None)
        return last if last is not None and last.after == units else None

    return await until(f"{shop.name} to show {units} of {sku}", look, SEEN_SECONDS, world.daemon.child)


async def _entered(world: World, line: SoldLine) -> str:
    """The id of the org's first movement for this line, once the org holds all of it."""

    async def look() -> str | None:
        rows = [row for row in await world.org.rows() if row.subject == line.subject]
        return rows[0].id if rows and covers([line], rows)[0].exact else None

    what = f"the org to hold order {line.order} of {line.channel}"
    return await until(what, look, SEEN_SECONDS, world.daemon.child)


async def _outcome(world: World, sku: str) -> Outcome:
    """Accepted by the storefronts, held by the org, and the difference."""
    rows = await world.org.rows()
    lines = [line for shop in world.shops.values() for line in await shop.lines() if line.sku == sku]
    holds = sum(cover.held.reserved + cover.held.shipped for cover in covers(lines, rows))
    return Outcome(sum(line.units for line in lines), holds, oversold(lines, rows, sku))


async def _incident(world: World, sku: str) -> Any:
    async def look() -> Any | None:
        incidents = (await world.daemon.status())["incidents"]
        return next((row for row in incidents if row["kind"] == "oversold" and row["sku"] == sku), None)

    return await until(f"an incident about {sku}", look, SEEN_SECONDS, world.daemon.child)
