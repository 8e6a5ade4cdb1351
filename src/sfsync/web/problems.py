"""What went wrong, and nothing of our insides: as ``application/problem+json`` (RFC 9457), or as a page."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from math import ceil

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sfsync.ports import Refused, TryLater, Unknown

from .json_text import to_json

RETRY_SECONDS = 2
_FOR_PROGRAMS = ("/v1/", "/webhooks/", "/metrics", "/healthz", "/readyz", "/openapi.json")


class ProblemError(Exception):
    """Raised by a handler: becomes the response. `kind` is stable, for programs; `detail` is for people."""

    def __init__(
        self,
        status: int,
        kind: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status, self.kind, self.detail = status, kind, detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})

    @property
    def title(self) -> str:
        """The status in words."""
        return HTTPStatus(self.status).phrase

    def response(self) -> Response:
        """The problem as a response."""
        body = {
            "type": f"urn:sfsync:problem:{self.kind}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
        }
        headers = {"Cache-Control": "no-store", **self.headers}
        return Response(to_json(body), self.status, headers, media_type="application/problem+json")


def bad_fields(errors: Mapping[str, str]) -> ProblemError:
    """Input that cannot be used; `errors` name each field and what is wrong with it."""
    named = [{"field": name, "detail": what} for name, what in errors.items()]
    detail = "; ".join(f"{name} {what}" for name, what in errors.items())
    return ProblemError(422, "bad-input", detail, more={"errors": named})


def sentence(text: str) -> str:
    """Words of the product's other parts, as a sentence of its own."""
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def later(detail: str, after_seconds: float | None = None) -> ProblemError:
    """Nothing is wrong with the request: it may be sent again."""
    seconds = max(1, ceil(after_seconds or RETRY_SECONDS))
    return ProblemError(503, "later", detail, headers={"Retry-After": str(seconds)})


def problem_of(request: Request, error: Exception) -> ProblemError:
    """What an exception is for whoever asked: ours, the server's own, one of the outside's three failures."""
    if isinstance(error, ProblemError):
        if not hasattr(request.state, "reason"):
            request.state.reason = error.kind  # for the log
        return error
    if isinstance(error, HTTPException):  # no such path, no such method
        known = {
            404: ("no-such-path", "There is nothing at this address."),
            405: ("no-such-method", "Not by this method."),
        }
        kind, detail = known.get(error.status_code, ("http", HTTPStatus(error.status_code).phrase))
        return ProblemError(error.status_code, kind, detail, headers=error.headers)
    request.state.reason = str(error)
    if isinstance(error, TryLater):
        return later(str(error), error.after_seconds)
    if isinstance(error, Unknown):
        return later(str(error))
    if isinstance(error, Refused):
        advice = {"advice": error.advice} if error.advice else {}
        return ProblemError(502, "refused", str(error), more=advice)
    raise error


def wants_page(request: Request) -> bool:
    """True for a browser: what a person opens answers with pages, and what a program asks with JSON."""
    if request.url.path.startswith(_FOR_PROGRAMS):
        return False
    accepts = request.headers.get("accept", "")
    if getattr(request.state, "page", False):
        return "text/html" in accepts or "json" not in accepts
    return "text/html" in accepts


def unexpected() -> ProblemError:
    """A mistake of ours: what it was stands in the log only."""
    return ProblemError(500, "unexpected", "Something went wrong here; it has been logged.")
