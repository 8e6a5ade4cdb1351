"""What channels should show, page by page in the order of the last changes: to begin with, or to catch up."""

from __future__ import annotations

import base64
import binascii

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.callbacks import NumberPlace
from sfsync.ports import ChannelLevel

from .json_text import BadJsonError, from_json, to_json
from .options import WebOptions
from .problems import bad_fields
from .rights import sight_of
from .services import NumberTeller
from .status_shape import LevelRow
from .wishes import Fields, known_to

MOST_LEVELS, USUAL_LEVELS = 1000, 200
MOST_SKUS = 100
LONGEST_SKU, LONGEST_CURSOR = 255, 2000
LARGEST_SEQUENCE = 2**53
FIELDS = ("channel", "sku", "after", "limit")


class LevelApi:
    """The handler of ``/v1/levels``."""

    def __init__(self, teller: NumberTeller, options: WebOptions) -> None:
        self._teller, self._options = teller, options

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/v1/levels", self.page, methods=["GET"])]

    async def page(self, request: Request) -> Response:
        """Numbers, the ones that changed longest ago first; `cursor` is the `after` of the next page."""
        channels, skus, after, limit = self._read(request)
        found = list(await self._teller.page(channels, skus, after, limit + 1))
        page = found[:limit]
        given = request.query_params.get("after")
        told = {
            "levels": [describe(level) for level in page],
            "cursor": cursor_of(page[-1]) if page else given,
            "more": len(found) > limit,
        }
        return Response(to_json(told), 200, {"Cache-Control": "no-store"}, "application/json")

    def _read(self, request: Request) -> tuple[frozenset[str], list[str] | None, NumberPlace | None, int]:
        """(channels, SKUs or all, from after where, most); a 422 problem with all that is wrong otherwise."""
        table, fields, known = (
            request.query_params,
            Fields(),
            known_to(sight_of(request), self._options.channels),
        )
        fields.unknown(table, FIELDS)
        channel = table.get("channel")
        if channel is not None and channel not in known:
            fields.errors["channel"] = f"is none of {', '.join(sorted(known))}"
        skus = table.getlist("sku")
        if len(skus) > MOST_SKUS:
            fields.errors["sku"] = f"is given more than {MOST_SKUS} times"
        for sku in skus:
            fields.text({"sku": sku}, "sku", LONGEST_SKU)
        after = None
        if (given := table.get("after")) is not None and (after := place_of(given)) is None:
            fields.errors["after"] = "is no cursor of an answer of ours"
        text = table.get("limit", str(USUAL_LEVELS))
        limit = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
        if not 1 <= limit <= MOST_LEVELS:
            fields.errors["limit"] = f"is not between 1 and {MOST_LEVELS}"
        if fields.errors:
            raise bad_fields(fields.errors)
        return known if channel is None else frozenset({channel}), skus or None, after, limit


def describe(level: ChannelLevel) -> LevelRow:
    """A number, as JSON."""
    return LevelRow(
        channel=level.channel,
        sku=level.sku,
        location=level.location,
        quantity=max(0, level.target or 0),
        sequence=level.sequence,
    )


def cursor_of(level: ChannelLevel) -> str:
    """The place after a number; of no meaning to whoever holds it."""
    place = [level.sequence, level.channel, level.sku, level.location]
    return base64.urlsafe_b64encode(to_json(place)).decode().rstrip("=")


def place_of(cursor: str) -> NumberPlace | None:
    """The place that a cursor stands for; None when it is none."""
    if len(cursor) > LONGEST_CURSOR:
        return None
    try:
        place = from_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, BadJsonError, ValueError):
        return None
    if not isinstance(place, list) or len(place) != 4 or not all(isinstance(part, str) for part in place[1:]):
        return None
    sequence = place[0]
    if isinstance(sequence, bool) or not isinstance(sequence, int) or not 0 <= sequence <= LARGEST_SEQUENCE:
        return None
    return NumberPlace(sequence, *place[1:])
