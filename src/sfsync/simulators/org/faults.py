"""Faults by switch or by probability: what can go wrong between a client and the org.

A fault is armed for its next `times` requests, or strikes with a `probability` drawn from the org's own
randomness. `method` and `path` (a prefix) narrow down which requests, `begins` which new records. Nothing is
armed at start.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from random import Random
from typing import Any

from sfsync.simulators.org.errors import SaveError
from sfsync.simulators.org.rest.server import Receive, Scope, Send
from sfsync.simulators.org.values import to_json

KINDS: dict[str, str] = {
    "drop": "the connection is cut before any work: nothing happened",
    "cut_after": "the work is done and committed, then the connection is cut without an answer",
    "error": "an answer with `status` (500) before any work; `retry_after` seconds go into the header",
    "error_after": "the work is done and committed, then the answer is `status` (503)",
    "delay": "the request waits `seconds` before any work",
    "delay_after": "the answer waits `seconds` after the work was committed",
    "hang": "the request is never answered and never worked on, until the client gives up",
    "lock": "the next DML statement cannot get its row locks: UNABLE_TO_LOCK_ROW",
    "refuse_row": "a new record is refused by a rule of somebody's, and the others beside it are not: "
    "FIELD_CUSTOM_VALIDATION_EXCEPTION; `begins` narrows it to records with a text that begins so",
    "storage_full": "a new record is refused because the org's data storage is full: STORAGE_LIMIT_EXCEEDED",
    "phantom": "a new record has the key of another one that is being saved, and that is rolled back: "
    "DUPLICATE_VALUE, and no such record comes to stand; `begins` narrows it as above",
    "throttle": "403 REQUEST_LIMIT_EXCEEDED for too many long requests at once: to be sent again later",
    "daily_limit": "403 REQUEST_LIMIT_EXCEEDED, as if the daily allowance were used up",
    "expire_token": "every access token ends just before the request: 401 INVALID_SESSION_ID",
    "expire_token_after": "the request is worked on and answered, then every access token ends: "
    "what was begun by several requests stands half done",
}

_CODES = {
    500: "UNKNOWN_EXCEPTION",
    502: "SERVER_UNAVAILABLE",
    503: "SERVER_UNAVAILABLE",
    420: "SERVER_UNAVAILABLE",
}


# What `--faults SEED` arms: each kind with the share of requests it strikes.
MIX: dict[str, float] = {
    "drop": 0.01,
    "cut_after": 0.01,
    "error": 0.01,
    "error_after": 0.005,
    "delay": 0.02,
    "lock": 0.02,
    "throttle": 0.005,
    "expire_token": 0.002,
    "expire_token_after": 0.002,
}
# What strikes a DML statement, or a record of one, and no request.
_DEEPER = frozenset({"lock", "refuse_row", "storage_full", "phantom"})
_REFUSALS = {
    "refuse_row": SaveError("FIELD_CUSTOM_VALIDATION_EXCEPTION", "Ask the floor manager first."),
    "storage_full": SaveError("STORAGE_LIMIT_EXCEEDED", "storage limit exceeded"),
    "phantom": SaveError(
        "DUPLICATE_VALUE",
        "duplicate value found: IdempotencyKey__c duplicates value on record with id: <unknown>",
    ),
}
_MIX_DELAY_SECONDS = 0.2


class ConnectionCut(ConnectionResetError):
    """The fault's effect where there is no socket to cut (the app called in-process)."""


@dataclass(slots=True)
class Fault:
    """One armed fault; `times` None is without end."""

    kind: str
    times: int | None = 1
    probability: float = 1.0
    method: str | None = None
    path: str | None = None
    status: int = 0
    seconds: float = 0.0
    retry_after: int | None = None
    begins: str = ""
    struck: int = 0


