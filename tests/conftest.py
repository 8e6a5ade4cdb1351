"""What every test shares: the mark for parts of the outside that may be missing, and which tests go first."""

from __future__ import annotations

import pytest
from hypothesis import settings
from tests.needs import pytest_configure, pytest_runtest_setup

__all__ = ["pytest_configure", "pytest_runtest_setup"]

# No example has to be quick: the machine may be busy, and the first one may build what all share.
settings.register_profile("patient", settings.default, deadline=None)
settings.load_profile("patient")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The real shop's tests go first: where several processes share the tests, one gets all of them.

    With `--dist worksteal` an idle process takes what another would come to last, and a part of these would
    mean one more shop, which takes half a minute to start.
    """
    items.sort(key=lambda item: not any("vendure" in mark.args for mark in item.iter_markers("needs")))
