"""The end of a channel that is not in the settings any more, over the API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.letters import LONGEST_NAME, LONGEST_REASON

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, sentence
from .requests import read_object
from .rights import party_of, who
from .services import ChannelForgetter
from .wishes import Fields

LONGEST_CHANNEL = 40
STATUS = {"in-settings": 409, "still-set-aside": 409, "unknown-channel": 404}


class ForgettingApi:
    """The handler of ``/v1/channels/forget``."""

    def __init__(self, forgetter: ChannelForgetter, options: WebOptions) -> None:
        self._forgetter, self._options = forgetter, options

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/v1/channels/forget", self.forget, methods=["POST"])]

    async def forget(self, request: Request) -> Response:
        """Forget what is kept of a channel; 404 nothing is, 409 it is in the settings, or has units."""
        party = party_of(request)
        limits = self._options.max_body_bytes, self._options.body_seconds
        channel, by, reason = _wish(await read_object(request, *limits))
        told = await self._forgetter.forget(channel, party.person or by or who(party), reason)
        if told.problem:
            raise ProblemError(STATUS[told.problem], told.problem, sentence(told.detail))
        row = {} if told.left is None else told.left.row()
        return Response(to_json(row), 200, {"Cache-Control": "no-store"}, "application/json")


def _wish(table: Mapping[str, Any]) -> tuple[str, str | None, str]:
    fields = Fields()
    fields.unknown(table, ("channel", "by", "reason"))
    channel = fields.text(table, "channel", LONGEST_CHANNEL)
    by = fields.optional_text(table, "by", LONGEST_NAME)
    reason = fields.text(table, "reason", LONGEST_REASON)
    if fields.errors:
        raise bad_fields(fields.errors)
    return channel, by, reason
