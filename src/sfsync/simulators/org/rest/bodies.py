"""From the JSON of a record to what a save wants: fields by their names, parents by external id.

An unknown field or a value of the wrong JSON type ends the request (`ApiError`); what an org reports
beside the record is collected in the operation's errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sfsync.simulators.org.errors import ApiError, SaveError
from sfsync.simulators.org.model import Field
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.records import Layer, StoredRow
from sfsync.simulators.org.save import Operation
from sfsync.simulators.org.values import Refused

_SECURITY_HINT = (
    "Please check the security settings of this field and verify that it is read/write "
    "for your profile or permission set."
)


def fill(
    operation: Operation,
    body: Mapping[str, Any],
    plan: ObjectPlan,
    plans: Mapping[str, ObjectPlan],
    layer: Layer,
    *,
    inserting: bool,
) -> None:
    """Reads a record's JSON into the operation's values; its errors are added to the operation."""
    values: StoredRow = operation.values
    forbidden: list[str] = []
    for name, value in body.items():
        if name == "attributes":
            continue
        column = plan.sobject.fields.get(name) or plan.names.get(name.lower())
        if column is None:
            _parent(operation, name, value, plan, plans, layer, inserting=inserting)
        elif column.name == "Id":
            continue
        elif not plan.writable(column, inserting=inserting):
            forbidden.append(column.name)
        else:
            try:
                values[column.name] = plan.parsers[column.name](value)
            except Refused as refused:
                operation.errors.append(refused.error)
    if forbidden:
        message = f"Unable to create/update fields: {', '.join(forbidden)}. {_SECURITY_HINT}"
        operation.errors.insert(0, SaveError("INVALID_FIELD_FOR_INSERT_UPDATE", message, tuple(forbidden)))


def no_such_column(name: str, plan: ObjectPlan) -> ApiError:
    return ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {plan.sobject.name}")


def _parent(
    operation: Operation,
    name: str,
    value: Any,
    plan: ObjectPlan,
    plans: Mapping[str, ObjectPlan],
    layer: Layer,
    *,
    inserting: bool,
) -> None:
    """`"StockLevel__r": {"LevelKey__c": "…"}` names a parent by an external id."""
    reference = plan.relationships.get(name.lower())
    parent = None if reference is None else plans.get(reference.reference_to or "")
    if reference is None or parent is None:
        raise no_such_column(name, plan)
    if not plan.writable(reference, inserting=inserting):
        message = f"Unable to create/update fields: {reference.name}. {_SECURITY_HINT}"
        operation.errors.append(SaveError("INVALID_FIELD_FOR_INSERT_UPDATE", message, (reference.name,)))
        return
    if value is None:
        operation.values[reference.name] = None
        return
    found = _find_parent(value, parent, layer)
    if isinstance(found, SaveError):
        operation.errors.append(found)
    else:
        operation.values[reference.name] = found


def _find_parent(value: Any, parent: ObjectPlan, layer: Layer) -> str | SaveError:
    keys = (
        {key: each for key, each in value.items() if key != "attributes"} if isinstance(value, dict) else {}
    )
    if len(keys) != 1:
        message = f"The relationship to {parent.sobject.name} needs exactly one external ID field."
        raise ApiError(400, "INVALID_FIELD", message)
    [(name, key)] = keys.items()
    column = parent.names.get(name.lower())
    if column is None:
        raise no_such_column(name, parent)
    if not is_external_id(column):
        raise ApiError(
            400,
            "INVALID_FIELD",
            f"{column.name} is not an External ID or indexed field for {parent.sobject.name}",
        )
    try:
        wanted = parent.parsers[column.name](key)
    except Refused as refused:
        return refused.error
    ids = [] if wanted is None else layer.find(parent.sobject.name, column, wanted)
    if len(ids) == 1:
        return ids[0]
    if ids:
        return SaveError("DUPLICATE_EXTERNAL_ID", f"More than one record found for external id field: {ids}")
    message = (
        f"Foreign key external ID: {key} not found for field {column.name} in entity {parent.sobject.name}"
    )
    return SaveError("INVALID_FIELD", message)


def is_external_id(column: Field) -> bool:
    """Whether records can be named by this field."""
    return column.name == "Id" or column.external_id or column.unique
