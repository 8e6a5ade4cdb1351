"""Incidents as the status tells them: whose promises, which ways out there are, what was decided."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sfsync.domain import incidents as kinds
from sfsync.domain.incidents import NEGATIVE, OVERSOLD, Way, ways
from sfsync.ports import Incident, Resolution

from .status_shape import IncidentRow, OrderOfIncident, ResolutionRow

_ADVICE = {
    OVERSOLD: "Find the piece elsewhere, wait for a receipt, or cancel this order at its channel.",
    NEGATIVE: "Count it (`sfsync count`), or have the receipt entered that is missing; it closes by itself.",
    kinds.MISPLACED: "Move the fulfilment at the channel, or bring stock to where it is sent from.",
    kinds.UNKNOWN_LOCATION: "Name the location in the settings, or move the fulfilment at the channel.",
    kinds.REWRITTEN: (
        "Movements were deleted or a backup restored; the org's present numbers and rows were taken over."
    ),
    kinds.POSTINGS_LOST: "Compare the till's own journal with the org for that time, or count.",
    kinds.DATED_AHEAD: "Set the clock there right; what it told was entered with the time of its event.",
    kinds.UNEXPLAINED: "Somebody may have edited the number; its units are for sale again.",
    kinds.GAVE_WAY: "Tell whoever had the promise; an order is covered elsewhere by itself if it can be.",
    kinds.PAID_UNAVAILABLE: "Take the units elsewhere, take other pieces, or owe the customer the money.",
    kinds.NOT_FETCHED: "Ask the customer: hand it over, give more time, or cancel the order at its channel.",
    kinds.NO_WORD: "Ask the shop, and say on its pick-ups page whether it is there; or move or release it.",
    kinds.NO_ORDER: "Name the order in the shop's note, or release the reservation.",
    kinds.NOT_FOUND: "Count it; accept once it is found or written off. Nobody is promised it until then.",
    kinds.ON_FLOOR: "Ask the shop: accept when it has the piece; else another location, or cancel the order.",
    kinds.HOLE: "It is closed by itself when the stream or a reading has made up for it.",
    kinds.NOT_APPLIED: "Look at the channel: it said yes to a change, and shows no sign of it.",
    kinds.NOT_ENTERED: "Mend in the org what the reason names; it is tried again by itself, and closes then.",
    kinds.SET_ASIDE: "Mend the receiver: it is tried again by itself, and gets the present numbers then.",
}


def incident_row(
    incident: Incident, decided: Sequence[Resolution], cancelling: Collection[str] | None, now: datetime
) -> IncidentRow:
    """An incident with what was decided about it. `cancelling`: the channels that cancel orders, if known."""
    detail = incident.detail
    orders: list[OrderOfIncident] = []
    wanted = detail.get("order")
    if isinstance(wanted, dict):
        orders.append(_order(wanted, incident.key, _whole(detail.get("units")) or 0, covered=False))
    held_by = detail.get("held_by")
    for holder in held_by if isinstance(held_by, list) else ():
        if "name" in holder:
            orders.append(_order(holder, "", _whole(holder.get("units")) or 0, covered=True))
    promises = detail.get("promises")
    for promise in promises if isinstance(promises, list) else ():
        orders += _promise(promise)
    exposure = detail.get("exposure_unit_seconds")
    waits = incident.waiting is not None and incident.waits(now)
    return IncidentRow(
        id=incident.id,
        kind=incident.kind,
        title=incident.title,
        sku=str(detail["sku"]) if "sku" in detail else None,
        units=_whole(detail.get("units")),
        orders=orders,
        exposure_unit_seconds=float(exposure) if isinstance(exposure, (int, float)) else None,
        detail=_advice(incident),
        ways=_ways(incident, orders, cancelling),
        waits_until=_moment(incident.waiting.until) if incident.waiting and waits else None,
        resolutions=[_resolution(each) for each in decided],
        opened_at=_moment(incident.opened_at),
        closed_at=None if incident.closed_at is None else _moment(incident.closed_at),
    )


def _ways(
    incident: Incident, orders: Sequence[OrderOfIncident], cancelling: Collection[str] | None
) -> list[str]:
    """The ways out that are there: only some channels cancel, and only an order or a reservation is moved."""
    if incident.closed_at is not None:
        return []
    found = list(ways(incident.kind))
    if cancelling is not None and not any(
        order["promise"].startswith("order:") and order["channel"] in cancelling for order in orders
    ):
        found = [way for way in found if way is not Way.CANCEL]
    if not any(order["promise"].startswith("order:") for order in orders):
        found = [way for way in found if way is not Way.CANCEL]  # a cart, say, is no order that one cancels
    left = any(order["promise"].startswith("allocation:") and not order["covered"] for order in orders)
    movable = ("order:", "reservation:")
    if incident.kind == OVERSOLD and not left:
        found = [way for way in found if way is not Way.ACCEPT]  # a customer's promise is not accepted away
        if not any(order["promise"].startswith(movable) for order in orders):
            found = [way for way in found if way is not Way.MOVE]
    return [way.value for way in found]


def _resolution(resolution: Resolution) -> ResolutionRow:
    detail, what = resolution.detail, "Accepted as it is"
    if resolution.way == Way.ACCEPT and "units" in detail:
        what = f"{detail['units']} set aside for {detail.get('channel')} to be released"
    order = f" for order {detail['order']}" if detail.get("order") else ""
    match resolution.way:
        case Way.MOVE:
            units = f"{detail['units']} " if "units" in detail else ""
            what = f"{units}to be taken at {detail.get('location')}{order}"
        case Way.SUBSTITUTE:
            place = f" at {detail['location']}" if detail.get("location") else ""
            what = f"{detail.get('units')} {detail.get('sku')}{place} to be taken instead{order}"
        case Way.REFUND:
            what = f"Refund {detail.get('refund_task')} is owed to {detail.get('owner')}{order}"
        case Way.WAIT:
            what = f"May wait until {str(detail.get('until', ''))[:10]}"
        case Way.CANCEL:
            money = "with" if detail.get("refund") else "without"
            what = f"Order {detail.get('order')} to be cancelled at {detail.get('channel')}, {money} refund"
    return ResolutionRow(
        id=resolution.id,
        way=resolution.way,
        by=resolution.by,
        reason=resolution.reason,
        what=what,
        stage=resolution.stage.value,
        answer=resolution.answer,
        at=_moment(resolution.at),
    )


def _advice(incident: Incident) -> str:
    """What a person should know or do, and how to see all holders where an incident names a few of them."""
    detail = incident.detail
    named = detail.get("held_by", detail.get("promises"))
    others = (_whole(detail.get("holders")) or 0) - (len(named) if isinstance(named, list) else 0)
    if others <= 0:
        return _usual(incident)
    return f"{_usual(incident)} {others} more hold units of it: `sfsync why {detail.get('sku')}` names all."


def _usual(incident: Incident) -> str:
    """What to do about one of its kind; the incident's own words where it has some."""
    if incident.kind == OVERSOLD and "order" not in incident.detail and _only_set_aside(incident):
        return (
            "Units left that were set aside for a channel: its number is lowered, and they are released by "
            "itself. Accept it where that does not come: they are released at once."
        )
    if incident.kind == OVERSOLD and "order" not in incident.detail:
        return "Goods left that were promised: the newest promise is moved or cancelled first, or it waits."
    if incident.kind == NEGATIVE and incident.detail.get("in_transit"):
        return (
            "More arrived than was sent: have the missing dispatch told, or write the surplus off with "
            "`sfsync transfer lost` and a number below zero. It closes by itself."
        )
    return _ADVICE.get(incident.kind, "Run `sfsync resync` to compare and put right.")


