"""Reading a Shopify order into a snapshot, the same from a webhook's payload and from the order list.

Both say the same in different words; the list's words are turned into the payload's, which are then read in
one place. Lists that a subscription has cut out of the payload are missed, not taken for empty: an order
without its refunds would sell returned goods again.

Where a store has several locations, the list also tells which of them is to send what (`routes`); a payload
tells it only of what was sent or came back.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from sfsync.domain.editions import same_client
from sfsync.domain.moments import Moment
from sfsync.domain.orders import MoneyBack, OrderLine, OrderSnapshot
from sfsync.domain.places import LinePlace
from sfsync.domain.stock import without_sku
from sfsync.domain.values import replace
from sfsync.ports import Refused

CALL_TOPICS = frozenset({"fulfillment_orders/order_routing_complete", "fulfillment_orders/moved"})
ORDER_TOPICS = frozenset(
    {
        "orders/create",
        "orders/updated",
        "orders/paid",
        "orders/cancelled",
        "orders/fulfilled",
        "orders/partially_fulfilled",
    }
)
_MONEY_BACK = {
    "refunded": MoneyBack.ALL,
    "voided": MoneyBack.ALL,  # authorised only, and let go: nothing was ever taken
    "partially_refunded": MoneyBack.SOME,
}
_ROUTES_OVER = frozenset({"cancelled", "closed"})  # nothing of them is still to be sent
RESERVATION_ATTRIBUTE = "sfsync_reservation"
CLIENT_ATTRIBUTE = "sfsync_client"
UNIT_PROPERTIES = ("sfsync_unit", "_sfsync_unit")  # of a line; the shop shows the second to no customer
LONGEST_CLIENT = 120  # characters, as in the reservation API

MOST_TOLD = 10**15  # beyond it no reader of JSON is sure of the number

_Id = Annotated[int, Field(gt=0)]
_Units = Annotated[int, Field(strict=True, ge=0, le=MOST_TOLD)]  # whether it is believed is decided later


class _Payload(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class _NoteAttribute(_Payload):
    name: str
    value: str | None = None


class _LineItem(_Payload):
    id: _Id
    sku: str | None = None
    quantity: _Units
    current_quantity: _Units
    fulfillable_quantity: _Units | None = None
    gift_card: bool = False
    variant_id: int | None = None
    properties: object = None  # whatever the storefront and its apps put there


class _FulfilledLine(_Payload):
    id: _Id  # of the line item
    quantity: _Units


class _Fulfillment(_Payload):
    status: str | None
    line_items: list[_FulfilledLine]
    location_id: int | None = None
    created_at: AwareDatetime | None = None


class _RefundLine(_Payload):
    line_item_id: _Id
    quantity: _Units
    restock_type: str
    location_id: int | None = None


class _Refund(_Payload):
    refund_line_items: list[_RefundLine]
    created_at: AwareDatetime | None = None


class _Route(_Payload):
    """What one location is still to send."""

    status: str
    location_id: int | None
    line_items: list[_FulfilledLine]


class _Order(_Payload):
    id: _Id
    name: str
    created_at: AwareDatetime
    updated_at: AwareDatetime
    processed_at: AwareDatetime | None = None
    cancelled_at: AwareDatetime | None = None
    location_id: int | None = None
    note_attributes: tuple[_NoteAttribute, ...] = ()
    line_items: list[_LineItem]
    fulfillments: list[_Fulfillment]
    refunds: list[_Refund]
    routes: tuple[_Route, ...] = ()
    financial_status: str | None = None


class _Named(_Payload):
    id: Annotated[str, Field(pattern=r"^gid://shopify/FulfillmentOrder/\d+")]


class _Call(_Payload):
    fulfillment_order: _Named | None = None
    moved_fulfillment_order: _Named | None = None


def read_payload(
    channel: str, body: bytes, locations: Mapping[str, str], *, routes: bool = False
) -> OrderSnapshot:
    """The order that a webhook's body holds; `locations` maps location gids to our names.

    With `routes`, each line says at which locations its units stand, as far as the body tells.

    Raises `Refused`, naming the field, when the body is not a whole order.
    """
    try:
        order = _Order.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(channel, error) from error
    return _snapshot(channel, order, _lines(order, locations if routes else None), locations)


def read_node(
    channel: str, node: Mapping[str, Any], locations: Mapping[str, str], *, routes: bool = False
) -> OrderSnapshot:
    """The order that an entry of the order list holds, with all its parts. Raises `Refused` likewise."""
    try:
        order = _Order.model_validate(_as_payload(node))
    except ValidationError as error:
        raise _malformed(channel, error) from error
    return _snapshot(channel, order, _lines(order, locations if routes else None), locations)


def read_head(node: Mapping[str, Any]) -> tuple[str, datetime]:
    """(id, time of its last change, to the second) of an order of which no more was asked."""
    return str(number(node["id"])), datetime.fromisoformat(node["updatedAt"]).astimezone(UTC)


def read_call(channel: str, topic: str, body: bytes) -> str:
    """The gid of the fulfilment order that a routing webhook names. `Refused` when it names none."""
    try:
        told = _Call.model_validate_json(body)
    except ValidationError as error:
        raise _malformed(channel, error) from error
    named = told.moved_fulfillment_order or told.fulfillment_order
    if named is None:
        raise Refused(
            f"{channel}: {topic} names no fulfilment order",
            advice="the webhook subscription must send whole payloads, without a choice of fields",
        )
    return named.id


def number(gid: str) -> int:
    """The number in a gid such as ``gid://shopify/LineItem/42?x=y``; payloads name things by it."""
    return int(gid.rpartition("/")[2].partition("?")[0])


