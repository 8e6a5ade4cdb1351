"""Whatever text comes as a SKU, by whichever door: kept to the letter, or refused with place and remedy."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sfsync.domain import count_file, sku_mapping, till_file
from sfsync.domain.believable import presentable
from sfsync.domain.count_file import FileError, Reading
from sfsync.domain.orders import OrderLine, OrderSnapshot, whole_units
from sfsync.domain.rights import Reach
from sfsync.domain.stock import BROKEN, SKU_LENGTH, BadKeyError, LevelKey, unfit
from sfsync.domain.tills import Till
from sfsync.salesforce import records
from sfsync.web.problems import ProblemError
from sfsync.web.wishes import read_wish

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)
TILL = Till("rinascente", "MILAN", ZoneInfo("Europe/Rome"))
STRANGE = (
    "a/b\\c", "with blank", "Größe ¾ 靴", "حقيبة-1", "e\u0301", "👜", "S" * 120, "S" * 121, "S" * 300,
    "\0", "a\0b", "a\nb", "a\x1bb", "\ud800", "a\udfffb", "a\u2028b", "a\u202eb", "a\u00a0b", "\ufffd",
    "a|b", "|", "=1+1", '"', ",", "", " ", "<script>", "' OR 1=1", "..", "%00", "\ufeffbag", "\x7f", "\x85",
)  # fmt: skip
NO_QUANTITY = (True, False, None, 1.5, "1.5", "one", "", -1, "-2", float("nan"), float("inf"), [1])
texts = st.one_of(
    st.sampled_from(STRANGE),
    st.text(st.characters(codec=None), max_size=300),
    st.text(st.sampled_from("aB0 /|\0\n\t\u00a0\u200f\ud83d\ufffd,;\"'é"), max_size=12),
)
Door = Callable[[str], "str | None"]  # the SKU as it came in, or None: refused with words


def of_csv(*cells: str) -> str:
    written = io.StringIO()
    csv.writer(written).writerow(cells)
    return written.getvalue()


def said(words: str, *parts: str) -> None:
    """A refusal has words that can be told, and these are among them."""
    assert words
    assert all(part in words for part in parts)
    words.encode()


def key(sku: str) -> str | None:
    try:
        return LevelKey.parse(str(LevelKey(sku, "ECOM"))).sku
    except BadKeyError as error:
        said(str(error), "SKU")
        return None


def org(sku: str) -> str | None:
    record = {"LevelKey__c": f"{sku}|ECOM", "Id": "a01", "OnHand__c": 1, "Reserved__c": 0, "Version__c": 1}
    if "|" in sku:  # in a level's key it begins the location
        return None
    level = records.level(record)
    return level.key.sku if level is not None else None


def count_sheet(sku: str) -> str | None:
    head = "sku,location,quantity,counted_at\n"
    try:
        sheet = count_file.read(head + of_csv(sku, "ECOM", "1", "2026-11-23T08:00:00Z"), Reading(zone=UTC))
    except FileError as error:
        said(str(error))
        return None
    assert all(bad.line and bad.detail and bad.remedy for bad in sheet.bad)
    return sheet.counts[0][1].level.sku if sheet.counts else None


def till_report(sku: str) -> str | None:
    head = "receipt,sku,quantity,date\n"
    try:
        report = till_file.read(head + of_csv("1", sku, "1", "2026-11-23"), TILL)
    except FileError as error:
        said(str(error))
        return None
    assert all(bad.line and bad.detail and bad.remedy for bad in report.bad)
    return report.sales[0][1].level.sku if report.sales else None


def mapping(sku: str) -> str | None:
    try:
        sheet = sku_mapping.read("old,new\n" + of_csv("OLD", sku))
    except FileError as error:
        said(str(error))
        return None
    assert all(bad.line and bad.detail and bad.remedy for bad in sheet.bad)
    return sheet.rows[0][1].new if sheet.rows else None


def wish(sku: str) -> str | None:
    line = {"sku": sku, "quantity": 1, "location": "ECOM"}
    try:
        found = read_wish({"kind": "cart", "owner": "c", "lines": [line]}, (), Reach(), NOW)
    except ProblemError as error:
        error.response()
        said(error.detail, "lines[0].sku")
        return None
    return found.lines[0].sku


DOORS: dict[str, Door] = {
    "level key": key,
    "org": org,
    "count file": count_sheet,
    "till file": till_report,
    "mapping": mapping,
    "reservation": wish,
}


@pytest.mark.parametrize("name", DOORS)
@settings(max_examples=150, deadline=None)
@given(sku=texts)
@example(sku="a\0b")
@example(sku="S" * 121)
@example(sku="\ud800")
def test_a_sku_comes_in_to_the_letter_or_is_refused_with_words(name: str, sku: str) -> None:
    """No door breaks, none lets in what databases cannot keep, and none changes what somebody wrote."""
    came_in = DOORS[name](sku)
    if came_in is None:
        return
    assert came_in == sku.strip()
    assert len(came_in) <= SKU_LENGTH
    assert unfit(came_in) == ""
    came_in.encode()


@settings(max_examples=200, deadline=None)
@given(sku=texts)
def test_a_sku_of_an_order_is_kept_or_shown_and_never_taken_for_another(sku: str) -> None:
    """What a channel tells is stored in a form that every database keeps; what was odd is equal to no SKU."""
    line = OrderLine("1", sku, 1)
    kept = presentable(OrderSnapshot("london", "1", f"#{sku}", NOW, NOW, (line,))).lines[0].sku
    kept.encode()
    assert "\0" not in kept
    assert (kept == sku) if not unfit(sku) or sku.isprintable() else (BROKEN in kept)
    if kept != sku:
        with pytest.raises(BadKeyError):
            LevelKey(kept, "ECOM")


@pytest.mark.parametrize("told", [0, 1, 7, "7", 2.0, 10**12])
def test_a_whole_quantity_is_read_as_it_is(told: object) -> None:
    """Whichever way a channel writes it."""
    assert whole_units(told) == int(told)  # type: ignore[call-overload]  # numbers and texts of numbers


@pytest.mark.parametrize("told", NO_QUANTITY)
def test_no_other_quantity_is_taken_for_one(told: object) -> None:
    """Half a bag, less than nothing, yes and no: the words say what was told."""
    with pytest.raises(ValueError, match="quantity"):
        whole_units(told)
