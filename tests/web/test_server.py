"""The server over a real socket: when it listens, what it does with bad clients, how it stops."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import httpx
import pytest
from tests.web.kit import House, signed

from sfsync.web import CannotListenError, WebServer, build_web, serve

DEADLINE_SECONDS = 20.0


@asynccontextmanager
async def serving(house: House, grace_seconds: int = 5) -> AsyncIterator[WebServer]:
    server = serve(house.app, "127.0.0.1", 0, grace_seconds=grace_seconds)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


def port_of(server: WebServer) -> int:
    return int(server.address.rpartition(":")[2])


async def exchange(server: WebServer, request: bytes, *, half_close: bool = False) -> bytes:
    """Send bytes, and read until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    try:
        writer.write(request)
        await writer.drain()
        if half_close:
            writer.write_eof()
        return await asyncio.wait_for(reader.read(), DEADLINE_SECONDS)
    finally:
        writer.close()


def webhook(body: bytes, *, length: int | None = None, more: Mapping[str, str] | None = None) -> bytes:
    headers = {
        "Host": "test",
        "Content-Length": str(len(body) if length is None else length),
        **signed(body),
        **(more or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return b"POST /webhooks/london HTTP/1.1\r\n" + head.encode() + b"\r\n" + body


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while not condition():  # noqa: ASYNC110 — what is waited for has no event
            await asyncio.sleep(0.01)


async def test_started_means_that_it_answers() -> None:
    """The first request after `start` gets its answer, at the address that the server tells."""
    async with serving(House()) as server, httpx.AsyncClient(base_url=server.address) as client:
        assert (await client.get("/healthz")).json() == {"alive": True}
        assert "server" not in (await client.get("/healthz")).headers


async def test_a_taken_port_is_a_clear_error() -> None:
    """It names the address, and nothing is left running."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = serve(House().app, "127.0.0.1", port)
        with pytest.raises(CannotListenError, match=f"127.0.0.1:{port}: another program listens there"):
            await server.start()
        await server.stop()


async def test_an_address_that_is_not_ours_is_a_clear_error() -> None:
    """A wrong host is told as well as a wrong port."""
    with pytest.raises(CannotListenError, match=r"203\.0\.113\.1:0"):
        await serve(House().app, "203.0.113.1", 0).start()


async def test_a_port_is_free_again_after_the_stop() -> None:
    """A restart takes the same port at once; stopping twice is fine."""
    async with serving(House()) as server:
        port = port_of(server)
    await server.stop()
    again = serve(House().app, "127.0.0.1", port)
    await again.start()
    assert port_of(again) == port
    await again.stop()


async def test_the_daemons_signal_handlers_stay_its_own() -> None:
    """Neither while serving nor after."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serving(House()):
        during = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    after = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    assert before == during == after


async def test_it_serves_inside_a_task_group_until_cancelled() -> None:
    """Cancelling its task closes the port."""
    server = serve(House().app, "127.0.0.1", 0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(server.run())
        await until(lambda: port_of(server) != 0)
        async with httpx.AsyncClient(base_url=server.address) as client:
            assert (await client.get("/healthz")).status_code == 200
        task.cancel()
    with pytest.raises(httpx.ConnectError):
        async with httpx.AsyncClient() as client:
            await client.get(f"{server.address}/healthz")


@pytest.mark.parametrize("half_close", [True, False], ids=["half closed", "closed"])
async def test_a_webhook_whose_sender_hangs_up_early_is_not_stored(half_close: bool) -> None:
    """A truncated body never reaches the doorman, although its head was good; the next delivery is stored."""
    house, body = House(), b'{"id": 1}'
    async with serving(house) as server:
        short = webhook(body, length=len(body) + 1)
        if half_close:
            await exchange(server, short, half_close=True)
        else:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            writer.write(short)
            await writer.drain()
            writer.close()
            await writer.wait_closed()
        answer = await exchange(server, webhook(body, more={"Connection": "close"}))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert house.door.kept == [body]


async def test_an_oversize_webhook_is_refused_before_its_body_is_read() -> None:
    """By its announced length alone; the connection is closed, so that nobody has to drink the rest."""
    house = House(max_body_bytes=1024)
    async with serving(house) as server:
        answer = await exchange(server, webhook(b"", length=10**12))
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer
    assert house.door.kept == []


async def test_an_endless_chunked_webhook_is_refused_at_the_limit() -> None:
    """A length that was not announced is counted."""
    house = House(max_body_bytes=1024)
    head = b"POST /webhooks/london HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(house) as server:
        answer = await exchange(server, head + (b"400\r\n" + b"x" * 1024 + b"\r\n") * 3)
    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_slow_webhook_is_given_up() -> None:
    """A sender that stops in the middle does not hold its place for ever."""
    house = House(body_seconds=0.2)
    async with serving(house) as server:
        answer = await exchange(server, webhook(b"{}", length=100))
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert house.door.kept == []


async def test_slow_headers_are_given_up() -> None:
    """A connection that never gets to its request is closed, whether it says nothing or too little."""
    server = serve(House().app, "127.0.0.1", 0, head_seconds=0.2)
    await server.start()
    for request in (b"", b"GET /healthz HTTP/1.1\r\nX-Slow:"):
        assert await exchange(server, request) == b""
    await server.stop()


async def test_endless_headers_are_given_up() -> None:
    """A head beyond its limit closes the connection."""
    async with serving(House()) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
        writer.write(b"GET /healthz HTTP/1.1\r\nHost: test\r\n")
        closed = False
        for _ in range(100_000):
            try:
                writer.write(b"X-Fill: " + b"x" * 4096 + b"\r\n")
                await writer.drain()
            except ConnectionError:
                closed = True
            if closed or reader.at_eof():
                break
        else:
            pytest.fail("400 MB of headers were accepted")
        writer.close()


async def test_what_is_not_http_is_refused() -> None:
    """With 400 and a closed connection."""
    async with serving(House()) as server:
        assert (await exchange(server, b"\x16\x03\x01 hello\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


class SlowDoor:
    """A doorman who can be made to take his time."""

    def __init__(self, door: Callable[[str, Mapping[str, str], bytes], Awaitable[bool]]) -> None:
        self._door = door
        self.entered, self.go = asyncio.Event(), asyncio.Event()

    def turned_away(self, channel: str, reason: str) -> None:
        raise AssertionError(f"{channel}: {reason}")

    async def accept(self, channel: str, headers: Mapping[str, str], body: bytes) -> bool:
        self.entered.set()
        await self.go.wait()
        return await self._door(channel, headers, body)


async def test_a_stop_finishes_the_request_in_hand_and_takes_no_new_one() -> None:
    """What was accepted before the stop is answered."""
    house = House()
    door = SlowDoor(house.door.accept)
    app = build_web(replace(house.services, doorman=door), house.options)
    server = serve(app, "127.0.0.1", 0, grace_seconds=20)
    await server.start()
    request = asyncio.create_task(exchange(server, webhook(b"{}")))
    await asyncio.wait_for(door.entered.wait(), DEADLINE_SECONDS)
    stopping = asyncio.create_task(server.stop())

    async def refused() -> None:
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
            except ConnectionError:
                return
            writer.close()
            await asyncio.sleep(0.01)

    await asyncio.wait_for(refused(), DEADLINE_SECONDS)
    assert not stopping.done()
    door.go.set()
    assert (await request).startswith(b"HTTP/1.1 200 ")
    await asyncio.wait_for(stopping, DEADLINE_SECONDS)
    assert house.door.kept == [b"{}"]


async def test_a_stop_does_not_wait_for_ever() -> None:
    """A request that outlasts the grace is answered 503, so that its sender tries again."""
    house = House()
    door = SlowDoor(house.door.accept)
    app = build_web(replace(house.services, doorman=door), house.options)
    server = serve(app, "127.0.0.1", 0, grace_seconds=1)
    await server.start()
    request = asyncio.create_task(exchange(server, webhook(b"{}")))
    await asyncio.wait_for(door.entered.wait(), DEADLINE_SECONDS)
    await asyncio.wait_for(server.stop(), DEADLINE_SECONDS)
    assert (await asyncio.wait_for(request, DEADLINE_SECONDS)).startswith(b"HTTP/1.1 503 ")
    assert house.door.kept == []


async def test_idle_connections_do_not_hold_up_the_stop() -> None:
    """Browsers keep them open for minutes."""
    async with (
        serving(House(), grace_seconds=60) as server,
        httpx.AsyncClient(base_url=server.address) as client,
    ):
        await client.get("/healthz")
        await asyncio.wait_for(server.stop(), DEADLINE_SECONDS)
