"""The status page's sections as a stream of server-sent events: each page is told what has changed on it.

However many pages are open, the status is worked out and rendered once for all of them, and not at all
while none is. Where that takes long, in a large house, it is done less often: never for more than a twentieth
of the time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import suppress
from time import perf_counter

import structlog

from .json_text import to_json
from .problems import later

EVERY_SECONDS = 1.0
SHARE = 20  # of the time, one part is spent on it
MOST_LISTENERS = 200
LIFE_SECONDS = 600.0  # then the page comes again, and says anew who asks

Sections = Mapping[str, str]  # HTML by the section's id, in the page's order; empty where there is nothing


class Live:
    """Tells pages what has changed."""

    def __init__(self, look: Callable[[], Awaitable[Sections]], *, most: int = MOST_LISTENERS) -> None:
        self._look, self._most = look, most
        self._now: Sections = {}
        self._news = asyncio.Event()
        self._over = False
        self._listeners = 0
        self._work: asyncio.Task[None] | None = None
        self._log = structlog.get_logger("sfsync.web")

    def end(self) -> None:
        """Another app takes over: the pages come again to it, and say anew who asks."""
        self._over = True
        self._news.set()

    async def follow(self, stopping: asyncio.Event | None) -> AsyncGenerator[bytes]:
        """The events for one page, until it goes, the server stops or its time is over. 503: too many."""
        if self._listeners >= self._most:
            raise later("Too many pages are open.")
        return self._events(stopping or asyncio.Event())

    async def _events(self, stopping: asyncio.Event) -> AsyncGenerator[bytes]:
        self._listeners += 1
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._keep_looking(), name="live status")
        seen: dict[str, str] = {}
        until = asyncio.get_running_loop().time() + LIFE_SECONDS
        stop = asyncio.ensure_future(stopping.wait())
        try:
            yield b"retry: 2000\n\n"
            while not (self._over or stopping.is_set()) and asyncio.get_running_loop().time() < until:
                news = self._news
                changed = {name: html for name, html in self._now.items() if seen.get(name) != html}
                if changed:
                    seen |= changed
                    told = to_json({"order": list(self._now), "changed": changed})
                    yield b"event: sections\ndata: " + told + b"\n\n"
                heard = asyncio.ensure_future(news.wait())
                try:
                    await asyncio.wait({heard, stop}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    heard.cancel()
        finally:
            stop.cancel()
            self._listeners -= 1

    async def _keep_looking(self) -> None:
        """While anybody listens. What fails is told in the log, and tried again."""
        while self._listeners and not self._over:
            begun = perf_counter()
            try:
                self._now = await self._look()
            except Exception:
                self._log.exception("the page could not be told")
            news, self._news = self._news, asyncio.Event()
            news.set()
            await asyncio.sleep(max(EVERY_SECONDS, SHARE * (perf_counter() - begun)))


def stopping_of(state: object) -> asyncio.Event | None:
    """The event by which the server tells that it stops; None where no server has said so."""
    with suppress(AttributeError):
        found = getattr(state, "stopping")  # noqa: B009 — `State` has what was put there, and no more
        return found if isinstance(found, asyncio.Event) else None
    return None
