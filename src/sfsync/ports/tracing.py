"""What a trace is made of, and who is told of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a change's way, that is over. Ids are hexadecimal, as in W3C Trace Context."""

    trace_id: str  # 32 digits: one for all of a change's way
    span_id: str  # 16 digits
    parent_id: str  # empty: the first of its trace
    name: str
    begun: datetime
    ended: datetime
    attributes: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    failure: str = ""  # why it did not do what it should


class Tracer(Protocol):
    """Takes spans. It never fails, never waits, and may be called from any thread."""

    def tell(self, span: Span) -> None:
        """Take one."""
        ...
