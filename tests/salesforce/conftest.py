"""One simulated org for the whole session: each test works on levels of its own name."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterator
from itertools import count
from typing import Literal

import pytest
from tests.salesforce.kit import WallClock
from tests.sandbox import OrgSandbox, start_org

from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg

_numbers = count(1)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[OrgSandbox]:
    """The org's process."""
    with start_org({"levels": []}, knobs=["keepalive_seconds=0.3", "cometd_timeout_seconds=0.5"]) as org:
        yield org


@pytest.fixture
def transport() -> Literal["pubsub", "cometd"]:
    """What carries the events. A module for which it matters takes both."""
    return "pubsub"


@pytest.fixture
def settings(sandbox: OrgSandbox, transport: Literal["pubsub", "cometd"]) -> OrgConfig:
    """How to reach it, over TLS throughout."""
    return dataclasses.replace(settings_of(sandbox), transport=transport)


def settings_of(sandbox: OrgSandbox) -> OrgConfig:
    ready = sandbox.ready
    return OrgConfig(
        ready["rest_url"],
        ready["client_id"],
        ready["client_secret"],
        pubsub_endpoint=ready["grpc_tls"],
        ca_file=ready["ca_file"],
        timeout_seconds=20.0,
    )


@pytest.fixture
async def org(settings: OrgConfig, sandbox: OrgSandbox) -> AsyncIterator[SalesforceOrg]:
    """Our side of it."""
    ours = SalesforceOrg(settings, WallClock())
    yield ours
    await ours.close()
    sandbox.control("DELETE", "/faults")


@pytest.fixture
def sku() -> str:
    """A SKU that no other test uses."""
    return f"SKU-{next(_numbers)}"
