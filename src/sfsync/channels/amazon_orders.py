"""An order of an Amazon store (Orders API 2026-01-01) as a snapshot. No restricted data is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.orders import OrderLine, OrderSnapshot, whole_units
from sfsync.ports import Refused


def read_order(channel: str, order: Mapping[str, Any]) -> OrderSnapshot | None:
    """The snapshot of an order; None when Amazon sends it from its own stock.

    `Refused`, naming what is wrong, when it cannot be read.
    """
    try:
        fulfilment = order.get("fulfillment") or {}
        if fulfilment.get("fulfilledBy") == "AMAZON":
            return None
        number, status = str(order["orderId"]), str(fulfilment.get("fulfillmentStatus") or "")
        lines = tuple(
            _line(item, status) for item in order["orderItems"] if (item["product"] or {}).get("sellerSku")
        )
        return OrderSnapshot(
            channel, number, number, _moment(order["lastUpdatedTime"]), _moment(order["createdTime"]), lines
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Refused(
            f"an order of {channel} cannot be read: {what}", advice="look at the order in Seller Central"
        ) from error


def _line(item: Mapping[str, Any], status: str) -> OrderLine:
    number, sku = str(item["orderItemId"]), str(item["product"]["sellerSku"])
    ordered, told = whole_units(item["quantityOrdered"]), item.get("fulfillment") or {}
    sent = whole_units(told.get("quantityFulfilled") or 0)
    if status == "CANCELLED":
        # Whether its units are on sale again only the number tells.
        return OrderLine(number, sku, 0, fulfilled_quantity=sent, taken_quantity=sent, taken_in_doubt=True)
    rest = told.get("quantityUnfulfilled")
    still_open = max(0, ordered - sent) if rest is None else whole_units(rest)
    taken = still_open + sent
    return OrderLine(
        number,
        sku,
        still_open,
        fulfilled_quantity=sent,
        taken_quantity=taken,
        taken_in_doubt=taken < ordered,
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
