"""Wrong queries, and the words in which an org refuses them."""

# ruff: noqa: S608 — these are SOQL texts, asked of tables in memory

from __future__ import annotations

import pytest
from tests.simulators.language_kit import Tables, ledger

from sfsync.simulators.org.soql import SoqlError


@pytest.fixture
def tables() -> Tables:
    """A small ledger and two orders."""
    return ledger()


@pytest.mark.parametrize(
    ("query", "code", "message"),
    [
        ("", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("q=SELECT Id FROM Order", "MALFORMED_QUERY", "unexpected token: 'q'"),
        ("SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id, FROM Order", "MALFORMED_QUERY", "unexpected token: 'FROM'"),
        ("SELECT * FROM Order", "MALFORMED_QUERY", "unexpected token: '*'"),
        ("SELECT Id FROM Order WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Order WHERE Name", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Order WHERE Name = x", "MALFORMED_QUERY", "unexpected token: 'X'"),
        ("SELECT Id FROM Order WHERE Name IN ()", "MALFORMED_QUERY", "unexpected token: ')'"),
        (
            "SELECT Id FROM Order WHERE Name = 'a' AND Name = 'b' OR Name = 'c'",
            "MALFORMED_QUERY",
            "token: 'OR'",
        ),
        ("SELECT Id FROM Order WHERE Name = '\\q'", "MALFORMED_QUERY", r"'\q' in string literal"),
        ("SELECT Id FROM Order FOR UPDATE", "MALFORMED_QUERY", "unexpected token: 'UPDATE'"),
        ("SELECT Id FROM Order LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Order OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset"),
        ("SELECT Id FROM Order LIMIT 99999999999999999999", "MALFORMED_QUERY", "unexpected token: '9999"),
        ("SELECT Id FROM Order WHERE CreatedDate = 0001-01-01T00:00:00+14:00", "MALFORMED_QUERY", "Invalid"),
        (f"SELECT Id FROM Order WHERE CreatedDate = LAST_N_DAYS:{'9' * 5000}", "MALFORMED_QUERY", "LAST_N"),
        (
            f"SELECT Id FROM Order WHERE {'NOT (' * 3000}Name = 'x'{')' * 3000}",
            "MALFORMED_QUERY",
            "complicated",
        ),
        ("SELECT Nope FROM Order", "INVALID_FIELD", "No such column 'Nope' on entity 'Order'."),
        ("SELECT Id FROM Order WHERE Nope = 1", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Id FROM Order ORDER BY Nope", "INVALID_FIELD", "No such column 'Nope'"),
        (
            "SELECT Nope__r.Id FROM Order",
            "INVALID_FIELD",
            "Didn't understand relationship 'Nope__r' in field path",
        ),
        ("SELECT Id, Id FROM Order", "INVALID_FIELD", "duplicate field selected: Id"),
        ("SELECT Id FROM Nope__c", "INVALID_TYPE", "sObject type 'Nope__c' is not supported."),
        ("SELECT Id, (SELECT Id FROM Nope__r) FROM Order", "INVALID_TYPE", "in FROM part of query call"),
        ("SELECT Kind__c FROM StockEvent__e", "INVALID_TYPE_FOR_OPERATION", "does not support query"),
        ("SELECT Id FROM Order WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: abc"),
        (
            "SELECT Id FROM OrderItem WHERE Quantity = '1'",
            "INVALID_FIELD",
            "criterion for field 'Quantity' must be of type double and should not be enclosed in quotes",
        ),
        (
            "SELECT Id FROM Order WHERE Name = 1",
            "INVALID_FIELD",
            "must be of type string and should be enclosed",
        ),
        (
            "SELECT Id FROM Order WHERE CreatedDate > '2026-01-01'",
            "INVALID_FIELD",
            "must be of type dateTime",
        ),
        ("SELECT Id FROM Order WHERE CreatedDate > 2026-01-01", "INVALID_FIELD", "must be of type dateTime"),
        (
            "SELECT Id FROM Order WHERE EffectiveDate = 2026-02-30",
            "MALFORMED_QUERY",
            "Invalid date: 2026-02-30",
        ),
        (
            "SELECT Id FROM Order WHERE EffectiveDate = SOMEDAY",
            "MALFORMED_QUERY",
            "unexpected token: 'SOMEDAY'",
        ),
        ("SELECT Id FROM Order WHERE Name = TODAY", "MALFORMED_QUERY", "unexpected token: 'TODAY'"),
        (
            "SELECT Id FROM Order WHERE IsReductionOrder > false",
            "INVALID_QUERY_FILTER_OPERATOR",
            "boolean field",
        ),
        (
            "SELECT Id FROM OrderItem WHERE Quantity LIKE '1%'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid operator",
        ),
        (
            "SELECT Id FROM Order WHERE Description = 'x'",
            "INVALID_FIELD",
            "can not be filtered in a query call",
        ),
        (
            "SELECT Status, COUNT(Id) FROM Order",
            "MALFORMED_QUERY",
            "Field must be grouped or aggregated: Status",
        ),
        ("SELECT SUM(Name) FROM Order", "MALFORMED_QUERY", "does not support aggregate operator SUM"),
        ("SELECT COUNT(Id) FROM Order LIMIT 1", "MALFORMED_QUERY", "cannot also use LIMIT"),
        ("SELECT COUNT(), Id FROM Order", "MALFORMED_QUERY", "COUNT()"),
        ("SELECT Id FROM Order HAVING COUNT(Id) > 1", "MALFORMED_QUERY", "unexpected token: 'HAVING'"),
        ("SELECT COUNT(Id) FROM Order HAVING COUNT(Id) > 1", "MALFORMED_QUERY", "unexpected token: 'HAVING'"),
        ("SELECT Id FROM Order WHERE COUNT(Id) > 1", "MALFORMED_QUERY", "COUNT is not allowed here"),
        ("SELECT NOSUCH(Id) FROM Order", "MALFORMED_QUERY", "NOSUCH"),
        (
            "SELECT Id FROM Order WHERE Id IN (SELECT OrderId, Id FROM OrderItem)",
            "MALFORMED_QUERY",
            "one field",
        ),
        ("SELECT Id name FROM Order", "MALFORMED_QUERY", "Alias"),
    ],
)
def test_a_wrong_query_is_refused_in_the_words_of_an_org(
    tables: Tables, query: str, code: str, message: str
) -> None:
    """Code and message, as clients have learned to read them."""
    with pytest.raises(SoqlError) as caught:
        tables.ask(query)
    assert caught.value.code == code
    assert message in caught.value.message


def test_an_error_points_at_its_place(tables: Tables) -> None:
    """The piece of the query, a caret under the name, row and column from 1."""
    with pytest.raises(SoqlError) as caught:
        tables.ask("SELECT Id\nFROM Order WHERE Naem = 'x'")
    _, shown, caret, where, _ = caught.value.message.split("\n")
    assert shown == "FROM Order WHERE Naem = 'x'"
    assert caret.index("^") == shown.index("Naem")
    assert where == "ERROR at Row:2:Column:18"
