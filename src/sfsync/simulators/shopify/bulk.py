"""Bulk reads: one query without pages, run aside, whose answer is a file of JSON lines.

Objects of nested lists are lines of their own and name their parent. At most five run at a time.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sfsync.simulators.shopify.calls import Call
from sfsync.simulators.shopify.clock import iso_with_offset
from sfsync.simulators.shopify.engine import Refused
from sfsync.simulators.shopify.inventory import UserError
from sfsync.simulators.shopify.model import gid

if TYPE_CHECKING:
    from sfsync.simulators.shopify.shop import Shop

AT_ONCE = 5


@dataclass(eq=False, slots=True)
class BulkOperation:
    """One bulk read and how far it is."""

    number: int
    query: str
    created_at: float
    status: str = "CREATED"
    completed_at: float | None = None
    error_code: str | None = None
    object_count: int = 0
    root_object_count: int = 0
    file: bytes | None = None
    url: str | None = None
    partial_data_url: str | None = None

    @property
    def id(self) -> str:
        return gid("BulkOperation", self.number)

    @property
    def file_size(self) -> int | None:
        return None if self.file is None else len(self.file)


class BulkReads:
    """Starts and keeps bulk reads."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._tasks: set[asyncio.Task[None]] = set()
        self.operations: dict[int, BulkOperation] = {}

    def run(self, query: str, *, group_objects: bool) -> tuple[BulkOperation | None, list[UserError]]:
        """Start one; errors when it cannot be run or too many are running."""
        running = [each for each in self.operations.values() if each.status in ("CREATED", "RUNNING")]
        if len(running) >= AT_ONCE:
            ids = ", ".join(each.id for each in running)
            text = f"A bulk query operation for this app and shop is already in progress: {ids}."
            return None, [UserError("OPERATION_IN_PROGRESS", text, ("query",))]
        try:
            prepared = self._shop.engine.prepare(query, {}, None)
        except Refused as refused:
            return None, [UserError("INVALID", f"Invalid bulk query: {refused}", ("query",))]
        if prepared.is_mutation:
            return None, [UserError("INVALID", "Bulk queries cannot contain mutations.", ("query",))]
        number = self._shop.numbers.runtime("BulkOperation")
        operation = BulkOperation(number, query, self._shop.clock.now())
        self.operations[number] = operation
        task = asyncio.create_task(self._work(operation, group_objects))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation, []

    def cancel(self, number: int) -> tuple[BulkOperation | None, list[UserError]]:
        """Stop one that still runs."""
        operation = self.operations.get(number)
        if operation is None:
            return None, [UserError(None, "Bulk operation does not exist", ("id",))]
        if operation.status not in ("CREATED", "RUNNING"):
            text = f"A bulk operation cannot be canceled when it is {operation.status.lower()}"
            return operation, [UserError(None, text, None)]
        operation.status = "CANCELED"
        operation.completed_at = self._shop.clock.now()
        return operation, []

    async def close(self) -> None:
        """Stop all."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _work(self, operation: BulkOperation, group_objects: bool) -> None:
        operation.status = "RUNNING"
        await self._shop.clock.sleep(self._shop.config.knobs.bulk_seconds)
        if operation.status != "RUNNING":
            return
        call = Call(self._shop, request_id=str(operation.number), whole_lists=True)
        answer = await self._shop.engine.execute(self._shop.engine.prepare(operation.query, {}, None), call)
        operation.completed_at = self._shop.clock.now()
        if answer.get("errors"):
            operation.status = "FAILED"
            code = answer["errors"][0]["extensions"].get("code")
            operation.error_code = "ACCESS_DENIED" if code == "ACCESS_DENIED" else "INTERNAL_SERVER_ERROR"
        else:
            self._store(operation, answer["data"], group_objects)
        self._announce(operation)

    def _store(self, operation: BulkOperation, data: dict[str, Any], group_objects: bool) -> None:
        roots = [row for value in data.values() for row in _rows(value)]
        lines = [line for row in roots for line in _lines(row, None)]
        if not group_objects:  # then a child may stand anywhere after its parent
            lines.sort(key=lambda line: "__parentId" in line)
        operation.root_object_count, operation.object_count = len(roots), len(lines)
        operation.status = "COMPLETED"
        if lines:
            operation.file = b"".join(
                json.dumps(line, separators=(",", ":")).encode() + b"\n" for line in lines
            )
            operation.url = f"{self._shop.public_url}/bulk/{operation.number}.jsonl"

    def _announce(self, operation: BulkOperation) -> None:
        body = {
            "admin_graphql_api_id": operation.id,
            "completed_at": iso_with_offset(operation.completed_at or operation.created_at),
            "created_at": iso_with_offset(operation.created_at),
            "error_code": operation.error_code and operation.error_code.lower(),
            "status": operation.status.lower(),
            "type": "query",
        }
        self._shop.webhooks.emit("bulk_operations/finish", lambda: body, f"bulk-{operation.number}")


def _rows(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict) and "edges" in value:
        return [edge["node"] for edge in value["edges"]]
    if isinstance(value, dict) and "nodes" in value:
        return list(value["nodes"])
    return [value] if isinstance(value, dict) else []


def _is_list(value: Any) -> bool:
    return isinstance(value, dict) and ("edges" in value or "nodes" in value)


def _lines(row: dict[str, Any], parent_id: str | None) -> Iterator[dict[str, Any]]:
    line, children = _parted(row)
    if parent_id is not None:
        line["__parentId"] = parent_id
    yield line
    for child in children:
        yield from _lines(child, row.get("id"))


def _parted(row: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A row without its nested lists, and their rows; lists of objects inside it belong to the row too."""
    line: dict[str, Any] = {}
    children: list[dict[str, Any]] = []
    for name, value in row.items():
        if _is_list(value):
            children += _rows(value)
        elif isinstance(value, dict):
            line[name], inner = _parted(value)
            children += inner
        else:
            line[name] = value
    return line, children
