"""Stock counts over the API: each entered once, compared with the books, and every wrong one named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import pytest
from tests.web.kit import CHECKOUT, NOW, OPERATIONS, SHOP, House, problem

BAG = {
    "sku": "BAG",
    "location": "ECOM",
    "quantity": 4,
    "counted_at": "2026-11-22T18:00:00Z",
    "counted_by": "Amina",
    "reason": "cycle count",
}
TIE = BAG | {"sku": "TIE", "quantity": 9}


def errors(told: Mapping[str, object]) -> Sequence[Mapping[str, Any]]:
    """What a problem says of each row."""
    found = told["errors"]
    assert isinstance(found, list)
    return found


async def test_counts_are_told_with_what_the_books_held_and_enter_once() -> None:
    """Five bags in the books, four on the shelf; the same sheet again changes nothing."""
    house = House()
    async with house.client(SHOP) as client:
        for again in (False, True):
            answer = await client.post("/v1/counts", json={"counts": [BAG, TIE]})
            assert answer.status_code == 201, answer.text
            bag, tie = answer.json()["counts"]
            assert (bag["state"], bag["expected"], bag["variance"]) == ("entered", 5, -1)
            assert (tie["state"], tie["expected"], tie["variance"]) == ("entered", 9, 0)
            assert (bag["again"], tie["again"]) == (again, again)
            assert bag["id"] == "20261122T180000Z/Amina"
    assert list(house.counter.entered) == [
        "count:20261122T180000Z/Amina:BAG|ECOM",
        "count:20261122T180000Z/Amina:TIE|ECOM",
    ]


async def test_one_wrong_count_keeps_all_out_unless_the_right_ones_are_asked_for() -> None:
    """The problem names the row and what to do about it."""
    house = House()
    body = {"counts": [BAG, TIE | {"sku": "TYE"}]}
    async with house.client(SHOP) as client:
        told = problem(await client.post("/v1/counts", json=body), 422, "bad-counts")
        (error,) = errors(told)
        assert (error["row"], error["kind"], error["sku"]) == (2, "unknown-level", "TYE")
        assert "create the stock level" in error["remedy"]
        assert house.counter.entered == {}
        answer = await client.post("/v1/counts", json=body | {"partial": True})
        assert answer.status_code == 200
        assert [each["state"] for each in answer.json()["counts"]] == ["entered", "problem"]


@pytest.mark.parametrize(
    ("changes", "kind", "says", "word"),
    [
        ({"quantity": 10_001}, "too-many", "10,001 units of TIE|ECOM are more than the 10,000", "most_units"),
        ({"counted_at": "2026-10-22T18:00:00Z"}, "long-ago", "31 days ago", "old"),
    ],
)
async def test_what_nobody_believes_is_asked_about_and_entered_at_a_persons_word(
    changes: dict[str, Any], kind: str, says: str, word: str
) -> None:
    """A number with a nought too many, a month mistyped: told with what to do, and entered only then."""
    house = House()
    body = {"counts": [BAG, TIE | changes]}
    async with house.client(SHOP) as client:
        told = problem(await client.post("/v1/counts", json=body), 422, "bad-counts")
        (error,) = errors(told)
        assert (error["row"], error["kind"], says in error["detail"]) == (2, kind, True)
        assert word in error["remedy"]
        assert house.counter.entered == {}
        sure = {"most_units": 10_001} if word == "most_units" else {"old": True}
        assert (await client.post("/v1/counts", json=body | sure)).status_code == 201
        bad = problem(
            await client.post("/v1/counts", json=body | {"most_units": 0, "old": 1}), 422, "bad-input"
        )
        assert [each["field"] for each in errors(bad)] == ["most_units", "old"]


async def test_a_dry_run_says_what_is_wrong_and_enters_nothing() -> None:
    """For whoever wants to see first."""
    house = House()
    async with house.client(SHOP) as client:
        answer = await client.post("/v1/counts", json={"counts": [BAG], "dry_run": True})
    assert (answer.status_code, answer.json()["errors"]) == (200, [])
    assert (answer.json()["counts"][0]["state"], house.counter.entered) == ("not entered", {})


async def test_a_key_is_for_one_sheet() -> None:
    """The same key with other counts is a mistake of its sender."""
    house = House()
    key = {"Idempotency-Key": "sheet-1"}
    async with house.client(SHOP) as client:
        for _ in range(2):
            assert (await client.post("/v1/counts", json={"counts": [BAG]}, headers=key)).status_code == 201
        problem(await client.post("/v1/counts", json={"counts": [TIE]}, headers=key), 422, "key-reused")
        problem(await client.post("/v1/counts", json={"counts": [BAG | {"quantity": 3}]}), 422, "bad-counts")


async def test_while_the_org_is_away_the_sender_tries_again() -> None:
    """What waits needs no second telling; what was not written down does, and says so."""
    house = House()
    house.counter.answers = False
    async with house.client(OPERATIONS) as client:
        assert (await client.post("/v1/counts", json={"counts": [BAG]})).status_code == 202
        house.counter.away = True
        answer = await client.post("/v1/counts", json={"counts": [TIE]})
    told = problem(answer, 503, "later")
    assert answer.headers["retry-after"] == "2"
    assert "same request again" in str(told["errors"])


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"sku": None}, "counts[1].sku", "is missing"),
        ({"sku": "TIE|ECOM"}, "counts[1]", "separates"),
        ({"quantity": -1}, "counts[1].quantity", "not between 0 and 999999999"),
        ({"quantity": 4006381333931}, "counts[1].quantity", "not between 0 and 999999999"),
        ({"quantity": 1.5}, "counts[1].quantity", "whole number"),
        ({"quantity": 2, "unit": "S/N 1"}, "counts[1].quantity", "one piece"),
        ({"counted_at": None}, "counts[1].counted_at", "is missing"),
        ({"counted_at": "2026-11-22T18:00:00"}, "counts[1].counted_at", "moment like"),
        ({"sku": "BAG"}, "counts[1]", "same stock as counts[0]"),
        ({"colour": "red"}, "counts[1].colour", "not known"),
    ],
)
async def test_a_count_that_cannot_be_read_names_row_and_field(
    changes: dict[str, Any], field: str, why: str
) -> None:
    """Nothing is entered."""
    house = House()
    async with house.client(SHOP) as client:
        answer = await client.post("/v1/counts", json={"counts": [BAG, TIE | changes]})
    told = problem(answer, 422, "bad-input")
    (error,) = errors(told)
    assert error["field"] == field
    assert why in error["detail"]
    assert house.counter.entered == {}


async def test_a_sheet_has_its_limits_and_its_scope() -> None:
    """A checkout counts nothing; too long a sheet is to be cut."""
    async with House().client(CHECKOUT) as client:
        problem(await client.post("/v1/counts", json={"counts": [BAG]}), 403, "not-allowed")
    async with House().client(SHOP) as client:
        for counts in ([], [BAG] * 201, {"sku": "BAG"}):
            problem(await client.post("/v1/counts", json={"counts": counts}), 422, "bad-input")


async def test_accuracy_is_told_by_whatever_is_asked_for() -> None:
    """And to those who count only; what cannot be asked is named."""
    house = House()
    query = {"by": "location,month", "since": "30d", "tolerance": "exact,2%", "location": "ECOM"}
    async with house.client(SHOP) as client:
        answer = await client.get("/v1/reports/ira", params=query)
        assert (answer.status_code, answer.json()["by"]) == (200, ["location", "month"])
        told = problem(await client.get("/v1/reports/ira", params={"by": "mood"}), 422, "bad-input")
    (wish,) = house.reporter.asked
    assert (NOW - wish.since, wish.until, wish.location) == (timedelta(days=30), NOW, "ECOM")
    (error,) = errors(told)
    assert error["field"] == "by"
    async with house.client(CHECKOUT) as client:
        problem(await client.get("/v1/reports/ira"), 403, "not-allowed")


async def test_what_sells_what_lacks_and_what_to_count_is_told_with_what_was_asked() -> None:
    """And everything that cannot be asked is named at once."""
    async with House().client(SHOP) as client:
        for path, query, told in (
            ("sell-through", {"days": "90", "location": "ECOM"}, {"sold in": 90}),
            ("replenish", {"cover_days": "14", "location": "KNIGHTSBRIDGE"}, {"cover": 14}),
            ("count-next", {"location": "ECOM"}, {"at": "ECOM"}),
        ):
            answer = await client.get(f"/v1/reports/{path}", params=query)
            assert (answer.status_code, answer.json()) == (200, told)
            wrong = {"days": "0", "limit": "all", "by": "mood", "colour": "red"}
            found = problem(await client.get(f"/v1/reports/{path}", params=wrong), 422, "bad-input")
            assert {error["field"] for error in errors(found)} == set(wrong)
        short = {"over_days": "20"}
        problem(await client.get("/v1/reports/replenish", params=short), 422, "bad-input")
