"""A missing part of the outside skips a test, and fails it where the part is required."""

from __future__ import annotations

from typing import Any

import pytest
from tests import needs

MISSING = {"java": lambda: "no java here", "node": lambda: None}


class Item:
    """A test with these marks, as pytest hands it over."""

    def __init__(self, *parts: str) -> None:
        self._marks = [needs.needs(part).mark for part in parts]

    def iter_markers(self, name: str) -> Any:
        """Its marks of that name."""
        return [mark for mark in self._marks if mark.name == name]


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with Node and without Java, on which nothing is required."""
    monkeypatch.setattr(needs, "PARTS", {**needs.PARTS, **MISSING})
    monkeypatch.delenv("SFSYNC_REQUIRE", raising=False)


def setup(*parts: str) -> None:
    """What happens before such a test."""
    needs.pytest_runtest_setup(Item(*parts))  # type: ignore[arg-type]  # reason: as much of an item as is asked


def test_a_test_runs_where_its_part_is() -> None:
    """Nothing happens."""
    setup("node")


def test_a_test_is_skipped_with_a_reason_where_its_part_is_missing() -> None:
    """The reason names the part."""
    with pytest.raises(pytest.skip.Exception, match="java: no java here"):
        setup("node", "java")


@pytest.mark.parametrize("required", ["all", "java", "node, java"])
def test_a_missing_part_that_is_required_fails_the_test(
    required: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A build server cannot pass by having forgotten something."""
    monkeypatch.setenv("SFSYNC_REQUIRE", required)
    with pytest.raises(pytest.fail.Exception, match="no java here"):
        setup("java")


def test_an_unknown_part_is_a_mistake() -> None:
    """A misspelt name does not skip for ever."""
    with pytest.raises(KeyError, match="known: node"):
        needs.needs("nodejs")
