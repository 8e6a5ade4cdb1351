"""The pages: rendered here, so that they read without a script; small scripts keep them fresh.

The dashboard, the log-in, and the page for counting. Nothing on them comes from elsewhere. Without
`open_status` they show nothing to those who have not logged in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from .access import Doorkeeper, Party
from .json_text import to_json
from .live import Live, Sections, stopping_of
from .login import LogIn
from .options import WebOptions
from .problems import ProblemError
from .rights import RIGHTS, right_of
from .services import DriftTeller
from .status_shape import Status
from .telling import StatusTeller, query_of
from .words import FILTERS

_HERE = Path(__file__).parent
_TYPES = {
    "status.css": "text/css",
    "pages.css": "text/css",
    "status.js": "text/javascript",
    "act.js": "text/javascript",
    "follow.js": "text/javascript",
    "login.js": "text/javascript",
    "counts.css": "text/css",
    "counts.js": "text/javascript",
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
FOUND = "found"  # the section that a search adds
SECTIONS = (
    "health",
    "glance",
    "channels",
    "incidents",
    "refunds",
    "scarce",
    "pick-ups",
    "editions",
    "tills",
    "dead-letters",
    "drift",
    "accuracy",
    "recent",
    "foot",
)


PAGES = {  # of the heading, by their addresses; each with the row that says who is meant
    "/": ("Status", RIGHTS["GET /"]),
    "/accuracy": ("Accuracy", RIGHTS["GET /accuracy"]),
    "/counts": ("Count stock", RIGHTS["POST /v1/counts"]),
    "/pick-ups": ("Pick-ups", RIGHTS["GET /pick-ups"]),
}
BEFORE_LOG_IN = ("/", "/accuracy", "/counts")


def pages_of(party: Party | None, *, open_status: bool) -> dict[str, str]:
    """The words of the heading's pages that a party may open, by their addresses."""
    return {
        path: words
        for path, (words, right) in PAGES.items()
        if (path in BEFORE_LOG_IN if party is None else right_of(party, right))
        or (open_status and right.open_status)
    }


class Templates:
    """Renders pages and sections."""

    def __init__(self) -> None:
        self.files = {name: (_HERE / "static" / name).read_bytes() for name in _TYPES}
        loader = FileSystemLoader(_HERE / "templates")
        # Templates are read once; what they show comes from the org and the shops, so all of it is escaped.
        self._made = Environment(
            loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
        )
        self._made.filters.update(FILTERS)
        self._made.globals["version"] = hashlib.sha256(b"".join(self.files.values())).hexdigest()[:12]

    def sections(self, status: Status, drift: Mapping[str, object] | None) -> dict[str, Markup]:
        """The dashboard's sections by their ids; empty ones where there is nothing to tell."""
        return {name: self.section(name, status=status, drift=drift) for name in SECTIONS}

    def section(self, name: str, **said: object) -> Markup:
        """One of them."""
        return Markup(self._made.get_template(f"sections/{name}.html").render(said).strip())  # noqa: S704 — escaped by its template

    def page(self, template: str, **said: object) -> str:
        """A whole page."""
        return self._made.get_template(template).render(said)


