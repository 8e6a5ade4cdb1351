"""The storefront: its door for messages, what it shows, and the control port that tells of it."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import hmac
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sfsync.simulators.receiver.trouble import Trouble, Troubles
from sfsync.simulators.shopify.wire import CutResponse

TOLERANCE_SECONDS = 300
SLOW_SECONDS = 60.0


class Storefront:
    """It shows what it was told. `app` is what the world sees, `control` what only a test may touch."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self.secrets = list(secrets)
        self.public_url = ""
        self.shows: dict[tuple[str, str], tuple[int, int]] = {}  # SKU, location -> quantity, sequence
        self.messages: list[dict[str, Any]] = []  # every one that was rightly signed
        self.refused = 0  # others
        self.unknown: set[str] = set()  # SKUs that it does not have
        self.names_unknown = True  # it says which
        self.useless: list[str] = []  # types of message that it cannot use
        self.gone = False
        self.closes = False  # each connection after its answer
        self.troubles = Troubles()
        self.app = Starlette(routes=[Route("/{path:path}", self._receive, methods=["POST", "GET"])])
        self.control = Starlette(
            routes=[
                Route("/state", self._state, methods=["GET"]),
                Route("/state", self._change, methods=["PATCH"]),
                Route("/troubles", self._order, methods=["POST"]),
                Route("/troubles", self._clear, methods=["DELETE"]),
            ]
        )

    # -- its door

    async def _receive(self, request: Request) -> Response:
        body = await request.body()
        trouble = self.troubles.strike()
        early = await self._before(trouble)
        answer = early if early is not None else self._handled(request.headers, body, trouble)
        if self.closes:
            answer.headers["connection"] = "close"
        return await self._after(answer, trouble) if early is None else answer

    async def _before(self, trouble: Trouble | None) -> Response | None:
        """The answer of trouble that does nothing with the message."""
        match trouble:
            case Trouble(kind="error_before"):
                headers = {"retry-after": trouble.retry_after} if trouble.retry_after else {}
                return Response(b"not now", trouble.status or 503, headers)
            case Trouble(kind="cut_before"):
                return CutResponse()
            case Trouble(kind="redirect"):
                return Response(b"", 307, {"location": trouble.location})
            case Trouble(kind="wrong_json"):
                return Response(b'{"errors": [{"sku": ["?"]}, 7', 422)
            case Trouble(kind="slow_before"):
                await asyncio.sleep(trouble.seconds or SLOW_SECONDS)
        return None

    async def _after(self, answer: Response, trouble: Trouble | None) -> Response:
        """The answer of trouble that strikes once the message was dealt with."""
        match trouble:
            case Trouble(kind="error_after"):
                return Response(b"oh no", trouble.status or 500)
            case Trouble(kind="cut_after"):
                return CutResponse()
            case Trouble(kind="half_answer"):
                return CutResponse(Response(b'{"applied": "everything"}', 200))
            case Trouble(kind="slow_after"):
                await asyncio.sleep(trouble.seconds or SLOW_SECONDS)
            case Trouble(kind="flood"):
                return StreamingResponse(_endless())
            case Trouble(kind="bomb"):
                packed = gzip.compress(bytes(50_000_000))
                return Response(packed[:-9], 200, {"content-encoding": "gzip"})
        return answer

    def _handled(self, headers: Mapping[str, str], body: bytes, trouble: Trouble | None) -> Response:
        if self.gone:
            return Response(b"", 410)
        signed_by = self._signed_by(headers, body)
        if not signed_by:
            self.refused += 1
            return JSONResponse({"error": "not signed by whom we know"}, 401)
        message = orjson.loads(body)
        levels = message["data"].get("levels", ())
        told: dict[str, Any] = {
            "id": headers["webhook-id"],
            "timestamp": int(headers["webhook-timestamp"]),
            "signatures": len(headers["webhook-signature"].split()),
            "signed_by": signed_by,
            "trouble": trouble.kind if trouble else None,
            "message": message,
            "applied": 0,
            "old": 0,
        }
        self.messages.append(told)
        unknown = [each for each in levels if each["sku"] in self.unknown]
        if unknown:
            errors = [
                {"sku": each["sku"], "location": each["location"], "detail": "there is no such product here"}
                for each in unknown
            ]
            return JSONResponse({"errors": errors} if self.names_unknown else {"error": "no"}, 422)
        if message["type"] in self.useless:
            return Response(b"", 422)
        for each in levels:
            place = each["sku"], each["location"]
            if each["sequence"] <= self.shows.get(place, (0, 0))[1]:
                told["old"] += 1
            else:
                self.shows[place] = each["quantity"], each["sequence"]
                told["applied"] += 1
        return Response(b"", 204)

    def _signed_by(self, headers: Mapping[str, str], body: bytes) -> list[int]:
        """Which of our secrets, by their place, signed this message in the last minutes."""
        number, moment = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
        if not number or not moment.isdigit() or abs(time.time() - int(moment)) > TOLERANCE_SECONDS:
            return []
        signed = f"{number}.{moment}.".encode() + body
        given = {
            part.partition(",")[2]
            for part in headers.get("webhook-signature", "").split()
            if part[:3] == "v1,"
        }
        found = []
        for place, secret in enumerate(self.secrets):
            key = base64.b64decode(secret.removeprefix("whsec_"))
            if base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode() in given:
                found.append(place)
        return found

    # -- its control port

    async def _state(self, _: Request) -> Response:
        shows = [
            {"sku": sku, "location": location, "quantity": quantity, "sequence": sequence}
            for (sku, location), (quantity, sequence) in sorted(self.shows.items())
        ]
        return JSONResponse({"shows": shows, "messages": self.messages, "refused": self.refused})

    async def _change(self, request: Request) -> Response:
        wanted = orjson.loads(await request.body())
        known = {"secrets", "unknown", "useless", "names_unknown", "gone", "closes"}
        if strange := set(wanted) - known:
            return JSONResponse(
                {"error": f"unknown {', '.join(sorted(strange))}; known: {sorted(known)}"}, 400
            )
        for name, value in wanted.items():
            setattr(self, name, set(value) if name == "unknown" else value)
        return Response(b"", 204)

    async def _order(self, request: Request) -> Response:
        try:
            return JSONResponse(self.troubles.order(orjson.loads(await request.body())).as_json(), 201)
        except ValueError as error:
            return JSONResponse({"error": str(error)}, 400)

    async def _clear(self, _: Request) -> Response:
        self.troubles.waiting.clear()
        return Response(b"", 204)


async def _endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0.01)
