"""Trouble on request: what the receiver does wrong with its next messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

KINDS = (
    "error_before",  # answers `status` (default 503), with `retry_after` when given; does nothing
    "error_after",  # does it, and answers `status` (default 500)
    "cut_before",  # ends the connection without an answer, and does nothing
    "cut_after",  # does it, and ends the connection without an answer
    "half_answer",  # does it, and ends the connection amid the answer
    "slow_before",  # waits `seconds`, and then does it
    "slow_after",  # does it, and answers `seconds` later
    "redirect",  # answers 307 to `location`
    "flood",  # does it, and answers 200 with a body that never ends
    "bomb",  # does it, and answers 200 with a body that grows when it is unpacked, and is cut short
    "wrong_json",  # answers 422 with what is no answer
)


@dataclass(slots=True)
class Trouble:
    """One order for trouble: the next `times` messages (0: all) meet it."""

    kind: str
    times: int = 1
    status: int | None = None
    seconds: float | None = None
    location: str = ""
    retry_after: str = ""  # seconds, or a date as HTTP has it

    def as_json(self) -> dict[str, Any]:
        """As it was ordered, with the times that are left."""
        return asdict(self)


class Troubles:
    """All orders for trouble, oldest first."""

    def __init__(self) -> None:
        self.waiting: list[Trouble] = []

    def order(self, document: Mapping[str, Any]) -> Trouble:
        """Take an order. Raises ValueError naming what is wrong with it."""
        known = {each.name for each in fields(Trouble)}
        if unknown := set(document) - known:
            raise ValueError(f"unknown {', '.join(sorted(unknown))}; known: {', '.join(sorted(known))}")
        if document.get("kind") not in KINDS:
            raise ValueError(f"kind is one of {', '.join(KINDS)}")
        trouble = Trouble(**document)
        self.waiting.append(trouble)
        return trouble

    def strike(self) -> Trouble | None:
        """What befalls the message that has just come."""
        if not self.waiting:
            return None
        first = self.waiting[0]
        if first.times == 1:
            self.waiting.pop(0)
        elif first.times:
            first.times -= 1
        return first
