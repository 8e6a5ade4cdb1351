"""The control port's hands in the org: what people there do with records, and what only a disaster does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from starlette.requests import Request

from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import ChangeKind
from sfsync.simulators.org.rest.bodies import fill
from sfsync.simulators.org.save import Operation

if TYPE_CHECKING:
    from sfsync.simulators.org.org import Org

_KIND_OF_VERB = {
    "create": ChangeKind.CREATE,
    "update": ChangeKind.UPDATE,
    "delete": ChangeKind.DELETE,
    "undelete": ChangeKind.UNDELETE,
}


class RecordsControl:
    """`POST /records/{create|update|delete|undelete|erase}`."""

    def __init__(self, org: Org) -> None:
        self._org = org

    async def change(self, request: Request) -> Any:
        """What somebody in the org does, by its rules; `erase` goes past all of them."""
        verb, body = request.path_params["verb"], orjson.loads(await request.body())
        if verb == "erase":
            engine = self._org.engine
            erased = [each for each in body["ids"] if self._erase(normalize_id(str(each)) or "")]
            return {"erased": erased, "left": engine.committed["changes"]}
        kind = _KIND_OF_VERB.get(verb)
        if kind is None:
            raise ValueError(f"records are created, updated, deleted, undeleted or erased, not {verb}")
        return await self._save(kind, body)

    def _erase(self, record_id: str) -> bool:
        sobject = self._org.engine.store.object_of(record_id)
        return sobject is not None and self._org.engine.erase(sobject.name, record_id)

    async def _save(self, kind: ChangeKind, body: dict[str, Any]) -> Any:
        engine = self._org.engine
        async with engine.transaction(self._org.admin) as transaction:
            operations = [
                self._operation(kind, record, transaction.layer) for record in _records_of(kind, body)
            ]
            await engine.dml(transaction, operations, all_or_none=bool(body.get("allOrNone", True)))
        return [
            {
                "id": each.record_id,
                "success": each.saved,
                "errors": [error.in_result() for error in each.errors],
            }
            for each in operations
        ]

    def _operation(self, kind: ChangeKind, record: dict[str, Any], layer: Any) -> Operation:
        engine = self._org.engine
        if kind is ChangeKind.CREATE:
            plan = engine.plan(str(record.get("attributes", {}).get("type")))
            record_id = None
        else:
            record_id = normalize_id(str(record.get("Id")))
            sobject = engine.store.object_of(record_id or "")
            plan = None if sobject is None else engine.plans[sobject.name]
        if plan is None:
            raise ValueError(f"unknown record {record}")
        operation = Operation(plan.sobject, kind, record_id=record_id)
        if kind in (ChangeKind.CREATE, ChangeKind.UPDATE):
            fill(operation, record, plan, engine.plans, layer, inserting=kind is ChangeKind.CREATE)
        return operation


def _records_of(kind: ChangeKind, body: dict[str, Any]) -> list[dict[str, Any]]:
    if kind in (ChangeKind.CREATE, ChangeKind.UPDATE):
        return list(body["records"])
    return [{"Id": each} for each in body["ids"]]
