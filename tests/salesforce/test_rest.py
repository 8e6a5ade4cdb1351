"""What a REST call's fate becomes, over answers by rote and over sockets that are cut."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

import httpx
import orjson
import pytest
from tests.salesforce.kit import TOKEN_ANSWER, RoteOrg, config, refusal, rest_over, rest_to

from sfsync.domain.budget import Work
from sfsync.ports import CallsSpent, OutsideError, Refused, TryLater, Unknown
from sfsync.salesforce.gate import Gate
from sfsync.salesforce.rest import OrgRefused, Rest
from sfsync.salesforce.transport import http_client, is_loopback, is_proxied

READ, WRITE = "GET", "POST"


async def outcome(rest: Rest, method: str) -> OutsideError:
    with pytest.raises(OutsideError) as caught:
        await rest.request(method, "composite", {} if method == WRITE else None)
    return caught.value


@pytest.mark.parametrize(
    ("status", "code", "message", "read", "write"),
    [
        (403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", TryLater, TryLater),
        (
            403,
            "REQUEST_LIMIT_EXCEEDED",
            "ConcurrentRequests (Concurrent API Requests) Limit exceeded.",
            TryLater,
            TryLater,
        ),
        (400, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", TryLater, TryLater),
        (500, "UNABLE_TO_LOCK_ROW", "unable to obtain exclusive access", TryLater, TryLater),
        (400, "CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", "Trigger: UNABLE_TO_LOCK_ROW", TryLater, TryLater),
        (409, "UNKNOWN_EXCEPTION", "Too many batch retries in the presence of", TryLater, TryLater),
        (400, "UNKNOWN_EXCEPTION", "Too many batch retries in the presence of", TryLater, TryLater),
        (503, "UNKNOWN_EXCEPTION", "Too many batch retries in the presence of", TryLater, TryLater),
        (400, "LIMIT_EXCEEDED", "", TryLater, TryLater),
        (503, "SERVER_UNAVAILABLE", "", TryLater, Unknown),
        (500, "UNKNOWN_EXCEPTION", "An unexpected error occurred.", TryLater, Unknown),
        (400, "QUERY_TIMEOUT", "Your query request was running for too long.", TryLater, TryLater),
        (404, "NOT_FOUND", "The requested resource does not exist", OrgRefused, OrgRefused),
        (400, "INVALID_FIELD", "No such column 'Sku__c'", OrgRefused, OrgRefused),
        (403, "API_DISABLED_FOR_ORG", "API is not enabled", OrgRefused, OrgRefused),
    ],
)
async def test_an_error_answer_is_named_by_its_code(
    status: int, code: str, message: str, read: type[OutsideError], write: type[OutsideError]
) -> None:
    """The same status means different things; the code does not."""
    for method, kind in ((READ, read), (WRITE, write)):
        async with rest_to(RoteOrg(*[refusal(status, code, message)] * 3)) as rest:
            error = await outcome(rest, method)
        assert isinstance(error, kind)
        assert code in str(error)


@pytest.mark.parametrize(
    ("answer", "read", "write"),
    [
        (httpx.Response(502, text="<html>bad gateway</html>"), TryLater, Unknown),
        (httpx.Response(420, text=""), TryLater, Unknown),
        (httpx.Response(200, text='{"half":'), TryLater, Unknown),
        (httpx.Response(200, text="<html>maintenance</html>"), TryLater, Unknown),
        (httpx.ConnectError("refused"), TryLater, TryLater),
        (httpx.ConnectTimeout("no route"), TryLater, TryLater),
        (httpx.PoolTimeout("busy"), TryLater, TryLater),
        (httpx.ReadTimeout("silence"), TryLater, Unknown),
        (httpx.WriteError("cut"), TryLater, Unknown),
        (httpx.RemoteProtocolError("cut"), TryLater, Unknown),
        (ConnectionResetError("cut"), TryLater, Unknown),
        (httpx.Response(403, text="<html>proxy says no</html>"), Refused, Refused),
    ],
)
async def test_a_lost_answer_is_unknown_only_after_a_write(
    answer: httpx.Response | Exception, read: type[OutsideError], write: type[OutsideError]
) -> None:
    """A read may be asked again; a write that may have arrived is never called undone."""
    for method, kind in ((READ, read), (WRITE, write)):
        async with rest_to(RoteOrg(*[answer] * 3)) as rest:
            assert isinstance(await outcome(rest, method), kind)


async def test_a_read_is_tried_again_and_a_write_is_not() -> None:
    """Only the ledger repeats writes."""
    org = RoteOrg(
        httpx.ReadTimeout("silence"), refusal(503, "SERVER_UNAVAILABLE"), httpx.Response(200, json={"a": 1})
    )
    async with rest_to(org) as rest:
        assert await rest.get("limits") == {"a": 1}
    org = RoteOrg(httpx.ReadTimeout("silence"))
    async with rest_to(org) as rest:
        await outcome(rest, WRITE)
    assert len(org.seen) == 1


async def test_a_call_that_only_reads_may_be_a_post() -> None:
    """A composite without rows is tried again like any read."""
    org = RoteOrg(httpx.ReadTimeout("silence"), httpx.Response(200, json=[]))
    async with rest_to(org) as rest:
        assert await rest.request("POST", "composite", {}, write=False) == []


async def test_a_worn_token_is_renewed_once_and_the_write_sent_again() -> None:
    """A 401 says that nothing was done."""
    org = RoteOrg(
        refusal(401, "INVALID_SESSION_ID", "Session expired or invalid"),
        httpx.Response(201, json={"id": "x"}),
    )
    async with rest_to(org) as rest:
        assert await rest.request("POST", "sobjects/X", {"a": 1}) == {"id": "x"}
    assert org.tokens == 2
    assert [each.content for each in org.seen] == [b'{"a":1}'] * 2


async def test_a_token_refused_twice_is_for_a_person() -> None:
    """A new token that is refused too will not get better by asking again."""
    org = RoteOrg(*[refusal(401, "INVALID_SESSION_ID", "Session expired or invalid")] * 2)
    async with rest_to(org) as rest:
        error = await outcome(rest, WRITE)
    assert isinstance(error, OrgRefused)
    assert "API access" in error.advice


async def test_too_many_calls_at_once_is_over_soon_and_holds_nobody_back() -> None:
    """It is another limit than that of the day."""
    told = refusal(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.")
    async with rest_to(RoteOrg(told, httpx.Response(200, json=[]))) as rest:
        error = await outcome(rest, READ)
        assert isinstance(error, TryLater)
        assert not isinstance(error, CallsSpent)
        assert error.after_seconds == 2.0
        assert await rest.doing(Work.BULK).get("limits") == []


async def test_a_day_used_up_is_asked_about_once_and_then_nothing_is_sent() -> None:
    """Each further call would be refused too; the error tells when to expect room again."""
    org = RoteOrg(
        httpx.Response(200, json=[], headers={"Sforce-Limit-Info": "api-usage=4900/5000"}),
        refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."),
    )
    async with rest_to(org) as rest:
        await rest.get("limits")
        for work in (Work.SALE, Work.SALE, Work.REFRESH, Work.BULK):
            error = await outcome(rest.doing(work), WRITE)
            assert isinstance(error, CallsSpent)
            assert error.until > datetime.now(UTC)
            assert error.after_seconds is not None
            assert error.after_seconds <= 60
            assert f"{error.until:%H:%M} UTC" in str(error)
    assert len(org.seen) == 2


@pytest.mark.parametrize("told", [True, False])
async def test_a_day_used_up_may_come_with_its_numbers_or_without(told: bool) -> None:
    """Where the refusal tells a smaller allowance than before, that is the one that counts."""
    usage = {"Sforce-Limit-Info": "api-usage=3000/3000"} if told else {}
    org = RoteOrg(
        httpx.Response(200, json=[], headers={"Sforce-Limit-Info": "api-usage=2900/5000"}),
        refusal(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", **usage),
    )
    settings = config()
    transport = httpx.MockTransport(org.handle)
    http = http_client(settings.login_url, timeout_seconds=5.0, ca_file=None, transport=transport)
    gate = Gate(20, lambda: datetime.now(UTC))
    async with http:
        rest = rest_over(http, settings, gate)
        await rest.get("limits")
        assert isinstance(await outcome(rest, WRITE), CallsSpent)
    standing = gate.standing()
    assert standing is not None
    assert standing.refused
    assert (standing.used, standing.allowed) == ((3000, 3000) if told else (5000, 5000))


async def test_a_sale_that_comes_between_two_questions_waits_for_the_next_and_no_longer() -> None:
    """The org is asked once a minute, whoever asks: who comes half a minute later waits half a minute."""
    now = datetime(2026, 11, 27, 12, tzinfo=UTC)
    gate = Gate(20, lambda: now)
    gate.enter(Work.SALE)
    gate.answered((2900, 5000))
    assert gate.refused(Work.SALE, "TotalRequests Limit exceeded.").after_seconds == 60
    now += timedelta(seconds=35)
    with pytest.raises(CallsSpent) as spent:
        gate.enter(Work.SALE)
    assert spent.value.after_seconds == 25
    now += timedelta(seconds=25)
    gate.enter(Work.SALE)


async def test_a_reserve_that_is_reached_holds_back_all_but_sales() -> None:
    """What others may still need is left to them; a sale goes on."""
    usage = {"Sforce-Limit-Info": "api-usage=5/10"}
    org = RoteOrg(*[httpx.Response(200, json=[], headers=usage)] * 10)
    async with rest_to(org, calls_reserved_percent=50) as rest:
        for _ in range(5):
            await rest.get("limits")
        assert isinstance(await outcome(rest.doing(Work.REFRESH), READ), CallsSpent)
        assert isinstance(await outcome(rest.doing(Work.BULK), WRITE), CallsSpent)
        assert await rest.get("limits") == []
    assert len(org.seen) == 6


async def test_the_wait_that_the_org_asks_for_is_told_on() -> None:
    """Retry-After is what the other party knows best."""
    answer = httpx.Response(
        503, json=[{"errorCode": "SERVER_UNAVAILABLE", "message": ""}], headers={"Retry-After": "7"}
    )
    async with rest_to(RoteOrg(answer)) as rest:
        error = await outcome(rest, READ)
    assert isinstance(error, TryLater)
    assert error.after_seconds == 7.0


async def test_every_call_names_us() -> None:
    """`client=sfsync` marks our own writes in change events."""
    org = RoteOrg(
        httpx.Response(
            204, headers={"Sforce-Limit-Info": "api-usage=18/5000; per-app-api-usage=17/250(appName=x)"}
        )
    )
    async with rest_to(org) as rest:
        assert await rest.request("PATCH", "sobjects/X/1", {}) is None
    assert org.seen[0].headers["Sforce-Call-Options"] == "client=sfsync"
    assert org.seen[0].url == "https://house.my.salesforce.com/services/data/v67.0/sobjects/X/1"


def test_loopback_is_never_proxied(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy for the internet must not see, and cannot reach, this machine's own services."""
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "intern.example")
    assert is_proxied("https://house.my.salesforce.com")
    assert not is_proxied("https://intern.example/")
    for url in (
        "https://localhost:8443",
        "https://127.0.0.1:8443",
        "https://[::1]:8443",
        "localhost:7443",
        "127.0.0.1:1",
    ):
        assert is_loopback(url)
        assert not is_proxied(url)
    assert not is_loopback("api.pubsub.salesforce.com:7443")


