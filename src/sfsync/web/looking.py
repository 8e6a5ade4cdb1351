"""The pages behind the dashboard: a SKU with the sum of its numbers and their life; the IRA over time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.ira import EXACT
from sfsync.domain.ira_wish import IraWish
from sfsync.domain.why import NotKeptError, UnknownSkuError
from sfsync.ports import OutsideError

from .charts import Band, Chart, curve, steps
from .options import WebOptions
from .page import Page
from .problems import ProblemError, sentence
from .services import Services
from .wishes import read_question

WEEKS = 26
KEPT = timedelta(minutes=1)
PATIENCE_SECONDS = 0.5  # for which a page waits for what is being worked out
LOWEST = 70.0  # percent at the foot of an accuracy chart, unless a line goes deeper
PLACES = 12  # of whose lines there are charts


class Looking:
    """The handlers of ``/sku`` and ``/accuracy``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page
        self._accuracy: tuple[datetime, dict[str, Any]] | None = None
        self._working: asyncio.Task[None] | None = None

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/sku", self.sku, methods=["GET"]),
            Route("/accuracy", self.accuracy, methods=["GET"]),
        ]

    async def sku(self, request: Request) -> Response:
        """One SKU: why its numbers are what they are, now or then, and their life; or that of one piece."""
        party, code, trouble = self._page.visitor(request), 200, ""
        told: Mapping[str, Any] | None = None
        life: Mapping[str, Any] | None = None
        query = {name: text for name, text in request.query_params.items() if text.strip()}
        at = query.get("at", "")
        try:
            question = read_question(_with_offset(query), self._options.channels, self._services.now())
            told = await self._services.why.tell(question)
        except ProblemError as error:
            code, trouble = error.status, error.detail
        except UnknownSkuError as error:
            code, trouble = 404, sentence(str(error))
        except NotKeptError as error:
            code, trouble = 410, sentence(str(error))
        except OutsideError as error:
            code, trouble = 503, sentence(str(error))
        known = code in (410, 503) or (told is not None and told["levels"])
        if known and "unit" not in query and self._services.lives is not None:
            life = await self._services.lives.tell(query["sku"])
        return self._page.render(
            "sku.html",
            request,
            party,
            status_code=code,
            sku=query.get("sku", ""),
            unit=query.get("unit", ""),
            at=at.removesuffix("Z"),
            told=told,
            trouble=trouble,
            life=life,
            charts=_charts(life) if life else [],
        )

    async def accuracy(self, request: Request) -> Response:
        """The exact IRA of each location, week by week.

        Half a year of a large house's counts takes seconds: the page shows what was worked out before, and
        where nothing was, it says so and asks again.
        """
        now = self._services.now()
        if self._accuracy is None or not self._accuracy[0] <= now < self._accuracy[0] + KEPT:
            if self._working is None or self._working.done():
                self._working = asyncio.create_task(self._work_out(now))
            await asyncio.wait([self._working], timeout=PATIENCE_SECONDS)
            if self._working.done():
                self._working.result()  # a failure is told to whoever asked
        rows = self._accuracy[1]["rows"] if self._accuracy is not None else []
        places = {
            row["location"]: [each for each in rows if each["location"] == row["location"]] for row in rows
        }
        return self._page.render(
            "accuracy.html",
            request,
            self._page.visitor(request),
            weeks=WEEKS,
            waiting=self._accuracy is None,
            places=[_place(name, weeks) for name, weeks in places.items()],
            drawn=PLACES,
        )

    async def _work_out(self, now: datetime) -> None:
        wish = IraWish(now - timedelta(weeks=WEEKS), now, ("location", "week"), (EXACT,))
        self._accuracy = now, {**await self._services.reports.ira(wish)}


def _with_offset(query: Mapping[str, str]) -> dict[str, str]:
    """The field for date and time gives no offset: it is labelled as UTC."""
    given = dict(query)
    if at := given.get("at"):
        try:
            if datetime.fromisoformat(at).tzinfo is None:
                given["at"] = f"{at}Z"
        except ValueError:
            pass  # told with all other mistakes
    return given


def _charts(life: Mapping[str, Any]) -> list[Mapping[str, object]]:
    """A chart for each level that has moved, those with the newest movement first."""
    moved = [each for each in life["lines"] if each["points"]]
    moved.sort(key=lambda each: str(each["points"][-1]["at"]), reverse=True)
    return [_history(each, _seconds(life["until"])) for each in moved[:PLACES]]


def _history(line: Mapping[str, Any], until: float) -> Mapping[str, object]:
    points = line["points"]
    on_hand = [(_seconds(each["at"]), each["on_hand"]) for each in points]
    available = [(_seconds(each["at"]), each["on_hand"] - each["reserved"]) for each in points]
    return {
        "name": f"{line['location']} {line['unit'] or ''}".strip(),
        "chart": steps({"on-hand": on_hand, "available": available}, until),
        "since": points[0]["at"],
        "folded": line["since"],
        "last": points[-1],
        "points": points[::-1],
    }


def _place(name: str, weeks: Sequence[Mapping[str, Any]]) -> Mapping[str, object]:
    seen = [(_monday(each["week"]), each["accuracy"][0]) for each in weeks if each["accuracy"][0]["n"]]
    return {
        "name": name,
        "weeks": [(monday.isoformat(), accuracy) for monday, accuracy in reversed(seen)],
        "chart": _accuracy_chart(seen) if seen else None,
        "first": seen[0][0].isoformat() if seen else "",
        "last": seen[-1][0].isoformat() if seen else "",
    }


def _accuracy_chart(seen: Sequence[tuple[date, Mapping[str, Any]]]) -> Chart:
    deepest = [each["percent"] for _, each in seen]
    if len(seen) == 1:  # its whole interval is drawn
        deepest.append(seen[0][1]["low"])
    low = min(LOWEST, *(each // 10 * 10 for each in deepest))
    points = [(float(monday.toordinal()), each["percent"]) for monday, each in seen]
    band = Band([(float(monday.toordinal()), each["low"], each["high"]) for monday, each in seen])
    return curve(points, band, low=low, high=100.0)


def _monday(week: str) -> date:
    year, _, number = week.partition("-W")
    return date.fromisocalendar(int(year), int(number), 1)


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment).astimezone(UTC).timestamp()
