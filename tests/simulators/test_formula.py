"""Formulas of the simulated org: what each construct gives, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.language_kit import Record, our_schema

from sfsync.simulators.org.formula import FormulaError, compile_formula

NEEDS_STOCK = "AND( Reserved__c > PRIORVALUE(Reserved__c), OnHand__c < Reserved__c )"


def result(text: str, values: Mapping[str, Any] | None = None, **record: Any) -> Any:
    """What a formula gives for a record."""
    return compile_formula(text).evaluate(Record(values or {}, **record))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("7 / 2", 3.5),
        ("6 / 2", 3),
        ("10 - 2 - 3", 5),
        ("2 * 3 ^ 2", 36),
        ("2 ^ 3 ^ 2", 64),
        ("-2 ^ 2", 4),
        ("0.1 + 0.2 = 0.3", True),
        ("1 / 0", None),
        ("- (3)", -3),
        ("+4", 4),
        ("'a' & 'b' & 1", "ab1"),
        ("'a' + 'b'", "ab"),
        ("1 < 2 && 2 <= 2", True),
        ("1 > 2 || 3 >= 4", False),
        ("1 == 1", True),
        ("1 <> 1", False),
        ("'a' != 'b'", True),
        ("'A' = 'a'", False),
        ("!TRUE", False),
        ("NOT FALSE", True),
        ("TRUE || FALSE && FALSE", True),
        ("/* why */ 1 /* not */", 1),
        ('"say \\"no\\"\\n"', 'say "no"\n'),
        ("true", True),
        ("Null", None),
    ],
)
def test_an_operator_gives_what_the_platform_gives(text: str, wanted: Any) -> None:
    """Operators, literals and comments, with the platform's own precedence."""
    assert result(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("AND(TRUE, 1 < 2)", True),
        ("OR(FALSE, FALSE)", False),
        ("NOT(FALSE)", True),
        ("IF(1 > 2, 'more', 'less')", "less"),
        ("CASE(3, 1, 'one', 3, 'three', 'many')", "three"),
        ("CASE(9, 1, 'one', 'many')", "many"),
        ("ISBLANK('')", True),
        ("ISBLANK(' ')", False),
        ("ISNULL(NULL)", True),
        ("BLANKVALUE('', 'x')", "x"),
        ("NULLVALUE(NULL, 7)", 7),
        ("TEXT(12.50)", "12.5"),
        ("TEXT(DATE(2026, 1, 2))", "2026-01-02"),
        ("TEXT(NOW())", "2026-11-23 10:30:00Z"),
        ("VALUE('12.5')", 12.5),
        ("VALUE('x')", None),
        ("VALUE('')", None),
        ("VALUE('NaN')", None),
        ("VALUE('1e999999')", None),
        ("LEN('four')", 4),
        ("LEFT('boutique', 4)", "bout"),
        ("RIGHT('boutique', 4)", "ique"),
        ("RIGHT('boutique', 0)", ""),
        ("MID('boutique', 2, 3)", "out"),
        ("CONTAINS('BAG|LON', '|')", True),
        ("BEGINS('BAG|LON', 'bag')", False),
        ("UPPER('ab')", "AB"),
        ("LOWER('AB')", "ab"),
        ("TRIM('  a ')", "a"),
        ("SUBSTITUTE('a-b-c', '-', '+')", "a+b+c"),
        ("FIND('|', 'BAG|LON')", 4),
        ("FIND('x', 'BAG')", 0),
        ("LPAD('7', 3, '0')", "007"),
        ("RPAD('7', 3)", "7  "),
        ("REGEX('SL-001', 'SL-\\\\d+')", True),
        ("REGEX('xSL-001', 'SL-\\\\d+')", False),
        ("ABS(-3)", 3),
        ("CEILING(2.1)", 3),
        ("CEILING(-2.1)", -3),
        ("MCEILING(-2.1)", -2),
        ("FLOOR(-2.1)", -2),
        ("MFLOOR(-2.1)", -3),
        ("ROUND(2.5, 0)", 3),
        ("ROUND(-2.5, 0)", -3),
        ("ROUND(1234, -2)", 1200),
        ("ROUND(1.5, 9 ^ 9)", 1.5),
        ("TRUNC(2.79, 1)", 2.7),
        ("MOD(7, 3)", 1),
        ("MOD(-7, 3)", -1),
        ("MOD(7, 0)", None),
        ("SQRT(9)", 3),
        ("MAX(1, 3, 2)", 3),
        ("MIN(1, 3, 2)", 1),
        ("TODAY()", date(2026, 11, 23)),
        ("NOW()", datetime(2026, 11, 23, 10, 30, tzinfo=UTC)),
        ("DATE(2026, 2, 28) + 1", date(2026, 3, 1)),
        ("DATE(2026, 2, 30)", None),
        ("DATE(2026, 3, 1) - DATE(2026, 2, 1)", 28),
        ("DATEVALUE('2026-03-01')", date(2026, 3, 1)),
        ("DATEVALUE(NOW())", date(2026, 11, 23)),
        ("DATETIMEVALUE('2026-03-01 08:00:00')", datetime(2026, 3, 1, 8, tzinfo=UTC)),
        ("NOW() - DATETIMEVALUE('2026-11-22 22:30:00')", 0.5),
        ("YEAR(TODAY()) * 10000 + MONTH(TODAY()) * 100 + DAY(TODAY())", 20261123),
        ("WEEKDAY(DATE(2026, 11, 22))", 1),
        ("ADDMONTHS(DATE(2026, 1, 31), 1)", date(2026, 2, 28)),
    ],
)
def test_a_function_gives_what_the_platform_gives(text: str, wanted: Any) -> None:
    """Each function once or twice, its edges included."""
    assert result(text) == wanted


