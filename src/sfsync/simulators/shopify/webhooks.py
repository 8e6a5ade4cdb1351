"""Webhook subscriptions and deliveries, by Shopify's rules.

A delivery is signed over its raw bytes, has one second to connect and five in all, and is
repeated eight times over four hours with the body of the first try. A subscription made by
the API is removed when a delivery has failed to the end and none got through meanwhile.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import random
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson

from sfsync.simulators.shopify.clock import ShopClock
from sfsync.simulators.shopify.config import API_VERSION, ShopConfig
from sfsync.simulators.shopify.faults import WEBHOOK_KINDS, Fault, FaultPlan
from sfsync.simulators.shopify.model import gid
from sfsync.simulators.shopify.stock import Numbers
from sfsync.simulators.uuids import new_uuid

CONNECT_LIMIT_SECONDS = 1.0
TOTAL_LIMIT_SECONDS = 5.0
RETRIES = 8
# Doubling waits that add up to four hours.
RETRY_WAITS_SECONDS = tuple(4 * 3600 * 2**n / (2**RETRIES - 1) for n in range(RETRIES))
DELIVERIES_REMEMBERED = 20_000
DELIVERIES_AT_ONCE = 64
REORDER_LIMIT_SECONDS = 30.0
_LIMITS = httpx.Timeout(TOTAL_LIMIT_SECONDS, connect=CONNECT_LIMIT_SECONDS)

Post = Callable[[str, bytes, Mapping[str, str], float], Awaitable[int]]
"""Carries a delivery: URL, body, headers, and how many seconds it may take; answers with the status."""


@dataclass(eq=False, slots=True, kw_only=True)
class Subscription:
    """Who wants to hear of what. `by_app` ones stand in the app's settings and are not listed by the API."""

    number: int
    topic: str  # as on the wire: orders/create
    uri: str
    created_at: float
    updated_at: float
    format: str = "JSON"
    include_fields: list[str] = field(default_factory=list)
    name: str | None = None
    by_app: bool = False
    last_success_at: float = 0.0
    filter: str | None = None
    metafield_namespaces: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return gid("WebhookSubscription", self.number)


@dataclass(eq=False, slots=True)
class Delivery:
    """One event on its way to one subscription."""

    number: int
    webhook_id: str
    event_id: str
    topic: str
    url: str
    triggered_at: float
    subscription: Subscription
    state: str = "pending"  # pending, delivered, failed, lost
    body: bytes | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The delivery's own record, for the control port."""
        return {
            "number": self.number,
            "webhook_id": self.webhook_id,
            "event_id": self.event_id,
            "topic": self.topic,
            "url": self.url,
            "triggered_at_ms": self.triggered_at * 1000,
            "state": self.state,
            "faults": self.faults,
            "attempts": self.attempts,
            "payload": json.loads(self.body) if self.body else None,
        }


