"""One simulated org for the whole session; tests keep apart by using keys of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.sandbox import OrgSandbox, start_org
from tests.simulators.org_kit import OrgClient


@pytest.fixture(scope="session")
def sandbox() -> Iterator[OrgSandbox]:
    """The org's process, with its control port."""
    with start_org() as running:
        yield running


@pytest.fixture
def lonely() -> Iterator[OrgSandbox]:
    """An org for one test alone: whoever moves the clock needs it."""
    with start_org() as running:
        yield running


@pytest.fixture
def org(sandbox: OrgSandbox) -> Iterator[OrgClient]:
    """A signed-in client of it over TLS."""
    client = OrgClient(sandbox.ready)
    yield client
    client.http.close()
