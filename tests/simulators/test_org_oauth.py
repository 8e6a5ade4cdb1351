"""Signing in to the simulated org: every flow, what is said about tokens, and how they end."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.sandbox import OrgSandbox
from tests.simulators.org_kit import BASE, OrgClient

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN = "/services/oauth2/token"


def _refusal(answer: httpx.Response) -> tuple[int, str]:
    assert set(answer.json()) == {"error", "error_description"}
    return answer.status_code, answer.json()["error"]


def _credentials(org: OrgClient) -> dict[str, str]:
    return {"client_id": org.ready["client_id"], "client_secret": org.ready["client_secret"]}


def test_client_credentials_may_come_in_the_form_or_in_the_header(org: OrgClient) -> None:
    """Or in the address. The answer names instance, identity, the time of issue as text, and no expiry."""
    form = {"grant_type": "client_credentials"}
    by_address = org.http.post(TOKEN, params=form | _credentials(org))
    by_form = org.http.post(TOKEN, data=form | _credentials(org))
    by_header = org.http.post(TOKEN, data=form, auth=(org.ready["client_id"], org.ready["client_secret"]))
    for answer in (by_form, by_header, by_address):
        body = answer.json()
        assert body["token_type"] == "Bearer"
        assert body["access_token"].startswith(org.ready["org_id"][:15] + "!")
        assert body["instance_url"] == org.ready["rest_url"]
        assert body["id"].split("/")[-2] == org.ready["org_id"]
        assert body["issued_at"].isdigit()
        assert "expires_in" not in body
    assert by_form.json()["access_token"] == by_header.json()["access_token"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"client_secret": "wrong"}, "invalid_client"),
        ({"client_id": "nobody"}, "invalid_client_id"),
        ({"grant_type": "magic"}, "unsupported_grant_type"),
    ],
)
def test_wrong_credentials_are_refused_as_oauth_says(
    org: OrgClient, change: dict[str, str], error: str
) -> None:
    """400 with error and error_description, not an array."""
    form = {"grant_type": "client_credentials", **_credentials(org), **change}
    assert _refusal(org.http.post(TOKEN, data=form)) == (400, error)


def _assertion(org: OrgClient, key: Any = None, **claims: Any) -> dict[str, str]:
    pem = Path(org.ready["jwt_key_file"]).read_bytes()
    payload = {
        "iss": org.ready["client_id"],
        "sub": org.ready["username"],
        "aud": "https://login.salesforce.com",
        "exp": int(time.time()) + 180,
        **claims,
    }
    return {"grant_type": JWT_BEARER, "assertion": jwt.encode(payload, key or pem, algorithm="RS256")}


def test_a_signed_assertion_gives_a_token(org: OrgClient) -> None:
    """The audience may be a login site or the org itself; `exp` may be in milliseconds or written as text."""
    soon = int(time.time()) + 180
    for claims in ({}, {"aud": org.ready["rest_url"] + "/"}, {"exp": soon * 1000}, {"exp": str(soon)}):
        answer = org.http.post(TOKEN, data=_assertion(org, **claims))
        assert answer.status_code == 200, answer.text
        token = answer.json()["access_token"]
        called = org.call("GET", "/limits", headers={"Authorization": f"Bearer {token}"})
        assert called.status_code == 200


def test_an_assertion_that_does_not_hold_is_refused(org: OrgClient) -> None:
    """Signed by another key, expired, for another audience, another user, another app, or no token at all."""
    stranger = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    forms = [
        _assertion(org, stranger),
        _assertion(org, exp=int(time.time()) - 10),
        _assertion(org, exp=str(int(time.time()) - 10)),
        _assertion(org, exp="soon"),
        _assertion(org, exp="nan"),
        _assertion(org, exp=None),
        _assertion(org, aud="https://example.com"),
        _assertion(org, sub="stranger@example.com"),
        {"grant_type": JWT_BEARER, "assertion": "nonsense"},
    ]
    for form in forms:
        assert _refusal(org.http.post(TOKEN, data=form)) == (400, "invalid_grant")
    assert _refusal(org.http.post(TOKEN, data=_assertion(org, iss="nobody"))) == (400, "invalid_client_id")


def test_a_password_gives_a_token_that_can_be_refreshed_until_it_is_revoked(org: OrgClient) -> None:
    """The security token may hang on the password; each refresh gives another session."""
    form = {
        "grant_type": "password",
        "username": org.ready["username"],
        "password": org.ready["password"] + "SECURITYTOKEN",
    }
    first = org.http.post(TOKEN, data=form | _credentials(org)).json()
    refresh = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]} | _credentials(org)
    second = org.http.post(TOKEN, data=refresh).json()
    assert second["access_token"] != first["access_token"]
    assert org.http.post("/services/oauth2/revoke", data={"token": first["refresh_token"]}).status_code == 200
    assert _refusal(org.http.post(TOKEN, data=refresh)) == (400, "invalid_grant")


def test_a_revoked_token_is_good_for_nothing(org: OrgClient) -> None:
    """REST answers 401, introspection says inactive, a second revocation is refused."""
    token = org.http.headers["Authorization"].removeprefix("Bearer ")
    assert org.http.post("/services/oauth2/revoke", data={"token": token}).status_code == 200
    assert org.call("GET", "/limits").status_code == 401
    asked = org.http.post("/services/oauth2/introspect", data={"token": token} | _credentials(org))
    assert asked.json() == {"active": False}
    assert org.http.post("/services/oauth2/revoke", data={"token": token}).status_code == 400


def test_introspection_tells_when_a_token_ends(org: OrgClient) -> None:
    """`exp` is the only place where a client can learn it."""
    token = org.http.headers["Authorization"].removeprefix("Bearer ")
    told = org.http.post("/services/oauth2/introspect", data={"token": token} | _credentials(org)).json()
    assert told["active"]
    assert told["username"] == org.ready["username"]
    assert 0 < told["exp"] - told["iat"] <= 2 * 7200


def test_a_session_ends_with_its_time(lonely: OrgSandbox) -> None:
    """The org's clock moves on; the next sign-in gives another token."""
    org = OrgClient(lonely.ready)
    before = org.http.headers["Authorization"]
    lonely.control("POST", "/clock", {"seconds": 7201})
    answer = org.call("GET", "/limits")
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (401, "INVALID_SESSION_ID")
    org.sign_in()
    assert org.http.headers["Authorization"] != before
    assert org.call("GET", "/limits").status_code == 200
    org.http.close()


