"""Whether what a channel tells of an order can be true, so that one slip of the finger moves no stock.

An order that cannot is set aside whole, with its reason, and a person decides: it may be a real sale, so it
is never dropped, and nothing of it is entered before that. What it said when it was believable holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from .orders import OrderLine, OrderSnapshot
from .stock import shown
from .values import replace

MOST_UNITS = 1_000  # of one line of an order, unless somebody says that it is so


@dataclass(frozen=True, slots=True)
class Doubt:
    """What is wrong with an order, and what a person does about it."""

    reason: str
    advice: str


def doubt(order: OrderSnapshot, most_units: int) -> Doubt | None:
    """Why an order is not believed; None when there is nothing odd about it."""
    if order.unreadable:
        return Doubt(order.unreadable, f"look at the order at {order.channel}; it is read again by itself")
    for number, line in enumerate(order.lines, 1):
        where = f"order {order.name}, line {number} ({shown(line.sku)!r})"
        for units, word in _quantities(line):
            if units < 0 and word != "taken off its number":
                reason = f"{where}: {units:,} {word}; nobody buys less than nothing"
                return Doubt(reason, f"correct the order at {order.channel}; it is then read again")
            if abs(units) > most_units:
                reason = f"{where}: {units:,} {word}, more than the {most_units:,} believed of a line"
                advice = (
                    f"if it is true, raise most_units of {order.channel} in the settings, then retry; "
                    "if not, correct the order there"
                )
                return Doubt(reason, advice)
    return None


def _quantities(line: OrderLine) -> tuple[tuple[int, str], ...]:
    return (
        (line.open_quantity, "ordered"),
        (line.fulfilled_quantity, "sent"),
        (line.returned_quantity, "returned"),
        (line.taken_quantity, "taken off its number"),
        (line.refunded_quantity, "refunded"),
    )


def presentable(order: OrderSnapshot) -> OrderSnapshot:
    """The order with texts that can be kept. A SKU that is none becomes one that nothing is equal to.

    Its line is then told as one of a SKU that the org does not have, and the other lines are not held up.
    """
    texts = (order.order_id, order.name, order.client, *order.reservations)
    lines = tuple(_presentable(line) for line in order.lines)
    if lines == order.lines and all(map(str.isprintable, texts)):
        return order
    return replace(
        order,
        order_id=shown(order.order_id),
        name=shown(order.name),
        client=shown(order.client),
        reservations=tuple(map(shown, order.reservations)),
        lines=lines,
    )


def _presentable(line: OrderLine) -> OrderLine:
    texts = (line.line_id, line.sku, line.unit or "", line.location or "")
    if all(map(str.isprintable, texts)):
        return line
    return replace(
        line,
        line_id=shown(line.line_id),
        sku=shown(line.sku),
        unit=None if line.unit is None else shown(line.unit),
        location=None if line.location is None else shown(line.location),
    )