def test_every_function_of_the_reference_is_there() -> None:
    """The list that the package promises compiles, each with a plausible number of arguments."""
    for text in (
        "ISNEW()",
        "ISCHANGED(A__c)",
        "PRIORVALUE(A__c)",
        "ISPICKVAL(A__c, 'x')",
        "TEXT(A__c)",
    ):
        assert compile_formula(text).fields <= {("A__c",)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("VLOOKUP(A__c, B__c)", "the function VLOOKUP is not supported"),
        ("hyperlink('a', 'b')", "the function hyperlink is not supported"),
        ("$User.Id = 'x'", r"the global variable \$User.Id is not supported"),
        ("1 +", "ends too early"),
        ("", "ends too early"),
        ("AND(1 = 1", "ends too early"),
        ("1 ~ 2", "line 1, column 3: '~'"),
        ("AND(TRUE,\n  )", r"line 2, column 3: '\)'"),
        ("LEFT('a')", "LEFT takes 2 arguments, not 1"),
        ("CASE(1, 2, 3, 4, 5)", "CASE needs"),
        ("ISCHANGED(1 + 1)", "ISCHANGED takes one field"),
        ("PRIORVALUE(StockLevel__r.OnHand__c)", "PRIORVALUE takes one field"),
        ("'\\d'", "no escape"),
        ("'open", "'"),
    ],
)
def test_what_cannot_be_evaluated_is_refused_when_compiled(text: str, complaint: str) -> None:
    """The refusal names the function or the place."""
    with pytest.raises(FormulaError, match=complaint):
        compile_formula(text)


def test_values_that_do_not_fit_are_an_error_of_the_save() -> None:
    """Text less a number cannot be worked out, and is not guessed at."""
    with pytest.raises(FormulaError, match="expected a number"):
        result("Sku__c - 1", {"Sku__c": "BAG"})
    with pytest.raises(FormulaError, match="cannot compare"):
        result("Sku__c < 1", {"Sku__c": "BAG"})


@pytest.mark.parametrize(
    ("on_hand", "before", "after", "refused"),
    [
        (1.0, 0.0, 1.0, False),  # the last piece
        (1.0, 1.0, 2.0, True),  # one more than there is
        (0.0, 1.0, 1.0, False),  # a counter sale uncovers a promise: postings always pass
        (0.0, 2.0, 1.0, False),  # a release passes although stock is short
        (0.0, 0.0, 1.0, True),
    ],
)
def test_only_a_raise_of_reserved_above_on_hand_is_refused(
    on_hand: float, before: float, after: float, refused: bool
) -> None:
    """The rule that promise 1 rests on, as the level's save evaluates it."""
    level = {"OnHand__c": on_hand, "Reserved__c": after}
    assert result(NEEDS_STOCK, level, before={"OnHand__c": on_hand, "Reserved__c": before}) is refused


def test_a_new_record_has_no_earlier_state() -> None:
    """PRIORVALUE gives the present value, ISCHANGED is false, ISNEW is true, and no prior is asked for."""
    values = {"Reserved__c": 5.0}
    assert result("PRIORVALUE(Reserved__c)", values) == 5
    assert result("ISCHANGED(Reserved__c)", values) is False
    assert result("ISNEW()", values) is True
    assert result("ISNEW()", values, before=values) is False


def test_a_change_is_seen_by_value_not_by_spelling() -> None:
    """3 and 3.0 are the same number; null and something are not the same."""
    assert result("ISCHANGED(A__c)", {"A__c": 3}, before={"A__c": 3.0}) is False
    assert result("ISCHANGED(A__c)", {"A__c": None}, before={"A__c": 3.0}) is True


def test_a_movement_cannot_be_changed_but_may_be_entered() -> None:
    """Our own immutability rule, from the metadata we ship."""
    rule = next(rule for rule in our_schema().objects["StockMovement__c"].rules if "immutable" in rule.name)
    entered = {"OnHandDelta__c": -1.0, "Kind__c": "Sale"}
    assert result(rule.formula, entered) is False
    assert result(rule.formula, entered, before=entered) is False
    assert result(rule.formula, entered | {"OnHandDelta__c": -2.0}, before=entered) is True


