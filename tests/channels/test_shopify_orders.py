"""Orders of a Shopify store, read into snapshots."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.channels.shopify_bench import adjusted, channel, order_node

from sfsync.channels.shopify_orders import number, read_node, read_payload
from sfsync.domain.moments import Moment
from sfsync.domain.orders import MoneyBack, OrderLine, OrderSnapshot
from sfsync.domain.stock import BadKeyError, LevelKey
from sfsync.ports import Delivery, Refused

LOCATIONS = {"gid://shopify/Location/7": "warehouse"}


def line(
    quantity: int = 1, current: int | None = None, fulfillable: int | None = None, **more: Any
) -> dict[str, Any]:
    """A line item: ordered, what is left of it, and what the store says is still to be sent."""
    return {
        "id": 11,
        "sku": "BAG-1",
        "quantity": quantity,
        "current_quantity": quantity if current is None else current,
        "fulfillable_quantity": quantity if fulfillable is None else fulfillable,
        "gift_card": False,
        "variant_id": 111,
        **more,
    }


def sent(quantity: int, status: str = "success", line_id: int = 11) -> dict[str, Any]:
    return {"status": status, "line_items": [{"id": line_id, "quantity": quantity}]}


def refund(*rows: tuple[int, str]) -> dict[str, Any]:
    return {
        "refund_line_items": [{"line_item_id": 11, "quantity": n, "restock_type": kind} for n, kind in rows]
    }


def payload(*lines: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "id": 820982911946154508,
        "name": "#1001",
        "created_at": "2026-11-23T08:59:58+01:00",
        "processed_at": "2026-11-23T08:59:50+01:00",
        "updated_at": "2026-11-23T09:00:00+01:00",
        "cancelled_at": None,
        "location_id": None,
        "note_attributes": [],
        "line_items": list(lines) or [line()],
        "fulfillments": [],
        "refunds": [],
        **more,
    }


def read(document: dict[str, Any]) -> OrderSnapshot:
    return read_payload("london", json.dumps(document).encode(), LOCATIONS)


def test_an_order_is_read_with_its_version_and_names() -> None:
    """Ids are the store's numbers, times are UTC, the version is the order's own second of change."""
    assert read(payload(line(2), location_id=7)) == OrderSnapshot(
        channel="london",
        order_id="820982911946154508",
        name="#1001",
        version=datetime(2026, 11, 23, 8, 0, 0, 2, tzinfo=UTC),
        placed_at=datetime(2026, 11, 23, 7, 59, 50, tzinfo=UTC),
        lines=(OrderLine("11", "BAG-1", open_quantity=2, taken_quantity=2),),
        channel_location="warehouse",
    )


# Each row: the order's parts, then (open, fulfilled, returned, taken).
STORIES: dict[str, tuple[dict[str, Any], tuple[int, int, int, int]]] = {
    "new": (payload(line(3)), (3, 0, 0, 3)),
    "part sent": (payload(line(3, fulfillable=2), fulfillments=[sent(1)]), (2, 1, 0, 3)),
    "all sent in two parcels": (
        payload(line(3, fulfillable=0), fulfillments=[sent(1), sent(2)]),
        (0, 3, 0, 3),
    ),
    "a fulfilment was called off": (payload(line(2), fulfillments=[sent(2, "cancelled")]), (2, 0, 0, 2)),
    "a fulfilment failed": (payload(line(2, fulfillable=0), fulfillments=[sent(2, "failure")]), (2, 0, 0, 2)),
    "refunded unsent, put back": (payload(line(3, 2, 2), refunds=[refund((1, "cancel"))]), (2, 0, 0, 2)),
    "refunded unsent, not put back": (
        payload(line(3, 2, 2), refunds=[refund((1, "no_restock"))]),
        (2, 0, 0, 3),
    ),
    "sent and came back": (
        payload(line(2, 1, 0), fulfillments=[sent(2)], refunds=[refund((1, "return"))]),
        (0, 2, 1, 1),
    ),
    "sent, refunded, kept by the customer": (
        payload(line(2, 1, 0), fulfillments=[sent(2)], refunds=[refund((1, "no_restock"))]),
        (0, 2, 0, 2),
    ),
    "one sent, the sent one refunded and kept": (
        payload(line(2, 1, 1), fulfillments=[sent(1)], refunds=[refund((1, "no_restock"))]),
        (1, 1, 0, 2),
    ),
    "one sent, the other called off and not put back": (
        payload(line(2, 1, 0), fulfillments=[sent(1)], refunds=[refund((1, "no_restock"))]),
        (0, 1, 0, 2),
    ),
    "a parcel and its return and a part called off": (
        payload(
            line(5, 2, 2), fulfillments=[sent(2)], refunds=[refund((2, "return")), refund((1, "cancel"))]
        ),
        (2, 2, 2, 2),
    ),
    "edited up": (payload(line(3)), (3, 0, 0, 3)),
    "edited up, the ordered quantity left as it was": (
        payload(line(1, current=3, fulfillable=3)),
        (3, 0, 0, 3),
    ),
    "edited up so, then one refunded": (
        payload(line(1, current=2, fulfillable=2), refunds=[refund((1, "cancel"))]),
        (2, 0, 0, 2),
    ),
    "edited down without a refund": (payload(line(3, 1, 1)), (1, 0, 0, 1)),
    "edited away": (payload(line(2, 0, 0)), (0, 0, 0, 0)),
    "cancelled and put back": (
        payload(line(2, 0, 0), cancelled_at="2026-11-23T09:00:00Z", refunds=[refund((2, "cancel"))]),
        (0, 0, 0, 0),
    ),
    "cancelled, not put back": (
        payload(line(2, 0, 0), cancelled_at="2026-11-23T09:00:00Z", refunds=[refund((2, "no_restock"))]),
        (0, 0, 0, 2),
    ),
    "cancelled before anything was counted down": (
        payload(line(2), cancelled_at="2026-11-23T09:00:00Z"),
        (0, 0, 0, 2),
    ),
    "old kind of restock": (payload(line(1, 0, 0), refunds=[refund((1, "legacy_restock"))]), (0, 0, 0, 0)),
    "the store says nothing of what is to be sent": (
        payload({**line(2), "fulfillable_quantity": None}, fulfillments=[sent(1)]),
        (1, 1, 0, 2),
    ),
    "the store says more is to be sent than was ordered": (payload(line(1, fulfillable=9)), (1, 0, 0, 1)),
    "the store waits for a warehouse to accept": (payload(line(2, fulfillable=0)), (2, 0, 0, 2)),
}


@pytest.mark.parametrize(("order", "expected"), STORIES.values(), ids=STORIES)
def test_a_line_says_what_is_open_sent_back_and_taken(
    order: dict[str, Any], expected: tuple[int, int, int, int]
) -> None:
    """Open stays reserved, sent and returned move stock, taken is what the store itself counted down."""
    (found,) = read(order).lines
    assert (
        found.open_quantity,
        found.fulfilled_quantity,
        found.returned_quantity,
        found.taken_quantity,
    ) == expected


def test_what_happened_later_in_the_same_second_is_newer() -> None:
    """The store's clock has whole seconds; a cancelled order must not be opened by its own beginning."""
    life = [
        payload(line(2)),
        payload(line(3)),
        payload(line(3, 2, 2), refunds=[refund((1, "cancel"))]),
        payload(line(3, 2, 0), refunds=[refund((1, "cancel"))], fulfillments=[sent(2)]),
        payload(line(3, 2, 2), refunds=[refund((1, "cancel"))], fulfillments=[sent(2, "cancelled")]),
        payload(
            line(3, 0, 0),
            refunds=[refund((1, "cancel")), refund((2, "cancel"))],
            fulfillments=[sent(2, "cancelled")],
            cancelled_at="2026-11-23T08:00:00Z",
        ),
    ]
    told = [{**order, "updated_at": f"2026-11-23T08:00:00.{9 - n}Z"} for n, order in enumerate(life)]
    versions = [read(order).version for order in told]
    assert versions == sorted(set(versions))
    assert versions[-1] < read(payload(updated_at="2026-11-23T08:00:01Z")).version


