"""Idempotency keys: a call repeated with its key is answered, not carried out again.

A key lives 24 hours from its first use and belongs to one set of parameters. While the first
call runs, or after it failed, a repetition is told so.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import orjson

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import Knobs

KEY_LIFE_SECONDS = 24 * 3600


class Refusal(Enum):
    """Why a repeated key is not answered; the value is the message."""

    IDEMPOTENCY_CONCURRENT_REQUEST = "This request is currently in progress, please try again."
    IDEMPOTENCY_KEY_PARAMETER_MISMATCH = (
        "The same idempotency key cannot be used with different operation parameters."
    )
    IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED = (
        "A previous request with this idempotency key failed. Retry with a new idempotency key."
    )


@dataclass(eq=False, slots=True)
class KeyUse:
    """The first use of a key: what was asked and, once it is over, what came of it."""

    fingerprint: bytes
    first_used_at: float
    state: str = "running"  # running, done, failed
    result: Any = None

    def finish(self, result: Any, *, failed: bool) -> None:
        """Keep the outcome for repetitions."""
        self.state = "failed" if failed else "done"
        self.result = result


@dataclass(frozen=True, slots=True)
class Claim:
    """What a call may do with its key: carry out (`fresh`), repeat the `result`, or neither (`refusal`)."""

    use: KeyUse
    fresh: bool = False
    refusal: Refusal | None = None


class KeyStore:
    """All keys in use."""

    def __init__(self, clock: ShopClock, knobs: Knobs) -> None:
        self._clock = clock
        self._knobs = knobs
        self._uses: dict[str, KeyUse] = {}  # in the order of first use

    def claim(self, operation: str, key: str, parameters: Mapping[str, Any]) -> Claim:
        """Look the key up, and take it when it is new or has lapsed."""
        self._forget_lapsed()
        name = key if self._knobs.key_scope == "shop" else f"{operation} {key}"
        fingerprint = _fingerprint(operation, parameters)
        use = self._uses.get(name)
        if use is None:
            use = self._uses[name] = KeyUse(fingerprint, self._clock.now())
            return Claim(use, fresh=True)
        if use.fingerprint != fingerprint:
            return Claim(use, refusal=Refusal.IDEMPOTENCY_KEY_PARAMETER_MISMATCH)
        if use.state == "running":
            return Claim(use, refusal=Refusal.IDEMPOTENCY_CONCURRENT_REQUEST)
        if use.state == "failed" and (
            use.result is None or self._knobs.failed_key == "previous_attempt_failed"
        ):
            return Claim(use, refusal=Refusal.IDEMPOTENCY_PREVIOUS_ATTEMPT_FAILED)
        return Claim(use)

    def in_use(self, key: str) -> bool:
        """Whether a call with this key is at work (with keys of the scope "shop")."""
        use = self._uses.get(key)
        return use is not None and use.state == "running"

    def _forget_lapsed(self) -> None:
        horizon = self._clock.now() - KEY_LIFE_SECONDS
        while self._uses:
            name, use = next(iter(self._uses.items()))
            if use.first_used_at > horizon:
                return
            del self._uses[name]


def _fingerprint(operation: str, parameters: Mapping[str, Any]) -> bytes:
    text = orjson.dumps([operation, parameters], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).digest()
