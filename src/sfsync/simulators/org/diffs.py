"""Large texts as change events carry them: where that is shorter, what changed instead of the whole value.

A unified diff by lines, without lines of context, whose `+++` line has the SHA-256 of the whole new value. It
stands in for the value only under the documented conditions, so a reader must always expect either.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from difflib import SequenceMatcher

SMALLEST_CHARACTERS = 1_000
_MOST_GROWTH = 0.5  # of the longer value
_MOST_CHANGED_LINES = 0.25  # of all lines, old and new


def text_diff(before: str, after: str) -> str | None:
    """The diff that is sent for a changed text; None when the whole value is sent."""
    longer = max(len(before), len(after))
    if len(after) < SMALLEST_CHARACTERS or abs(len(after) - len(before)) > _MOST_GROWTH * longer:
        return None
    old, new = before.splitlines(), after.splitlines()
    changes = [
        (old[start:end], start, new[begin:stop], begin)
        for tag, start, end, begin, stop in SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
        if tag != "equal"
    ]
    changed = sum(len(gone) + len(come) for gone, _, come, _ in changes)
    if not changes or changed > _MOST_CHANGED_LINES * (len(old) + len(new)):
        return None
    digest = hashlib.sha256(after.encode()).hexdigest()
    diff = "\n".join(["--- ", f"+++ {digest}", *(line for change in changes for line in _hunk(*change))])
    return diff if len(diff) <= len(after) else None


def _hunk(gone: list[str], start: int, come: list[str], begin: int) -> Iterator[str]:
    """One change; an empty side is told by the line before it, as the format has it."""
    yield f"@@ -{_range(start, len(gone))} +{_range(begin, len(come))} @@"
    for line in gone:
        yield f"-{line}"
    for line in come:
        yield f"+{line}"


def _range(start: int, length: int) -> str:
    return f"{start + 1 if length else start},{length}"
