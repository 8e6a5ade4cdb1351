"""From the text of a formula to a tree of closures.

The grammar is LALR; names of functions and literals are case-insensitive, field names are passed on as
written. Operators bind as in Salesforce's own engine, which surprises: `^` binds *weaker* than `*` and `/`,
so `2*3^2` is 36; `&` is as strong as `+`. A new record has no prior value: PRIORVALUE gives the present one
and ISCHANGED is false.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any

from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedCharacters, UnexpectedInput, UnexpectedToken, VisitError

from sfsync.simulators.org.formula.functions import FUNCTIONS
from sfsync.simulators.org.formula.values import (
    FormulaContext,
    FormulaError,
    Node,
    Path,
    add,
    as_number,
    divide_exactly,
    equal,
    number,
    ordered,
    plain,
    power,
    subtract,
    text,
)

_GRAMMAR = r"""
    ?start: disjunction
    ?disjunction: conjunction | disjunction "||" conjunction -> either
    ?conjunction: equality | conjunction "&&" equality -> both
    ?equality: comparison
             | equality ("=" | "==") comparison -> equals
             | equality ("<>" | "!=") comparison -> differs
    ?comparison: sum
             | comparison "<" sum -> less
             | comparison "<=" sum -> at_most
             | comparison ">" sum -> greater
             | comparison ">=" sum -> at_least
    ?sum: powered | sum "+" powered -> plus | sum "-" powered -> minus | sum "&" powered -> joined
    ?powered: product | powered "^" product -> raised
    ?product: unary | product "*" unary -> times | product "/" unary -> divided
    ?unary: atom | "-" unary -> negative | "+" unary -> positive | ("!" | NOT) unary -> inverted
    ?atom: NUMBER -> number_literal
         | STRING -> text_literal
         | PATH -> reference
         | call
         | "(" disjunction ")"
    call: PATH "(" [disjunction ("," disjunction)*] ")"

    NOT.2: /NOT(?!\s*\(|\w)/i
    NUMBER: /\d+(\.\d+)?/
    STRING: /"(\\.|[^"\\])*"|'(\\.|[^'\\])*'/s
    PATH: /\$?[A-Za-z_]\w*(\.\$?[A-Za-z_]\w*)*/
    COMMENT: /\/\*.*?\*\//s
    %import common.WS
    %ignore WS
    %ignore COMMENT
