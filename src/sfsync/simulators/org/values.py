"""From JSON to what a field stores, and back.

Stored: text as `str` (blank is None), numbers as `float` (`int` for whole-number fields), `bool`, `date`,
`datetime` in UTC, references as 18-character ids. Wrong JSON ends the request (`ApiError`); a value that an
org refuses is the record's error (`Refused`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

import orjson

from sfsync.simulators.org.errors import ApiError, SaveError, parser_error
from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import Field, FieldType

Parser = Callable[[Any], Any]
_DEFAULT_LENGTH = 255


class Refused(Exception):
    """The value is valid JSON, but the field does not take it."""

    def __init__(self, error: SaveError) -> None:
        super().__init__(error.message)
        self.error = error


def _kind_of_json(value: Any) -> str:
    if isinstance(value, bool):
        return "VALUE_TRUE" if value else "VALUE_FALSE"
    kinds = {str: "VALUE_STRING", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT"}
    kinds |= {dict: "START_OBJECT", list: "START_ARRAY"}
    return kinds[type(value)]


def _wrong_type(wanted: str, value: Any) -> ApiError:
    shown = value if isinstance(value, (str, int, float)) else "{" if isinstance(value, dict) else "["
    return parser_error(
        f"Cannot deserialize instance of {wanted} from {_kind_of_json(value)} value {shown} "
        "or request may be missing a required field at [line:1, column:2]"
    )


def _text_parser(column: Field) -> Parser:
    length = column.length or _DEFAULT_LENGTH
    strips = column.type is not FieldType.TEXTAREA

    def parse(value: Any) -> Any:
        if type(value) is not str:
            if value is None:
                return None
            if isinstance(value, (dict, list)):
                raise _wrong_type("string", value)
            value = str(value).lower() if isinstance(value, bool) else str(value)
        text = value.strip() if strips else value
        if len(text) > length:
            shown = text if len(text) <= _DEFAULT_LENGTH else text[:_DEFAULT_LENGTH]
            raise Refused(
                SaveError(
                    "STRING_TOO_LONG",
                    f"{column.label}: data value too large: {shown} (max length={length})",
                    (column.name,),
                )
            )
        return text or None

    return parse


def _picklist_parser(column: Field) -> Parser:
    parse_text = _text_parser(column)
    allowed = frozenset(column.picklist)

    def parse(value: Any) -> Any:
        text = parse_text(value)
        if text is not None and column.restricted_picklist and text not in allowed:
            raise Refused(
                SaveError(
                    "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
                    f"{column.label}: bad value for restricted picklist field: {text}",
                    (column.name,),
                )
            )
        return text

    return parse


def _number_parser(column: Field) -> Parser:
    scale = column.scale or 0
    bound = 10 ** ((column.precision or 18) - scale)
    whole = column.type is FieldType.INT
    step = Decimal(1).scaleb(-scale)
    wanted = "int" if whole else "double"

    def parse(value: Any) -> Any:
        kind = type(value)
        if kind is not int and kind is not float:
            if value is None or value == "":
                return None
            value = _number_of_text(value, wanted)
        if not -bound < value < bound:
            raise Refused(
                SaveError(
                    "NUMBER_OUTSIDE_VALID_RANGE",
                    f"{column.label}: value outside of valid range on numeric field: {value}",
                    (column.name,),
                )
            )
        if kind is int:
            return value if whole else float(value)
        rounded = Decimal(repr(value)).quantize(step, ROUND_HALF_UP)
        return int(rounded) if whole else float(rounded)

    return parse


def _number_of_text(value: Any, wanted: str) -> float:
    if isinstance(value, str):
        try:
            number = Decimal(value.strip())
        except InvalidOperation as error:
            raise _wrong_type(wanted, value) from error
        if number.is_finite():
            return float(number)
    raise _wrong_type(wanted, value)


def _boolean_parser(column: Field) -> Parser:
    def parse(value: Any) -> Any:
        if isinstance(value, bool):
            return value
        if value is None:
            return False
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        raise _wrong_type("boolean", value)

    return parse


def parse_datetime(text: str) -> datetime | None:
    """An ISO 8601 date-time with its offset, as UTC in whole milliseconds; None when it is none."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is None or "T" not in text.upper():
        return None
    moment = moment.astimezone(UTC)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


def _datetime_parser(column: Field) -> Parser:
    def parse(value: Any) -> Any:
        if value is None or value == "":
            return None
        moment = parse_datetime(value) if isinstance(value, str) else None
        if moment is None:
            raise _wrong_type("datetime", value)
        return moment

    return parse


def _date_parser(column: Field) -> Parser:
    def parse(value: Any) -> Any:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise _wrong_type("date", value)
        moment = parse_datetime(value)
        if moment is not None:
            return moment.date()
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise _wrong_type("date", value) from error

    return parse


def _reference_parser(column: Field) -> Parser:
    def parse(value: Any) -> Any:
        if value is None or value == "":
            return None
        if not isinstance(value, str):
            raise _wrong_type("reference", value)
        record_id = normalize_id(value)
        if record_id is None:
            message = f"{column.label}: id value of incorrect type: {value}"
            raise Refused(SaveError("MALFORMED_ID", message, (column.name,)))
        return record_id

    return parse


_PARSERS: dict[FieldType, Callable[[Field], Parser]] = {
    FieldType.PICKLIST: _picklist_parser,
    FieldType.BOOLEAN: _boolean_parser,
    FieldType.DOUBLE: _number_parser,
    FieldType.CURRENCY: _number_parser,
    FieldType.PERCENT: _number_parser,
    FieldType.INT: _number_parser,
    FieldType.DATE: _date_parser,
    FieldType.DATETIME: _datetime_parser,
    FieldType.REFERENCE: _reference_parser,
    FieldType.ID: _reference_parser,
}


def parser_of(column: Field) -> Parser:
    """The function that turns JSON values into what this field stores."""
    return _PARSERS.get(column.type, _text_parser)(column)


def show(value: Any) -> Any:
    """A stored value as JSON has it: `2026-11-23T07:33:00.000+0000`, `2026-11-23`, or itself."""
    if isinstance(value, datetime):
        moment = value.astimezone(UTC)
        return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}+0000"
    if isinstance(value, date):
        return value.isoformat()
    return value


def _default(value: Any) -> Any:
    if isinstance(value, (datetime, date)):
        return show(value)
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(type(value).__name__)


def to_json(body: Any) -> bytes:
    """The body of an answer, with dates as Salesforce writes them."""
    return orjson.dumps(body, default=_default, option=orjson.OPT_PASSTHROUGH_DATETIME)
