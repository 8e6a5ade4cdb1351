"""CSV for spreadsheets: what stands in a cell is shown, and never worked out."""

from __future__ import annotations

import csv
import io

import pytest

from sfsync.cli.report import print_csv


def test_a_cell_that_looks_like_a_formula_is_a_text_to_every_spreadsheet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A SKU may be spelt like one, by whoever names the articles at a channel; numbers stay numbers."""
    skus = ["=1+1", "@SUM(A1)", "+44", "-BAG", "\tBAG", "BAG-1"]
    print_csv([{"sku": sku, "units": -3} for sku in skus])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["sku"] for row in rows] == ["'=1+1", "'@SUM(A1)", "'+44", "'-BAG", "'\tBAG", "BAG-1"]
    assert {row["units"] for row in rows} == {"-3"}
