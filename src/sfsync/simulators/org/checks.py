"""What is checked and worked out for each record at its save: formulas, references, rules, unique fields.

Nothing here decides what happens next: a record that does not pass is a `Refusal` with its errors, and
`save.py` knows what that means for the others.
"""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sfsync.simulators.org.errors import SaveError
from sfsync.simulators.org.formula import Formula, FormulaError
from sfsync.simulators.org.model import Field, FieldType
from sfsync.simulators.org.plans import ObjectPlan, SaveContext
from sfsync.simulators.org.records import Layer, Store, StoredRow
from sfsync.simulators.org.rollups import NUMBER_TYPES

INVALID_CROSS_REFERENCE = SaveError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id")
ENTITY_IS_DELETED = SaveError("ENTITY_IS_DELETED", "entity is deleted")


class Refusal(Exception):
    """A record that cannot be saved, and why."""

    def __init__(self, *errors: SaveError) -> None:
        super().__init__(errors[0].message)
        self.errors = errors


class Checks:
    """The checks of one attempt, on what its transaction sees."""

    def __init__(self, store: Store, plans: dict[str, ObjectPlan], layer: Layer, now: datetime) -> None:
        self._store = store
        self._plans = plans
        self._layer = layer
        self._now = now

    def require(self, plan: ObjectPlan, row: StoredRow) -> None:
        """Refuses a row that lacks required fields."""
        missing = [column.name for column in plan.required if row[column.name] is None]
        if missing:
            message = f"Required fields are missing: [{', '.join(missing)}]"
            raise Refusal(SaveError("REQUIRED_FIELD_MISSING", message, tuple(missing)))

    def compute(self, plan: ObjectPlan, row: StoredRow, before: StoredRow | None) -> None:
        for column, formula in plan.formulas:
            value = self.evaluate(formula, plan, row, before, blanks_as_zero=column.formula_blanks_as_zero)
            row[column.name] = formula_value(column, value)

    def evaluate(
        self,
        formula: Formula,
        plan: ObjectPlan,
        row: StoredRow,
        before: StoredRow | None,
        *,
        blanks_as_zero: bool,
    ) -> Any:
        context = SaveContext(plan, row, before, self._layer, self._plans, self._now, blanks_as_zero)
        try:
            return formula.evaluate(context)
        except FormulaError as error:
            raise Refusal(SaveError("FIELD_INTEGRITY_EXCEPTION", f"Formula error: {error}")) from error

    def failing_rules(
        self, plan: ObjectPlan, row: StoredRow, before: StoredRow | None, prior: StoredRow | None = None
    ) -> list[SaveError]:
        """Errors of the rules that are true; `prior` replaces `before` as what PRIORVALUE sees."""
        failed: list[SaveError] = []
        if not plan.rules:
            return failed
        context = SaveContext(plan, row, prior or before, self._layer, self._plans, self._now)
        for compiled in plan.rules:
            if not compiled.active:
                continue
            try:
                broken = compiled.formula.evaluate(context)
            except FormulaError as error:
                message = f"The validation formula for rule {compiled.rule.name} is invalid: {error}"
                failed.append(SaveError("FIELD_INTEGRITY_EXCEPTION", message))
                continue
            if broken:
                shown = compiled.rule.display_field
                fields = (shown,) if shown else ()
                failed.append(SaveError("FIELD_CUSTOM_VALIDATION_EXCEPTION", compiled.rule.message, fields))
        return failed

    def check_references(self, plan: ObjectPlan, row: StoredRow, before: StoredRow | None) -> None:
        for column in (*plan.masters, *plan.references):
            target = row[column.name]
            if target is None or (before is not None and before[column.name] == target):
                continue
            wanted = column.reference_to or ""
            if target[:3] != self._plans[wanted].sobject.key_prefix:
                message = f"{column.label}: id value of incorrect type: {target}"
                raise Refusal(SaveError("FIELD_INTEGRITY_EXCEPTION", message, (column.name,)))
            parent = self._layer.get(wanted, target)
            if parent is None:
                raise Refusal(SaveError(INVALID_CROSS_REFERENCE.code, INVALID_CROSS_REFERENCE.message, ()))
            if parent["IsDeleted"]:
                raise Refusal(ENTITY_IS_DELETED)

    def claim_unique(self, plan: ObjectPlan, row: StoredRow, before: StoredRow | None) -> None:
        record_id, entity = row["Id"], plan.sobject.name
        for column in plan.unique:
            value = row[column.name]
            if value is not None:
                holder = self._layer.find_unique(entity, column, value)
                if holder is not None and holder != record_id:
                    raise Refusal(self._duplicate(entity, column, holder))
        for column in plan.unique:
            value, old = row[column.name], None if before is None else before[column.name]
            if old is not None and old != value:
                self._layer.claim(entity, column, old, None)
            if value is not None and old != value:
                self._layer.claim(entity, column, value, record_id)

    def _duplicate(self, entity: str, column: Field, holder: str) -> SaveError:
        known = self._store.get(entity, holder) is not None
        shown = holder[:15] if known else "<unknown>"
        message = f"duplicate value found: {column.name} duplicates value on record with id: {shown}"
        return SaveError("DUPLICATE_VALUE", message)


def formula_value(column: Field, value: Any) -> Any:
    """What a formula field shows of its formula's result."""
    if value is None:
        return False if column.type is FieldType.BOOLEAN else None
    if column.type not in NUMBER_TYPES:
        return value
    if isinstance(value, int) or column.scale is None:
        return float(value)
    step = Decimal(1).scaleb(-column.scale)
    return float(Decimal(repr(value)).quantize(step, ROUND_HALF_UP))
