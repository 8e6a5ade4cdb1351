"""(c) The last handbag, wanted by both sites at the same instant: gated, allocated, mirrored."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

from .sums import covers, oversold
from .world import SEEN_SECONDS, World

WEBHOOK_SECONDS = 1.0  # what a storefront's webhook may well take


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
    shown = await world.shown(sku)
    answers = await asyncio.gather(*(world.daemon.reserve(name, sku) for name in names))
    statuses = dict(zip(names, (status for status, _ in answers), strict=True))
    granted = [(name, body) for name, (status, body) in zip(names, answers, strict=True) if status == 201]
    charged: list[str] = []
    confirmed = 0
    for name, body in granted:  # only who was granted one lets its customer pay
        order = await world.shops[name].buy(sku, reservation=body["id"])
        if order is not None:
            charged.append(name)
            confirmed = await world.daemon.confirm(body["id"], order["name"])
            await world.entered(world.shops[name].line(order, order["line_items"][0]))
    outcome = await _outcome(world, sku)
    told = " and ".join(f"{name} {status}" for name, status in statuses.items())
    world.teller.check(
        "Gated: one checkout gets the last piece, the other a 409 before payment; 0 oversold",
        sorted(statuses.values()) == [201, 409]
        and set(shown.values()) == {1}
        and (outcome.accepted, outcome.held, outcome.oversold, confirmed) == (1, 1, 0, 200),
        f"{told}; {outcome.accepted} order",
    )
    sentence = f"both checkouts asked: {told}; only {' and '.join(charged) or 'nobody'} charged its customer"
    return replace(outcome, guarantee="gated", told=sentence)


async def _allocated(world: World) -> Outcome:
    sku = world.catalogue.last["allocated"]
    shown = await world.shown(sku)
    orders = await _bought_at_once(world, sku)
    for name, order in orders.items():
        if order is not None:
            await world.entered(world.shops[name].line(order, order["line_items"][0]))
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
    shown = await world.shown(sku)
    for shop in world.shops.values():
        await shop.hold_back_next_order(WEBHOOK_SECONDS)
    accepted = {n: order for n, order in (await _bought_at_once(world, sku)).items() if order is not None}
    placed = [order["created_at_ms"] for order in accepted.values()]
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
        and named == {(name, order["name"]) for name, order in accepted.items()},
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
        f"{left['order']} at {left['channel']}; sfsync opened an incident that names "
        f"both orders and the exposure: at most {exposure:.1f} unit-seconds."
    )


async def _bought_at_once(world: World, sku: str) -> dict[str, dict[str, Any] | None]:
    """Shoppers buy one at every site at the same instant: the order by site, None where it was sold out."""
    orders = await asyncio.gather(*(shop.buy(sku) for shop in world.shops.values()))
    return dict(zip(world.shops, orders, strict=True))


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

    return await world.stage.until(f"an incident about {sku}", look, SEEN_SECONDS)
