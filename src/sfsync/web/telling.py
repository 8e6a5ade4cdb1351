"""The status for whoever asks: many who look at once are told the same, worked out once."""

from __future__ import annotations

import asyncio

from starlette.requests import Request

from .services import Overview
from .status_shape import Status, StockOfSku

LONGEST_QUERY = 120
LEVELS_SHOWN = 50


class StatusTeller:
    """Tells the status; at most one is being worked out at any time, however many pages are open."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._work: asyncio.Task[Status] | None = None

    async def status(self) -> Status:
        """The status."""
        if self._work is None or self._work.done():
            self._work = asyncio.create_task(self._overview.status())
        return await asyncio.shield(self._work)

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