# -- real sockets ------------------------------------------------------------------------------------

Fate = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def socket_org(fate: Fate, **changes: float) -> AsyncIterator[Rest]:
    """A REST client over real sockets; the other side gives a token, and every other request its fate."""
    url = ""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next(
                    (n for n in head.lower().split(b"\r\n") if n.startswith(b"content-length:")), b":0"
                )
                await reader.readexactly(int(length.split(b":")[1]))
                if b"/services/oauth2/token" not in head:
                    await fate(reader, writer)
                    break
                body = orjson.dumps(TOKEN_ANSWER | {"instance_url": url})
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, client_of(url, **changes) as rest:
        yield rest


@asynccontextmanager
async def client_of(url: str, **changes: float) -> AsyncIterator[Rest]:
    settings = config(login_url=url, **changes)
    http = http_client(url, timeout_seconds=settings.timeout_seconds, ca_file=None, transport=None)
    async with http:
        yield rest_over(http, settings)


async def test_a_connection_cut_after_the_request_leaves_a_write_unknown() -> None:
    """The transport beneath calls this a connect time-out; believing it would enter a sale twice."""

    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async with socket_org(cut) as rest:
        assert isinstance(await outcome(rest, WRITE), Unknown)
        assert isinstance(await outcome(rest, READ), TryLater)


async def test_half_an_answer_leaves_a_write_unknown() -> None:
    """What was answered is not known before the last byte."""

    async def half(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()

    async with socket_org(half) as rest:
        assert isinstance(await outcome(rest, WRITE), Unknown)


async def test_silence_after_the_request_leaves_a_write_unknown() -> None:
    """A time-out tells nothing about the work."""

    async def nothing(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side gives up

    async with socket_org(nothing, timeout_seconds=0.3) as rest:
        assert isinstance(await outcome(rest, WRITE), Unknown)


async def test_a_port_where_nobody_listens_is_try_later() -> None:
    """Nothing was sent, so nothing can have happened."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, never listening
        async with client_of(f"http://127.0.0.1:{taken.getsockname()[1]}") as rest:
            assert isinstance(await outcome(rest, WRITE), TryLater)


@pytest.mark.parametrize(
    "url", ["house.my.salesforce.com", "ftp://house.example", "https://", "https://[::1"]
)
async def test_an_address_that_is_none_is_refused_with_its_name(url: str) -> None:
    """A mistyped login_url is for a person, not for another try."""
    async with client_of(url) as rest:
        error = await outcome(rest, READ)
    assert isinstance(error, Refused)
    assert "login_url" in f"{error} {error.advice}"
