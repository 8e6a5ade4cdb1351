"""How far a long request has come is told while it is being answered, to whoever sent an id with it."""

from __future__ import annotations

import asyncio

from tests.web.kit import AUDITOR, OPERATIONS, VIEWER, House, problem

RETRY = "/v1/dead-letters/retry"
KEY = "0123456789abcdef" * 2
LOOK = f"/v1/progress/{KEY}"


async def test_a_bar_can_ask_how_far_its_request_is_until_it_is_answered() -> None:
    """What is counted, how many are done, of how many; then there is nothing to ask about any more."""
    house = House()
    house.letters.slow = asyncio.Event()
    async with house.client(OPERATIONS) as client, house.client(AUDITOR) as beside:
        problem(await beside.get(LOOK), 404, "no-such-work")
        wish = {"cause": "item refused"}
        asked = asyncio.create_task(client.post(RETRY, json=wish, headers={"x-progress-id": KEY}))
        async with asyncio.timeout(10):
            while (told := await beside.get(LOOK)).status_code == 404 or not told.json()["what"]:  # noqa: ASYNC110 — as a bar asks
                await asyncio.sleep(0.001)
        assert told.json() == {"what": "dead letters", "done": 1, "total": 3}
        house.letters.slow.set()
        assert (await asked).status_code == 200
        problem(await beside.get(LOOK), 404, "no-such-work")


async def test_whoever_may_not_read_all_is_told_of_no_request() -> None:
    """And a made-up id that is none watches nothing."""
    house = House()
    async with house.client(VIEWER) as client:
        problem(await client.get(LOOK), 403, "not-allowed")
    async with house.client(OPERATIONS) as client:
        answer = await client.post(RETRY, json={"ids": [1]}, headers={"x-progress-id": "nonsense"})
        assert answer.status_code == 200
