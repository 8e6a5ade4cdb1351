"""The access token of a Shopify store: given, or asked for with the app's credentials and renewed in time."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import orjson

from sfsync.channels.config import ShopifyConfig
from sfsync.ports import Clock, Refused, TryLater

_RENEW_AT = 0.8  # of the token's life


class ShopifyToken:
    """One store's token. However many callers wait, the store is asked once."""

    def __init__(self, config: ShopifyConfig, http: httpx.AsyncClient, clock: Clock) -> None:
        self._config = config
        self._http = http
        self._clock = clock
        self._token = config.access_token
        self._renew_at: float | None = None
        self._asking = asyncio.Lock()

    @property
    def renewable(self) -> bool:
        """True when a new token can be asked for."""
        return not self._config.access_token

    @property
    def advice(self) -> str:
        """What to look at when the store does not accept us."""
        if self.renewable:
            return "look at client_id and client_secret, and whether the app is installed in the store"
        return "look at access_token: it may have been revoked, or belong to another store"

    def forget(self, token: str) -> None:
        """The store did not accept this token: the next `get` asks for another, unless one has."""
        if self._token == token:
            self._token = ""

    async def get(self) -> str:
        """A token that is not about to lapse. Raises TryLater or Refused."""
        if not self.renewable:
            return self._token
        async with self._asking:
            if not self._token or (self._renew_at is not None and self._now() >= self._renew_at):
                await self._ask()
            return self._token

    def _now(self) -> float:
        return self._clock.now().timestamp()

    async def _ask(self) -> None:
        name = self._config.name
        asked = {
            "grant_type": "client_credentials",
            "client_id": self._config.client_id,
            "client_secret": self._config.client_secret,
        }
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                response = await self._http.post("/admin/oauth/access_token", json=asked)
        except (TimeoutError, httpx.HTTPError) as error:
            raise TryLater(f"{name}: no token: {str(error) or type(error).__name__}") from error
        if response.status_code == 429 or response.status_code >= 500:
            raise TryLater(f"{name}: no token: HTTP {response.status_code}")
        answer = _object(response)
        if response.status_code != 200:
            reason = answer.get("error_description") or answer.get("error") or f"HTTP {response.status_code}"
            raise Refused(f"{name}: the store gives no token: {reason}", advice=self.advice)
        token = answer.get("access_token")
        if not isinstance(token, str) or not token:
            raise TryLater(f"{name}: the store's answer holds no token")
        self._token = token
        life = answer.get("expires_in")
        self._renew_at = self._now() + _RENEW_AT * life if isinstance(life, (int, float)) else None


def _object(response: httpx.Response) -> dict[str, Any]:
    try:
        answer = orjson.loads(response.content)
    except orjson.JSONDecodeError:
        return {}
    return answer if isinstance(answer, dict) else {}
