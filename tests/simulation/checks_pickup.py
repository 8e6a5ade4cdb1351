"""What is kept in a boutique for a customer is there for her, and leaves from there, once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .actors import Day
from .actors_pickup import Fetch
from .checks import Watch
from .checks_debts import left
from .habits import FETCHED
from .sold import lines, wanted
from .world import World


def settled_pick_ups(watch: Watch, world: World, day: Day) -> Iterator[tuple[int, str]]:
    """(promise, what differs) once the world has come to rest."""
    if world.plan.fetched_at is None:
        return
    states = dict(watch.query("SELECT id, state FROM reservation"))
    of_order = {
        order.name: (subject, *wanted(order, line))
        for name, subject, order, line in lines(world)
        if name == world.plan.fetched_at and line.variant.sku == FETCHED
    }
    free = left(watch, FETCHED)
    fetched: list[Fetch] = day.fetched
    for fetch in fetched:
        if not fetch.over:
            yield 9, f"{fetch.id}: she waits for an answer still"
            continue
        own = [subject for subject in watch.subjects if subject.startswith(f"reservation:{fetch.id}:")]
        theirs = [of_order[order.name] for order in fetch.orders]
        gone, kept = Counter[str](), Counter[str]()
        for subject in (*own, *(subject for subject, _, _ in theirs)):
            for key, (on_hand, reserved) in watch.subjects.get(subject, {}).items():
                gone[key.partition("|")[2]] -= on_hand
                kept[key.partition("|")[2]] += reserved
        told = -sum(on_hand for _, on_hand, _ in theirs)
        still = sum(reserved for _, _, reserved in theirs)
        what = f"{fetch.id} ({[order.name for order in fetch.orders]}), {states.get(fetch.id)}"
        if gone.total() != told and (fetch.sure or fetch.handed_over):
            yield 2, f"{what}: {gone.total()} have left by the ledger, and {told} by the shop's orders"
        if fetch.handed_over and fetch.place and gone[fetch.place] < fetch.units:
            yield 2, f"{what}: she fetched {fetch.units} at {fetch.place}, and they left from {dict(gone)}"
        if still and theirs and (kept.total() < still) and sum(free.values()) > 0:
            yield 2, f"{what}: {kept.total()} are reserved of {still}, though {sum(free.values())} are free"
        if states.get(fetch.id) in ("released", "expired", "settled", "ordered") and kept.total() > still:
            yield 2, f"{what}: {kept.total()} are reserved, and the shop's orders want {still}"
        if _waits(world, fetch, still) and kept[fetch.place] < min(fetch.units, still):
            yield 1, f"{what}: she comes to {fetch.place}, and her pieces are kept at {dict(kept)}"


def _waits(world: World, fetch: Fetch, still: int) -> bool:
    """She was told where to come, and her order is known and open. The fallback rule lets it give way."""
    known = fetch.named and fetch.sure and fetch.place and not fetch.handed_over
    return bool(known) and still > 0 and not world.plan.fallback
