"""What a seed draws before anything happens: the house, its habits, and how rough the day will be."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

from .habits import BOUTIQUE, CART, DROP, FETCHED, FEW, FLOOR, KIOSK, PAVILION, PIECE, Habits, habits
from .plan_last_one import LastOnePlan

PLACES = ("ECOM", "KNIGHTSBRIDGE")
IN_TRANSIT = "IN-TRANSIT"
SHOPS = ("london", "dubai")
ONLINE, MALL = "Online", "Mall"  # what shops call their own locations
UNKNOWN = "MYSTERY-1"  # sold by the shops; the org has never heard of it


@dataclass(frozen=True, slots=True)
class Plan:
    """One seed's world."""

    seed: int
    orders: int
    skus: tuple[str, ...]
    stock: dict[tuple[str, str], int]  # (SKU, place) -> on hand at opening
    safety: dict[str, int]
    caps: dict[str, int | None]
    crashes: int
    roughness: float  # 0 is a calm day
    poll_seconds: float
    push_rows: int
    org_knobs: tuple[str, ...]
    shop_knobs: dict[str, dict[str, Any]]
    pace_seconds: float  # between two orders at one shop, on average
    disk_seconds: float
    network_seconds: float  # one way, at most
    fallback: bool  # the org runs on the fallback rule
    haste: float  # 1.0 is an ordinary day; 0.1 crowds the same into a tenth of its time, as a drop does
    habits: Habits
    outage_seconds: float = 0.0  # for so long the org cannot be reached

    @property
    def last_one(self) -> LastOnePlan:
        """What those look at who fight for the last piece."""
        return self.habits.last_one

    def sells_from(self, shop: str) -> dict[str, tuple[str, ...]]:
        """The org's locations that each of a shop's own locations sells from, best first."""
        places: tuple[str, ...] = PLACES if shop == "london" else PLACES[::-1]
        floor = (BOUTIQUE,) if self.habits.floor is not None else ()
        if floor and self.habits.floor_first:
            places, floor = (*floor, *places), ()
        if shop == "dubai" and self.habits.mall is not None:
            return {ONLINE: (*places[:-1], *floor), MALL: places[-1:]}
        return {ONLINE: (*places, *floor)}

    @property
    def all_skus(self) -> tuple[str, ...]:
        """Everything that is sold."""
        floor = (FLOOR,) if self.habits.floor else ()
        pieces, fetched = (PIECE,) if self.habits.pieces else (), (FETCHED,) if self.fetched_at else ()
        return (*self.skus, *self.last_one.skus, *floor, *pieces, *fetched)

    @property
    def fetched_at(self) -> str | None:
        """The shop whose customers fetch what they buy: one whose orders nobody else tells of, or routes."""
        if self.habits.fetched is None or (self.habits.org_orders and self.habits.mall is not None):
            return None
        return "dubai" if self.habits.org_orders else "london"

    @property
    def all_stock(self) -> dict[tuple[str, str], int]:
        """What is on hand at opening, by SKU and place."""
        floor = self.habits.floor
        shop = {} if floor is None else {(FLOOR, PLACES[0]): floor[0], (FLOOR, BOUTIQUE): floor[1]}
        shop |= {(FLOOR, PLACES[1]): 0} if shop else {}
        if self.fetched_at and self.habits.fetched is not None:
            shop |= {
                (FETCHED, place): units for place, units in zip(PLACES, self.habits.fetched, strict=True)
            }
        carts = {(CART, KIOSK): 2} if self.habits.carts else {}
        drop = {(DROP, PAVILION): FEW + 6} if self.habits.drop else {}
        return self.stock | self.last_one.on_hand(PLACES) | shop | carts | drop


def draw(
    seed: int,
    *,
    orders: int = 200,
    calm: bool = False,
    haste: float | None = None,
    outage_seconds: float = 0.0,
) -> Plan:
    """The plan of a seed; the same for ever. Its haste is drawn too, where none is given."""
    chance = Random(f"plan {seed}")
    gated = [f"GATED-{n}" for n in range(1, chance.randint(2, 3))]
    allocated = ["ALLOC-1"] if chance.random() < 0.7 else []
    scarce = [f"SCARCE-{n}" for n in range(1, chance.randint(2, 4))]
    deep = [f"DEEP-{n}" for n in range(1, chance.randint(3, 5))]
    skus = (*gated, *allocated, *scarce, *deep)
    stock = {
        (sku, place): chance.randint(60, 120) if sku in deep else chance.randint(0, 4)
        for sku in skus
        for place in PLACES
    }
    fallback = chance.random() < 0.15
    org_knobs = [
        f"rollup_error_attribution={chance.choice(['all', 'last'])}",
        f"roll_up_touches_last_modified={chance.choice(['true', 'false'])}",
        f"lock_error_status={chance.choice([400, 503])}",
        f"parse_error_scope={chance.choice(['request', 'record'])}",
        f"merge_equal_changes={chance.choice(['true', 'false'])}",
        f"first_answer_is_keepalive={chance.choice(['true', 'false'])}",
        f"batch_size={chance.choice([1, 3, 100])}",
        f"replay_id_bytes={chance.choice([8, 10])}",
        f"event_delay_seconds={chance.choice([0.0, 0.2, 2.0])}",
        f"event_delay_jitter_seconds={chance.choice([0.0, 1.0])}",
        f"reuse_session={chance.choice(['true', 'false'])}",
        f"session_seconds={chance.choice([150.0, 7200.0])}",
    ]
    org_knobs.append("keepalive_seconds=20")
    if fallback:
        org_knobs.append("priorvalue_sees_rollup=false")
    shop_knobs: dict[str, dict[str, Any]] = {
        shop: {
            "stale_rows": chance.choice(["all", "first"]),
            "failed_key": chance.choice(["previous_attempt_failed", "same_errors"]),
            "edit_raises": chance.choice(["same_line", "new_line"]),
            "cancel_emits_refund": chance.choice([True, False]),
            "create_emits_updated": chance.choice([True, False]),
            "recheck_stock_at_payment": chance.choice([True, True, False]),
            "payment_seconds": chance.choice([0.0, 0.0, 1.0]),
            "webhook_lag_seconds": chance.choice([0.0, 0.5, 3.0]),
            "search_lag_seconds": chance.choice([0.0, 0.0, 10.0]),
            "webhook_id_per_attempt": chance.choice([True, False]),
        }
        for shop in SHOPS
    }
    return Plan(
        seed,
        orders,
        skus,
        stock,
        {shop: chance.choice([0, 0, 1]) for shop in SHOPS},
        {shop: chance.choice([None, None, 50]) for shop in SHOPS},
        0 if calm else chance.choice([0, 1, 2, 3]),
        0.0 if calm else chance.choice([0.2, 1.0, 1.0, 2.0]),
        chance.choice([60.0, 120.0]),
        chance.choice([250, 250, 2]),
        tuple(org_knobs),
        shop_knobs,
        chance.choice([0.15, 0.3]),
        chance.choice([0.002, 0.01, 0.03]),
        chance.choice([0.02, 0.1, 0.3]),
        fallback,
        haste or Random(f"plan {seed} haste").choice([0.1, 0.1, 0.1, 0.3, 1.0]),
        habits(seed),
        outage_seconds,
    )
