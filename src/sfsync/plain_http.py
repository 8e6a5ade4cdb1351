"""An httpx client without what nobody here uses: cookies, redirects, authentication of its own.

httpx makes each request out of the client's settings and its own, keeps a jar of cookies and writes a
history; that takes four times as long as the request and its answer do. Here a request goes to its transport
as it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

import httpx

_ADDRESSES = 256  # kept parsed: most requests go to a few paths
_SHORT = 300  # characters; a query that names many records is as long as a page, and comes once
_OURS = ("content", "headers")


class PlainClient(httpx.AsyncClient):
    """Carries requests over one transport; each answer is read whole. `hook` sees a request before it leaves.

    A request that asks for more than content and headers goes httpx's own way.
    """

    def __init__(
        self,
        carrier: httpx.AsyncBaseTransport,
        *,
        timeout: httpx.Timeout,
        base_url: str = "",
        trust_env: bool = False,
        hook: Callable[[httpx.Request], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(
            transport=carrier,
            timeout=timeout,
            base_url=base_url,
            trust_env=trust_env,
            follow_redirects=False,
            event_hooks={"request": [hook]} if hook is not None else None,
        )
        self._carrier, self._hook = carrier, hook
        self._extensions = {"timeout": timeout.as_dict()}
        self._usual = self.headers.multi_items()
        self._whole = lru_cache(_ADDRESSES)(self._addressed)

    async def request(self, method: str, url: httpx.URL | str, **options: Any) -> httpx.Response:
        """As httpx does it."""
        more = (options[name] for name in options if name not in _OURS)
        if any(value is not None and value is not httpx.USE_CLIENT_DEFAULT for value in more):
            try:
                return await super().request(method, url, **options)
            finally:
                self.cookies.clear()
        given = dict(options.get("headers") or {})
        named = {name.lower() for name in given}
        headers = [pair for pair in self._usual if pair[0] not in named]
        request = httpx.Request(
            method,
            self._parsed(url) if isinstance(url, str) else url,
            headers=[*headers, *given.items()],
            content=options.get("content"),
            extensions=self._extensions,
        )
        if self._hook is not None:
            await self._hook(request)
        answer = await self._carrier.handle_async_request(request)
        answer.request = request
        try:
            await answer.aread()
        finally:
            await answer.aclose()
        return answer

    def _parsed(self, url: str) -> httpx.URL:
        return self._whole(url) if len(url) <= _SHORT else self._addressed(url)

    def _addressed(self, url: str) -> httpx.URL:
        if "://" in url.partition("?")[0]:
            return httpx.URL(url)
        return httpx.URL(f"{str(self.base_url).rstrip('/')}/{url.lstrip('/')}")
