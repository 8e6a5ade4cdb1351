"""What every test shares: the mark for parts of the outside that may be missing."""

from __future__ import annotations

from tests.needs import pytest_configure, pytest_runtest_setup

__all__ = ["pytest_configure", "pytest_runtest_setup"]
