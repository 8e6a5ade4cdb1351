"""Bulk API 2.0 query: a job, its state, and its result as CSV in pages.

A job's rows are those of the moment at which it was made. It is complete when the knob `bulk_job_seconds` has
passed. Ingest jobs are not simulated (`jobs/ingest` answers 404).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.errors import ApiError, not_found
from sfsync.simulators.org.knobs import Knobs
from sfsync.simulators.org.rest.query import Queries
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.soql import QueryResult, SoqlError, column_names
from sfsync.simulators.org.values import show

_DELIMITERS = {
    "COMMA": ",",
    "BACKQUOTE": "`",
    "CARET": "^",
    "PIPE": "|",
    "SEMICOLON": ";",
    "TAB": "\t",
}
_LINE_ENDINGS = {"LF": "\n", "CRLF": "\r\n"}
_MOST_ROWS = 100_000  # in one page, when the client does not say


@dataclass(slots=True)
class _Job:
    """One query job."""

    id: str
    operation: str
    query: str
    entity: str
    columns: tuple[str, ...]
    result: QueryResult
    delimiter: str
    line_ending: str
    user_id: str
    created_at: datetime
    version: str
    ended: str | None = None  # Aborted


class BulkQueries:
    """The `jobs/query…` resources."""

    def __init__(self, queries: Queries, clock: Clock, knobs: Knobs) -> None:
        self._queries = queries
        self._clock = clock
        self._knobs = knobs
        self._jobs: dict[str, _Job] = {}
        self._made = 0

    async def create(self, request: ApiRequest) -> ApiResponse:
        body = request.json_object()
        operation, query = body.get("operation"), body.get("query")
        if operation not in ("query", "queryAll") or not isinstance(query, str):
            raise ApiError(400, "INVALIDJOB", "InvalidJob : a query job needs an operation and a query")
        delimiter, ending = body.get("columnDelimiter", "COMMA"), body.get("lineEnding", "LF")
        if not (isinstance(delimiter, str) and isinstance(ending, str)):
            raise ApiError(400, "INVALIDJOB", "InvalidJob : columnDelimiter and lineEnding are texts")
        if delimiter not in _DELIMITERS or ending not in _LINE_ENDINGS:
            raise ApiError(400, "INVALIDJOB", "InvalidJob : unknown columnDelimiter or lineEnding")
        self._made += 1
        result = self._queries.run(request, query, deleted=operation == "queryAll")
        job = _Job(
            id=f"750Wt{self._made:010d}AAA",
            operation=operation,
            query=query,
            entity=result.entity,
            columns=_columns(query),
            result=result,
            delimiter=delimiter,
            line_ending=ending,
            user_id=request.session.user.id,
            created_at=self._clock.now(),
            version=request.version,
        )
        self._jobs[job.id] = job
        shown = self._shown(job)
        return ApiResponse(200, {**shown, "state": "UploadComplete"} if job.ended is None else shown)

    async def every(self, request: ApiRequest) -> ApiResponse:
        return ApiResponse(
            200,
            {
                "done": True,
                "records": [self._shown(job) for job in self._jobs.values()],
                "nextRecordsUrl": None,
            },
        )

    async def read(self, request: ApiRequest, job_id: str) -> ApiResponse:
        return ApiResponse(200, self._shown(self._job(job_id), finished=True))

    async def abort(self, request: ApiRequest, job_id: str) -> ApiResponse:
        job = self._job(job_id)
        if request.json_object().get("state") != "Aborted":
            raise ApiError(400, "INVALIDJOBSTATE", "InvalidJobState : a query job can only be aborted")
        if self._state(job) == "JobComplete":
            raise ApiError(400, "INVALIDJOBSTATE", "InvalidJobState : the job is complete")
        job.ended = "Aborted"
        return ApiResponse(200, self._shown(job))

    async def forget(self, request: ApiRequest, job_id: str) -> ApiResponse:
        del self._jobs[self._job(job_id).id]
        return ApiResponse(204)

    async def results(self, request: ApiRequest, job_id: str) -> ApiResponse:
        job = self._job(job_id)
        if self._state(job) != "JobComplete":
            raise ApiError(400, "INVALIDJOBSTATE", f"InvalidJobState : the job is {self._state(job)}")
        wanted, locator = request.query.get("maxRecords", ""), request.query.get("locator", "")
        size = int(wanted) if wanted.isdigit() and int(wanted) else _MOST_ROWS
        start = int(locator) if locator.isdigit() else 0
        if locator and locator != "null" and not locator.isdigit():
            raise ApiError(400, "INVALIDQUERYLOCATOR", f"InvalidQueryLocator : {locator}")
        rows = job.result.page(start, size)
        end = start + len(rows)
        headers = {
            "content-type": "text/csv",
            "Sforce-NumberOfRecords": str(len(rows)),
            "Sforce-Locator": str(end) if end < len(job.result.rows) else "null",
        }
        return ApiResponse(200, headers=headers, content=_csv(job, rows))

    def _job(self, job_id: str) -> _Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise not_found()
        return job

    def _state(self, job: _Job) -> str:
        if job.ended is not None:
            return job.ended
        ready_at = job.created_at + timedelta(seconds=self._knobs.bulk_job_seconds)
        return "JobComplete" if self._clock.now() >= ready_at else "InProgress"

    def _shown(self, job: _Job, *, finished: bool = False) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "id": job.id,
            "operation": job.operation,
            "object": job.entity,
            "createdById": job.user_id,
            "createdDate": show(job.created_at),
            "systemModstamp": show(job.created_at),
            "state": self._state(job),
            "concurrencyMode": "Parallel",
            "contentType": "CSV",
            "apiVersion": float(job.version),
            "lineEnding": job.line_ending,
            "columnDelimiter": job.delimiter,
        }
        if finished:
            shown |= {
                "jobType": "V2Query",
                "numberRecordsProcessed": job.result.total_size if shown["state"] == "JobComplete" else 0,
                "retries": 0,
                "totalProcessingTime": round(self._knobs.bulk_job_seconds * 1000),
                "isPkChunkingSupported": True,
            }
        return shown


def _columns(query: str) -> tuple[str, ...]:
    try:
        return tuple(column_names(query))
    except SoqlError as error:
        raise ApiError(400, error.code, error.message) from error


def _csv(job: _Job, rows: Sequence[dict[str, Any]]) -> bytes:
    """Header and rows, every field quoted, as Bulk API 2.0 writes them."""
    join, end = _DELIMITERS[job.delimiter].join, _LINE_ENDINGS[job.line_ending]
    readers = [_reader(name) for name in job.columns]
    lines = [join(_quoted(name) for name in job.columns)]
    lines += [join(_quoted(_text(read(row))) for read in readers) for row in rows]
    return (end.join(lines) + end).encode()


def _reader(column: str) -> Callable[[dict[str, Any]], Any]:
    steps = [step.lower() for step in column.split(".")]

    def read(row: dict[str, Any]) -> Any:
        found: Any = row
        for step in steps:
            if found is None:
                return None
            found = next((value for name, value in found.items() if name.lower() == step), None)
        return found

    return read


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{value.microsecond // 1000:03d}Z"
    if isinstance(value, date):
        return value.isoformat()
    return str(value).replace("+0000", "Z") if _looks_like_instant(str(value)) else str(value)


def _looks_like_instant(text: str) -> bool:
    return len(text) == len("2026-11-23T07:33:00.000+0000") and text.endswith("+0000") and text[10] == "T"


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
