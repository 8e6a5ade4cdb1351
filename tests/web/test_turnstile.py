"""In a rush as many are let in as can be answered in good time; the others are told at once to come again."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from starlette.types import Receive, Scope, Send
from tests.simulation.loop import VirtualLoop

from sfsync.web.turnstile import FEWEST, MOST, PATH, Turnstile, places, retry_seconds


class Inside:
    """Whatever stands behind: it answers when it is told to."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.came: asyncio.Queue[None] = asyncio.Queue()
        self.now = 1000.0
        self.turnstile = Turnstile(self, now=lambda: self.now)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST":
            self.came.put_nowait(None)
            await self.open.wait()
        await send({"type": "http.response.start", "status": 201, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    async def full(self, buyers: int) -> None:
        """Wait until so many more have come in."""
        for _ in range(buyers):
            await self.came.get()

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.turnstile), base_url="http://test")


@pytest.mark.parametrize(
    ("pace", "inside"),
    [(0.0, FEWEST), (FEWEST / 3 - 1, FEWEST), (FEWEST / 3 + 1, FEWEST + 3), (1e6, MOST)],
)
def test_no_more_are_let_in_than_are_answered_within_three_seconds(pace: float, inside: int) -> None:
    """By the pace of the last answers; never so few that a slow moment closes the shop."""
    assert places(pace) == inside


def test_who_is_turned_away_comes_again_when_those_inside_have_left() -> None:
    """Two answers a second and six inside: in three seconds; never in none, never in a minute."""
    assert (retry_seconds(6, 2.0), retry_seconds(1, 100.0), retry_seconds(60, 0.0)) == (3, 1, 5)


async def test_a_crowd_is_turned_away_at_once_and_let_in_when_there_is_room() -> None:
    """The sixty-first is not kept waiting behind sixty; whoever looks at a page is never asked to wait."""
    shop = Inside()
    async with shop.client() as client:
        waiting = [asyncio.create_task(client.post(PATH)) for _ in range(FEWEST)]
        await shop.full(FEWEST)
        away = await client.post(PATH)
        assert (away.status_code, away.headers["retry-after"]) == (503, "5")
        assert away.json()["type"] == "urn:sfsync:problem:crowded"
        assert (await client.get(PATH)).status_code == 201
        shop.open.set()
        assert {answer.status_code for answer in await asyncio.gather(*waiting)} == {201}
        assert (await client.post(PATH)).status_code == 201


async def test_a_quick_house_lets_more_in() -> None:
    """Sixty answers in a moment: there is room for more than sixty at once, until they are long ago."""
    shop = Inside()
    async with shop.client() as client:
        shop.open.set()
        for _ in range(FEWEST):
            await client.post(PATH)
        shop.open.clear()
        more = [asyncio.create_task(client.post(PATH)) for _ in range(FEWEST + 1)]
        await shop.full(FEWEST + FEWEST + 1)
        shop.now += 60.0
        assert (await client.post(PATH)).status_code == 503
        shop.open.set()
        await asyncio.gather(*more)


def test_the_pace_is_told_by_the_time_of_the_loop_that_serves() -> None:
    """A simulated day goes by its own clock: how fast the machine is changes nobody's answer."""

    async def last_answer() -> int:
        shop = Inside()
        shop.turnstile = Turnstile(shop)
        async with shop.client() as client:
            shop.open.set()
            for _ in range(FEWEST):
                await client.post(PATH)
            await asyncio.sleep(60.0)  # of that loop's time; the machine takes a moment
            shop.open.clear()
            more = [asyncio.create_task(client.post(PATH)) for _ in range(FEWEST)]
            await shop.full(FEWEST + FEWEST)
            away = await client.post(PATH)
            shop.open.set()
            await asyncio.gather(*more)
            return away.status_code

    loop = VirtualLoop(lambda _task, _context: None)
    try:
        assert loop.run_until_complete(last_answer()) == 503
    finally:
        loop.close()
