"""A plain client asks what httpx's own would ask, and remembers nothing but what time it is elsewhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from sfsync.domain.clocks import ALIKE
from sfsync.plain_http import PlainClient, TheirClock

BASE = "https://shop.test/admin"
TIMEOUT = httpx.Timeout(7.0, connect=2.0)


class Recorder(httpx.AsyncBaseTransport):
    """The other side: keeps what it was asked, and hands out a cookie each time."""

    def __init__(self) -> None:
        self.asked: list[httpx.Request] = []
        self.closed: list[httpx.Response] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        self.asked.append(request)
        headers = {"Set-Cookie": "session=1", "Location": "https://elsewhere.test/"}
        answer = httpx.Response(302, headers=headers, stream=httpx.ByteStream(b'{"a": 1}'))
        self.closed.append(answer)
        return answer


@pytest.mark.parametrize(
    ("method", "url", "options"),
    [
        ("GET", "/orders?limit=5&q=a%20b", {}),
        ("GET", f"/query?q={'SELECT%20Id,' * 100}", {}),
        ("GET", "orders", {"headers": {"accept": "application/json"}}),
        (
            "POST",
            "/graphql.json",
            {"content": b"{}", "headers": {"Content-Type": "text/a", "X": "1"}},
        ),
        ("POST", "https://other.test/x?y=z", {"content": b"", "headers": {"User-Agent": "us"}}),
        ("DELETE", httpx.URL("https://other.test/x"), {}),
        ("POST", "/form", {"data": {"a": "b"}}),
        ("GET", "/", {"params": {"a": "b"}}),
    ],
)
async def test_it_asks_what_httpx_would_ask(method: str, url: str, options: dict[str, object]) -> None:
    """To the byte: address, headers with their values, body, and how long it waits."""
    ours, theirs = Recorder(), Recorder()
    async with (
        PlainClient(ours, base_url=BASE, timeout=TIMEOUT) as plain,
        httpx.AsyncClient(transport=theirs, base_url=BASE, timeout=TIMEOUT, trust_env=False) as usual,
    ):
        answer = await plain.request(method, url, **options)
        await usual.request(method, url, **options)  # type: ignore[arg-type]  # drawn from the table
    one, other = ours.asked[0], theirs.asked[0]
    assert (one.method, one.url, one.content) == (other.method, other.url, other.content)
    assert sorted(one.headers.multi_items()) == sorted(other.headers.multi_items())
    assert one.extensions["timeout"] == other.extensions["timeout"]
    assert answer.json() == {"a": 1}
    assert answer.is_closed


async def test_it_keeps_no_cookie_and_follows_nobody_elsewhere() -> None:
    """What the other side would have it remember or visit is left alone."""
    there = Recorder()
    async with PlainClient(there, base_url=BASE, timeout=TIMEOUT) as client:
        assert (await client.get("/a")).status_code == 302
        await client.post("/b", data={"a": "b"})
        await client.post("/c", params={"a": "b"})
    assert [request.url.path for request in there.asked] == ["/admin/a", "/admin/b", "/admin/c"]
    assert all("cookie" not in request.headers for request in there.asked)


async def test_a_request_that_is_not_allowed_never_leaves() -> None:
    """Whoever looks at requests before they leave can stop one."""

    class NotAllowedError(Exception):
        """Stops a request."""

    async def only_reading(request: httpx.Request) -> None:
        if request.method != "GET":
            raise NotAllowedError

    there = Recorder()
    async with PlainClient(there, base_url=BASE, timeout=TIMEOUT, hook=only_reading) as client:
        await client.get("/a")
        with pytest.raises(NotAllowedError):
            await client.post("/b", content=b"x")
        with pytest.raises(NotAllowedError):
            await client.post("/b", data={"a": "b"})
    assert [request.method for request in there.asked] == ["GET"]


class Clockmaker(httpx.AsyncBaseTransport):
    """The other side, whose clock is so far from ours; each way takes 50 ms."""

    def __init__(self, seconds: float) -> None:
        self.now, self.ahead = datetime(2026, 11, 28, 12, 0, tzinfo=UTC), timedelta(seconds=seconds)
        self.dated = True

    async def handle_async_request(self, _request: httpx.Request) -> httpx.Response:
        self.now += timedelta(milliseconds=50)
        headers = {"Date": format_datetime(self.now + self.ahead, usegmt=True)} if self.dated else {}
        self.now += timedelta(milliseconds=50)
        return httpx.Response(200, headers=headers, stream=httpx.ByteStream(b""))


@pytest.mark.parametrize("hooked", [False, True])
@pytest.mark.parametrize("seconds", [0.0, 0.9, -3.0, 20.0])
async def test_answers_tell_how_far_the_other_sides_clock_is_ahead(seconds: float, hooked: bool) -> None:
    """Six answers at six moments: known to half a second. A proxied client, of httpx's own, tells it too."""
    there = Clockmaker(seconds)
    clock = TheirClock(lambda: there.now)
    client = (
        httpx.AsyncClient(transport=there, event_hooks=clock.hooks())
        if hooked
        else PlainClient(there, timeout=TIMEOUT, clock=clock)
    )
    assert clock.ahead is None
    async with client:
        for _ in range(6):
            await client.get("https://shop.test/")
            there.now += timedelta(seconds=1.25)
    assert clock.ahead is not None
    assert clock.ahead.least <= there.ahead <= clock.ahead.most
    assert clock.ahead.most - clock.ahead.least < timedelta(seconds=0.5)


async def test_a_clock_that_was_set_is_believed_after_a_while() -> None:
    """At first both times are possible; after eight answers the old one is forgotten."""
    there = Clockmaker(0)
    clock = TheirClock(lambda: there.now)
    async with PlainClient(there, timeout=TIMEOUT, clock=clock) as client:
        await client.get("https://shop.test/")
        there.ahead = timedelta(hours=1)
        there.now += timedelta(seconds=1)
        await client.get("https://shop.test/")
        assert clock.ahead is not None
        assert clock.ahead.least < timedelta(seconds=2) < timedelta(hours=1) < clock.ahead.most
        for _ in range(7):
            there.now += timedelta(seconds=1)
            await client.get("https://shop.test/")
    assert clock.ahead.least > timedelta(minutes=59)


async def test_who_tells_no_time_is_believed_to_go_by_ours() -> None:
    """An answer without a date, or with nonsense for one, is an answer all the same."""
    there = Clockmaker(20)
    clock = TheirClock(lambda: there.now)
    there.dated = False
    async with PlainClient(there, timeout=TIMEOUT, clock=clock) as client:
        await client.get("https://shop.test/")
    clock.heard(there.now, "the day before yesterday")
    assert clock.ahead == ALIKE
