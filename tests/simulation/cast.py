"""Everybody who acts on a day."""

from __future__ import annotations

from .actors import ACTORS as IN_THE_SHOPS
from .actors import Actor, Router
from .actors_floor import Boutique, WindowShopper
from .actors_gate import Gate
from .actors_last_one import QuietSale, Rivals, Sellout, SentFromTheMall, SlowRaise
from .actors_org import Clerk, Connector, OrderTrouble
from .actors_pavilion import Kiosk, Pavilion
from .actors_pickup import PickUps
from .actors_pieces import Collector, Porter
from .actors_stock import Bookkeeper, Concession, Counter, Packer, Storeroom
from .rare import Rare
from .rarer import RARER
from .trouble import Twin

IN_THE_ORG: list[type[Actor]] = [Clerk, Connector, OrderTrouble]
OF_THE_STOCK: list[type[Actor]] = [Storeroom, Concession, Counter, Bookkeeper, Packer]
ACTORS: list[type[Actor]] = [
    *IN_THE_SHOPS,
    Router,
    *IN_THE_ORG,
    Rivals,
    Gate,
    Sellout,
    SlowRaise,
    QuietSale,
    SentFromTheMall,
    Boutique,
    WindowShopper,
    PickUps,
    Kiosk,
    Pavilion,
    *OF_THE_STOCK,
    Collector,
    Porter,
    Twin,
    Rare,
    *RARER,
]
