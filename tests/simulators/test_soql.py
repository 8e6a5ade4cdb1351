"""SOQL of the simulated org: a small ledger asked in many ways."""

# ruff: noqa: S608 — these are SOQL texts, asked of tables in memory

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pytest
from tests.simulators.language_kit import Tables, ledger, our_schema

from sfsync.simulators.org.model import FieldType
from sfsync.simulators.org.soql import SoqlError, json_value


@pytest.fixture
def tables() -> Tables:
    """A small ledger and two orders."""
    return ledger()


MOVEMENTS = "SELECT Name FROM StockMovement__c WHERE "


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("Kind__c = 'Sale'", "235"),
        ("Kind__c = 'sale'", "235"),
        ("Kind__c != 'Sale'", "14"),
        ("Kind__c <> 'Sale'", "14"),
        ("OnHandDelta__c < 0", "235"),
        ("OnHandDelta__c <= -1.0", "235"),
        ("OnHandDelta__c > 1", "1"),
        ("OnHandDelta__c >= 1", "14"),
        ("Name > 'SM-3'", "45"),
        ("BySfsync__c = true", "3"),
        ("BySfsync__c != TRUE", "1245"),
        ("Kind__c LIKE '%e'", "235"),
        ("Kind__c LIKE 's_le'", "235"),
        ("Kind__c LIKE 'S%' AND OnHandDelta__c = -1", "235"),
        ("NOT Kind__c LIKE 'S%'", "14"),
        ("Kind__c IN ('Opening', 'return')", "14"),
        ("Kind__c NOT IN ('Opening', 'Return')", "235"),
        ("OnHandDelta__c IN (4, -1)", "1235"),
        ("IdempotencyKey__c = null", "5"),
        ("IdempotencyKey__c = ''", "5"),
        ("IdempotencyKey__c != null", "1234"),
        ("IdempotencyKey__c != 'till:0'", "2345"),
        ("IdempotencyKey__c NOT IN ('till:0')", "2345"),
        ("IdempotencyKey__c IN ('till:0', null)", "15"),
        ("IdempotencyKey__c > 'till:1'", "34"),
        ("IdempotencyKey__c LIKE 'TILL%'", ""),
        ("OccurredAt__c < 2026-11-22T10:30:00Z", "34"),
        ("OccurredAt__c = 2026-11-22T11:30:00+01:00", "2"),
        ("OccurredAt__c = 2026-11-22T10:30:00.000+0000", "2"),
        ("OccurredAt__c = TODAY", "1"),
        ("OccurredAt__c = YESTERDAY", "2"),
        ("OccurredAt__c < TODAY", "234"),
        ("OccurredAt__c <= YESTERDAY", "234"),
        ("OccurredAt__c > YESTERDAY", "1"),
        ("OccurredAt__c != TODAY", "2345"),
        ("OccurredAt__c = LAST_N_DAYS:1", "12"),
        ("OccurredAt__c = LAST_WEEK", "34"),
        ("DAY_IN_MONTH(OccurredAt__c) = 21", "3"),
        ("StockLevel__r.LevelKey__c = 'BAG|DXB'", "5"),
        ("StockLevel__r.LevelKey__c = 'bag|dxb'", ""),
        ("stocklevel__R.sku__C = 'bag'", "12345"),
        ("StockMovement__c.Kind__c = 'Opening'", "1"),
        ("(Kind__c = 'Sale' OR Kind__c = 'Return') AND BySfsync__c = false", "245"),
        ("NOT (Kind__c = 'Sale' OR Kind__c = 'Return')", "1"),
        ("StockLevel__c IN (SELECT Id FROM StockLevel__c WHERE OnHand__c = 0)", "5"),
        ("StockLevel__c NOT IN (SELECT Id FROM StockLevel__c WHERE OnHand__c = 0)", "1234"),
        ("Kind__c < null", ""),
        (f"OnHandDelta__c < {'9' * 5000}", "12345"),
    ],
)
def test_a_condition_takes_the_rows_that_an_org_would(tables: Tables, where: str, wanted: str) -> None:
    """Operators, null, case, date literals, parents, semi-joins."""
    assert tables.column(MOVEMENTS + where) == [f"SM-{number}" for number in wanted]


