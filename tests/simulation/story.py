"""What happened, line by line: when, who, what. Kept only when somebody will read it."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any

import structlog

UNTOLD = ("milliseconds", "ms", "exc_info", "event")


class Story:
    """The lines so far. `broken` are the daemon's own words for what it did not foresee."""

    def __init__(self, *, told: bool) -> None:
        self.told = told
        self.lines: list[str] = []
        self.broken: list[str] = []

    def tell(self, who: str, what: str) -> None:
        if self.told:
            self.lines.append(f"{asyncio.get_running_loop().time():9.3f}  {who:<10} {what}")

    def logger(self, who: str) -> Any:
        """A log that is written into the story."""

        def sink(_logger: Any, method: str, event: MutableMapping[str, Any]) -> str:
            error = event.get("exc_info")
            if error and method in ("exception", "error"):
                event["error"] = _words(error)
                self.broken.append(f"{event['event']} {event.get('part', '')}: {event['error']}")
            if self.told:
                facts = " ".join(f"{key}={value}" for key, value in event.items() if key not in UNTOLD)
                self.tell(who, f"{event['event']} {facts}".rstrip())
            raise structlog.DropEvent

        level = 0 if self.told else 40
        return structlog.wrap_logger(
            None, processors=[sink], wrapper_class=structlog.make_filtering_bound_logger(level)
        ).bind()  # else it is bound anew for each line


def _words(error: Any) -> str:
    found = sys.exc_info()[1] if error is True else error
    if not isinstance(found, BaseException):
        return str(found)
    where = traceback.extract_tb(found.__traceback__)[-1]
    return f"{type(found).__name__}: {found} ({where.filename.rpartition('/')[2]}:{where.lineno})"
