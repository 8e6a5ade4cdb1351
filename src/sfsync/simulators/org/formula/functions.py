"""The functions a formula may call: names, how many arguments, what they do.

Each entry builds a node from the nodes of its arguments, so that AND, OR, IF and CASE evaluate only
what they need. Functions on fields (ISCHANGED, PRIORVALUE) are built in `compiler.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Any

from sfsync.simulators.org.formula import calculations
from sfsync.simulators.org.formula.values import (
    FormulaContext,
    FormulaError,
    Node,
    equal,
    is_blank,
    number,
    text,
)

_LONGEST_TEXT = 32_768

Builder = Callable[[Sequence[Node]], Node]


@dataclass(frozen=True, slots=True)
class Function:
    """How many arguments a function takes (`most` None is any number) and how it becomes a node."""

    least: int
    most: int | None
    build: Builder


def _and(arguments: Sequence[Node]) -> Node:
    def every(context: FormulaContext) -> bool:
        return all(argument(context) for argument in arguments)

    return every


def _or(arguments: Sequence[Node]) -> Node:
    def some(context: FormulaContext) -> bool:
        return any(argument(context) for argument in arguments)

    return some


def _not(arguments: Sequence[Node]) -> Node:
    argument = arguments[0]

    def invert(context: FormulaContext) -> bool | None:
        value = argument(context)
        return None if value is None else not value

    return invert


def _if(arguments: Sequence[Node]) -> Node:
    condition, then, otherwise = arguments
    return lambda context: then(context) if condition(context) else otherwise(context)


def _case(arguments: Sequence[Node]) -> Node:
    if len(arguments) % 2:
        raise FormulaError("CASE needs an expression, pairs of value and result, and an else result")
    subject, otherwise = arguments[0], arguments[-1]
    pairs = list(zip(arguments[1:-1:2], arguments[2:-1:2], strict=True))

    def choose(context: FormulaContext) -> Any:
        value = subject(context)
        for candidate, result in pairs:
            if equal(value, candidate(context), context):
                return result(context)
        return otherwise(context)

    return choose


def _blank_value(arguments: Sequence[Node]) -> Node:
    first, instead = arguments

    def choose(context: FormulaContext) -> Any:
        value = first(context)
        return instead(context) if is_blank(value) else value

    return choose


def _is_blank(arguments: Sequence[Node]) -> Node:
    argument = arguments[0]
    return lambda context: is_blank(argument(context))


def _is_new(arguments: Sequence[Node]) -> Node:
    return lambda context: context.is_new


def _now(arguments: Sequence[Node]) -> Node:
    return lambda context: context.now


def _today(arguments: Sequence[Node]) -> Node:
    return lambda context: context.now.astimezone(UTC).date()


def _of_texts(function: Callable[..., Any]) -> Builder:
    """A function of texts, where null is the empty text."""

    def build(arguments: Sequence[Node]) -> Node:
        return lambda context: function(*[text(argument(context)) for argument in arguments])

    return build


def _of_numbers(function: Callable[..., Any]) -> Builder:
    """A function of numbers, which is null when one of them is."""

    def build(arguments: Sequence[Node]) -> Node:
        def evaluate(context: FormulaContext) -> Any:
            values = [number(argument(context), context) for argument in arguments]
            return None if None in values else function(*values)

        return evaluate

    return build


def _of_values(function: Callable[..., Any]) -> Builder:
    """A function of any values, which is null when one of them is."""

    def build(arguments: Sequence[Node]) -> Node:
        def evaluate(context: FormulaContext) -> Any:
            values = [argument(context) for argument in arguments]
            return None if None in values else function(*values)

        return evaluate

    return build


def _text_and_counts(function: Callable[..., Any]) -> Builder:
    """A function whose first argument is text and whose others are whole numbers."""

    def build(arguments: Sequence[Node]) -> Node:
        first, rest = arguments[0], arguments[1:]

        def evaluate(context: FormulaContext) -> Any:
            counts = [number(argument(context), context) or 0 for argument in rest]
            return function(text(first(context)), *[int(count) for count in counts])

        return evaluate

    return build


def _find(arguments: Sequence[Node]) -> Node:
    wanted, whole = arguments[0], arguments[1]
    start = arguments[2] if len(arguments) == 3 else None

    def evaluate(context: FormulaContext) -> int:
        begin = int(number(start(context), context) or 1) if start else 1
        needle = text(wanted(context))
        return text(whole(context)).find(needle, max(begin, 1) - 1) + 1 if needle else 0

    return evaluate


def _pad(left: bool) -> Builder:
    def build(arguments: Sequence[Node]) -> Node:
        def evaluate(context: FormulaContext) -> str:
            whole = text(arguments[0](context))
            width = min(int(number(arguments[1](context), context) or 0), _LONGEST_TEXT)
            filler = text(arguments[2](context)) if len(arguments) == 3 else " "
            if len(whole) >= width or not filler:
                return whole[: max(width, 0)]
            padding = (filler * width)[: width - len(whole)]
            return padding + whole if left else whole + padding

        return evaluate

    return build


def _regex(arguments: Sequence[Node]) -> Node:
    whole, pattern = arguments

    def evaluate(context: FormulaContext) -> bool:
        try:
            return re.fullmatch(text(pattern(context)), text(whole(context))) is not None
        except re.error as error:
            raise FormulaError(f"REGEX: {error}") from error

    return evaluate


def _pick_value(arguments: Sequence[Node]) -> Node:
    field, literal = arguments
    return lambda context: text(field(context)) == text(literal(context))


FUNCTIONS: dict[str, Function] = {
    "AND": Function(1, None, _and),
    "OR": Function(1, None, _or),
    "NOT": Function(1, 1, _not),
    "IF": Function(3, 3, _if),
    "CASE": Function(4, None, _case),
    "ISBLANK": Function(1, 1, _is_blank),
    "ISNULL": Function(1, 1, _is_blank),
    "BLANKVALUE": Function(2, 2, _blank_value),
    "NULLVALUE": Function(2, 2, _blank_value),
    "ISNEW": Function(0, 0, _is_new),
    "ISPICKVAL": Function(2, 2, _pick_value),
    "NOW": Function(0, 0, _now),
    "TODAY": Function(0, 0, _today),
    "TEXT": Function(1, 1, _of_texts(lambda whole: whole)),
    "VALUE": Function(1, 1, _of_texts(calculations.number_of)),
    "LEN": Function(1, 1, _of_texts(len)),
    "UPPER": Function(1, 1, _of_texts(str.upper)),
    "LOWER": Function(1, 1, _of_texts(str.lower)),
    "TRIM": Function(1, 1, _of_texts(str.strip)),
    "CONTAINS": Function(2, 2, _of_texts(lambda whole, part: part in whole)),
    "BEGINS": Function(2, 2, _of_texts(lambda whole, start: whole.startswith(start))),
    "SUBSTITUTE": Function(3, 3, _of_texts(calculations.substitute)),
    "LEFT": Function(2, 2, _text_and_counts(lambda whole, count: whole[: max(count, 0)])),
    "RIGHT": Function(2, 2, _text_and_counts(calculations.right)),
    "MID": Function(3, 3, _text_and_counts(calculations.middle)),
    "FIND": Function(2, 3, _find),
    "LPAD": Function(2, 3, _pad(left=True)),
    "RPAD": Function(2, 3, _pad(left=False)),
    "REGEX": Function(2, 2, _regex),
    "ABS": Function(1, 1, _of_numbers(abs)),
    "CEILING": Function(1, 1, _of_numbers(calculations.ceiling)),
    "FLOOR": Function(1, 1, _of_numbers(calculations.floor)),
    "MCEILING": Function(1, 1, _of_numbers(math.ceil)),
    "MFLOOR": Function(1, 1, _of_numbers(math.floor)),
    "ROUND": Function(2, 2, _of_numbers(calculations.rounded)),
    "TRUNC": Function(1, 2, _of_numbers(calculations.truncate)),
    "MOD": Function(2, 2, _of_numbers(calculations.modulo)),
    "SQRT": Function(1, 1, _of_numbers(calculations.square_root)),
    "MAX": Function(1, None, _of_numbers(lambda *values: max(values))),
    "MIN": Function(1, None, _of_numbers(lambda *values: min(values))),
    "DATE": Function(3, 3, _of_numbers(calculations.day_of)),
    "DATEVALUE": Function(1, 1, _of_values(calculations.date_value)),
    "DATETIMEVALUE": Function(1, 1, _of_values(calculations.datetime_value)),
    "YEAR": Function(1, 1, _of_values(lambda moment: moment.year)),
    "MONTH": Function(1, 1, _of_values(lambda moment: moment.month)),
    "DAY": Function(1, 1, _of_values(lambda moment: moment.day)),
    "WEEKDAY": Function(1, 1, _of_values(calculations.weekday)),
    "ADDMONTHS": Function(2, 2, _of_values(calculations.add_months)),
}
