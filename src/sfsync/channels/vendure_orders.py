"""An order of a Vendure shop as a snapshot.

The shop allocates the units of a line at one stock location or several, and keeps a movement of each: what
it has allocated and neither given back nor taken back again is what it has taken off its number, whatever
the line says. It may have allocated nothing (sold beyond its stock), or more than the line has, where a line
draws on several locations. What is to be sent is what the line says.

Goods left when their parcel last changed (at the latest), and came back when the shop took them back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine, OrderSnapshot, whole_units
from sfsync.domain.places import LinePlace
from sfsync.ports import Refused

_NOT_SENT = frozenset({"Created", "Pending", "Cancelled"})
CANCELLED = "Cancelled"


def read_order(
    channel: str, order: Mapping[str, Any], locations: Mapping[str, str], *, routes: bool
) -> OrderSnapshot | None:
    """The snapshot of an order; None while it is a cart or a draft. `Refused` when it is no order.

    `locations` are our names of the shop's stock locations, by their ids; `routes`: there are several.
    """
    try:
        if order["orderPlacedAt"] is None:
            return None
        over = order["state"] == CANCELLED
        return OrderSnapshot(
            channel,
            str(order["id"]),
            str(order["code"]),
            _moment(order["sfsyncChangedAt"]),
            _moment(order["orderPlacedAt"]),
            tuple(_line(line, locations if routes else {}, over=over) for line in order["lines"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Refused(
            f"an order of {channel} cannot be read: {what}", advice="look at the order there"
        ) from error


def sent_units(line: Mapping[str, Any]) -> int:
    """Units of a line that have left."""
    return sum(
        whole_units(each["quantity"])
        for each in line["fulfillmentLines"] or ()
        if each["fulfillment"]["state"] not in _NOT_SENT
    )


def _line(line: Mapping[str, Any], locations: Mapping[str, str], *, over: bool) -> OrderLine:
    units, sent = (0 if over else whole_units(line["quantity"])), sent_units(line)
    stands = line["sfsyncPlaces"]
    taken = sum(place["allocated"] - place["released"] - place["cancelled"] for place in stands)
    held = sum(place["allocated"] - place["released"] - place["sold"] for place in stands)
    open_units, back = max(0, units - sent), max(0, sent - units)
    return OrderLine(
        str(line["id"]),
        str(line["productVariant"]["sku"]),
        open_units,
        fulfilled_quantity=sent,
        returned_quantity=back,
        taken_quantity=taken,
        # We lower the number ourselves before we have an order cancelled; and a shop that miscounts takes
        # off something else than it says. Only the number tells then.
        taken_in_doubt=over or held < open_units or any(place["miscounted"] for place in stands),
        places=_places(stands, locations, open_units, sent, back) if locations else (),
        routed=bool(locations),
        left=_left(line, locations),
        came_back=_came_back(stands, locations, back),
    )


def _left(line: Mapping[str, Any], locations: Mapping[str, str]) -> tuple[Moment, ...]:
    """When units left, parcel by parcel; from where only a line tells that stands at one location."""
    stands = [str(place["stockLocationId"]) for place in line["sfsyncPlaces"]]
    place = locations.get(stands[0], stands[0]) if locations and len(stands) == 1 else ""
    return tuple(
        Moment(_moment(each["fulfillment"]["updatedAt"]), units, place)
        for each in line["fulfillmentLines"] or ()
        if each["fulfillment"]["state"] not in _NOT_SENT and (units := whole_units(each["quantity"]))
    )


def _came_back(
    stands: Sequence[Mapping[str, Any]], locations: Mapping[str, str], back: int
) -> tuple[Moment, ...]:
    """When units came back, and to where; no more of them than the line says."""
    told = sorted(
        (_moment(each["at"]), whole_units(each["quantity"]), str(place["stockLocationId"]))
        for place in stands
        for each in place["returns"]
    )
    found = []
    for at, units, place in told:
        if part := min(units, back):
            found.append(Moment(at, part, locations.get(place, place) if locations else ""))
            back -= part
    return tuple(found)


def _places(
    stands: Sequence[Mapping[str, Any]], locations: Mapping[str, str], open_units: int, sent: int, back: int
) -> tuple[LinePlace, ...]:
    """Where the line's units stand: of each kind no more than the line has, the rest at its first place.

    What the shop has allocated nowhere stands at the first location: somewhere it must be reserved.
    """
    if not stands:
        first = next(iter(locations.values()))
        return (LinePlace(first, open_units, sent, back, 0),) if open_units or sent else ()
    kept = [max(0, place["allocated"] - place["released"]) for place in stands]
    left = _shared(sent, [min(place["sold"], part) for place, part in zip(stands, kept, strict=True)])
    opened = _shared(open_units, [max(0, part - gone) for part, gone in zip(kept, left, strict=True)])
    returned = _shared(
        back, [min(place["cancelled"], gone) for place, gone in zip(stands, left, strict=True)]
    )
    return tuple(
        LinePlace(
            locations.get(str(place["stockLocationId"]), str(place["stockLocationId"])),
            opened[n],
            left[n],
            returned[n],
            place["allocated"] - place["released"] - place["cancelled"],
        )
        for n, place in enumerate(stands)
    )


def _shared(units: int, most: Sequence[int]) -> list[int]:
    """Units given out in turn, to each its most; what is over to the first."""
    parts = []
    for limit in most:
        parts.append(min(units, limit))
        units -= parts[-1]
    parts[0] += units
    return parts


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
