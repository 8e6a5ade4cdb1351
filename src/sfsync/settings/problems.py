"""What is wrong with the settings, told so that a person can mend it. Secrets never stand in these texts."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend: where it stands, the dotted key, what is wrong, and the remedy."""

    where: str  # "config/demo.toml, line 12" or "environment variable SFSYNC_WEB__PORT"
    key: str
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        key = f"{self.key} " if self.key else ""
        return f"{self.where}: {key}{self.what}" + (f". {self.remedy}" if self.remedy else "")


class SettingsError(Exception):
    """The settings cannot be used; `problems` holds every reason at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


def dotted(path: KeyPath) -> str:
    """``("policies", 0, "cap")`` as ``policies[0].cap``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += f".{part}" if text else part
    return text


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known name that `word` was probably meant to be."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return close[0] if close else None


def meant(word: str, known: Iterable[str]) -> str:
    """A remedy for an unknown name: the nearest known one, or all of them."""
    names = list(known)
    close = nearest(word, names)
    if close is not None:
        return f"Did you mean {close}?"
    return f"Known here: {', '.join(names)}" if names else ""
