"""How a query is refused: the API's error code, and the org's wording with the place pointed at."""

from __future__ import annotations

_BEFORE, _AFTER = 40, 40  # characters of the query shown around the place


class SoqlError(Exception):
    """A query that the org refuses; REST answers 400 with `[{"message", "errorCode"}]`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def pointed(code: str, source: str, position: int, message: str) -> SoqlError:
    """An error that shows the piece of the query and the row and column (from 1) where it is wrong."""
    position = max(0, min(position, len(source)))
    line_start = source.rfind("\n", 0, position) + 1
    line_end = source.find("\n", position)
    line_end = len(source) if line_end < 0 else line_end
    first = max(line_start, position - _BEFORE)
    shown = source[first : min(line_end, position + _AFTER)]
    row, column = source.count("\n", 0, position) + 1, position - line_start + 1
    where = f"ERROR at Row:{row}:Column:{column}"
    return SoqlError(code, f"\n{shown}\n{' ' * (position - first)}^\n{where}\n{message}")


def malformed(source: str, position: int, message: str) -> SoqlError:
    """`MALFORMED_QUERY` at a place."""
    return pointed("MALFORMED_QUERY", source, position, message)
