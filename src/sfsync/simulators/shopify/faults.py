"""Trouble on request: what a test or a demo asks the shop to do wrong, and when.

A fault waits until `skip` fitting calls have passed, then strikes `times` times (0: for ever),
each time with the given probability. Which calls fit is said by `match`: a root field
(`inventorySetQuantities`), a webhook topic (`orders/create`), or nothing for all.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

# Calls to the Admin API. Before: nothing was done. After: it was done, and the answer is lost.
ADMIN_KINDS = (
    "error_before",  # `status` (default 503), nothing done
    "error_after",  # `status` (default 502), all done
    "cut_before",  # the connection ends without an answer, nothing done
    "cut_after",  # the same, all done
    "delay_before",  # waits `seconds` and then begins
    "delay_inside",  # begins (the idempotency key is taken), waits `seconds`, then writes
    "delay_after",  # does it, waits `seconds`, then answers
    "half_answer",  # does it and cuts the connection amid the answer
    "broken_json",  # does it and answers half the JSON in a whole HTTP message
    "not_applied",  # answers as if done, and does nothing
    "internal_error",  # begins and fails inside: the key is burnt, nothing is written
    "wrong_credential",  # 401, whatever the token
    "throttled",  # THROTTLED, whatever the bucket holds
    "too_many_requests",  # 429 with Retry-After `seconds`
    "unavailable",  # 503 with Retry-After `seconds`
)
# Deliveries of webhooks.
WEBHOOK_KINDS = (
    "lose",  # never sent
    "duplicate",  # sent twice
    "late",  # sent after `seconds`
    "reorder",  # sent after the next one
    "forge",  # signed with another secret
    "truncate",  # half the body, signed as a whole
    "foreign_shop",  # names another shop's domain, rightly signed
)
# The storefront as its shoppers meet it.
STOREFRONT_KINDS = ("shop_error", "shop_cut_after")


@dataclass(eq=False, slots=True)
class Fault:
    """One order for trouble."""

    kind: str
    match: str | None = None
    times: int = 1
    skip: int = 0
    probability: float = 1.0
    status: int | None = None
    seconds: float = 1.0
    number: int = 0
    struck: int = 0

    def as_json(self) -> dict[str, Any]:
        """The fault and how often it has struck."""
        return {column.name: getattr(self, column.name) for column in fields(self)}


class FaultPlan:
    """All orders for trouble, oldest first."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._count = 0
        self.active: list[Fault] = []

    def order(self, document: Mapping[str, Any]) -> Fault:
        """Take an order. Raises ValueError naming what is wrong with it."""
        known = {column.name for column in fields(Fault)} - {"number", "struck"}
        if unknown := set(document) - known:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        kinds = (*ADMIN_KINDS, *WEBHOOK_KINDS, *STOREFRONT_KINDS)
        if document.get("kind") not in kinds:
            raise ValueError(f"kind is one of {', '.join(kinds)}")
        self._count += 1
        fault = Fault(**document)
        fault.number = self._count
        self.active.append(fault)
        return fault

    def clear(self) -> None:
        """No more trouble."""
        self.active.clear()

    def strikes(self, kinds: Iterable[str], subjects: Iterable[str]) -> dict[str, Fault]:
        """The faults of these kinds that strike a call about these subjects, one of each kind."""
        wanted, about = set(kinds), set(subjects)
        struck: dict[str, Fault] = {}
        for fault in list(self.active):
            fits = (
                fault.kind in wanted
                and fault.kind not in struck
                and (fault.match is None or fault.match in about)
            )
            if fits and self._strikes(fault):
                struck[fault.kind] = fault
        return struck

    def _strikes(self, fault: Fault) -> bool:
        if fault.skip > 0:
            fault.skip -= 1
            return False
        if fault.probability < 1 and self._rng.random() >= fault.probability:
            return False
        fault.struck += 1
        if fault.times and fault.struck >= fault.times:
            self.active.remove(fault)
        return True
