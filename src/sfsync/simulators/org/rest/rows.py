"""Single records: create, read, update, delete, upsert by external id, and publishing an event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sfsync.simulators.org.engine import Engine, Transaction
from sfsync.simulators.org.errors import ApiError, SaveError, SaveFailed, not_found, status_of
from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import ChangeKind, Field
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.records import StoredRow
from sfsync.simulators.org.rest.bodies import fill, is_external_id, no_such_column
from sfsync.simulators.org.rest.preconditions import check_write, last_modified, unchanged
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.save import Operation
from sfsync.simulators.org.values import Refused

_UPSERT_TELLS_CREATED = 46.0


class Rows:
    """The `sobjects/X…` resources that touch one record."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    # -- shared with collections and composites ----------------------------------------------

    def plan(self, name: str) -> ObjectPlan:
        plan = self.engine.plan(name)
        if plan is None:
            raise not_found()
        return plan

    @asynccontextmanager
    async def transaction(self, request: ApiRequest) -> AsyncIterator[Transaction]:
        """The composite's transaction if there is one (it commits), else one of this request's own."""
        if request.transaction is not None:
            yield request.transaction
            return
        async with self.engine.transaction(request.caller()) as transaction:
            yield transaction

    def insertion(self, plan: ObjectPlan, body: Mapping[str, Any], transaction: Transaction) -> Operation:
        operation = Operation(plan.sobject, ChangeKind.CREATE)
        fill(operation, body, plan, self.engine.plans, transaction.layer, inserting=True)
        return operation

    def change(
        self, plan: ObjectPlan, record_id: str, body: Mapping[str, Any], transaction: Transaction
    ) -> Operation:
        operation = Operation(plan.sobject, ChangeKind.UPDATE, record_id=record_id)
        fill(operation, body, plan, self.engine.plans, transaction.layer, inserting=False)
        return operation

    def upsertion(
        self,
        plan: ObjectPlan,
        column: Field,
        key: Any,
        body: Mapping[str, Any],
        transaction: Transaction,
        *,
        create: bool = True,
    ) -> Operation | list[str]:
        """An insert or an update, by what the key finds; several ids when it is ambiguous."""
        try:
            value = plan.parsers[column.name](key)
        except Refused as refused:
            return Operation(plan.sobject, ChangeKind.UPDATE, errors=[refused.error], upserted=True)
        ids = [] if value is None else transaction.layer.find(plan.sobject.name, column, value)
        if len(ids) > 1:
            return ids
        if ids:
            operation = self.change(plan, ids[0], body, transaction)
        elif column.name == "Id" or not create:
            raise not_found(f"The requested resource does not exist: {key}")
        else:
            operation = self.insertion(plan, body, transaction)
            if value is not None:
                operation.values[column.name] = value
        operation.upserted = True
        return operation

    async def save(self, operation: Operation, transaction: Transaction) -> None:
        """Saves one record, or raises with its errors."""
        await self.engine.dml(transaction, [operation], all_or_none=True)
        if operation.errors:
            raise self.failure(operation)

    def failure(self, operation: Operation) -> SaveFailed:
        first = operation.errors[0]
        status = (
            self.engine.knobs.lock_error_status if first.code == "UNABLE_TO_LOCK_ROW" else status_of(first)
        )
        return SaveFailed(tuple(operation.errors), status)

    def external_id(self, plan: ObjectPlan, name: str) -> Field:
        column = plan.names.get(name.lower())
        if column is None or not is_external_id(column):
            raise not_found(f"Provided external ID field does not exist or is not accessible: {name}")
        return column

    # -- the resources -----------------------------------------------------------------------

    async def create(self, request: ApiRequest, name: str) -> ApiResponse:
        plan = self.plan(name)
        body = request.json_object()
        if any(key.lower() == "id" for key in body):
            raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
        if plan.sobject.is_event:
            return await self._publish(request, plan, body)
        async with self.transaction(request) as transaction:
            operation = self.insertion(plan, body, transaction)
            await self.save(operation, transaction)
        return self._created(request, plan, operation)

    def _created(self, request: ApiRequest, plan: ObjectPlan, operation: Operation) -> ApiResponse:
        body: dict[str, Any] = {"id": operation.record_id, "success": True, "errors": []}
        where = f"{request.prefix}/sobjects/{plan.sobject.name}/{operation.record_id}"
        return ApiResponse(201, body, {"Location": where})

    async def _publish(self, request: ApiRequest, plan: ObjectPlan, body: Mapping[str, Any]) -> ApiResponse:
        async with self.transaction(request) as transaction:
            operation = self.insertion(plan, body, transaction)
            problem = self.engine.event_problem(plan.sobject, operation.values)
            if problem is not None:
                operation.errors.append(problem)
            if operation.errors:
                raise self.failure(operation)
            result = published(self.engine, transaction, operation)
        return ApiResponse(201, result)

    async def update(self, request: ApiRequest, name: str, record_id: str) -> ApiResponse:
        plan, found = self.plan(name), self._id(record_id)
        body = request.json_object()
        if any(key.lower() == "id" for key in body):
            raise ApiError(400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.")
        async with self.transaction(request) as transaction:
            row = self._there(plan, found, transaction)
            check_write(request, row["LastModifiedDate"])
            await self.save(self.change(plan, found, body, transaction), transaction)
        return ApiResponse(204)

    async def delete(self, request: ApiRequest, name: str, record_id: str) -> ApiResponse:
        plan, found = self.plan(name), self._id(record_id)
        async with self.transaction(request) as transaction:
            self._there(plan, found, transaction)
            await self.save(Operation(plan.sobject, ChangeKind.DELETE, record_id=found), transaction)
        return ApiResponse(204)

    async def read(self, request: ApiRequest, name: str, record_id: str) -> ApiResponse:
        plan, found = self.plan(name), self._id(record_id)
        layer = (
            self.engine.begin(request.caller()).layer
            if request.transaction is None
            else request.transaction.layer
        )
        await self.engine.read_pause()
        row = self._there(plan, found, Transaction(request.caller(), layer))
        modified = row["LastModifiedDate"]
        shown = self.shown(request, plan, self.engine.visible(plan, row, layer))
        return unchanged(request, modified) or ApiResponse(200, shown, last_modified(modified))

    async def upsert(self, request: ApiRequest, name: str, field: str, key: str) -> ApiResponse:
        plan = self.plan(name)
        column = self.external_id(plan, field)
        body = request.json_object()
        if any(each.lower() == column.name.lower() for each in body):
            message = f"The {column.name} field should not be specified in the sobject data."
            raise ApiError(400, "INVALID_FIELD", message, (column.name,))
        create = request.query.get("updateOnly", "false").lower() != "true"
        async with self.transaction(request) as transaction:
            operation = self.upsertion(plan, column, key, body, transaction, create=create)
            if isinstance(operation, list):
                return self._several(request, plan, operation)
            await self.save(operation, transaction)
        if float(request.version) < _UPSERT_TELLS_CREATED:
            return self._created(request, plan, operation) if operation.created else ApiResponse(204)
        result: dict[str, Any] = {
            "id": operation.record_id,
            "success": True,
            "errors": [],
            "created": operation.created,
        }
        if not operation.created:
            return ApiResponse(200, result)
        where = f"{request.prefix}/sobjects/{plan.sobject.name}/{operation.record_id}"
        return ApiResponse(201, result, {"Location": where})

    async def read_by_key(self, request: ApiRequest, name: str, field: str, key: str) -> ApiResponse:
        return await self._by_key(request, name, field, key, self.read)

    async def delete_by_key(self, request: ApiRequest, name: str, field: str, key: str) -> ApiResponse:
        return await self._by_key(request, name, field, key, self.delete)

    async def _by_key(self, request: ApiRequest, name: str, field: str, key: str, then: Any) -> ApiResponse:
        plan = self.plan(name)
        column = self.external_id(plan, field)
        layer = (
            self.engine.begin(request.caller()).layer
            if request.transaction is None
            else request.transaction.layer
        )
        try:
            value = plan.parsers[column.name](key)
        except Refused:
            value = None  # no record can have it
        ids = [] if value is None else layer.find(plan.sobject.name, column, value)
        if not ids:
            raise not_found()
        if len(ids) > 1:
            return self._several(request, plan, ids)
        response: ApiResponse = await then(request, name, ids[0])
        return response

    def _several(self, request: ApiRequest, plan: ObjectPlan, ids: list[str]) -> ApiResponse:
        return ApiResponse(300, [f"{request.prefix}/sobjects/{plan.sobject.name}/{each}" for each in ids])

    # -- helpers -----------------------------------------------------------------------------

    def _id(self, text: str) -> str:
        record_id = normalize_id(text)
        if record_id is None:
            raise not_found(f"Provided external ID field does not exist or is not accessible: {text}")
        return record_id

    def _there(self, plan: ObjectPlan, record_id: str, transaction: Transaction) -> StoredRow:
        row = transaction.layer.get(plan.sobject.name, record_id)
        if row is None:
            raise not_found()
        if row["IsDeleted"]:
            raise SaveFailed((SaveError("ENTITY_IS_DELETED", "entity is deleted"),))
        return row

    def shown(self, request: ApiRequest, plan: ObjectPlan, row: StoredRow) -> dict[str, Any]:
        """A record as GET shows it: all fields, or those of `?fields=`."""
        wanted = request.query.get("fields")
        names = [each.strip() for each in wanted.split(",")] if wanted else list(plan.sobject.fields)
        return self.shown_fields(request, plan, row, names)

    def shown_fields(
        self, request: ApiRequest, plan: ObjectPlan, row: StoredRow, names: list[str]
    ) -> dict[str, Any]:
        entity = plan.sobject.name
        url = f"{request.prefix}/sobjects/{entity}/{row['Id']}"
        body: dict[str, Any] = {"attributes": {"type": entity, "url": url}}
        for name in names:
            column = plan.names.get(name.lower())
            if column is None:
                raise no_such_column(name, plan)
            body[column.name] = row[column.name]
        if "Id" not in body:
            body["Id"] = row["Id"]
        return body


def published(engine: Engine, transaction: Transaction, operation: Operation) -> dict[str, Any]:
    """The save result of a platform event: success, with its UUID as the message of an "error"."""
    uuid = engine.publish(transaction, operation.sobject, operation.values)
    note = {"statusCode": "OPERATION_ENQUEUED", "message": uuid, "fields": []}
    return {"id": engine.event_id(operation.sobject), "success": True, "errors": [note]}
