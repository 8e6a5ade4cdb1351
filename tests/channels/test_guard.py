"""Callbacks reach receivers and nothing else: not this machine, not the house's network, not metadata."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.channels.clock import WallClock
from tests.sandbox import Sandbox, start_receiver

from sfsync.channels.callback import CallbackChannel
from sfsync.channels.guard import Lookup, forbidden
from sfsync.channels.sender import CallbackConfig
from sfsync.ports import PushAnswer, Refused, Severity, TryLater, Write

SECRET = f"whsec_{base64.b64encode(b'a secret of more than 24 bytes').decode()}"
PUBLIC = "93.184.215.14"


@pytest.fixture(scope="module")
def shop() -> Iterator[Sandbox]:
    """A receiver on loopback."""
    with start_receiver() as running:
        yield running


def names(*answers: Sequence[str]) -> tuple[Lookup, list[str]]:
    """A resolver that gives these answers in turn, the last for ever; and what it was asked."""
    asked: list[str] = []

    async def lookup(host: str, _: int) -> Sequence[str]:
        asked.append(host)
        return answers[min(len(asked), len(answers)) - 1]

    return lookup, asked


async def call(url: str, *, secret: str = SECRET, lookup: Lookup | None = None, **how: Any) -> PushAnswer:
    config = CallbackConfig("boutique", url, (secret,), **how)
    made = (
        CallbackChannel(config, WallClock(), lookup=lookup)
        if lookup
        else CallbackChannel(config, WallClock())
    )
    try:
        body = made.encode("msg_1", [Write("BAG", "online", "BAG", "online", quantity=1, sequence=1)])
        return await made.push(body)
    finally:
        await made.close()


@pytest.mark.parametrize(
    "address",
    [
        *("10.0.0.7", "172.16.0.1", "192.168.1.1", "100.64.0.1", "127.0.0.1", "127.9.9.9", "::1"),
        *("fc00::1", "fd12:3456::1", "::ffff:10.0.0.7", "::ffff:127.0.0.1", "2002:0a00:0007::1"),
        *("64:ff9b::10.0.0.7", "64:ff9b::7f00:1"),
    ],
)
def test_private_networks_and_this_machine_are_for_whoever_allows_them(address: str) -> None:
    """Also where an IPv6 address only wraps them."""
    assert forbidden(address, allow_private=False)
    assert not forbidden(address, allow_private=True)


@pytest.mark.parametrize(
    "address",
    [
        *("169.254.169.254", "169.254.1.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "100.100.100.200"),
        *("0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1"),
        *(
            "::ffff:169.254.169.254",
            "64:ff9b::169.254.169.254",
            "2002:a9fe:a9fe::1",
            "nonsense",
            "2130706433",
        ),
    ],
)
def test_metadata_and_what_is_no_receiver_are_for_nobody(address: str) -> None:
    """Whatever the settings allow."""
    assert forbidden(address, allow_private=False)
    assert forbidden(address, allow_private=True)


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:4700:4700::1111", "64:ff9b::8.8.8.8"])
def test_public_addresses_are_receivers(address: str) -> None:
    """Of both kinds."""
    assert not forbidden(address, allow_private=False)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1:9/stock",
        "https://[::1]:9/stock",
        "https://[::ffff:10.0.0.7]/stock",
        "https://localhost:9/stock",
        "https://2130706433/stock",
        "https://127.1/stock",
        "https://0x7f.0.0.1/stock",
        "https://169.254.169.254/latest/meta-data",
    ],
)
async def test_an_address_within_is_not_called_however_it_is_written(url: str) -> None:
    """The failure says why, and what to do where it is meant."""
    with pytest.raises(Refused, match="not called: ") as caught:
        await call(url)
    assert "allow_private" in caught.value.advice


async def test_one_bad_address_among_good_ones_is_enough() -> None:
    """Who mixes them hopes that the connection falls back."""
    lookup, _ = names([PUBLIC, "10.0.0.7"])
    with pytest.raises(
        Refused, match=r"shop\.example\.com leads to 10\.0\.0\.7, which is in a private network"
    ):
        await call("https://shop.example.com/stock", lookup=lookup)


async def test_the_connection_goes_to_the_address_that_was_judged(shop: Sandbox) -> None:
    """Nobody else is asked where the name leads: a name that only this resolver knows is reached."""
    lookup, asked = names(["127.0.0.1"])
    url = str(shop.ready["url"]).replace("localhost", "no-such-name.localhost")
    assert (await call(url, secret=shop.ready["secret"], lookup=lookup, allow_private=True)).applied
    assert asked == ["no-such-name.localhost"]


async def test_a_name_that_leads_elsewhere_a_moment_later_is_judged_again(shop: Sandbox) -> None:
    """DNS rebinding: the check's answer is not the connection's. Each connection has its own, judged."""
    lookup, asked = names(["127.0.0.1"], ["169.254.169.254"])
    shop.control("PATCH", "/state", {"closes": True})
    url = str(shop.ready["url"]).replace("localhost", "turning.localhost")
    config = CallbackConfig("boutique", url, (shop.ready["secret"],), allow_private=True)
    made = CallbackChannel(config, WallClock(), lookup=lookup)
    body = made.encode("msg_1", [Write("BAG", "online", "BAG", "online", quantity=1, sequence=1)])
    assert (await made.push(body)).applied
    with pytest.raises(Refused, match=r"leads to 169\.254\.169\.254, which is a metadata service"):
        await made.push(body)
    await made.close()
    assert len(asked) == 2


async def test_the_check_refuses_a_receiver_within_before_anything_is_sent() -> None:
    """And only warns of a name that is not there at the moment."""
    lookup, _ = names(["10.0.0.7"])
    within = CallbackChannel(
        CallbackConfig("boutique", "https://shop.example.com/stock", (SECRET,)), WallClock(), lookup=lookup
    )
    (finding,) = await within.check()
    assert finding.severity is Severity.FATAL
    assert "10.0.0.7" in finding.what
    await within.close()
    nowhere = CallbackChannel(
        CallbackConfig("boutique", "https://shop.invalid/stock", (SECRET,)), WallClock()
    )
    (finding,) = await nowhere.check()
    assert (finding.severity, finding.what) == (
        Severity.WARNING,
        "boutique: the name shop.invalid is not found",
    )
    await nowhere.close()


async def test_no_proxy_stands_between(shop: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would look the name up again, and by itself."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("NO_PROXY", "")
    lookup, asked = names(["127.0.0.1"])
    with pytest.raises(TryLater, match="not reached"):
        await call("https://shop.example.com:9/stock", lookup=lookup, allow_private=True)
    assert asked == ["shop.example.com"]
