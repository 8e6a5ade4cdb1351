"""What the simulated lists can be searched by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sfsync.simulators.shopify.clock import epoch
from sfsync.simulators.shopify.config import Knobs
from sfsync.simulators.shopify.model import Order
from sfsync.simulators.shopify.search import Filter, Predicate, compared, one_of


def _id(text: str) -> int:
    return int(text.split("?", maxsplit=1)[0].rsplit("/", 1)[-1])


def _second(text: str) -> int:
    return int(epoch(text))


def _times(*names: str) -> dict[str, Filter]:
    # What the API shows has whole seconds, so that is what it compares.
    def reader(name: str) -> Callable[[Any], int]:
        return lambda row: int(getattr(row, name))

    return {name: compared(reader(name), _second) for name in names}


def sku_filter(knobs: Knobs) -> Filter:
    """How the search finds an SKU: the documents leave it open."""

    def make(_comparison: str, values: Iterable[str]) -> Predicate:
        if knobs.sku_match == "exact":
            exact = set(values)
            return lambda row: row.sku in exact
        folded = {value.lower() for value in values}
        if knobs.sku_match == "prefix":
            starts = tuple(value.rstrip("*") for value in folded)
            return lambda row: row.sku is not None and row.sku.lower().startswith(starts)
        starts = tuple(value[:-1] for value in folded if value.endswith("*"))
        return lambda row: (
            row.sku is not None
            and (row.sku.lower() in folded or (bool(starts) and row.sku.lower().startswith(starts)))
        )

    return make


def location_filters() -> dict[str, Filter]:
    return {"id": compared(lambda row: row.number, _id), "name": one_of(lambda row: row.name)}


def variant_filters(knobs: Knobs) -> dict[str, Filter]:
    return {
        "id": compared(lambda row: row.number, _id),
        "product_id": compared(lambda row: row.product_number, _id),
        "sku": sku_filter(knobs),
        "inventory_quantity": compared(lambda row: row.sellable, int),
        "managed": one_of(lambda row: str(row.tracked)),
        "gift_card": one_of(lambda row: str(row.gift_card)),
        "product_status": one_of(lambda _row: "active"),
        **_times("updated_at", "created_at"),
    }


def item_filters(knobs: Knobs) -> dict[str, Filter]:
    return {
        "id": compared(lambda row: row.item_number, _id),
        "sku": sku_filter(knobs),
        **_times("updated_at", "created_at"),
    }


def level_filters() -> dict[str, Filter]:
    return {
        "id": compared(lambda row: row.number, _id),
        "inventory_item_id": compared(lambda row: row.variant.item_number, _id),
        **_times("updated_at", "created_at"),
    }


def order_filters() -> dict[str, Filter]:
    def state(order: Order) -> str:
        return "cancelled" if order.cancelled_at else "closed" if order.closed_at else "open"

    def status(_comparison: str, values: Iterable[str]) -> Predicate:
        wanted = {value.lower() for value in values}
        return lambda order: bool(
            {"any", "not_closed" if state(order) == "open" else "", state(order)} & wanted
        )

    return {
        "id": compared(lambda order: order.number, _id),
        "name": one_of(lambda order: order.name),
        "status": status,
        "fulfillment_status": one_of(lambda order: order.fulfillment_status or "unfulfilled"),
        "financial_status": one_of(lambda order: order.financial_status),
        "source_identifier": one_of(lambda order: order.reference),
        "processed_at": compared(lambda order: int(order.created_at), _second),
        **_times("updated_at", "created_at"),
    }


ORDER_KEYS: Mapping[str, Callable[[Any], tuple[Any, int]]] = {
    "CREATED_AT": lambda order: (int(order.created_at), order.number),
    "PROCESSED_AT": lambda order: (int(order.created_at), order.number),
    "UPDATED_AT": lambda order: (int(order.updated_at), order.number),
    "ORDER_NUMBER": lambda order: (order.order_number, order.number),
}
