"""Where in a TOML file a key stands: enough of TOML to find lines in a file that has already been parsed."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping

from .problems import KeyPath

_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_ERROR_LINE = re.compile(r"\s*\(at line (\d+), column \d+\)$")


def key_lines(text: str) -> Mapping[KeyPath, int]:
    """The line (from 1) of each table and key. Keys inside values, such as inline tables, are left out."""
    found: dict[KeyPath, int] = {}
    tables: dict[KeyPath, int] = {}  # how many [[tables]] of each name there were
    here: KeyPath = ()
    statement = ""
    for number, line in enumerate(text.splitlines(), 1):
        if statement:
            statement = _rest(f"{statement}\n{line}")
            continue
        if header := _HEADER.match(line):
            here = _open_table(_parts(header[2]), header[1] == "[[", tables)
            for length in range(1, len(here)):
                found.setdefault(here[:length], number)
            found[here] = number
        elif key := _KEY.match(line):
            path: KeyPath = here
            for part in _parts(key[1]):
                path = (*path, part)
                found.setdefault(path, number)
            statement = _rest(line)
    return found


def _parts(dotted_key: str) -> KeyPath:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted_key))


def _open_table(path: KeyPath, repeated: bool, tables: dict[KeyPath, int]) -> KeyPath:
    """The path with the numbers of the [[tables]] it lies in."""
    full: KeyPath = ()
    for part in path[:-1]:
        full = (*full, part)
        if full in tables:
            full = (*full, tables[full] - 1)
    full = (*full, path[-1])
    if repeated:
        tables[full] = tables.get(full, 0) + 1
        full = (*full, tables[full] - 1)
    return full


def _rest(statement: str) -> str:
    """The statement itself while its value goes on in the next line, else nothing."""
    try:
        tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return statement
    return ""


def line_of(lines: Mapping[KeyPath, int], path: KeyPath) -> int | None:
    """The line of a key, or of the nearest table around it."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return None


def syntax_error(error: tomllib.TOMLDecodeError, text: str) -> tuple[str, int]:
    """What the parser said of a file's text, in one small sentence, and the line.

    What is never closed is found at the file's end only: then it is the last line that says anything.
    """
    told = str(error)
    place = _ERROR_LINE.search(told)
    said = _ERROR_LINE.sub("", told).removesuffix(" (at end of document)")
    said = said[:1].lower() + said[1:]
    if place:
        return said, int(place[1])
    return f"{said}: the file ends before it is closed", len(text.rstrip().splitlines()) or 1
