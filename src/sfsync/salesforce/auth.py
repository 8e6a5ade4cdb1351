"""Access tokens: one request at a time, kept until the org says that it is worn out.

Salesforce tells no life span with a token, so there is nothing to renew ahead of: a call that meets
INVALID_SESSION_ID asks for a new one, and all who met it together share that one request. Two flows: client
credentials with a secret, or a JWT bearer token that a private key signs for a user.
Neither secret nor key reaches a log or an error's text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import jwt
import orjson

from sfsync.ports import Refused, TryLater
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.transport import LOST, is_distrusted

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 — a path, not a secret
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
JWT_SECONDS = 180  # an org takes no assertion that lives longer
TRUST_ADVICE = "the certificate is not trusted: name the file of its root in ca_file"


@dataclass(frozen=True, slots=True)
class Token:
    """A session of the org."""

    access: str = field(repr=False)
    instance_url: str
    org_id: str  # 18 characters


def eighteen(record_id: str) -> str:
    """The 18-character form of an id; the last three tell the case of the first 15, five at a time."""
    if len(record_id) != 15:
        return record_id
    suffix = ""
    for start in (0, 5, 10):
        bits = sum(
            1 << place for place, sign in enumerate(record_id[start : start + 5]) if "A" <= sign <= "Z"
        )
        suffix += "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"[bits]
    return record_id + suffix


# What Salesforce answers to a token request (words of its description -> what a person should do).
_ADVICE = (
    ("no client credentials user", "name a run-as user in the app's client credentials policy"),
    (
        "not supported on this domain",
        "set login_url to the org's My Domain address (https://….my.salesforce.com)",
    ),
    ("client identifier invalid", "check client_id: it is the app's consumer key"),
    ("invalid client credentials", "check client_secret: it is the app's consumer secret"),
    ("invalid assertion", "check that the app holds the certificate of private_key"),
    (
        "audience",
        "set token_audience to Salesforce's log-in host: login or test (of a sandbox)",
    ),
    ("inactive user", "the app's run-as user is not active"),
    ("user hasn't approved", "allow the app for its user: admin-approved users are pre-authorised"),
    ("ip restricted", "this machine's address is not among those that the app or the user's profile allows"),
)
_ADVICE_BY_CODE = {
    "invalid_client_id": "check client_id: it is the app's consumer key",
    "invalid_client": "check client_id and client_secret: they are the app's consumer key and secret",
    "unsupported_grant_type": "switch the client credentials flow on in the app",
    "invalid_assertion": "check that the app holds the certificate of private_key",
    "invalid_grant": "switch the client credentials flow on in the app and name a run-as user",
    "invalid_app_access": "assign the app to its run-as user",
    "inactive_org": "the org is not active",
    "inactive_user": "the app's run-as user is not active",
}


def advice_for(code: str, description: str) -> str:
    """What a person should look at when a token request is refused."""
    words = description.lower()
    for hint, advice in _ADVICE:
        if hint in words:
            return advice
    return _ADVICE_BY_CODE.get(code, "check login_url, client_id and client_secret")


def system_time() -> datetime:
    """The machine's own time."""
    return datetime.now(UTC)


class TokenProvider:
    """Hands out the present token; renews it when told which one is worn out."""

    def __init__(
        self,
        config: OrgConfig,
        http: httpx.AsyncClient,
        now: Callable[[], datetime] = system_time,
    ) -> None:
        self._config = config
        self._http = http
        self._now = now
        self._token: Token | None = None
        self._turn = asyncio.Lock()

    async def token(self) -> Token:
        """The present token, asked for when there is none."""
        return self._token or await self.renew(None)

    async def renew(self, worn: Token | None) -> Token:
        """A token that is not `worn`: the one another caller just got, or a new one."""
        async with self._turn:
            if self._token is None or self._token is worn:
                self._token = None
                self._token = await self._ask()
            return self._token

    async def _ask(self) -> Token:
        config, form = self._config, self._form()
        try:
            response = await self._http.post(
                config.login_url.rstrip("/") + TOKEN_PATH, data=form, headers={"Accept": "application/json"}
            )
        except httpx.InvalidURL as error:
            raise self._no_address(error) from None
        except LOST as error:
            reason = self._clean(str(error) or type(error).__name__)
            if isinstance(error, httpx.UnsupportedProtocol):
                raise self._no_address(error) from None
            if is_distrusted(error):
                raise Refused(f"no token from {config.login_url}: {reason}", advice=TRUST_ADVICE) from None
            raise TryLater(f"no token from {config.login_url}: {reason}") from None
        return self._read(response)

    def _form(self) -> dict[str, str]:
        config = self._config
        if not config.private_key:
            return {
                "grant_type": "client_credentials",
                "client_id": config.client_id,
                "client_secret": config.client_secret,
            }
        claims = {
            "iss": config.client_id,
            "sub": config.username,
            "aud": config.audience,
            "exp": int(self._now().timestamp()) + JWT_SECONDS,
        }
        try:
            assertion = jwt.encode(claims, config.private_key, algorithm="RS256")
        except (ValueError, TypeError, jwt.PyJWTError):
            what = "private_key is no RSA key in PEM that can be read without a passphrase"
            raise Refused(what, advice="make one with sfsync init, or openssl genrsa 2048") from None
        return {"grant_type": JWT_BEARER, "assertion": assertion}

    def _no_address(self, error: Exception) -> Refused:
        return Refused(f"login_url {self._config.login_url!r} is no address: {error}", advice="set login_url")

    def _read(self, response: httpx.Response) -> Token:
        try:
            body = orjson.loads(response.content)
        except orjson.JSONDecodeError:
            body = None
        status = response.status_code
        if status == 200 and isinstance(body, dict) and body.get("access_token"):
            return self._token_of(body)
        code, words = "", ""
        if isinstance(body, dict):
            code = str(body.get("error", ""))
            words = self._clean(str(body.get("error_description") or ""))
        reason = ": ".join(part for part in (code, words) if part) or f"HTTP {status}"
        told = f"no token from {self._config.login_url}: {reason}"
        if (
            status >= 500
            or status in (408, 420, 429)
            or "rate exceeded" in words
            or code == "temporarily_unavailable"
        ):
            raise TryLater(told, after_seconds=60.0 if status == 429 or "rate" in words else None)
        if not code:
            raise Refused(
                told, advice="login_url does not answer as an org does: set it to the My Domain address"
            )
        raise Refused(told, advice=advice_for(code, words))

    def _token_of(self, body: dict[str, object]) -> Token:
        instance = str(body.get("instance_url") or self._config.login_url).rstrip("/")
        if self._config.login_url.startswith("https://") and not instance.startswith("https://"):
            raise Refused(f"the org sent us to {instance}, without TLS", advice="check login_url")
        access = str(body["access_token"])
        parts = str(body.get("id") or "").rstrip("/").split("/")
        org_id = parts[-2] if len(parts) >= 2 else access.partition("!")[0]
        return Token(access, instance, eighteen(org_id))

    def _clean(self, text: str) -> str:
        secret = self._config.client_secret
        return (text.replace(secret, "…") if secret else text)[:500]
