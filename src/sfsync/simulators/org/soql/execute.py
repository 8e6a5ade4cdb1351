"""A query answered from the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sfsync.simulators.org.model import Field, Row, Schema
from sfsync.simulators.org.soql.aggregate import execute_aggregate, is_aggregate, is_bare_count
from sfsync.simulators.org.soql.computed import Fields
from sfsync.simulators.org.soql.database import Database
from sfsync.simulators.org.soql.errors import malformed, pointed
from sfsync.simulators.org.soql.functions import SHOWN
from sfsync.simulators.org.soql.names import Resolved, names_of
from sfsync.simulators.org.soql.parser import parse
from sfsync.simulators.org.soql.render import QueryResult, Render, attributes, json_value
from sfsync.simulators.org.soql.selection import Selection, Setting
from sfsync.simulators.org.soql.syntax import Call, ChildQuery, Column, FieldsOf, Item, Query

_UNBOUNDED_FIELDS_LIMIT = 200

Put = Callable[[Row, dict[str, Any]], None]


def execute(
    query: str | Query,
    schema: Schema,
    database: Database,
    now: datetime,
    *,
    url_prefix: str = "/services/data/v67.0",
    null_matches_not_equal: bool = True,
    include_deleted: bool = False,
) -> QueryResult:
    """The answer to a query. `include_deleted` is what `queryAll` asks for.

    Raises `SoqlError` with the code and words of the org.
    """
    parsed = parse(query) if isinstance(query, str) else query
    names = names_of(schema)
    fields = Fields(schema, database, now)
    setting = Setting(names, fields, database, now, null_matches_not_equal, include_deleted, url_prefix)
    selection = Selection(parsed, names.entity(parsed), setting)
    if is_bare_count(parsed):
        return _count(selection)
    if is_aggregate(parsed):
        return execute_aggregate(selection)
    render = _record(selection)
    rows = selection.rows()
    return QueryResult(selection.sobject.name, len(rows), rows, render)


def _count(selection: Selection) -> QueryResult:
    query = selection.query
    if len(query.items) != 1 or query.group_by:
        raise malformed(
            query.source, query.position, "COUNT() stands alone: use COUNT(Id) with other expressions"
        )
    return QueryResult(selection.sobject.name, len(selection.rows()), (), dict)


def _record(selection: Selection) -> Render:
    """How a row becomes a record: the selected fields in order, parents nested, children as results."""
    puts = _puts(selection)
    entity, prefix = selection.sobject.name, selection.setting.url_prefix

    def render(row: Row) -> dict[str, Any]:
        record: dict[str, Any] = {"attributes": attributes(entity, prefix, row["Id"])}
        for put in puts:
            put(row, record)
        return record

    return render


def _puts(selection: Selection) -> list[Put]:
    puts: list[Put] = []
    seen: set[tuple[str, ...]] = set()
    for item in selection.query.items:
        if isinstance(item, ChildQuery):
            puts.append(_put_children(selection, item.query))
            continue
        for resolved, position in _selected(selection, item):
            name, show = _shown(item, resolved)
            path = (*resolved.path[:-1], name)
            if path in seen:
                message = f"duplicate field selected: {'.'.join(path)}"
                raise pointed("INVALID_FIELD", selection.source, position, message)
            seen.add(path)
            puts.append(_put(selection, resolved, name, show))
    return puts


def _selected(selection: Selection, item: Item | FieldsOf) -> Iterator[tuple[Resolved, int]]:
    if isinstance(item, FieldsOf):
        for field in _fields_of(selection, item):
            yield Resolved((), selection.sobject, field), item.position
        return
    if isinstance(item.expression, Call):
        call = item.expression
        if call.function in SHOWN and call.argument is not None:
            yield selection.resolve(call.argument), call.position
            return
        message = f"{call.function} needs GROUP BY, or is not simulated"
        raise malformed(selection.source, call.position, message)
    if item.alias is not None:
        message = "Alias can only be used in a grouped query"
        raise malformed(selection.source, item.expression.position, message)
    yield selection.resolve(item.expression), item.expression.position


def _shown(item: Item | FieldsOf, resolved: Resolved) -> tuple[str, Callable[[Any], Any] | None]:
    """Under which name a field is answered, and how it is put into words, if it is."""
    name = resolved.field.name
    if isinstance(item, FieldsOf) or not isinstance(item.expression, Call):
        return name, None
    return item.alias or name, SHOWN[item.expression.function]


def _fields_of(selection: Selection, item: FieldsOf) -> list[Field]:
    every = list(selection.sobject.fields.values())
    if item.which == "STANDARD":
        return [field for field in every if not field.name.endswith("__c")]
    if item.which not in ("ALL", "CUSTOM"):
        raise malformed(selection.source, item.position, f"FIELDS({item.which}) is not supported")
    if selection.query.limit is None or selection.query.limit > _UNBOUNDED_FIELDS_LIMIT:
        message = f"The SOQL FIELDS function must have a LIMIT of at most {_UNBOUNDED_FIELDS_LIMIT}"
        raise malformed(selection.source, item.position, message)
    return every if item.which == "ALL" else [field for field in every if field.name.endswith("__c")]


def _put(
    selection: Selection, resolved: Resolved, name: str, show: Callable[[Any], Any] | None = None
) -> Put:
    field = resolved.field

    def told(value: Any) -> Any:
        return json_value(field, value) if show is None or value is None else show(value)

    if resolved.links:
        return _put_parent(selection, resolved, name, told)
    read = selection.setting.fields.path_reader(selection.sobject, (field.name,))

    def put(row: Row, record: dict[str, Any]) -> None:
        record[name] = told(read(row))

    return put


def _put_parent(selection: Selection, resolved: Resolved, name: str, told: Callable[[Any], Any]) -> Put:
    setting, field = selection.setting, resolved.field
    read = setting.fields.path_reader(resolved.owner, (field.name,))
    links = [(link.relationship_name or "", link.name, link.reference_to or "") for link in resolved.links]

    def put(row: Row, record: dict[str, Any]) -> None:
        for relationship, key, entity in links:
            parent_id = row.get(key)
            parent = None if parent_id is None else setting.database.by_id(entity, parent_id)
            if parent is None:
                record.setdefault(relationship, None)
                return
            row = parent
            nested = record.get(relationship)
            if nested is None:
                nested = {"attributes": attributes(entity, setting.url_prefix, parent["Id"])}
                record[relationship] = nested
            record = nested
        record[name] = told(read(row))

    return put


def _put_children(selection: Selection, query: Query) -> Put:
    setting = selection.setting
    child, key = setting.names.child_entity(selection.sobject, query)
    inner = Selection(query, child, setting)
    if is_aggregate(query) or any(isinstance(item, ChildQuery) for item in query.items):
        raise malformed(query.source, query.position, "a child query selects plain fields")
    render, relationship = _record(inner), key.child_relationship_name or ""

    def put(row: Row, record: dict[str, Any]) -> None:
        rows: Sequence[Row] = inner.rows(setting.database.children(child.name, key.name, row["Id"]))
        records = [render(found) for found in rows]
        record[relationship] = {"totalSize": len(rows), "done": True, "records": records} if rows else None

    return put


def column_names(query: str) -> list[str]:
    """The selected plain columns as written, for the header of a bulk result."""
    return [
        ".".join(item.expression.path)
        for item in parse(query).items
        if isinstance(item, Item) and isinstance(item.expression, Column)
    ]
