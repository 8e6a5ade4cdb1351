"""The status page: rendered here, so that it reads without a script; a small script keeps it fresh.

Beside it the page for counting, on a phone too: a sheet that is scanned or typed, and entered by the API.
Nothing on it comes from elsewhere. Without `open_status` the page is an empty frame that asks for a token.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError
from .requests import Doorkeeper
from .telling import StatusTeller, query_of
from .words import FILTERS

_HERE = Path(__file__).parent
_TYPES = {
    "status.css": "text/css",
    "status.js": "text/javascript",
    "counts.css": "text/css",
    "counts.js": "text/javascript",
    "resolve.js": "text/javascript",
    "switch.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
PAGE_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Page:
    """The page, its pieces, and the same facts as JSON."""

    def __init__(self, teller: StatusTeller, options: WebOptions, doorkeeper: Doorkeeper) -> None:
        self._teller, self._options, self._doorkeeper = teller, options, doorkeeper
        self._files = {name: (_HERE / "static" / name).read_bytes() for name in _TYPES}
        loader = FileSystemLoader(_HERE / "templates")
        # Templates are read once; what they show comes from the org and the shops, so all of it is escaped.
        self._templates = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._templates.filters.update(FILTERS)
        self._templates.globals["version"] = hashlib.sha256(b"".join(self._files.values())).hexdigest()[:12]

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/counts", self.counts, methods=["GET"]),
            Route("/status.json", self.facts, methods=["GET"]),
            Route("/status.fragment", self.fragment, methods=["GET"]),
            Route("/static/{name}", self.file, methods=["GET"]),
        ]

    async def page(self, request: Request) -> Response:
        """The whole page, with what stands on it where no token is needed for that."""
        status = await self._teller.told(request) if self._options.open_status else None
        return self._html("page.html", request, status)

    async def counts(self, request: Request) -> Response:
        """The page for those who count; it holds nothing until a token is given."""
        return self._html("counts.html", request, None)

    async def fragment(self, request: Request) -> Response:
        """What stands on the page, for the script."""
        self._admit(request)
        return self._html("sections.html", request, await self._teller.told(request))

    async def facts(self, request: Request) -> Response:
        """The same as JSON."""
        self._admit(request)
        body = to_json(await self._teller.told(request))
        return Response(body, media_type="application/json", headers={"Cache-Control": "no-store"})

    async def file(self, request: Request) -> Response:
        """The page's style, script and icon."""
        name = request.path_params["name"]
        if name not in self._files:
            raise ProblemError(404, "no-such-path", "There is nothing at this address.")
        # The page names them with a version, so a browser may keep them.
        caching = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(self._files[name], media_type=_TYPES[name], headers=caching)

    def _admit(self, request: Request) -> None:
        if not self._options.open_status:
            self._doorkeeper.admit(request, None)

    def _html(self, template: str, request: Request, status: dict[str, object] | None) -> Response:
        text = self._templates.get_template(template).render(status=status, query=query_of(request))
        return Response(text, media_type="text/html", headers=PAGE_HEADERS)
