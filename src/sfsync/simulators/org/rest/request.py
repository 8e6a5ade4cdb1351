"""One API request and its answer, independent of the server that carried it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from sfsync.simulators.org.engine import Caller, Transaction
from sfsync.simulators.org.errors import ApiError, parser_error
from sfsync.simulators.org.sessions import Session

_UNREAD: Any = object()


@dataclass(slots=True)
class ApiRequest:
    """A request below `/services/data/vXX.X`; `transaction` is set when it is part of an atomic composite."""

    method: str
    path: tuple[str, ...]  # the decoded segments after the version
    version: str
    query: Mapping[str, str]
    headers: Mapping[str, str]  # names in lower case
    session: Session
    base_url: str = ""  # scheme and host by which the caller reached the org
    raw_body: bytes = b""
    parsed_body: Any = field(default=_UNREAD)
    transaction: Transaction | None = None

    @property
    def prefix(self) -> str:
        return f"/services/data/v{self.version}"

    def json(self) -> Any:
        """The body; refuses other content types and broken JSON as an org does."""
        if self.parsed_body is not _UNREAD:
            return self.parsed_body
        content_type = self.headers.get("content-type", "application/json")
        if not content_type.lower().startswith("application/json"):
            message = f"Content-Type header specified in HTTP request is not supported: {content_type}"
            raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
        try:
            self.parsed_body = orjson.loads(self.raw_body)
        except orjson.JSONDecodeError as error:
            message = f"{error.msg} at [line:{error.lineno}, column:{error.colno}]"
            raise parser_error(message) from error
        return self.parsed_body

    def json_object(self) -> dict[str, Any]:
        """The body, which has to be a JSON object."""
        body = self.json()
        if not isinstance(body, dict):
            raise parser_error("The HTTP entity body is required to be a JSON object at [line:1, column:1]")
        return body

    def caller(self) -> Caller:
        """User and origin; the origin names the client that `Sforce-Call-Options` tells."""
        origin = f"com/salesforce/api/rest/{self.version}"
        client = _option(self.headers.get("sforce-call-options", ""), "client")
        return Caller(self.session.user.id, f"{origin};client={client}" if client else origin)

    def batch_size(self) -> int:
        """Records per page of a query, from `Sforce-Query-Options: batchSize=n` (200 to 2000)."""
        text = _option(self.headers.get("sforce-query-options", ""), "batchsize")
        size = int(text) if text.isdigit() else MAX_PAGE
        return min(max(size, MIN_PAGE), MAX_PAGE)


MIN_PAGE = 200
MAX_PAGE = 2000


def _option(header: str, name: str) -> str:
    for part in header.split(","):
        key, _, value = part.strip().partition("=")
        if key.strip().lower() == name:
            return value.strip()
    return ""


@dataclass(slots=True)
class ApiResponse:
    """Status, body as JSON values (None is no body) and headers."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None  # a body that is not JSON, e.g. CSV

    @property
    def failed(self) -> bool:
        return self.status >= 300  # 300 is several records found, nothing written
