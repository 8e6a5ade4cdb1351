"""Whether the parts of a schema fit together: references, roll-ups, formulas, channels.

Each problem is one line with the file it stands in. `where` maps `Object.Field`, `Object!Rule` and
`Channel/Object` to the file.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sfsync.simulators.org.formula import FormulaError, compile_formula
from sfsync.simulators.org.model import ChannelMember, Field, FieldType, Schema, SObject
from sfsync.simulators.org.soql import SoqlError, check_filter

_SUMMABLE = (FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT, FieldType.INT)
_ORDERABLE = (*_SUMMABLE, FieldType.DATE, FieldType.DATETIME)
_FILTER_OPERATIONS = (
    "equals",
    "notEqual",
    "lessThan",
    "greaterThan",
    "lessOrEqual",
    "greaterOrEqual",
    "contains",
    "notContain",
    "startsWith",
)
_ENRICHED_MOST = 10


def check_schema(schema: Schema, where: Mapping[str, str]) -> list[str]:
    """Every problem, as `file: element: what is wrong`."""
    problems: list[str] = []
    for sobject in schema.objects.values():
        for field in sobject.fields.values():
            file = where.get(f"{sobject.name}.{field.name}", sobject.name)
            problems += [f"{file}: {problem}" for problem in _field_problems(schema, sobject, field)]
        for rule in sobject.rules:
            file = where.get(f"{sobject.name}!{rule.name}", sobject.name)
            problems += [
                f"{file}: <errorConditionFormula> of {rule.name}: {problem}"
                for problem in _formula_problems(schema, sobject, rule.formula)
            ]
            if rule.display_field is not None and rule.display_field not in sobject.fields:
                problems.append(
                    f"{file}: <errorDisplayField> {rule.display_field} is not a field of {sobject.name}"
                )
        problems += [
            f"{where.get(f'{sobject.name}.{name}', sobject.name)}: <formula> of {name} reads itself"
            for name in _circular(sobject)
        ]
    for channel in schema.channels.values():
        for member in channel.members:
            file = where.get(f"{channel.name}/{member.entity}", channel.name)
            problems += [f"{file}: {problem}" for problem in _member_problems(schema, member)]
    return problems


def _field_problems(schema: Schema, sobject: SObject, field: Field) -> Iterator[str]:
    if field.reference_to is not None and field.reference_to not in schema.objects:
        yield f"<referenceTo> {field.reference_to} of {field.name} is not in the source"
    if field.formula is not None:
        for problem in _formula_problems(schema, sobject, field.formula):
            yield f"<formula> of {field.name}: {problem}"
    if field.default is not None:
        for problem in _formula_problems(schema, sobject, field.default):
            yield f"<defaultValue> of {field.name}: {problem}"
    if field.roll_up is not None:
        yield from _roll_up_problems(schema, sobject, field)


def _roll_up_problems(schema: Schema, sobject: SObject, field: Field) -> Iterator[str]:
    roll_up = field.roll_up
    if roll_up is None:
        return
    child = schema.objects.get(roll_up.child_object)
    if child is None:
        yield f"<summaryForeignKey> of {field.name}: {roll_up.child_object} is not in the source"
        return
    key = child.fields.get(roll_up.foreign_key)
    if key is None or not key.master_detail or key.reference_to != sobject.name:
        yield (
            f"<summaryForeignKey> of {field.name}: {child.name}.{roll_up.foreign_key} "
            f"is not a master-detail relationship to {sobject.name}"
        )
    if roll_up.child_field is not None:
        summed = child.fields.get(roll_up.child_field)
        fitting = _SUMMABLE if roll_up.operation == "sum" else _ORDERABLE
        if summed is None or summed.type not in fitting:
            yield (
                f"<summarizedField> of {field.name}: {child.name}.{roll_up.child_field} "
                f"is not a field that {roll_up.operation} can be taken of"
            )
    for name, operation, _ in roll_up.filters:
        if name not in child.fields:
            yield f"<summaryFilterItems> of {field.name}: {child.name} has no field {name}"
        if operation not in _FILTER_OPERATIONS:
            yield f"<summaryFilterItems> of {field.name}: the operation {operation} is not simulated"


def _formula_problems(schema: Schema, sobject: SObject, text: str) -> Iterator[str]:
    try:
        formula = compile_formula(text)
    except FormulaError as error:
        yield str(error)
        return
    for path in sorted(formula.fields):
        if resolve(schema, sobject, path) is None:
            yield f"{'.'.join(path)} is not a field of {sobject.name}"


def _circular(sobject: SObject) -> list[str]:
    """Formula fields of an object that depend on themselves, through whatever other formula fields."""
    names = {field.name.lower(): field.name for field in sobject.fields.values()}
    reads: dict[str, set[str]] = {}
    for field in sobject.fields.values():
        if field.formula is not None:
            reads[field.name] = {names.get(name, "") for name in _own_fields(field.formula)}
    reached = {name: set(direct) for name, direct in reads.items()}
    for _ in reads:
        for further in reached.values():
            further |= {name for between in further & reads.keys() for name in reached[between]}
    return sorted(name for name, further in reached.items() if name in further)


def _own_fields(text: str) -> set[str]:
    try:
        return {path[0].lower() for path in compile_formula(text).fields if len(path) == 1}
    except FormulaError:
        return set()  # told elsewhere


def resolve(schema: Schema, sobject: SObject, path: tuple[str, ...]) -> Field | None:
    """The field at the end of a path such as `("StockLevel__r", "LevelKey__c")`, without case; else None."""
    *hops, name = [step.lower() for step in path]
    for hop in hops:
        links = [field for field in sobject.fields.values() if (field.relationship_name or "").lower() == hop]
        if not links or links[0].reference_to not in schema.objects:
            return None
        sobject = schema.objects[links[0].reference_to or ""]
    return next((field for field in sobject.fields.values() if field.name.lower() == name), None)


def _member_problems(schema: Schema, member: ChannelMember) -> Iterator[str]:
    sobject = schema.objects.get(member.entity)
    if sobject is None or sobject.is_event:
        yield f"<selectedEntity>: {member.entity} is not an object of the source"
        return
    if len(member.enriched_fields) > _ENRICHED_MOST:
        yield f"<enrichedFields>: {len(member.enriched_fields)} fields, at most {_ENRICHED_MOST} are allowed"
    for name in member.enriched_fields:
        found = sobject.fields.get(name)
        if found is None:
            yield f"<enrichedFields> {name} is not a field of {sobject.name}"
        elif found.type is FieldType.TEXTAREA:
            yield f"<enrichedFields> {name} is a text area, which cannot be enriched"
    if member.filter_expression is not None:
        try:
            check_filter(member.filter_expression, sobject)
        except SoqlError as error:
            yield f"<filterExpression>: {error.message}"
