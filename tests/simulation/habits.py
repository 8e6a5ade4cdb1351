"""What else a house may have beside its shops and tills: each of it in some of the seeds only.

Drawn apart from the plan's older fields, each by a chance of its own: a new habit leaves every other draw,
and with it every seed that once failed, as it was.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from .plan_last_one import LastOnePlan, draw_last_one, with_sellouts

RETURNS = "RETURNS"  # where goods of the org's return orders wait
BOUTIQUE = "BOUTIQUE"  # a shop whose till tells of a sale afterwards
FLOOR = "FLOOR-1"  # what is sold there, and never plentiful
PIECE = "PIECE-1"  # of which each has a number, and a level of its own
FETCHED = "GATED-FETCH"  # what customers of one shop fetch at a boutique, and nobody else buys
KIOSK, PAVILION = "KIOSK", "PAVILION"  # whose counters sell what lies in carts, or is set aside
CART, DROP = "CART-1", "DROP-1"  # what is sold there alone
BLOCK = 4  # pieces of the drop that sfsync holds ready
FEW = 20  # pieces on a shop floor: so many, or fewer, are promised only with the shop's word
# Trouble that is seldom met (`rare`), and the share of the seeds that meet each kind of it.
RARE = (
    "throttle",
    "expire_token_after",
    "torn",
    "schema",
    "late",
    "lost",
    "convert_field",
    "refuse_replay",
    "wrong_credential",
    "deleted",
    "restored",
    "not_applied",
    "refuse_row",
    "storage_full",
)
# And that was thought of later: each with all its chance apart, so that days of before stay what they were.
RARER = ("phantom", "key_taken", "stale_answer", "fold_in_work")
RARE_SHARE = 0.2
CLOCKS = (0.0, 0.0, 0.9, -0.9, 3.0, -3.0, 20.0, -20.0)  # seconds
CLOCKS_SHARE = 1 / 3


@dataclass(frozen=True, slots=True)
class Mall:
    """How a shop with two locations says which of them is to send what."""

    routing_seconds: float = 0.0  # from a sale to its answer; 0: at once
    told: bool = True  # by webhooks of their own; else only the order itself says so


@dataclass(frozen=True, slots=True)
class Clocks:
    """How far clocks are ahead of the org's, in seconds; tills, people and carriers go by that one."""

    ours: float = 0.0  # the daemon's
    shops: tuple[float, float] = (0.0, 0.0)  # London's and Dubai's


@dataclass(frozen=True, slots=True)
class Habits:
    """One seed's. The defaults are a house without any."""

    org_orders: bool = False  # people sell by orders in the org
    copied: float = 0.0  # the share of London's orders that a connector copies into the org
    authority: str = "channel"  # whose quantities count where both tell of an order
    line_ids: bool = False  # the copies name the storefront's line ids
    cancelled_category: str = "Activated"  # the status category of a cancelled order
    last_one: LastOnePlan = field(default_factory=LastOnePlan)  # articles divided among the shops
    counts: bool = False  # stock is counted; goods come in, and concessions tell late, by the points of sale
    packs: bool = False  # what is sent comes back so soon that some hear of both at once
    folds: bool = False  # the ledger is folded in the midst of the day
    floor: tuple[int, int] | None = None  # of FLOOR-1, on hand at the first place and in the boutique
    floor_sold: bool = False  # the shops sell FLOOR-1 too
    floor_first: bool = False  # they would take it from the boutique before all other places
    unlooked: float = 0.0  # the share of the pieces put aside there that the boutique never looks for
    short: tuple[int, int] | None = None  # the org has so few calls left, and then none for so many seconds
    twins: bool = False  # now and then somebody starts a second daemon on the same store
    slow_raises: bool = False  # a shop takes its time with a raise, while the other sells its own units
    mall: Mall | None = None  # Dubai sells from a second location of its own
    relinks: bool = False  # staff find out, or correct, to which order a return belongs
    sellouts: bool = False  # all that is left of a divided article is bought at once
    quiet_sales: bool = False  # one shop sells its own units unheard before the balance moves
    fetched: tuple[int, int] | None = None  # of GATED-FETCH, on hand at the two places
    rare: tuple[str, ...] = ()  # trouble that is seldom met
    pieces: tuple[
        str, ...
    ] = ()  # the numbers of the pieces; with them, somebody carries promised goods about
    carts: bool = False  # the kiosk's counter sells what lies in carts
    drop: bool = False  # a block of a drop stands in the pavilion
    clocks: Clocks = Clocks()
    imported: bool = False  # the morning's stock was entered by another system, under keys of its own
    baskets: bool = False  # more is asked for of the drop than the block has
    at_once: float = 0.0  # the share of the sales that the shops send before anybody hears of them


