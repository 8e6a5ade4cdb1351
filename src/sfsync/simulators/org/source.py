"""An org's schema read from SFDX source: objects, fields, rules, events, channels.

`load_schema(path)` reads the package directories named in `sfdx-project.json`, adds what every org has
(system fields, standard objects, key prefixes) and checks that the parts fit together. All problems are
reported at once, each with its file and element, as one `SourceError`.

Key prefixes are given package directory by package directory, in each by name, so the same source always
makes the same ids. Not simulated, and ignored: permission sets, layouts, tabs, list views, reports,
dashboards, Apex, flows, record types, sharing, field history. Not simulated, and refused: field types that
`source_fields` does not list, standard objects that `standard` does not have, formula functions that
`formula` does not know.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError
from xml.etree.ElementTree import parse as parse_xml

from sfsync.simulators.org.model import Channel, ChannelMember, Field, FieldType, Rule, Schema, SObject
from sfsync.simulators.org.source_checks import check_schema
from sfsync.simulators.org.source_fields import (
    NAMESPACE,
    ElementError,
    flag,
    needed,
    read_field,
    text_of,
)
from sfsync.simulators.org.standard import event_fields, standard_objects, system_fields

_SUFFIX_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class SourceError(Exception):
    """The source cannot be simulated; `problems` has one line for each thing that is wrong."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(slots=True)
class _ObjectSource:
    """What the files say about one object, before it is put together."""

    name: str
    file: Path
    element: Element | None = None
    fields: list[Field] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    """Walks the files of the project and collects what it finds, and what is wrong with it."""

    project: Path
    problems: list[str] = field(default_factory=list)
    where: dict[str, str] = field(default_factory=dict)  # "Object.Field" or "Object!Rule" -> file
    value_sets: dict[str, list[str]] = field(default_factory=dict)

    def complain(self, file: Path, text: str) -> None:
        self.problems.append(f"{self.shown(file)}: {text}")

    def shown(self, file: Path) -> str:
        return file.relative_to(self.project).as_posix() if file.is_relative_to(self.project) else str(file)

    def roots(self) -> list[Path]:
        file = self.project / "sfdx-project.json"
        try:
            directories = json.loads(file.read_text("utf-8"))["packageDirectories"]
            roots = [self.project / directory["path"] for directory in directories]
        except FileNotFoundError:
            self.complain(file, "the file is missing: this is no SFDX project")
            return []
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            self.complain(file, f"packageDirectories cannot be read: {error}")
            return []
        for root in roots:
            if not root.is_dir():
                self.complain(file, f"packageDirectories: there is no folder {self.shown(root)}")
        return [root for root in roots if root.is_dir()]

    def documents(self, roots: list[Path], kind: str) -> Iterator[tuple[Path, Element]]:
        for root in roots:
            for file in sorted(root.rglob(f"*.{kind}-meta.xml")):
                try:
                    # The files are the operator's own, as trusted as the command line.
                    yield file, parse_xml(file).getroot()  # noqa: S314 — see above
                except ParseError as error:
                    self.complain(file, f"not well-formed XML: {error}")

    def read_value_sets(self, roots: list[Path]) -> None:
        for file, element in self.documents(roots, "globalValueSet"):
            name = file.name.partition(".")[0]
            try:
                values = element.iterfind(NAMESPACE + "customValue")
                self.value_sets[name] = [needed(value, "fullName") for value in values]
            except ElementError as error:
                self.complain(file, str(error))

    def read_objects(self, roots: list[Path]) -> dict[str, _ObjectSource]:
        sources: dict[str, _ObjectSource] = {}
        for file, element in self.documents(roots, "object"):
            source = sources.setdefault(file.parent.name, _ObjectSource(file.parent.name, file))
            source.element = element
            for inline in element.iterfind(NAMESPACE + "fields"):
                self._add_field(source, file, inline)
            for inline in element.iterfind(NAMESPACE + "validationRules"):
                self._add_rule(source, file, inline)
        for file, element in self.documents(roots, "field"):
            name = file.parent.parent.name
            self._add_field(sources.setdefault(name, _ObjectSource(name, file)), file, element)
        for file, element in self.documents(roots, "validationRule"):
            name = file.parent.parent.name
            self._add_rule(sources.setdefault(name, _ObjectSource(name, file)), file, element)
        return sources

    def _add_field(self, source: _ObjectSource, file: Path, element: Element) -> None:
        try:
            found = read_field(element, self.value_sets)
        except ElementError as error:
            self.complain(file, str(error))
            return
        if any(other.name.lower() == found.name.lower() for other in source.fields):
            self.complain(file, f"<fullName> {found.name} is defined twice")
            return
        source.fields.append(found)
        self.where[f"{source.name}.{found.name}"] = self.shown(file)

    def _add_rule(self, source: _ObjectSource, file: Path, element: Element) -> None:
        try:
            rule = Rule(
                name=needed(element, "fullName"),
                formula=needed(element, "errorConditionFormula"),
                message=needed(element, "errorMessage"),
                display_field=text_of(element, "errorDisplayField"),
                active=flag(element, "active"),
            )
        except ElementError as error:
            self.complain(file, str(error))
            return
        source.rules.append(rule)
        self.where[f"{source.name}!{rule.name}"] = self.shown(file)

    def read_channels(self, roots: list[Path]) -> dict[str, Channel]:
        members: dict[str, list[ChannelMember]] = {"ChangeEvents": []}
        for file, element in self.documents(roots, "platformEventChannel"):
            kind = text_of(element, "channelType")
            if kind != "data":
                self.complain(file, f"<channelType> {kind} is not simulated: only data is")
                continue
            members[file.name.partition(".")[0]] = []
        for file, element in self.documents(roots, "platformEventChannelMember"):
            self._add_member(members, file, element)
        return {name: Channel(name, tuple(found)) for name, found in members.items()}

    def _add_member(self, members: dict[str, list[ChannelMember]], file: Path, element: Element) -> None:
        try:
            channel, selected = needed(element, "eventChannel"), needed(element, "selectedEntity")
            enriched = [needed(item, "name") for item in element.iterfind(NAMESPACE + "enrichedFields")]
        except ElementError as error:
            self.complain(file, str(error))
            return
        if channel not in members:
            self.complain(file, f"<eventChannel> {channel} is not in the source")
            return
        entity = entity_of_change_event(selected)
        if entity is None:
            self.complain(file, f"<selectedEntity> {selected} is not a change event")
            return
        members[channel].append(ChannelMember(entity, text_of(element, "filterExpression"), tuple(enriched)))
        self.where[f"{channel}/{entity}"] = self.shown(file)


