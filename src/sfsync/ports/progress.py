"""How far a long piece of work has come: told by who does it, to who waits for it, if anybody does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Tell = Callable[[str, int, int | None], None]
"""What is counted, how many are done, and of how many (None: not known). From any thread; it never fails."""

_WAITS: ContextVar[Tell | None] = ContextVar("who waits", default=None)


def telling() -> Tell:
    """Whom to tell how far the work at hand has come. Asked for where it begins: threads do not know it."""
    return _WAITS.get() or nobody


@contextmanager
def told_to(tell: Tell) -> Iterator[None]:
    """What is done within tells `tell` how far it has come."""
    before = _WAITS.set(tell)
    try:
        yield
    finally:
        _WAITS.reset(before)


def nobody(what: str, done: int, total: int | None) -> None:
    """Nobody waits."""
