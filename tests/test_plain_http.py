"""A plain client asks what httpx's own would ask, and remembers nothing."""

from __future__ import annotations

import httpx
import pytest

from sfsync.plain_http import PlainClient

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
