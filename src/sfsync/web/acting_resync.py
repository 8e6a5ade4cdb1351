"""Comparing org and channels on a page, and putting them right: `sfsync resync` and `drift --apply`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.resync import CODES, BusyError, NobodyKnowsError, TooMuchError

from .options import WebOptions
from .page import Page
from .problems import ProblemError, sentence
from .resync import MOST_NAMED, read_scope
from .rights import form_of
from .services import Services

SHOWN = 100  # rows of a plan on one page
_LABELS = {"skus": "the field SKUs", "locations": "the field location"}
SPANS = (("1", "hour"), ("24", "day"), ("168", "week"))  # hours in which something has changed


class ActingResync:
    """The handlers of ``/resync``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/resync", self.look, methods=["GET"]),
            Route("/resync", self.do, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """The last comparison with its plan, and the forms to compare and to apply."""
        return await self._render(request)

    async def do(self, request: Request) -> Response:
        """Compare (all, some, or what drift names), or apply the plan that was looked at."""
        fields = form_of(request)
        if fields.get("do") == "apply":
            return await self._apply(request, fields)
        try:
            scope = read_scope(await self._wish(fields), self._options.channels, self._services.now())
            await self._services.reconciler.begin(scope)
        except BusyError:
            return await self._render(request, 409, "A plan is being applied; wait for its end.")
        except NobodyKnowsError as error:
            trouble = "; ".join(f"{_LABELS[name]} {what}" for name, what in error.problems.items())
            return await self._render(request, 422, sentence(trouble), fields=fields)
        except ProblemError as error:
            return await self._render(request, error.status, error.detail, fields=fields)
        return await self._render(request)

    async def _wish(self, fields: Mapping[str, str]) -> dict[str, Any]:
        if fields.get("do") == "drift":
            return {"skus": (await self._drifted())[:MOST_NAMED]}
        wish: dict[str, Any] = {}
        if skus := [sku for line in fields.get("skus", "").splitlines() if (sku := line.strip())]:
            wish["skus"] = skus
        if channel := fields.get("channel", "").strip():
            wish["channels"] = [channel]
        if location := fields.get("location", "").strip():
            wish["locations"] = [location]
        if cause := fields.get("cause", "").strip():
            wish["causes"] = [cause]
        if (hours := fields.get("changed", "").strip()) in dict(SPANS):
            wish["changed_since"] = (self._services.now() - timedelta(hours=int(hours))).isoformat()
        return wish

    async def _apply(self, request: Request, fields: Mapping[str, str]) -> Response:
        named = fields.get("yes_change", "").strip()
        if named and not (named.isascii() and named.isdigit() and len(named) < 10):
            return await self._render(request, 422, "The number of changes is not a whole number.")
        try:
            run = fields.get("run", "")
            await self._services.reconciler.apply(run, int(named) if named else None)
        except KeyError:
            told = "There is no such plan any more: it was applied, or a newer one took its place."
            return await self._render(request, 409, told)
        except TooMuchError as error:
            told = f"{sentence(str(error))} Nothing was changed. Look at the rows; then give the number."
            return await self._render(request, 409, told, changes=error.changes)
        return await self._render(request, done="It is being applied.")

    async def _drifted(self) -> list[str]:
        """The SKUs that drift names."""
        if self._services.drift is None:
            return []
        told: Mapping[str, Any] = await self._services.drift.tell()
        return list(dict.fromkeys(row["sku"] for row in told["open"]))

    async def _render(
        self,
        request: Request,
        status_code: int = 200,
        trouble: str = "",
        *,
        done: str = "",
        changes: int | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        run: Any = await self._services.reconciler.last()
        after = request.query_params.getlist("after")
        place = (after[0], after[1], after[2]) if len(after) == 3 else ("", "", "")
        rows: Any = {"rows": [], "next": None}
        if run is not None and run["ended"]:
            rows = await self._services.reconciler.rows(run["id"], place, SHOWN)
        return self._page.render(
            "resync.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            run=run,
            rows=rows["rows"],
            following=rows["next"],
            changes=changes,
            drifted=len(await self._drifted()),
            channels=sorted(self._options.channels),
            now=self._services.now().isoformat(),
            trouble=trouble,
            done=done,
            fields=fields or {},
            causes=list(CODES),
            spans=SPANS,
        )