class Page:
    """The dashboard, its pieces, the same facts as JSON, and the files of all pages."""

    def __init__(
        self,
        teller: StatusTeller,
        options: WebOptions,
        doorkeeper: Doorkeeper,
        drift: DriftTeller | None = None,
    ) -> None:
        self._teller, self._options, self._doorkeeper = teller, options, doorkeeper
        self._drift = drift
        self._templates = Templates()
        self.live = Live(self._look)

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/", self.page, methods=["GET"]),
            Route("/events", self.events, methods=["GET"]),
            Route("/counts", self.counts, methods=["GET"]),
            Route("/status.json", self.facts, methods=["GET"]),
            Route("/status.fragment", self.fragment, methods=["GET"]),
            Route("/static/{name}", self.file, methods=["GET"]),
            *LogIn(self.render, self._options, self._doorkeeper).routes(),
        ]

    async def page(self, request: Request) -> Response:
        """The whole dashboard."""
        known = await self._teller.soon() is not None
        sections = await (self._sections() if known else self._beginning())
        if query_of(request):
            first = {name: sections.pop(name) for name in SECTIONS[:2] if name in sections}
            sections = {**first, FOUND: await self._found(request), **sections}
        return self.render("page.html", request, self.visitor(request), sections=sections)

    async def events(self, request: Request) -> Response:
        """What changes on the dashboard, as server-sent events."""
        stream = await self.live.follow(stopping_of(request.state))
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        return StreamingResponse(stream, media_type="text/event-stream", headers=headers)

    async def counts(self, request: Request) -> Response:
        """The page for those who count; it holds nothing until a token is given."""
        return self.render("counts.html", request, self.visitor(request))

    async def fragment(self, request: Request) -> Response:
        """What a search has found, for the script; nothing without one."""
        text = await self._found(request) if query_of(request) else ""
        return Response(text, media_type="text/html", headers=PAGE_HEADERS)

    async def facts(self, request: Request) -> Response:
        """The status as JSON."""
        headers = {"Cache-Control": "no-store"}
        if request.method == "HEAD":  # whether one may ask
            return Response(media_type="application/json", headers=headers)
        return Response(
            to_json(await self._teller.told(request)), media_type="application/json", headers=headers
        )

    async def file(self, request: Request) -> Response:
        """The pages' styles, scripts and icon."""
        name = request.path_params["name"]
        if name not in self._templates.files:
            raise ProblemError(404, "no-such-path", "There is nothing at this address.")
        # The page names them with a version, so a browser may keep them.
        caching = {
            "Cache-Control": "public, max-age=31536000, immutable",
            "X-Content-Type-Options": "nosniff",
        }
        return Response(self._templates.files[name], media_type=_TYPES[name], headers=caching)

    def visitor(self, request: Request) -> Party | None:
        """Who looks at a page; None for one who has not logged in."""
        if hasattr(request.state, "who"):
            found: Party | None = request.state.who
            return found
        party = self._doorkeeper.known(request)
        if party is not None:
            request.state.party = party.name
        return party

    def ask(self, request: Request) -> Response:
        """The log-in form in place of the page that was wanted."""
        wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return self.render("login.html", request, None, next=wanted)

    def problem(self, request: Request, problem: ProblemError) -> Response:
        """What went wrong as a page, with the pages that the party may open instead."""
        party: Party | None = None
        with suppress(ProblemError):  # who it is may be the very problem
            party = self.visitor(request)
        answer = self.render("problem.html", request, party, status_code=problem.status, problem=problem)
        for name, text in problem.headers.items():
            answer.headers[name] = text
        return answer

    def render(
        self, template: str, request: Request, party: Party | None, *, status_code: int = 200, **said: object
    ) -> Response:
        """A page for a party."""
        text = self._templates.page(
            template,
            **{
                "party": party,
                "acts": party is None or party.acts,  # who has not logged in may do so, to act
                "pages": pages_of(party, open_status=self._options.open_status),
                "open": self._options.open_status,
                "here": request.url.path,
                "query": query_of(request),
                "wrong": False,
                **said,
            },
        )
        return Response(text, status_code, PAGE_HEADERS, "text/html")

    async def _look(self) -> Sections:
        return await self._sections()

    async def _sections(self) -> dict[str, Markup]:
        drift = None if self._drift is None else await self._drift.tell()
        return self._templates.sections(await self._teller.recent(), drift)

    async def _beginning(self) -> dict[str, Markup]:
        """What is known at once; the script puts the rest in when it comes."""
        well, sentence = await self._teller.healthy()
        return {"health": self._templates.section("beginning", well=well, sentence=sentence)}

    async def _found(self, request: Request) -> Markup:
        levels = await self._teller.levels(query_of(request))
        return self._templates.section(FOUND, levels=levels, query=query_of(request))
