"""Tokens of a Shopify store: given, asked for, renewed, refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.channels.clock import HandClock
from tests.channels.shopify_bench import adjusted, change, channel

from sfsync.ports import Refused, TryLater

CREDENTIALS: dict[str, Any] = {"access_token": "", "client_id": "app", "client_secret": "hush-client"}


def store(
    *, life: int = 86399, accepts: Callable[[str], bool] = lambda _: True
) -> Callable[[httpx.Request], httpx.Response]:
    """A store that gives numbered tokens."""
    given = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal given
        if request.url.path == "/admin/oauth/access_token":
            assert json.loads(request.content) == {
                "grant_type": "client_credentials",
                "client_id": "app",
                "client_secret": "hush-client",
            }
            given += 1
            return httpx.Response(200, json={"access_token": f"t{given}", "scope": "", "expires_in": life})
        return adjusted() if accepts(request.headers["X-Shopify-Access-Token"]) else httpx.Response(401)

    return answer


def tokens_used(requests: list[httpx.Request]) -> list[str]:
    return [request.headers.get("X-Shopify-Access-Token", "asked") for request in requests]


async def test_many_callers_ask_for_one_token() -> None:
    """The store is asked once, however many pushes wait."""
    made, asked = channel(store(), **CREDENTIALS)
    await asyncio.gather(*(made.push(made.encode(f"k{n}", [change()])) for n in range(5)))
    assert tokens_used(asked.requests) == ["asked", "t1", "t1", "t1", "t1", "t1"]


async def test_a_token_is_renewed_before_it_lapses() -> None:
    """At four fifths of its life."""
    clock = HandClock()
    made, asked = channel(store(life=1000), clock=clock, **CREDENTIALS)
    for minutes in (0, 10, 4):
        clock.at += timedelta(minutes=minutes)
        await made.push(made.encode("k", [change()]))
    assert tokens_used(asked.requests) == ["asked", "t1", "t1", "asked", "t2"]


async def test_a_revoked_token_is_renewed_once_and_the_same_bytes_sent_again() -> None:
    """A push does not fail because a token was changed at the store."""
    made, asked = channel(store(accepts=lambda token: token != "t1"), **CREDENTIALS)
    body = made.encode("k", [change()])
    assert (await made.push(body)).applied
    assert tokens_used(asked.requests) == ["asked", "t1", "asked", "t2"]
    assert asked.bodies[1] == asked.bodies[3] == body


async def test_a_store_that_accepts_no_token_is_refused_with_advice() -> None:
    """One renewal, not a storm of them."""
    made, asked = channel(store(accepts=lambda _: False), **CREDENTIALS)
    with pytest.raises(Refused) as caught:
        await made.push(made.encode("k", [change()]))
    assert "client_id" in caught.value.advice
    assert len(asked.requests) == 4


async def test_a_given_token_that_is_refused_is_not_renewed() -> None:
    """There is nothing to renew it with."""
    made, asked = channel(httpx.Response(401))
    with pytest.raises(Refused) as caught:
        await made.push(made.encode("k", [change()]))
    assert "access_token" in caught.value.advice
    assert len(asked.requests) == 1


@pytest.mark.parametrize(
    ("answer", "failure", "word"),
    [
        (httpx.Response(400, json={"error": "shop_not_permitted"}), Refused, "shop_not_permitted"),
        (httpx.Response(401, json={"error_description": "unknown client"}), Refused, "unknown client"),
        (httpx.Response(403, text="<html>"), Refused, "HTTP 403"),
        (httpx.Response(500), TryLater, "HTTP 500"),
        (httpx.Response(429), TryLater, "HTTP 429"),
        (httpx.Response(200, json={}), TryLater, "no token"),
        (httpx.Response(200, text="half a docu"), TryLater, "no token"),
        (httpx.ReadError("cut"), TryLater, "cut"),
    ],
)
async def test_no_token_means_that_nothing_was_pushed(
    answer: httpx.Response | Exception, failure: type[Exception], word: str
) -> None:
    """So it is never Unknown; and the client's secret is in no text."""
    made, asked = channel(answer, **CREDENTIALS)
    with pytest.raises(failure, match=word) as caught:
        await made.push(made.encode("k", [change()]))
    assert "hush" not in str(caught.value)
    assert len(asked.requests) == 1
