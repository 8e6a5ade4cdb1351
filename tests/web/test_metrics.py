"""What Prometheus reads: by its own parser, in its own units, and to nobody who may not see the status."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families
from tests.web.kit import VIEWER, House, problem

from sfsync.web.metrics import Family, exposition, families

UNITS = ("seconds", "bytes", "ratio", "info", "total")  # that a name may end in, by the conventions


def read(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """The samples by name, as Prometheus' own client reads them."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


async def test_the_status_is_measured_as_its_page_tells_it() -> None:
    """A house in trouble: holes, a topic that is not heard, an exposed unit, an open incident."""
    async with House(open_status=True).client() as client:
        answer = await client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    told = read(answer.text)
    stock, till = {"topic": "/data/SfsyncStock__chn"}, {"topic": "/event/StockEvent__e"}
    dubai = {"channel": "dubai"}
    assert told["sfsync_build_info"] == [({"version": "0.1.0"}, 1.0)]
    assert ({"state": "bad"}, 1.0) in told["sfsync_state"]
    assert sum(value for _, value in told["sfsync_state"]) == 1
    assert told["sfsync_stream_connected"] == [(stock, 1.0), (till, 0.0)]
    assert told["sfsync_stream_events_total"] == [(stock, 1482.0), (till, 0.0)]
    assert told["sfsync_stream_lag_seconds"] == [(stock, 0.18)]  # the other's is not known
    assert told["sfsync_stream_holes"] == [({}, 1.0)]
    assert told["sfsync_stream_hole_oldest_seconds"] == [({}, 366.0)]
    assert told["sfsync_ledger_queue_bundles"] == [({}, 14.0)]
    assert told["sfsync_org_api_requests_used"] == [({}, 18_342.0)]
    assert told["sfsync_org_storage_left_bytes"] == [({}, 3_880e6)]
    assert (dubai, 7.0) in told["sfsync_channel_levels_due"]
    assert (dubai, 31.5) in told["sfsync_channel_exposure_unit_seconds_total"]
    assert ({**dubai, "quantile": "0.99"}, 2.31) in told["sfsync_channel_lag_seconds"]
    assert ({**dubai, "guarantee": "mirrored"}, 396.0) in told["sfsync_channel_levels"]
    assert {labels["kind"] for labels, _ in told["sfsync_incidents_open"]} >= {"oversold"}
    assert told["sfsync_drifting_numbers"] == [({"where": "dubai", "cause": "manual-edit"}, 1.0)]
    till_name = {"till": "rinascente"}
    assert told["sfsync_till_late"] == [(till_name, 1.0)]
    assert told["sfsync_till_refused_rows_total"] == [(till_name, 5.0)]
    assert told["sfsync_till_lines_total"] == [(till_name, 480.0)]
    assert told["sfsync_org_deliveries_used"] == [({}, 4_210.0)]
    assert told["sfsync_org_deliveries_pace_per_hour"] == [({}, 2_600.0)]
    assert (
        told["sfsync_org_deliveries_used_up_timestamp_seconds"][0][1]
        > told["sfsync_start_time_seconds"][0][1]
    )
    month = {"location": "KNIGHTSBRIDGE", "days": "30"}
    assert (month, 0.962) in told["sfsync_inventory_record_accuracy_ratio"]


async def test_every_name_keeps_to_the_conventions() -> None:
    """One prefix, base units last, no unit that Prometheus does not use, and a help text for each."""
    told = families(House().board.told)
    assert len({family.name for family in told}) == len(told)
    for family in told:
        assert re.fullmatch(r"sfsync(_[a-z0-9]+)+", family.name), family.name
        assert not re.search(r"_(ms|millis|minutes|hours|percent|mb|kb)(_|$)", family.name), family.name
        assert family.help.endswith("."), family.name
        assert (family.kind == "counter") == family.name.endswith("_total"), family.name
        for unit in UNITS:
            assert unit not in family.name.split("_")[:-1] or family.name.endswith("_total"), family.name


async def test_metrics_are_for_those_who_may_see_the_status() -> None:
    """Without `open_status` a scraper sends a token."""
    house = House()
    async with house.client() as client:
        problem(await client.get("/metrics"), 401, "who-are-you")
    async with house.client(VIEWER) as client:
        assert (await client.get("/metrics")).status_code == 200


def test_what_a_label_holds_is_only_a_label() -> None:
    """A channel or a location may be called anything."""
    evil = 'a"} 1\nsfsync_state{state="good\\'
    text = exposition([Family("sfsync_x", "gauge", "It\nis.", (({"name": evil}, 2),))])
    assert read(text) == {"sfsync_x": [({"name": evil}, 2.0)]}
