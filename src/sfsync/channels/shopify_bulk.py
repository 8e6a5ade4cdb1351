"""A bulk read of a store's variants: one query that the store runs by itself, and a file to fetch.

It costs next to no points, where reading page by page takes minutes for some thousand variants. Whatever does
not go as hoped is no failure: the caller goes on page by page. Variants stay the bytes of their lines until
they are asked for: a hundred thousand of them, read, take several hundred megabytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.ports import Clock, OutsideError, TryLater

log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 10.0
_PATIENCE_SECONDS = 1800.0  # the store gives itself a day
LINES_AT_ONCE = 1000
_RUNNING = frozenset({"CREATED", "RUNNING"})

Node = dict[str, Any]


async def variants_behind(
    client: ShopifyClient,
    clock: Clock,
    channel: str,
    locations: list[str],
    behind: int,
    *,
    tags: bool = False,
) -> list[bytes] | None:
    """Every variant behind one, in the order of their ids, with its numbers at these locations (gids).

    Each is JSON that has all that a page's has.

    None when the store would not, could not, or took too long: then nothing has changed there.
    """
    try:
        return await _read(client, clock, documents.bulk_variants_document(locations, behind, tags=tags))
    except (OutsideError, _NoBulkError, KeyError, TypeError, ValueError) as error:
        reason = str(error) if isinstance(error, _NoBulkError) else f"{type(error).__name__}: {error}"
        log.warning("no bulk read", channel=channel, reason=reason, next="read page by page")
        return None


class _NoBulkError(Exception):
    """The store did not do it; says why."""


async def _read(client: ShopifyClient, clock: Clock, document: str) -> list[bytes]:
    body = {"query": documents.RUN_BULK, "operationName": "RunBulk", "variables": {"query": document}}
    reply = await client.push("RunBulk", orjson.dumps(body))
    payload = (reply.data or {}).get("bulkOperationRunQuery") or {}
    if payload.get("userErrors") or not payload.get("bulkOperation"):
        told = "; ".join(str(error.get("message")) for error in payload.get("userErrors") or ())
        raise _NoBulkError(told or reply.text() or "the answer names no operation")
    found = await _finished(client, clock, payload["bulkOperation"]["id"])
    if found["status"] != "COMPLETED":
        raise _NoBulkError(f"the operation is {found['status']} ({found['errorCode']})")
    if found["url"] is None:  # it found nothing
        return []
    lines: list[tuple[int, bytes]] = []
    for number, line in enumerate((await client.fetch(found["url"])).splitlines()):
        if line:
            lines.append((int(_whole(orjson.loads(line))["id"].rpartition("/")[2]), line))
        if number % LINES_AT_ONCE == 0:
            await clock.sleep(0)  # others may work meanwhile
    return [line for _, line in sorted(lines)]


async def _finished(client: ShopifyClient, clock: Clock, operation: str) -> Mapping[str, Any]:
    """The operation once it runs no more."""
    waited, wait = 0.0, _FIRST_WAIT_SECONDS
    while waited < _PATIENCE_SECONDS:
        await clock.sleep(wait)
        waited, wait = waited + wait, min(2 * wait, _LONGEST_WAIT_SECONDS)
        try:
            found: Mapping[str, Any] = (await client.read("Bulk", documents.BULK, {"id": operation}))[
                "bulkOperation"
            ]
        except TryLater:
            continue  # a store that is slow to answer goes on with what it was asked for
        if found["status"] not in _RUNNING:
            return found
    raise _NoBulkError(f"it still runs after {_PATIENCE_SECONDS:g} s")


def _whole(node: Node) -> Node:
    """The node, if it has all that a page's has. Lists that the store took apart are not guessed at."""
    item = node["inventoryItem"]
    levels = [value for key, value in item.items() if key.startswith("at") and value is not None]
    if not all(isinstance(level["quantities"][0]["quantity"], int) for level in levels):
        raise ValueError("a number is missing")
    if not {"id", "sku", "inventoryPolicy", "requiresComponents"} <= node.keys():
        raise ValueError("a field is missing")
    return node
