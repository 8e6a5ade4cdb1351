"""An event loop whose time is made up: it passes only when nobody has anything to do, and then at a jump.

Half of what a seed does is asyncio's own work, so the loop leaves out whatever only real sockets, threads and
signals need. What runs, and in which order, is as in asyncio's loop: all that is ready, in the order in which
it became so; then what is due by now; timers of one moment in the order in which they were set.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextvars import Context, copy_context
from datetime import UTC, datetime, timedelta
from heapq import heappop, heappush
from typing import Any

from .life import Disk

BEGIN = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
RESOLUTION_SECONDS = 1e-6  # what is due within it is due now


class Stuck(BaseException):
    """Every task waits for another one: nothing will ever happen again."""


class _Due:
    """What is to run, and when; made tens of thousands of times a seed, so without a function of its own.

    It answers what asyncio asks of its own handles. One that was cancelled has no callback any more.
    """

    __slots__ = ("args", "callback", "context", "moment")
    context: Context
    callback: Callable[..., object] | None
    args: tuple[Any, ...]
    moment: float

    def cancel(self) -> None:
        self.callback, self.args = None, ()

    def cancelled(self) -> bool:
        return self.callback is None

    def when(self) -> float:
        return self.moment


class VirtualLoop(asyncio.SelectorEventLoop):
    """Runs one seed. `made` is told of every new task, and of its context when it is not the present one."""

    _stopping: bool  # asyncio's own: somebody has asked the loop to stop

    def __init__(self, made: Callable[[asyncio.Task[Any], Context | None], None]) -> None:
        super().__init__()
        self._now = 0.0
        self._ready: deque[_Due] = deque()
        self._timers: list[tuple[float, int, _Due]] = []  # a heap; numbered, for handles have no order
        self._set = 0
        self._made = made
        self.set_task_factory(self._task)

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]  # said more simply than the library's stubs say it
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Due:
        due = _Due()
        due.context = copy_context() if context is None else context
        due.callback, due.args = callback, args
        self._ready.append(due)
        return due

    # There are no other threads: no need to wake a sleeping selector.
    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # said more simply than the library's stubs say it

    def call_at(  # type: ignore[override]  # said more simply than the library's stubs say it
        self, when: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Due:
        due = _Due()
        due.context = copy_context() if context is None else context
        due.callback, due.args, due.moment = callback, args, when
        self._set += 1
        heappush(self._timers, (when, self._set, due))
        return due

    def call_later(  # type: ignore[override]  # said more simply than the library's stubs say it
        self, delay: float, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> _Due:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def run_in_executor(  # type: ignore[override]  # said more simply than the library's stubs say it
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> Any:
        if isinstance(executor, Disk):  # needs no thread, and works in the loop's own time
            return executor.begin(func, *args)
        return super().run_in_executor(executor, func, *args)

    def _run_once(self) -> None:
        """Run until somebody asks the loop to stop: what is ready, and what is due, time and again."""
        ready, timers = self._ready, self._timers
        while True:
            while timers and timers[0][2].callback is None:
                heappop(timers)
            if not ready and not self._stopping:
                if not timers:
                    raise Stuck("nobody has anything to do, and nobody waits for a time")
                self._now = max(self._now, timers[0][0])
            due = self._now + RESOLUTION_SECONDS
            while timers and timers[0][0] < due:
                timer = heappop(timers)[2]
                if timer.callback is not None:
                    ready.append(timer)
            for _ in range(len(ready)):
                next_one = ready.popleft()
                callback = next_one.callback
                if callback is None:
                    continue
                try:
                    next_one.context.run(callback, *next_one.args)
                except (SystemExit, KeyboardInterrupt):
                    raise
                except BaseException as error:
                    self.call_exception_handler({"message": "a callback failed", "exception": error})
            if self._stopping:
                return

    def _task(self, _loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=self, **options)
        self._made(task, options.get("context"))
        return task


class VirtualClock:
    """The loop's time as a date. Everybody in the world has the same."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._at, self._date = 0.0, BEGIN  # asked for many times at one moment

    def now(self) -> datetime:
        at = self._loop.time()
        if at != self._at:
            self._at, self._date = at, BEGIN + timedelta(seconds=at)
        return self._date

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
