"""Stock counts: what somebody counted, where and when, each entered once; and the reports on them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.counts import REMEDIES, Count, CountOutcome, Sure, identity, second
from sfsync.domain.ira_wish import BadWishError, read_wish
from sfsync.domain.stock import LOCATION_LENGTH, SKU_LENGTH, BadKeyError, LevelKey
from sfsync.domain.turnover_wish import TurnoverWish, read_turnover
from sfsync.domain.values import replace

from .json_text import to_json
from .options import Sight, WebOptions
from .problems import RETRY_SECONDS, ProblemError, bad_fields, sentence
from .requests import read_object
from .rights import party_of, sight_of
from .services import Services
from .wishes import Fields, read_idempotency_key

MOST_COUNTS = 200
LONGEST_ID = 120
LONGEST_WORDS = 100
FIELDS = ("id", "sku", "location", "unit", "quantity", "counted_at", "counted_by", "reason")
MOST_TOLD = 999_999_999  # what can be written as a number; what is believed is for the desk to say
MOST_SURE = 1_000_000


@dataclass(frozen=True, slots=True)
class CountWish:
    """A request's counts, and how they are to be taken."""

    counts: tuple[Count, ...]
    partial: bool
    dry_run: bool
    sure: Sure


class CountApi:
    """The handlers of ``/v1/counts`` and ``/v1/reports``."""

    def __init__(self, services: Services, options: WebOptions) -> None:
        self._desk, self._reports, self._now = services.counts, services.reports, services.now
        self._options = options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/counts", self.enter, methods=["POST"]),
            Route("/v1/reports/ira", self.ira, methods=["GET"]),
            Route("/v1/reports/sell-through", self.sell_through, methods=["GET"]),
            Route("/v1/reports/replenish", self.replenish, methods=["GET"]),
            Route("/v1/reports/count-next", self.count_next, methods=["GET"]),
        ]

    async def enter(self, request: Request) -> Response:
        """Enter counts.

        201 all are in the org; 202 some wait for its answer; 200 not all were taken (`partial`, `dry_run`);
        422 one is wrong and nothing was entered; 503 the org did not answer for some: send the same again.
        """
        party = party_of(request)
        key = read_idempotency_key(request.headers.get("idempotency-key"), party.owner(None))
        body = await read_object(request, self._options.max_body_bytes, self._options.body_seconds)
        wish = read_counts(body, sight_of(request))
        if key is not None and not wish.dry_run and not await self._desk.sheet(key, _digest(wish)):
            detail = "This Idempotency-Key came with other counts before."
            raise ProblemError(422, "key-reused", detail)
        outcomes = await self._desk.enter_all(
            wish.counts, partial=wish.partial, dry_run=wish.dry_run, sure=wish.sure
        )
        rows = [describe(*each) for each in zip(wish.counts, outcomes, strict=True)]
        errors = _errors(wish.counts, outcomes)
        states = {outcome.state for outcome in outcomes} - {""}
        if any(outcome.problem == "try-later" for outcome in outcomes):
            detail = "The org did not answer for some of the counts; those that are in stay in."
            more = {"errors": errors, "counts": rows}
            wait = {"Retry-After": str(RETRY_SECONDS)}
            raise ProblemError(503, "later", detail, headers=wait, more=more)
        if errors and not states and not wish.partial and not wish.dry_run:
            raise _nothing_entered(errors)
        status = 200 if errors or wish.dry_run else 202 if "waiting" in states else 201
        return _json({"counts": rows, "errors": errors}, status)

    async def ira(self, request: Request) -> Response:
        """Inventory Record Accuracy; 422 names what cannot be asked."""
        with _bad_wishes():
            wish = read_wish(request.query_params, self._now())
            wish = replace(wish, location=_reported(request, wish.location))
            return _json(await self._reports.ira(wish))

    async def sell_through(self, request: Request) -> Response:
        """What sold, of what could have been sold."""
        with _bad_wishes():
            return _json(await self._reports.sell_through(_turnover(request)))

    async def replenish(self, request: Request) -> Response:
        """What lacks where, whence it may come, and what is over-bought."""
        with _bad_wishes():
            return _json(await self._reports.replenish(_turnover(request)))

    async def count_next(self, request: Request) -> Response:
        """What to count next, and why."""
        with _bad_wishes():
            return _json(await self._reports.count_next(_turnover(request)))


@contextmanager
def _bad_wishes() -> Iterator[None]:
    """What cannot be asked of a report is a 422 problem with all bad fields."""
    try:
        yield
    except BadWishError as error:
        raise bad_fields(error.problems) from None


def _turnover(request: Request) -> TurnoverWish:
    wish = read_turnover(request.query_params)
    return replace(wish, location=_reported(request, wish.location))


def _reported(request: Request, location: str | None) -> str | None:
    """The location that a report is about; who has one only need not name it."""
    own = sight_of(request).locations
    if own is None or (location is not None and location in own):
        return location
    if location is None and len(own) == 1:
        return next(iter(own))
    what = "is missing" if location is None else "is no location of this token"
    raise bad_fields({"location": f"{what}; give one of {', '.join(sorted(own))}"})


