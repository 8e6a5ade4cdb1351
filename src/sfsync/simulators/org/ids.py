"""Record ids and auto-numbers.

An id is 15 case-sensitive characters (key prefix, instance, counter in base 62) and three check
characters that make it unique without regard to case. Ids are counted up per object, so the same
requests give the same ids.
"""

from __future__ import annotations

import re
from functools import lru_cache

_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_CHECK = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
_INSTANCE = "Wt0"
_SHAPE = re.compile(r"[0-9A-Za-z]{15}(?:[0-9A-Za-z]{3})?\Z")
_COUNTER_DIGITS = 9


@lru_cache(1 << 14)  # each id is looked at many times
def checksum(id15: str) -> str:
    """The three check characters: one per block of five, a bit for each upper-case letter."""
    marks = []
    for start in (0, 5, 10):
        bits = 0
        for position, character in enumerate(id15[start : start + 5]):
            if "A" <= character <= "Z":
                bits |= 1 << position
        marks.append(_CHECK[bits])
    return "".join(marks)


def make_id(prefix: str, number: int) -> str:
    """The 18-character id of the `number`-th record with this key prefix."""
    counter = ""
    rest = number
    for _ in range(_COUNTER_DIGITS):
        rest, digit = divmod(rest, 62)
        counter = _DIGITS[digit] + counter
    id15 = prefix + _INSTANCE + counter
    return id15 + checksum(id15)


def normalize_id(text: str) -> str | None:
    """The 18-character form of a 15 or 18-character id; None when it has not the shape of one."""
    if _SHAPE.match(text) is None:
        return None
    id15 = text[:15]
    if len(text) == 15:
        return id15 + checksum(id15)
    return text if text[15:].upper() == checksum(id15) else None


_NUMBER_PART = re.compile(r"\{(0+)\}")


def auto_number(display_format: str, number: int) -> str:
    """`SL-{0000}` and 7 give `SL-0007`."""
    return _NUMBER_PART.sub(lambda found: str(number).zfill(len(found.group(1))), display_format)