class Faults:
    """The armed faults, in the order of arming."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._armed: list[Fault] = []
        self.struck: dict[str, int] = {}

    def arm(self, fault: Fault) -> None:
        """Raises ValueError for an unknown kind."""
        if fault.kind not in KINDS:
            raise ValueError(f"no fault {fault.kind!r}; there are {', '.join(KINDS)}")
        if not 0.0 <= fault.probability <= 1.0:
            raise ValueError("probability is between 0 and 1")
        self._armed.append(fault)

    def seed(self, seed: int) -> None:
        """Begins the chance anew: the same seed and requests give the same faults."""
        self._random = Random(seed)  # noqa: S311 — chance that repeats itself is the purpose

    def arm_mix(self, seed: int) -> None:
        """Arms a bit of everything by chance; the same seed and requests give the same faults."""
        self.seed(seed)
        for kind, probability in MIX.items():
            seconds = _MIX_DELAY_SECONDS if kind == "delay" else 0.0
            self.arm(Fault(kind, times=None, probability=probability, status=503, seconds=seconds))

    def clear(self) -> None:
        self._armed.clear()

    def disarm(self, fault: Fault) -> None:
        """Ends this one, if it is armed still."""
        self._armed = [each for each in self._armed if each is not fault]

    def shown(self) -> list[dict[str, Any]]:
        return [asdict(fault) for fault in self._armed]

    def draw(self, method: str, path: str) -> Fault | None:
        """The fault that strikes this request, if any."""
        if not self._armed:
            return None
        return self._first(lambda fault: fault.kind not in _DEEPER and _concerns(fault, method, path))

    def draw_lock(self) -> bool:
        """Whether this DML statement fails to get its locks."""
        if not self._armed:
            return False
        return self._first(lambda fault: fault.kind == "lock") is not None

    def draw_refusal(self, values: Mapping[str, Any]) -> SaveError | None:
        """Why a record with these values is not created, if it is not."""
        if not self._armed:
            return None
        found = self._first(lambda fault: fault.kind in _REFUSALS and _begins(values, fault.begins))
        return None if found is None else _REFUSALS[found.kind]

    def _first(self, fits: Callable[[Fault], bool]) -> Fault | None:
        for fault in self._armed:
            if not fits(fault):
                continue
            if fault.probability < 1.0 and self._random.random() >= fault.probability:
                continue
            fault.struck += 1
            self.struck[fault.kind] = self.struck.get(fault.kind, 0) + 1
            if fault.times is not None and fault.struck >= fault.times:
                self._armed.remove(fault)
            return fault
        return None


def _begins(values: Mapping[str, Any], text: str) -> bool:
    return not text or any(isinstance(each, str) and each.startswith(text) for each in values.values())


def _concerns(fault: Fault, method: str, path: str) -> bool:
    return fault.method in (None, method) and (fault.path is None or fault.path in path)


class FaultyApp:
    """The org's ASGI app with the armed faults before and after it."""

    def __init__(self, app: Any, faults: Faults, end_sessions: Callable[[], int]) -> None:
        self._app = app
        self._faults = faults
        self._end_sessions = end_sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = None
        if scope["type"] == "http":
            fault = self._faults.draw(scope["method"], scope["path"])
        if fault is None:
            await self._app(scope, receive, send)
        else:
            await self._strike(fault, scope, receive, send)

    async def _strike(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.kind == "drop":
            cut_connection(scope)
        elif fault.kind == "hang":
            await _hang(receive)
        elif fault.kind in ("cut_after", "error_after", "delay_after"):
            await self._after(fault, scope, receive, send)
        elif fault.kind == "error":
            await _send_error(fault, fault.status or 500, send)
        elif fault.kind == "daily_limit":
            await _refuse(send, "TotalRequests Limit exceeded.")
        elif fault.kind == "throttle":
            await _refuse(send, "ConcurrentRequests (Concurrent API Requests) Limit exceeded.")
        elif fault.kind == "expire_token_after":
            await self._app(scope, receive, send)
            self._end_sessions()
        else:
            if fault.kind == "expire_token":
                self._end_sessions()
            await asyncio.sleep(fault.seconds)
            await self._app(scope, receive, send)

    async def _after(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets the org do its work, keeps its answer back, then goes wrong."""
        kept: list[Any] = []

        async def keep(message: Any) -> None:
            kept.append(message)

        await self._app(scope, receive, keep)
        if fault.kind == "cut_after":
            cut_connection(scope)
        elif fault.kind == "error_after":
            await _send_error(fault, fault.status or 503, send)
        else:
            await asyncio.sleep(fault.seconds)
            for message in kept:
                await send(message)


def cut_connection(scope: Scope) -> None:
    """Aborts the socket without a word; in-process there is none, so the caller gets `ConnectionCut`."""
    transport = scope.get("state", {}).get("transport")
    if transport is None:
        raise ConnectionCut("the connection was cut")
    transport.abort()


async def _hang(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _refuse(send: Send, message: str) -> None:
    await _send(send, 403, [{"message": message, "errorCode": "REQUEST_LIMIT_EXCEEDED"}], [])


async def _send_error(fault: Fault, status: int, send: Send) -> None:
    code = _CODES.get(status, "UNKNOWN_EXCEPTION")
    body = [{"message": "An unexpected error occurred. Please try again.", "errorCode": code}]
    headers = [] if fault.retry_after is None else [(b"retry-after", str(fault.retry_after).encode())]
    await _send(send, status, body, headers)


async def _send(send: Send, status: int, body: Any, headers: list[tuple[bytes, bytes]]) -> None:
    content = to_json(body)
    headers = [*headers, (b"content-type", b"application/json;charset=UTF-8")]
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
