"""A luxury house's catalogue and opening stock, invented from a seed: the same seed gives the same house.

300 articles in five families, four locations, quantities that are mostly small, and three last handbags of
which the e-commerce warehouse has one unit each. Models, materials and colours are made up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

FLAGSHIP, CONCESSION, WAREHOUSE, MALL = "KNIGHTSBRIDGE", "HARBOUR-CONCESSION", "ECOM", "DUBAI-MALL"
LOCATIONS = (FLAGSHIP, CONCESSION, WAREHOUSE, MALL)
CONCESSION_SHARE = 0.4  # of the catalogue: a corner in a department store shows a choice
PLACE = "Online"  # what each storefront calls the place it sells from

_COLOURS = ("noir", "oxblood", "ivory", "moss", "dune", "midnight", "cognac", "rosewood", "slate")
_BAGS = ("Calwen", "Brindor", "Maravelle", "Tesquin", "Halvane", "Ostrelle")
_SMALL = ("card holder", "long wallet", "coin purse", "belt", "passport cover", "key ring", "pouch")
_PRINTS = ("Garden of Winds", "Harbour Lights", "Paper Birds", "Salt Road", "Night Ferry", "Orangery")
_WATCHES = ("Meridal", "Tidewell", "Argentine Hour", "Solvane")
_SHOES = ("Perrin loafer", "Adele pump", "Corvo boot", "Lisse ballerina", "Marlow derby")
_SIZES = (36, 37, 38, 39, 40, 41, 42)


@dataclass(frozen=True, slots=True)
class Article:
    """One SKU: what it is, its price in whole pounds, and its opening stock by location."""

    sku: str
    title: str
    family: str
    price: int
    stock: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The house's articles. `last` names the three last handbags by how they are promised."""

    articles: tuple[Article, ...]
    last: Mapping[str, str]  # gated, allocated, mirrored -> SKU

    def article(self, sku: str) -> Article:
        """The article of this SKU."""
        return next(article for article in self.articles if article.sku == sku)

    def family(self, name: str) -> list[Article]:
        """A family's articles, the last handbags left out."""
        return [a for a in self.articles if a.family == name and a.sku not in self.last.values()]


@dataclass(frozen=True, slots=True)
class _Ranges:
    """How many units a location has of an article of some family: (fewest, most)."""

    flagship: tuple[int, int]
    concession: tuple[int, int]
    warehouse: tuple[int, int]
    mall: tuple[int, int]

    def drawn(self, luck: Random) -> dict[str, int]:
        stock = {
            FLAGSHIP: luck.randint(*self.flagship),
            WAREHOUSE: luck.randint(*self.warehouse),
            MALL: luck.randint(*self.mall),
        }
        if self.concession[1] and luck.random() < CONCESSION_SHARE:
            stock[CONCESSION] = luck.randint(*self.concession)
        return stock


_RANGES = {
    "handbag": _Ranges((0, 2), (0, 1), (0, 3), (0, 2)),
    "small leather": _Ranges((1, 6), (0, 3), (2, 9), (0, 4)),
    "silk": _Ranges((6, 14), (1, 6), (14, 30), (2, 8)),
    "watch": _Ranges((0, 1), (0, 0), (0, 1), (0, 1)),
    "shoes": _Ranges((0, 3), (0, 1), (0, 3), (0, 2)),
}


def make_catalogue(seed: int) -> Catalogue:
    """The house that this seed gives."""
    luck = Random(seed)  # noqa: S311 — invents stock, guards nothing
    articles = [article for family in (_bags, _small, _silk, _watches, _shoes) for article in family(luck)]
    last = {
        "gated": "GATED-OSTRELLE-25-OXBLOOD",
        "allocated": "ALLOC-CALWEN-28-IVORY",
        "mirrored": "MIRROR-HALVANE-22-MIDNIGHT",
    }
    for sku in last.values():
        _, model, size, colour = sku.split("-")
        title = f"{model.capitalize()} bag {size}, alligator-grain calf, {colour.lower()}"
        articles.append(Article(sku, title, "handbag", 7_400, {FLAGSHIP: 0, WAREHOUSE: 1, MALL: 0}))
    return Catalogue(tuple(articles), last)


def _article(luck: Random, sku: str, title: str, family: str, price: int) -> Article:
    return Article(sku, title, family, price, _RANGES[family].drawn(luck))


def _bags(luck: Random) -> Iterator[Article]:
    for model in _BAGS:
        base = luck.randrange(2_100, 5_600, 50)
        for size in (22, 28):
            for colour in _COLOURS[:6]:
                sku = f"HB-{model}-{size}-{colour}".upper()
                title = f"{model} bag {size}, grained calf, {colour}"
                yield _article(luck, sku, title, "handbag", base + 25 * size)


def _small(luck: Random) -> Iterator[Article]:
    for piece in _SMALL:
        price = luck.randrange(180, 690, 10)
        for colour in _COLOURS:
            sku = f"SL-{piece.replace(' ', '')}-{colour}".upper()
            yield _article(luck, sku, f"{piece.capitalize()}, smooth calf, {colour}", "small leather", price)


def _silk(luck: Random) -> Iterator[Article]:
    for number, name in enumerate(_PRINTS, 1):
        for size, price in ((45, 190), (90, 390)):
            for colour in _COLOURS[:5]:
                sku = f"SK-{number:02}-{size}-{colour}".upper()
                yield _article(luck, sku, f"{name}, silk twill {size}, {colour}", "silk", price)


def _watches(luck: Random) -> Iterator[Article]:
    for model in _WATCHES:
        price = luck.randrange(6_800, 24_000, 100)
        for case in (34, 40):
            for dial in ("opaline", "slate", "green", "blue"):
                sku = f"WA-{model.split()[0]}-{case}-{dial}".upper()
                yield _article(luck, sku, f"{model} {case} mm, steel, {dial} dial", "watch", price)


def _shoes(luck: Random) -> Iterator[Article]:
    for model in _SHOES:
        price = luck.randrange(590, 1_290, 10)
        for colour in ("noir", "cognac"):
            for size in _SIZES:
                sku = f"SH-{model.split()[0]}-{colour}-{size}".upper()
                yield _article(luck, sku, f"{model}, {colour}, size {size}", "shoes", price)


def org_seed(catalogue: Catalogue) -> dict[str, Any]:
    """The org's opening stock, as its seed file has it."""
    levels = [
        {"sku": article.sku, "location": location, "on_hand": units}
        for article in catalogue.articles
        for location, units in article.stock.items()
    ]
    return {"levels": levels}


def shop_seed(catalogue: Catalogue, shows: Callable[[Article], int]) -> dict[str, Any]:
    """A storefront that lists every article and shows what `shows` says, as its seed file has it."""
    variants = [
        {
            "sku": article.sku,
            "title": article.title,
            "price": f"{article.price}.00",
            "available": {PLACE: shows(article)},
            "inventory_policy": "DENY",
            "tracked": True,
        }
        for article in catalogue.articles
    ]
    return {"locations": [PLACE], "variants": variants}


def from_last_batch(seed: int, catalogue: Catalogue) -> Callable[[Article], int]:
    """What a storefront shows that was last told about stock in yesterday's batch: partly wrong."""
    luck = Random(f"batch {seed}")  # noqa: S311 — invents mistakes, guards nothing
    last = set(catalogue.last.values())

    def shows(article: Article) -> int:
        told = article.stock.get(FLAGSHIP, 0) + article.stock.get(WAREHOUSE, 0)
        drifted = max(0, told + luck.choice((0, 0, 0, 1, 2, -1)))
        return 0 if article.sku in last else drifted

    return shows
