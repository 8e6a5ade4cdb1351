"""What the platform itself holds orders to, beside what is described: life cycle, activation, reduction.

From the object reference (Order, OrderItem) and the help pages on activating and reducing orders:

- a status belongs to a category (`StatusCode`); an order begins as a draft and needs a product to be active;
- an activated order takes no further products and loses none; a quantity may be edited until it is reduced;
- a reduction order names an activated original, its products name products of that original, and together
  they take off no more than was ordered; an order that was reduced is not deactivated;
- only a draft can be deleted, its products with it.

Error codes and words are ours where public material shows none.
"""

from __future__ import annotations

from datetime import datetime

from sfsync.simulators.org.errors import SaveError
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.model import Field, FieldType, SObject
from sfsync.simulators.org.records import Layer, StoredRow

DRAFT, ACTIVATED = "Draft", "Activated"
_ORDER_OF_ITEM = Field("OrderId", "Order ID", FieldType.REFERENCE, reference_to="Order")
_FAILED = "FAILED_ACTIVATION"
_FORBIDDEN = "FIELD_INTEGRITY_EXCEPTION"


def before_save(
    sobject: SObject, row: StoredRow, before: StoredRow | None, layer: Layer, knobs: Knobs, now: datetime
) -> SaveError | None:
    """Fills what the platform fills on orders; the reason why it refuses a save, or None."""
    if sobject.name == "Order":
        return _order(sobject, row, before, layer, knobs, now)
    if sobject.name == "OrderItem":
        return _item(sobject, row, before, layer)
    return None


def before_delete(sobject: SObject, row: StoredRow, layer: Layer) -> SaveError | None:
    """Why the platform refuses a deletion, or None."""
    if sobject.name == "Order" and row["StatusCode"] == ACTIVATED:
        return SaveError("DELETE_FAILED", "You can't delete an activated order.")
    if sobject.name == "OrderItem":
        order = layer.live("Order", row["OrderId"])
        if order is not None and order["StatusCode"] == ACTIVATED:
            return SaveError("DELETE_FAILED", "You can't delete products of an activated order.")
    return None


def _order(
    sobject: SObject, row: StoredRow, before: StoredRow | None, layer: Layer, knobs: Knobs, now: datetime
) -> SaveError | None:
    row["StatusCode"] = _category(row["Status"], knobs)
    was = before["StatusCode"] if before is not None else DRAFT
    if before is None and row["StatusCode"] != DRAFT:
        return SaveError(_FAILED, "An order must be created as a draft.", ("Status",))
    if row["IsReductionOrder"]:
        original = layer.live("Order", row["OriginalOrderId"] or "")
        if original is None or original["StatusCode"] != ACTIVATED:
            return SaveError(
                _FORBIDDEN, "A reduction order needs an activated original order.", ("OriginalOrderId",)
            )
    if row["StatusCode"] == ACTIVATED and was != ACTIVATED:
        if not layer.children("OrderItem", _ORDER_OF_ITEM, row["Id"]):
            return SaveError(_FAILED, "An order must have at least one product.")
        row["ActivatedDate"] = now
    if row["StatusCode"] == DRAFT and was == ACTIVATED:
        if layer.children("Order", sobject.fields["OriginalOrderId"], row["Id"]):
            return SaveError(_FORBIDDEN, "An order that was reduced can't be deactivated.", ("Status",))
        row["ActivatedDate"] = None
    return None


def _category(status: object, knobs: Knobs) -> str:
    if status == "Cancelled":
        return knobs.cancelled_status_category
    return DRAFT if status == DRAFT else ACTIVATED


def _item(sobject: SObject, row: StoredRow, before: StoredRow | None, layer: Layer) -> SaveError | None:
    order = layer.live("Order", row["OrderId"] or "")
    if order is None:
        return None  # the check of references names it
    if before is None and order["StatusCode"] == ACTIVATED:
        return SaveError(_FORBIDDEN, "You can't add products to an activated order.", ("OrderId",))
    if order["IsReductionOrder"]:
        return _reduction(sobject, row, layer)
    reduced = _taken_off(sobject, row["Id"], layer)
    if before is not None and reduced and row["Quantity"] != before["Quantity"]:
        words = "You can't update Quantity because the order product has been reduced."
        return SaveError(_FORBIDDEN, words, ("Quantity",))
    if (row["Quantity"] or 0) <= 0:
        return SaveError(_FORBIDDEN, "Quantity must be greater than zero.", ("Quantity",))
    return None


def _reduction(sobject: SObject, row: StoredRow, layer: Layer) -> SaveError | None:
    original = layer.live("OrderItem", row["OriginalOrderItemId"] or "")
    if original is None:
        words = "Products of a reduction order name the product that they reduce."
        return SaveError("REQUIRED_FIELD_MISSING", words, ("OriginalOrderItemId",))
    others = _taken_off(sobject, original["Id"], layer, but=row["Id"])
    if others + abs(row["Quantity"] or 0) > original["Quantity"]:
        words = "Quantity takes off more than is available to be reduced."
        return SaveError(_FORBIDDEN, words, ("Quantity",))
    return None


def _taken_off(sobject: SObject, item_id: str, layer: Layer, *, but: str = "") -> float:
    column = sobject.fields["OriginalOrderItemId"]
    taken: float = sum(
        abs(each["Quantity"] or 0)
        for each in layer.children("OrderItem", column, item_id)
        if each["Id"] != but
    )
    return taken