def test_a_session_that_is_used_lives_longer(lonely: OrgSandbox) -> None:
    """Use in the second half of its life renews it."""
    org = OrgClient(lonely.ready)
    lonely.control("POST", "/sessions/end")
    org.sign_in()
    for _ in range(3):
        lonely.control("POST", "/clock", {"seconds": 5000})
        assert org.call("GET", "/limits").status_code == 200
    org.http.close()


def test_userinfo_and_identity_tell_who_it_is(org: OrgClient) -> None:
    """With the names that Pub/Sub clients read; a token that is missing or bad is refused by its name."""
    about = org.http.get("/services/oauth2/userinfo").json()
    assert about["organization_id"] == org.ready["org_id"]
    assert about["preferred_username"] == org.ready["username"]
    path = f"/id/{org.ready['org_id']}/{about['user_id']}"
    assert org.http.get(path).json()["username"] == org.ready["username"]
    user = org.call("GET", f"/sobjects/User/{about['user_id']}").json()
    assert user["Username"] == org.ready["username"]
    del org.http.headers["Authorization"]
    for place in (path, "/services/oauth2/userinfo"):
        missing = org.http.get(place)
        assert (missing.status_code, missing.text) == (403, "Missing_OAuth_Token")
        bad = org.http.get(place, headers={"Authorization": "Bearer nonsense"})
        assert (bad.status_code, bad.text) == (403, "Bad_OAuth_Token")


def test_the_discovery_document_names_the_endpoints(org: OrgClient) -> None:
    """Under the address by which it was asked."""
    told = org.http.get("/.well-known/openid-configuration").json()
    assert told["token_endpoint"] == org.ready["rest_url"] + TOKEN
    assert BASE not in told["token_endpoint"]
    assert org.http.get(told["jwks_uri"]).json() == {"keys": []}  # no flow here gives an ID token
