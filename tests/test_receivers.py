"""The receivers of docs/receivers, run as they are: told by our own channel, caught up from our web."""

from __future__ import annotations

import asyncio
import base64
import os
import selectors
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.channels.clock import HandClock, WallClock
from tests.needs import NODE_CLIENTS_VARIABLE, needs
from tests.web.kit import CHECKOUT, House

from sfsync.channels.callback import CallbackChannel
from sfsync.channels.sender import CallbackConfig
from sfsync.channels.signing import signed_headers
from sfsync.ports import Clock, Refused, Write
from sfsync.web import serve

DOCS = Path(__file__).resolve().parents[1] / "docs" / "receivers"
PATIENCE_SECONDS = 60.0
SECRET, OTHER = (
    f"whsec_{base64.b64encode(text * 2).decode()}" for text in (b"the one we have", b"another secret.")
)
LANGUAGES = ["python", pytest.param("javascript", marks=needs("node-clients"))]


@contextmanager
def running(language: str, folder: Path, secrets: str = SECRET, **more: str) -> Iterator[str]:
    """A receiver on loopback; its address."""
    if language == "python":
        command = [sys.executable, str(DOCS / "receiver.py")]
    else:
        # Node looks for modules beside the script.
        script = folder / "receiver.mjs"
        shutil.copy(DOCS / "receiver.mjs", script)
        if not (folder / "node_modules").exists():
            (folder / "node_modules").symlink_to(Path(os.environ[NODE_CLIENTS_VARIABLE]) / "node_modules")
        command = ["node", str(script)]
    env = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    env |= {"CALLBACK_SECRET": secrets, "PORT": "0", "DATABASE": str(folder / "stock.db"), **more}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        yield _address(process)
    finally:
        process.kill()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    end = time.monotonic() + PATIENCE_SECONDS
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not selector.select(0.5):
            assert process.poll() is None, f"ended with {process.returncode}"
            assert time.monotonic() < end, "it does not listen"
    return process.stdout.readline().strip().removeprefix("listening on ")


def quantity(url: str, sku: str) -> int:
    answer = httpx.get(url, params={"sku": sku}, trust_env=False, timeout=PATIENCE_SECONDS)
    return int(answer.json()["quantity"])


async def tell(
    url: str,
    *numbers: tuple[str, str, int, int],
    secrets: tuple[str, ...] = (SECRET,),
    clock: Clock | None = None,
) -> bool:
    """Send a message with these (SKU, location, quantity, sequence); whether it was taken."""
    config = CallbackConfig("boutique", url, secrets, allow_private=True, timeout_seconds=PATIENCE_SECONDS)
    channel = CallbackChannel(config, clock or WallClock())
    writes = [Write(sku, at, sku, at, quantity=units, sequence=n) for sku, at, units, n in numbers]
    try:
        return (await channel.push(channel.encode("msg_1", writes))).applied
    finally:
        await channel.close()


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_receiver_shows_the_newest_number_however_messages_come(
    language: str, tmp_path: Path
) -> None:
    """Doubled, late, several locations, all alphabets, secrets that rotate."""
    with running(language, tmp_path) as url:
        odd = 'GRÖSSE "M" / 鞄'
        assert await tell(url, ("BAG", "online", 3, 10), (odd, "online", 2, 11))
        assert (quantity(url, "BAG"), quantity(url, odd), quantity(url, "HAT")) == (3, 2, 0)
        assert await tell(url, ("BAG", "online", 1, 12))
        assert await tell(url, ("BAG", "online", 3, 10), (odd, "online", 2, 11))
        assert quantity(url, "BAG") == 1
        assert await tell(url, ("BAG", "shop", 4, 13), secrets=(OTHER, SECRET))
        assert quantity(url, "BAG") == 5
        assert await tell(url, ("BAG", "online", 0, 1_795_779_846_123))
        assert quantity(url, "BAG") == 4


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_receiver_believes_nobody_else(language: str, tmp_path: Path) -> None:
    """Another's secret, an old message, a changed body, malformed headers: 401, and nothing changes."""
    with running(language, tmp_path, f"{OTHER} {SECRET}") as url:
        assert await tell(url, ("BAG", "online", 3, 10))
        stranger = f"whsec_{base64.b64encode(b'somebody elses own secret').decode()}"
        with pytest.raises(Refused, match="401"):
            await tell(url, ("BAG", "online", 9, 11), secrets=(stranger,))
        clock = HandClock()
        clock.at = datetime.now(UTC) - timedelta(minutes=6)
        with pytest.raises(Refused, match="401"):
            await tell(url, ("BAG", "online", 9, 11), clock=clock)
        body = b'{"type":"stock.changed","data":{"levels":[]}}'
        good = signed_headers([SECRET], "msg_2", body, datetime.now(UTC))
        spoilt: list[tuple[Mapping[str, str], bytes]] = [
            (good, body.replace(b"[]", b'[{"sku":"BAG","location":"online","quantity":9,"sequence":99}]')),
            ({**good, "webhook-id": "msg_3"}, body),
            ({**good, "webhook-signature": "nonsense"}, body),
            ({**good, "webhook-signature": "v1,?"}, body),
            ({**good, "webhook-timestamp": "yesterday"}, body),
            ({}, body),
            (good, b"\xff\xfe" + body),
        ]
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as client:
            told = [
                (await client.post(url, headers=headers, content=sent)).status_code
                for headers, sent in spoilt
            ]
            large = await _too_large(client, url, good)
            assert (await client.post(url, headers=good, content=body)).status_code == 204
        assert told == [401] * len(spoilt)
        assert large in (413, None)
        assert quantity(url, "BAG") == 3


@pytest.mark.parametrize("language", LANGUAGES)
async def test_a_receiver_that_was_away_reads_what_it_has_missed(language: str, tmp_path: Path) -> None:
    """From the real API, page by page; and nothing that is older than what it was told itself."""
    house = House()
    server = serve(house.app, "127.0.0.1", 0)
    await server.start()
    try:
        known: dict[str, Any] = {"SFSYNC_URL": server.address, "SFSYNC_TOKEN": CHECKOUT, "CHANNEL": "london"}
        with running(language, tmp_path, **known) as url:
            await _until(lambda: quantity(url, "BAG") == 1)
            assert quantity(url, "TIE") == 9
            assert await tell(url, ("BAG", "online", 7, 20))
            house.numbers.sells("TIE", 8, 21)
        with running(language, tmp_path, **known) as url:
            await _until(lambda: quantity(url, "TIE") == 8)
            # One keeps what it was told, the other has only what the API says.
            assert quantity(url, "BAG") == (7 if language == "python" else 1)
    finally:
        await server.stop()


async def _too_large(client: httpx.AsyncClient, url: str, headers: Mapping[str, str]) -> int | None:
    """What it answers to a body that nobody sends; None when it hangs up before all of it was sent."""
    try:
        return (await client.post(url, headers=headers, content=b"x" * 300_000)).status_code
    except httpx.TransportError:
        return None


async def _until(done: Any) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not await asyncio.to_thread(done):
        assert time.monotonic() < end, "waited in vain"
        await asyncio.sleep(0.05)
