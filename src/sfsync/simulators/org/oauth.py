"""OAuth 2.0 of the org: token, userinfo, identity, introspect, revoke, and the discovery document.

Flows: client credentials (Basic header or form), JWT bearer (RS256 is verified; a far-future `exp` is
accepted), refresh token, and username-password. Errors are `{"error", "error_description"}`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import jwt
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.sessions import ConnectedApp, Session, Sessions, User, token_answer
from sfsync.simulators.org.values import to_json

_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_AUDIENCES = {"https://login.salesforce.com", "https://test.salesforce.com"}


class OAuthError(Exception):
    """A refused token request."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.status = status
        self.body = {"error": error, "error_description": description}


class OAuth:
    """The `/services/oauth2` and `/id` resources."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._flows: dict[str, Callable[[Mapping[str, str], Request], Session]] = {
            "client_credentials": self._client_credentials,
            _JWT_BEARER: self._jwt_bearer,
            "refresh_token": self._refresh,
            "password": self._password,
        }

    def routes(self) -> list[Route]:
        return [
            Route("/services/oauth2/token", self._guarded(self.token), methods=["POST"]),
            Route("/services/oauth2/revoke", self._guarded(self.revoke), methods=["GET", "POST"]),
            Route("/services/oauth2/introspect", self._guarded(self.introspect), methods=["POST"]),
            Route("/services/oauth2/userinfo", self.userinfo, methods=["GET", "POST"]),
            Route("/.well-known/openid-configuration", self.discovery),
            Route("/id/keys", self.keys),
            Route("/id/{org_id}/{user_id}", self.identity),
        ]

    def _guarded(
        self, endpoint: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guarded(request: Request) -> Response:
            try:
                return await endpoint(request)
            except OAuthError as error:
                return answer(error.body, error.status)

        return guarded

    # -- token -------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        form = await _form(request)
        grant = form.get("grant_type", "")
        flow = self._flows.get(grant)
        if flow is None:
            raise OAuthError("unsupported_grant_type", "grant type not supported")
        session = flow(form, request)
        app = self._sessions.identity.apps.get(session.client_id)
        secret = "" if app is None else app.client_secret
        body = token_answer(session, self._sessions.identity.org_id, _base(request), secret)
        return answer(body)

    def _client_credentials(self, form: Mapping[str, str], request: Request) -> Session:
        app = self._app(form, request)
        return self._sessions.open(app.run_as, app.client_id)

    def _jwt_bearer(self, form: Mapping[str, str], request: Request) -> Session:
        assertion = form.get("assertion", "")
        try:
            unverified = jwt.decode(assertion, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        app = self._sessions.identity.apps.get(str(unverified.get("iss")))
        if app is None:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if app.certificate is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        claims = self._verified(assertion, app.certificate, _base(request))
        user = self._sessions.identity.users.get(str(claims.get("sub", claims.get("prn"))))
        if user is None:
            raise OAuthError("invalid_grant", "user hasn't approved this consumer")
        return self._sessions.open(user, app.client_id)

    def _verified(self, assertion: str, certificate: bytes, base: str) -> dict[str, Any]:
        options: Any = {"verify_exp": False, "verify_aud": False, "verify_iat": False, "verify_nbf": False}
        try:
            claims: dict[str, Any] = jwt.decode(assertion, certificate, algorithms=["RS256"], options=options)
        except jwt.InvalidTokenError as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if not _audience_fits(claims.get("aud"), base):
            raise OAuthError("invalid_grant", "audience is invalid")
        # simple-salesforce sends the number as text, and sf in milliseconds, a far future: orgs take both.
        try:
            expires = float(claims.get("exp", ""))
        except (TypeError, ValueError) as error:
            raise OAuthError("invalid_grant", "invalid assertion") from error
        if not expires >= self._clock.now().timestamp():
            raise OAuthError("invalid_grant", "expired authorization code")
        return claims

    def _refresh(self, form: Mapping[str, str], request: Request) -> Session:
        app = self._app(form, request, secret_needed=False)
        session = self._sessions.refresh(form.get("refresh_token", ""), app.client_id)
        if session is None:
            raise OAuthError("invalid_grant", "expired access/refresh token")
        return session

    def _password(self, form: Mapping[str, str], request: Request) -> Session:
        app = self._app(form, request)
        user = self._sessions.identity.users.get(form.get("username", ""))
        if user is None or not form.get("password", "").startswith(user.password):
            raise OAuthError("invalid_grant", "authentication failure")
        return self._sessions.open(user, app.client_id, refreshable=True, fresh=True)

    def _app(self, form: Mapping[str, str], request: Request, *, secret_needed: bool = True) -> ConnectedApp:
        client_id, secret = form.get("client_id", ""), form.get("client_secret")
        basic = _basic(request.headers.get("authorization", ""))
        if basic is not None:
            client_id, secret = basic
        app = self._sessions.identity.apps.get(client_id)
        if app is None:
            raise OAuthError("invalid_client_id", "client identifier invalid")
        if secret != app.client_secret and (secret is not None or secret_needed):
            raise OAuthError("invalid_client", "invalid client credentials")
        return app

    # -- about tokens ------------------------------------------------------------------------

    async def revoke(self, request: Request) -> Response:
        token = (await _form(request)).get("token", "")
        if not self._sessions.revoke(token):
            raise OAuthError("unsupported_token_type", "this token type is not supported")
        return Response(status_code=200)

    async def introspect(self, request: Request) -> Response:
        form = await _form(request)
        self._app(form, request)
        token = form.get("token", "")
        session = self._sessions.look_up(token)
        if session is None or not self._sessions.is_valid(token):
            return answer({"active": False})
        return answer(
            {
                "active": True,
                "scope": "api",
                "client_id": session.client_id,
                "username": session.user.username,
                "sub": f"{_base(request)}/id/{self._sessions.identity.org_id}/{session.user.id}",
                "token_type": "access_token",
                "exp": int(session.expires_at.timestamp()),
                "iat": int(session.issued_at.timestamp()),
                "nbf": int(session.issued_at.timestamp()),
            }
        )

    # -- about users -------------------------------------------------------------------------

    async def userinfo(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return Response(_no_session(request), status_code=403, media_type="text/html")
        return answer(self._about(session.user, _base(request)))

    async def identity(self, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return Response(_no_session(request), status_code=403, media_type="text/html")
        user = self._sessions.identity.user_by_id(normalize_id(request.path_params["user_id"]) or "")
        if user is None or normalize_id(request.path_params["org_id"]) != self._sessions.identity.org_id:
            return Response("Bad_Id", status_code=404, media_type="text/html")
        base = _base(request)
        about = self._about(user, base)
        about |= {
            "id": f"{base}/id/{self._sessions.identity.org_id}/{user.id}",
            "asserted_user": True,
            "username": user.username,
            "display_name": user.name,
            "active": True,
        }
        return answer(about)

    def _about(self, user: User, base: str) -> dict[str, Any]:
        org_id = self._sessions.identity.org_id
        rest = f"{base}/services/data/v{{version}}/"
        return {
            "sub": f"{base}/id/{org_id}/{user.id}",
            "user_id": user.id,
            "organization_id": org_id,
            "preferred_username": user.username,
            "nickname": user.name,
            "name": user.name,
            "email": user.username,
            "email_verified": True,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "zoneinfo": "Europe/London",
            "utcOffset": 0,
            "urls": {
                "rest": rest,
                "sobjects": f"{rest}sobjects/",
                "query": f"{rest}query/",
                "custom_domain": base,
            },
        }

    def _session(self, request: Request) -> Session | None:
        return self._sessions.find(_token(request))

    async def discovery(self, request: Request) -> Response:
        base = _base(request)
        names = ("authorize", "token", "revoke", "userinfo", "introspect", "register")
        body: dict[str, Any] = {f"{name}_endpoint": f"{base}/services/oauth2/{name}" for name in names}
        body["issuer"] = base
        body["jwks_uri"] = f"{base}/id/keys"
        body["response_types_supported"] = ["code", "token"]
        return answer(body)

    async def keys(self, request: Request) -> Response:
        """The set of keys that verify ID tokens: empty, for the simulated flows give none."""
        return answer({"keys": []})


def answer(body: Any, status: int = 200) -> Response:
    """A JSON response that no cache keeps."""
    headers = {"cache-control": "no-cache, no-store", "pragma": "no-cache"}
    return Response(to_json(body), status, headers, "application/json")


async def _form(request: Request) -> dict[str, str]:
    """The parameters of the body and, as many clients put them there, of the address."""
    body = await request.body()
    form = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    return {**request.query_params, **form}


def _token(request: Request) -> str:
    """The access token that a request shows, in its header or its address."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in {"bearer", "oauth"}:
        token = request.query_params.get("oauth_token", request.query_params.get("access_token", ""))
    return token.strip()


def _no_session(request: Request) -> str:
    return "Bad_OAuth_Token" if _token(request) else "Missing_OAuth_Token"


def _basic(header: str) -> tuple[str, str] | None:
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", "invalid client credentials") from error
    return name, secret


def _audience_fits(audience: Any, base: str) -> bool:
    """Salesforce's login sites, or this org's own address, with or without a slash or the token path."""
    if not isinstance(audience, str):
        return False
    plain = audience.rstrip("/").removesuffix("/services/oauth2/token")
    host = base.partition("://")[2]
    return plain in _AUDIENCES or plain.partition("://")[2] == host


def _base(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
