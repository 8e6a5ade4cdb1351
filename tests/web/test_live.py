"""What a page is told as it changes: only that, the same for all, and until there is nobody to tell it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
import pytest
from tests.web.kit import VIEWER, House

from sfsync.web import serve
from sfsync.web.live import Live
from sfsync.web.problems import ProblemError


class Board:
    """Sections that change when they are told to, and how often somebody looked."""

    def __init__(self) -> None:
        self.sections = {"health": "good", "foot": "one"}
        self.looks = 0
        self.broken = False

    async def look(self) -> dict[str, str]:
        self.looks += 1
        if self.broken:
            raise RuntimeError("no picture")
        return dict(self.sections)


async def next_of(events: AsyncIterator[bytes]) -> Any:
    """The next event that tells of sections."""
    async for part in events:
        if part.startswith(b"event: sections\n"):
            return json.loads(part.partition(b"data: ")[2])
    raise AssertionError("it has ended")


async def test_a_page_is_told_all_once_and_then_what_changes() -> None:
    """A second page is told all of it too; both see the same pictures."""
    board = Board()
    told = Live(board.look)
    async with aclosing(await told.follow(None)) as one, aclosing(await told.follow(None)) as two:
        for events in (one, two):
            assert await next_of(events) == {"order": ["health", "foot"], "changed": board.sections}
        board.sections["foot"] = "two"
        assert (await next_of(one))["changed"] == {"foot": "two"}
        board.broken = True  # is logged, and looked at again
        board.sections["health"] = "bad"
        looks = board.looks
        while board.looks == looks:  # noqa: ASYNC110 — the test's own time limit ends it
            await asyncio.sleep(0.01)
        board.broken = False
        assert (await next_of(one))["changed"] == {"health": "bad"}
        assert (await next_of(two))["changed"] in ({"foot": "two"}, {"foot": "two", "health": "bad"})


async def test_nobody_looks_when_no_page_is_open() -> None:
    """The last page that goes ends the looking."""
    board = Board()
    told = Live(board.look)
    async with aclosing(await told.follow(None)) as events:
        await next_of(events)
    work = told._work
    assert work is not None
    await work


async def test_a_stop_and_another_app_end_every_stream() -> None:
    """At once, not when the page's time is over."""
    for end in ("stop", "another app"):
        told, stopping = Live(Board().look), asyncio.Event()
        events = await told.follow(stopping)
        await next_of(events)
        if end == "stop":
            stopping.set()
        else:
            told.end()
        assert [part async for part in events] == []


async def test_too_many_pages_are_sent_away() -> None:
    """Instead of making all wait."""
    told = Live(Board().look, most=1)
    events = await told.follow(None)
    await next_of(events)
    with pytest.raises(ProblemError) as refused:
        await told.follow(None)
    assert refused.value.status == 503
    told.end()
    assert [part async for part in events] == []


async def test_the_events_come_over_the_wire_to_those_who_may_see_the_page() -> None:
    """And a server that stops does not wait for those who listen."""
    house = House()
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    async with httpx.AsyncClient(base_url=server.address, trust_env=False) as client:
        assert (await client.get("/events")).status_code == 401
        asked = {"Authorization": f"Bearer {VIEWER}"}
        async with client.stream("GET", "/events", headers=asked, timeout=60) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            assert answer.headers["cache-control"] == "no-store"
            lines = answer.aiter_lines()
            data = await anext(line async for line in lines if line.startswith("data: "))
            assert "One handbag was sold twice" in json.loads(data[6:])["changed"]["health"]
            await server.stop()
            async for line in lines:
                assert not line.startswith("event: error")