@pytest.mark.parametrize(
    ("where", "wanted"),
    [("IdempotencyKey__c != 'till:0'", "234"), ("IdempotencyKey__c NOT IN ('till:0')", "234")],
)
def test_null_can_be_kept_out_of_not_equal(tables: Tables, where: str, wanted: str) -> None:
    """The knob for the unsettled point whether `!=` matches null."""
    found = tables.column(MOVEMENTS + where, null_matches_not_equal=False)
    assert found == [f"SM-{number}" for number in wanted]


def test_an_id_is_found_by_its_short_and_its_long_form(tables: Tables) -> None:
    """Fifteen characters are enough; another object's id finds nothing."""
    found = tables.column("SELECT Id FROM StockLevel__c WHERE Name = 'SL-2'", "Id")[0]
    assert tables.column(f"SELECT Name FROM StockLevel__c WHERE Id = '{found}'") == ["SL-2"]
    assert tables.column(f"SELECT Name FROM StockLevel__c WHERE Id = '{found[:15]}'") == ["SL-2"]
    assert tables.column(f"SELECT Name FROM StockMovement__c WHERE Id = '{found}'") == []


@pytest.mark.parametrize(
    ("tail", "wanted"),
    [
        ("ORDER BY Name DESC", "321"),
        ("ORDER BY OnHand__c", "231"),
        ("ORDER BY Reserved__c", "321"),  # null first
        ("ORDER BY Reserved__c NULLS LAST", "213"),
        ("ORDER BY Reserved__c DESC", "312"),
        ("ORDER BY Sku__c DESC, Name DESC", "321"),
        ("ORDER BY Sku__c, OnHand__c ASC", "213"),
        ("ORDER BY Name LIMIT 2", "12"),
        ("ORDER BY Name LIMIT 1 OFFSET 1", "2"),
        ("LIMIT 0", ""),
        ("FOR VIEW", "123"),
        ("FOR REFERENCE", "123"),
    ],
)
def test_rows_come_in_the_order_and_the_number_asked_for(tables: Tables, tail: str, wanted: str) -> None:
    """ORDER BY, NULLS, LIMIT, OFFSET."""
    names = tables.column(f"SELECT Name FROM StockLevel__c {tail}")
    assert names == [f"SL-{number}" for number in wanted]


def test_a_record_looks_as_rest_shows_it(tables: Tables) -> None:
    """Attributes first, the schema's spelling, numbers as doubles, parents nested, times in milliseconds."""
    result = tables.ask(
        "SELECT id, onhanddelta__c, OccurredAt__c, SubjectKey__c, StockLevel__r.LevelKey__c, "
        "StockLevel__r.OnHand__c FROM StockMovement__c LIMIT 1",
        url_prefix="/services/data/v60.0",
    )
    level = tables.column("SELECT Id FROM StockLevel__c LIMIT 1", "Id")[0]
    movement = result.records[0]["Id"]
    assert result.records == [
        {
            "attributes": {
                "type": "StockMovement__c",
                "url": f"/services/data/v60.0/sobjects/StockMovement__c/{movement}",
            },
            "Id": movement,
            "OnHandDelta__c": 4.0,
            "OccurredAt__c": "2026-11-23T10:30:00.000+0000",
            "SubjectKey__c": None,
            "StockLevel__r": {
                "attributes": {
                    "type": "StockLevel__c",
                    "url": f"/services/data/v60.0/sobjects/StockLevel__c/{level}",
                },
                "LevelKey__c": "BAG|LON",
                "OnHand__c": 3.0,
            },
        }
    ]
    assert next(iter(result.records[0])) == "attributes"


