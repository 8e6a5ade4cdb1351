"""A simulated shop in a process of its own, and a post box for the webhooks it sends."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from tests.channels.exam import Webhook

WAIT_SECONDS = 30


@contextmanager
def shop_process(folder: Path, seed: dict[str, Any], *options: str) -> Iterator[dict[str, Any]]:
    """Start `sfsync sandbox shopify`, yield its line of addresses and credentials, and end it."""
    seed_file = folder / "seed.json"
    seed_file.write_text(json.dumps(seed))
    command = [sys.executable, "-m", "sfsync.simulators.shopify", "--exit-with-parent"]
    process = subprocess.Popen([*command, "--seed", seed_file, *options], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the shop did not start: exit {process.wait(WAIT_SECONDS)}"
        yield json.loads(line)
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)
        if process.stdout is not None:
            process.stdout.close()


class PostBox:
    """Takes every HTTP request, answers 200, and keeps it."""

    def __init__(self) -> None:
        self._arrived: list[Webhook] = []
        self._news = asyncio.Condition()
        self.url = ""

    async def first(self, count: int, topics: Sequence[str]) -> list[Webhook]:
        """The first `count` webhooks of these topics, once they have arrived."""

        def found() -> list[Webhook]:
            return [each for each in self._arrived if each.headers.get("x-shopify-topic") in topics]

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
