"""What a shadow has seen, as JSON and as a page: the same as `sfsync shadow report`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .json_text import to_json
from .page import Page
from .problems import ProblemError, bad_fields
from .services import Services
from .wishes import Fields, past

NOTHING = ProblemError(
    404, "no-shadow", "Nothing was watched in that time. `sfsync run --shadow` begins a shadow."
)
SPANS = {"24h": timedelta(hours=24), "7d": timedelta(days=7)}


class Shadowing:
    """The handlers of ``/v1/shadow`` and ``/shadow``."""

    def __init__(self, services: Services, page: Page) -> None:
        self._services, self._page = services, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/shadow", self.report, methods=["GET"]),
            Route("/shadow", self.shown, methods=["GET"]),
        ]

    async def report(self, request: Request) -> Response:
        """The report: of all that is kept, or `since` a moment. 404: nothing was watched in that time."""
        table, fields = dict(request.query_params), Fields()
        fields.unknown(table, ("since",))
        since = past(fields, table, "since", self._services.now())
        if fields.errors:
            raise bad_fields(fields.errors)
        told = await self._tell(since)
        if told is None:
            raise NOTHING
        return Response(to_json(told), 200, {"Cache-Control": "no-store"}, "application/json")

    async def shown(self, request: Request) -> Response:
        """The same as a page, of the last day, the last week, or all.

        Where nothing was watched it says what a shadow is. That is no error: a person has
        followed a link, and reads how to begin.
        """
        of = request.query_params.get("of", "")
        span = SPANS.get(of)
        told = await self._tell(None if span is None else self._services.now() - span)
        return self._page.render(
            "shadow.html",
            request,
            self._page.visitor(request),
            told=told,
            of=of if span else "",
            worst=_worst(told) if told else [],
        )

    async def _tell(self, since: datetime | None) -> Mapping[str, Any] | None:
        reports = self._services.shadow
        return None if reports is None else await reports.tell(since)


def _worst(told: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """What was wrong for longest, at all channels."""
    found = [
        {**each, "channel": channel["name"]} for channel in told["channels"] for each in channel["worst"]
    ]
    return sorted(found, key=lambda each: -each["least_seconds"])[:20]
