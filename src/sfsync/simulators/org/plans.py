"""What the engine needs to know of an object at each save, worked out once from the schema.

Formulas are compiled here, so an unsupported function or an unknown field is refused by name when the
org starts, not when the first record is saved.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sfsync.simulators.org.formula import Formula, FormulaError, compile_formula
from sfsync.simulators.org.model import Field, FieldType, Row, Rule, Schema, SObject
from sfsync.simulators.org.records import Layer, StoredRow
from sfsync.simulators.org.rollups import RollUpPlan, SchemaError, plan_roll_up
from sfsync.simulators.org.values import Parser, parser_of

_VOLATILE = re.compile(r"\b(NOW|TODAY)\s*\(", re.IGNORECASE)
_UPDATABLE_SYSTEM_FIELDS = frozenset({"OwnerId"})


@dataclass(slots=True)
class CompiledRule:
    """A validation rule and whether an administrator has it switched on."""

    rule: Rule
    formula: Formula
    active: bool


@dataclass(slots=True)
class ObjectPlan:
    """One object, ready for saving."""

    sobject: SObject
    template: StoredRow = field(default_factory=dict)
    names: dict[str, Field] = field(default_factory=dict)  # by lower-case API name
    relationships: dict[str, Field] = field(default_factory=dict)  # by lower-case parent relationship
    parsers: dict[str, Parser] = field(default_factory=dict)
    computed_defaults: list[tuple[str, Formula]] = field(default_factory=list)
    required: list[Field] = field(default_factory=list)
    unique: list[Field] = field(default_factory=list)
    references: list[Field] = field(default_factory=list)
    masters: list[Field] = field(default_factory=list)
    auto_numbers: list[Field] = field(default_factory=list)
    formulas: list[tuple[Field, Formula]] = field(default_factory=list)  # stored at save
    volatile: list[tuple[Field, Formula]] = field(default_factory=list)  # worked out when read
    rules: list[CompiledRule] = field(default_factory=list)
    feeds: dict[str, list[RollUpPlan]] = field(default_factory=dict)  # by foreign key: the parent's roll-ups
    details: list[tuple[SObject, Field]] = field(default_factory=list)  # children by master-detail
    lookups: list[tuple[SObject, Field]] = field(default_factory=list)  # children by lookup

    def writable(self, column: Field, *, inserting: bool) -> bool:
        if column.name in _UPDATABLE_SYSTEM_FIELDS:
            return True
        if column.read_only:
            return False
        return inserting or not column.master_detail or column.reparentable


@dataclass(slots=True)
class SaveContext:
    """What a formula sees (`FormulaContext`): one record, its earlier state, and its parents."""

    plan: ObjectPlan
    row: Row
    before: Row | None
    layer: Layer
    plans: Mapping[str, ObjectPlan]
    now: datetime
    blanks_as_zero: bool = True

    @property
    def is_new(self) -> bool:
        return self.before is None

    def value(self, path: tuple[str, ...]) -> Any:
        if len(path) == 1:
            try:
                return self.row[path[0]]
            except KeyError:
                return self.row[self.plan.names[path[0].lower()].name]
        return self._related(self.plan, self.row, path)

    def prior(self, path: tuple[str, ...]) -> Any:
        row = self.row if self.before is None else self.before
        try:
            return row[path[0]]
        except KeyError:
            return row[self.plan.names[path[0].lower()].name]

    def _related(self, plan: ObjectPlan, row: Row, path: tuple[str, ...]) -> Any:
        for step in path[:-1]:
            column = plan.relationships[step.lower()]
            parent_id, parent = row[column.name], column.reference_to or ""
            found = self.layer.get(parent, parent_id) if parent_id else None
            if found is None:
                return None
            plan, row = self.plans[parent], found
        return row[plan.names[path[-1].lower()].name]


def build_plans(schema: Schema) -> dict[str, ObjectPlan]:
    """One plan per object; raises `SchemaError` naming what is wrong in the source."""
    plans = {name: ObjectPlan(sobject) for name, sobject in schema.objects.items()}
    for plan in plans.values():
        _plan_fields(plan)
    for plan in plans.values():
        _plan_relations(plan, plans)
    for plan in plans.values():
        _plan_formulas(plan, plans)
    return plans


def _plan_fields(plan: ObjectPlan) -> None:
    for column in plan.sobject.fields.values():
        plan.names[column.name.lower()] = column
        plan.parsers[column.name] = parser_of(column)
        plan.template[column.name] = _empty(column)
        if column.relationship_name:
            plan.relationships[column.relationship_name.lower()] = column
        if column.auto_number:
            plan.auto_numbers.append(column)
        elif column.required and not column.read_only and column.type is not FieldType.BOOLEAN:
            plan.required.append(column)
        if column.unique:
            plan.unique.append(column)
        if column.reference_to and not column.read_only:
            (plan.masters if column.master_detail else plan.references).append(column)


def _empty(column: Field) -> Any:
    if column.type is FieldType.BOOLEAN:
        return False
    if column.roll_up is not None and column.roll_up.operation in ("sum", "count"):
        return 0.0
    return None


def _plan_relations(plan: ObjectPlan, plans: Mapping[str, ObjectPlan]) -> None:
    for column in plan.sobject.fields.values():
        parent = plans.get(column.reference_to or "")
        if parent is not None and not column.read_only:
            (parent.details if column.master_detail else parent.lookups).append((plan.sobject, column))
        if column.roll_up is None:
            continue
        child = plans.get(column.roll_up.child_object)
        if child is None or column.roll_up.foreign_key not in child.sobject.fields:
            raise SchemaError(
                f"{plan.sobject.name}.{column.name} sums up {column.roll_up.child_object}, unknown here"
            )
        feeds = child.feeds.setdefault(column.roll_up.foreign_key, [])
        feeds.append(plan_roll_up(column, column.roll_up, child.sobject))


def _plan_formulas(plan: ObjectPlan, plans: Mapping[str, ObjectPlan]) -> None:
    pending: list[tuple[Field, Formula]] = []
    for column in plan.sobject.fields.values():
        where = f"{plan.sobject.name}.{column.name}"
        if column.formula is not None:
            formula = _compiled(column.formula, where, plan, plans)
            reads_elsewhere = any(len(path) > 1 for path in formula.fields)
            if reads_elsewhere or _VOLATILE.search(column.formula):
                plan.volatile.append((column, formula))
            else:
                pending.append((column, formula))
        elif column.default is not None and not column.auto_number:
            _plan_default(plan, column, _compiled(column.default, where, plan, plans))
    plan.formulas.extend(_in_order(pending, plan))
    for rule in plan.sobject.rules:
        formula = _compiled(rule.formula, f"{plan.sobject.name}.{rule.name}", plan, plans)
        plan.rules.append(CompiledRule(rule, formula, rule.active))


def _plan_default(plan: ObjectPlan, column: Field, formula: Formula) -> None:
    if formula.fields or _VOLATILE.search(formula.source):
        plan.computed_defaults.append((column.name, formula))
        return
    context: Any = _NO_RECORD
    plan.template[column.name] = plan.parsers[column.name](formula.evaluate(context))


class _NoRecord:
    """The context of a constant formula: it reads nothing."""

    is_new = True
    blanks_as_zero = True


_NO_RECORD = _NoRecord()


def _in_order(pending: list[tuple[Field, Formula]], plan: ObjectPlan) -> list[tuple[Field, Formula]]:
    """Formula fields so that each comes after those it reads."""
    done: list[tuple[Field, Formula]] = []
    waiting = {column.name.lower(): (column, formula) for column, formula in pending}
    while waiting:
        ready = [
            name
            for name, (_, formula) in waiting.items()
            if not any(path[0].lower() in waiting for path in formula.fields)
        ]
        if not ready:
            raise SchemaError(
                f"formula fields of {plan.sobject.name} read each other: {', '.join(sorted(waiting))}"
            )
        done.extend(waiting.pop(name) for name in ready)
    return done


def _compiled(source: str, where: str, plan: ObjectPlan, plans: Mapping[str, ObjectPlan]) -> Formula:
    try:
        formula = compile_formula(source)
    except FormulaError as error:
        raise SchemaError(f"{where}: {error}") from error
    for path in formula.fields | formula.priors:
        _check_path(path, where, plan, plans)
    return formula


def _check_path(path: tuple[str, ...], where: str, plan: ObjectPlan, plans: Mapping[str, ObjectPlan]) -> None:
    for step in path[:-1]:
        column = plan.relationships.get(step.lower())
        parent = None if column is None else plans.get(column.reference_to or "")
        if parent is None:
            raise SchemaError(f"{where}: {'.'.join(path)} does not exist on {plan.sobject.name}")
        plan = parent
    if path[-1].lower() not in plan.names:
        raise SchemaError(f"{where}: {'.'.join(path)} does not exist on {plan.sobject.name}")
