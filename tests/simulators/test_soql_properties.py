"""What holds for every query: Python is the judge, and bad input never breaks anything."""

# ruff: noqa: S608 — these are SOQL texts, asked of tables in memory

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.simulators.language_kit import Tables, our_schema

from sfsync.simulators.org.soql import SoqlError
from sfsync.simulators.org.soql.parser import parse, parse_whole

printable = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


def quoted(text: str) -> str:
    """The text as a SOQL literal."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


@given(printable, printable)
def test_any_text_can_be_asked_for(wanted: str, other: str) -> None:
    """A literal means the text that it was made from: equal, in a list, and as a pattern of itself."""
    tables = Tables(our_schema())
    tables.add("Order", Name=wanted or None)
    same = wanted.lower() == other.lower()
    pattern = quoted(wanted).replace("%", "\\%").replace("_", "\\_")
    assert tables.ask(f"SELECT Id FROM Order WHERE Name = {quoted(wanted)}").total_size == 1
    assert tables.ask(f"SELECT Id FROM Order WHERE Name = {quoted(other)}").total_size == same
    assert (
        tables.ask(f"SELECT Id FROM Order WHERE Name IN ({quoted(other)}, {quoted(wanted)})").total_size == 1
    )
    assert tables.ask(f"SELECT Id FROM Order WHERE Name LIKE {pattern}").total_size == bool(wanted)


@given(st.text(st.sampled_from("SELECTFROMWHRidnamOder()',.=%\\ \n1+-:<>!"), max_size=40))
def test_any_other_text_is_a_query_or_a_soql_error(text: str) -> None:
    """Nothing but `SoqlError` comes out of bad input, behind SELECT and behind WHERE."""
    tables = Tables(our_schema())
    for query in (text, f"SELECT {text} FROM Order", f"SELECT Id FROM Order WHERE {text}"):
        try:
            tables.ask(query)
        except SoqlError as error:
            assert error.code.isupper()  # noqa: PT017 — either outcome is right, and an error must have its code


def _heard(read: Callable[[str], Any], text: str) -> Any:
    try:
        return read(text)
    except SoqlError as error:
        return error.code, error.message


values = st.one_of(
    printable.map(quoted),
    st.sampled_from(["''", "'\\x'", "7", "-1.5", "NULL", "TODAY", "2026-11-23"]),
    st.sampled_from(["2026-11-23T10:00:00Z", "2026-11-23T10:00:00.5+0100", "2026-99-23T10:00:00Z"]),
)
leaves = st.one_of(
    st.builds("Name {} {}".format, st.sampled_from(["=", "!=", " LIKE"]), values),
    st.builds("{} < Quantity__c".format, values),  # the wrong way round
    st.lists(values, max_size=4).map(lambda found: f"Id NOT IN ( {' ,'.join(found)})"),
    values.map(lambda value: f"Id IN (SELECT OrderId FROM OrderItem WHERE Name ={value} LIMIT 3)"),
)


@given(
    st.sampled_from(["Id", "Id, Name", "Id, (SELECT Id FROM OrderItems WHERE Name = 'a')", "COUNT(Id)"]),
    st.lists(leaves, min_size=1, max_size=3),
    st.sampled_from([" AND ", " OR ", " AND NOT ", ") AND ("]),
    st.sampled_from(["", " ORDER BY Name DESC", " GROUP BY Name HAVING MAX(Id) = 'a'", " LIMIT x"]),
)
def test_a_query_that_was_asked_with_other_values_is_read_as_if_for_the_first_time(
    items: str, found: list[str], word: str, rest: str
) -> None:
    """Value by value or filled in: the same query, with the same places in its text; or the same words."""
    text = f"SELECT {items} FROM Order WHERE ({word.join(found)}){rest}"
    assert _heard(parse, text) == _heard(parse_whole, text)


Test = Callable[[Mapping[str, Any]], bool]
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "=": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


@st.composite
def conditions(draw: st.DrawFn, depth: int = 0) -> tuple[str, Test]:
    """A random condition over two numbers, and the same in Python."""
    if depth > 2 or draw(st.booleans()):
        name, sign = (
            draw(st.sampled_from(["Quantity", "UnitPrice"])),
            draw(st.sampled_from(sorted(OPERATORS))),
        )
        number = draw(st.integers(-2, 2))
        return f"{name} {sign} {number}", lambda row: OPERATORS[sign](row[name], number)
    left, left_test = draw(conditions(depth + 1))
    right, right_test = draw(conditions(depth + 1))
    word = draw(st.sampled_from(["AND", "OR", "AND NOT"]))
    tests: dict[str, Test] = {
        "AND": lambda row: left_test(row) and right_test(row),
        "OR": lambda row: left_test(row) or right_test(row),
        "AND NOT": lambda row: left_test(row) and not right_test(row),
    }
    return f"({left}) {word} ({right})", tests[word]


@given(conditions(), st.lists(st.tuples(st.integers(-2, 2), st.integers(-2, 2)), max_size=8))
def test_conditions_agree_with_python(condition: tuple[str, Test], numbers: list[tuple[int, int]]) -> None:
    """AND, OR and NOT of comparisons, however nested."""
    text, wanted = condition
    tables = Tables(our_schema())
    for quantity, price in numbers:
        tables.add("OrderItem", Quantity=float(quantity), UnitPrice=float(price))
    found = tables.ask(f"SELECT Quantity, UnitPrice FROM OrderItem WHERE {text}").records
    rows = [{"Quantity": float(quantity), "UnitPrice": float(price)} for quantity, price in numbers]
    assert [(row["Quantity"], row["UnitPrice"]) for row in found] == [
        (row["Quantity"], row["UnitPrice"]) for row in rows if wanted(row)
    ]


@given(st.datetimes(min_value=datetime(1970, 1, 1), max_value=datetime(2100, 1, 1)))  # noqa: DTZ001 — made aware below
def test_a_printed_time_finds_its_record(moment: datetime) -> None:
    """What REST prints can be put into a query as it is."""
    stored = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    tables = Tables(our_schema())
    tables.add("Order", Name="one", CreatedDate=stored)
    printed = tables.column("SELECT CreatedDate FROM Order", "CreatedDate")[0]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000", printed)
    assert tables.ask(f"SELECT Id FROM Order WHERE CreatedDate = {printed}").total_size == 1
    assert tables.ask(f"SELECT Id FROM Order WHERE CreatedDate > {printed}").total_size == 0
