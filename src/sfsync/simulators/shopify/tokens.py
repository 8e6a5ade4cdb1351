"""Access tokens: the fixed one of a custom app, and short-lived ones for its client credentials."""

from __future__ import annotations

import hmac
import random

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import ShopConfig

LIFE_SECONDS = 86_399


class Tokens:
    """Gives out and checks tokens."""

    def __init__(self, config: ShopConfig, clock: ShopClock, rng: random.Random) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._expiries: dict[str, float] = {}

    def issue(self) -> str:
        """A new token, good for a day."""
        token = f"shpat_{self._rng.getrandbits(128):032x}"
        self._expiries[token] = self._clock.now() + LIFE_SECONDS
        return token

    def is_client(self, client_id: object, client_secret: object) -> bool:
        """Whether these are the app's credentials."""
        return client_id == self._config.client_id and _equal(str(client_secret), self._config.client_secret)

    def is_good(self, token: str | None) -> bool:
        """Whether a call with this token may enter."""
        if token is None:
            return False
        if _equal(token, self._config.access_token):
            return True
        return self._expiries.get(token, 0.0) > self._clock.now()

    def revoke_all(self) -> None:
        """Short-lived tokens given out so far no longer open."""
        self._expiries.clear()


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
