"""Divided units: how they stand, and a person's word for how many a channel is to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.by_hand import Allocated, Do, Said, Word
from sfsync.domain.stock import SKU_LENGTH

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, sentence
from .requests import read_object
from .rights import party_of, who
from .services import AllocationDesk
from .status_shape import AllocationRow
from .wishes import Fields

MOST_UNITS = 1_000_000
LONGEST_NAME = 40
STATUS = {"no-such-channel": 404, "not-said": 404}


class AllocationApi:
    """The handlers of ``/v1/allocations``."""

    def __init__(self, desk: AllocationDesk, options: WebOptions) -> None:
        self._desk, self._options = desk, options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/allocations", self.all, methods=["GET"]),
            Route("/v1/allocations", self.say, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """How the units of each channel stand: of a SKU, or of all that are divided."""
        rows = await self._desk.standing(request.query_params.get("sku") or None)
        return _json(rows)

    async def say(self, request: Request) -> Response:
        """Say how many units a channel is to have; 200 when nothing is on its way any more, else 202."""
        party = party_of(request)
        body = await read_object(request, self._options.max_body_bytes, self._options.body_seconds)
        said = await self._desk.say(read_word(body), who(party))
        if said.problem:
            raise problem_of(said)
        return _json(said.rows, 200 if done(said.rows) else 202)


def read_word(table: Mapping[str, Any]) -> Word:
    """What a person says; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, ("do", "sku", "channel", "units", "to", "shows_none"))
    do = fields.text(table, "do", 20)
    if do and do not in list(Do):
        fields.errors["do"] = f"is none of {', '.join(Do)}"
    sku = fields.text(table, "sku", SKU_LENGTH)
    channel = fields.text(table, "channel", LONGEST_NAME)
    to = fields.optional_text(table, "to", LONGEST_NAME)
    units: int | None = None
    if do in (Do.SET, Do.MOVE) or table.get("units") is not None:
        units = fields.whole(table, "units", MOST_UNITS, least=0 if do == Do.SET else 1)
    if do in list(Do) and (do == Do.MOVE) is not (to is not None):
        fields.errors.setdefault("to", "is missing" if do == Do.MOVE else f"is not for {do}")
    elif to is not None and to == channel:
        fields.errors["to"] = "is the same channel"
    if do == Do.RELEASE and units is not None:
        fields.errors["units"] = "is not for release"
    shows_none = fields.flag(table, "shows_none")
    if shows_none and do in list(Do) and do != Do.WITHDRAW:
        fields.errors.setdefault("shows_none", f"is not for {do}")
    if fields.errors:
        raise bad_fields(fields.errors)
    return Word(Do(do), channel, sku, units, to, shows_none)


def done(rows: Sequence[Allocated]) -> bool:
    """True when every channel has what it is to have, and nothing is on its way."""
    return all(row.settled and row.held - row.sold == row.goal for row in rows)


def describe(row: Allocated) -> AllocationRow:
    """How a channel's units stand, as JSON."""
    fixed = row.fixed
    return AllocationRow(
        sku=row.sku,
        channel=row.channel,
        goal=row.goal,
        by_hand=None if fixed is None else fixed.units,
        said_by="" if fixed is None else fixed.who,
        said_at=None if fixed is None else _moment(fixed.at),
        held=row.held,
        coming=row.coming,
        shows=row.shows,
        spare=row.spare,
        sold=row.sold,
        gone=row.gone,
        lacking=row.lacking,
    )


def problem_of(said: Said) -> ProblemError:
    """Why a word cannot be."""
    return ProblemError(STATUS.get(said.problem, 409), said.problem, sentence(said.detail))


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json(rows: Sequence[Allocated], status: int = 200) -> Response:
    told = {"allocations": [describe(row) for row in rows], "done": done(rows)}
    return Response(to_json(told), status, {"Cache-Control": "no-store"}, "application/json")