def read_counts(table: Mapping[str, Any], sight: Sight) -> CountWish:
    """The counts of a request; a 422 problem with all bad fields otherwise, other people's locations too."""
    fields = Fields()
    fields.unknown(table, ("counts", "partial", "dry_run", "most_units", "old"))
    rows = table.get("counts")
    counts: list[Count] = []
    if not isinstance(rows, list) or not rows:
        fields.errors["counts"] = "is not a list with at least one count"
    elif len(rows) > MOST_COUNTS:
        fields.errors["counts"] = f"has more than {MOST_COUNTS} counts; send them in several requests"
    else:
        counts = [_count(fields, row, f"counts[{number}]") for number, row in enumerate(rows)]
        for number, each in enumerate(counts):
            if each is not _NOWHERE and not sight.at(each.level.location):
                own = ", ".join(sorted(sight.locations or ())) or "none"
                fields.errors[f"counts[{number}].location"] = f"is no location of this token; it has {own}"
    seen: dict[object, int] = {}
    for number, count in enumerate(counts):
        if count is _NOWHERE:
            continue
        before = min(
            seen.setdefault((count.level, second(count.at)), number), seen.setdefault(count.subject, number)
        )
        if before != number:
            fields.errors[f"counts[{number}]"] = (
                f"counts the same stock as counts[{before}], at its moment or under its id; "
                "add them up, or drop one"
            )
    partial, dry_run = fields.flag(table, "partial"), fields.flag(table, "dry_run")
    most = None if table.get("most_units") is None else fields.whole(table, "most_units", MOST_SURE)
    sure = Sure(most, fields.flag(table, "old"))
    if fields.errors:
        raise bad_fields(fields.errors)
    return CountWish(tuple(counts), partial, dry_run, sure)


_NOWHERE = Count("", LevelKey("-", "-"), 0, datetime.fromtimestamp(0, UTC))


def _count(fields: Fields, row: object, at: str) -> Count:
    if not isinstance(row, dict):
        fields.errors[at] = "is not an object"
        return _NOWHERE
    known, dot = len(fields.errors), f"{at}."
    fields.unknown(row, FIELDS, dot)
    sku = fields.text(row, "sku", SKU_LENGTH, dot)
    location = fields.text(row, "location", LOCATION_LENGTH, dot)
    unit = fields.optional_text(row, "unit", 80, dot)
    units = fields.whole(row, "quantity", MOST_TOLD, dot, least=0)
    moment = fields.moment(row, "counted_at", dot)
    by = fields.optional_text(row, "counted_by", LONGEST_WORDS, dot) or ""
    reason = fields.optional_text(row, "reason", LONGEST_WORDS, dot) or ""
    count_id = fields.optional_text(row, "id", LONGEST_ID, dot)
    if unit and units > 1:
        fields.errors.setdefault(f"{dot}quantity", "is more than 1, but the row names one piece")
    if len(fields.errors) > known or moment is None:
        return _NOWHERE
    try:
        level = LevelKey(sku, location, unit)
    except BadKeyError as error:
        fields.errors[at] = f"cannot be a stock level: {error}"
        return _NOWHERE
    return Count(count_id or identity(moment, by), level, units, moment, "", by, reason)


def describe(count: Count, outcome: CountOutcome) -> dict[str, object]:
    """What became of one count. `expected` is what the ledger held at its moment."""
    state = "problem" if outcome.problem else outcome.state or "not entered"
    return {
        "id": count.count_id,
        "sku": count.level.sku,
        "location": count.level.location,
        "unit": count.level.unit,
        "quantity": count.units,
        "counted_at": _moment(count.at),
        "state": state,
        "expected": None if outcome.variance is None else count.units - outcome.variance,
        "variance": outcome.variance,
        "again": outcome.again,
        "problem": outcome.problem,
    }


def _errors(counts: Sequence[Count], outcomes: Sequence[CountOutcome]) -> list[dict[str, object]]:
    return [
        {
            "row": number + 1,
            "field": f"counts[{number}]",
            "sku": count.level.sku,
            "kind": outcome.problem,
            "detail": outcome.detail,
            "remedy": REMEDIES.get(outcome.problem, ""),
        }
        for number, (count, outcome) in enumerate(zip(counts, outcomes, strict=True))
        if outcome.problem
    ]


def _nothing_entered(errors: Sequence[Mapping[str, object]]) -> ProblemError:
    told = "; ".join(f"row {each['row']}: {each['detail']}" for each in errors[:5])
    detail = f"Nothing was entered. {sentence(told)}" + (" And more." if len(errors) > 5 else "")
    return ProblemError(422, "bad-counts", detail, more={"errors": errors})


def _digest(wish: CountWish) -> str:
    """The same for the same counts, however their JSON was written."""
    rows = [
        [each.count_id, str(each.level), each.units, _moment(each.at), each.counted_by, each.reason]
        for each in wish.counts
    ]
    return hashlib.sha256(to_json(rows)).hexdigest()


def _moment(at: datetime) -> str:
    return second(at).astimezone(UTC).isoformat().replace("+00:00", "Z")


def _json(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, {"Cache-Control": "no-store"}, "application/json")
