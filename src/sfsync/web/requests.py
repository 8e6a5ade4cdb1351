"""Reading requests: the body within its limits, the token with its rights."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Sequence
from typing import Any

from starlette.requests import ClientDisconnect, Request

from .json_text import BadJsonError, from_json
from .options import Token
from .problems import ProblemError, bad_fields, sentence

JSON_BODY_BYTES = 256 * 1024


async def read_body(request: Request, limit: int, seconds: float) -> bytes:
    """The whole body, untouched. One too large, too slow or cut short is a problem, never handed on."""
    too_large = ProblemError(
        413, "too-large", f"The body has more than {limit} bytes.", headers={"Connection": "close"}
    )
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError:
        detail = f"The body had not arrived after {seconds:g} seconds."
        raise ProblemError(408, "too-slow", detail, headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise ProblemError(400, "cut-short", "The body ended early.") from None
    return b"".join(parts)


async def read_object(request: Request, limit: int, seconds: float, *, needed: bool = True) -> dict[str, Any]:
    """The body as a JSON object; an empty one counts as ``{}`` where no body is needed."""
    body = await read_body(request, min(limit, JSON_BODY_BYTES), seconds)
    if not body and not needed:
        return {}
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(415, "not-json", "Send Content-Type: application/json.")
    try:
        value = from_json(body)
    except BadJsonError as error:
        raise ProblemError(400, "bad-json", sentence(str(error))) from None
    if not isinstance(value, dict):
        raise bad_fields({"body": "is not an object"})
    return value


class Doorkeeper:
    """Knows the tokens and what each may do."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        # Digests have one length, so that comparing them tells nothing, not even a token's length.
        self._tokens = [(_digest(token.secret.encode()), token) for token in tokens]

    def admit(self, request: Request, scope: str | None, *or_else: str) -> Token:
        """The party that asks; a problem when it is unknown, or lacks the scope (None: any will do).

        A token with one of `or_else` in the scope's place will do too.
        """
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise self._unknown("Send Authorization: Bearer with a token of these settings.")
        digest = _digest(given.strip().encode())
        found: Token | None = None
        for known, token in self._tokens:  # all of them: the time taken does not tell which one came close
            if hmac.compare_digest(known, digest):
                found = token
        if found is None:
            raise self._unknown("This token is not known here.", 'error="invalid_token"')
        request.state.party = found.name
        if scope is not None and found.scopes.isdisjoint({scope, *or_else}):
            header = {
                "WWW-Authenticate": f'Bearer realm="sfsync", error="insufficient_scope", scope="{scope}"'
            }
            detail = f"The token of {found.name} lacks the scope {scope}."
            raise ProblemError(403, "not-allowed", detail, headers=header)
        return found

    @staticmethod
    def _unknown(detail: str, error: str = "") -> ProblemError:
        challenge = 'Bearer realm="sfsync"' + (f", {error}" if error else "")
        return ProblemError(401, "who-are-you", detail, headers={"WWW-Authenticate": challenge})


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