def test_a_parent_that_is_not_there_is_null(tables: Tables) -> None:
    """An order without an original order has no nested record."""
    assert tables.column("SELECT OriginalOrder.Name FROM Order", "OriginalOrder") == [None, None]


def test_children_come_as_a_result_of_their_own(tables: Tables) -> None:
    """A child query filters, sorts and limits for each parent; a parent without children has null."""
    found = tables.column(
        "SELECT Name, (SELECT Name FROM StockMovements__r WHERE Kind__c = 'Sale' ORDER BY Name DESC LIMIT 1) "
        "FROM StockLevel__c ORDER BY Name",
        "StockMovements__r",
    )
    assert [part and (part["totalSize"], part["done"], part["records"][0]["Name"]) for part in found] == [
        (1, True, "SM-3"),
        (1, True, "SM-5"),
        None,
    ]


def test_a_formula_field_is_worked_out_when_it_is_read(tables: Tables) -> None:
    """Available is on hand less reserved, blank reserved as zero; it can be filtered and sorted by."""
    query = "SELECT Name, Available__c FROM StockLevel__c WHERE Available__c > 0 ORDER BY Available__c DESC"
    assert [(row["Name"], row["Available__c"]) for row in tables.ask(query).records] == [
        ("SL-1", 2.0),
        ("SL-3", 1.0),
    ]
    assert tables.column("SELECT StockLevel__r.Available__c FROM StockMovement__c LIMIT 1", "StockLevel__r")[
        0
    ]["Available__c"] == pytest.approx(2.0)


def test_a_deleted_record_is_seen_only_by_query_all(tables: Tables) -> None:
    """The recycle bin is left out unless it is asked for."""
    tables.add("StockLevel__c", Name="SL-4", IsDeleted=True)
    assert tables.ask("SELECT COUNT() FROM StockLevel__c").total_size == 3
    assert tables.ask("SELECT COUNT() FROM StockLevel__c", include_deleted=True).total_size == 4
    assert tables.ask("SELECT COUNT() FROM StockLevel__c ALL ROWS").total_size == 4


