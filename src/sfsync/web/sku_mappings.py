"""Mappings of SKUs that the org does not have: a sheet of them given, those that are kept, one removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.count_file import FileError, decode
from sfsync.domain.sku_mapping import Sheet, read, read_rows
from sfsync.domain.stock import SKU_LENGTH

from .json_text import BadJsonError, from_json, to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, sentence
from .requests import read_body, read_object
from .rights import party_of, who
from .services import MappingDesk
from .wishes import Fields

FLAGS = ("partial", "dry_run")


class MappingApi:
    """The handlers of ``/v1/sku-mappings``."""

    def __init__(self, desk: MappingDesk, options: WebOptions) -> None:
        self._desk, self._options = desk, options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/sku-mappings", self.list, methods=["GET"]),
            Route("/v1/sku-mappings", self.give, methods=["POST"]),
            Route("/v1/sku-mappings/remove", self.remove, methods=["POST"]),
        ]

    async def list(self, request: Request) -> Response:
        """Those that are kept."""
        return _json({"mappings": await self._desk.kept()})

    async def give(self, request: Request) -> Response:
        """Keep a sheet's mappings, as CSV or JSON, and have what they mend tried again.

        200 done (or a dry run, or only the good rows by `partial`); 409 so many that a person must name the
        number; 422 a row is bad and nothing was kept; 503 the org is still being read.
        """
        party = party_of(request)
        partial, dry_run, yes_change = _query(request.query_params)
        body = await read_body(request, self._options.max_body_bytes, self._options.body_seconds)
        media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type not in ("text/csv", "application/json"):
            raise ProblemError(415, "not-csv", "Send Content-Type: text/csv, or application/json.")
        sheet = read_csv(body) if media_type == "text/csv" else _of_json(body)
        by = who(party)
        told = await self._desk.give(sheet, by, partial=partial, dry_run=dry_run, yes_change=yes_change)
        if not dry_run and not told["applied"]:
            raise refusal(told, partial=partial)
        return _json(told)

    async def remove(self, request: Request) -> Response:
        """Keep one no longer; 404 where there is none."""
        party = party_of(request)
        limits = self._options.max_body_bytes, self._options.body_seconds
        old, channel = _removal(await read_object(request, *limits))
        if not await self._desk.remove(old, channel, who(party)):
            raise no_mapping(old, channel)
        return _json({"removed": old, "channel": channel or None})


def read_csv(body: bytes) -> Sheet:
    """The sheet of a CSV file; a 422 problem where it cannot be read as a whole."""
    try:
        return read(decode(body))
    except FileError as error:
        raise ProblemError(422, "bad-file", sentence(str(error))) from None


def refusal(told: Mapping[str, Any], *, partial: bool) -> ProblemError:
    """Why a sheet was not kept."""
    if told["errors"] and not partial:
        errors = told["errors"]
        first = "; ".join(f"line {each['line']} {each['detail']}" for each in errors[:5])
        detail = f"Nothing was mapped: {first}." + (" And more." if len(errors) > 5 else "")
        return ProblemError(422, "bad-mappings", detail, more=told)
    detail = (
        f"These are {told['new']} new mappings, and the org has {told['skus']} SKUs: look at them, then name "
        "the number."
    )
    return ProblemError(409, "maps-too-much", detail, more={**told, "changes": told["new"]})


def no_mapping(old: str, channel: str) -> ProblemError:
    """There is nothing to remove."""
    whose = f"{channel}'s own" if channel else "everybody's"
    return ProblemError(404, "no-such-mapping", f"{old} is not mapped, as {whose} mapping.")


def _of_json(body: bytes) -> Sheet:
    try:
        value = from_json(body)
    except BadJsonError as error:
        raise ProblemError(400, "bad-json", sentence(str(error))) from None
    rows = value.get("mappings") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise bad_fields({"mappings": "is not a list with at least one object"})
    if unknown := value.keys() - {"mappings"}:
        raise bad_fields({name[:40]: "is not known; known is mappings" for name in unknown})
    return read_rows(rows)


def _query(table: Mapping[str, str]) -> tuple[bool, bool, int | None]:
    """(partial, dry run, the number of new mappings that a person names)."""
    known = (*FLAGS, "yes_change")
    errors = {name[:40]: f"is not known; known are {', '.join(known)}" for name in table if name not in known}
    for name in FLAGS:
        if table.get(name, "false") not in ("true", "false"):
            errors[name] = "is not true or false"
    text = table.get("yes_change")
    if text is not None and not (text.isascii() and text.isdigit() and len(text) < 10):
        errors["yes_change"] = "is not a whole number"
    if errors:
        raise bad_fields(errors)
    return table.get("partial") == "true", table.get("dry_run") == "true", int(text) if text else None


def _removal(table: Mapping[str, Any]) -> tuple[str, str]:
    fields = Fields()
    fields.unknown(table, ("old", "channel"))
    old = fields.text(table, "old", SKU_LENGTH)
    channel = fields.optional_text(table, "channel", 40) or ""
    if fields.errors:
        raise bad_fields(fields.errors)
    return old, channel


def _json(value: object) -> Response:
    return Response(to_json(value), 200, {"Cache-Control": "no-store"}, "application/json")
