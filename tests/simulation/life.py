"""One life of the daemon, and the gates through which all of it passes to the outside.

A life ends at a drawn moment at one of its gates: then they are shut for good, whatever it tries afterwards.
What was under way may have arrived or not; its answer never comes. A transaction is committed or it is not.
Between two gates the daemon cannot be seen, so a crash at any of its awaits looks like one of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextvars import Context, ContextVar
from functools import partial
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")

LIFE: ContextVar[Life | None] = ContextVar("life", default=None)


class Severed(asyncio.CancelledError):
    """The daemon is dead; this only unwinds what is left of it."""


class Life:
    """One run of the daemon, from its start to its end or crash."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._tasks: list[asyncio.Task[Any]] = []  # in the order made
        self._most = 64  # tasks, before those that are done are forgotten
        self.alive = True
        self.ended = asyncio.Event()
        self.crash_in: int | None = None  # gates from now
        self.ended_at = ""
        self.passed: list[str] = []  # the first gates that it got through
        self.connections: list[Callable[[], object]] = []  # what the other sides do when it is gone

    def passes(self, gate: str) -> bool:
        """True when the daemon gets through this gate alive."""
        if not self.alive:
            return False
        if len(self.passed) < 3:
            self.passed.append(gate)
        if self.crash_in is None:
            return True
        self.crash_in -= 1
        if self.crash_in > 0:
            return True
        self.end(gate)
        return False

    def end(self, where: str) -> None:
        """Shut the gates."""
        if self.alive:
            self.alive, self.ended_at = False, where
            self.ended.set()
            for hang_up in self.connections:
                hang_up()

    def note(self, task: asyncio.Task[Any]) -> None:
        """A task is this life's. What is done is forgotten later: to be told of each end takes longer."""
        self._tasks.append(task)
        if len(self._tasks) > self._most:
            self._tasks = [each for each in self._tasks if not each.done()]
            self._most = 64 + 2 * len(self._tasks)

    async def bury(self) -> None:
        """Unwind what is left, without letting anything of it out."""
        for _ in range(100):
            left = [task for task in self._tasks if not task.done()]
            if not left:
                return
            for task in left:
                task.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        raise AssertionError(f"tasks of a dead daemon go on: {left}")


def note_task(task: asyncio.Task[Any], context: Context | None) -> None:
    """Know which life a task belongs to."""
    life = LIFE.get() if context is None else context.get(LIFE)
    if life is not None:
        life.note(task)


class Disk(Executor):
    """Carries out a life's transactions one after another, each after a moment of virtual time."""

    def __init__(self, life: Life, chance: Random, slowest_seconds: float) -> None:
        self._life, self._chance, self._slowest = life, chance, slowest_seconds
        self._free_at = 0.0
        self.committed: Callable[[], None] = lambda: None  # told after each

    def begin(self, fn: Callable[..., T], /, *args: Any) -> asyncio.Future[T]:
        """What `run_in_executor` answers: there are no threads between which to hand it over."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._take_on(future, fn, args)
        return future

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        unread = _Unread()
        self._take_on(unread, partial(fn, **kwargs) if kwargs else fn, args)
        return unread

    def _take_on(self, future: Outcome, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if not self._life.alive:
            if getattr(fn, "__name__", "") != "_close_writer":  # a process that ends closes its files
                future.set_exception(Severed())
                return
            future.set_result(fn(*args))
            return
        loop = asyncio.get_running_loop()
        self._free_at = max(self._free_at, loop.time()) + self._chance.random() * self._slowest
        loop.call_at(self._free_at, self._work, future, fn, args)

    def _work(self, future: Outcome, fn: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if future.cancelled():
            return  # a reader who has gone
        if not self._life.passes("before a transaction"):
            future.set_exception(Severed())
            return
        try:
            result = fn(*args)
        except BaseException as error:
            future.set_exception(error)
            return
        self.committed()
        if self._life.passes("after a transaction"):
            future.set_result(result)
        else:
            future.set_exception(Severed())

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        pass


class _Unread(Future[Any]):
    """Of work whose outcome nobody waits for: it has none, and no lock that guards one."""

    def __init__(self) -> None:
        pass

    def cancelled(self) -> bool:
        return False

    def set_result(self, result: Any) -> None:
        pass

    def set_exception(self, exception: BaseException | None) -> None:
        pass


Outcome = asyncio.Future[Any] | _Unread
