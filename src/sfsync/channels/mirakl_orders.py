"""An order of a Mirakl marketplace (OR11) as a snapshot.

A line's state says what stands with all of its units: a part that was called off is named, but whether the
line's quantity is still that of the beginning is written nowhere. So a line stays whole until its state
says otherwise, and no unit is given free that the customer may still be owed.

What comes back stands in returns of their own (RT11). They say that the shop has received the goods, and not
that these may be sold again: so units that came back are told, and none is counted as returned.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.moments import Moment
from sfsync.domain.orders import OrderLine, OrderSnapshot, whole_units
from sfsync.ports import Refused

_CALLED_OFF = frozenset({"CANCELED", "REFUSED"})
_SENT = frozenset({"SHIPPED", "TO_COLLECT", "RECEIVED", "CLOSED"})
RECEIVED = ("RECEIVED", "CLOSED")
_NOT_ACCEPTED = frozenset({"STAGING", "WAITING_ACCEPTANCE"})


@dataclass(frozen=True, slots=True)
class Return:
    """Goods of one order that the shop has received back; each line with its latest moment."""

    return_id: str
    order_id: str
    lines: tuple[tuple[str, Moment], ...]


def read_order(
    channel: str,
    order: Mapping[str, Any],
    *,
    falls_at: str,
    returns: Mapping[str, Sequence[Moment]] | None = None,
) -> OrderSnapshot:
    """The snapshot of an order. `Refused`, naming what is wrong, when it is none.

    `returns`: when units came back, by order line; the order itself says nothing of it.
    """
    back = returns or {}
    try:
        number = str(order["order_id"])
        lines = tuple(
            replace(
                _line(line, str(order.get("order_state", "")), falls_at),
                came_back=tuple(back.get(str(line["order_line_id"]), ())),
            )
            for line in order["order_lines"]
            if line.get("offer_sku")
        )
        return OrderSnapshot(
            channel,
            number,
            number,
            _moment(order["last_updated_date"]),
            _moment(order["created_date"]),
            lines,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Refused(
            f"an order of {channel} cannot be read: {what}", advice="look at the order there"
        ) from error


def _line(line: Mapping[str, Any], order_state: str, falls_at: str) -> OrderLine:
    state = str(line.get("order_line_state") or order_state)
    units = whole_units(line["quantity"])
    number, sku = str(line["order_line_id"]), str(line["offer_sku"])
    if state in _CALLED_OFF:
        # Whether its units are on sale again only the number tells.
        return OrderLine(number, sku, 0, taken_in_doubt=True)
    taken = 0 if falls_at == "acceptance" and state in _NOT_ACCEPTED else units
    sent = units if state in _SENT else 0
    left_at = line.get("shipped_date") if sent else None
    return OrderLine(
        number,
        sku,
        units - sent,
        fulfilled_quantity=sent,
        taken_quantity=taken,
        taken_in_doubt=bool(line.get("cancelations")),
        left=(Moment(_moment(left_at), sent),) if left_at else (),
    )


def read_returns(document: Mapping[str, Any]) -> list[Return]:
    """The returns of a page of RT11 whose goods the shop has received. Raises as `read_order`."""
    try:
        return [
            Return(
                str(told["id"]),
                str(told["order_id"]),
                tuple(
                    (
                        str(line["order_line_id"]),
                        Moment(_moment(told["last_updated"]), whole_units(line["quantity"])),
                    )
                    for line in told["return_lines"]
                ),
            )
            for told in document["data"]
            if told.get("state") in RECEIVED
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}"
        raise Refused(f"returns cannot be read: {what}", advice="look at the returns there") from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