def test_lines_of_one_order_are_told_apart() -> None:
    """A parcel or refund counts for its own line only, and the same SKU may stand twice."""
    lines = [line(2, fulfillable=0), line(1, id=12), line(1, id=13, sku="SHOE-38")]
    found = read(payload(*lines, fulfillments=[sent(2), sent(1, line_id=13)])).lines
    assert [(each.line_id, each.sku, each.open_quantity, each.fulfilled_quantity) for each in found] == [
        ("11", "BAG-1", 0, 2),
        ("12", "BAG-1", 1, 0),
        ("13", "SHOE-38", 0, 1),
    ]


def test_lines_that_are_no_stock_are_left_out() -> None:
    """A gift card and a line typed in by hand have none."""
    typed = line(1, id=12, sku=None, variant_id=None)
    card = line(1, id=13, gift_card=True)
    assert [each.line_id for each in read(payload(line(), typed, card)).lines] == ["11"]
    assert read(payload(typed, card)).lines == ()


@pytest.mark.parametrize("sku", [None, "", " "])
def test_an_article_without_sku_is_a_line_that_nothing_in_the_org_is_called_like(sku: str | None) -> None:
    """Beside others or alone: the sale waits for a person, who says by its variant what it is."""
    lost = line(2, id=12, sku=sku, variant_id=111)
    for lines in ([line(), lost], [lost]):
        found = read(payload(*lines)).lines[-1]
        assert (found.line_id, found.sku, found.open_quantity) == ("12", "no SKU|variant 111", 2)
        with pytest.raises(BadKeyError):
            LevelKey(found.sku, "ECOM")
    node = order_node()
    (told,) = node["lineItems"]["nodes"]
    listed = read_node("london", order_node(lineItems={"nodes": [told | {"sku": sku}]}), LOCATIONS)
    assert [each.sku for each in listed.lines] == ["no SKU|variant 111"]