def test_fields_all_needs_a_small_limit(tables: Tables) -> None:
    """FIELDS(ALL) and FIELDS(CUSTOM) with LIMIT 200 at most; FIELDS(STANDARD) without."""
    standard = tables.ask("SELECT FIELDS(STANDARD) FROM StockLevel__c").records[0]
    custom = tables.ask("SELECT FIELDS(CUSTOM) FROM StockLevel__c LIMIT 1").records[0]
    every = tables.ask("SELECT FIELDS(ALL) FROM StockLevel__c LIMIT 1").records[0]
    assert standard["Name"] == "SL-1"
    assert custom["LevelKey__c"] == "BAG|LON"
    assert standard.keys() | custom.keys() == every.keys()
    with pytest.raises(SoqlError, match="LIMIT of at most 200"):
        tables.ask("SELECT FIELDS(ALL) FROM StockLevel__c")


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("SELECT COUNT(Id) FROM StockMovement__c", [{"expr0": 5}]),
        ("SELECT COUNT(IdempotencyKey__c) n FROM StockMovement__c", [{"n": 4}]),
        ("SELECT COUNT_DISTINCT(Kind__c) FROM StockMovement__c", [{"expr0": 3}]),
        (
            "SELECT SUM(OnHandDelta__c), AVG(OnHandDelta__c) FROM StockMovement__c",
            [{"expr0": 2.0, "expr1": 0.4}],
        ),
        ("SELECT MIN(Name) a, MAX(Name) b FROM StockMovement__c", [{"a": "SM-1", "b": "SM-5"}]),
        ("SELECT SUM(OnHand__c) FROM StockLevel__c WHERE Name = 'none'", [{"expr0": None}]),
        ("SELECT MAX(OccurredAt__c) FROM StockMovement__c", [{"expr0": "2026-11-23T10:30:00.000+0000"}]),
        (
            "SELECT Kind__c, COUNT(Id) FROM StockMovement__c GROUP BY Kind__c "
            "ORDER BY COUNT(Id) DESC, Kind__c",
            [
                {"Kind__c": "Sale", "expr0": 3},
                {"Kind__c": "Opening", "expr0": 1},
                {"Kind__c": "Return", "expr0": 1},
            ],
        ),
        (
            "SELECT Kind__c k, SUM(OnHandDelta__c) s FROM StockMovement__c GROUP BY Kind__c "
            "HAVING COUNT(Id) > 1",
            [{"k": "Sale", "s": -3.0}],
        ),
        (
            "SELECT StockLevel__r.LevelKey__c, COUNT(Id) n FROM StockMovement__c "
            "GROUP BY StockLevel__r.LevelKey__c ORDER BY StockLevel__r.LevelKey__c LIMIT 1",
            [{"LevelKey__c": "BAG|DXB", "n": 1}],
        ),
        (
            "SELECT CALENDAR_YEAR(EffectiveDate), COUNT(Id) FROM Order GROUP BY CALENDAR_YEAR(EffectiveDate)",
            [{"expr0": 2026, "expr1": 2}],
        ),
        (
            "SELECT CALENDAR_MONTH(EffectiveDate) m FROM Order GROUP BY CALENDAR_MONTH(EffectiveDate) "
            "HAVING CALENDAR_MONTH(EffectiveDate) < 11",
            [{"m": 10}],
        ),
        ("SELECT Kind__c FROM StockMovement__c WHERE Name = 'x' GROUP BY Kind__c", []),
    ],
)
def test_aggregates_answer_with_groups(tables: Tables, query: str, wanted: list[dict[str, Any]]) -> None:
    """Names `expr0`, aliases, grouping, HAVING, ordering by an aggregate, nulls left out."""
    result = tables.ask(query)
    plain = [{name: value for name, value in row.items() if name != "attributes"} for row in result.records]
    assert plain == wanted
    assert all(row["attributes"] == {"type": "AggregateResult"} for row in result.records)


def test_a_bare_count_is_the_total_alone(tables: Tables) -> None:
    """`SELECT COUNT()` answers with `totalSize` and no records."""
    result = tables.ask("SELECT COUNT() FROM StockMovement__c WHERE Kind__c = 'Sale'")
    assert (result.total_size, result.records) == (3, [])


def test_names_that_look_like_keywords_are_names(tables: Tables) -> None:
    """The object Order, an alias, keywords in any case."""
    assert tables.column("select o.Name from Order o where o.Status='draft' order by o.Name limit 1") == [
        "one"
    ]


def test_quotes_and_wildcards_can_be_escaped(tables: Tables) -> None:
    r"""`\'` is a quote; `\%` in LIKE is a per cent sign."""
    tables.add("Order", Name="l'or 100%")
    assert tables.column(r"SELECT Name FROM Order WHERE Name = 'l\'or 100%'") == ["l'or 100%"]
    assert tables.column(r"SELECT Name FROM Order WHERE Name LIKE 'L\'%100\%'") == ["l'or 100%"]
    assert tables.column(r"SELECT Name FROM Order WHERE Name LIKE 'o\_e'") == []


