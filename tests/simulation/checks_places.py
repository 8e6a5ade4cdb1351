"""What a shop with several locations sends from one of them is taken from the org's levels there."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from sfsync.simulators.shopify.model import LineItem, Order

from .checks import Watch
from .checks_debts import left
from .plan import PLACES, UNKNOWN
from .sold import lines
from .world import World


def settled_places(watch: Watch, world: World) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest.

    Units stand reserved where they will be sent from; those that none was left for there stay elsewhere, and
    an incident says so. What was sent left there, and what came back is where it was brought.
    """
    if world.plan.habits.mall is None:
        return
    misplaced = {
        key
        for (key,) in watch.query("SELECT key FROM incident WHERE kind = 'misplaced' AND closed_at IS NULL")
    }
    plan = world.plan.sells_from("dubai")
    for name, subject, order, line in lines(world):
        sku = line.variant.sku
        if name != "dubai" or sku == UNKNOWN:
            continue
        waiting, gone = _open(order, line), _gone(order, line, back=not world.plan.habits.org_orders)
        held: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        for key, sums in watch.subjects.get(subject, {}).items():
            held[key.split("|")[1]] = [a + b for a, b in zip(held[key.split("|")[1]], sums, strict=True)]
        reserved = sum(units for _, units in held.values())
        wrong = False
        for location, places in plan.items():
            here = [held.get(place, [0, 0]) for place in places]
            what = f"dubai {order.name} ({subject}): {sku} at {location}"
            moved = sum(units for units, _ in here)
            if moved != -gone[location]:
                yield 2, f"{what}: on hand by {moved}, and {gone[location]} left the shop there"
            short = waiting[location] - sum(units for _, units in here)
            wrong = wrong or short > 0
            free = left(watch, sku or "")
            if short > 0 and any(free[place] > 0 for place in places if place in PLACES):
                yield 2, f"{what}: {short} to be sent are not reserved there, though they could be"
        if wrong and reserved == sum(waiting.values()) and subject not in misplaced:
            yield 4, f"dubai {order.name} ({subject}): {sku} is reserved elsewhere, and no incident says so"
        if subject in misplaced and not wrong:
            yield 4, f"dubai {order.name} ({subject}): {sku} is where it should be, and an incident is open"


def _open(order: Order, line: LineItem) -> Counter[str]:
    """Units still to be sent, by the shop's location."""
    if order.cancelled_at is not None:
        return Counter()
    found: Counter[str] = Counter()
    for part in line.allocations:
        found[part.location.name] += part.remaining
    return found


def _gone(order: Order, line: LineItem, *, back: bool) -> Counter[str]:
    """Units that left, less those that were brought back, by the shop's location.

    Where the house has a location for returns (not `back`) none of them is put back where it left.
    """
    found: Counter[str] = Counter()
    for parcel in order.fulfillments:
        for sent in parcel.lines:
            if sent.line_item is line and parcel.status == "success":
                found[parcel.location.name] += sent.quantity
    for refund in order.refunds if back else ():
        for row in refund.lines:
            if row.line_item is line and row.restock_type == "return" and row.location is not None:
                found[row.location.name] -= row.quantity
    return found
