"""A concession's till by HTTP: its sales in, as CSV or JSON; what it may sell out, as CSV."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.count_file import FileError, decode
from sfsync.domain.till_file import Report, levels_csv, read, read_rows
from sfsync.domain.tills import REMEDIES, Till, TillOutcome, TillReport, TillSale

from .json_text import BadJsonError, from_json, to_json
from .options import WebOptions
from .problems import RETRY_SECONDS, ProblemError, bad_fields, sentence
from .requests import read_body
from .rights import party_of
from .services import TillDesk

QUERY = ("partial", "dry_run")


class TillApi:
    """The handlers of ``/v1/tills``."""

    def __init__(self, desk: TillDesk, options: WebOptions, now: Callable[[], datetime]) -> None:
        self._desk, self._options, self._now = desk, options, now

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/tills/{name}/sales", self.enter, methods=["POST"]),
            Route("/v1/tills/{name}/levels", self.levels, methods=["GET"]),
        ]

    async def enter(self, request: Request) -> Response:
        """Enter a report.

        201 all of it is in the org; 202 some of it waits for the org's answer; 200 not all was taken
        (`partial`, `dry_run`); 422 a row is bad and nothing was entered; 503 nothing is known yet.
        """
        till = self._till(request)
        partial, dry_run = _flags(request.query_params)
        body = await read_body(request, self._options.max_body_bytes, self._options.body_seconds)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in ("text/csv", "application/json"):
            raise ProblemError(415, "not-csv", "Send Content-Type: text/csv, or application/json.")
        try:
            if media_type == "text/csv":
                report = await asyncio.to_thread(lambda: read(decode(body), till))
            else:
                report = read_rows(_rows(body), till)
        except FileError as error:
            raise ProblemError(422, "bad-file", sentence(str(error))) from None
        go = not dry_run and (partial or not report.bad)
        sales = [sale for _, sale in report.sales]
        outcomes = await self._desk.enter(sales, partial=partial, dry_run=not go)
        told = describe(till, report, outcomes, dry_run=dry_run)
        if any(outcome.problem == "try-later" for outcome in outcomes):
            detail = "The org's stock levels are still being read; send the same again."
            wait = {"Retry-After": str(RETRY_SECONDS)}
            raise ProblemError(503, "later", detail, headers=wait, more=told)
        if not dry_run:
            told_of = told["entered"] + told["waiting"] + report.again
            await self._desk.note(
                TillReport(
                    till.name, self._now(), "http", told_of, told["again"], told["late"], len(told["errors"])
                )
            )
        if told["errors"] and not partial and not dry_run:
            raise _nothing_entered(told)
        status = 200 if told["errors"] or dry_run else 202 if told["waiting"] else 201
        return Response(to_json(told), status, {"Cache-Control": "no-store"}, "application/json")

    async def levels(self, request: Request) -> Response:
        """What the till may sell, as CSV: the bad news first."""
        till = self._till(request)
        text = levels_csv(await self._desk.may_sell(till))
        headers = {"Cache-Control": "no-store", "Content-Disposition": f'inline; filename="{till.name}.csv"'}
        return Response(text, 200, headers, "text/csv; charset=utf-8")

    def _till(self, request: Request) -> Till:
        party = party_of(request)
        name = request.path_params["name"]
        access = self._options.tills.get(name)
        strange = access is not None and party.name not in access.tokens
        if access is None or (strange and not party.sight_of(request.method).everything):
            known = "no till of this name, or it is not for this token"
            raise ProblemError(404, "no-such-till", f"There is {known}.")
        return access.till


def _flags(table: Mapping[str, str]) -> tuple[bool, bool]:
    """(partial, dry run) of a request's query."""
    errors = {name[:40]: f"is not known; known are {', '.join(QUERY)}" for name in table if name not in QUERY}
    for name in QUERY:
        if table.get(name, "false") not in ("true", "false"):
            errors[name] = "is not true or false"
    if errors:
        raise bad_fields(errors)
    return table.get("partial") == "true", table.get("dry_run") == "true"


def _rows(body: bytes) -> Sequence[Mapping[str, object]]:
    try:
        value = from_json(body)
    except BadJsonError as error:
        raise ProblemError(400, "bad-json", sentence(str(error))) from None
    rows = value.get("rows") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise bad_fields({"rows": "is not a list of objects"})
    if unknown := value.keys() - {"rows"}:
        raise bad_fields({name[:40]: "is not known; known is rows" for name in unknown})
    return rows


def describe(till: Till, report: Report, outcomes: Sequence[TillOutcome], *, dry_run: bool) -> dict[str, Any]:
    """What became of a report, JSON-ready. Lines are those of the file, from 1."""
    errors: list[dict[str, object]] = [
        {"line": bad.line, "sku": bad.sku, "kind": "wrong", "detail": bad.detail, "remedy": bad.remedy}
        for bad in report.bad
    ]
    entered: list[dict[str, object]] = []
    for (line, sale), outcome in zip(report.sales, outcomes, strict=True):
        if outcome.problem:
            errors.append(
                {
                    "line": line,
                    "sku": sale.level.sku,
                    "kind": outcome.problem,
                    "detail": outcome.detail,
                    "remedy": REMEDIES[outcome.problem],
                }
            )
        elif outcome.state:
            entered.append(_sale(line, sale, outcome))
    return {
        "till": till.name,
        "location": till.location,
        "rows": len(report.sales) + len(report.bad) + report.again,
        "entered": sum(row["state"] == "entered" for row in entered),
        "waiting": sum(row["state"] == "waiting" for row in entered),
        "again": report.again + sum(bool(row["again"]) for row in entered),
        "late": sum(bool(row["late"]) for row in entered),
        "sales": entered,
        "errors": sorted(errors, key=lambda error: int(str(error["line"]))),
        "dry_run": dry_run,
    }


def _sale(line: int, sale: TillSale, outcome: TillOutcome) -> dict[str, object]:
    return {
        "line": line,
        "receipt": sale.receipt,
        "receipt_line": sale.line,
        "sku": sale.level.sku,
        "unit": sale.level.unit,
        "quantity": sale.units,
        "sold_at": _moment(sale.at),
        "state": outcome.state,
        "again": outcome.again,
        "late": outcome.late,
    }


def _nothing_entered(told: Mapping[str, Any]) -> ProblemError:
    errors = told["errors"]
    first = "; ".join(f"line {each['line']}: {each['detail']}" for each in errors[:5])
    detail = f"Nothing was entered. {sentence(first)}" + (" And more." if len(errors) > 5 else "")
    return ProblemError(422, "bad-sales", detail, more=told)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
