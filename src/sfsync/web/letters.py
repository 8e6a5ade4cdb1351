"""Dead letters over the API: by cause, tried again, dropped with a name and a reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.letters import LONGEST_NAME, LONGEST_REASON, Cause

from .json_text import to_json
from .options import WebOptions
from .problems import bad_fields
from .requests import read_object
from .rights import party_of
from .services import LetterDesk
from .wishes import Fields

MOST_IDS = 1000
RETRY_FIELDS = ("ids", "cause")
DROP_FIELDS = ("ids", "by", "reason")


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
        """Take some off the list for good; the record keeps them, with the name and the reason."""
        party = party_of(request)
        numbers, by, reason = read_drop(await self._body(request))
        # Who has logged in does not say another name.
        dropped = await self._desk.drop(numbers, party.person or by or party.name, reason)
        return _json({"dropped": list(dropped), "missing": sorted(set(numbers) - set(dropped))})

    async def _body(self, request: Request) -> dict[str, Any]:
        return await read_object(request, self._options.max_body_bytes, self._options.body_seconds)


def read_retry(table: Mapping[str, Any]) -> tuple[list[int], Cause | None]:
    """The ids, or the cause, of what is to be tried again; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, RETRY_FIELDS)
    text = fields.optional_text(table, "cause", 40)
    cause = Cause(text) if text in list(Cause) else None
    if text and cause is None:
        fields.errors["cause"] = f"is none of {', '.join(Cause)}"
    if (text is None) == (table.get("ids") is None):
        fields.errors["ids"] = "is given, and cause too" if text else "is missing, and cause is missing too"
    numbers = [] if table.get("ids") is None else _ids(fields, table)
    if fields.errors:
        raise bad_fields(fields.errors)
    return numbers, cause


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


def read_drop(table: Mapping[str, Any]) -> tuple[list[int], str | None, str]:
    """The ids of what is to be dropped, by whom and why; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, DROP_FIELDS)
    numbers = _ids(fields, table)
    reason = fields.text(table, "reason", LONGEST_REASON)
    by = fields.optional_text(table, "by", LONGEST_NAME)
    if fields.errors:
        raise bad_fields(fields.errors)
    return numbers, by, reason


def _ids(fields: Fields, table: Mapping[str, Any]) -> list[int]:
    value = table.get("ids")
    if not isinstance(value, list) or not 0 < len(value) <= MOST_IDS:
        fields.errors["ids"] = f"is not a list of 1 to {MOST_IDS} numbers"
    elif any(isinstance(each, bool) or not isinstance(each, int) or not 0 < each < 2**53 for each in value):
        fields.errors["ids"] = "holds something that is no id"
    else:
        return value
    return []


def _json(value: object) -> Response:
    return Response(to_json(value), 200, {"Cache-Control": "no-store"}, "application/json")
