"""Webhooks are checked, stored and answered; whatever is not stored is not answered 200."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.web.kit import House, problem, signed

from sfsync.ports import Refused, TryLater, Unknown


async def test_a_signed_webhook_is_stored_byte_for_byte_and_answered_200() -> None:
    """The bytes that were signed are the bytes that are kept."""
    house, body = House(), b'{"id": 1, "note": "caf\xc3\xa9 \\u0041"}\r\n'
    async with house.client() as client:
        answer = await client.post("/webhooks/london", content=body, headers=signed(body))
    assert answer.status_code == 200
    assert house.door.kept == [body]


async def test_a_webhook_that_comes_twice_is_answered_200_twice_and_stored_once() -> None:
    """The sender is told that we have it, whichever time it asks."""
    house, body = House(), b"{}"
    async with house.client() as client:
        answers = [
            await client.post("/webhooks/london", content=body, headers=signed(body)) for _ in range(2)
        ]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert house.door.kept == [body]


async def test_a_forged_webhook_is_answered_401_and_kept_nowhere() -> None:
    """Neither the body nor the reason for the refusal goes back to the sender."""
    house = House()
    async with house.client() as client:
        answer = await client.post("/webhooks/london", content=b"{}", headers=signed(b"{ }"))
    assert "secret" not in str(problem(answer, 401, "forged"))
    assert house.door.kept == []


async def test_a_webhook_for_an_unknown_channel_is_answered_404() -> None:
    """It says no more than that."""
    async with House().client() as client:
        problem(await client.post("/webhooks/paris", content=b"{}"), 404, "no-such-channel")


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "chunked"])
async def test_a_webhook_larger_than_the_limit_is_answered_413_and_not_stored(announced: bool) -> None:
    """Whether or not its length was announced; exactly the limit is accepted."""
    house = House(max_body_bytes=1024)

    async def content(body: bytes) -> AsyncIterator[bytes]:
        yield body

    async with house.client() as client:
        for size in (1024, 1025):
            body = b"x" * size
            answer = await client.post(
                "/webhooks/london", content=body if announced else content(body), headers=signed(body)
            )
            assert answer.status_code == (200 if size == 1024 else 413)
    assert problem(answer, 413, "too-large")
    assert answer.headers["connection"] == "close"
    assert house.door.kept == [b"x" * 1024]
    assert house.door.away == [("london", "The body has more than 1024 bytes.")]


@pytest.mark.parametrize("failure", [TryLater("the disk is full"), Unknown("the store does not answer")])
async def test_a_webhook_that_could_not_be_stored_is_answered_503(failure: Exception) -> None:
    """So that the sender sends it again."""
    house = House()
    house.door.failure = failure
    async with house.client() as client:
        answer = await client.post("/webhooks/london", content=b"{}", headers=signed(b"{}"))
    problem(answer, 503, "later")
    assert int(answer.headers["retry-after"]) >= 1


async def test_a_mistake_of_ours_is_answered_500_without_telling_our_insides() -> None:
    """Neither type nor text of the exception goes out."""
    house = House()
    house.door.failure = RuntimeError("password=hunter2")
    async with house.client() as client:
        answer = await client.post("/webhooks/london", content=b"{}", headers=signed(b"{}"))
    assert "hunter2" not in str(problem(answer, 500, "unexpected"))
    assert "RuntimeError" not in answer.text


async def test_a_refusal_comes_with_its_advice() -> None:
    """A person must look: the sentence and the advice are theirs."""
    house = House()
    house.door.failure = Refused("the order has no lines", advice="look at the order in the shop")
    async with house.client() as client:
        body = problem(
            await client.post("/webhooks/london", content=b"{}", headers=signed(b"{}")), 502, "refused"
        )
    assert (body["detail"], body["advice"]) == ("the order has no lines", "look at the order in the shop")
