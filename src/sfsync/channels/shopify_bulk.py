"""A bulk read of a store's variants: one query that the store runs by itself, and a file to fetch.

It costs next to no points, where reading page by page takes minutes for some thousand variants. Whatever does
not go as hoped is no failure: the caller goes on page by page. Variants are kept packed, in pages, until they
are asked for: a hundred thousand of them take several hundred megabytes when read, and thirty as they come.
"""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import orjson
import structlog

from sfsync.channels import shopify_documents as documents
from sfsync.channels.shopify_client import ShopifyClient
from sfsync.ports import Clock, OutsideError, TryLater

log = structlog.get_logger(__name__)

_FIRST_WAIT_SECONDS, _LONGEST_WAIT_SECONDS = 1.0, 10.0
_PATIENCE_SECONDS = 1800.0  # the store gives itself a day
_QUICKLY = 1  # of zlib's levels: a tenth of the bytes are left, and a better one takes far longer
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

    In packed pages (`unpacked`) of `PAGE_ROWS`; each variant has all that a page's has.

    None when the store would not, could not, or took too long: then nothing has changed there.
    """
    try:
        return await _read(client, clock, documents.bulk_variants_document(locations, behind, tags=tags))
    except (OutsideError, _NoBulkError, KeyError, OverflowError, TypeError, ValueError) as error:
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
    return await _packed(await client.fetch(found["url"]), clock)


async def _packed(file: bytes, clock: Clock) -> list[bytes]:
    """The variants of a file in pages. Of each line, no more is held than where it begins."""
    ids, begins = array("q"), array("q")
    for begin, line in _lines(file):
        if line.strip():
            ids.append(int(_whole(orjson.loads(line))["id"].rpartition("/")[2]))
            begins.append(begin)
        if len(ids) % documents.PAGE_ROWS == 0:
            await clock.sleep(0)  # others may work meanwhile
    ordered = iter(sorted(range(len(ids)), key=ids.__getitem__))
    pages: list[bytes] = []
    while numbers := list(islice(ordered, documents.PAGE_ROWS)):
        lines = (_line(file, begins[number]) for number in numbers)
        pages.append(zlib.compress(b"\n".join(lines), _QUICKLY))
        await clock.sleep(0)
    return pages


def unpacked(page: bytes) -> list[Node]:
    """The variants of a packed page."""
    return [orjson.loads(line) for line in zlib.decompress(page).split(b"\n")]


def _lines(file: bytes) -> Iterator[tuple[int, bytes]]:
    """Each line, and where it begins."""
    begin = 0
    while begin < len(file):
        line = _line(file, begin)
        yield begin, line
        begin += len(line) + 1


def _line(file: bytes, begin: int) -> bytes:
    end = file.find(b"\n", begin)
    return file[begin:] if end < 0 else file[begin:end]


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
