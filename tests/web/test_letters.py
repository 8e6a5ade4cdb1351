"""Dead letters over the API: by those who may, with ids or a cause, and a reason for what is dropped."""

from __future__ import annotations

from typing import Any

import pytest
from tests.web.kit import AUDITOR, CHECKOUT, OPERATIONS, House, problem

from sfsync.domain.letters import Cause

LIST, RETRY, DROP = "/v1/dead-letters", "/v1/dead-letters/retry", "/v1/dead-letters/drop"


async def test_each_wish_is_handed_on_and_answered_item_by_item() -> None:
    """By ids, by cause; dropped with the name that is given, or the token's."""
    house = House()
    async with house.client(OPERATIONS) as client:
        assert (await client.get(LIST)).json() == {"causes": [], "dropped": []}
        tried = (await client.post(RETRY, json={"ids": [1, 3]})).json()["tried"]
        assert [(each["id"], each["retried"]) for each in tried] == [(1, True), (3, False)]
        await client.post(RETRY, json={"cause": "item refused"})
        gone = await client.post(DROP, json={"ids": [2, 9], "by": "Anna Kay", "reason": "a gift"})
        assert gone.json() == {"dropped": [2], "missing": [9]}
        await client.post(DROP, json={"ids": [1], "reason": "a test order"})
        all_of = {"cause": "item refused", "up_to": 209, "reason": "the season is over"}
        assert (await client.post(DROP, json=all_of)).json() == {"dropped": [1, 3], "missing": []}
    assert house.letters.asked == [([1, 3], None), ([], Cause.ITEM_REFUSED)]
    assert house.letters.dropped == [([2, 9], "Anna Kay", "a gift"), ([1], "operations", "a test order")]
    assert house.letters.dropped_causes == [
        (Cause.ITEM_REFUSED, 209, "operations", "the season is over"),
    ]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (RETRY, {}, "ids"),
        (RETRY, {"ids": [1], "cause": "item refused"}, "ids"),
        (RETRY, {"cause": "bad luck"}, "cause"),
        (RETRY, {"ids": []}, "ids"),
        (RETRY, {"ids": [True]}, "ids"),
        (RETRY, {"ids": [0]}, "ids"),
        (RETRY, {"ids": [1], "colour": "red"}, "colour"),
        (DROP, {"reason": "which?"}, "ids"),
        (DROP, {"ids": [1], "cause": "item refused", "reason": "both"}, "ids"),
        (DROP, {"cause": "bad luck", "reason": "no"}, "cause"),
        (DROP, {"cause": "item refused", "up_to": 0, "reason": "no"}, "up_to"),
        (DROP, {"ids": [1], "up_to": 3, "reason": "no"}, "up_to"),
        (DROP, {"ids": [1]}, "reason"),
        (DROP, {"ids": [1], "reason": "x" * 161}, "reason"),
        (DROP, {"ids": list(range(1, 1002)), "reason": "all of them"}, "ids"),
    ],
)
async def test_a_bad_wish_names_its_field_and_does_nothing(
    path: str, body: dict[str, Any], field: str
) -> None:
    """422, and nothing is handed on."""
    house = House()
    async with house.client(OPERATIONS) as client:
        answer = await client.post(path, json=body)
    problem(answer, 422, "bad-input")
    assert field in {error["field"] for error in answer.json()["errors"]}
    assert house.letters.asked == []
    assert house.letters.dropped == []
    assert house.letters.dropped_causes == []


@pytest.mark.parametrize(
    ("query", "field"),
    [("cause=bad+luck", "cause"), ("cause=item+refused&after=x", "after"), ("after=3", "after")],
)
async def test_a_page_is_asked_for_by_its_cause_and_the_id_before_it(query: str, field: str) -> None:
    """What is no such page is refused by its field, on the API and on the page for people."""
    house = House()
    async with house.client(OPERATIONS) as client:
        await client.get(LIST, params={"cause": "item refused", "after": "3"})
        answer = await client.get(f"{LIST}?{query}")
        assert (await client.get(f"/dead-letters?{query}")).status_code == 422
    problem(answer, 422, "bad-input")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert house.letters.pages == [(Cause.ITEM_REFUSED, 3)]


async def test_only_an_admin_tries_again_and_drops_and_an_auditor_reads() -> None:
    """403 for everybody else."""
    house = House()
    async with house.client(AUDITOR) as client:
        assert (await client.get(LIST)).status_code == 200
        problem(await client.post(DROP, json={"ids": [1], "reason": "no"}), 403, "not-allowed")
    async with house.client(CHECKOUT) as client:
        problem(await client.get(LIST), 403, "not-allowed")
        problem(await client.post(RETRY, json={"ids": [1]}), 403, "not-allowed")
    assert house.letters.dropped == []
