"""How an org says no: the error of one record, and the error of a whole request.

A `SaveError` stands beside the record that caused it (collections answer 200 and list them);
an `ApiError` ends the request and carries its HTTP status.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOT_FOUND_MESSAGE = "The requested resource does not exist"
ROLLED_BACK_MESSAGE = (
    "Record rolled back because not all records were valid and the request was using AllOrNone header"
)
HALTED_MESSAGE = "The transaction was rolled back since another operation in the same transaction failed."
BATCH_RETRIES_MESSAGE = "Too many batch retries in the presence of Apex triggers and partial failures."


@dataclass(frozen=True, slots=True)
class SaveError:
    """Why one record was not saved: code, message and the fields named."""

    code: str
    message: str
    fields: tuple[str, ...] = ()

    def in_result(self) -> dict[str, Any]:
        """The form inside a save result (collections, publish)."""
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)}

    def in_body(self) -> dict[str, Any]:
        """The form in the error array of a single-record request."""
        return {"message": self.message, "errorCode": self.code, "fields": list(self.fields)}


ROLLED_BACK = SaveError("ALL_OR_NONE_OPERATION_ROLLED_BACK", ROLLED_BACK_MESSAGE)
BATCH_RETRIES = SaveError("UNKNOWN_EXCEPTION", BATCH_RETRIES_MESSAGE)

# Single-record requests answer 400 for a failed save, except for these codes.
_STATUS_OF_CODE = {"ENTITY_IS_DELETED": 404, "NOT_FOUND": 404}


def status_of(error: SaveError) -> int:
    """HTTP status with which a single-record request reports `error`."""
    return _STATUS_OF_CODE.get(error.code, 400)


class ApiError(Exception):
    """Ends a request: HTTP status and the array of errors in its body."""

    def __init__(self, status: int, code: str, message: str, fields: tuple[str, ...] | None = None) -> None:
        super().__init__(f"{code}: {message}")
        self.status = status
        self.code = code
        self.message = message
        self.fields = fields

    def body(self) -> list[dict[str, Any]]:
        entry: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        if self.fields is not None:
            entry["fields"] = list(self.fields)
        return [entry]


class SaveFailed(ApiError):
    """A single-record request whose save was refused, with all its errors."""

    def __init__(self, errors: tuple[SaveError, ...], status: int | None = None) -> None:
        first = errors[0]
        super().__init__(status or status_of(first), first.code, first.message, first.fields)
        self.errors = errors

    def body(self) -> list[dict[str, Any]]:
        return [error.in_body() for error in self.errors]


def not_found(message: str = NOT_FOUND_MESSAGE) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


def parser_error(message: str) -> ApiError:
    return ApiError(400, "JSON_PARSER_ERROR", message)
