"""Reading requests: the body within its limits, and the party with its rights."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from .json_text import BadJsonError, from_json
from .problems import ProblemError, bad_fields, sentence

__all__ = ["read_body", "read_form", "read_object"]

JSON_BODY_BYTES = 256 * 1024
FORM_BYTES = 64 * 1024
FORM_FIELDS = 300


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


async def read_form(request: Request, seconds: float) -> dict[str, str]:
    """The fields of a form; the last of each name counts."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/x-www-form-urlencoded":
        raise ProblemError(415, "not-a-form", "Send Content-Type: application/x-www-form-urlencoded.")
    body = await read_body(request, FORM_BYTES, seconds)
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FORM_FIELDS))
    except ValueError:
        raise ProblemError(400, "bad-form", "The form cannot be read.") from None
    if any(unkept(name) or unkept(text) for name, text in fields.items()):
        raise ProblemError(400, "bad-form", "The form contains characters that cannot be kept, such as NUL.")
    return fields


def unkept(text: str) -> bool:
    """True for a text that no database keeps: with NUL, or half a character."""
    return "\0" in text or (not text.isascii() and any("\ud800" <= each <= "\udfff" for each in text))
