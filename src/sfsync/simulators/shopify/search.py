"""Shopify's search syntax, as far as the simulated lists understand it.

`sku:A OR sku:"B C"`, `updated_at:>=2026-11-01 -status:cancelled`, brackets, NOT, and AND by
default. As in the real service an unknown filter does not fail: it is left out, with a warning.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Predicate: TypeAlias = Callable[[Any], bool]
# Makes the test of one filter out of a comparison ("=", "<", ">=" …) and the values that would do.
Filter: TypeAlias = Callable[[str, Sequence[str]], Predicate]

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<open>\() | (?P<close>\)) |
        (?P<minus>-(?=\S)) |
        (?P<field>[A-Za-z_]+):(?P<comparison><=|>=|<|>)?
            (?P<value>"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^\s()]+) |
        (?P<word>"(?:\\.|[^"\\])*"|'[^']*'|[^\s()]+)
    )""",
    re.VERBOSE,
)


class SearchError(ValueError):
    """The text is no query."""


@dataclass(frozen=True, slots=True)
class _Term:
    name: str
    comparison: str
    value: str


@dataclass(slots=True)
class Search:
    """One query, made ready: ask `matches` of each row. `warnings` name the filters left out."""

    matches: Predicate
    warnings: list[dict[str, str]] = field(default_factory=list)


def search(text: str | None, filters: Mapping[str, Filter]) -> Search:
    """Read a query. Raises SearchError when brackets or words do not fit together."""
    if text is None or not text.strip():
        return Search(lambda _row: True)
    reader = _Reader(_tokens(text), filters)
    predicate = reader.either()
    if rest := reader.peek():
        raise SearchError(f"unexpected {rest.group().strip()!r}")
    return Search(predicate, reader.warnings)


def _tokens(text: str) -> list[re.Match[str]]:
    found, position = [], 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SearchError(f"cannot read {text[position:]!r}")
        found.append(match)
        position = match.end()
    return found


def _unquoted(value: str) -> str:
    if len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]:
        value = value[1:-1]
    return re.sub(r"\\(.)", r"\1", value)


class _Reader:
    """Reads tokens from left to right: OR binds least, then AND, then NOT."""

    def __init__(self, tokens: list[re.Match[str]], filters: Mapping[str, Filter]) -> None:
        self._tokens = tokens
        self._position = 0
        self._filters = filters
        self.warnings: list[dict[str, str]] = []

    def peek(self) -> re.Match[str] | None:
        """The next token, if any is left."""
        return self._tokens[self._position] if self._position < len(self._tokens) else None

    def either(self) -> Predicate:
        parts: list[Predicate | _Term] = [self._both()]
        while self._takes_word("OR"):
            parts.append(self._both())
        return self._any_of(parts)

    def _any_of(self, parts: list[Predicate | _Term]) -> Predicate:
        # `sku:A OR sku:B OR …` becomes one question about a set, so that 250 of them are quick.
        values: dict[tuple[str, str], list[str]] = {}
        tests: list[Predicate] = []
        for part in parts:
            if isinstance(part, _Term):
                values.setdefault((part.name, part.comparison), []).append(part.value)
            else:
                tests.append(part)
        tests += [self._test(name, comparison, wanted) for (name, comparison), wanted in values.items()]
        return tests[0] if len(tests) == 1 else lambda row: any(test(row) for test in tests)

    def _test(self, name: str, comparison: str, values: Sequence[str]) -> Predicate:
        if name not in self._filters:
            warning = {
                "field": name,
                "message": "Invalid search field for this query.",
                "code": "invalid_field",
            }
            self.warnings.append(warning)
            return lambda _row: True
        try:
            return self._filters[name](comparison, values)
        except ValueError as error:
            raise SearchError(f"{name}: {error}") from error

    def _both(self) -> Predicate | _Term:
        parts = [self._negated()]
        while (token := self.peek()) and not token.group("close") and token.group("word") != "OR":
            self._takes_word("AND")
            parts.append(self._negated())
        if len(parts) == 1:
            return parts[0]
        tests = [self._any_of([part]) for part in parts]
        return lambda row: all(test(row) for test in tests)

    def _negated(self) -> Predicate | _Term:
        if self._takes_word("NOT") or self._takes("minus"):
            test = self._any_of([self._negated()])
            return lambda row: not test(row)
        if self._takes("open"):
            inner = self.either()
            if not self._takes("close"):
                raise SearchError("a bracket is not closed")
            return inner
        return self._term()

    def _term(self) -> _Term:
        token = self.peek()
        if token is None:
            raise SearchError("the query ends too early")
        self._position += 1
        if token.group("field"):
            return _Term(
                token.group("field"), token.group("comparison") or "=", _unquoted(token.group("value"))
            )
        if token.group("word"):
            return _Term("default", "=", _unquoted(token.group("word")))
        raise SearchError(f"unexpected {token.group().strip()!r}")

    def _takes(self, kind: str) -> bool:
        token = self.peek()
        taken = token is not None and bool(token.group(kind))
        self._position += taken
        return taken

    def _takes_word(self, word: str) -> bool:
        token = self.peek()
        taken = token is not None and token.group("word") == word
        self._position += taken
        return taken


def compared(read: Callable[[Any], Any], parse: Callable[[str], Any]) -> Filter:
    """A filter on an ordered property: equality, <, <=, >, >=."""

    def make(comparison: str, values: Sequence[str]) -> Predicate:
        wanted = [parse(value) for value in values]
        if comparison == "=":
            return lambda row: read(row) in wanted
        bound = min(wanted) if comparison.startswith(">") else max(wanted)
        return {
            "<": lambda row: read(row) is not None and read(row) < bound,
            "<=": lambda row: read(row) is not None and read(row) <= bound,
            ">": lambda row: read(row) is not None and read(row) > bound,
            ">=": lambda row: read(row) is not None and read(row) >= bound,
        }[comparison]

    return make


def one_of(read: Callable[[Any], str | None]) -> Filter:
    """A filter on a word, whatever its case."""

    def make(_comparison: str, values: Sequence[str]) -> Predicate:
        wanted = {value.lower() for value in values}
        return lambda row: (read(row) or "").lower() in wanted

    return make
