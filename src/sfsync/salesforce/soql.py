"""SOQL texts: literals, query paths, and lists cut to what fits into a URI."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from urllib.parse import quote

# An org reads at most 16,384 bytes of URI and headers; an access token may take two thousand of them.
URI_CHARACTERS = 12_000
# What RFC 3986 lets stand in a query; '&', '+', '#', '%' and '=' would be read as something else.
_PLAIN = "'(),:;/@!*$-._~"
_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f"}
)


def text(value: str) -> str:
    """A text literal."""
    return f"'{value.translate(_ESCAPES)}'"


def beginning(value: str) -> str:
    """A pattern for LIKE: every text that begins with the value."""
    return text(value).replace("%", "\\%").replace("_", "\\_")[:-1] + "%'"


def moment(at: datetime) -> str:
    """A date and time literal, UTC, in whole seconds: SOQL reads no finer."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def encoded(soql: str) -> str:
    """The text as it stands in a URI."""
    return quote(soql, safe=_PLAIN)


def slices(values: Iterable[str], *, room: int = URI_CHARACTERS) -> Iterator[list[str]]:
    """Literals of the values, cut into lists of at most `room` characters once encoded; no list is empty."""
    found: list[str] = []
    used = 0
    for value in values:
        literal = text(value)
        size = len(encoded(literal)) + 1
        if found and used + size > room:
            yield found
            found, used = [], 0
        found.append(literal)
        used += size
    if found:
        yield found
