"""The status for whoever asks: many who look at once are told the same, worked out once."""

from __future__ import annotations

import asyncio
from time import monotonic

from starlette.requests import Request

from .services import Overview
from .status_shape import Status, StockOfSku

LONGEST_QUERY = 120
LEVELS_SHOWN = 50
LONG_SECONDS = 0.2
SHARE = 20
LONGEST_OLD = 10.0
FIRST_SECONDS = 0.5  # that a page waits for the first status since the start


class StatusTeller:
    """Tells the status; at most one is being worked out at any time, however many pages are open."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._work: asyncio.Task[Status] | None = None
        self._last: Status | None = None
        self._good_until = 0.0

    async def status(self) -> Status:
        """The status."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._work_out())
        return await asyncio.shield(self._work)

    async def _work_out(self) -> Status:
        begun = monotonic()
        self._last = status = await self._overview.status()
        took = monotonic() - begun
        self._good_until = monotonic() + (min(LONGEST_OLD, SHARE * took) if took > LONG_SECONDS else 0.0)
        return status

    async def recent(self) -> Status:
        """The status for a page: where working it out takes long, the last one is told for a while."""
        return await self.status() if self._last is None or monotonic() >= self._good_until else self._last

    async def soon(self) -> Status | None:
        """`recent`; None where the first since the start is not there after a moment. It is worked out on."""
        if self._last is not None:
            return await self.recent()
        try:
            return await asyncio.wait_for(self.status(), FIRST_SECONDS)
        except TimeoutError:
            return None

    async def healthy(self) -> tuple[bool, str]:
        """Whether the daemon does its work: known at once, however large the house."""
        return await self._overview.healthy()

    async def told(self, request: Request) -> dict[str, object]:
        """The status, and with ``?sku=`` in the request the stock of the SKUs that contain it."""
        status: dict[str, object] = {**await self.status()}
        if query := query_of(request):
            status["levels"] = await self.levels(query)
        return status

    async def levels(self, query: str) -> list[StockOfSku]:
        """The stock of the SKUs that contain a text."""
        return list(await self._overview.levels(query, LEVELS_SHOWN))


def query_of(request: Request) -> str:
    """The SKU, or a part of it, that is asked for; empty when none is."""
    return request.query_params.get("sku", "").strip()[:LONGEST_QUERY]
