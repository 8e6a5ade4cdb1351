"""What a simulated Vendure shop is made of: variants, stock locations, and moods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the shop behaves where versions, databases or settings differ. Times in seconds."""

    over_allocates: bool = True  # a line on several locations takes more than it has (3.7.3 does)
    miscounts: bool = False  # every other allocation is not counted, as of orders at once on PostgreSQL
    session: float = 3600.0  # how long a session lasts
    webhooks: bool = True  # the plugin sends them

    def with_setting(self, text: str) -> Knobs:
        """These knobs with one turned: `name=value`. Raises ValueError naming what is wrong."""
        name, separator, value = text.partition("=")
        known = {knob.name: get_type_hints(type(self))[knob.name] for knob in fields(self)}
        if not separator or name not in known:
            raise ValueError(f"a knob is set as name=value; names: {', '.join(known)}; got {text!r}")
        return replace(self, **{name: _parsed(name, known[name], value)})


def _parsed(name: str, kind: Any, value: str) -> Any:
    if kind is bool:
        if value.lower() not in ("true", "false"):
            raise ValueError(f"knob {name}: true or false; got {value!r}")
        return value.lower() == "true"
    try:
        return kind(value)
    except ValueError:
        raise ValueError(f"knob {name}: a number; got {value!r}") from None


@dataclass(frozen=True, slots=True)
class VariantSeed:
    """One variant, and its units on hand by the name of the location."""

    sku: str
    stock: Mapping[str, int]
    tracked: bool = True
    threshold: int = 0  # sold down to so many units


@dataclass(frozen=True, slots=True)
class ShopConfig:
    """One shop. `webhook_url`: where the plugin posts to."""

    api_key: str
    password: str
    webhook_secret: str
    username: str = "superadmin"
    webhook_url: str = ""
    locations: tuple[str, ...] = ("warehouse",)
    variants: tuple[VariantSeed, ...] = field(default=())
    knobs: Knobs = Knobs()


def seed_from_json(document: Any) -> dict[str, Any]:
    """A seed file: `{"locations": [...], "variants": [{"sku", "stock": {location: n}, ...}]}`.

    Raises ValueError naming what is wrong.
    """
    try:
        variants = tuple(VariantSeed(**each) for each in document["variants"])
        locations = tuple(document.get("locations", ("warehouse",)))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(
            f'it is not {{"locations": [...], "variants": [{{"sku": ..., "stock": {{}}}}]}}: {error}'
        ) from None
    unknown = {name for each in variants for name in each.stock} - set(locations)
    if unknown:
        raise ValueError(f"there is no location {', '.join(sorted(unknown))}")
    return {"locations": locations, "variants": variants}
