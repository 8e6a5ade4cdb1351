"""What one call to the Admin API carries through its resolvers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sfsync.simulators.shopify.config import API_VERSION

if TYPE_CHECKING:
    from sfsync.simulators.shopify.shop import Shop


@dataclass(eq=False, slots=True)
class Call:
    """One call: to which shop, in which version, and what was ordered to go wrong with it."""

    shop: Shop
    request_id: str
    version: str = API_VERSION
    apply: bool = True  # false: answer as if, and write nothing
    fail_inside: bool = False  # begin a mutation and break off, with its key burnt
    work_seconds: float = 0.0  # how long a keyed mutation works before it writes
    whole_lists: bool = False  # bulk reads are not cut into pages
    search_warnings: list[dict[str, Any]] = field(default_factory=list)
