"""Dead letters over the API: by cause, tried again, dropped with a name and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.letters import LONGEST_NAME, LONGEST_REASON, Cause

from .json_text import to_json
from .options import WebOptions
from .problems import bad_fields
from .requests import read_object
from .rights import party_of, who
from .services import LetterDesk
from .wishes import Fields

MOST_IDS = 1000
RETRY_FIELDS = ("ids", "cause")
DROP_FIELDS = ("ids", "cause", "up_to", "by", "reason")


class LetterApi:
    """The handlers of ``/v1/dead-letters``."""

    def __init__(self, desk: LetterDesk, options: WebOptions) -> None:
        self._desk, self._options = desk, options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/dead-letters", self.list, methods=["GET"]),
            Route("/v1/dead-letters/retry", self.retry, methods=["POST"]),
            Route("/v1/dead-letters/drop", self.drop, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Dead letters by cause, a page of each, or of one after an id; and what was dropped last."""
        return _json(await self._desk.told(*read_page(request.query_params)))

    async def retry(self, request: Request) -> Response:
        """Try some again, or all of a cause: an answer for each."""
        numbers, cause = read_retry(await self._body(request))
        tried = await self._desk.retry(numbers, cause)
        return _json({"tried": [{"id": each.id, "retried": each.done, "said": each.said} for each in tried]})

    async def drop(self, request: Request) -> Response:
        """Take some, or all of a cause, off the list for good; the record keeps them, and who said why."""
        party = party_of(request)
        wish = read_drop(await self._body(request))
        # Who has logged in does not say another name.
        by = party.person or wish.by or who(party)
        if wish.cause is None:
            dropped = await self._desk.drop(wish.ids, by, wish.reason)
        else:
            dropped = await self._desk.drop_cause(wish.cause, wish.up_to, by, wish.reason)
        return _json({"dropped": list(dropped), "missing": sorted(set(wish.ids) - set(dropped))})

    async def _body(self, request: Request) -> dict[str, Any]:
        return await read_object(request, self._options.max_body_bytes, self._options.body_seconds)


def read_retry(table: Mapping[str, Any]) -> tuple[list[int], Cause | None]:
    """The ids, or the cause, of what is to be tried again; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, RETRY_FIELDS)
    found = _which(fields, table)
    if fields.errors:
        raise bad_fields(fields.errors)
    return found


def read_page(query: Mapping[str, str]) -> tuple[Cause | None, int]:
    """The cause, and the id that its page is to follow; a 422 problem with all bad fields otherwise."""
    cause, after = query.get("cause", ""), query.get("after", "0")
    errors = {}
    if cause and cause not in list(Cause):
        errors["cause"] = f"is none of {', '.join(Cause)}"
    if not (after.isascii() and after.isdigit() and len(after) < 16):
        errors["after"] = "is no id"
    elif int(after) and not cause:
        errors["after"] = "wants a cause too"
    if errors:
        raise bad_fields(errors)
    return Cause(cause) if cause else None, int(after)


@dataclass(frozen=True, slots=True)
class DropWish:
    """Which dead letters are to be dropped (by ids, or all of a cause up to an id), by whom, and why."""

    ids: list[int]
    cause: Cause | None
    up_to: int | None
    by: str | None
    reason: str


def read_drop(table: Mapping[str, Any]) -> DropWish:
    """What is to be dropped; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, DROP_FIELDS)
    numbers, cause = _which(fields, table)
    up_to = table.get("up_to")
    if up_to is not None and not _is_id(up_to):
        fields.errors["up_to"] = "is no id"
    elif up_to is not None and cause is None:
        fields.errors["up_to"] = "wants a cause too"
    reason = fields.text(table, "reason", LONGEST_REASON)
    by = fields.optional_text(table, "by", LONGEST_NAME)
    if fields.errors:
        raise bad_fields(fields.errors)
    return DropWish(numbers, cause, up_to, by, reason)


def _which(fields: Fields, table: Mapping[str, Any]) -> tuple[list[int], Cause | None]:
    """Either ids or a cause."""
    text = fields.optional_text(table, "cause", 40)
    cause = Cause(text) if text in list(Cause) else None
    if text and cause is None:
        fields.errors["cause"] = f"is none of {', '.join(Cause)}"
    if (text is None) == (table.get("ids") is None):
        fields.errors["ids"] = "is given, and cause too" if text else "is missing, and cause is missing too"
    return [] if table.get("ids") is None else _ids(fields, table), cause


def _ids(fields: Fields, table: Mapping[str, Any]) -> list[int]:
    value = table.get("ids")
    if not isinstance(value, list) or not 0 < len(value) <= MOST_IDS:
        fields.errors["ids"] = f"is not a list of 1 to {MOST_IDS} numbers"
    elif not all(map(_is_id, value)):
        fields.errors["ids"] = "holds something that is no id"
    else:
        return value
    return []


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 2**53


def _json(value: object) -> Response:
    return Response(to_json(value), 200, {"Cache-Control": "no-store"}, "application/json")
