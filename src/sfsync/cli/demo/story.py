"""The first chapters: (a) a sale at the till, (b) a sale online, each timed on its way to everybody else."""

from __future__ import annotations

from .catalogue import FLAGSHIP, WAREHOUSE, Article
from .sums import covers
from .telling import ms
from .world import World


async def till_sale(world: World) -> str:
    """(a) A sale at the Knightsbridge till lowers both sites. Returns the SKU."""
    teller = world.teller
    teller.chapter("(a) A sale at the Knightsbridge till")
    article = _stocked(world, "handbag", FLAGSHIP, WAREHOUSE)
    before = await world.shown(article.sku)
    await world.org.commits()
    movement = await world.org.sell_at_till(article.sku, FLAGSHIP, "K2-4711")
    with teller.busy("the till writes to the org; waiting for both sites", plain=False):
        after = {n: await world.comes_to_show(n, article.sku, units - 1) for n, units in before.items()}
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
    claim = "An online sale lowers the org, the other site, and its own site once"
    teller.chapter("(b) An online sale in Dubai")
    article = _stocked(world, "shoes", WAREHOUSE)
    before = await world.shown(article.sku)
    await world.org.commits()
    order = await dubai.buy(article.sku)
    if order is None:
        teller.check(claim, False, "it was sold out before the first sale")
        return article.sku
    line = dubai.line(order, order["line_items"][0])
    with teller.busy("the order's webhook goes to sfsync; waiting for the org and London", plain=False):
        movement = await world.entered(line)
        change = await world.comes_to_show("london", article.sku, before["london"] - 1)
    ordered, at = order["created_at_ms"], (await world.org.commits())[movement]
    teller.say(
        f"  {article.title}: order {line.order} at dubai, {before['dubai']} → {before['dubai'] - 1} there."
    )
    teller.say(
        f"  org reserves after [bold]{ms(at - ordered)}[/], london {before['london']} → {change.after} after "
        f"[bold]{ms(change.at - ordered)}[/]   [dim](from the order; London {_beside(change.at - at)})[/]"
    )
    held = covers([line], await world.org.rows())[0]
    shown = await dubai.shows_of(article.sku)
    teller.check(
        claim,
        held.exact and change.after == before["london"] - 1 and shown == before["dubai"] - 1,
        f"org after {ms(at - ordered)}, london after {ms(change.at - ordered)}",
    )
    return article.sku


def _beside(later_ms: float) -> str:
    """How a site's change stands to the org's commit."""
    if later_ms >= 0:
        return f"{ms(later_ms)} after the org's commit"
    return f"{ms(-later_ms)} before the org's commit: bad news first"


def _stocked(world: World, family: str, *locations: str) -> Article:
    """An article of the family with some units, one at least at each of these locations."""
    fits = [
        article
        for article in world.catalogue.family(family)
        if all(article.stock.get(location, 0) for location in locations) and sum(article.stock.values()) > 2
    ]
    return world.luck(f"stocked {family}").choice(fits)
