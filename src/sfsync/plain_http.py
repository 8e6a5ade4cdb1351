"""An httpx client without what nobody here uses: cookies, redirects, authentication of its own.

httpx makes each request out of the client's settings and its own, keeps a jar of cookies and writes a
history; that takes four times as long as the request and its answer do. Here a request goes to its transport
as it is. And from the `Date` of each answer is learnt how the other side's clock goes (`TheirClock`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

import httpx

from sfsync.domain.clocks import ALIKE, Ahead, Told, ahead

_ADDRESSES = 256  # kept parsed: most requests go to a few paths
_SHORT = 300  # characters; a query that names many records is as long as a page, and comes once
_OURS = ("content", "headers")
_SECONDS_TOLD = 8  # kept: they narrow the span, and a clock that was set is believed after so many


class TheirClock:
    """How far the other side's clock is ahead of ours, by what it has answered. `now` is our clock."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now = now
        self._told: deque[Told] = deque(maxlen=_SECONDS_TOLD)
        self._ahead: Ahead | None = None

    def hooks(self) -> Mapping[str, list[Callable[..., Awaitable[None]]]]:
        """For a client of httpx's own, which carries requests by transports that nobody sees."""

        async def asking(request: httpx.Request) -> None:
            request.extensions["asked_at"] = self.now()

        async def answered(answer: httpx.Response) -> None:
            self.heard(answer.request.extensions["asked_at"], answer.headers.get("date"))

        return {"request": [asking], "response": [answered]}

    @property
    def ahead(self) -> Ahead | None:
        """As far as is known; None before the first answer. One that tells no time leaves us to believe."""
        return self._ahead

    def heard(self, asked: datetime, date: str | None) -> None:
        """An answer has come to what was asked at `asked`; `date` is its header of that name."""
        second = _second(date) if date is not None else None
        if second is None:
            self._ahead = self._ahead or ALIKE
            return
        told = Told(second, asked, self.now())
        if self._told and self._told[-1].second == second:
            told = self._told.pop().and_told(told)
        self._told.append(told)
        self._ahead = ahead(self._told)


@lru_cache(_ADDRESSES)
def _second(date: str) -> datetime | None:
    try:
        told = parsedate_to_datetime(date)
    except ValueError:
        return None
    return told.replace(tzinfo=UTC) if told.tzinfo is None else told.astimezone(UTC)


class _ToldOf(httpx.AsyncBaseTransport):
    """Tells a clock of each answer that a transport brings."""

    def __init__(self, carrier: httpx.AsyncBaseTransport, clock: TheirClock) -> None:
        self._carrier, self._clock = carrier, clock

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        asked = self._clock.now()
        answer = await self._carrier.handle_async_request(request)
        self._clock.heard(asked, answer.headers.get("date"))
        return answer

    async def aclose(self) -> None:
        await self._carrier.aclose()


class PlainClient(httpx.AsyncClient):
    """Carries requests over one transport; each answer is read whole. `hook` sees a request before it leaves.
    `clock` is told of what each answer says of the time.

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
        clock: TheirClock | None = None,
    ) -> None:
        if clock is not None:
            carrier = _ToldOf(carrier, clock)
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