def test_a_blank_number_is_zero_only_where_the_formula_says_so() -> None:
    """Otherwise the blank spreads, and a comparison with it is neither true nor false."""
    assert result("A__c + 1") == 1
    assert result("A__c < 1") is True
    assert result("A__c + 1", blanks_as_zero=False) is None
    assert result("A__c < 1", blanks_as_zero=False) is None
    assert result("NOT(A__c < 1)", blanks_as_zero=False) is None
    assert result("IF(A__c < 1, 'low', 'not low')", blanks_as_zero=False) == "not low"
    assert result("A__c <> 5", blanks_as_zero=False) is None


def test_blank_text_is_empty_text() -> None:
    """Text is never null for comparisons and for joining."""
    assert result("A__c = ''") is True
    assert result("A__c & 'x'") == "x"
    assert result("A__c <> 'x'") is True
    assert result("LEN(A__c)") == 0


def test_a_condition_stops_where_its_answer_is_known() -> None:
    """AND, OR, IF and CASE leave alone what they do not need."""
    broken = "(Sku__c - 1 = 0)"
    values = {"Sku__c": "BAG"}
    assert result(f"AND(FALSE, {broken})", values) is False
    assert result(f"OR(TRUE, {broken})", values) is True
    assert result(f"IF(TRUE, 1, {broken})", values) == 1
    assert result(f"CASE(1, 1, 'a', 2, {broken}, 'b')", values) == "a"


def test_a_formula_tells_what_it_reads() -> None:
    """Fields, fields before the save, and the clock: the save plans by these."""
    formula = compile_formula("AND(ISCHANGED(A__c), StockLevel__r.Sku__c = B__c, NOW() > C__c)")
    assert formula.fields == {("A__c",), ("B__c",), ("C__c",), ("StockLevel__r", "Sku__c")}
    assert formula.priors == {("A__c",)}
    assert formula.reads_clock
    assert not compile_formula("OnHand__c - Reserved__c").reads_clock


def test_a_formula_nested_without_end_is_refused() -> None:
    """Neither brackets nor signs nor long sums break the simulator."""
    for text in ("(" * 5000 + "1" + ")" * 5000, "AND(" * 3000 + "TRUE" + ")" * 3000, "-" * 5000 + "1"):
        with pytest.raises(FormulaError):
            result(f"{text} ~")
    with pytest.raises(FormulaError, match="too deeply"):
        result("AND(" * 3000 + "TRUE" + ")" * 3000)
    with pytest.raises(FormulaError, match="too deeply"):
        result("1" + "+1" * 5000)


@pytest.mark.parametrize("text", ["TODAY() + 9 ^ 60", "DATE(9 ^ 60, 1, 1)", "NOW() - 9 ^ 60"])
def test_a_date_out_of_range_is_an_error_of_the_save(text: str) -> None:
    """No calendar goes that far."""
    with pytest.raises(FormulaError, match="out of range"):
        result(text)


def test_padding_without_end_stops_at_the_longest_text() -> None:
    """A formula cannot be made to eat the memory."""
    assert len(result("LPAD('x', 9 ^ 60)")) == 32_768


def test_a_huge_power_is_null_and_costs_nothing() -> None:
    """A formula cannot be made to eat the processor."""
    assert result("9 ^ 999999999") is None
    assert result("10 ^ 20") == 10**20
    assert result("0 ^ -1") is None


@st.composite
def arithmetic(draw: st.DrawFn, depth: int = 0) -> tuple[str, Fraction]:
    """A random expression of whole numbers and its exact value."""
    if depth > 3 or draw(st.booleans()):
        number = draw(st.integers(0, 1000))
        return str(number), Fraction(number)
    left, left_value = draw(arithmetic(depth + 1))
    right, right_value = draw(arithmetic(depth + 1))
    sign = draw(st.sampled_from("+-*"))
    value = {"+": left_value + right_value, "-": left_value - right_value, "*": left_value * right_value}[
        sign
    ]
    return f"({left} {sign} {right})", value


@given(arithmetic())
def test_arithmetic_of_whole_numbers_is_exact(expression: tuple[str, Fraction]) -> None:
    """Python's own exact numbers are the judge."""
    text, value = expression
    assert result(text) == value


decimals = st.decimals(min_value=-10_000, max_value=10_000, places=2, allow_nan=False)


@given(decimals, decimals, decimals)
def test_money_adds_up_in_any_order(first: Decimal, second: Decimal, third: Decimal) -> None:
    """Stored floats are read as the decimals they print as, so cents do not drift."""
    values = {"A__c": float(first), "B__c": float(second), "C__c": float(third)}
    assert result("A__c + B__c + C__c = C__c + A__c + B__c", values) is True
    assert result("A__c + B__c - B__c = A__c", values) is True


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_written_as_a_literal(text: str) -> None:
    """Quotes, backslashes and line ends survive their escapes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    assert result(f'"{escaped}"') == text


@given(st.text(st.sampled_from("()&|,'\"ABab12+-*/^<>=!. \\$"), max_size=30))
def test_any_other_text_is_a_formula_or_a_named_error(text: str) -> None:
    """Nothing but `FormulaError` comes out of bad input."""
    try:
        formula = compile_formula(text)
        formula.evaluate(Record())
    except FormulaError as error:
        assert str(error)  # noqa: PT017 — either outcome is right, and an error must say something
