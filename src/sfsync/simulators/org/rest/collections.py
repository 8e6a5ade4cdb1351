"""sObject collections: up to 200 records in one call, all or none, or each on its own.

Records of one type that follow each other are one chunk and one DML statement; a call has at most ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sfsync.simulators.org.engine import Transaction
from sfsync.simulators.org.errors import ROLLED_BACK, ApiError, SaveError, parser_error
from sfsync.simulators.org.ids import normalize_id
from sfsync.simulators.org.model import ChangeKind, SObject
from sfsync.simulators.org.plans import ObjectPlan
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.rest.rows import Rows, published
from sfsync.simulators.org.save import Operation

MAX_RECORDS = 200
MAX_CHUNKS = 10
MAX_READ = 2000

# Where a record stands that could not be read: it is in no chunk with others and takes part in no statement.
_NO_OBJECT = SObject("", "", "", "", {})

Prepare = Callable[[dict[str, Any], Transaction], Operation]


class Collections:
    """The `composite/sobjects…` resources."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._engine = rows.engine

    async def create(self, request: ApiRequest) -> ApiResponse:
        def prepare(record: dict[str, Any], transaction: Transaction) -> Operation:
            return self._rows.insertion(self._plan_of(record), record, transaction)

        return await self._save(request, prepare)

    async def update(self, request: ApiRequest) -> ApiResponse:
        def prepare(record: dict[str, Any], transaction: Transaction) -> Operation:
            plan = self._plan_of(record)
            text = next((value for key, value in record.items() if key.lower() == "id"), None)
            if text is None:
                error = SaveError("MISSING_ARGUMENT", "Id not specified in an update call")
                return Operation(plan.sobject, ChangeKind.UPDATE, errors=[error])
            record_id = normalize_id(str(text))
            if record_id is None or record_id[:3] != plan.sobject.key_prefix:
                error = SaveError("MALFORMED_ID", f"Record ID: id value of incorrect type: {text}", ("Id",))
                return Operation(plan.sobject, ChangeKind.UPDATE, errors=[error])
            return self._rows.change(plan, record_id, record, transaction)

        return await self._save(request, prepare)

    async def upsert(self, request: ApiRequest, name: str, field: str) -> ApiResponse:
        plan = self._rows.plan(name)
        column = self._rows.external_id(plan, field)
        seen: set[Any] = set()

        def prepare(record: dict[str, Any], transaction: Transaction) -> Operation:
            if self._plan_of(record) is not plan:
                raise ApiError(400, "INVALID_TYPE", f"All records must be of type {plan.sobject.name}")
            key = next((value for each, value in record.items() if each.lower() == column.name.lower()), None)
            if key is None and column.name != "Id":
                error = SaveError("MISSING_ARGUMENT", f"{column.name} not specified")
                return Operation(plan.sobject, ChangeKind.UPDATE, errors=[error])
            if isinstance(key, (dict, list)):
                raise parser_error(f"{column.name} has to be a plain value at [line:1, column:2]")
            if key in seen:
                error = SaveError(
                    "DUPLICATE_VALUE", f"Duplicate external id specified: {key}", (column.name,)
                )
                return Operation(plan.sobject, ChangeKind.UPDATE, errors=[error])
            seen.add(key)
            return self._upsertion(plan, column, key, record, transaction)

        return await self._save(request, prepare, upsert=True)

    def _upsertion(
        self, plan: ObjectPlan, column: Any, key: Any, record: dict[str, Any], transaction: Transaction
    ) -> Operation:
        rest = {each: value for each, value in record.items() if each.lower() != column.name.lower()}
        if column.name == "Id" and key is None:
            operation: Operation | list[str] = self._rows.insertion(plan, rest, transaction)
        else:
            operation = self._rows.upsertion(plan, column, key, rest, transaction)
        if isinstance(operation, list):
            message = f"{column.name}: more than one record found for external id field: {operation}"
            error = SaveError("DUPLICATE_EXTERNAL_ID", message)
            return Operation(plan.sobject, ChangeKind.UPDATE, errors=[error])
        return operation

    async def delete(self, request: ApiRequest) -> ApiResponse:
        texts = [each for each in request.query.get("ids", "").split(",") if each]
        _check_count(len(texts))
        all_or_none = request.query.get("allOrNone", "false").lower() == "true"
        async with self._rows.transaction(request) as transaction:
            operations = [self._deletion(text) for text in texts]
            return await self._run(request, transaction, operations, all_or_none=all_or_none)

    def _deletion(self, text: str) -> Operation:
        record_id = normalize_id(text)
        sobject = None if record_id is None else self._engine.store.object_of(record_id)
        if sobject is None:
            raise ApiError(400, "MALFORMED_ID", f"malformed id {text}")
        return Operation(sobject, ChangeKind.DELETE, record_id=record_id)

    async def read(self, request: ApiRequest, name: str) -> ApiResponse:
        """GET `?ids=&fields=` or POST `{ids, fields}`: records in order, null for those not there."""
        plan = self._rows.plan(name)
        if request.method == "POST":
            body = request.json_object()
            texts, names = body.get("ids", []), body.get("fields", [])
        else:
            texts = [each for each in request.query.get("ids", "").split(",") if each]
            names = [each.strip() for each in request.query.get("fields", "").split(",") if each.strip()]
        if not _are_texts(texts) or not _are_texts(names):
            raise parser_error("ids and fields have to be lists of texts at [line:1, column:2]")
        if not names:
            raise ApiError(400, "MISSING_ARGUMENT", "The fields parameter is required.")
        if len(texts) > MAX_READ:
            raise ApiError(400, "LIMIT_EXCEEDED", f"The limit of {MAX_READ} records was exceeded.")
        await self._engine.read_pause()
        transaction = request.transaction or self._engine.begin(request.caller())
        found: list[Any] = []
        for text in texts:
            row = transaction.layer.live(plan.sobject.name, normalize_id(str(text)) or "")
            shown = None if row is None else self._engine.visible(plan, row, transaction.layer)
            found.append(None if shown is None else self._rows.shown_fields(request, plan, shown, names))
        return ApiResponse(200, found)

    # -- one call ----------------------------------------------------------------------------

    def _plan_of(self, record: dict[str, Any]) -> ObjectPlan:
        attributes = record.get("attributes")
        name = attributes.get("type") if isinstance(attributes, dict) else None
        if not isinstance(name, str):
            raise ApiError(
                400, "INVALID_INPUT", "Include an 'attributes' member with a 'type' in each record."
            )
        plan = self._engine.plan(name)
        if plan is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        return plan

    async def _save(self, request: ApiRequest, prepare: Prepare, *, upsert: bool = False) -> ApiResponse:
        body = request.json_object()
        records = body.get("records")
        if not isinstance(records, list) or not all(isinstance(each, dict) for each in records):
            raise parser_error("records has to be a list of sObjects at [line:1, column:2]")
        _check_count(len(records))
        all_or_none = body.get("allOrNone", False) is True
        async with self._rows.transaction(request) as transaction:
            operations = [self._prepare(prepare, record, transaction) for record in records]
            return await self._run(request, transaction, operations, all_or_none=all_or_none, upsert=upsert)

    def _prepare(self, prepare: Prepare, record: dict[str, Any], transaction: Transaction) -> Operation:
        try:
            return prepare(record, transaction)
        except ApiError as error:
            if self._engine.knobs.parse_error_scope == "request":
                raise
            refused = SaveError(error.code, error.message, error.fields or ())
            return Operation(_NO_OBJECT, ChangeKind.CREATE, errors=[refused])

    async def _run(
        self,
        request: ApiRequest,
        transaction: Transaction,
        operations: list[Operation],
        *,
        all_or_none: bool,
        upsert: bool = False,
    ) -> ApiResponse:
        """Chunk by chunk; in an atomic composite the call is all or none whatever it says itself."""
        atomic = all_or_none or request.transaction is not None
        chunks = list(_chunks(operations))
        if len(chunks) > MAX_CHUNKS:
            raise ApiError(
                400, "LIMIT_EXCEEDED", f"The limit of {MAX_CHUNKS} chunks of one type was exceeded."
            )
        savepoint = transaction.layer.savepoint()
        results: dict[int, dict[str, Any]] = {}
        for chunk in chunks:
            await self._run_chunk(transaction, chunk, results, atomic=atomic)
        if atomic and any(each.errors for each in operations):
            transaction.layer.back_to(savepoint)
            results.clear()
            for each in operations:
                if each.saved:
                    each.errors.append(ROLLED_BACK)
        answer = [results.get(id(each)) or _result(each, upsert=upsert) for each in operations]
        failed = request.transaction is not None and any(each.errors for each in operations)
        return ApiResponse(400 if failed else 200, answer)

    async def _run_chunk(
        self,
        transaction: Transaction,
        chunk: Sequence[Operation],
        results: dict[int, dict[str, Any]],
        *,
        atomic: bool,
    ) -> None:
        if not chunk[0].sobject.is_event:
            for part in _by_kind(chunk):
                await self._engine.dml(transaction, part, all_or_none=atomic)
            return
        for operation in chunk:
            problem = self._engine.event_problem(operation.sobject, operation.values)
            if problem is not None:
                operation.errors.append(problem)
            if operation.saved:
                results[id(operation)] = published(self._engine, transaction, operation)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _chunks(operations: Iterable[Operation]) -> Iterable[list[Operation]]:
    chunk: list[Operation] = []
    for operation in operations:
        if operation.sobject is _NO_OBJECT:
            continue
        if chunk and chunk[0].sobject is not operation.sobject:
            yield chunk
            chunk = []
        chunk.append(operation)
    if chunk:
        yield chunk


def _by_kind(chunk: Sequence[Operation]) -> list[Sequence[Operation]]:
    """An upsert's updates and inserts: one DML statement each, as the org runs them."""
    kinds = dict.fromkeys(each.kind for each in chunk)
    return [[each for each in chunk if each.kind is kind] for kind in kinds]


def _check_count(count: int) -> None:
    if count > MAX_RECORDS:
        message = f"record limit reached. cannot submit more than {MAX_RECORDS} records into this call"
        raise ApiError(400, "EXCEEDED_ID_LIMIT", message)


def _result(operation: Operation, *, upsert: bool) -> dict[str, Any]:
    if operation.errors:
        result: dict[str, Any] = {"success": False, "errors": [each.in_result() for each in operation.errors]}
        if operation.record_id is not None and operation.kind is not ChangeKind.CREATE:
            result = {"id": operation.record_id, **result}
        return result
    result = {"id": operation.record_id, "success": True, "errors": []}
    if upsert:
        result["created"] = operation.created
    return result
