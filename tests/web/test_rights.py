"""Who may do what: bearer tokens with scopes, and the pages that need none."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest
from tests.web.kit import CHECKOUT, NOW, OPERATIONS, VIEWER, House, exposure_at_dubai, problem

from sfsync.domain.why import Question
from sfsync.web.options import ADMIN, Token

GUARDED = [
    ("POST", "/v1/reservations"),
    ("GET", "/v1/reservations/r1"),
    ("POST", "/v1/reservations/r1/confirm"),
    ("POST", "/v1/reservations/r1/release"),
    ("GET", "/v1/status"),
    ("GET", "/v1/exposure"),
    ("GET", "/v1/why?sku=BAG"),
    ("GET", "/v1/levels"),
    ("POST", "/v1/resync"),
    ("GET", "/v1/resync"),
    ("POST", "/v1/resync/plan"),
    ("GET", "/v1/resync/p1"),
    ("GET", "/v1/resync/p1/rows"),
    ("POST", "/v1/resync/p1/apply"),
    ("POST", "/v1/ledger/fold"),
    ("GET", "/v1/ledger/fold/f1"),
    ("GET", "/v1/incidents/7"),
    ("GET", "/v1/dead-letters"),
    ("POST", "/v1/dead-letters/retry"),
    ("POST", "/v1/dead-letters/drop"),
    ("GET", "/v1/sku-mappings"),
    ("POST", "/v1/sku-mappings"),
    ("POST", "/v1/sku-mappings/remove"),
    ("POST", "/v1/incidents/7/resolution"),
    ("GET", "/status.json"),
    ("GET", "/status.fragment"),
]


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize(
    "header", [None, "Bearer", "Bearer wrong", f"Basic {CHECKOUT}", f"Bearer {CHECKOUT}x", "Bearer caf\u00e9"]
)
async def test_without_a_known_token_nothing_is_told(method: str, path: str, header: str | None) -> None:
    """401 with the challenge, before the body is looked at."""
    headers = {} if header is None else {b"Authorization": header.encode()}
    async with House().client() as client:
        answer = await client.request(method, path, headers=headers)
    problem(answer, 401, "who-are-you")
    assert answer.headers["www-authenticate"].startswith('Bearer realm="sfsync"')


@pytest.mark.parametrize("path", ["/v1/resync", "/v1/resync/plan", "/v1/resync/p1/apply"])
async def test_a_token_without_the_scope_is_403(path: str) -> None:
    """A checkout may reserve; it may not put channels right."""
    house = House()
    async with house.client(CHECKOUT) as client:
        answer = await client.post(path)
    assert "checkout" in str(problem(answer, 403, "not-allowed")["detail"])
    assert 'scope="admin"' in answer.headers["www-authenticate"]
    assert house.plans.asked == []


async def test_why_a_number_is_what_it_is_is_told_now_and_of_the_past() -> None:
    """404 for what the org does not have, 410 for what is not kept, 422 naming what is wrong."""
    house = House()
    async with house.client(VIEWER) as client:
        assert (await client.get("/v1/why?sku=BAG")).json()["sku"] == "BAG"
        await client.get("/v1/why?sku=BAG&channel=london&location=ECOM&at=2026-11-22T08:15:00Z")
        assert house.answers.asked == [
            Question("BAG"),
            Question("BAG", "london", "ECOM", NOW - timedelta(days=1)),
        ]
        problem(await client.get("/v1/why?sku=HAT"), 404, "unknown-sku")
        problem(await client.get("/v1/why?sku=BAG&at=2025-11-22T08:15:00Z"), 410, "not-kept")
        nowhere = await client.get("/v1/why?sku=BAG&location=MOON")
        assert "'BAG' is at ECOM" in str(problem(nowhere, 422, "bad-input")["detail"])
        wrong = await client.get("/v1/why?channel=paris&at=yesterday&colour=red")
        assert {error["field"] for error in wrong.json()["errors"]} == {"sku", "channel", "at", "colour"}


async def test_exposure_is_told_to_whoever_may_look_since_a_moment_and_of_a_channel() -> None:
    """A wrong question names what is wrong with it."""
    house = House()
    async with house.client(VIEWER) as client:
        answer = await client.get("/v1/exposure?since=2026-11-22T08:15:00Z&channel=london")
        assert answer.json() == exposure_at_dubai()
        assert house.board.asked_exposure == (NOW - timedelta(days=1), "london")
        wrong = await client.get("/v1/exposure?since=yesterday&channel=paris&sku=BAG")
        assert wrong.status_code == 422
        assert {error["field"] for error in wrong.json()["errors"]} == {"since", "channel", "sku"}
        for since in ("2026-11-22T08:15:00", "2026-12-22T08:15:00Z"):
            assert (await client.get("/v1/exposure", params={"since": since})).status_code == 422
    async with house.client() as client:
        assert (await client.get("/v1/exposure")).status_code == 401


async def test_without_tokens_in_the_settings_nobody_gets_in() -> None:
    """No token is not the same as an open door."""
    async with House(tokens=()).client("") as client:
        problem(await client.get("/v1/status"), 401, "who-are-you")


async def test_an_open_status_opens_the_page_and_nothing_else() -> None:
    """The API still asks for its token."""
    async with House(open_status=True).client() as client:
        assert (await client.get("/status.json")).json()["health"]["state"] == "bad"
        assert (await client.get("/status.fragment")).status_code == 200
        problem(await client.get("/v1/status"), 401, "who-are-you")


async def test_a_closed_page_shows_no_stock_until_a_token_is_given() -> None:
    """The frame of the page has nothing of the org in it."""
    house = House()
    async with house.client() as client:
        page = await client.get("/?sku=BAG")
    assert page.status_code == 200
    assert "MIRROR-BAG-01" not in page.text
    async with house.client(VIEWER) as client:
        assert "MIRROR-BAG-01" in (await client.get("/")).text


def test_a_token_is_in_no_text() -> None:
    """Options may be logged."""
    assert CHECKOUT not in repr(House().options)


async def test_what_the_command_line_does_stands_under_the_name_of_who_types() -> None:
    """Its token is the daemon's own, whoever of the machine uses it; any other token speaks for itself."""
    shell, typed = "the-token-beside-the-store", {"X-Sfsync-User": quote("Zoë Kay")}
    ours = Token("local", shell, frozenset({ADMIN}), personal=True)
    house = House(tokens=(ours, Token("operations", OPERATIONS, frozenset({ADMIN}))))
    sheet = {"mappings": [{"old": "SAC", "new": "BAG-1"}]}
    for token, headers in (
        (shell, typed),
        (shell, {}),
        (OPERATIONS, typed),
        (shell, {"X-Sfsync-User": "%0A"}),
    ):
        async with house.client(token) as client:
            assert (await client.post("/v1/sku-mappings", json=sheet, headers=headers)).status_code == 200
    assert [given[1] for given in house.mappings.given] == ["Zoë Kay", "local", "operations", "local"]
    async with house.client(shell) as client:
        named = {"ids": [1], "by": "Anna Kay", "reason": "a gift"}
        await client.post("/v1/dead-letters/drop", json=named, headers=typed)
    assert house.letters.dropped == [([1], "Anna Kay", "a gift")]
