"""Counting without a script: a sheet typed or scanned into one field, looked at, and entered once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain import typed_sheet
from sfsync.domain.counts import REMEDIES, second

from .access import Party
from .counts import describe, read_counts
from .options import WebOptions
from .page import Page
from .problems import ProblemError
from .rights import form_of, party_of, sight_of, who
from .services import Services

KEPT = ("location", "by", "reason")


class Counting:
    """The handlers of ``/counts/plain``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/counts/plain", self.look, methods=["GET"]),
            Route("/counts/plain", self.do, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """The empty sheet."""
        return self._render(request)

    async def do(self, request: Request) -> Response:
        """Look at a sheet, which fixes its moment; or enter it, all of it or the good lines.

        Its moment comes back with it, so that the same sheet sent twice counts once.
        """
        party, fields = party_of(request), form_of(request)
        typed, bad = typed_sheet.read(fields.get("sheet", ""))
        wrong: list[dict[str, Any]] = [
            {"line": each.line, "sku": each.text, "detail": each.detail, "remedy": "correct the line"}
            for each in bad
        ]
        go = fields.get("do") == "enter"
        at = _moment(fields.get("at", "")) if go else None
        at = at or second(self._services.now())
        if not typed:
            return self._render(request, 422, "Nothing is on the sheet.", errors=wrong, fields=fields)
        try:
            wish = read_counts(
                {"counts": [_row(each, fields, party, at) for each in typed]}, sight_of(request)
            )
        except ProblemError as error:
            return self._render(request, error.status, _told(error, typed), errors=wrong, fields=fields)
        partial = "partial" in fields
        entering = go and (partial or not wrong)
        outcomes = await self._services.counts.enter_all(wish.counts, partial=partial, dry_run=not entering)
        rows: list[dict[str, Any]] = []
        for each, count, outcome in zip(typed, wish.counts, outcomes, strict=True):
            if outcome.problem:
                remedy = REMEDIES.get(outcome.problem, "")
                wrong.append({"line": each.line, "sku": each.sku, "detail": outcome.detail, "remedy": remedy})
            else:
                rows.append(describe(count, outcome))
        entered = [row for row in rows if row["state"] in ("entered", "waiting")]
        wrong.sort(key=lambda row: int(row["line"]))
        if entered:
            left = "\n".join(_again(typed, wrong)) if wrong else ""
            return self._render(request, done=entered, errors=wrong, fields={**_kept(fields), "sheet": left})
        trouble = (
            "Nothing was entered. Mend the lines, or tick that the good ones are to go in." if go else ""
        )
        return self._render(
            request,
            422 if go else 200,
            trouble,
            rows=rows,
            errors=wrong,
            fields=fields,
            at=at,
        )

    def _render(
        self,
        request: Request,
        status_code: int = 200,
        trouble: str = "",
        *,
        rows: Sequence[Mapping[str, Any]] = (),
        done: Sequence[Mapping[str, Any]] = (),
        errors: Sequence[Mapping[str, Any]] = (),
        fields: Mapping[str, str] | None = None,
        at: datetime | None = None,
    ) -> Response:
        return self._page.render(
            "counting.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            trouble=trouble,
            rows=rows,
            entered=done,
            errors=errors,
            fields=fields or {},
            at="" if at is None else at.astimezone(UTC).isoformat(),
        )


def _row(each: typed_sheet.Typed, fields: Mapping[str, str], party: Party, at: datetime) -> dict[str, object]:
    row: dict[str, object] = {
        "sku": each.sku,
        "location": fields.get("location", "").strip(),
        "quantity": each.units,
        "counted_at": at.isoformat(),
        "counted_by": fields.get("by", "").strip() or who(party),
    }
    if each.unit is not None:
        row["unit"] = each.unit
    if reason := fields.get("reason", "").strip():
        row["reason"] = reason
    return row


def _again(typed: Sequence[typed_sheet.Typed], wrong: Sequence[Mapping[str, Any]]) -> list[str]:
    """What did not go in, as it would be typed anew."""
    lines = {each["line"]: each for each in wrong}
    known = {each.line: each for each in typed}
    again = []
    for number, told in sorted(lines.items()):
        each = known.get(number)
        piece = f"|{each.unit}" if each and each.unit else ""
        again.append(f"{each.sku}{piece} = {each.units}" if each else str(told["sku"]))
    return again


def _told(error: ProblemError, typed: Sequence[typed_sheet.Typed]) -> str:
    """The first of what is wrong with the fields: the place, say, is the same in all of them."""
    found: Any = error.more.get("errors", [])
    if not found:
        return error.detail
    field, detail = str(found[0]["field"]), str(found[0]["detail"])
    name = field.rpartition(".")[2] if "." in field else "sheet"
    words = {"location": "The location", "counted_by": "Counted by", "reason": "Why", "sku": "A SKU"}
    return f"{words.get(name, 'The sheet')} {detail}."


def _kept(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields[name] for name in KEPT if name in fields}


def _moment(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None
