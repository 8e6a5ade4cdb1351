"""Everybody who acts on a day."""

from __future__ import annotations

from .actors import ACTORS as IN_THE_SHOPS
from .actors import Actor
from .actors_gate import Gate
from .actors_last_one import Rivals
from .actors_org import Clerk, Connector, OrderTrouble

ACTORS: list[type[Actor]] = [*IN_THE_SHOPS, Clerk, Connector, OrderTrouble, Rivals, Gate]
