"""How far a long request has come, for whoever waits for its answer: a bar on somebody's terminal.

The request carries an id that its sender has thought of; under that id it is asked how far it is, as long as
it is being answered. Nobody can guess it, and nothing is told but what is counted, and how many.
"""

from __future__ import annotations

import re

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sfsync.ports import told_to

from .json_text import to_json
from .problems import ProblemError

HEADER = b"x-progress-id"
MOST = 100  # at once; further ones are answered as if nobody wanted to know
_ID = re.compile(rb"[0-9a-f]{32}")


class Works:
    """What is being answered, and how far it has come."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[str, int, int | None]] = {}

    def routes(self) -> list[Route]:
        """Their address."""
        return [Route("/v1/progress/{id}", self.look, methods=["GET"])]

    async def look(self, request: Request) -> Response:
        """How far one has come; 404 when it is over, or has not begun."""
        found = self._told.get(request.path_params["id"])
        if found is None:
            raise ProblemError(404, "no-such-work", "Nothing of this id is being done.")
        what, done, total = found
        told = {"what": what, "done": done, "total": total}
        return Response(to_json(told), 200, {"Cache-Control": "no-store"}, "application/json")

    def begin(self, key: str) -> None:
        """It is being answered from now on."""
        self._told[key] = "", 0, None

    def tell(self, key: str, what: str, done: int, total: int | None) -> None:
        """It has come so far; from any thread."""
        if key in self._told:
            self._told[key] = what, done, total

    def end(self, key: str) -> None:
        """It is answered."""
        self._told.pop(key, None)

    @property
    def full(self) -> bool:
        """Whether as many are watched as may be."""
        return len(self._told) >= MOST


class Watched:
    """Around every request: who sends an id with it can ask how far it is."""

    def __init__(self, app: ASGIApp, works: Works) -> None:
        self._app, self._works = app, works

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        key = _id_of(scope) if scope["type"] == "http" else ""
        if not key or self._works.full:
            await self._app(scope, receive, send)
            return
        self._works.begin(key)
        try:
            with told_to(lambda what, done, total: self._works.tell(key, what, done, total)):
                await self._app(scope, receive, send)
        finally:
            self._works.end(key)


def _id_of(scope: Scope) -> str:
    found = next((value for name, value in scope["headers"] if name == HEADER), b"")
    return found.decode("ascii") if _ID.fullmatch(found) else ""
