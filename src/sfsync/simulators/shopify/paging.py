"""Connections: a list cut into pages by cursors that survive changes to the list."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from graphql import GraphQLError

PAGE_LIMIT = 250

SortKey: TypeAlias = Callable[[Any], tuple[Any, int]]  # a value, then the id as the tie-break


def connection(
    rows: Iterable[Any], args: dict[str, Any], key: SortKey, *, whole: bool = False
) -> dict[str, Any]:
    """One page of `rows` by first/after or last/before. `whole` (bulk reads) cuts nothing."""
    ordered = sorted(rows, key=key, reverse=bool(args.get("reverse")))
    if whole:
        return _page(ordered, key, before=False, after=False)
    first, last = args.get("first"), args.get("last")
    size = first if first is not None else last
    if size is None:
        raise GraphQLError("you must provide one of first or last", extensions={"code": "BAD_REQUEST"})
    if first is not None and last is not None:
        raise GraphQLError(
            "providing both first and last is not supported", extensions={"code": "BAD_REQUEST"}
        )
    if not 0 <= size <= PAGE_LIMIT:
        text = f"a page holds 0 to {PAGE_LIMIT} rows, not {size}"
        raise GraphQLError(text, extensions={"code": "ARGUMENT_OUT_OF_RANGE"})
    descending = bool(args.get("reverse"))
    inside = ordered
    if args.get("after") is not None:
        start = _position(args["after"])
        inside = [row for row in inside if (key(row) < start if descending else key(row) > start)]
    if args.get("before") is not None:
        end = _position(args["before"])
        inside = [row for row in inside if (key(row) > end if descending else key(row) < end)]
    cut = inside[:size] if first is not None else inside[len(inside) - min(size, len(inside)) :]
    more = len(cut) < len(inside)
    return _page(
        cut,
        key,
        after=more if first is not None else args.get("before") is not None,
        before=more if last is not None else args.get("after") is not None,
    )


def by_number(row: Any) -> tuple[Any, int]:
    """The order in which things came to be."""
    return (0, row.number)


def _page(rows: list[Any], key: SortKey, *, before: bool, after: bool) -> dict[str, Any]:
    return {
        "nodes": rows,
        "edges": lambda _info: [{"cursor": _cursor(key(row)), "node": row} for row in rows],
        "page_info": {
            "has_next_page": after,
            "has_previous_page": before,
            "start_cursor": lambda _info: _cursor(key(rows[0])) if rows else None,
            "end_cursor": lambda _info: _cursor(key(rows[-1])) if rows else None,
        },
    }


def _cursor(key: tuple[Any, int]) -> str:
    return base64.b64encode(json.dumps({"last_value": key[0], "last_id": key[1]}).encode()).decode()


def _position(cursor: str) -> tuple[Any, int]:
    try:
        held = json.loads(base64.b64decode(cursor, validate=True))
        return (held["last_value"], held["last_id"])
    except (binascii.Error, ValueError, KeyError, TypeError):
        raise GraphQLError(f"invalid cursor {cursor!r}", extensions={"code": "BAD_REQUEST"}) from None
