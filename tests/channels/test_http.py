"""Whether a request was sent: the difference between TryLater and Unknown, over real sockets."""

from __future__ import annotations

import asyncio
import datetime as dt
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sfsync.channels.http import never_sent, open_client
from sfsync.ports import Refused

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A server that reads a whole request and then does as it is told."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length or 0))
            await answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    scheme = "https" if tls else "http"
    try:
        yield f"{scheme}://localhost:{listening.sockets[0].getsockname()[1]}"
    finally:
        listening.close()


async def post(url: str, *, seconds: float = 10, ca_file: Path | None = None) -> httpx.Response:
    client = open_client(url, timeout_seconds=seconds, ca_file=ca_file)
    try:
        return await client.post("/push", content=b"x" * 1000)
    finally:
        await client.aclose()


def saying(raw: bytes) -> Answer:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return answer


async def resetting(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
    await reader.read()


async def test_an_answer_comes_through_whole() -> None:
    """Compressed or not."""
    async with server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as url:
        assert (await post(url)).text == "ok"


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (saying(b""), 10),
        (resetting, 10),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Le"), 10),
        (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"), 10),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"), 10),
        (saying(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n"), 10),
        (saying(b"220 mail.example ESMTP\r\n"), 10),
        (silent, 0.2),
    ],
    ids=[
        "closed",
        "reset",
        "half a head",
        "half a body",
        "half a chunked body",
        "no chunk",
        "no HTTP",
        "silence",
    ],
)
async def test_once_sent_a_request_is_never_taken_for_unsent(answer: Answer, seconds: float) -> None:
    """Whatever goes wrong afterwards, it may have happened."""
    async with server(answer) as url:
        with pytest.raises(httpx.HTTPError) as caught:
            await post(url, seconds=seconds)
    assert not never_sent(caught.value), repr(caught.value)
    assert str(caught.value) or isinstance(caught.value, httpx.TimeoutException)


async def test_a_connection_refused_is_a_request_unsent() -> None:
    """Nobody listens there any more."""
    async with server(silent) as url:
        pass
    with pytest.raises(httpx.ConnectError) as caught:
        await post(url)
    assert never_sent(caught.value)


async def test_a_name_that_leads_nowhere_is_a_request_unsent() -> None:
    """The top-level domain `invalid` has no addresses."""
    with pytest.raises(httpx.ConnectError) as caught:
        await post("https://store.invalid")
    assert never_sent(caught.value)


async def test_loopback_is_never_given_to_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where the environment names one for everything."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with server(saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
        assert (await post(url)).status_code == 204


async def test_a_redirect_is_not_followed_and_no_cookie_kept() -> None:
    """A credential goes to the configured host only."""
    answer = saying(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\r\n")
    async with server(answer) as url:
        assert (await post(url)).status_code == 302


async def test_a_certificate_is_checked_against_the_given_authority(tmp_path: Path) -> None:
    """A sandbox has an authority of its own; without it, it is a stranger, and nothing is sent."""
    certificate, key = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    async with server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), tls) as url:
        assert (await post(url, ca_file=certificate)).text == "ok"
        with pytest.raises(httpx.ConnectError) as caught:
            await post(url)
    assert never_sent(caught.value)


def self_signed(folder: Path) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "certificate.pem", folder / "key.pem"
    certificate_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate_file, key_file


async def test_channels_whose_names_are_not_answered_keep_no_other_from_connecting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's look-ups of forty names hang; another channel connects all the same."""
    answered = threading.Event()
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *about: Any, **more: Any) -> Any:
        if str(host).endswith("down.example"):
            answered.wait()
            raise OSError("no such name")
        return look_up(host, *about, **more)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    down = [open_client(f"https://{number}.down.example", timeout_seconds=60) for number in range(40)]
    calls = [asyncio.create_task(_fails(client)) for client in down]
    try:
        async with server(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")) as url:
            assert (await post(url, seconds=60)).status_code == 200
    finally:
        answered.set()
        await asyncio.gather(*calls)
        for client in down:
            await client.aclose()


async def _fails(client: httpx.AsyncClient) -> None:
    with pytest.raises(httpx.TransportError):
        await client.get("/")


@pytest.mark.parametrize(
    ("method", "path", "content", "passes"),
    [
        ("GET", "/api/offers", b"", True),
        ("POST", "/admin/oauth/access_token", b"{}", True),
        ("POST", "/auth/o2/token", b"grant_type=refresh_token", True),
        ("POST", "/admin/api/2026-10/graphql.json", b'{"query": "\\nquery Variants { shop { id } }"}', True),
        ("POST", "/admin/api/2026-10/graphql.json", b'{"query": "\\nmutation Adjust { x }"}', False),
        ("POST", "/admin-api", b'{"query": "\\nmutation SignIn($username: String!) { login { id } }"}', True),
        ("POST", "/admin-api", b'{"query": "\\nmutation SetStock($input: X) { y }"}', False),
        ("POST", "/admin/api/2026-10/graphql.json", b"no json", False),
        ("POST", "/api/offers/imports", b"", False),
        ("PATCH", "/listings/2021-08-01/items/S/BAG", b"{}", False),
        ("PUT", "/feed-document", b"", False),
        ("DELETE", "/anything", b"", False),
    ],
)
async def test_a_client_that_only_reads_lets_nothing_else_leave(
    method: str, path: str, content: bytes, passes: bool
) -> None:
    """In shadow: whatever an adapter asks for, the last step to the wire says no."""
    arrived: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        arrived.append(request.method)
        return httpx.Response(200, json={})

    wire = httpx.MockTransport(answer)
    client = open_client("http://localhost:9", timeout_seconds=5, transport=wire, read_only=True)
    async with client:
        if passes:
            await client.request(method, path, content=content)
        else:
            with pytest.raises(Refused, match="in shadow"):
                await client.request(method, path, content=content)
    assert arrived == ([method] if passes else [])
