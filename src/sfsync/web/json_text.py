"""JSON, read strictly and written plainly."""

from __future__ import annotations

import json
from typing import Any, NoReturn

import orjson


class BadJsonError(ValueError):
    """Not JSON, or JSON that two readers may understand differently."""


def to_json(value: object) -> bytes:
    """A value as JSON."""
    return orjson.dumps(value)


def from_json(body: bytes) -> Any:
    """The value of a JSON text. Refuses what is not UTF-8, repeated names, NaN, and numbers too large."""
    try:
        return json.loads(body.decode(), object_pairs_hook=_object, parse_constant=_constant)
    except UnicodeDecodeError:
        raise BadJsonError("the body is not UTF-8") from None
    except RecursionError:
        raise BadJsonError("the body is nested too deeply") from None
    except BadJsonError:
        raise
    except ValueError as error:
        where = f" at character {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        raise BadJsonError(f"the body is not JSON{where}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) < len(pairs):
        raise BadJsonError("the body has an object that names a key twice")
    return table


def _constant(name: str) -> NoReturn:
    raise BadJsonError(f"the body contains {name}, which is not JSON")
