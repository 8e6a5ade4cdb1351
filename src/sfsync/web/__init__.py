"""The web: webhooks in, the reservation API, resync, health and the status page.

`build_web` makes the app out of what the flow offers (`Services`); `serve` runs it inside the daemon. It
knows the domain and the ports only, and decides nothing about stock.
"""

from __future__ import annotations

from .app import build_web
from .options import (
    ADMIN,
    AUDIT,
    COUNTS,
    LEVELS,
    RESERVATIONS,
    STORES,
    TILLS,
    VIEW,
    Proxy,
    Reach,
    Sight,
    TillAccess,
    Token,
    WebOptions,
)
from .server import CannotListenError, WebServer, serve
from .services import Doorman, Overview, Reconciler, ReservationDesk, Services
from .status_shape import Status, StockOfSku

__all__ = [
    "ADMIN",
    "AUDIT",
    "COUNTS",
    "LEVELS",
    "RESERVATIONS",
    "STORES",
    "TILLS",
    "VIEW",
    "CannotListenError",
    "Doorman",
    "Overview",
    "Proxy",
    "Reach",
    "Reconciler",
    "ReservationDesk",
    "Services",
    "Sight",
    "Status",
    "StockOfSku",
    "TillAccess",
    "Token",
    "WebOptions",
    "WebServer",
    "build_web",
    "serve",
]
