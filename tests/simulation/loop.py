"""An event loop whose time is made up: it passes only when nobody has anything to do, and then at a jump."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from contextvars import Context
from datetime import UTC, datetime, timedelta
from typing import Any

BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class Stuck(BaseException):
    """Every task waits for another one: nothing will ever happen again."""


class _Jump(selectors.SelectSelector):
    """Instead of waiting for the world, puts the clock forward."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stuck("nobody has anything to do, and nobody waits for a time")
        if timeout > 0:
            self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one seed. `made` is told of every new task, and of its context when it is not the present one."""

    def __init__(self, made: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)
        self._clock_resolution = 1e-6
        self._made = made
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self._jump.now

    def call_soon_threadsafe(  # type: ignore[override]  # said more simply than the library's stubs say it
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """There are no other threads: no need to wake a sleeping selector."""
        return self.call_soon(callback, *args, context=context)

    def _task(self, _loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, **options)
        self._made(task, options.get("context"))
        return task


class VirtualClock:
    """The loop's time as a date. Everybody in the world has the same."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self._loop.time())

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
