"""Every error is a problem document; health tells machines the truth."""

from __future__ import annotations

import pytest
from tests.web.kit import CHECKOUT, VIEWER, House, problem


@pytest.mark.parametrize(
    "path", ["/none", "/v1/none", "/v1/reservations/", "/static/none.js", "/static/..%2fpage.py"]
)
async def test_an_unknown_address_is_a_404_problem(path: str) -> None:
    """Files of ours included."""
    async with House().client(CHECKOUT) as client:
        problem(await client.get(path), 404, "no-such-path")


async def test_a_wrong_method_is_a_405_problem_that_names_the_right_one() -> None:
    """By the Allow header."""
    async with House().client() as client:
        answer = await client.get("/webhooks/london")
    problem(answer, 405, "no-such-method")
    assert answer.headers["allow"] == "POST"


async def test_a_mistake_of_ours_is_a_500_problem_and_the_next_request_works() -> None:
    """And the log has what the answer has not."""
    house = House(open_status=True)
    house.board.failure = ZeroDivisionError("secret detail")
    async with house.client() as client:
        answer = await client.get("/status.json")
        house.board.failure = None
        assert (await client.get("/status.json")).status_code == 200
    assert "secret detail" not in str(problem(answer, 500, "unexpected"))


async def test_a_path_cannot_forge_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    """Line ends and escapes in an address stay encoded."""
    async with House().client() as client:
        await client.get("/x%0Arequest%20status=200%1b[31m")
    told = capsys.readouterr().out
    assert told.count("\n") == 1
    assert "/x%0Arequest" in told


async def test_alive_is_not_ready() -> None:
    """Liveness stays good while readiness says why not."""
    house = House()
    async with house.client() as client:
        assert (await client.get("/readyz")).json() == {
            "ready": True,
            "detail": "the stream was heard 2 s ago",
        }
        house.board.health = (False, "the org has not been reached yet")
        assert (
            problem(await client.get("/readyz"), 503, "not-ready")["detail"]
            == "the org has not been reached yet"
        )
        assert (await client.get("/healthz")).status_code == 200


async def test_the_status_is_told_as_json_with_the_stock_asked_for() -> None:
    """`sku` adds levels; without it there are none."""
    from tests.web.kit import stock_of_bag

    house = House()
    house.board.stock = [stock_of_bag()]
    async with house.client(VIEWER) as client:
        plain = (await client.get("/v1/status")).json()
        found = (await client.get("/v1/status", params={"sku": "gated"})).json()
    assert "levels" not in plain
    assert found.pop("levels") == [stock_of_bag()]
    assert found == plain == house.board.told
