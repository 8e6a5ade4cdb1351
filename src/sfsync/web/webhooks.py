"""Webhooks in: checked, stored, answered at once; what they mean is decided later.

Only a delivery that is stored is answered 200, so that the sender's own retries cover every failure of ours.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.ports import Forged

from .options import WebOptions
from .problems import ProblemError
from .requests import read_body
from .services import Doorman


class Webhooks:
    """The one address that all channels send to."""

    def __init__(self, doorman: Doorman, options: WebOptions) -> None:
        self._doorman, self._options = doorman, options

    def routes(self) -> list[Route]:
        """Its address."""
        return [Route("/webhooks/{channel}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        """200 stored now or before; 401 not signed by the channel; 404 no such channel."""
        channel = request.path_params["channel"]
        try:
            body = await read_body(request, self._options.max_body_bytes, self._options.body_seconds)
        except ProblemError as problem:
            if channel in self._options.channels:
                self._doorman.turned_away(channel, problem.detail)
            raise
        try:
            new = await self._doorman.accept(channel, dict(request.headers), body)
        except Forged as error:
            request.state.reason = str(error)
            raise ProblemError(401, "forged", "The signature does not fit this body.") from None
        except KeyError:
            raise ProblemError(404, "no-such-channel", "There is no channel of this name.") from None
        request.state.reason = "new" if new else "known already"
        return Response(status_code=200, headers={"Cache-Control": "no-store"})
