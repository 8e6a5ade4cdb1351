"""Report type, reports and dashboard of the org's package: what no schema says, and only an org refuses."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest
from lxml import etree
from tests.repo.test_metadata import COUNTS, FIELDS, NAMESPACE, child, root_of

from sfsync.resources import metadata_folder

IRA = metadata_folder() / "ira" / "main" / "default"
REPORTS = sorted((IRA / "reports").glob("*/*.report-meta.xml"))
TYPE = root_of(IRA / "reportTypes/Stock_Counts.reportType-meta.xml")
DASHBOARD = root_of(IRA / "dashboards/Sfsync_Stock_Counts/Inventory_Record_Accuracy.dashboard-meta.xml")
SYSTEM = {"Name", "CreatedDate", "CreatedBy", "LastModifiedDate", "LastModifiedBy"}
COLUMNS_OF_A_GRID = 12
TERM = re.compile(
    r"(?P<field>StockCount__c\.\w+):(?P<how>SUM|AVG|MAX|MIN|UNIQUE)|RowCount|\d+(?:\.\d+)?|[-+*/()]"
)
NUMBERS = ("Number", "Currency", "Percent", "Summary")


def all_of(element: etree._Element, path: str) -> list[etree._Element]:
    return element.findall("/".join(f"{{{NAMESPACE}}}{name}" for name in path.split("/")))


def texts(element: etree._Element, path: str) -> list[str]:
    return [each.text or "" for each in all_of(element, path)]


def field_of(column: str) -> str:
    """`StockCount__c$Sku__c`, as a report names a column of a custom type, as the object's field."""
    table, mark, name = column.partition("$")
    assert (table, mark) == ("StockCount__c", "$"), f"{column} is not Object$Field"
    return name


OFFERED = {child(column, "field") for column in all_of(TYPE, "sections/columns")}


def test_a_report_type_offers_fields_that_are_there_and_joins_along_relationships_that_are() -> None:
    """Each column once; each join is the name by which the children of the object before it are reached."""
    base = child(TYPE, "baseObject") or ""
    tables = {base}
    children = {
        f"{child(field, 'referenceTo')}.{child(field, 'relationshipName')}__r"
        for field in FIELDS.values()
        if child(field, "relationshipName")
    }
    before, join = base, all_of(TYPE, "join")
    while join:
        named = f"{before}.{child(join[0], 'relationship')}"
        assert named in children, f"{named} is no relationship"
        tables.add(named)
        before, join = named, all_of(join[0], "join")
    seen = Counter()  # type: Counter[tuple[str | None, str | None]]
    for column in all_of(TYPE, "sections/columns"):
        table, name = child(column, "table"), child(column, "field")
        seen[table, name] += 1
        assert table in tables
        assert name in SYSTEM or f"{table}.{name}" in FIELDS, f"{name} is not a field of {table}"
    assert max(seen.values()) == 1
    own = {name.partition(".")[2] for name in FIELDS if name.startswith(f"{base}.")}
    assert own <= {name for _, name in seen}, "a field that nobody can report on"


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name.partition(".")[0])
def test_a_report_is_one_that_an_org_accepts(path: Path) -> None:
    """Type, folder, columns, groupings and filters are there; no column is grouped by and shown at once."""
    report = root_of(path)
    assert child(report, "reportType") == "Stock_Counts__c"
    assert path.parent.with_name(f"{path.parent.name}.reportFolder-meta.xml").is_file()
    assert len(child(report, "name") or "") <= 40
    assert len(child(report, "description") or "") <= 255
    across, down = texts(report, "groupingsAcross/field"), texts(report, "groupingsDown/field")
    shown = texts(report, "columns/field")
    wanted = {"Tabular": (0, 0), "Summary": (0, 1), "Matrix": (1, 1)}[child(report, "format") or ""]
    assert (min(len(across), 1), min(len(down), 1)) == wanted
    assert not {*across, *down} & {*shown}
    filtered = texts(report, "filter/criteriaItems/column")
    dated = texts(report, "timeFrameFilter/dateColumn")
    for column in (*across, *down, *shown, *filtered, *dated):
        assert field_of(column) in OFFERED, f"{column} is not offered by the report type"
    for item in all_of(report, "filter/criteriaItems"):
        name, values = field_of(child(item, "column") or ""), (child(item, "value") or "").split(",")
        field = FIELDS[f"StockCount__c.{name}"]
        if child(field, "type") == "Picklist":
            assert set(values) <= set(texts(field, "valueSet/valueSetDefinition/value/fullName"))
        if child(field, "type") == "Checkbox":
            assert values in (["0"], ["1"])