def _only_set_aside(incident: Incident) -> bool:
    """True when what lacks was set aside for channels, and no customer was promised it."""
    promises = incident.detail.get("promises")
    lacking = [each for each in promises if each.get("uncovered")] if isinstance(promises, list) else []
    return bool(lacking) and all(str(each.get("subject")).startswith("allocation:") for each in lacking)


def _order(told: Mapping[str, object], promise: str, units: int, *, covered: bool) -> OrderOfIncident:
    return OrderOfIncident(
        promise=promise,
        channel=str(told.get("channel", "")),
        order=str(told.get("name", "")),
        units=units,
        placed_at=str(told["placed_at"]) if told.get("placed_at") else None,
        covered=covered,
    )


def _promise(told: Mapping[str, object]) -> list[OrderOfIncident]:
    """A holder of units by its subject: ``order:<channel>:<id>:<line>``, ``reservation:<id>:<line>``, …

    Twice, where stock covers a part of its units.
    """
    subject = str(told.get("subject", ""))
    kind, _, rest = subject.partition(":")
    channel, name = ("", rest.rpartition(":")[0])
    if kind == "order":
        channel, _, name = name.partition(":")
    if kind == "allocation":
        channel, _, name = rest.partition(":")
    units, short = _whole(told.get("units")) or 0, _whole(told.get("uncovered")) or 0
    since = told.get("placed_at") or told.get("since")
    return [
        OrderOfIncident(
            promise=subject,
            channel=str(told.get("channel") or channel or kind),
            order=str(told.get("name") or (f"{kind} {name}" if kind != "order" else name)),
            units=part,
            placed_at=str(since) if since else None,
            covered=covered,
        )
        for part, covered in ((short, False), (units - short, True))
        if part
    ]


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
