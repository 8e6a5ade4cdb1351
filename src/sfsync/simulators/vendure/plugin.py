"""sfsync's plugin as the world meets it: a signed webhook for each order that has changed, tried again."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import time
from contextlib import suppress

import httpx

from sfsync.simulators.shopify.clock import iso
from sfsync.simulators.shopify.faults import FaultPlan
from sfsync.simulators.vendure.shop import Order, Shop

TRIES = 20
WAIT_SECONDS = 0.2
PATIENCE_SECONDS = 10.0
KINDS = ("lose", "duplicate", "late")


class Plugin:
    """Posts, in the background."""

    def __init__(self, shop: Shop, faults: FaultPlan) -> None:
        self._shop, self._faults = shop, faults
        self.url = shop.config.webhook_url
        self._numbers = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()
        shop.tell = self.tell

    def tell(self, order: Order) -> None:
        """An order has changed."""
        faults = self._faults.strikes(KINDS, ["webhook"])
        if not self.url or not self._shop.config.knobs.webhooks or "lose" in faults:
            return
        identity = f"{order.number}-{next(self._numbers)}"
        body = json.dumps(
            {"type": "order.changed", "timestamp": iso(order.changed_at), "data": {"order": order.number}},
            separators=(",", ":"),
        )
        late = faults["late"].seconds if "late" in faults else 0.0
        for _ in range(2 if "duplicate" in faults else 1):
            task = asyncio.create_task(self._post(identity, body.encode(), late))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _post(self, identity: str, body: bytes, late_seconds: float) -> None:
        await asyncio.sleep(late_seconds)
        async with httpx.AsyncClient(trust_env=False, timeout=PATIENCE_SECONDS) as http:
            for _ in range(TRIES):
                with suppress(httpx.HTTPError):
                    answer = await http.post(self.url, content=body, headers=self._headers(identity, body))
                    if answer.is_success:
                        return
                await asyncio.sleep(WAIT_SECONDS)

    def _headers(self, identity: str, body: bytes) -> dict[str, str]:
        now = int(time.time())
        key = base64.b64decode(self._shop.config.webhook_secret.removeprefix("whsec_"))
        signed = hmac.digest(key, f"{identity}.{now}.".encode() + body, hashlib.sha256)
        return {
            "content-type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
        }