"""

_CONSTANTS = {"TRUE": True, "FALSE": False, "NULL": None}
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "'": "'", "\\": "\\"}


@dataclass(frozen=True, slots=True)
class Formula:
    """A compiled formula.

    `fields` are the paths it reads, as written; `priors` those it reads as they were before the save;
    `reads_clock` tells that it changes by itself, with NOW or TODAY.
    """

    source: str
    fields: frozenset[Path]
    priors: frozenset[Path]
    reads_clock: bool
    node: Node

    def evaluate(self, context: FormulaContext) -> Any:
        """The result for one record: `int | float | str | bool | date | datetime | None`.

        Raises `FormulaError` when the values do not fit the operation (text less a number) or its range.
        """
        try:
            return plain(self.node(context))
        except RecursionError as error:
            raise FormulaError("the formula is nested too deeply") from error
        except ArithmeticError as error:
            raise FormulaError("a value is out of range") from error


@dataclass(frozen=True, slots=True)
class _Reference:
    """A field named in the formula, not yet read: ISCHANGED and PRIORVALUE need its path."""

    path: Path

    def __call__(self, context: FormulaContext) -> Any:
        return as_number(context.value(self.path))


def _unescape(body: str) -> str:
    out: list[str] = []
    letters = iter(body)
    for letter in letters:
        if letter == "\\":
            follower = next(letters)  # the grammar ends no literal with a single backslash
            if follower.lower() not in _ESCAPES:
                raise FormulaError(f"\\{follower} is no escape in a text: a backslash is written twice")
            out.append(_ESCAPES[follower.lower()])
        else:
            out.append(letter)
    return "".join(out)


def _constant(value: Any) -> Node:
    return lambda context: value


class _Builder(Transformer[Token, Node]):
    """Turns the parse tree into closures, from the leaves up, and notes what they read."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: set[Path] = set()
        self.priors: set[Path] = set()
        self.reads_clock = False

    def number_literal(self, children: Sequence[Token]) -> Node:
        value = Decimal(str(children[0]))
        return _constant(int(value) if value == value.to_integral_value() else value)

    def text_literal(self, children: Sequence[Token]) -> Node:
        return _constant(_unescape(str(children[0])[1:-1]))

    def reference(self, children: Sequence[Token]) -> Node:
        name = str(children[0])
        if name.upper() in _CONSTANTS:
            return _constant(_CONSTANTS[name.upper()])
        if name.startswith("$"):
            raise FormulaError(f"the global variable {name} is not supported")
        path = tuple(name.split("."))
        self.fields.add(path)
        return _Reference(path)

    def call(self, children: Sequence[Any]) -> Node:
        name, arguments = str(children[0]).upper(), [child for child in children[1:] if child is not None]
        if name in ("ISCHANGED", "PRIORVALUE"):
            return self._of_field(name, arguments)
        function = FUNCTIONS.get(name)
        if function is None:
            raise FormulaError(f"the function {children[0]} is not supported")
        _check_count(name, len(arguments), function.least, function.most)
        self.reads_clock |= name in ("NOW", "TODAY")
        return function.build(arguments)

    def _of_field(self, name: str, arguments: Sequence[Node]) -> Node:
        _check_count(name, len(arguments), 1, 1)
        field = arguments[0]
        if not isinstance(field, _Reference) or len(field.path) != 1:
            raise FormulaError(f"{name} takes one field of the record itself")
        self.priors.add(field.path)
        return _changed(field) if name == "ISCHANGED" else _prior(field)

    def either(self, children: Sequence[Node]) -> Node:
        return FUNCTIONS["OR"].build(children)

    def both(self, children: Sequence[Node]) -> Node:
        return FUNCTIONS["AND"].build(children)

    def inverted(self, children: Sequence[Any]) -> Node:
        return FUNCTIONS["NOT"].build(children[-1:])

    def equals(self, children: Sequence[Node]) -> Node:
        left, right = children
        return lambda context: equal(left(context), right(context), context)

    def differs(self, children: Sequence[Node]) -> Node:
        return FUNCTIONS["NOT"].build([self.equals(children)])

    def less(self, children: Sequence[Node]) -> Node:
        left, right = children

        def evaluate(context: FormulaContext) -> bool | None:
            pair = ordered(left(context), right(context), context)
            return None if pair is None else bool(pair[0] < pair[1])

        return evaluate

    def greater(self, children: Sequence[Node]) -> Node:
        return self.less([children[1], children[0]])

    def at_most(self, children: Sequence[Node]) -> Node:
        left, right = children

        def evaluate(context: FormulaContext) -> bool | None:
            pair = ordered(left(context), right(context), context)
            return None if pair is None else bool(pair[0] <= pair[1])

        return evaluate

    def at_least(self, children: Sequence[Node]) -> Node:
        return self.at_most([children[1], children[0]])

    def joined(self, children: Sequence[Node]) -> Node:
        left, right = children
        return lambda context: text(left(context)) + text(right(context))

    def plus(self, children: Sequence[Node]) -> Node:
        left, right = children
        return lambda context: add(left(context), right(context), context)

    def minus(self, children: Sequence[Node]) -> Node:
        left, right = children
        return lambda context: subtract(left(context), right(context), context)

    def times(self, children: Sequence[Node]) -> Node:
        return _arithmetic(children, lambda left, right: left * right)

    def divided(self, children: Sequence[Node]) -> Node:
        return _arithmetic(children, divide_exactly)

    def raised(self, children: Sequence[Node]) -> Node:
        return _arithmetic(children, power)

    def negative(self, children: Sequence[Node]) -> Node:
        return _arithmetic([_constant(0), children[0]], lambda zero, value: -value)

    def positive(self, children: Sequence[Node]) -> Node:
        return children[0]


def _arithmetic(children: Sequence[Node], operation: Any) -> Node:
    left, right = children

    def evaluate(context: FormulaContext) -> Any:
        first, second = number(left(context), context), number(right(context), context)
        return None if first is None or second is None else operation(first, second)

    return evaluate


def _changed(field: _Reference) -> Node:
    path = field.path
    return lambda context: not context.is_new and context.value(path) != context.prior(path)


def _prior(field: _Reference) -> Node:
    path = field.path
    return lambda context: as_number(context.value(path) if context.is_new else context.prior(path))


def _check_count(name: str, count: int, least: int, most: int | None) -> None:
    if count < least or (most is not None and count > most):
        wanted = str(least) if most == least else f"{least} or more" if most is None else f"{least} to {most}"
        raise FormulaError(f"{name} takes {wanted} arguments, not {count}")


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", maybe_placeholders=True)


def _syntax_error(error: UnexpectedInput) -> FormulaError:
    where = f"line {error.line}, column {error.column}"
    if isinstance(error, UnexpectedToken):
        if error.token.type == "$END":
            return FormulaError("syntax error: the formula ends too early")
        return FormulaError(f"syntax error at {where}: {str(error.token)!r} is not expected here")
    if isinstance(error, UnexpectedCharacters):
        return FormulaError(f"syntax error at {where}: {error.char!r} is not expected here")
    return FormulaError(f"syntax error at {where}")


@lru_cache(maxsize=1024)
def compile_formula(source: str) -> Formula:
    """The formula ready to be evaluated.

    Raises `FormulaError` that names the unsupported function or the position of the syntax error.
    """
    builder = _Builder()
    try:
        node: Any = builder.transform(_parser().parse(source))
    except UnexpectedInput as error:
        raise _syntax_error(error) from error
    except RecursionError as error:
        raise FormulaError("the formula is nested too deeply") from error
    except VisitError as error:
        if isinstance(error.orig_exc, FormulaError):
            raise error.orig_exc from error
        if isinstance(error.orig_exc, RecursionError):
            raise FormulaError("the formula is nested too deeply") from error
        raise
    return Formula(source, frozenset(builder.fields), frozenset(builder.priors), builder.reads_clock, node)
