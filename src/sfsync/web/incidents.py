"""Incidents over the API: how one stands, and the way out that an operator takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.incidents import (
    LONGEST_NAME,
    LONGEST_REASON,
    LONGEST_WAIT,
    Resolved,
    Stage,
    Way,
    Wish,
)
from sfsync.domain.stock import LOCATION_LENGTH, SKU_LENGTH, SUBJECT_LENGTH
from sfsync.domain.values import replace

from .incident_rows import incident_row
from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, later, sentence
from .requests import read_object
from .rights import party_of, who
from .services import IncidentDesk
from .wishes import Fields

FIELDS = ("way", "reason", "by", "promise", "location", "sku", "until", "whole_order", "refund", "notify")
_OF_WAY = {
    Way.MOVE: ("promise", "location"),
    Way.WAIT: ("until",),
    Way.CANCEL: ("promise", "whole_order", "refund", "notify"),
    Way.SUBSTITUTE: ("sku", "location"),
    Way.REFUND: (),
    Way.ACCEPT: (),
}


class IncidentApi:
    """The handlers of ``/v1/incidents``."""

    def __init__(self, desk: IncidentDesk, options: WebOptions, now: Callable[[], datetime]) -> None:
        self._desk, self._options, self._now = desk, options, now

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/incidents/{id}", self.read, methods=["GET"]),
            Route("/v1/incidents/{id}/resolution", self.resolve, methods=["POST"]),
        ]

    async def read(self, request: Request) -> Response:
        """An incident, open or closed, with all that was decided about it."""
        found = await self._desk.incident(number_of(request))
        if found is None:
            raise problem_of(Resolved(problem="no-such-incident"))
        incident, decided = found
        return _json(incident_row(incident, decided, self._desk.cancelling, self._now()))

    async def resolve(self, request: Request) -> Response:
        """Take a way out: 200 done, 202 asked of the org or the channel, 409 refused; twice is once."""
        party = party_of(request)
        number = number_of(request)
        body = await read_object(request, self._options.max_body_bytes, self._options.body_seconds)
        wish = read_resolution(body, who(party), self._now())
        if party.person:  # who has logged in does not say another name
            wish = replace(wish, by=party.person)
        resolved = await self._desk.resolve(number, wish)
        if resolved.problem:
            raise problem_of(resolved)
        told = {"incident": number, "resolution": resolved.resolution, **resolved.more}
        told |= {"stage": resolved.stage, "answer": resolved.answer}
        if resolved.stage is Stage.REFUSED:
            detail = sentence(resolved.answer or "it was refused, and nothing has changed")
            raise ProblemError(409, "refused", detail, more=told)
        asked = resolved.stage is Stage.ASKED
        return _json(told, 202 if asked else 200, {"Retry-After": "2"} if asked else None)


def read_resolution(table: Mapping[str, Any], party: str, now: datetime) -> Wish:
    """What is to be done, by whom and why; a 422 problem with all bad fields otherwise.

    Without `by` it is the party that the token belongs to.
    """
    fields = Fields()
    fields.unknown(table, FIELDS)
    text = fields.text(table, "way", 20)
    way = Way(text) if text in list(Way) else Way.ACCEPT
    if text and text not in list(Way):
        fields.errors["way"] = f"is none of {', '.join(Way)}"
    reason = fields.text(table, "reason", LONGEST_REASON)
    by = fields.optional_text(table, "by", LONGEST_NAME) or party
    known = ("way", "reason", "by", *_OF_WAY[way])
    for name in FIELDS:
        if table.get(name) not in (None, False) and name not in known:
            fields.errors.setdefault(name, f"has no meaning for the way {way.value!r}")
    location = fields.text(table, "location", LOCATION_LENGTH) if way is Way.MOVE else ""
    sku = fields.text(table, "sku", SKU_LENGTH) if way is Way.SUBSTITUTE else ""
    if way is Way.SUBSTITUTE:
        location = fields.optional_text(table, "location", LOCATION_LENGTH) or ""
    for name, text in (("location", location), ("sku", sku)):
        if "|" in text:
            fields.errors[name] = "contains '|'"
    until = fields.moment(table, "until") if way is Way.WAIT else None
    if until is not None and not now < until <= now + LONGEST_WAIT:
        fields.errors["until"] = f"is not in the next {LONGEST_WAIT.days} days"
    promise = fields.optional_text(table, "promise", SUBJECT_LENGTH) or ""
    flags = {name: fields.flag(table, name) for name in ("whole_order", "refund", "notify")}
    if fields.errors:
        raise bad_fields(fields.errors)
    moment = None if until is None else until.astimezone(UTC)
    return Wish(way, by, reason, promise, location, sku, moment, **flags)


def number_of(request: Request) -> int:
    """The incident's number in the address."""
    text = request.path_params["id"]
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise problem_of(Resolved(problem="no-such-incident"))
    return int(text)


def problem_of(resolved: Resolved) -> ProblemError:
    """What the desk's word for the problem is in HTTP."""
    match resolved.problem:
        case "no-such-incident":
            status, usual = 404, "there is no incident of this number"
        case "bad-input" | "unknown-level" | "no-such-promise":
            status, usual = 422, "it cannot be used"
        case "busy":
            return later(sentence(resolved.detail))
        case _:  # over, no-such-way, cannot-cancel, more-lines
            status, usual = 409, "it cannot be done"
    return ProblemError(status, resolved.problem, sentence(resolved.detail or usual))


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(to_json(value), status, headers, "application/json")