def _malformed(channel: str, error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "body"
    return Refused(
        f"{channel}: the order cannot be read: {where}: {first['msg']}",
        advice="the webhook subscription must send whole orders, without a choice of fields",
    )


def _snapshot(
    channel: str, order: _Order, lines: tuple[OrderLine, ...], locations: Mapping[str, str]
) -> OrderSnapshot:
    return OrderSnapshot(
        channel=channel,
        order_id=str(order.id),
        name=order.name,
        version=_version(order),
        placed_at=(order.processed_at or order.created_at).astimezone(UTC).replace(microsecond=0),
        lines=lines,
        channel_location=locations.get(f"gid://shopify/Location/{order.location_id}"),
        reservations=_reservations(order.note_attributes),
        client=_client(order.note_attributes),
        money_back=_MONEY_BACK.get(order.financial_status or "", MoneyBack.NONE),
    )


def _version(order: _Order) -> datetime:
    """The order's time of change, which the store tells to the second.

    A sale and its cancellation in one second would be told apart by nobody, so the fraction counts what has
    happened to the order so far: things that never un-happen, and that both sources tell alike.
    """
    refunds = sum(row.quantity for refund in order.refunds for row in refund.refund_line_items)
    parcels = len(order.fulfillments) + sum(part.status == "cancelled" for part in order.fulfillments)
    edits = sum(max(line.quantity, 2 * line.quantity - line.current_quantity) for line in order.line_items)
    happened = refunds + parcels + edits + (order.cancelled_at is not None)
    return order.updated_at.astimezone(UTC).replace(microsecond=min(happened, 999_999))


def _reservations(attributes: Iterable[_NoteAttribute]) -> tuple[str, ...]:
    named = (entry.value or "" for entry in attributes if entry.name == RESERVATION_ATTRIBUTE)
    ids = (part.strip() for value in named for part in value.split(","))
    return tuple(dict.fromkeys(part for part in ids if part))


def _client(attributes: Iterable[_NoteAttribute]) -> str:
    """Whose order it is, where the storefront says so; what is no name is none."""
    named = ((entry.value or "").strip() for entry in attributes if entry.name == CLIENT_ATTRIBUTE)
    names = (name for name in named if name and len(name) <= LONGEST_CLIENT and name.isprintable())
    return same_client(next(names, ""))


def _is_unnamed_product(line: _LineItem) -> bool:
    return not (line.sku or "").strip() and line.variant_id is not None and not line.gift_card


def _lines(order: _Order, locations: Mapping[str, str] | None) -> tuple[OrderLine, ...]:
    """The lines; with their places when `locations` are given."""
    fulfilled: defaultdict[int, int] = defaultdict(int)
    for fulfillment in order.fulfillments:
        if fulfillment.status == "success":
            for part in fulfillment.line_items:
                fulfilled[part.id] += part.quantity
    refunded: defaultdict[int, defaultdict[str, int]] = defaultdict(lambda: defaultdict(int))
    for refund in order.refunds:
        for row in refund.refund_line_items:
            refunded[row.line_item_id][row.restock_type] += row.quantity
    places = {} if locations is None else _places(order, locations)
    lines = []
    for line in order.line_items:
        if not line.gift_card and ((line.sku or "").strip() or _is_unnamed_product(line)):
            cancelled = order.cancelled_at is not None
            read = _line(line, fulfilled[line.id], refunded[line.id], cancelled=cancelled)
            left, back = _left(order, line.id, locations), _back(order, line.id, locations)
            read = replace(read, left=left, came_back=back)
            if locations is not None:
                told = tuple(places.get(line.id, {}).values())
                routed = sum(place.open_quantity for place in told) == read.open_quantity
                read = replace(read, places=told, routed=routed)
            lines.append(read)
    return tuple(lines)


def _left(order: _Order, line_id: int, locations: Mapping[str, str] | None) -> tuple[Moment, ...]:
    """When units of a line left, parcel by parcel."""
    found = []
    for part in order.fulfillments:
        for row in part.line_items if part.status == "success" else ():
            if row.id == line_id and row.quantity and part.created_at is not None:
                place = _place(part.location_id, locations)
                found.append(Moment(part.created_at.astimezone(UTC), row.quantity, place))
    return tuple(found)


def _back(order: _Order, line_id: int, locations: Mapping[str, str] | None) -> tuple[Moment, ...]:
    """When units of a line came back, refund by refund."""
    found = []
    for refund in order.refunds:
        for row in refund.refund_line_items:
            returned = row.line_item_id == line_id and row.restock_type == "return"
            if returned and row.quantity and refund.created_at is not None:
                place = _place(row.location_id, locations)
                found.append(Moment(refund.created_at.astimezone(UTC), row.quantity, place))
    return tuple(found)


def _place(location_id: int | None, locations: Mapping[str, str] | None) -> str:
    """Our name of a location, or its gid where nobody mapped it; "" where it matters to nobody."""
    if location_id is None or locations is None:
        return ""
    gid = f"gid://shopify/Location/{location_id}"
    return locations.get(gid, gid)


def _places(order: _Order, locations: Mapping[str, str]) -> dict[int, dict[str, LinePlace]]:
    """By line item: the units that the order says the location of. One that nobody mapped keeps its gid."""
    found: defaultdict[int, dict[str, LinePlace]] = defaultdict(dict)

    def add(line_id: int, location_id: int | None, **units: int) -> None:
        if not (name := _place(location_id, locations)):
            return
        known = found[line_id].get(name, LinePlace(name))
        found[line_id][name] = replace(known, **{what: getattr(known, what) + n for what, n in units.items()})

    for route in order.routes:
        for row in route.line_items if route.status not in _ROUTES_OVER else ():
            if row.quantity:
                add(row.id, route.location_id, open_quantity=row.quantity)
    for fulfillment in order.fulfillments:
        for row in fulfillment.line_items if fulfillment.status == "success" else ():
            add(row.id, fulfillment.location_id, fulfilled_quantity=row.quantity)
    for refund in order.refunds:
        for back in refund.refund_line_items:
            if back.restock_type == "return":
                add(back.line_item_id, back.location_id, returned_quantity=back.quantity)
    return found


def _line(line: _LineItem, fulfilled: int, refunded: Mapping[str, int], *, cancelled: bool) -> OrderLine:
    taken_back = sum(refunded.values())
    # Depending on how units were added by an edit, `quantity` counts them or not; what is left always does.
    ordered = max(line.quantity, line.current_quantity + taken_back)
    edited_away = ordered - line.current_quantity - taken_back
    restocked = sum(units for kind, units in refunded.items() if kind != "no_restock")
    return OrderLine(
        line_id=str(line.id),
        sku=(line.sku or "").strip() or without_sku(f"variant {line.variant_id}"),
        open_quantity=0 if cancelled else _open(line, ordered - edited_away, fulfilled, refunded),
        fulfilled_quantity=fulfilled,
        returned_quantity=refunded.get("return", 0),
        taken_quantity=max(0, ordered - edited_away - restocked),
        taken_in_doubt=edited_away > 0,
        unit=_unit(line.properties) if ordered == 1 else None,
        refunded_quantity=taken_back,
    )


def _unit(properties: object) -> str | None:
    """The one-of-one piece that the line names. Several units are several pieces, and nobody says which."""
    rows = [row for row in properties if isinstance(row, dict)] if isinstance(properties, list) else []
    named = (row.get("value") for row in rows if row.get("name") in UNIT_PROPERTIES)
    units = (unit.strip() for unit in named if isinstance(unit, str))
    return next((unit for unit in units if unit), None)


def _open(line: _LineItem, ordered: int, fulfilled: int, refunded: Mapping[str, int]) -> int:
    """Units still to be delivered.

    A refund without restocking does not say whether its units had been delivered. `fulfillable_quantity`
    knows, and is believed as far as the refunds allow; where it is silent, the units had been.
    """
    at_most = max(0, ordered - fulfilled - refunded.get("cancel", 0))
    unclear = sum(units for kind, units in refunded.items() if kind not in ("cancel", "return"))
    delivered_and_kept = max(0, fulfilled - refunded.get("return", 0))
    high = max(0, at_most - max(0, unclear - delivered_and_kept))
    low = max(0, at_most - unclear)
    told = high if line.fulfillable_quantity is None else line.fulfillable_quantity
    return min(max(told, low), high)


def _as_payload(node: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": number(node["id"]),
        "name": node["name"],
        "created_at": node["createdAt"],
        "updated_at": node["updatedAt"],
        "processed_at": node["processedAt"],
        "cancelled_at": node["cancelledAt"],
        "financial_status": (node["displayFinancialStatus"] or "").lower(),
        "location_id": _number_of(node.get("retailLocation")),
        "note_attributes": [{"name": row["key"], "value": row["value"]} for row in node["customAttributes"]],
        "line_items": [
            {
                "id": number(line["id"]),
                "sku": line["sku"],
                "quantity": line["quantity"],
                "current_quantity": line["currentQuantity"],
                "fulfillable_quantity": line["unfulfilledQuantity"],
                "gift_card": line["isGiftCard"],
                "variant_id": _number_of(line["variant"]),
                "properties": [
                    {"name": row["key"], "value": row["value"]} for row in line["customAttributes"]
                ],
            }
            for line in node["lineItems"]["nodes"]
        ],
        "fulfillments": [
            {
                "created_at": part["createdAt"],
                "status": part["status"].lower(),
                "location_id": _number_of(part.get("location")),
                "line_items": [
                    {"id": number(row["lineItem"]["id"]), "quantity": row["quantity"] or 0}
                    for row in part["fulfillmentLineItems"]["nodes"]
                ],
            }
            for part in node["fulfillments"]
        ],
        "refunds": [
            {
                "created_at": part["createdAt"],
                "refund_line_items": [
                    {
                        "line_item_id": number(row["lineItem"]["id"]),
                        "quantity": row["quantity"],
                        "restock_type": row["restockType"].lower(),
                        "location_id": _number_of(row.get("location")),
                    }
                    for row in part["refundLineItems"]["nodes"]
                ],
            }
            for part in node["refunds"]
        ],
        "routes": [
            {
                "status": route["status"].lower(),
                "location_id": _number_of(route["assignedLocation"]["location"]),
                "line_items": [
                    {"id": number(row["lineItem"]["id"]), "quantity": row["remainingQuantity"]}
                    for row in route["lineItems"]["nodes"]
                ],
            }
            for route in node.get("fulfillmentOrders", {"nodes": ()})["nodes"]
        ],
    }


def _number_of(thing: Mapping[str, Any] | None) -> int | None:
    return number(thing["id"]) if thing else None
