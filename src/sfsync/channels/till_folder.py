"""A till's folders on this machine's disks: files in, moved away when they are read; a file of levels out.

A file is read only when two looks found it the same, and again the same after it was read, so never half of
it. What is still being copied is recognised by its growth, or by a name that begins with a dot or ends like
`.part`; an empty file has not been written yet. Files are moved and never deleted.
"""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from sfsync.ports import TryLater

UNFINISHED = (".tmp", ".part", ".partial", ".filepart", ".crdownload", ".swp", "~")

_Told = TypeVar("_Told")


class InboxFolder:
    """A watched folder; keeps the port `Inbox`. Makes `done` and `refused` in it when they are needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, tuple[int, int, int]] = {}  # what each file was at the last look

    async def rested(self) -> Sequence[str]:
        """The files that are as they were at the last look, oldest first."""
        return await _on_disk(self._look, self._folder)

    def _look(self) -> Sequence[str]:
        found: dict[str, tuple[int, int, int]] = {}
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if entry.name.startswith(".") or entry.name.lower().endswith(UNFINISHED):
                    continue
                with suppress(FileNotFoundError):
                    told = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(told.st_mode) and told.st_size:
                        found[entry.name] = _state(told)
        before, self._seen = self._seen, found
        rested = [name for name, state in found.items() if before.get(name) == state]
        return sorted(rested, key=lambda name: (found[name][2], name))

    async def read(self, name: str, most: int) -> bytes | None:
        """Its bytes, cut behind `most` and one; None when it has changed or gone."""

        def read() -> bytes | None:
            try:
                with (self._folder / name).open("rb") as file:
                    raw = file.read(most + 1)
                    same = _state(os.fstat(file.fileno())) == self._seen.get(name)
            except FileNotFoundError:
                return None
            return raw if same else None

        return await _on_disk(read, self._folder / name)

    async def done(self, name: str, told: str) -> str:
        """Move it to `done`."""
        return await _on_disk(lambda: self._move(name, "done", told), self._folder / name)

    async def refused(self, name: str, told: str) -> str:
        """Move it to `refused`."""
        return await _on_disk(lambda: self._move(name, "refused", told), self._folder / name)

    def _move(self, name: str, where: str, told: str) -> str:
        """The text goes first: a file that was moved is never without its reason."""
        folder = self._folder / where
        folder.mkdir(exist_ok=True)
        target, number = folder / name, 1
        while target.exists():
            number += 1
            target = folder / f"{Path(name).stem}.{number}{Path(name).suffix}"
        if told:
            _write(target.with_name(f"{target.name}.txt"), told.encode())
        (self._folder / name).rename(target)
        self._seen.pop(name, None)
        return str(target)


class LevelsFile:
    """A file that is replaced whole; keeps the port `LevelsOut`. Its time says when it was last right."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def write(self, text: str) -> bool:
        """Have it say this."""

        def write() -> bool:
            raw = text.encode()
            with suppress(FileNotFoundError):
                if self._path.read_bytes() == raw:
                    os.utime(self._path)
                    return False
            _write(self._path, raw)
            return True

        return await _on_disk(write, self._path)


def _state(told: os.stat_result) -> tuple[int, int, int]:
    return told.st_ino, told.st_size, told.st_mtime_ns


def _write(path: Path, raw: bytes) -> None:
    """All of it or nothing, also when the machine stops."""
    beside = path.with_name(f".{path.name}.tmp")
    with beside.open("wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def _on_disk(work: Callable[[], _Told], path: Path) -> Awaitable[_Told]:
    """Work off the event loop; what the disk refuses is `TryLater`."""

    def guarded() -> _Told:
        try:
            return work()
        except OSError as error:
            raise TryLater(f"{path}: {error.strerror or error}") from error

    return asyncio.to_thread(guarded)