@pytest.mark.parametrize("path", REPORTS, ids=lambda path: path.name.partition(".")[0])
def test_a_summary_formula_sums_numbers_of_the_report_type_with_a_point_between(path: Path) -> None:
    """`Object.Field:SUM`, unlike columns; each formula has a name of its own and says what it tolerates."""
    formulas = all_of(root_of(path), "aggregates")
    names = [child(each, "developerName") or "" for each in formulas]
    assert names == [f"FORMULA{number}" for number in range(1, len(names) + 1)]
    for each in formulas:
        formula = child(each, "calculatedFormula") or ""
        terms = list(TERM.finditer(formula))
        assert "".join(term[0] for term in terms) == formula.replace(" ", "")
        for term in terms:
            if term["field"]:
                assert term["field"].partition(".")[2] in OFFERED
                assert child(FIELDS[term["field"]], "type") in NUMBERS
        assert child(each, "datatype") == "percent", "accurate / counted is a share, shown times 100"
        assert re.fullmatch(r"IRA, (exact|within 1 unit|within 2 %)", child(each, "masterLabel") or "")
        assert len(child(each, "masterLabel") or "") <= 40


def test_the_accuracy_is_told_by_location_and_month_within_each_tolerance() -> None:
    """Accurate over counted, recounts and mistakes left out, as `sfsync report ira` has it."""
    report = root_of(IRA / "reports/Sfsync_Stock_Counts/IRA_by_Location_and_Month.report-meta.xml")
    assert texts(report, "groupingsDown/field") == ["StockCount__c$LocationCode__c"]
    assert texts(report, "groupingsAcross/field") == ["StockCount__c$CountedAt__c"]
    assert texts(report, "groupingsAcross/dateGranularity") == ["Month"]
    assert texts(report, "aggregates/calculatedFormula") == [
        f"StockCount__c.Accurate{name}__c:SUM / RowCount" for name in ("Exact", "OneUnit", "TwoPercent")
    ]
    filters = {
        field_of(child(item, "column") or ""): child(item, "value")
        for item in all_of(report, "filter/criteriaItems")
    }
    assert filters == {"Status__c": "Entered,Changed", "Recount__c": "0"}


def test_the_tiles_of_a_dashboard_lie_side_by_side_in_its_grid() -> None:
    """None beyond the twelfth column, none over another; titles fit."""
    (grid,) = all_of(DASHBOARD, "dashboardGridLayout")
    assert child(grid, "numberOfColumns") == str(COLUMNS_OF_A_GRID)
    taken: Counter[tuple[int, int]] = Counter()
    for tile in all_of(grid, "dashboardGridComponents"):
        x, y, width, height = (
            int(child(tile, name) or "") for name in ("columnIndex", "rowIndex", "colSpan", "rowSpan")
        )
        assert x + width <= COLUMNS_OF_A_GRID
        taken.update((column, row) for column in range(x, x + width) for row in range(y, y + height))
    assert max(taken.values()) == 1
    assert len(child(DASHBOARD, "title") or "") <= 80
    assert child(DASHBOARD, "runningUser") is None, "no user of ours is there in another org"
    assert (IRA / "dashboards/Sfsync_Stock_Counts.dashboardFolder-meta.xml").is_file()


def test_each_tile_shows_what_its_report_has() -> None:
    """The report by its folder, a summary of it, grouped by what it is grouped by."""
    tiles = all_of(DASHBOARD, "dashboardGridLayout/dashboardGridComponents/dashboardComponent")
    assert tiles
    for tile in tiles:
        folder, _, name = (child(tile, "report") or "").partition("/")
        report = root_of(IRA / f"reports/{folder}/{name}.report-meta.xml")
        summaries = {"RowCount", *texts(report, "aggregates/developerName")}
        (shown,) = texts(tile, "chartSummary/column")
        assert shown in summaries, f"{name} has no {shown}"
        grouped = texts(report, "groupingsDown/field")
        assert texts(tile, "groupingColumn") in ([], grouped)
        assert len(child(tile, "header") or "") <= 80
        assert len(child(tile, "footer") or "") <= 80


def test_an_admin_finds_the_counts_tab_with_its_lists_and_page() -> None:
    """The layout takes the place of the one that an org makes; whatever must be filled in stands on it."""
    label = child(root_of(COUNTS / "objects/StockCount__c/StockCount__c.object-meta.xml"), "label")
    layout = root_of(COUNTS / f"layouts/StockCount__c-{label} Layout.layout-meta.xml")
    items = {
        child(item, "field"): child(item, "behavior")
        for item in all_of(layout, "layoutSections/layoutColumns/layoutItems")
    }
    own = {
        name.partition(".")[2]: field for name, field in FIELDS.items() if name.startswith("StockCount__c.")
    }
    assert set(own) <= set(items)
    for name, field in own.items():
        if child(field, "required") == "true":
            assert items[name] == "Required"
        if child(field, "formula") is not None:
            assert items[name] == "Readonly"
    for path in (COUNTS / "objects/StockCount__c/listViews").iterdir():
        view = root_of(path)
        assert {*texts(view, "columns"), *texts(view, "filters/field")} <= {"NAME", *own}
        assert len(child(view, "label") or "") <= 40
    assert (COUNTS / "tabs/StockCount__c.tab-meta.xml").is_file()