class WebhookSender:
    """Keeps subscriptions and delivers events to them, each in its own task."""

    def __init__(
        self,
        config: ShopConfig,
        clock: ShopClock,
        rng: random.Random,
        numbers: Numbers,
        faults: FaultPlan,
        post: Post | None = None,
    ) -> None:
        self._config = config
        self._clock = clock
        self._rng = rng
        self._numbers = numbers
        self._faults = faults
        self._carry = post
        self._client: httpx.AsyncClient | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._slots = asyncio.Semaphore(DELIVERIES_AT_ONCE)
        self._passed = asyncio.Event()  # renewed with each delivery, for those that wait to be overtaken
        self._count = 0
        self.secret = config.client_secret
        self.subscriptions: dict[int, Subscription] = {}
        self.deliveries: deque[Delivery] = deque(maxlen=DELIVERIES_REMEMBERED)
        if config.webhook_url:
            self.set_app_target(config.webhook_url, list(config.webhook_topics))

    def open(self) -> None:
        """Get ready to send: building a client takes a while, and the first order should not wait for it."""
        self._http()

    def subscribe(self, topic: str, uri: str, **settings: Any) -> Subscription:
        """A new subscription."""
        now = self._clock.now()
        number = self._numbers.runtime("WebhookSubscription")
        made = Subscription(number=number, topic=topic, uri=uri, created_at=now, updated_at=now, **settings)
        self.subscriptions[number] = made
        return made

    def set_app_target(self, url: str | None, topics: list[str]) -> None:
        """Replace what the app's own settings subscribe to."""
        self.subscriptions = {number: each for number, each in self.subscriptions.items() if not each.by_app}
        for topic in topics if url else ():
            self.subscribe(topic, url or "", by_app=True)

    def is_heard(self, topic: str) -> bool:
        """Whether anybody subscribes to the topic."""
        return any(each.topic == topic for each in self.subscriptions.values())

    def emit(
        self, topic: str, build: Callable[[], Mapping[str, Any]], event_id: str, lag_seconds: float = 0.0
    ) -> None:
        """Send an event to each of its subscriptions; `build` makes the payload when it is sent."""
        for subscription in list(self.subscriptions.values()):
            if subscription.topic == topic and subscription.uri.startswith("http"):
                self._start(
                    subscription, build, event_id, lag_seconds + self._config.knobs.webhook_lag_seconds
                )

    async def send_raw(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """Post made-up bytes, as somebody else might; returns the status."""
        return await self._post(url, body, headers)

    async def settle(self) -> None:
        """Wait until nothing is on its way any more (with a frozen clock: until all wait for it)."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self) -> None:
        """Stop; what was on its way is not sent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._client:
            await self._client.aclose()
            self._client = None

    def _start(
        self,
        subscription: Subscription,
        build: Callable[[], Mapping[str, Any]],
        event_id: str,
        lag_seconds: float,
    ) -> None:
        self._count += 1
        delivery = Delivery(
            number=self._count,
            webhook_id=self._new_id(),
            event_id=event_id,
            topic=subscription.topic,
            url=subscription.uri,
            triggered_at=self._clock.now(),
            subscription=subscription,
        )
        self.deliveries.append(delivery)
        faults = self._faults.strikes(WEBHOOK_KINDS, [subscription.topic])
        delivery.faults = list(faults)
        if "lose" in faults:
            delivery.state = "lost"
            delivery.body = self._body(subscription, build)
            return
        task = asyncio.create_task(self._deliver(delivery, build, lag_seconds, faults))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(
        self,
        delivery: Delivery,
        build: Callable[[], Mapping[str, Any]],
        lag_seconds: float,
        faults: Mapping[str, Fault],
    ) -> None:
        if "late" in faults:
            lag_seconds += faults["late"].seconds
        if lag_seconds:
            await self._clock.sleep(lag_seconds)
        if "reorder" in faults:
            await self._let_one_pass()
        delivery.body = self._body(delivery.subscription, build)
        for wait_seconds in (*RETRY_WAITS_SECONDS, None):
            for _ in range(2 if "duplicate" in faults else 1):
                delivered = await self._attempt(delivery, faults)
            if delivered:
                return
            if wait_seconds is None:
                self._give_up(delivery)
                return
            await self._clock.sleep(wait_seconds)
            if delivery.subscription.number not in self.subscriptions:
                delivery.state = "failed"
                return

    async def _let_one_pass(self) -> None:
        async def wait(passed: asyncio.Event) -> None:
            await passed.wait()

        limit = asyncio.create_task(self._clock.sleep(REORDER_LIMIT_SECONDS))
        passing = asyncio.create_task(wait(self._passed))
        try:
            await asyncio.wait([limit, passing], return_when=asyncio.FIRST_COMPLETED)
        finally:
            limit.cancel()
            passing.cancel()

    async def _attempt(self, delivery: Delivery, faults: Mapping[str, Fault]) -> bool:
        body = delivery.body or b""
        headers = self._headers(delivery, body, faults)
        sent = body[: len(body) // 2] if "truncate" in faults else body
        record: dict[str, Any] = {"at_ms": self._clock.now() * 1000, "status": None, "error": None}
        delivery.attempts.append(record)
        async with self._slots:
            try:
                record["status"] = await self._post_in_time(delivery.url, sent, headers)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, OSError) as error:
                record["error"] = type(error).__name__
        record["done_ms"] = self._clock.now() * 1000
        delivered = record["status"] is not None and 200 <= record["status"] < 300
        if delivered:
            delivery.state = "delivered"
            delivery.subscription.last_success_at = self._clock.now()
        passed, self._passed = self._passed, asyncio.Event()
        passed.set()
        return delivered

    def _give_up(self, delivery: Delivery) -> None:
        delivery.state = "failed"
        subscription = delivery.subscription
        spared = subscription.by_app and self._config.knobs.removal_spares_app_config
        if subscription.last_success_at < delivery.triggered_at and not spared:
            self.subscriptions.pop(subscription.number, None)

    def _headers(self, delivery: Delivery, body: bytes, faults: Mapping[str, Fault]) -> dict[str, str]:
        per_attempt = self._config.knobs.webhook_id_per_attempt and len(delivery.attempts) > 0
        secret = "somebody-elses-secret" if "forge" in faults else self.secret
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Shopify-Captain-Hook",
            "X-Shopify-Topic": delivery.topic,
            "X-Shopify-Hmac-Sha256": signature(secret, body),
            "X-Shopify-Shop-Domain": "elsewhere.myshopify.test"
            if "foreign_shop" in faults
            else self._config.domain,
            "X-Shopify-API-Version": API_VERSION,
            "X-Shopify-Webhook-Id": self._new_id() if per_attempt else delivery.webhook_id,
            "X-Shopify-Event-Id": delivery.event_id,
            "X-Shopify-Triggered-At": _nanoseconds(delivery.triggered_at),
        }
        if delivery.subscription.name:
            headers["X-Shopify-Name"] = delivery.subscription.name
        return headers

    def _body(self, subscription: Subscription, build: Callable[[], Mapping[str, Any]]) -> bytes:
        payload = build()
        if subscription.include_fields:
            payload = {name: value for name, value in payload.items() if name in subscription.include_fields}
        return orjson.dumps(payload)

    async def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """The status of the answer, which has arrived whole."""
        if self._carry is not None:
            return await self._carry(url, body, headers, TOTAL_LIMIT_SECONDS)
        return (await self._http().post(url, content=body, headers=dict(headers))).status_code

    async def _post_in_time(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        if self._carry is not None:  # it keeps the time itself
            return await self._post(url, body, headers)
        async with asyncio.timeout(TOTAL_LIMIT_SECONDS):
            return await self._post(url, body, headers)

    def _http(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(
                trust_env=False,  # a receiver on this machine is never reached through a proxy
                timeout=_LIMITS,
                follow_redirects=self._config.knobs.follow_redirects,
                limits=httpx.Limits(max_connections=DELIVERIES_AT_ONCE, max_keepalive_connections=16),
            )
        return self._client

    def _new_id(self) -> str:
        return new_uuid(self._rng)


def signature(secret: str, body: bytes) -> str:
    """X-Shopify-Hmac-Sha256 of a body."""
    return base64.b64encode(hmac.digest(secret.encode(), body, "sha256")).decode()


def _nanoseconds(epoch_seconds: float) -> str:
    moment = datetime.fromtimestamp(epoch_seconds, UTC)
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}000Z"