def entity_of_change_event(name: str) -> str | None:
    """`StockMovement__ChangeEvent` → `StockMovement__c`, `OrderChangeEvent` → `Order`; else None."""
    if name.endswith("__ChangeEvent"):
        return name.removesuffix("__ChangeEvent") + "__c"
    return name.removesuffix("ChangeEvent") if name.endswith("ChangeEvent") else None


def load_schema(path: Path) -> Schema:
    """The schema of the SFDX project in the folder `path`. Raises `SourceError` with every problem found."""
    reader = _Reader(path.absolute())
    roots = reader.roots()
    reader.read_value_sets(roots)
    sources = reader.read_objects(roots)
    objects = _assemble(reader, sources)
    schema = Schema(_with_roll_up_scales(objects), reader.read_channels(roots))
    reader.problems += check_schema(schema, reader.where)
    if reader.problems:
        raise SourceError(sorted(reader.problems))
    return schema


def _assemble(reader: _Reader, sources: dict[str, _ObjectSource]) -> dict[str, SObject]:
    objects = standard_objects()
    custom = [name for name in sources if name.endswith("__c")]
    events = [name for name in sources if name.endswith("__e")]
    prefixes = {name: "a" + _two_digits(number) for number, name in enumerate(custom)}
    prefixes |= {name: "e" + _two_digits(number) for number, name in enumerate(events)}
    for name in sorted(sources):
        source = sources[name]
        if name in objects:
            objects[name] = _extended(objects[name], source)
        elif name not in prefixes:
            reader.complain(source.file, f"the standard object {name} is not simulated")
        elif source.element is None:
            reader.complain(source.file, f"{name}.object-meta.xml is missing")
        else:
            try:
                objects[name] = _custom(source, source.element, prefixes[name])
            except ElementError as error:
                reader.complain(source.file, str(error))
    return objects


def _two_digits(number: int) -> str:
    return _SUFFIX_DIGITS[number // 36 % 36] + _SUFFIX_DIGITS[number % 36]


def _extended(standard: SObject, source: _ObjectSource) -> SObject:
    fields = dict(standard.fields) | {found.name: found for found in source.fields}
    return replace(standard, fields=fields, rules=(*standard.rules, *source.rules))


def _custom(source: _ObjectSource, element: Element, key_prefix: str) -> SObject:
    is_event = source.name.endswith("__e")
    if is_event:
        own = event_fields()
    else:
        own = system_fields(owner=not any(found.master_detail for found in source.fields))
        own.insert(1, _name_field(element))
    label = needed(element, "label")
    return SObject(
        name=source.name,
        label=label,
        label_plural=text_of(element, "pluralLabel") or label,
        key_prefix=key_prefix,
        fields={found.name: found for found in [*own, *source.fields]},
        rules=tuple(source.rules),
        is_event=is_event,
        publish_immediately=text_of(element, "publishBehavior") == "PublishImmediately",
    )


def _name_field(element: Element) -> Field:
    described = element.find(NAMESPACE + "nameField")
    if described is None:
        raise ElementError("<nameField> is missing")
    label = text_of(described, "label") or "Name"
    if text_of(described, "type") == "AutoNumber":
        layout = text_of(described, "displayFormat") or "{0}"
        return Field("Name", label, FieldType.STRING, length=80, read_only=True, auto_number=layout)
    return Field("Name", label, FieldType.STRING, length=80)


def _with_roll_up_scales(objects: dict[str, SObject]) -> dict[str, SObject]:
    """A roll-up has the type and the decimals of what it sums, which may stand in a file read later."""
    return {name: replace(sobject, fields=_scaled(sobject, objects)) for name, sobject in objects.items()}


def _scaled(sobject: SObject, objects: dict[str, SObject]) -> dict[str, Field]:
    fields = dict(sobject.fields)
    for name, summary in fields.items():
        roll_up = summary.roll_up
        if roll_up is None or roll_up.child_field is None or roll_up.child_object not in objects:
            continue
        summed = objects[roll_up.child_object].fields.get(roll_up.child_field)
        if summed is not None:
            fields[name] = replace(summary, type=summed.type, precision=summed.precision, scale=summed.scale)
    return fields
