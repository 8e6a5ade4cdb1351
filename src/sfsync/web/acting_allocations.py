"""Divided units on a page: what `sfsync allocation` does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .allocations import describe, done, problem_of, read_word
from .options import WebOptions
from .page import Page
from .problems import ProblemError
from .rights import form_of, party_of, who
from .services import Services


class ActingAllocations:
    """The handlers of ``/allocations``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/allocations", self.look, methods=["GET"]),
            Route("/allocations", self.do, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """How the units of each channel stand, and the form that changes it."""
        return await self._render(request, request.query_params.get("sku", "").strip())

    async def do(self, request: Request) -> Response:
        """Take a word; the page says how the units stand with it."""
        party, fields = party_of(request), form_of(request)
        sku = fields.get("sku", "").strip()
        try:
            said = await self._services.allocations.say(read_word(_table(fields)), who(party))
            if said.problem:
                raise problem_of(said)
        except ProblemError as error:
            return await self._render(request, sku, error.status, error.detail, fields=fields)
        asked = (
            "Written down. Units are lowered, moved and raised in this order; load this page again to see."
        )
        return await self._render(request, sku, done="Done." if done(said.rows) else asked)

    async def _render(
        self,
        request: Request,
        sku: str,
        status_code: int = 200,
        trouble: str = "",
        *,
        done: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        rows = [describe(row) for row in await self._services.allocations.standing(sku or None)]
        return self._page.render(
            "allocations.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            sku=sku,
            rows=rows,
            channels=list(dict.fromkeys(row["channel"] for row in rows if not row["gone"])),
            gone=[row for row in rows if row["gone"]],
            now=self._services.now().isoformat(),
            trouble=trouble,
            done=done,
            fields=fields or {},
        )


def _table(fields: Mapping[str, str]) -> dict[str, Any]:
    """The form as the API's body: what belongs to another word is left out, as the form cannot hide it."""
    table: dict[str, Any] = {name: fields.get(name, "").strip() for name in ("do", "sku", "channel")}
    units = fields.get("units", "").strip()
    if units and table["do"] != "release":
        table["units"] = int(units) if units.isascii() and units.isdigit() and len(units) < 10 else units
    if table["do"] == "withdraw" and fields.get("shows_none"):
        table["shows_none"] = True
    if table["do"] == "move" and (to := fields.get("to", "").strip()):
        table["to"] = to
    return table
