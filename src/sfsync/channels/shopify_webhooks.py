"""Webhooks of a Shopify store: whether the store sent them, and what makes two of them the same."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sfsync.ports import Delivery, Forged, LevelHint, Refused

LEVEL_TOPIC = "inventory_levels/update"
_SIGNATURE = "x-shopify-hmac-sha256"


class _Level(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    inventory_item_id: int = Field(gt=0)
    location_id: int = Field(gt=0)
    available: int | None


def signature(secret: str, body: bytes) -> bytes:
    """What the store writes into the header: base64 of HMAC-SHA-256 over the raw bytes."""
    return b64encode(hmac.digest(secret.encode(), body, hashlib.sha256))


def receive(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], shop_domain: str) -> Delivery:
    """The delivery, once its signature has matched one of the secrets. Raises `Forged`.

    The signature covers the body only. So the headers are looked at after it, and two deliveries are the same
    only when their bytes are too: one act of a merchant (cancelling ten orders) may share one event id.
    """
    told = headers.get(_SIGNATURE, "").strip().encode("utf-8", "replace")
    if not told:
        raise Forged(f"the header {_SIGNATURE} is missing")
    # Every secret is tried, whichever matches, so that the time taken tells nothing.
    matches = [hmac.compare_digest(signature(secret, body), told) for secret in secrets]
    if not any(matches):
        raise Forged(
            "the signature is none of this store's" if secrets else "no webhook secret is configured"
        )
    if not body:
        raise Forged("the body is empty")
    domain = headers.get("x-shopify-shop-domain", "").strip().lower()
    if shop_domain and domain != shop_domain.lower():
        raise Forged(f"it comes from {domain or 'no store'}, not from {shop_domain}")
    topic = headers.get("x-shopify-topic", "").strip().lower()
    if not topic:
        raise Forged("the header x-shopify-topic is missing")
    event = headers.get("x-shopify-event-id", "").strip() or headers.get("x-shopify-webhook-id", "").strip()
    digest = hashlib.sha256(body).hexdigest()[:32]
    return Delivery(topic, f"{topic}:{event}:{digest}", body)


def read_level(channel: str, body: bytes) -> LevelHint:
    """The level that an inventory_levels/update tells. Raises `Refused`.

    It is the number when the payload was built. It names neither cause nor author, and comes for each of our
    own pushes too.
    """
    try:
        told = _Level.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Refused(
            f"{channel}: a level cannot be read: {where}: {first['msg']}",
            advice="the webhook subscription must send whole levels, without a choice of fields",
        ) from error
    item, location = told.inventory_item_id, told.location_id
    return LevelHint(
        f"gid://shopify/InventoryItem/{item}", f"gid://shopify/Location/{location}", told.available
    )
