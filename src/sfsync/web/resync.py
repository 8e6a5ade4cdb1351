"""Comparisons over HTTP: begin one, follow it, read its plan, apply it, or bring a plan from a file."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.resync import (
    CODES,
    BusyError,
    Cause,
    Difference,
    NobodyKnowsError,
    Scope,
    TooMuchError,
    WrittenPlan,
)
from sfsync.domain.stock import LOCATION_LENGTH, SKU_LENGTH

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, later, sentence
from .requests import read_object
from .services import Services
from .wishes import Fields

MOST_ROWS = 5_000  # in one page
MOST_NAMED = 1_000  # SKUs, say, in one wish
MOST_TOLD = 20  # wrong rows of a plan
BIGGEST = 1_000_000_000
VERSION = 1

_SCOPE = ("skus", "channels", "locations", "changed_since", "causes", "org")
_BUSY = ProblemError(409, "already-applying", "A plan is being applied; wait for its end.")


class ResyncApi:
    """The handlers of ``/v1/resync``."""

    def __init__(self, services: Services, options: WebOptions) -> None:
        self._reconciler, self._drift = services.reconciler, services.drift
        self._options, self._now = options, services.now

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/resync", self.begin, methods=["POST"]),
            Route("/v1/resync", self.last, methods=["GET"]),
            Route("/v1/resync/plan", self.bring, methods=["POST"]),
            Route("/v1/resync/{id}", self.run, methods=["GET"]),
            Route("/v1/resync/{id}/rows", self.rows, methods=["GET"]),
            Route("/v1/resync/{id}/rows", self.bring_rows, methods=["POST"]),
            Route("/v1/resync/{id}/apply", self.apply, methods=["POST"]),
            Route("/v1/drift", self.drift, methods=["GET"]),
        ]

    async def begin(self, request: Request) -> Response:
        """Begin to compare: 202. Nothing is changed."""
        scope = read_scope(await self._body(request), self._options.channels, self._now())
        try:
            run = await self._reconciler.begin(scope)
        except BusyError:
            raise _BUSY from None
        except NobodyKnowsError as error:
            raise bad_fields(error.problems) from None
        return _json(run, 202, {"Location": f"/v1/resync/{run['id']}"})

    async def last(self, request: Request) -> Response:
        """The newest comparison."""
        run = await self._reconciler.last()
        if run is None:
            raise ProblemError(404, "no-such-plan", "Nothing has been compared yet.")
        return _json(run)

    async def bring(self, request: Request) -> Response:
        """Take in a plan from a file: 201; apply it by its new id. With `more`, further rows follow."""
        body = await self._body(request)
        plan = read_plan(body, self._options.channels)
        try:
            run = await self._reconciler.bring(plan, more=_more(body))
        except BusyError:
            raise _BUSY from None
        except ValueError as error:
            raise bad_fields({"org": str(error)}) from None
        return _json(run, 201, {"Location": f"/v1/resync/{run['id']}"})

    async def bring_rows(self, request: Request) -> Response:
        """Take in further rows of a plan that is coming in: 200; without `more` they were the last."""
        body, fields = await self._body(request), Fields()
        fields.unknown(body, ("rows", "more"))
        rows = _differences(fields, body, self._options.channels)
        if fields.errors:
            raise bad_fields(fields.errors)
        try:
            told = await self._reconciler.bring_rows(request.path_params["id"], rows, more=_more(body))
        except KeyError:
            raise _gone() from None
        except ValueError as error:
            raise bad_fields({"rows": str(error)}) from None
        return _json(told)

    async def run(self, request: Request) -> Response:
        """How far a comparison is."""
        try:
            return _json(await self._reconciler.run(request.path_params["id"]))
        except KeyError:
            raise _gone() from None

    async def rows(self, request: Request) -> Response:
        """Rows of its plan; ``?after=`` thrice: channel, SKU and location of the last row known."""
        after, limit = _page(request)
        try:
            return _json(await self._reconciler.rows(request.path_params["id"], after, limit))
        except KeyError:
            raise _gone() from None

    async def apply(self, request: Request) -> Response:
        """Begin to apply a plan: 202; 409 where a person must name how many numbers it changes."""
        body, fields = await self._body(request), Fields()
        fields.unknown(body, ("yes_change",))
        named = None
        if body.get("yes_change") is not None:
            named = fields.whole(body, "yes_change", BIGGEST, least=0)
        if fields.errors:
            raise bad_fields(fields.errors)
        try:
            return _json(await self._reconciler.apply(request.path_params["id"], named), 202)
        except KeyError:
            raise _gone() from None
        except TooMuchError as error:
            more = {"changes": error.changes}
            raise ProblemError(409, "changes-too-much", sentence(str(error)), more=more) from None

    async def drift(self, request: Request) -> Response:
        """What differs although nothing is under way."""
        if self._drift is None:
            raise later("Nobody looks for drift here.")
        return _json(await self._drift.tell())

    async def _body(self, request: Request) -> dict[str, object]:
        limits = self._options.max_body_bytes, self._options.body_seconds
        return await read_object(request, *limits, needed=False)


def _gone() -> ProblemError:
    detail = "There is no such plan: it was applied, or a newer one took its place."
    return ProblemError(404, "no-such-plan", detail)


def _page(request: Request) -> tuple[tuple[str, str, str], int]:
    errors = {}
    after = request.query_params.getlist("after")
    if len(after) not in (0, 3):
        errors["after"] = "is not given three times: channel, SKU and location"
    text = request.query_params.get("limit", str(MOST_ROWS))
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0
    if not 1 <= limit <= MOST_ROWS:
        errors["limit"] = f"is not between 1 and {MOST_ROWS}"
    if errors:
        raise bad_fields(errors)
    return (after[0], after[1], after[2]) if after else ("", "", ""), limit


def read_scope(table: Mapping[str, Any], channels: Collection[str], now: datetime) -> Scope:
    """What a comparison is limited to; a 422 problem with all bad fields otherwise."""
    fields = Fields()
    fields.unknown(table, _SCOPE)
    lists = {
        name: _texts(fields, table, name, longest)
        for name, longest in (
            ("skus", SKU_LENGTH),
            ("channels", 40),
            ("locations", LOCATION_LENGTH),
            ("causes", 40),
        )
    }
    for name, known in (("channels", sorted(channels)), ("causes", sorted(CODES))):
        if unknown := [each for each in lists[name] if each not in known]:
            fields.errors[name] = f"has {unknown[0]!r}, which is none of {', '.join(known)}"
    since = fields.moment(table, "changed_since") if table.get("changed_since") is not None else None
    if since is not None and since > now:
        fields.errors["changed_since"] = f"lies ahead: it is {now:%Y-%m-%dT%H:%M:%SZ}"
    org = table.get("org") is None or fields.flag(table, "org")
    if fields.errors:
        raise bad_fields(fields.errors)
    return Scope(**lists, changed_since=since, org=org)


def _texts(fields: Fields, table: Mapping[str, Any], name: str, longest: int) -> tuple[str, ...]:
    value = table.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MOST_NAMED:
        fields.errors[name] = f"is not a list of at most {MOST_NAMED} texts"
        return ()
    read = [
        fields.text({f"{name}[{number}]": each}, f"{name}[{number}]", longest)
        for number, each in enumerate(value)
    ]
    return tuple(dict.fromkeys(each for each in read if each))


def read_plan(table: Mapping[str, Any], channels: Collection[str]) -> WrittenPlan:
    """A plan from a file: its version, org, time and rows; whatever else stands there is for people."""
    fields = Fields()
    if table.get("version") != VERSION:
        fields.errors["version"] = f"is not {VERSION}: the plan was written by another version of sfsync"
    org = fields.text(table, "org", 18)
    made_at = fields.moment(table, "made_at")
    found = _differences(fields, table, channels)
    if fields.errors or made_at is None:
        raise bad_fields(fields.errors)
    return WrittenPlan(made_at, org, tuple(found))


def _more(table: Mapping[str, Any]) -> bool:
    """Whether further rows follow."""
    fields = Fields()
    more = fields.flag(table, "more")
    if fields.errors:
        raise bad_fields(fields.errors)
    return more


def _differences(fields: Fields, table: Mapping[str, Any], channels: Collection[str]) -> list[Difference]:
    rows = table.get("rows")
    found: list[Difference] = []
    if not isinstance(rows, list) or not rows:
        fields.errors["rows"] = "is not a list with at least one row"
        rows = []
    places: set[tuple[str, str, str]] = set()
    for number, row in enumerate(rows):
        read = _difference(fields, row, f"rows[{number}]", channels)
        if read is not None:
            if (place := (read.channel, read.sku, read.location)) in places:
                fields.errors[f"rows[{number}]"] = "names the same number as a row before"
            places.add(place)
            found.append(read)
        if len(fields.errors) >= MOST_TOLD:
            break
    return found


def _difference(fields: Fields, row: object, at: str, channels: Collection[str]) -> Difference | None:
    if not isinstance(row, dict):
        fields.errors[at] = "is not an object"
        return None
    before = len(fields.errors)
    channel = fields.text(row, "channel", 40, f"{at}.")
    if channel and channel not in channels:
        fields.errors[f"{at}.channel"] = f"is none of {', '.join(sorted(channels))}"
    sku = fields.text(row, "sku", SKU_LENGTH, f"{at}.")
    location = fields.text(row, "location", LOCATION_LENGTH, f"{at}.")
    numbers = {
        name: None if row.get(name) is None else fields.whole(row, name, BIGGEST, f"{at}.", least=-BIGGEST)
        for name in ("shows", "target")
    }
    text = fields.text(row, "cause", 80, f"{at}.")
    if text and text not in set(Cause):
        fields.errors[f"{at}.cause"] = "is not known"
    if len(fields.errors) > before:
        return None
    return Difference(channel, sku, location, numbers["shows"], numbers["target"], Cause(text))


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        to_json(value), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )
