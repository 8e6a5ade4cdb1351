"""The ASGI side of the REST API: authentication, allowance, headers, bytes."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from sfsync.simulators.org.errors import ApiError, parser_error
from sfsync.simulators.org.rest.api import Api, checked_version, parse_query, split_path, versions
from sfsync.simulators.org.rest.limits import Usage, limit_exceeded
from sfsync.simulators.org.rest.request import ApiRequest, ApiResponse
from sfsync.simulators.org.sessions import Session, Sessions
from sfsync.simulators.org.values import to_json

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MAX_URI_BYTES = 16_384
_SCHEMES = ("bearer ", "oauth ")


class RestApp:
    """Everything below `/services/data`."""

    def __init__(self, api: Api, sessions: Sessions, usage: Usage) -> None:
        self.calls: Counter[str] = Counter()
        self._api = api
        self._sessions = sessions
        self._usage = usage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await read_body(receive)
        response = await self._answer(scope, headers, body)
        usage = self._usage.header(refused=_is_spent(response))
        await _respond(send, response, usage, head=scope["method"] == "HEAD")

    async def _answer(self, scope: Scope, headers: dict[str, str], body: bytes) -> ApiResponse:
        raw_path = scope.get("raw_path") or scope["path"].encode()
        query = scope["query_string"]
        try:
            _check_size(raw_path, query, headers)
            path = raw_path.decode("latin-1").partition("?")[0]
            if path.rstrip("/") == "/services/data":
                return ApiResponse(200, versions())
            version_text, segments = split_path(path)
            version = checked_version(version_text)
            session = self._session(headers)
            self._usage.count()
            body = _unpacked(headers, body)
        except ApiError as error:
            return ApiResponse(error.status, error.body())
        request = ApiRequest(
            method=scope["method"],
            path=segments,
            version=version,
            query=parse_query(query.decode("latin-1")),
            headers=headers,
            session=session,
            base_url=base_url(scope, headers),
            raw_body=body,
        )
        self.calls[_kind_of_call(request)] += 1
        return await self._api.handle(request)

    def _session(self, headers: dict[str, str]) -> Session:
        header = headers.get("authorization", "")
        scheme = next((each for each in _SCHEMES if header.lower().startswith(each)), None)
        session = None if scheme is None else self._sessions.find(header[len(scheme) :].strip())
        if session is None:
            raise ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
        return session


def _is_spent(response: ApiResponse) -> bool:
    """Whether this answer says that the day's calls are used up."""
    return response.status == 403 and response.body == limit_exceeded().body()


async def read_body(receive: Receive) -> bytes:
    """The whole request body."""
    chunks = []
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            break
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(chunks)


def _unpacked(headers: dict[str, str], body: bytes) -> bytes:
    """The body of a client that compresses what it sends."""
    packing = headers.get("content-encoding", "identity").strip().lower()
    if packing == "identity":
        return body
    # 31: gzip's own frame; 47: gzip's or zlib's, whichever is there.
    frames = {"gzip": 31, "x-gzip": 31, "deflate": 47}
    if packing not in frames:
        message = f"Content-Encoding specified in HTTP request is not supported: {packing}"
        raise ApiError(415, "UNSUPPORTED_MEDIA_TYPE", message)
    try:
        return zlib.decompress(body, wbits=frames[packing])
    except zlib.error as error:
        raise parser_error(f"The body is not in {packing} format at [line:1, column:1]") from error


def base_url(scope: Scope, headers: dict[str, str]) -> str:
    """Scheme and host as the caller wrote them."""
    return f"{scope.get('scheme', 'http')}://{headers.get('host', 'localhost')}"


def _check_size(raw_path: bytes, query: bytes, headers: dict[str, str]) -> None:
    uri = len(raw_path) + len(query) + 1
    if uri > MAX_URI_BYTES:
        raise ApiError(414, "URI_TOO_LONG", f"The URI is longer than {MAX_URI_BYTES} bytes.")
    if uri + sum(map(len, headers)) + sum(map(len, headers.values())) > MAX_URI_BYTES:
        message = f"URI and headers are longer than {MAX_URI_BYTES} bytes."
        raise ApiError(431, "REQUEST_HEADER_FIELDS_TOO_LARGE", message)


def _kind_of_call(request: ApiRequest) -> str:
    """`POST composite/sobjects`, `GET sobjects/StockLevel__c`: method and resource without record names."""
    return f"{request.method} {'/'.join(request.path[:2])}" if request.path[:1] != ("query",) else "GET query"


async def _respond(send: Send, response: ApiResponse, limit_info: str, *, head: bool) -> None:
    content = response.content
    content_type = response.headers.pop("content-type", "application/json;charset=UTF-8")
    if content is None:
        content = b"" if response.body is None else to_json(response.body)
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"cache-control", b"no-cache,must-revalidate,max-age=0,no-store,private"),
    ]
    if limit_info:
        headers.append((b"sforce-limit-info", limit_info.encode()))
    headers += [(name.lower().encode(), value.encode()) for name, value in response.headers.items()]
    if response.status in (204, 304):  # an empty answer has neither type nor length
        headers = headers[2:]
        content = b""
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else content})
