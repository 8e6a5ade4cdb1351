"""Tokens: one request for all who need one, and plain words when there is none."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from tests.salesforce.kit import SECRET, TOKEN_ANSWER, Handler, RoteOrg, config

from sfsync.ports import Refused, TryLater
from sfsync.salesforce.auth import Token, TokenProvider, advice_for, eighteen


def provider(token: Handler | None = None) -> tuple[TokenProvider, RoteOrg]:
    org = RoteOrg(token=token)
    return TokenProvider(config(), httpx.AsyncClient(transport=httpx.MockTransport(org.handle))), org


def test_an_id_gets_its_case_suffix() -> None:
    """The 18-character form survives systems that ignore case; a full id stays as it is."""
    assert eighteen("001D000000IRFmaIAH") == "001D000000IRFmaIAH"
    assert eighteen("001D000000IRFma") == "001D000000IRFmaIAH"


async def test_the_token_tells_instance_and_org() -> None:
    """What the stream needs in its metadata comes with the token."""
    tokens, org = provider()
    assert await tokens.token() == Token(
        "00D000000000001!abc", "https://house.my.salesforce.com", "00D000000000001AAA"
    )
    assert org.tokens == 1


async def test_many_who_need_a_token_share_one_request() -> None:
    """A cold start asks once, and so does a worn token met by many calls at the same time."""
    made = iter(range(10))
    tokens, org = provider(
        lambda _: httpx.Response(200, json=TOKEN_ANSWER | {"access_token": f"t{next(made)}"})
    )
    first = await asyncio.gather(*(tokens.token() for _ in range(8)))
    assert {each.access for each in first} == {"t0"}
    second = await asyncio.gather(*(tokens.renew(first[0]) for _ in range(8)))
    assert {each.access for each in second} == {"t1"}
    assert (await tokens.renew(first[0])).access == "t1"
    assert org.tokens == 2


@pytest.mark.parametrize(
    ("code", "words", "hint"),
    [
        ("invalid_client_id", "client identifier invalid", "client_id"),
        ("invalid_client", "invalid client credentials", "client_secret"),
        ("invalid_grant", "no client credentials user enabled", "run-as user"),
        ("invalid_grant", "request not supported on this domain", "My Domain"),
        ("unsupported_grant_type", "grant type not supported", "client credentials flow"),
        ("invalid_grant", "ip restricted", "address"),
        ("something_new", "", "login_url, client_id and client_secret"),
    ],
)
async def test_a_refused_token_says_what_to_look_at(code: str, words: str, hint: str) -> None:
    """A person reads the org's words and where to mend it."""
    body = {"error": code, "error_description": words}
    tokens, _ = provider(lambda _: httpx.Response(400, json=body))
    with pytest.raises(Refused) as caught:
        await tokens.token()
    assert code in str(caught.value)
    assert words in str(caught.value)
    assert hint in caught.value.advice == advice_for(code, words)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(503, text="<html>down</html>"),
        httpx.Response(500, json={"error": "server_error"}),
        httpx.Response(429, text=""),
        httpx.Response(400, json={"error": "invalid_grant", "error_description": "login rate exceeded"}),
        httpx.Response(400, json={"error": "temporarily_unavailable"}),
        httpx.ConnectError("no such host"),
        httpx.ReadTimeout(""),
        ConnectionResetError("cut"),
    ],
)
async def test_an_org_that_is_down_is_asked_again_later(answer: httpx.Response | Exception) -> None:
    """None of these will need a person."""

    def token(_: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer

    tokens, _ = provider(token)
    with pytest.raises(TryLater):
        await tokens.token()


@pytest.mark.parametrize(
    "answer",
    [httpx.Response(200, text="<html>login</html>"), httpx.Response(404, text=""), httpx.Response(302)],
)
async def test_an_address_that_is_no_org_is_said_to_be_none(answer: httpx.Response) -> None:
    """The commonest mistake is an address that shows a login page."""
    tokens, _ = provider(lambda _: answer)
    with pytest.raises(Refused) as caught:
        await tokens.token()
    assert "My Domain" in caught.value.advice


async def test_a_token_never_goes_where_there_is_no_tls() -> None:
    """An org reached by TLS does not send us away from it."""
    tokens, _ = provider(
        lambda _: httpx.Response(200, json=TOKEN_ANSWER | {"instance_url": "http://evil.example"})
    )
    with pytest.raises(Refused, match="without TLS"):
        await tokens.token()


async def test_the_secret_is_never_shown() -> None:
    """Not in the configuration's or a token's repr, nor in an error that quotes the request back."""
    tokens, _ = provider(
        lambda asked: httpx.Response(
            400, json={"error": "invalid", "error_description": asked.content.decode()}
        )
    )
    with pytest.raises(Refused) as caught:
        await tokens.token()
    assert SECRET not in f"{caught.value!s}{caught.value!r}{caught.value.advice}{config()!r}"
    assert caught.value.__cause__ is None
    assert "abc" not in repr(Token("abc", "https://x", "00D"))


async def test_a_failed_renewal_is_tried_anew_by_the_next_caller() -> None:
    """One refused request does not lock the door for ever."""
    answers = iter([httpx.Response(503), httpx.Response(200, json=TOKEN_ANSWER)])
    tokens, _ = provider(lambda _: next(answers))
    with pytest.raises(TryLater):
        await tokens.token()
    assert (await tokens.token()).org_id == "00D000000000001AAA"
