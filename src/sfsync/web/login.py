"""Logging in with a token, for people: the form, the cookie, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from .access import Doorkeeper, Party
from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError
from .requests import read_form
from .sessions import COOKIE, Session
from .wrong_tokens import WrongTokens

Render = Callable[..., Response]


class LogIn:
    """The handlers of ``/login`` and ``/logout``."""

    def __init__(self, render: Render, options: WebOptions, doorkeeper: Doorkeeper) -> None:
        self._render, self._options, self._doorkeeper = render, options, doorkeeper
        self._wrong = WrongTokens()

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/login", self.form, methods=["GET"]),
            Route("/login", self.log_in, methods=["POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
        ]

    async def form(self, request: Request) -> Response:
        """The form; `next` is where it leads. As JSON: who has logged in, or 401."""
        if "application/json" in request.headers.get("accept", ""):
            party = self._doorkeeper.let_in(request, self._doorkeeper.known(request), ())
            return Response(to_json(_told(party)), 200, {"Cache-Control": "no-store"}, "application/json")
        return self._render("login.html", request, None, next=_inside(request.query_params.get("next", "")))

    async def log_in(self, request: Request) -> Response:
        """303 to the page that was wanted, with the session's cookie; 401 where the token is not known.

        A script that asks for JSON gets the form's token instead of a page.
        """
        _same_site(request)
        address, now = self._doorkeeper.address(request), self._doorkeeper.now()
        if (closed := self._wrong.closed_for(address, now)) is not None:
            seconds = max(1, ceil(closed.total_seconds()))
            detail = f"Too many wrong tokens have come from this address. Come again in {seconds} seconds."
            raise ProblemError(429, "too-many-wrong", detail, headers={"Retry-After": str(seconds)})
        fields = await read_form(request, self._options.body_seconds)
        begun = self._doorkeeper.log_in(fields.get("token", "").strip(), fields.get("person", "").strip())
        wants_json = "application/json" in request.headers.get("accept", "")
        then = _inside(fields.get("next", ""))
        if begun is None:
            self._wrong.another(address, now)
            if wants_json:
                raise ProblemError(401, "who-are-you", "This token is not known here.")
            return self._render("login.html", request, None, status_code=401, next=then, wrong=True)
        session, party = begun
        request.state.party = party.name
        answer: Response = (
            Response(to_json(_told(party)), media_type="application/json")
            if wants_json
            else RedirectResponse(then, 303)
        )
        answer.headers["Cache-Control"] = "no-store"
        _set(answer, request, session)
        return answer

    async def log_out(self, request: Request) -> Response:
        """303 to the page, without a session."""
        party = self._doorkeeper.known(request)
        fields = await read_form(request, self._options.body_seconds)
        if party is not None:
            self._doorkeeper.check_form(party, fields.get("form", ""))
        answer = RedirectResponse("/", 303, {"Cache-Control": "no-store"})
        answer.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")
        return answer


def _told(party: Party) -> dict[str, object]:
    return {"person": party.person, "form": party.form, "scopes": sorted(party.scopes)}


def _set(answer: Response, request: Request, session: Session) -> None:
    """Until the browser is closed, for our own pages only, and out of reach of scripts."""
    answer.set_cookie(
        COOKIE, session.cookie, path="/", httponly=True, samesite="strict", secure=_encrypted(request)
    )


def _encrypted(request: Request) -> bool:
    """Whether the browser came over https, as far as it or a proxy says: a wrong word harms itself only."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return request.url.scheme == "https" or forwarded == "https"


def _same_site(request: Request) -> None:
    """No other site logs somebody in as somebody else. Browsers say where a form stands; programs do not."""
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise ProblemError(403, "other-site", "This form stands on another site.")


def _inside(path: str) -> str:
    """A path of ours; the page's for anything that might lead elsewhere."""
    where = path.partition("?")[0]
    if not path.startswith("/") or "//" in where or "\\" in where or not path.isprintable():
        return "/"
    return quote(path, safe="/?&=%+:;,.-_~@")
