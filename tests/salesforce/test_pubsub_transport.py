"""What is the Pub/Sub API's own: its error codes, its endpoint, its schemas."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from tests.salesforce.kit import WallClock
from tests.salesforce.listening import listening, live_stream, new_level, off_loop
from tests.sandbox import OrgSandbox

from sfsync.ports import CursorRefused, OutsideError, Refused, TryLater
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.org import SalesforceOrg
from sfsync.salesforce.pubsub import PubSub
from sfsync.salesforce.stream import AvroSource
from sfsync.salesforce.transport import http_client


@asynccontextmanager
async def refusing(org: SalesforceOrg, sandbox: OrgSandbox, code: str) -> AsyncIterator[None]:
    """The next subscriptions are refused with a code; more of them than one listener tries."""
    count = 8
    await off_loop(sandbox.bus, "refuse", rpc="Subscribe", code=code, count=count)
    yield
    for _ in range(count + 1):  # use up what is left
        async with listening(org) as listener:
            with suppress(OutsideError):
                await listener.live()
                return
    raise AssertionError("the org still refuses")


async def test_a_token_refused_again_and_again_is_for_a_person(
    org: SalesforceOrg, sandbox: OrgSandbox
) -> None:
    """A permission that is missing does not come back with a new token."""
    async with refusing(org, sandbox, "service.auth.error"), listening(org) as listener:
        error = await listener.end()
    assert isinstance(error, Refused)
    assert "Sfsync_Integration" in error.advice


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("service.unavailable", TryLater, ""),
        ("subscription.internal.error", TryLater, ""),
        ("subscription.fetch.replay.repeated", TryLater, ""),
        ("service.protection.triggered", TryLater, ""),
        ("concurrent.client.limit.exceeded", TryLater, ""),
        ("subscription.limit.exceeded", TryLater, ""),
        ("a.code.of.tomorrow", TryLater, ""),
        ("subscription.fetch.replayid.corrupted", CursorRefused, "snapshot"),
        ("subscription.fetch.replayid.validation.failed", CursorRefused, "snapshot"),
        ("topic.not.found", Refused, "deploy"),
        ("subscription.topic.cannot.subscribe", Refused, "Sfsync_Integration"),
        ("service.tenant.license", Refused, "Pub/Sub"),
    ],
)
async def test_each_end_of_a_stream_has_its_name(
    org: SalesforceOrg, sandbox: OrgSandbox, code: str, kind: type[OutsideError], words: str
) -> None:
    """The service's code decides; an unknown one is tried again with the same cursor, never from now on."""
    async with refusing(org, sandbox, code), listening(org) as listener:
        error = await listener.end()
    assert type(error) is kind
    assert code in str(error)
    if isinstance(error, Refused):
        assert words in error.advice


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        ({"pubsub_endpoint": "localhost:1"}, TryLater, ""),
        ({"pubsub_tls": False}, TryLater, ""),
    ],
)
async def test_an_endpoint_that_is_none_is_tried_later(
    settings: OrgConfig, changes: dict[str, Any], kind: type[OutsideError], words: str
) -> None:
    """From here it cannot be told from a network that is down."""
    ours = SalesforceOrg(dataclasses.replace(settings, **changes), WallClock())
    async with listening(ours) as listener:
        error = await listener.end()
    await ours.close()
    assert type(error) is kind


class CountingWire(PubSub):
    """The Pub/Sub API, and how often a schema was asked for."""

    schemas_asked = 0

    async def schema(self, schema_id: str) -> str:
        self.schemas_asked += 1
        return await super().schema(schema_id)


async def test_each_schema_is_asked_for_once(settings: OrgConfig, sandbox: OrgSandbox, sku: str) -> None:
    """Schemas never change under their id; a second stream knows them already."""
    key, record = await off_loop(new_level, sandbox, sku)
    async with http_client(
        settings.login_url, timeout_seconds=20.0, ca_file=settings.ca_file, transport=None
    ) as http:
        wire = CountingWire(settings, TokenProvider(settings, http), WallClock().now)
        ours = SalesforceOrg(settings, WallClock(), source=AvroSource(wire))
        for _ in range(2):
            async with live_stream(ours) as listener:
                await off_loop(sandbox.move, key, on_hand=-1)
                await listener.heard()
            assert listener.levels == {record}
        await ours.close()
    assert wire.schemas_asked == 1
