"""The one place that everything asked of the org passes: whoever asks, it is noted whether the org answers.

What is entered is noted apart from what is only asked: an org that refuses every sale and still answers
questions is not well. A sale that the org does not take is sent again until it does, so only that ends it.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Any, cast

from sfsync.ports import Busy, CallsSpent, Org, OutsideError, Refused

from .context import Pulse

ENTER = "enter"
# A stream that fails is told as such; the others ask the org nothing.
_APART = frozenset({"events", "calls", "hours_of_calls", "recall_calls", "close"})
# Without these there are no sales. Others may be refused what this org, or its edition, does not have.
# Products are asked for only where the settings name their fields, and no stream is joined before.
_NEEDED = frozenset(
    {
        *(ENTER, "org_id", "snapshot", "create_levels", "read_levels", "read_orders", "subject_rows"),
        *("promises", "products"),
    }
)


def heard(org: Org, pulse: Pulse) -> Org:
    """The same org, with the pulse told of each answer and of each failure to give one."""
    return cast("Org", _Heard(org, pulse))


class _Heard:
    """Passes everything on: a port with some forty questions, and one thing to say of each."""

    def __init__(self, inner: object, pulse: Pulse) -> None:
        self._inner, self._pulse = inner, pulse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name == "counts":
            return None if found is None else _Heard(found, self._pulse)
        if name in _APART or not callable(found):
            return found

        def ask(*args: object, **more: object) -> Any:
            asked = found(*args, **more)
            if inspect.isawaitable(asked):
                return self._answer(name, asked)
            return self._pages(name, asked) if isinstance(asked, AsyncIterator) else asked

        return ask

    async def _answer(self, name: str, asked: Awaitable[object]) -> object:
        try:
            answer = await asked
        except OutsideError as error:
            self._failed(name, error)
            raise
        self._answered(name)
        return answer

    async def _pages(self, name: str, pages: AsyncIterator[object]) -> AsyncGenerator[object, None]:
        try:
            async for page in pages:
                self._answered(name)
                yield page
        except OutsideError as error:
            self._failed(name, error)
            raise
        finally:
            if isinstance(pages, AsyncGenerator):
                await pages.aclose()
        self._answered(name)

    def _answered(self, name: str) -> None:
        self._pulse.asking_error = ""
        if name == ENTER:
            self._pulse.entering_error = ""

    def _failed(self, name: str, error: OutsideError) -> None:
        """Calls held back are no failure of the org, their budget tells; nor is one question too many."""
        if isinstance(error, CallsSpent):
            return
        if name == ENTER:
            self._pulse.entering_error = str(error)
        elif name in _NEEDED or not isinstance(error, (Refused, Busy)):
            self._pulse.asking_error = str(error)
