"""Row locks: held by a transaction until it ends, waited for at most ten seconds.

A key is a record id or a claimed unique value. A transaction may take a lock it already holds.
Waiting is first come, first served, in the event loop's time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable


class LockTimeout(Exception):
    """Nobody released `key` in time."""

    def __init__(self, key: Hashable) -> None:
        super().__init__(str(key))
        self.key = key


class RowLocks:
    """Who holds what, and who waits for it."""

    def __init__(self) -> None:
        self._holder: dict[Hashable, object] = {}
        self._waiting: dict[Hashable, deque[tuple[object, asyncio.Future[None]]]] = {}

    def try_acquire(self, key: Hashable, owner: object) -> bool:
        """Takes the lock if it is free or already the owner's."""
        return self._holder.setdefault(key, owner) is owner

    async def acquire(self, key: Hashable, owner: object, wait_seconds: float) -> None:
        """Takes the lock, or raises `LockTimeout` after `wait_seconds`."""
        if self.try_acquire(key, owner):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        queue = self._waiting.setdefault(key, deque())
        entry = (owner, turn)
        queue.append(entry)
        try:
            async with asyncio.timeout(wait_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self.release(key, owner)  # it was handed over in the very moment of giving up
            elif entry in queue:
                queue.remove(entry)
            if isinstance(error, TimeoutError):
                raise LockTimeout(key) from error
            raise

    def release(self, key: Hashable, owner: object) -> None:
        """Gives the lock to the next one waiting; a key not held by `owner` is left alone."""
        if self._holder.get(key) is not owner:
            return
        del self._holder[key]
        queue = self._waiting.get(key)
        while queue:
            next_owner, turn = queue.popleft()
            if not turn.done():
                self._holder[key] = next_owner
                turn.set_result(None)
                break
        if not queue:
            self._waiting.pop(key, None)

    def held(self) -> int:
        """How many locks are held now."""
        return len(self._holder)
