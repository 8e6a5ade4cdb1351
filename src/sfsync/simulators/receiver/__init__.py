"""A simulated storefront that is told its stock by signed callbacks, over its real wire.

It checks signatures by its own reading of Standard Webhooks, keeps the newest number of each SKU, and tells
on its control port what it was sent and what it shows. Trouble is ordered there too.

Reading order: `storefront` (what it does with a message), `trouble` (what can go wrong), `command` (the
process).
"""

from __future__ import annotations

from sfsync.simulators.receiver.storefront import Storefront

__all__ = ["Storefront"]
