"""Goods between locations, told by a person: what was sent, what came, what is still on its way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.stock import CLOCK_SKEW, LOCATION_LENGTH, SKU_LENGTH
from sfsync.domain.transfers import Stage, Transfer, TransferOutcome
from sfsync.ports import InTransit

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, sentence
from .requests import read_object
from .services import TransferDesk
from .wishes import Fields

LONGEST_ID = 180
MOST_UNITS = 100_000
FIELDS = ("id", "number", "stage", "sku", "quantity", "from", "to", "unit", "occurred_at")


class TransferApi:
    """The handlers of ``/v1/transfers``."""

    def __init__(self, desk: TransferDesk, options: WebOptions, now: Callable[[], datetime]) -> None:
        self._desk, self._options, self._now = desk, options, now

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/transfers", self.enter, methods=["POST"]),
            Route("/v1/transfers", self.open, methods=["GET"]),
        ]

    async def enter(self, request: Request) -> Response:
        """Enter one event of a transfer: 201 entered, 202 written down and entered when the org answers."""
        body = await read_object(request, self._options.max_body_bytes, self._options.body_seconds)
        transfer = read_transfer(body, self._now())
        outcome = await self._desk.enter(transfer)
        if outcome.problem:
            raise _problem(outcome)
        told = {"id": transfer.event_id, "number": transfer.number, "state": outcome.state}
        return _json(told, 201 if outcome.state == "entered" else 202)

    async def open(self, request: Request) -> Response:
        """What was sent and has not arrived."""
        return _json({"in_transit": [describe(each) for each in await self._desk.open()]})


def read_transfer(table: Mapping[str, Any], now: datetime) -> Transfer:
    """A transfer's event; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, FIELDS)
    event_id = fields.text(table, "id", LONGEST_ID)
    number = fields.optional_text(table, "number", LONGEST_ID) or event_id
    stage = fields.text(table, "stage", 20)
    if stage and stage not in list(Stage):
        fields.errors["stage"] = f"is none of {', '.join(Stage)}"
    sku = fields.text(table, "sku", SKU_LENGTH)
    units = fields.whole(table, "quantity", MOST_UNITS, least=-MOST_UNITS if stage == Stage.LOST else 1)
    origin = fields.optional_text(table, "from", LOCATION_LENGTH)
    target = fields.optional_text(table, "to", LOCATION_LENGTH)
    unit = fields.optional_text(table, "unit", 80)
    at = now if table.get("occurred_at") is None else fields.moment(table, "occurred_at")
    if at is not None and at > now + CLOCK_SKEW:
        fields.errors["occurred_at"] = "is still to come"
    for name, text in (("sku", sku), ("from", origin), ("to", target), ("unit", unit)):
        if text and "|" in text:
            fields.errors.setdefault(name, "contains '|'")
    if fields.errors:
        raise bad_fields(fields.errors)
    try:
        return Transfer(event_id, number, Stage(stage), sku, units, at or now, origin, target, unit)
    except ValueError as error:
        raise bad_fields({"stage": f"does not fit the rest: {error}"}) from None


def describe(open_: InTransit) -> dict[str, object]:
    """Goods on their way, as JSON."""
    since = open_.since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    level = open_.level
    return {
        "number": open_.number,
        "sku": level.sku,
        "unit": level.unit,
        "quantity": open_.units,
        "since": since,
    }


def _problem(outcome: TransferOutcome) -> ProblemError:
    status = {"id-reused": 409}.get(outcome.problem, 422)
    kind = {"wrong": "bad-input"}.get(outcome.problem, outcome.problem)
    return ProblemError(status, kind, sentence(outcome.detail))


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, {"Cache-Control": "no-store"}, "application/json")