@pytest.mark.parametrize(
    ("where", "asked"),
    [
        ("LevelKey__c = 'BAG|LON'", ["StockLevel__c.LevelKey__c"]),
        ("LevelKey__c IN ('BAG|LON', 'BAG|DXB') AND OnHand__c > 0", ["StockLevel__c.LevelKey__c"]),
        ("OnHand__c > 0 AND Sku__c = 'Bag'", ["StockLevel__c.Sku__c"]),
        ("Sku__c = 'Bag' AND LevelKey__c = 'BAG|LON'", ["StockLevel__c.LevelKey__c"]),
        ("Id IN ('a00000000000001', 'a00000000000002')", []),
        ("LevelKey__c = 'BAG|LON' OR LevelKey__c = 'x'", ["StockLevel__c.LevelKey__c"] * 2),
        ("LevelKey__c = 'BAG|LON' OR OnHand__c > 0", ["StockLevel__c: all"]),
        ("LevelKey__c != 'BAG|LON'", ["StockLevel__c: all"]),
        ("LevelKey__c IN ('BAG|LON', null)", ["StockLevel__c: all"]),
        ("NOT LevelKey__c = 'BAG|LON'", ["StockLevel__c: all"]),
        ("LevelKey__c LIKE 'BAG%'", ["StockLevel__c: all"]),
    ],
)
def test_keys_are_looked_up_and_nothing_is_scanned(tables: Tables, where: str, asked: list[str]) -> None:
    """Half a million rows are not read to find two hundred keys."""
    tables.ask(f"SELECT Id FROM StockLevel__c WHERE {where}")
    assert tables.asked == asked


def test_a_parents_key_reaches_its_children_by_index(tables: Tables) -> None:
    """The movements of a level, by the level's key or its id, without reading all movements."""
    assert len(tables.column(MOVEMENTS + "StockLevel__r.LevelKey__c IN ('BAG|LON')")) == 4
    level = tables.column("SELECT Id FROM StockLevel__c WHERE LevelKey__c = 'BAG|DXB'", "Id")[0]
    assert len(tables.column(MOVEMENTS + f"StockLevel__c = '{level}'")) == 1
    assert "StockMovement__c: all" not in tables.asked


def test_index_and_scan_give_the_same_rows(tables: Tables) -> None:
    """The index is a short cut, never another answer."""
    unindexed = Tables(tables.schema, {}, tables.tables)
    for where in (
        "LevelKey__c = 'BAG|LON'",
        "Sku__c = 'bAg'",
        "LevelKey__c IN ('bag|dxb')",
        "Sku__c IN ('BELT')",
    ):
        query = f"SELECT Name FROM StockLevel__c WHERE {where}"
        assert tables.column(query) == unindexed.column(query) != []


def test_pages_are_cut_from_one_answer(tables: Tables) -> None:
    """Records are made for the page that is asked for."""
    result = tables.ask("SELECT Name FROM StockMovement__c ORDER BY Name")
    assert [row["Name"] for row in result.page(0, 2)] == ["SM-1", "SM-2"]
    assert [row["Name"] for row in result.page(4, 2)] == ["SM-5"]
    assert result.total_size == 5


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("StockLevel__c.OnHand__c", 12, "12.0"),
        ("StockLevel__c.OnHand__c", None, "None"),
        ("StockMovement__c.BySfsync__c", True, "True"),
        ("Order.EffectiveDate", date(2026, 1, 2), "'2026-01-02'"),
        ("Order.CreatedDate", datetime(2026, 1, 2, 3, 4, 5, 678_000, UTC), "'2026-01-02T03:04:05.678+0000'"),
        ("Order.Name", "", "None"),
    ],
)
def test_a_value_is_printed_as_rest_prints_it(field: str, value: Any, wanted: str) -> None:
    """A whole number of a Number field is a double; blank text is null."""
    entity, _, name = field.partition(".")
    described = our_schema().objects[entity].fields[name]
    assert described.type in FieldType
    assert repr(json_value(described, value)) == wanted


def test_a_list_of_ids_finds_its_rows_in_the_same_order_in_every_process(tables: Tables) -> None:
    """An org promises no order, but a day that is simulated again must be the same day."""
    ids = [row["Id"] for row in tables.rows("StockMovement__c")][::-1]
    listed = ", ".join(f"'{each}'" for each in ids)
    assert tables.column(f"SELECT Id FROM StockMovement__c WHERE Id IN ({listed})", "Id") == ids
    again = "SELECT Id FROM StockMovement__c ORDER BY Name DESC"
    assert tables.column(f"SELECT Id FROM StockMovement__c WHERE Id IN ({again})", "Id") == ids
