"""A post box for webhooks: whatever is sent to it is kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sfsync.testing.party import Webhook

WAIT_SECONDS = 30


class PostBox:
    """Takes every HTTP request, answers 200, and keeps it."""

    def __init__(self) -> None:
        self._arrived: list[Webhook] = []
        self._news = asyncio.Condition()
        self.url = ""

    async def first(self, count: int, wanted: Callable[[Webhook], bool] = lambda _: True) -> list[Webhook]:
        """The first `count` webhooks that are wanted, once they have arrived."""

        def found() -> list[Webhook]:
            return [each for each in self._arrived if wanted(each)]

        async with asyncio.timeout(WAIT_SECONDS), self._news:
            await self._news.wait_for(lambda: len(found()) >= count)
            return found()[:count]

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").splitlines()[1:]
            pairs = [line.partition(":") for line in head if line]
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()
        async with self._news:
            self._arrived.append(Webhook(headers, body))
            self._news.notify_all()


@asynccontextmanager
async def post_box() -> AsyncIterator[PostBox]:
    """An open post box on loopback."""
    box = PostBox()
    server = await asyncio.start_server(box._take, "127.0.0.1", 0)
    box.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/webhooks"
    try:
        yield box
    finally:
        server.close()
        await server.wait_closed()
