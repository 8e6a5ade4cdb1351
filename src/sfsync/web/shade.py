"""In shadow nothing is promised and nothing is changed: who asks for either is told so.

What is heard still comes in (webhooks), people still log in and look, and say what unknown SKUs are called in
the org; the settings can be read again. Numbers that a storefront or a till would act upon are not told.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from .guard import Told
from .problems import ProblemError

_HEARD = ("/webhooks/", "/login", "/logout", "/v1/reload", "/v1/sku-mappings")
_ACTED_UPON = ("/v1/levels", "/v1/tills/")


class Shade:
    """Answers for the app inside where it would promise or change something."""

    def __init__(self, app: ASGIApp, told: Told) -> None:
        self._app, self._told = app, told

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not _may_pass(scope["method"], scope["path"]):
            problem = ProblemError(
                503,
                "shadow",
                "sfsync runs in shadow beside another integration: it promises nothing and changes nothing. "
                "Ask whoever answers today.",
            )
            await self._told(Request(scope), problem)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _may_pass(method: str, path: str) -> bool:
    if path.startswith(_HEARD):
        return True
    return method in ("GET", "HEAD") and not path.startswith(_ACTED_UPON)