def test_an_order_names_the_reservations_it_was_sold_on() -> None:
    """Several attributes or several ids in one, once each and in order."""
    attributes = [
        {"name": "gift note", "value": "r9"},
        {"name": "sfsync_reservation", "value": " r1, r2,"},
        {"name": "sfsync_reservation", "value": "r2"},
        {"name": "sfsync_reservation", "value": None},
    ]
    assert read(payload(note_attributes=attributes)).reservations == ("r1", "r2")


@pytest.mark.parametrize(
    ("told", "client"),
    [(" C7 ", "C7"), (None, ""), ("", ""), ("C" * 121, ""), ("C\n7", ""), ("阿明", "阿明")],
)
def test_an_order_says_whose_it_is_in_the_words_of_the_reservation_api(told: str | None, client: str) -> None:
    """Two bags to a client, reserved or bought at once; what cannot be a name is nobody's."""
    attributes = [{"name": "gift note", "value": "r9"}, {"name": "sfsync_client", "value": told}]
    assert read(payload(note_attributes=attributes)).client == client


@pytest.mark.parametrize(
    ("properties", "quantity", "unit"),
    [
        ([{"name": "engraving", "value": "JB"}, {"name": "sfsync_unit", "value": " A-17 "}], 1, "A-17"),
        ([{"name": "_sfsync_unit", "value": "A-17"}], 1, "A-17"),
        ([{"name": "sfsync_unit", "value": "A-17"}], 2, None),  # two bags are two pieces
        ([{"name": "sfsync_unit", "value": 17}, {"value": []}, "odd"], 1, None),
        ({"sfsync_unit": "A-17"}, 1, None),
        (None, 1, None),
    ],
)
def test_a_line_names_its_piece_and_odd_properties_spoil_no_order(
    properties: object, quantity: int, unit: str | None
) -> None:
    """Number seventeen was sold; whatever else an app has noted on the line is none of our business."""
    (read_line,) = read(payload(line(quantity, properties=properties))).lines
    assert (read_line.unit, read_line.open_quantity) == (unit, quantity)


def test_a_place_that_is_none_of_ours_is_not_named() -> None:
    """Only configured locations have a name of ours."""
    assert read(payload(location_id=8)).channel_location is None


@pytest.mark.parametrize(
    "field", ["id", "name", "created_at", "updated_at", "line_items", "fulfillments", "refunds"]
)
def test_an_order_that_was_cut_is_refused_naming_the_field(field: str) -> None:
    """A missing list is not an empty one: without its refunds a returned bag would be sold again."""
    document = payload()
    del document[field]
    with pytest.raises(Refused, match=rf"london.*: {field}: ") as caught:
        read(document)
    assert caught.value.advice


