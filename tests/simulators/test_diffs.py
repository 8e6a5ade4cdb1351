"""Differences of large texts: whoever has the old value and applies the diff has the new one."""

from __future__ import annotations

import hashlib
import re

from hypothesis import given
from hypothesis import strategies as st

from sfsync.simulators.org.diffs import SMALLEST_CHARACTERS, text_diff

LINES = st.lists(st.text(alphabet="abc -+@", max_size=40), min_size=60, max_size=90)


def applied(before: str, diff: str) -> str:
    """The new value, by the unified format alone: ranges, lines gone, lines come."""
    old, new, at = before.split("\n"), list[str](), 0
    hunks = re.split(r"^@@ -(\d+),(\d+) \+\d+,(\d+) @@$", diff, flags=re.MULTILINE)[1:]
    for start, gone, come, lines in zip(hunks[::4], hunks[1::4], hunks[2::4], hunks[3::4], strict=True):
        first = int(start) - (1 if int(gone) else 0)
        new += old[at:first]
        at = first + int(gone)
        body = lines.removeprefix("\n").split("\n")[: int(gone) + int(come)]
        assert body[: int(gone)] == [f"-{line}" for line in old[first:at]]
        new += [line.removeprefix("+") for line in body[int(gone) :]]
    return "\n".join(new + old[at:])


@given(LINES, st.data())
def test_a_diff_leads_from_the_old_value_to_the_new_one(lines: list[str], data: st.DataObject) -> None:
    """Lines changed, added and removed anywhere; the hash is that of the whole new value."""
    changed = list(lines)
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0, len(changed)))
        changed[at : at + data.draw(st.integers(0, 2))] = data.draw(
            st.lists(st.text(alphabet="xyz", max_size=20), max_size=2)
        )
    before, after = "\n".join([*lines, "end"]), "\n".join([*changed, "end"])
    diff = text_diff(before, after)
    if diff is None:
        return
    assert len(after) >= SMALLEST_CHARACTERS
    assert len(diff) <= len(after)
    assert f"+++ {hashlib.sha256(after.encode()).hexdigest()}\n" in diff
    assert applied(before, diff) == after


def test_a_typical_change_is_sent_as_a_diff() -> None:
    """The property above is not true for want of diffs."""
    lines = [f"line {number} {'-' * 30}" for number in range(50)]
    before, after = "\n".join(lines), "\n".join([*lines[:9], "new", *lines[9:30], *lines[31:]])
    diff = text_diff(before, after)
    assert diff is not None
    assert diff.count("@@ -") == 2
    assert applied(before, diff) == after
