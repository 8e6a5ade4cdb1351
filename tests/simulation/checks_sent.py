"""What was sent before its order was heard of leaves from the reservation that its order was sold on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from .world import World

if TYPE_CHECKING:
    from .checks import Watch

NOTE = "sfsync_reservation"  # on the order, as its shopper's checkout wrote it


def sent_unreserved(watch: Watch, world: World, made: Iterable[Mapping[str, Any]]) -> None:
    """Promise 2: no unit of everybody's is sent while the order's own reservation holds one for it.

    `made` are a commit's rows, which have been taken into the books. A line that gives up in the same commit
    what it had reserved elsewhere has taken its reservation over.
    """
    rows = [(str(row.get("SubjectKey__c") or ""), row) for row in made]
    gives = {subject for subject, row in rows if (row["ReservedDelta__c"] or 0) < 0}
    for subject, row in rows:
        sent = row["Kind__c"] == "Fulfilment" and (row["OnHandDelta__c"] or 0) < 0
        reservation = sold_on(world, subject)[0] if sent and subject not in gives else None
        if reservation is None or _copied_alone(watch, subject):
            continue
        key = watch.key_of(str(row["StockLevel__c"]))
        sku = key.partition("|")[0]
        for holder, held in watch.subjects.items():
            if holder.startswith(f"reservation:{reservation}:"):
                for level, (_, reserved) in held.items():
                    if reserved > 0 and level.partition("|")[0] == sku:
                        what = f"{subject}: sent from {key}, which it had not reserved"
                        world.violated(2, f"{what}; {holder} holds {reserved} of {level} for it")


def _copied_alone(watch: Watch, subject: str) -> bool:
    """Whether only the org's copy of its order was heard of yet, which names no reservation."""
    told = watch.query("SELECT told FROM order_line WHERE subject = ?", subject)
    return any(words and "channel" not in json.loads(words) for (words,) in told)


def sold_on(world: World, subject: str) -> tuple[str | None, str]:
    """The reservation that a line's order names, and what people call the order; "" when nobody knows it."""
    kind, shop, number = (*subject.split(":"), "", "")[:3]
    if kind != "order" or shop not in world.shops or not number.isdecimal():
        return None, ""
    order = world.shops[shop].selling.orders.get(int(number))
    return (None, "") if order is None else (order.note_attributes.get(NOTE), order.name)
