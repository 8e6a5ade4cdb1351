"""One field's metadata (`CustomField`) read into a `Field`.

Raises `ElementError` for the first thing in the element that cannot be simulated; the caller knows the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from xml.etree.ElementTree import Element

from sfsync.simulators.org.model import Field, FieldType, RollUp

NAMESPACE = "{http://soap.sforce.com/2006/04/metadata}"

_TYPES = {
    "Text": FieldType.STRING,
    "TextArea": FieldType.TEXTAREA,
    "LongTextArea": FieldType.TEXTAREA,
    "Html": FieldType.TEXTAREA,
    "Picklist": FieldType.PICKLIST,
    "Checkbox": FieldType.BOOLEAN,
    "Number": FieldType.DOUBLE,
    "Currency": FieldType.CURRENCY,
    "Percent": FieldType.PERCENT,
    "Date": FieldType.DATE,
    "DateTime": FieldType.DATETIME,
    "Email": FieldType.EMAIL,
    "Phone": FieldType.PHONE,
    "Url": FieldType.URL,
    "AutoNumber": FieldType.STRING,
    "Lookup": FieldType.REFERENCE,
    "MasterDetail": FieldType.REFERENCE,
    "Summary": FieldType.DOUBLE,
}
_LENGTHS = {FieldType.TEXTAREA: 255, FieldType.EMAIL: 80, FieldType.PHONE: 40, FieldType.URL: 255}
_NUMBERS = (FieldType.DOUBLE, FieldType.CURRENCY, FieldType.PERCENT)
_FIELD_NAME = re.compile(r"[A-Za-z]\w*__c", re.ASCII)


class ElementError(Exception):
    """An element of a metadata file cannot be used; the text says which and why."""


def text_of(element: Element, name: str) -> str | None:
    """The text of a child element, None when it is absent or empty."""
    child = element.find(NAMESPACE + name)
    return None if child is None or child.text is None else child.text.strip() or None


def needed(element: Element, name: str) -> str:
    """The text of a child element that must be there."""
    found = text_of(element, name)
    if found is None:
        raise ElementError(f"<{name}> is missing")
    return found


def flag(element: Element, name: str, *, default: bool = False) -> bool:
    """A true-or-false child element."""
    found = text_of(element, name)
    if found is None:
        return default
    if found not in ("true", "false"):
        raise ElementError(f"<{name}> must be true or false, not {found!r}")
    return found == "true"


def _whole(element: Element, name: str) -> int | None:
    found = text_of(element, name)
    if found is None:
        return None
    if not found.isdecimal():
        raise ElementError(f"<{name}> must be a whole number, not {found!r}")
    return int(found)


def read_field(element: Element, value_sets: Mapping[str, Sequence[str]]) -> Field:
    """The field that a `CustomField` element (or a `fields` element inside an object) describes."""
    name = needed(element, "fullName")
    if _FIELD_NAME.fullmatch(name) is None:
        raise ElementError(f"<fullName> {name!r} is not the name of a custom field")
    kind = needed(element, "type")
    if kind not in _TYPES:
        raise ElementError(f"<type> {kind} of field {name} is not simulated")
    field = _common(element, name, _TYPES[kind])
    if kind in ("Lookup", "MasterDetail"):
        return _relationship(element, field, master=kind == "MasterDetail")
    if kind == "Picklist":
        return _picklist(element, field, value_sets)
    if kind == "Summary":
        return _summary(element, field)
    if kind == "AutoNumber":
        return replace(field, length=30, read_only=True, auto_number=needed(element, "displayFormat"))
    return _scalar(element, field)


def _common(element: Element, name: str, field_type: FieldType) -> Field:
    formula = text_of(element, "formula")
    checkbox = field_type is FieldType.BOOLEAN
    return Field(
        name=name,
        label=text_of(element, "label") or name,
        type=field_type,
        required=flag(element, "required") or (checkbox and formula is None),
        unique=flag(element, "unique"),
        case_sensitive=flag(element, "caseSensitive"),
        external_id=flag(element, "externalId"),
        read_only=formula is not None,
        default=text_of(element, "defaultValue") or ("false" if checkbox and formula is None else None),
        formula=formula,
        formula_blanks_as_zero=text_of(element, "formulaTreatBlanksAs") != "BlankAsBlank",
    )


def _scalar(element: Element, field: Field) -> Field:
    if field.type in _NUMBERS:
        precision = _whole(element, "precision") or 18
        scale = _whole(element, "scale") or 0
        if not (scale <= precision <= 18):
            raise ElementError(f"<precision> {precision} and <scale> {scale} do not fit a number")
        return replace(field, precision=precision, scale=scale)
    if field.type is FieldType.STRING:
        length = _whole(element, "length") or (None if field.formula is None else 1300)
        if length is None or not 1 <= length <= 1300:
            raise ElementError(f"<length> of text field {field.name} must be 1 to 255")
        return replace(field, length=length)
    if field.type in _LENGTHS:
        return replace(field, length=_whole(element, "length") or _LENGTHS[field.type])
    return field


def _relationship(element: Element, field: Field, *, master: bool) -> Field:
    child_name = text_of(element, "relationshipName")
    return replace(
        field,
        length=18,
        required=field.required or master,
        reference_to=needed(element, "referenceTo"),
        relationship_name=field.name.removesuffix("__c") + "__r",
        child_relationship_name=None if child_name is None else f"{child_name}__r",
        master_detail=master,
        reparentable=flag(element, "reparentableMasterDetail", default=not master),
    )


def _picklist(element: Element, field: Field, value_sets: Mapping[str, Sequence[str]]) -> Field:
    value_set = element.find(NAMESPACE + "valueSet")
    if value_set is None:
        raise ElementError(f"<valueSet> of picklist {field.name} is missing")
    shared = text_of(value_set, "valueSetName")
    if shared is not None:
        if shared not in value_sets:
            raise ElementError(f"<valueSetName> {shared} is not in the source")
        return replace(field, length=255, picklist=tuple(value_sets[shared]), restricted_picklist=True)
    values = [
        value
        for value in value_set.iterfind(f"{NAMESPACE}valueSetDefinition/{NAMESPACE}value")
        if flag(value, "isActive", default=True)
    ]
    defaults = [needed(value, "fullName") for value in values if flag(value, "default")]
    return replace(
        field,
        length=255,
        picklist=tuple(needed(value, "fullName") for value in values),
        restricted_picklist=flag(value_set, "restricted"),
        default=field.default or (quoted(defaults[0]) if defaults else None),
    )


def quoted(value: str) -> str:
    """The value as a text literal of a formula."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _summary(element: Element, field: Field) -> Field:
    operation = needed(element, "summaryOperation")
    if operation not in ("sum", "count", "min", "max"):
        raise ElementError(f"<summaryOperation> {operation} is not one of sum, count, min, max")
    child_object, _, foreign_key = needed(element, "summaryForeignKey").partition(".")
    summarized = None if operation == "count" else needed(element, "summarizedField").partition(".")[2]
    filters = tuple(
        (needed(item, "field").partition(".")[2], needed(item, "operation"), text_of(item, "value") or "")
        for item in element.iterfind(NAMESPACE + "summaryFilterItems")
    )
    roll_up = RollUp(operation, child_object, summarized, foreign_key, filters)
    return replace(field, precision=18, scale=0, read_only=True, roll_up=roll_up)
