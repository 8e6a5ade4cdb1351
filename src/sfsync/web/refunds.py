"""Refund tasks over the API: what is owed to whom, and the word that it is paid back."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.incidents import LONGEST_NAME, LONGEST_REASON
from sfsync.domain.refunds import Ending, RefundAnswer, RefundTask

from .api import changeable
from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, later, sentence
from .requests import read_object
from .rights import party_of, sight_of, who
from .services import RefundDesk, ReservationDesk
from .status_shape import OwedLineRow, RefundRow
from .wishes import Fields, known_to

MOST_LISTED = 200
LIST_FIELDS = ("state", "channel", "after", "limit")
OPEN_FIELDS = ("reason", "by")
CLOSE_FIELDS = ("ending", "reason", "by")
STATES = ("open", "all")


class RefundApi:
    """The handlers of ``/v1/refunds``."""

    def __init__(self, desk: RefundDesk, reservations: ReservationDesk, options: WebOptions) -> None:
        self._desk, self._reservations, self._options = desk, reservations, options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/refunds", self.list, methods=["GET"]),
            Route("/v1/refunds/{id}", self.read, methods=["GET"]),
            Route("/v1/refunds/{id}/close", self.close, methods=["POST"]),
            Route("/v1/reservations/{id}/refund", self.open, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Tasks, oldest first; `next` is the `after` of the following page."""
        sight = sight_of(request)
        known = known_to(sight, self._options.channels)
        open_only, channel, after, limit = read_list(request.query_params, known)
        channels = None if sight.everything else known
        if channel is not None:
            channels = frozenset({channel})
        found = await self._desk.find(open_only=open_only, channels=channels, after=after, limit=limit + 1)
        page = found[:limit]
        following = page[-1].id if len(found) > limit else None
        return _json({"refunds": [refund_row(task) for task in page], "next": following})

    async def read(self, request: Request) -> Response:
        """One task, open or closed."""
        return _json(refund_row(await self._seen(request)))

    async def open(self, request: Request) -> Response:
        """Owe the customer of one that is paid and not available: 201 a new task, 200 the known one."""
        party, owed = party_of(request), request.path_params["id"]
        if not sight_of(request).everything:
            owed = (await changeable(request, self._reservations)).id
        reason, by = read_opening(await self._body(request))
        opener = party.person or by or who(party)  # who has logged in does not say another name
        answer = await self._desk.open(owed, by=opener, reason=reason)
        if answer.task is None:
            raise problem_of(answer)
        place = {"Location": f"/v1/refunds/{answer.task.id}"}
        return _json(refund_row(answer.task), 201 if answer.new else 200, place)

    async def close(self, request: Request) -> Response:
        """The customer has the money, or is owed it no more; twice is once, another ending is 409."""
        party = party_of(request)
        number = (await self._seen(request)).id
        ending, said, by = read_closing(await self._body(request))
        answer = await self._desk.close(number, ending, by=party.person or by or who(party), said=said)
        if answer.problem or answer.task is None:
            raise problem_of(answer)
        return _json(refund_row(answer.task))

    async def _seen(self, request: Request) -> RefundTask:
        """The task of the number in the address; 404 where it is not there for the party."""
        task, sight = await self._desk.get(number_of(request)), sight_of(request)
        if task is not None and not sight.everything and not sight.of_channel(task.channel):
            owed = await self._reservations.get(task.reservation) if task.reservation else None
            if owed is None or not sight.sees(owed):
                task = None
        if task is None:
            raise problem_of(RefundAnswer(None, "no-such-refund"))
        return task

    async def _body(self, request: Request) -> dict[str, Any]:
        return await read_object(request, self._options.max_body_bytes, self._options.body_seconds)


def refund_row(task: RefundTask) -> RefundRow:
    """A task for people and parties."""
    return RefundRow(
        id=task.id,
        state="open" if task.ending is None else task.ending.value,
        debtor=task.debtor,
        creditor=task.creditor,
        reservation=task.reservation,
        channel=task.channel,
        order_reference=task.order_reference,
        owner=task.owner,
        client=task.client or None,
        lines=[OwedLineRow(sku=line.sku, units=line.units) for line in task.lines],
        reason=task.reason,
        opened_at=_moment(task.opened_at),
        opened_by=task.opened_by,
        closed_at=None if task.closed_at is None else _moment(task.closed_at),
        closed_by=task.closed_by or None,
        said=task.said or None,
    )


def read_list(table: Mapping[str, str], channels: Collection[str]) -> tuple[bool, str | None, int, int]:
    """(only open ones, channel, after which id, how many); a 422 problem with all that is wrong otherwise."""
    fields = Fields()
    fields.unknown(table, LIST_FIELDS)
    state, channel = table.get("state", "open"), table.get("channel")
    if state not in STATES:
        fields.errors["state"] = f"is none of {', '.join(STATES)}"
    if channel is not None and channel not in channels:
        fields.errors["channel"] = f"is none of {', '.join(sorted(channels))}"
    after, limit = _number(table.get("after", "0")), _number(table.get("limit", "100"))
    if after is None:
        fields.errors["after"] = "is not the id of a refund"
    if limit is None or not 1 <= limit <= MOST_LISTED:
        fields.errors["limit"] = f"is not between 1 and {MOST_LISTED}"
    if fields.errors:
        raise bad_fields(fields.errors)
    return state == "open", channel, after or 0, limit or 1


def read_opening(table: Mapping[str, Any]) -> tuple[str, str | None]:
    """(why, by whom)."""
    fields = Fields()
    fields.unknown(table, OPEN_FIELDS)
    reason = fields.text(table, "reason", LONGEST_REASON)
    by = fields.optional_text(table, "by", LONGEST_NAME)
    if fields.errors:
        raise bad_fields(fields.errors)
    return reason, by


def read_closing(table: Mapping[str, Any]) -> tuple[Ending, str, str | None]:
    """(how it ended, why, by whom)."""
    fields = Fields()
    fields.unknown(table, CLOSE_FIELDS)
    text = fields.text(table, "ending", 20)
    if text and text not in list(Ending):
        fields.errors["ending"] = f"is none of {', '.join(Ending)}"
    said = fields.text(table, "reason", LONGEST_REASON)
    by = fields.optional_text(table, "by", LONGEST_NAME)
    if fields.errors:
        raise bad_fields(fields.errors)
    return Ending(text), said, by


def number_of(request: Request) -> int:
    """The task's number in the address."""
    number = _number(request.path_params["id"])
    if number is None:
        raise problem_of(RefundAnswer(None, "no-such-refund"))
    return number


def problem_of(answer: RefundAnswer) -> ProblemError:
    """What the desk's word for the problem is in HTTP."""
    match answer.problem:
        case "no-such-refund":
            status, usual = 404, "there is no refund of this number"
        case "no-such-reservation":
            status, usual = 404, "there is no reservation of this id"
        case "later":
            return later(sentence(answer.detail))
        case _:  # nothing-owed, over
            status, usual = 409, "it cannot be done"
    return ProblemError(status, answer.problem, sentence(answer.detail or usual))


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else None


def _json(value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    headers = {"Cache-Control": "no-store", **(headers or {})}
    return Response(to_json(value), status, headers, "application/json")
