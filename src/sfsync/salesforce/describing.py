"""Words that both examinations of an org share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from sfsync.ports import Finding, Severity

Describe = Callable[[str], Awaitable[Mapping[str, Any]]]


def fatal(what: str, remedy: str) -> Finding:
    """A finding that stops the daemon."""
    return Finding(Severity.FATAL, what, remedy)
