"""What the flow asks of a till's folders. What a disk refuses is `TryLater`: nothing has changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from sfsync.domain.tills import Till


class Inbox(Protocol):
    """A folder that a till's files are put into. Files are moved out of it, never deleted."""

    async def rested(self) -> Sequence[str]:
        """The files, oldest first, that are as they were when this was last asked."""
        ...

    async def read(self, name: str, most: int) -> bytes | None:
        """A rested file's bytes, but `most` and one at most; None when it has changed or gone meanwhile."""
        ...

    async def done(self, name: str, told: str) -> str:
        """Move it to `done`, with a text beside it unless that is empty; where it is now."""
        ...

    async def refused(self, name: str, told: str) -> str:
        """Move it to `refused`, with a text beside it; where it is now."""
        ...


class LevelsOut(Protocol):
    """A file that always says what a till may sell."""

    async def write(self, text: str) -> bool:
        """Have it say this, whole or not at all; True when it said something else."""
        ...


@dataclass(frozen=True, slots=True)
class TillPlace:
    """A till with the folder that it reports by, and the file that it is told by."""

    till: Till
    inbox: Inbox | None = None
    rest_seconds: float = 10.0  # between two looks: a file that is the same in both is whole
    levels_out: LevelsOut | None = None
