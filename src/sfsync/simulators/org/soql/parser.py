"""From the text of a query to `syntax.Query`, through an LALR grammar.

AND and OR cannot be mixed without parentheses, as in an org. Texts are cached with their parsed form, for a
client asks the same few queries again and again; and what it asks of other values each time is parsed once
without them, and filled.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from sfsync.simulators.org.soql.errors import SoqlError, malformed
from sfsync.simulators.org.soql.grammar import GRAMMAR
from sfsync.simulators.org.soql.syntax import (
    All,
    Call,
    ChildQuery,
    Column,
    Comparison,
    Condition,
    FieldsOf,
    Item,
    Literal,
    Membership,
    Not,
    Ordering,
    Query,
    Some,
)

_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\"}
_TEXT_IN_LIST = re.compile(r"'((?:\\.|[^'\\])*)'", re.DOTALL)
VALUES = re.compile(
    r"""\(\s*'(?:\\.|[^'\\])*'(?:\s*,\s*'(?:\\.|[^'\\])*')*\s*\)  # a list of texts
    | '(?:\\.|[^'\\])*'
    | \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)""",
    re.DOTALL | re.IGNORECASE | re.VERBOSE,
)
_IGNORED_VIEWS = ("VIEW", "REFERENCE")
_HIGHEST_OFFSET = 2000
_MOST_DIGITS = 9  # of a count; of an exact whole number twice as many
_DEEPEST = 100  # brackets within brackets
_TOO_DEEP = "the filter conditions are too complicated"


def _start(token: Token) -> int:
    return token.start_pos or 0


def _path(token: Token) -> Column:
    return Column(tuple(str(token).split(".")), _start(token))


def unescape(raw: str, extra: str = "") -> str:
    """The text that a literal means; characters of `extra` (LIKE's `%` and `_`) keep their backslash."""
    if "\\" not in raw:
        return raw
    out: list[str] = []
    letters = iter(raw)
    for letter in letters:
        if letter != "\\":
            out.append(letter)
            continue
        follower = next(letters, "")
        if follower in extra and follower:
            out.append("\\" + follower)
        elif follower in _ESCAPES:
            out.append(_ESCAPES[follower])
        elif follower == "u":
            digits = "".join(next(letters, "") for _ in range(4))
            out.append(chr(int(digits, 16)) if re.fullmatch(r"[0-9A-Fa-f]{4}", digits) else "u" + digits)
        else:
            raise ValueError(f"\\{follower}")
    return "".join(out)


def _text(source: str, raw: str, position: int) -> Literal:
    try:
        # A LIKE pattern may hold \% and \_, so the pattern is read again from the raw text.
        return Literal("string", unescape(raw, "%_"), position, raw)
    except ValueError as error:
        message = f"Illegal character sequence '{error}' in string literal '{raw}'"
        raise malformed(source, position, message) from error


def _texts(source: str, written: str, start: int) -> tuple[Literal, ...]:
    found = _TEXT_IN_LIST.finditer(written)
    return tuple(_text(source, match[1], start + match.start()) for match in found)


def _moment(source: str, written: str, position: int) -> Literal:
    try:
        value = datetime.fromisoformat(re.sub(r"([+-]\d\d)(\d\d)$", r"\1:\2", written.upper()))
        return Literal("datetime", value.astimezone(UTC), position)
    except (ValueError, OverflowError) as error:
        raise malformed(source, position, f"Invalid datetime: {written}") from error


class _Builder(Transformer[Token, Any]):
    """Makes `syntax` values while the text is parsed, without a tree in between."""

    source = ""  # what is being parsed

    def expression(self, children: Sequence[Token]) -> Column:
        return _path(children[0])

    def call(self, children: Sequence[Token | None]) -> Call:
        name, argument = children[0], children[1]
        if name is None:
            raise malformed(self.source, 0, "unexpected token: '('")
        return Call(str(name).upper(), None if argument is None else _path(argument), _start(name))

    def selected(self, children: Sequence[Any]) -> Item:
        expression, alias = children
        return Item(expression, None if alias is None else str(alias))

    def fields_of(self, children: Sequence[Token]) -> FieldsOf:
        return FieldsOf(str(children[1]).upper(), _start(children[0]))

    def child_query(self, children: Sequence[Query]) -> ChildQuery:
        return ChildQuery(children[0])

    def items(self, children: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(children)

    def alias(self, children: Sequence[Token]) -> str:
        return str(children[0])

    def scope(self, children: Sequence[Token]) -> None:
        if str(children[1]).lower() != "everything":
            raise malformed(self.source, _start(children[1]), f"scope '{children[1]}' is not supported")

    def where(self, children: Sequence[Any]) -> Condition:
        condition: Condition = children[1]
        return condition

    def group(self, children: Sequence[Any]) -> tuple[tuple[Any, ...], Condition | None]:
        having: Condition | None = children[-1]
        return tuple(child for child in children[1:-2]), having

    def order(self, children: Sequence[Any]) -> tuple[Ordering, ...]:
        return tuple(children[1:])

    def ordering(self, children: Sequence[Any]) -> Ordering:
        expression, direction, nulls = children
        descending = direction is not None and str(direction).upper() == "DESC"
        return Ordering(expression, descending, nulls is not None and str(nulls).upper().endswith("LAST"))

    def limit(self, children: Sequence[Token]) -> int:
        return self._count(children[1])

    def _count(self, written: Token) -> int:
        if len(written) > _MOST_DIGITS:
            raise malformed(self.source, _start(written), f"unexpected token: '{written[:40]}'")
        return int(written)

    def offset(self, children: Sequence[Token]) -> int:
        count = self._count(children[1])
        if count > _HIGHEST_OFFSET:
            raise SoqlError("NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {_HIGHEST_OFFSET}")
        return count

    def view(self, children: Sequence[Token]) -> None:
        for name in children[1:]:
            if str(name).upper() not in _IGNORED_VIEWS:
                # FOR UPDATE locks rows for an Apex transaction; a REST query has none.
                raise malformed(self.source, _start(name), f"unexpected token: '{name}'")

    def every(self, children: Sequence[Any]) -> All:
        return All(tuple(children[::2]))

    def some(self, children: Sequence[Any]) -> Some:
        return Some(tuple(children[::2]))

    def negated(self, children: Sequence[Any]) -> Not:
        return Not(children[1])

    def comparison(self, children: Sequence[Any]) -> Comparison:
        operator = str(children[1]).upper()
        return Comparison(children[0], "!=" if operator == "<>" else operator, children[2])

    def member(self, children: Sequence[Any]) -> Membership:
        return Membership(children[0], children[2], negated=False)

    def stranger(self, children: Sequence[Any]) -> Membership:
        return Membership(children[0], children[2], negated=True)

    def literals(self, children: Sequence[Literal]) -> tuple[Literal, ...]:
        return tuple(children)

    def text_list(self, children: Sequence[Token]) -> tuple[Literal, ...]:
        return _texts(self.source, str(children[0]), _start(children[0]))

    def string(self, children: Sequence[Token]) -> Literal:
        return _text(self.source, str(children[0])[1:-1], _start(children[0]))

    def moment(self, children: Sequence[Token]) -> Literal:
        return _moment(self.source, str(children[0]), _start(children[0]))

    def day(self, children: Sequence[Token]) -> Literal:
        try:
            value = date.fromisoformat(str(children[0]))
        except ValueError as error:
            raise malformed(self.source, _start(children[0]), f"Invalid date: {children[0]}") from error
        return Literal("date", value, _start(children[0]))

    def number(self, children: Sequence[Token]) -> Literal:
        written = str(children[0])
        whole = written.lstrip("+-").isdecimal() and len(written) <= 2 * _MOST_DIGITS
        return Literal("number", int(written) if whole else float(written), _start(children[0]))

    def named(self, children: Sequence[Token]) -> Literal:
        name = str(children[0]).upper()
        if name == "NULL":
            return Literal("null", None, _start(children[0]))
        if name in ("TRUE", "FALSE"):
            return Literal("boolean", name == "TRUE", _start(children[0]))
        return Literal("named", name, _start(children[0]))

    def query(self, children: Sequence[Any]) -> Query:
        (_, items, _, entity, alias, _, where, group, order, limit, offset, *_, all_rows) = children
        group_by, having = group or ((), None)
        if "." in entity:
            raise malformed(self.source, _start(entity), f"unexpected token: '{entity}'")
        return Query(
            source=self.source,
            items=items,
            entity=str(entity),
            position=_start(entity),
            alias=alias,
            where=where,
            group_by=group_by,
            having=having,
            order_by=order or (),
            limit=limit,
            offset=offset or 0,
            all_rows=all_rows is not None,
        )


_held = threading.local()


def _parser() -> tuple[Lark, _Builder]:
    """This thread's parser, and the builder that it tells what it reads."""
    found: tuple[Lark, _Builder] | None = getattr(_held, "parser", None)
    if found is None:
        builder = _Builder()
        starts = ["query", "condition"]
        lark = Lark(GRAMMAR, parser="lalr", start=starts, maybe_placeholders=True, transformer=builder)
        found = _held.parser = lark, builder
    return found


def _unexpected(source: str, error: UnexpectedInput) -> SoqlError:
    if isinstance(error, UnexpectedToken):
        if error.token.type == "$END":
            return malformed(source, len(source), "unexpected token: '<EOF>'")
        return malformed(source, _start(error.token), f"unexpected token: '{error.token}'")
    position = error.pos_in_stream or 0
    if isinstance(error, UnexpectedCharacters):
        found = re.match(r"\w+|.", source[position:], re.DOTALL)
        shown = found[0] if found else "<EOF>"
        return malformed(source, position, f"unexpected token: '{shown}'")
    return malformed(source, position, "unexpected token: '<EOF>'")


def _depth(source: str) -> int:
    """How many brackets stand within one another, those in texts among them."""
    depth = deepest = 0
    for letter in source:
        depth += (letter == "(") - (letter == ")")
        deepest = max(deepest, depth)
    return deepest


def _parse(source: str, start: str) -> Any:
    lark, builder = _parser()
    builder.source = source
    if source.count("(") > _DEEPEST and _depth(source) > _DEEPEST:  # it is evaluated part within part
        raise SoqlError("MALFORMED_QUERY", _TOO_DEEP)
    try:
        return lark.parse(source, start=start)
    except UnexpectedInput as error:
        raise _unexpected(source, error) from error
    except VisitError as error:
        if isinstance(error.orig_exc, SoqlError):
            raise error.orig_exc from error
        raise


class Filler:
    """Puts the values of a text into the query that was parsed from the same text with none in them.

    Its values stand in the order in which the query is walked; what stands behind one is as far off its place
    as the values before it were shortened by.
    """

    def __init__(self, source: str, found: Sequence[re.Match[str]]) -> None:
        self._source = source
        self._values = iter(found)
        self._off = 0

    def query(self, blank: Query) -> Query:
        """The query with its values."""
        position = blank.position + self._off
        items = blank.items if not self._off else tuple(self._item(item) for item in blank.items)
        where = None if blank.where is None else self._condition(blank.where)
        group_by = tuple(self._expression(each) for each in blank.group_by)
        having = None if blank.having is None else self._condition(blank.having)
        order_by = tuple(
            replace(each, expression=self._expression(each.expression)) for each in blank.order_by
        )
        return replace(
            blank,
            source=self._source,
            items=items,
            position=position,
            where=where,
            group_by=group_by,
            having=having,
            order_by=order_by,
        )

    def _item(self, item: Item | FieldsOf | ChildQuery) -> Item | FieldsOf | ChildQuery:
        if isinstance(item, Item):
            return replace(item, expression=self._expression(item.expression))
        if isinstance(item, FieldsOf):
            return replace(item, position=item.position + self._off)
        return ChildQuery(self.query(item.query))

    def _expression(self, expression: Column | Call) -> Column | Call:
        if not self._off:
            return expression
        if isinstance(expression, Column):
            return Column(expression.path, expression.position + self._off)
        argument = expression.argument
        moved = None if argument is None else Column(argument.path, argument.position + self._off)
        return Call(expression.function, moved, expression.position + self._off)

    def _condition(self, condition: Condition) -> Condition:
        if isinstance(condition, Comparison):
            left = self._expression(condition.left)
            return Comparison(left, condition.operator, self._literal(condition.right))
        if isinstance(condition, Membership):
            return Membership(
                self._expression(condition.left), self._collection(condition.values), condition.negated
            )
        if isinstance(condition, Not):
            return Not(self._condition(condition.condition))
        return type(condition)(tuple(self._condition(each) for each in condition.conditions))

    def _collection(self, values: tuple[Literal, ...] | Query) -> tuple[Literal, ...] | Query:
        if isinstance(values, Query):
            return self.query(values)
        filled: list[Literal] = []
        for value in values:
            if value.kind in ("string", "datetime"):
                filled += self._value(value)
            else:
                filled.append(self._literal(value))
        return tuple(filled)

    def _literal(self, literal: Literal) -> Literal:
        if literal.kind in ("string", "datetime"):
            return self._value(literal)[0]
        return replace(literal, position=literal.position + self._off)

    def _value(self, blank: Literal) -> Sequence[Literal]:
        """What stands at the next place of a value: one, or a list of texts."""
        found = next(self._values)
        written, start = found[0], found.start()
        self._off += len(written) - len(_without_value(found))
        if written[0] == "(":
            return _texts(self._source, written, start)
        if written[0] == "'":
            return (_text(self._source, written[1:-1], start),)
        return (_moment(self._source, written, start),)


@lru_cache(maxsize=512)
def parse(source: str) -> Query:
    """The query that `source` is. Raises `SoqlError` (`MALFORMED_QUERY`) pointing at the wrong token."""
    found = list(VALUES.finditer(source))
    if found:
        try:
            blank = _blank(VALUES.sub(_without_value, source))
        except SoqlError:
            return parse_whole(source)  # for its words, and the right place
        if found[0].start() > blank.position and source.count("(") <= _DEEPEST:  # all stand behind FROM
            return Filler(source, found).query(blank)
    return parse_whole(source)


def parse_whole(source: str) -> Query:
    """`parse`, value by value."""
    query: Query = _parse(source, "query")
    return query


@lru_cache(maxsize=512)
def _blank(source: str) -> Query:
    return parse_whole(source)


def _without_value(found: re.Match[str]) -> str:
    written = found[0]
    return "('')" if written[0] == "(" else "''" if written[0] == "'" else "1970-01-01T00:00:00Z"


@lru_cache(maxsize=512)
def parse_conditions(source: str) -> Condition:
    """The conditions of a WHERE clause written without `WHERE`."""
    condition: Condition = _parse(source, "condition")
    return condition
