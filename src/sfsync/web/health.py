"""For the machines that watch over the daemon."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .json_text import to_json
from .problems import ProblemError
from .services import Overview


class Health:
    """Liveness and readiness."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/healthz", self.alive, methods=["GET"]),
            Route("/readyz", self.ready, methods=["GET"]),
        ]

    async def alive(self, _: Request) -> Response:
        """200 while requests are answered at all."""
        return Response(
            b'{"alive":true}', media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    async def ready(self, _: Request) -> Response:
        """200 while the daemon does its work, else 503 with the reason."""
        good, sentence = await self._overview.healthy()
        if not good:
            raise ProblemError(503, "not-ready", sentence)
        body = to_json({"ready": True, "detail": sentence})
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})
