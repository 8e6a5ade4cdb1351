"""The Admin API's mutations: keys first, then scopes and rules, then the change.

A resolver answers a payload. A keyed mutation that is told to take time gives the key away at
once and writes later, so that a second call meets it at work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, TypeAlias

from graphql import GraphQLError, get_directive_values

from sfsync.simulators.shopify.allocating import NotPossible
from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.idempotency import KeyUse, Refusal
from sfsync.simulators.shopify.inventory import UserError
from sfsync.simulators.shopify.model import Order
from sfsync.simulators.shopify.reading import Info, Resolver, needs_scope, number_of

Payload: TypeAlias = dict[str, Any]
# Carries a mutation out; answers its payload and whether it was refused.
Work: TypeAlias = Callable[[Call, Mapping[str, Any]], tuple[Payload, bool]]
KEYED_MUTATIONS = frozenset({"inventoryActivate", "inventoryAdjustQuantities", "inventorySetQuantities"})
NAME_LIMIT = 50
ADDRESS_SCHEMES = ("https://", "http://", "pubsub://", "arn:aws:events:")


def keyed(result_field: str, work: Work, *, rows: str | None = None, row_type: str = "") -> Resolver:
    """A mutation that demands `@idempotent`; `rows` names the list whose rows demand changeFromQuantity."""

    def resolve(_root: Any, info: Info, **args: Any) -> Payload | Awaitable[Payload]:
        call = info.context
        if rows is not None:
            _demand_compare(args["input"][rows], row_type, info.field_name)
        key = _key(info)
        claim = call.shop.keys.claim(info.field_name, key, args)
        if claim.refusal is not None:
            return _refused(result_field, claim.refusal)
        if not claim.fresh:
            result: Payload = claim.use.result
            return result
        if call.work_seconds:
            return _worked_slowly(call, work, args, claim.use)
        return _worked(call, work, args, claim.use)

    return resolve


def _worked(call: Call, work: Work, args: Mapping[str, Any], use: KeyUse) -> Payload:
    if call.fail_inside:
        use.finish(None, failed=True)
        text = f"Internal error. Looks like something went wrong on our end.\nRequest ID: {call.request_id}"
        raise GraphQLError(text, extensions={"code": "INTERNAL_SERVER_ERROR", "requestId": call.request_id})
    payload, refused = work(call, args)
    use.finish(payload, failed=refused)
    return payload


async def _worked_slowly(call: Call, work: Work, args: Mapping[str, Any], use: KeyUse) -> Payload:
    await asyncio.sleep(call.work_seconds)
    return _worked(call, work, args, use)


def _demand_compare(rows: list[dict[str, Any]], row_type: str, mutation: str) -> None:
    # An omitted key is absent from a coerced row, an explicit null is there as None.
    if any("changeFromQuantity" not in row for row in rows):
        text = f"{row_type} must include the following argument: changeFromQuantity."
        raise GraphQLError(text, extensions={"code": "INVALID_FIELD_ARGUMENTS", "mutation": mutation})


def _key(info: Info) -> str:
    directive = info.schema.get_directive("idempotent")
    held = get_directive_values(directive, info.field_nodes[0], info.variable_values) if directive else None
    if held is None:
        text = "The @idempotent directive is required for this mutation but was not provided."
        raise GraphQLError(text, extensions={"code": "BAD_REQUEST"})
    if not held["key"].strip():
        text = "The idempotency key of the @idempotent directive must not be blank."
        raise GraphQLError(text, extensions={"code": "BAD_REQUEST"})
    return str(held["key"])


def _refused(result_field: str, refusal: Refusal) -> Payload:
    return {result_field: None, "user_errors": [UserError(refusal.name, refusal.value)]}


def _set_quantities(call: Call, args: Mapping[str, Any]) -> tuple[Payload, bool]:
    outcome = call.shop.inventory.set_quantities(args["input"], apply=call.apply)
    return {"inventory_adjustment_group": outcome.group, "user_errors": outcome.errors}, bool(outcome.errors)


def _adjust_quantities(call: Call, args: Mapping[str, Any]) -> tuple[Payload, bool]:
    outcome = call.shop.inventory.adjust_quantities(args["input"], apply=call.apply)
    return {"inventory_adjustment_group": outcome.group, "user_errors": outcome.errors}, bool(outcome.errors)


def _activate(call: Call, args: Mapping[str, Any]) -> tuple[Payload, bool]:
    level, errors = call.shop.inventory.activate(args, apply=call.apply)
    return {"inventory_level": level, "user_errors": errors}, bool(errors)


def _cancel_order(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    order = call.shop.selling.orders.get(number_of(args["order_id"], "Order"))
    if order is None:
        return _not_cancelled("NOT_FOUND", "Order does not exist", "orderId")
    seconds = call.shop.config.knobs.cancel_seconds
    money = bool(args.get("refund") or (args.get("refund_method") or {}).get("originalPaymentMethodsRefund"))
    how = {"restock": args["restock"], "reason": args["reason"].lower(), "refund": money}
    try:
        call.shop.selling.may_cancel(order)
        if call.apply and seconds:
            call.shop.begin(_cancel_later(call, order, seconds, how))
        elif call.apply:
            call.shop.selling.cancel(order, **how)
    except NotPossible as error:
        return _not_cancelled("INVALID", str(error), "orderId")
    job = {"id": f"gid://shopify/Job/{call.request_id}", "done": not seconds}
    return {"job": job, "order_cancel_user_errors": [], "user_errors": []}


async def _cancel_later(call: Call, order: Order, seconds: float, how: Mapping[str, Any]) -> None:
    await call.shop.clock.sleep(seconds)
    with suppress(NotPossible):  # sent or cancelled meanwhile: the job ends without effect
        call.shop.selling.cancel(order, **how)


def _not_cancelled(code: str, message: str, field: str) -> Payload:
    error = UserError(code, message, (field,))
    return {"job": None, "order_cancel_user_errors": [error], "user_errors": [error]}


def _subscribe(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    wanted, topic = args["webhook_subscription"], _wire_topic(args["topic"])
    uri = wanted.get("uri")
    if problem := _address_problem(uri) or _subscription_problem(wanted):
        return {"webhook_subscription": None, "user_errors": [problem]}
    taken = (each for each in call.shop.webhooks.subscriptions.values() if not each.by_app)
    if any(each.topic == topic and each.uri == uri for each in taken):
        error = UserError(
            None, "Address for this topic has already been taken", ("webhookSubscription", "uri")
        )
        return {"webhook_subscription": None, "user_errors": [error]}
    made = call.shop.webhooks.subscribe(
        topic,
        uri,
        name=wanted.get("name"),
        include_fields=list(wanted.get("includeFields") or ()),
        format=wanted.get("format") or "JSON",
    )
    return {"webhook_subscription": made, "user_errors": []}


def _change_subscription(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    held, wanted = _held_subscription(call, args["id"]), args["webhook_subscription"]
    if held is None:
        error = UserError(None, "Webhook subscription does not exist", ("id",))
        return {"webhook_subscription": None, "user_errors": [error]}
    address = _address_problem(wanted["uri"]) if "uri" in wanted else None
    if problem := address or _subscription_problem(wanted):
        return {"webhook_subscription": None, "user_errors": [problem]}
    held.uri = wanted.get("uri", held.uri)
    held.name = wanted.get("name", held.name)
    held.include_fields = list(wanted.get("includeFields", held.include_fields) or ())
    held.updated_at = call.shop.clock.now()
    return {"webhook_subscription": held, "user_errors": []}


def _unsubscribe(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    held = _held_subscription(call, args["id"])
    if held is None:
        error = UserError(None, "Webhook subscription does not exist", ("id",))
        return {"deleted_webhook_subscription_id": None, "user_errors": [error]}
    del call.shop.webhooks.subscriptions[held.number]
    return {"deleted_webhook_subscription_id": held.id, "user_errors": []}


def _held_subscription(call: Call, global_id: str) -> Any:
    held = call.shop.webhooks.subscriptions.get(number_of(global_id, "WebhookSubscription"))
    return None if held is None or held.by_app else held


def _address_problem(uri: str | None) -> UserError | None:
    # The real service wants https; a simulated one is also heard on this machine without TLS.
    if uri is None or not uri.startswith(ADDRESS_SCHEMES):
        return UserError(None, "Address is not supported", ("webhookSubscription", "uri"))
    return None


def _subscription_problem(wanted: Mapping[str, Any]) -> UserError | None:
    if wanted.get("filter") or wanted.get("metafieldNamespaces") or wanted.get("format") == "XML":
        text = "not simulated: filter, metafieldNamespaces and the format XML"
        raise GraphQLError(text, extensions={"code": "NOT_SIMULATED"})
    name = wanted.get("name")
    if name is not None and (len(name) > NAME_LIMIT or not name.replace("-", "").replace("_", "").isalnum()):
        text = "Name is limited to 50 letters, digits, - and _"
        return UserError(None, text, ("webhookSubscription", "name"))
    return None


def _wire_topic(name: str) -> str:
    """`FULFILLMENT_ORDERS_MOVED` → `fulfillment_orders/moved`."""
    return next((topic for topic in _TWO_WORDS if topic.replace("/", "_").upper() == name), None) or (
        name.lower().replace("_", "/", 1)
    )


# Topics whose first part has an underscore itself.
_TWO_WORDS = (
    "bulk_operations/finish",
    "fulfillment_orders/moved",
    "fulfillment_orders/order_routing_complete",
    "inventory_items/create",
    "inventory_items/delete",
    "inventory_items/update",
    "inventory_levels/connect",
    "inventory_levels/disconnect",
    "inventory_levels/update",
    "reverse_fulfillment_orders/dispose",
)


def _run_bulk_query(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    operation, errors = call.shop.bulk.run(args["query"], group_objects=args["group_objects"])
    return {"bulk_operation": operation, "user_errors": errors}


def _cancel_bulk(_root: Any, info: Info, **args: Any) -> Payload:
    call = info.context
    operation, errors = call.shop.bulk.cancel(number_of(args["id"], "BulkOperation"))
    return {"bulk_operation": operation, "user_errors": errors}


MUTATION_FIELDS: Mapping[str, Resolver] = {
    "inventorySetQuantities": needs_scope(
        "write_inventory",
        keyed(
            "inventory_adjustment_group",
            _set_quantities,
            rows="quantities",
            row_type="InventoryQuantityInput",
        ),
    ),
    "inventoryAdjustQuantities": needs_scope(
        "write_inventory",
        keyed(
            "inventory_adjustment_group", _adjust_quantities, rows="changes", row_type="InventoryChangeInput"
        ),
    ),
    "inventoryActivate": needs_scope("write_inventory", keyed("inventory_level", _activate)),
    "orderCancel": needs_scope("write_orders", _cancel_order),
    "webhookSubscriptionCreate": _subscribe,
    "webhookSubscriptionUpdate": _change_subscription,
    "webhookSubscriptionDelete": _unsubscribe,
    "bulkOperationRunQuery": _run_bulk_query,
    "bulkOperationCancel": _cancel_bulk,
}
