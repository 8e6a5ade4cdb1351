"""Signed messages, by Standard Webhooks 1.0: the headers that prove who sent one, and when."""

from __future__ import annotations

import base64
import binascii
import importlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import ModuleType

PREFIX = "whsec_"
LEAST_BYTES, MOST_BYTES = 24, 64


def secret_problem(secret: str) -> str:
    """What is wrong with a secret, without telling it; empty when it is one of the standard's."""
    if not secret.startswith(PREFIX):
        return f"does not begin with {PREFIX}"
    try:
        raw = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        return f"is not base64 after {PREFIX}"
    if not LEAST_BYTES <= len(raw) <= MOST_BYTES:
        return f"has {len(raw)} bytes, not {LEAST_BYTES} to {MOST_BYTES}"
    return ""


def signed_headers(secrets: Sequence[str], message_id: str, body: bytes, now: datetime) -> dict[str, str]:
    """The headers of one attempt. Signed with every secret, so that whichever the receiver has will do."""
    text, moment = body.decode(), now.astimezone(UTC)  # the library takes any time for UTC
    library = importlib.import_module("standardwebhooks")  # with the first callback: most houses send none
    signatures: list[str] = [library.Webhook(secret).sign(message_id, moment, text) for secret in secrets]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def is_signed(secrets: Sequence[str], headers: Mapping[str, str], body: bytes) -> bool:
    """True when one of the secrets has signed a message, some minutes ago at most."""
    library = importlib.import_module("standardwebhooks")
    proved = [_proves(library, secret, headers, body) for secret in secrets]
    return any(proved)  # every secret is tried, whichever matches, so that the time taken tells nothing


def _proves(library: ModuleType, secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    try:
        library.Webhook(secret).verify(body, dict(headers))
    except (library.WebhookVerificationError, ValueError):  # what cannot be decoded proves nothing either
        return False
    return True
