"""`docs/rules.md` names a test for each rule: each name must still be there to tell the rule's story."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
RULES = (TOP / "docs" / "rules.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|src)/[^`]+?\.py)::([^`]+)`", RULES)))


@cache
def told_in(path: str) -> frozenset[str]:
    """Return the tests of a file as pytest names them, and its classes of tests."""
    return frozenset(_names(ast.parse((TOP / path).read_text(encoding="utf-8")).body))


def _names(body: list[ast.stmt], before: str = "") -> Iterator[str]:
    for each in body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            yield before + each.name
        elif isinstance(each, ast.ClassDef):
            yield before + each.name
            yield from _names(each.body, f"{before}{each.name}::")
        elif isinstance(each, ast.Assign):  # a state machine's test: `TestWorld = World.TestCase`
            yield from (before + target.id for target in each.targets if isinstance(target, ast.Name))


def is_test(name: str) -> bool:
    """Return whether pytest would collect it."""
    return name.rpartition("::")[2].startswith(("test_", "Test"))


@pytest.mark.parametrize(("path", "name"), NAMED, ids=lambda part: part.rpartition("/")[2])
def test_each_test_that_the_rules_name_is_there(path: str, name: str) -> None:
    """A test that was renamed or dropped leaves its rule without a story."""
    assert (TOP / path).is_file(), f"docs/rules.md names {path}, which is not there"
    assert is_test(name)
    assert name in told_in(path), f"docs/rules.md names {path}::{name}, which is not there"


def rows() -> list[list[str]]:
    """Return the cells of each row of the tables, without the heads."""
    lines = [line for line in RULES.splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0] != "the rule"]


def test_each_rule_has_a_story_and_a_test() -> None:
    """Three cells: what holds, what would break, and who tells it."""
    assert len(rows()) >= 30
    for row in rows():
        assert len(row) == 3, row
        rule, story, told_by = row
        assert rule
        assert story
        names = told_by.split("<br>")
        assert all(re.fullmatch(r"`(?:tests|src)/[^`]+\.py::[^`]+`", name) for name in names), rule


def test_a_name_that_is_not_there_would_be_found() -> None:
    """The reader of names sees functions and classes, and nothing in a comment or a text."""
    found = set(
        _names(ast.parse("async def test_a(): 'test_b'\nclass TestC:\n  def test_d(self): ...\n").body)
    )
    assert found == {"test_a", "TestC", "TestC::test_d"}
