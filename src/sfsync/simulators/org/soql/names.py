"""Names of a query looked up in the schema without case, with the org's words for what is not there."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sfsync.simulators.org.model import Field, Schema, SObject
from sfsync.simulators.org.soql.errors import pointed
from sfsync.simulators.org.soql.syntax import Column, Query

_DESCRIBE = "Please reference your WSDL or the describe call for the appropriate names."
_MOST_HOPS = 5


@dataclass(frozen=True, slots=True)
class Resolved:
    """A field found: the relationship fields that lead to it, the object that has it, the field itself."""

    links: tuple[Field, ...]
    owner: SObject
    field: Field

    @property
    def path(self) -> tuple[str, ...]:
        """The path with the schema's own spelling."""
        return (*[link.relationship_name or "" for link in self.links], self.field.name)


class Names:
    """Case-insensitive look-up in one schema."""

    def __init__(self, schema: Schema) -> None:
        self._objects = {name.lower(): sobject for name, sobject in schema.objects.items()}
        self._fields: dict[str, dict[str, Field]] = {}
        self._links: dict[str, dict[str, Field]] = {}
        self._children: dict[tuple[str, str], tuple[SObject, Field]] = {}
        # What was found so far: (object, path as written, alias).
        self._columns: dict[tuple[str, tuple[str, ...], str | None], Resolved] = {}
        for sobject in schema.objects.values():
            fields = sobject.fields.values()
            self._fields[sobject.name] = {field.name.lower(): field for field in fields}
            self._links[sobject.name] = {
                field.relationship_name.lower(): field for field in fields if field.relationship_name
            }
            for field in fields:
                if field.reference_to and field.child_relationship_name:
                    key = (field.reference_to, field.child_relationship_name.lower())
                    self._children[key] = (sobject, field)

    def entity(self, query: Query) -> SObject:
        """The object of FROM."""
        found = self._objects.get(query.entity.lower())
        if found is None:
            message = (
                f"sObject type '{query.entity}' is not supported. If you are attempting to use a custom "
                f"object, be sure to append the '__c' after the entity name. {_DESCRIBE}"
            )
            raise pointed("INVALID_TYPE", query.source, query.position, message)
        if found.is_event:
            message = f"entity type {found.name} does not support query"
            raise pointed("INVALID_TYPE_FOR_OPERATION", query.source, query.position, message)
        return found

    def child_entity(self, parent: SObject, query: Query) -> tuple[SObject, Field]:
        """The object and foreign key behind a child relationship name."""
        found = self._children.get((parent.name, query.entity.lower()))
        if found is None:
            message = (
                f"Didn't understand relationship '{query.entity}' in FROM part of query call. If you are "
                f"attempting to use a custom relationship, be sure to append the '__r' after the custom "
                f"relationship name. {_DESCRIBE}"
            )
            raise pointed("INVALID_TYPE", query.source, query.position, message)
        return found

    def column(self, sobject: SObject, column: Column, source: str, alias: str | None) -> Resolved:
        """The field that a column names, seen from `sobject` (which may be called by its name or alias)."""
        found = self._columns.get((sobject.name, column.path, alias))
        if found is None:
            found = self._find(sobject, column, source, alias)
            self._columns[sobject.name, column.path, alias] = found
        return found

    def _find(self, sobject: SObject, column: Column, source: str, alias: str | None) -> Resolved:
        path = column.path
        if len(path) > 1 and path[0].lower() not in self._links[sobject.name]:
            own_names = {sobject.name.lower(), (alias or sobject.name).lower()}
            path = path[1:] if path[0].lower() in own_names else path
        *hops, name = path
        links: list[Field] = []
        for hop in hops:
            link = self._links[sobject.name].get(hop.lower())
            parent = None if link is None else self._objects.get((link.reference_to or "").lower())
            if link is None or parent is None or len(links) == _MOST_HOPS:
                message = (
                    f"Didn't understand relationship '{hop}' in field path. If you are attempting to use a "
                    f"custom relationship, be sure to append the '__r' after the custom relationship name. "
                    f"{_DESCRIBE}"
                )
                raise pointed("INVALID_FIELD", source, column.position, message)
            links.append(link)
            sobject = parent
        field = self._fields[sobject.name].get(name.lower())
        if field is None:
            message = (
                f"No such column '{name}' on entity '{sobject.name}'. If you are attempting to use a custom "
                f"field, be sure to append the '__c' after the custom field name. {_DESCRIBE}"
            )
            raise pointed("INVALID_FIELD", source, column.position, message)
        return Resolved(tuple(links), sobject, field)


class _ById:
    """A schema by identity: its mappings cannot be hashed, and one org has one schema."""

    __slots__ = ("schema",)

    def __init__(self, schema: Schema) -> None:
        self.schema = schema

    def __hash__(self) -> int:
        return id(self.schema)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.schema is self.schema


@lru_cache(maxsize=16)
def _names(schema: _ById) -> Names:
    return Names(schema.schema)


def names_of(schema: Schema) -> Names:
    """The names of a schema, collected once."""
    return _names(_ById(schema))
