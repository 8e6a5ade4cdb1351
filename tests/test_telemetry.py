"""A change is followed under one trace id, as a collector receives it: real OTLP over loopback, decoded."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from tests.collector import Collector, collecting
from tests.flow.kit import House, house

from sfsync.app import _open_tracer
from sfsync.flow.trail import Trail
from sfsync.ports.tracing import Span
from sfsync.settings import Settings
from sfsync.telemetry import OtlpTracer

BAG = "BAG-1|ECOM"


@pytest.fixture
def collector() -> Iterator[Collector]:
    """One on loopback."""
    with collecting() as made:
        yield made


def told(span: Any) -> dict[str, Any]:
    """A span's attributes."""
    return {
        each.key.removeprefix("sfsync."): each.value.string_value or each.value.int_value
        for each in span.attributes
    }


async def compared(h: House) -> None:
    """Somebody compares the channels: their numbers are read."""
    await h.supervisor.resync.compare()


async def test_a_sale_is_one_trace_from_its_commit_to_what_is_read_at_each_channel(
    collector: Collector,
) -> None:
    """The commit, the levels read again, a push for each channel, and below each what was read there."""
    tracer = OtlpTracer(collector.url)
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        h.ctx.pulse.trail = Trail(tracer, lambda: str(uuid.uuid4()))
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        await compared(h)
        await compared(h)  # what is read again, with nothing pushed between, is no part of it
    tracer.close()
    assert collector.paths == {"/v1/traces"}
    assert collector.services == {"sfsync"}
    spans: Sequence[Any] = collector.spans
    assert len({span.trace_id for span in spans}) == 1
    (root,) = [span for span in spans if not span.parent_span_id]
    assert root.name == "stock change"
    assert told(root)["sku"] == "BAG-1"
    below = {span.name for span in spans if span.parent_span_id == root.span_id}
    assert below == {"read levels", "push"}
    pushes = {told(span)["channel"]: span for span in spans if span.name == "push"}
    assert pushes.keys() == {"london", "dubai"}
    reads = {told(span)["channel"]: span for span in spans if span.name == "read back"}
    assert len([span for span in spans if span.name == "read back"]) == len(reads) == 2
    for name, push in pushes.items():
        assert told(push)["units"] == -1
        assert root.start_time_unix_nano <= push.start_time_unix_nano <= push.end_time_unix_nano
        assert reads[name].parent_span_id == push.span_id
        assert told(reads[name])["shows"] == 4
        assert reads[name].status.code == 0


async def test_a_storefronts_sale_is_one_trace_from_the_request_that_enters_it(collector: Collector) -> None:
    """London sells; the org's stream is silent about what we enter, and Dubai is told under the same id."""
    tracer = OtlpTracer(collector.url)
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        h.ctx.pulse.trail = Trail(tracer, lambda: str(uuid.uuid4()))
        london = h.shops["london"]
        await h.deliver("london", london.buy("BAG-1"))
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        await compared(h)
    tracer.close()
    spans: Sequence[Any] = collector.spans
    assert len({span.trace_id for span in spans}) == 1
    (root,) = [span for span in spans if not span.parent_span_id]
    below = {span.name: span for span in spans if span.parent_span_id == root.span_id}
    assert below.keys() == {"ledger request", "push"}
    assert told(below["push"])["channel"] == "dubai"
    (read,) = [span for span in spans if span.name == "read back"]
    assert (read.parent_span_id, told(read)["shows"]) == (below["push"].span_id, 4)


class Kept:
    """A tracer that keeps what it is told."""

    def __init__(self) -> None:
        self.spans: list[Span] = []

    def tell(self, span: Span) -> None:
        self.spans.append(span)


async def test_a_number_that_is_read_back_as_another_is_a_failure_of_its_trace() -> None:
    """Confirmed is not applied: somebody has edited it meanwhile."""
    kept = Kept()
    async with house({BAG: 5}) as h:
        await h.shows("BAG-1", 5, 5)
        await h.idle()
        h.ctx.pulse.trail = Trail(kept, lambda: str(uuid.uuid4()))
        h.org.move(BAG, on_hand=-1)
        await h.shows("BAG-1", 4, 4)
        await h.idle()
        h.shops["london"].shelf["BAG-1"] = 9
        await compared(h)
    failures = [each.failure for each in kept.spans if each.name == "read back"]
    assert sorted(failures) == ["", "it shows 9, and 4 was confirmed"]


def test_off_nothing_is_loaded_and_on_it_is_a_tracer() -> None:
    """The setting alone decides."""
    org = {"login_url": "https://house.my.salesforce.com", "client_id": "x", "client_secret": "x"}
    assert _open_tracer(Settings.model_validate({"salesforce": org})) is None
    address = {"otlp_endpoint": "http://127.0.0.1:1/"}
    tracer = _open_tracer(Settings.model_validate({"salesforce": org, "telemetry": address}))
    assert tracer is not None
    tracer.close()
