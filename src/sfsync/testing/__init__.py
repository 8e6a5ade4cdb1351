"""The exam for channels, for their authors: needs pytest and pytest-asyncio (``asyncio_mode = "auto"``).

- ``exam``       the questions: `ChannelExam`, inherited by an adapter's test class
- ``party``      what the author supplies: the `Counterpart`
- ``post_box``   an address to which the other party can send its webhooks

docs/add-a-channel.md goes through all of it.
"""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("sfsync.testing.exam", "sfsync.testing.party")

from sfsync.testing.exam import ChannelExam  # noqa: E402 — rewritten before it is imported
from sfsync.testing.party import (  # noqa: E402 — likewise
    Counterpart,
    Trouble,
    Webhook,
    heard,
    listed,
    new_key,
    orders,
    pushed,
)
from sfsync.testing.post_box import PostBox, post_box  # noqa: E402 — after what must come first

__all__ = [
    "ChannelExam",
    "Counterpart",
    "PostBox",
    "Trouble",
    "Webhook",
    "heard",
    "listed",
    "new_key",
    "orders",
    "post_box",
    "pushed",
]
