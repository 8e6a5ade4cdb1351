"""What all RPCs of the Pub/Sub API share: metadata, documented error codes, and the way a call fails."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn, Protocol, TypeAlias

import grpc
import grpc.aio

from sfsync.simulators.org.stream import (
    ALLOWANCE_USED_UP,
    REPLAY_REFUSED,
    SERVICE_UNAVAILABLE,
    TOPIC_FORBIDDEN,
    StreamEnded,
)

CODE_PREFIX = "sfdc.platform.eventbus.grpc."

AUTH_ERROR = "service.auth.error"
AUTH_HEADERS_INVALID = "service.auth.headers.invalid"
TOPIC_NOT_FOUND = "topic.not.found"
TOPIC_EMPTY = "topic.validation.empty"
SCHEMA_INVALID = "schema.validation.failed"
REPLAY_MISSING = "subscription.fetch.replayid.validation.failed"
REQUESTED_INVALID = "subscription.fetch.requested.events.invalid"
TOPIC_MISMATCH = "subscription.fetch.topic.mismatch"
PUBLISH_COUNT_INVALID = "publish.event.count.invalid"
PUBLISH_TOPIC_EMPTY = "publish.topic.validation.empty"
PUBLISH_FORBIDDEN = "topic.meta.permission"
CUT = "cut"  # no code of the service: the network's own way to end a stream

Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]

# Statuses are secondary knowledge and clients must branch on the code alone.
_STATUS = {
    AUTH_ERROR: grpc.StatusCode.UNAUTHENTICATED,
    AUTH_HEADERS_INVALID: grpc.StatusCode.UNAUTHENTICATED,
    TOPIC_NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    TOPIC_EMPTY: grpc.StatusCode.INVALID_ARGUMENT,
    TOPIC_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    PUBLISH_FORBIDDEN: grpc.StatusCode.PERMISSION_DENIED,
    ALLOWANCE_USED_UP: grpc.StatusCode.RESOURCE_EXHAUSTED,
    REPLAY_REFUSED: grpc.StatusCode.INVALID_ARGUMENT,
    SERVICE_UNAVAILABLE: grpc.StatusCode.INTERNAL,
    CUT: grpc.StatusCode.UNAVAILABLE,
}
_AUTH_MESSAGE = (
    "An authentication exception occurred. Provide valid authentication via metadata headers. "
    "Ensure that the access token, instance URL and tenant id are right."
)


class TokenCheck(Protocol):
    """What the event side asks of the org about a caller."""

    def user_of(self, token: str, instance_url: str, tenant_id: str) -> str | None:
        """Returns the id of the user whose valid token this is; None refuses."""


@dataclass(slots=True)
class Call:
    """One RPC's identity, and its way to fail."""

    rpc: str
    rpc_id: str
    context: Context
    credentials: tuple[str, str, str] = ("", "", "")  # access token, instance URL, tenant id
    user_id: str = ""

    async def fail(self, code: str, message: str) -> NoReturn:
        """Ends the RPC with a documented code (without its prefix) in the trailers."""
        named = () if code == CUT else (("error-code", CODE_PREFIX + code),)
        trailers = (*named, ("rpc-id", self.rpc_id), ("type", self.rpc))
        status = _STATUS.get(code, grpc.StatusCode.INVALID_ARGUMENT)
        await self.context.abort(status, f"{message} rpcId: {self.rpc_id}", trailers)
        raise AssertionError("abort has raised")


class Gate:
    """Lets calls in: checks the metadata that every RPC carries, and the refusals that were ordered."""

    def __init__(self, tokens: TokenCheck) -> None:
        self._tokens = tokens
        self._refusals: dict[str, list[str]] = {}

    def refuse_next(self, rpc: str, code: str, count: int) -> None:
        """Orders that the next calls of an RPC fail with a code."""
        self._refusals.setdefault(rpc, []).extend([code] * count)

    async def enter(self, rpc: str, rpc_id: str, context: Context) -> Call:
        """Returns the call of a welcome caller; otherwise ends the RPC."""
        call = Call(rpc, rpc_id, context)
        metadata = dict(context.invocation_metadata() or ())
        token, instance, tenant = (
            str(metadata.get(key, "")).strip() for key in ("accesstoken", "instanceurl", "tenantid")
        )
        if not (token and instance and tenant):
            await call.fail(AUTH_HEADERS_INVALID, "The authentication headers are invalid.")
        user_id = self._tokens.user_of(token, instance, tenant)
        if user_id is None:
            await call.fail(AUTH_ERROR, _AUTH_MESSAGE)
        if ordered := self._refusals.get(rpc):
            await call.fail(ordered.pop(0), "The service is unavailable. Try again later.")
        call.credentials = (token, instance, tenant)
        call.user_id = user_id
        return call

    def check_again(self, call: Call) -> None:
        """Raises StreamEnded when a call that was let in is not welcome any more."""
        if self._tokens.user_of(*call.credentials) is None:
            raise StreamEnded(AUTH_ERROR, _AUTH_MESSAGE)