@pytest.mark.parametrize(
    ("document", "where"),
    [
        (payload(line(-1)), r"line_items\.0\.quantity"),
        (payload(line(1), line(1, current_quantity="many")), r"line_items\.1\.current_quantity"),
        ({**payload(), "line_items": [{**line(), "quantity": 1.5}]}, r"line_items\.0\.quantity"),
        (payload(updated_at="yesterday"), "updated_at"),
        (payload(updated_at="2026-11-23T09:00:00"), "updated_at"),
        (payload(fulfillments=[{"status": "success"}]), r"fulfillments\.0\.line_items"),
        (
            payload(refunds=[{"refund_line_items": [{"quantity": 1}]}]),
            r"refunds\.0\.refund_line_items\.0\.line_item_id",
        ),
        (payload(line_items={}), "line_items"),
    ],
)
def test_a_malformed_order_is_refused_naming_the_field(document: dict[str, Any], where: str) -> None:
    """The message leads to the place in the payload."""
    with pytest.raises(Refused, match=f"cannot be read: {where}: "):
        read(document)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"id": 1'])
def test_a_body_that_is_no_order_is_refused(body: bytes) -> None:
    """Whatever came, the failure has a name."""
    with pytest.raises(Refused, match="cannot be read"):
        read_payload("london", body, LOCATIONS)


@pytest.mark.parametrize(
    "topic",
    [
        "orders/edited",
        "orders/delete",
        "refunds/create",
        "fulfillments/create",
        "inventory_levels/update",
        "app/uninstalled",
        "something/new",
    ],
)
async def test_a_topic_that_tells_no_whole_order_is_none_of_ours(topic: str) -> None:
    """The orders/updated beside it tells the outcome."""
    made, _ = channel(adjusted())
    assert made.read_order(Delivery(topic, "key", b"{}")) is None


@pytest.mark.parametrize(
    "topic",
    [
        "orders/create",
        "orders/updated",
        "orders/paid",
        "orders/cancelled",
        "orders/fulfilled",
        "orders/partially_fulfilled",
    ],
)
async def test_every_topic_with_a_whole_order_is_read_alike(topic: str) -> None:
    """The topic is a reason, not news: the order says it all."""
    made, _ = channel(adjusted())
    body = json.dumps(payload()).encode()
    assert made.read_order(Delivery(topic, "key", body)) == read(payload())


def test_an_order_is_the_same_from_the_list_and_from_a_webhook() -> None:
    """Two sources of one order are one order."""
    told = payload(
        line(4, 2, 1),
        location_id=7,
        note_attributes=[{"name": "sfsync_reservation", "value": "r1"}],
        fulfillments=[sent(2) | {"created_at": "2026-11-23T08:10:00+01:00"}],
        refunds=[refund((1, "return"), (1, "cancel")) | {"created_at": "2026-11-23T08:20:00+01:00"}],
        financial_status="partially_refunded",
    )
    listed = read_node("london", order_node(), LOCATIONS)
    assert listed == read(told)
    for each in (listed, read(told)):  # what equality leaves out
        (only,) = each.lines
        assert only.refunded_quantity == 2
        assert only.left == (Moment(datetime(2026, 11, 23, 7, 10, tzinfo=UTC), 2),)
        assert only.came_back == (Moment(datetime(2026, 11, 23, 7, 20, tzinfo=UTC), 1),)


@pytest.mark.parametrize(
    ("status", "money"),
    [
        ("paid", MoneyBack.NONE),
        ("authorized", MoneyBack.NONE),
        (None, MoneyBack.NONE),
        ("partially_refunded", MoneyBack.SOME),
        ("refunded", MoneyBack.ALL),
        ("voided", MoneyBack.ALL),
    ],
)
def test_an_order_says_how_much_of_its_money_went_back(status: str | None, money: MoneyBack) -> None:
    """Units that left an order say nothing of money; its financial status does."""
    told = read(payload(line(2, 1, 1), refunds=[refund((1, "cancel"))], financial_status=status))
    assert (told.money_back, told.lines[0].refunded_quantity) == (money, 1)


def test_the_number_in_a_gid_is_what_payloads_call_a_thing() -> None:
    """With or without a query behind it."""
    assert number("gid://shopify/LineItem/42") == number("gid://shopify/LineItem/42?x=1") == 42
