"""How the Admin API's fields are read from the shop's things.

A field whose name is that of an attribute (`updatedAt`, `updated_at`) needs no word of its own;
`queries` and `things` hold the others: lists, look-ups, and what the two sides call differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from graphql import GraphQLError, GraphQLResolveInfo

from sfsync.simulators.shopify.config import SUPPORTED_VERSIONS
from sfsync.simulators.shopify.model import gid
from sfsync.simulators.shopify.paging import by_number, connection
from sfsync.simulators.shopify.payloads import APP_NUMBER
from sfsync.simulators.shopify.search import Filter, Search, SearchError, search

if TYPE_CHECKING:
    from sfsync.simulators.shopify.calls import Call

Resolver: TypeAlias = Callable[..., Any]
Info: TypeAlias = "GraphQLResolveInfo[Call]"


@lru_cache(maxsize=1024)
def attribute_name(field_name: str) -> str:
    """`displayFulfillmentStatus` → `display_fulfillment_status`."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", field_name).lower()


def read_attribute(source: Any, info: Info, **args: Any) -> Any:
    """The field of that name of a thing or a dict; called when it is a function."""
    name = attribute_name(info.field_name)
    value = source.get(name) if isinstance(source, dict) else getattr(source, name)
    return value(info, **args) if callable(value) else value


def number_of(global_id: str, kind: str) -> int:
    """The number in a global id of that kind. Raises a GraphQL error for anything else."""
    prefix = f"gid://shopify/{kind}/"
    tail = global_id.removeprefix(prefix).split("?")[0]
    if not global_id.startswith(prefix) or not tail.isdigit():
        raise GraphQLError(f"Invalid global id '{global_id}'", extensions={"code": "RESOURCE_NOT_FOUND"})
    return int(tail)


def needs_scope(scope: str, resolver: Resolver) -> Resolver:
    """A resolver that answers ACCESS_DENIED to an app without the scope."""

    def guarded(source: Any, info: Info, **args: Any) -> Any:
        call = info.context
        if scope not in call.shop.config.scopes:
            text = f"Access denied for {info.field_name} field. Required access: `{scope}` access scope."
            extensions = {"code": "ACCESS_DENIED", "requiredAccess": f"`{scope}` access scope."}
            raise GraphQLError(text, extensions=extensions)
        return resolver(source, info, **args)

    return guarded


def _searched(call: Call, info: Info, text: str | None, filters: Mapping[str, Filter]) -> Search:
    try:
        found = search(text, filters)
    except SearchError as error:
        raise GraphQLError(f"invalid search query: {error}", extensions={"code": "BAD_REQUEST"}) from error
    if found.warnings:
        entry = {"path": [info.path.key], "query": text, "warnings": found.warnings}
        call.search_warnings.append(entry)
    return found


def listed(
    rows: Iterable[Any],
    info: Info,
    args: dict[str, Any],
    filters: Mapping[str, Filter] | None = None,
    keys: Mapping[str, Callable[[Any], tuple[Any, int]]] | None = None,
) -> dict[str, Any]:
    """A connection of `rows`, searched and sorted as the arguments ask."""
    call = info.context
    if filters is not None and args.get("query"):
        matches = _searched(call, info, args["query"], filters).matches
        rows = [row for row in rows if matches(row)]
    key = (keys or {}).get(args.get("sort_key", ""), by_number)
    return connection(rows, args, key, whole=call.whole_lists)


def topic_enum(topic: str) -> str:
    """`orders/create` → `ORDERS_CREATE`."""
    return topic.replace("/", "_").upper()


def api_version(handle: str) -> dict[str, Any]:
    """An API version as the API tells of it."""
    return {"handle": handle, "display_name": handle, "supported": handle in SUPPORTED_VERSIONS}


def app_of(call: Call) -> dict[str, Any]:
    """The app that calls."""
    return {
        "id": gid("App", APP_NUMBER),
        "api_key": call.shop.config.client_id,
        "handle": "stock",
        "title": "Stock",
        "webhook_api_version": call.version,
    }
