"""The description of the API says what the API does."""

from __future__ import annotations

from typing import Any, get_type_hints

from starlette.routing import Route
from tests.web.kit import CHECKOUT, House

from sfsync.domain.counts import REMEDIES
from sfsync.domain.incidents import LONGEST_REASON, Way
from sfsync.domain.refunds import Ending
from sfsync.domain.reservations import LONGEST, ReservationKind, ReservationState
from sfsync.domain.transfers import Stage
from sfsync.web import Status, counts, levels, refunds, transfers, wishes
from sfsync.web import incidents as web_incidents
from sfsync.web.status_shape import (
    EditionRow,
    EmptiedNumber,
    Exposure,
    ExposureOfClass,
    IncidentRow,
    LevelRow,
    RefundRow,
    SoonerAtChannel,
    WorstSpell,
)


async def description() -> dict[str, Any]:
    async with House().client() as client:
        answer: dict[str, Any] = (await client.get("/openapi.json")).json()
    return answer


async def test_it_describes_every_route_and_no_other() -> None:
    """Path by path, method by method."""
    described = {
        (path, method.upper())
        for path, methods in (await description())["paths"].items()
        for method in methods
    }
    served = {
        (route.path, method)
        for route in House().app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert described == served


async def test_every_reference_leads_somewhere_and_every_operation_has_a_name() -> None:
    """So that a client can be generated from it."""
    document = await description()

    def walk(node: object) -> None:
        if isinstance(node, dict):
            if isinstance(target := node.get("$ref"), str):
                found: Any = document
                for part in target.removeprefix("#/").split("/"):
                    found = found[part]
            for value in node.values():
                walk(value)
        elif isinstance(node, list):
            for value in node:
                walk(value)

    walk(document)
    names = [
        operation["operationId"] for methods in document["paths"].values() for operation in methods.values()
    ]
    assert len(names) == len(set(names))


async def test_its_limits_and_words_are_the_codes() -> None:
    """Kinds, states, lengths and the sections of the status."""
    document = await description()
    schemas = document["components"]["schemas"]
    wish, line = schemas["Wish"]["properties"], schemas["WishedLine"]["properties"]
    assert wish["kind"]["enum"] == list(ReservationKind)
    assert schemas["Reservation"]["properties"]["state"]["enum"] == list(ReservationState)
    assert wish["lines"]["maxItems"] == wishes.MOST_LINES
    assert wish["owner"]["maxLength"] == wishes.LONGEST_REFERENCE
    assert wish["expires_in_seconds"]["maximum"] == LONGEST.total_seconds()
    assert line["quantity"]["maximum"] == wishes.MOST_UNITS
    transfer = schemas["Transfer"]["properties"]
    assert set(transfer) == set(transfers.FIELDS)
    assert transfer["stage"]["enum"] == list(Stage)
    assert transfer["id"]["maxLength"] == transfers.LONGEST_ID
    count = schemas["Count"]["properties"]
    assert set(count) == set(counts.FIELDS)
    assert count["quantity"]["maximum"] == counts.MOST_TOLD
    assert schemas["Counts"]["properties"]["most_units"]["maximum"] == counts.MOST_SURE
    assert schemas["Counts"]["properties"]["counts"]["maxItems"] == counts.MOST_COUNTS
    error = schemas["CountsTold"]["properties"]["errors"]["items"]["properties"]
    assert error["kind"]["enum"] == list(REMEDIES)
    decision = schemas["ResolutionWish"]["properties"]
    assert set(decision) == set(web_incidents.FIELDS)
    assert decision["way"]["enum"] == list(Way)
    assert decision["reason"]["maxLength"] == LONGEST_REASON
    assert set(schemas["Incident"]["required"]) == set(get_type_hints(IncidentRow))
    assert schemas["Refund"]["required"] == list(get_type_hints(RefundRow))
    assert list(schemas["Refund"]["properties"]) == list(get_type_hints(RefundRow))
    assert set(schemas["RefundOpening"]["properties"]) == set(refunds.OPEN_FIELDS)
    assert set(schemas["RefundClosing"]["properties"]) == set(refunds.CLOSE_FIELDS)
    assert schemas["RefundClosing"]["properties"]["ending"]["enum"] == list(Ending)
    assert set(schemas["Edition"]["properties"]) == set(get_type_hints(EditionRow))
    assert wish["client"]["maxLength"] == wishes.LONGEST_REFERENCE
    assert set(schemas["Status"]["required"]) == set(get_type_hints(Status))
    limit = next(
        each for each in document["paths"]["/v1/levels"]["get"]["parameters"] if each["name"] == "limit"
    )
    assert limit["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": levels.MOST_LEVELS,
        "default": levels.USUAL_LEVELS,
    }
    names = [each["name"] for each in document["paths"]["/v1/levels"]["get"]["parameters"]]
    assert names == list(levels.FIELDS)
    assert list(schemas["Level"]["properties"]) == list(get_type_hints(LevelRow))
    for shape in (Exposure, ExposureOfClass, WorstSpell, SoonerAtChannel, EmptiedNumber):
        assert schemas[shape.__name__]["required"] == list(get_type_hints(shape))
        assert list(schemas[shape.__name__]["properties"]) == list(get_type_hints(shape))


async def test_a_reservation_has_exactly_the_described_fields() -> None:
    """Asked of the running app."""
    schemas = (await description())["components"]["schemas"]
    wish = {"kind": "cart", "channel": "london", "owner": "c", "lines": [{"sku": "BAG", "quantity": 1}]}
    async with House().client(CHECKOUT) as client:
        answer = await client.post("/v1/reservations", json=wish)
        refused = await client.post("/v1/reservations", json=wish)
    assert set(answer.json()) == set(schemas["Reservation"]["properties"])
    assert set(refused.json()) <= set(schemas["Problem"]["properties"])
