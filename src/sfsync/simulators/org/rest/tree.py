"""`composite/tree/X`: records with their children in one request, all saved or none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sfsync.simulators.org.engine import Transaction
from sfsync.simulators.org.errors import ApiError, SaveError, parser_error
from sfsync.simulators.org.model import Field
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.rows import Rows
from sfsync.simulators.org.save import Operation

MAX_RECORDS = 200
MAX_DEPTH = 5
MAX_TYPES = 5


@dataclass(slots=True)
class _Node:
    """One record of the tree."""

    plan: ObjectPlan
    reference_id: str
    body: dict[str, Any]
    parent: _Node | None
    link: Field | None  # the field that names the parent
    depth: int
    operation: Operation | None = None


class Trees:
    """The `composite/tree` resource."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._engine = rows.engine

    async def create(self, request: ApiRequest, name: str) -> ApiResponse:
        records = request.json_object().get("records")
        nodes: list[_Node] = []
        self._read(records, self._rows.plan(name), None, None, 1, nodes)
        _check_size(nodes)
        async with self._rows.transaction(request) as transaction:
            failed = await self._save(nodes, transaction)
            if failed:
                if request.transaction is None:
                    self._engine.roll_back(transaction)
                return ApiResponse(400, {"hasErrors": True, "results": failed})
        results = [
            {"referenceId": node.reference_id, "id": node.operation and node.operation.record_id}
            for node in nodes
        ]
        return ApiResponse(201, {"hasErrors": False, "results": results})

    def _read(
        self,
        records: Any,
        plan: ObjectPlan,
        parent: _Node | None,
        link: Field | None,
        depth: int,
        nodes: list[_Node],
    ) -> None:
        if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
            raise parser_error("records has to be a list of sObjects at [line:1, column:2]")
        children = {
            column.child_relationship_name.lower(): (self._engine.plans[child.name], column)
            for child, column in (*plan.details, *plan.lookups)
            if column.child_relationship_name
        }
        for record in records:
            reference_id = (record.get("attributes") or {}).get("referenceId")
            if not isinstance(reference_id, str):
                raise ApiError(400, "INVALID_INPUT", "Include a reference ID for each record in the request.")
            own = {key: value for key, value in record.items() if key.lower() not in children}
            node = _Node(plan, reference_id, own, parent, link, depth)
            nodes.append(node)
            for key, value in record.items():
                if key.lower() in children:
                    child_plan, column = children[key.lower()]
                    nested = value.get("records") if isinstance(value, dict) else None
                    self._read(nested, child_plan, node, column, depth + 1, nodes)

    async def _save(self, nodes: list[_Node], transaction: Transaction) -> list[dict[str, Any]]:
        """Saves level by level; returns the results of the records that failed."""
        for depth in range(1, max(node.depth for node in nodes) + 1):
            level = [node for node in nodes if node.depth == depth]
            for plan in {id(node.plan): node.plan for node in level}.values():
                same = [node for node in level if node.plan is plan]
                for node in same:
                    node.operation = self._insertion(node, transaction)
                operations = [node.operation for node in same if node.operation is not None]
                await self._engine.dml(transaction, operations, all_or_none=True)
                failed = [_failure(node) for node in same if node.operation and _own_errors(node.operation)]
                if failed:
                    return failed
        return []

    def _insertion(self, node: _Node, transaction: Transaction) -> Operation:
        operation = self._rows.insertion(node.plan, node.body, transaction)
        if node.parent is not None and node.link is not None and node.parent.operation is not None:
            operation.values[node.link.name] = node.parent.operation.record_id
        return operation


def _own_errors(operation: Operation) -> list[SaveError]:
    return [error for error in operation.errors if error.code != "ALL_OR_NONE_OPERATION_ROLLED_BACK"]


def _failure(node: _Node) -> dict[str, Any]:
    errors = [] if node.operation is None else _own_errors(node.operation)
    return {"referenceId": node.reference_id, "errors": [error.in_result() for error in errors]}


def _check_size(nodes: list[_Node]) -> None:
    if not nodes or len(nodes) > MAX_RECORDS:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A tree has 1 to {MAX_RECORDS} records.")
    if max(node.depth for node in nodes) > MAX_DEPTH or len({id(node.plan) for node in nodes}) > MAX_TYPES:
        raise ApiError(400, "LIMIT_EXCEEDED", f"A tree has at most {MAX_DEPTH} levels and {MAX_TYPES} types.")
    references = [node.reference_id for node in nodes]
    if len(set(references)) != len(references):
        raise ApiError(400, "INVALID_INPUT", "Duplicate ReferenceId provided in the request.")