def habits(seed: int) -> Habits:
    """The habits of a seed; the same for ever."""
    orders = Random(f"plan {seed} org orders")
    org_orders = orders.random() < 0.4
    last_one, sellouts = draw_last_one(seed), Random(f"plan {seed} sellouts").random() < 0.4
    return Habits(
        org_orders=org_orders,
        copied=orders.choice([0.0, 0.3, 0.8]) if org_orders else 0.0,
        authority=orders.choice(["channel", "channel", "org"]),
        line_ids=orders.choice([True, False]),
        cancelled_category=orders.choice(["Activated", "Canceled"]),
        last_one=with_sellouts(last_one, seed) if sellouts else last_one,
        counts=Random(f"plan {seed} counts").random() < 0.4,
        packs=Random(f"plan {seed} packs").random() < 0.3,
        folds=Random(f"plan {seed} folds").random() < 0.4,
        floor=_floor(seed),
        floor_sold=Random(f"plan {seed} floor sold").random() < 0.8,
        floor_first=Random(f"plan {seed} floor first").random() < 0.6,
        unlooked=Random(f"plan {seed} unlooked").choice([0.0, 0.2]),
        relinks=org_orders and Random(f"plan {seed} relinks").random() < 0.5,
        sellouts=sellouts,
        short=_short(seed),
        slow_raises=Random(f"plan {seed} slow raises").random() < 0.4,
        twins=Random(f"plan {seed} twins").random() < 0.3,
        mall=_mall(seed),
        rare=_rare(seed),
        pieces=_pieces(seed),
        fetched=_fetched(seed),
        quiet_sales=Random(f"plan {seed} quiet sales").random() < 0.8,
        carts=Random(f"plan {seed} carts").random() < 0.4,
        drop=Random(f"plan {seed} drop").random() < 0.4,
        clocks=_clocks(seed),
        imported=Random(f"plan {seed} imported").random() < 0.5,
        baskets=Random(f"plan {seed} baskets").random() < 0.7,
    )


def _clocks(seed: int) -> Clocks:
    """In a third of the seeds clocks differ, by as much as is met on servers that nobody has looked after."""
    chance = Random(f"plan {seed} clocks")
    if chance.random() >= CLOCKS_SHARE:
        return Clocks()
    return Clocks(chance.choice(CLOCKS), (chance.choice(CLOCKS), chance.choice(CLOCKS)))


def _rare(seed: int) -> tuple[str, ...]:
    """Each by a chance of its own: a kind more moves no other."""
    return tuple(kind for kind in (*RARE, *RARER) if Random(f"plan {seed} rare {kind}").random() < RARE_SHARE)


def _pieces(seed: int) -> tuple[str, ...]:
    chance = Random(f"plan {seed} pieces")
    return chance.choice([("A",), ("A", "B")]) if chance.random() < 0.5 else ()


def _floor(seed: int) -> tuple[int, int] | None:
    chance = Random(f"plan {seed} floor")
    return (chance.randint(0, 2), chance.randint(0, 3)) if chance.random() < 0.5 else None


def _fetched(seed: int) -> tuple[int, int] | None:
    chance = Random(f"plan {seed} fetched")
    return (chance.randint(1, 4), chance.randint(1, 4)) if chance.random() < 0.6 else None


def _mall(seed: int) -> Mall | None:
    chance = Random(f"plan {seed} mall")
    return (
        Mall(chance.choice([0.0, 0.0, 1.0, 5.0]), chance.random() < 0.7) if chance.random() < 0.35 else None
    )


def _short(seed: int) -> tuple[int, int] | None:
    chance = Random(f"plan {seed} short")
    if chance.random() >= 0.25:
        return None
    return chance.choice([0, 20, 60]), chance.choice([60, 300, 900])
