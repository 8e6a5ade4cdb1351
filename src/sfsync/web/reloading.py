"""Settings read again, for an operator."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields, later
from .requests import read_object
from .services import Reloader
from .wishes import Fields


class ReloadApi:
    """The handler of ``/v1/reload``."""

    def __init__(self, reloader: Reloader | None, options: WebOptions) -> None:
        self._reloader, self._options = reloader, options

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/v1/reload", self.reload, methods=["POST"])]

    async def reload(self, request: Request) -> Response:
        """Read the settings again: 200 with what is other; 422 they are wrong, and nothing was taken over."""
        limits = self._options.max_body_bytes, self._options.body_seconds
        table, fields = await read_object(request, *limits, needed=False), Fields()
        fields.unknown(table, ("dry_run",))
        dry_run = fields.flag(table, "dry_run")
        if fields.errors:
            raise bad_fields(fields.errors)
        if self._reloader is None:
            raise later("The settings cannot be read again here.")
        told = await self._reloader.reload(dry_run=dry_run)
        if problems := told["problems"]:
            detail = "The settings are wrong. What was in force stays so."
            raise ProblemError(422, "bad-settings", detail, more={"problems": problems})
        return Response(to_json(told), 200, {"Cache-Control": "no-store"}, "application/json")
