"""What a simulated marketplace is made of: offers, limits, and moods.

Each point on which the public documents are silent is a knob with the default we think likeliest; a client
must hold up under every setting of every knob.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, get_type_hints


@dataclass(frozen=True, slots=True)
class Knobs:
    """How the marketplace behaves where nobody has written it down. Times in seconds."""

    imports_every: float = 60.0  # a stock file is taken so often at most (STO01: once per minute)
    status_every: float = 15.0  # and its status told (STO02: every 15 seconds), for each import
    orders_every: float = 60.0  # and the order list (OR11: once per minute)
    returns_every: float = 300.0  # and the returns (RT11: every five minutes)
    import_takes: float = 0.0  # from a stock file's acceptance to its numbers
    retry_after: bool = True  # whoever asks too often is told how long to wait
    falls_at: str = "order"  # an offer's quantity falls with the order, or with its acceptance
    restocks: bool = True  # a cancelled order's units are put back on sale
    cancel_lowers_quantity: bool = False  # a line's quantity is less by what of it was called off
    sku_filter: str = "exact"  # OF21's `sku` is one SKU, or a list with commas
    status_key: str = "status"  # what STO02 calls the state of an import
    report_base: int = 1  # the number of the first line of data in an error report

    def with_setting(self, text: str) -> Knobs:
        """These knobs with one turned: `name=value`. Raises ValueError naming what is wrong."""
        name, separator, value = text.partition("=")
        known = {knob.name: get_type_hints(type(self))[knob.name] for knob in fields(self)}
        if not separator or name not in known:
            raise ValueError(f"a knob is set as name=value; names: {', '.join(known)}; got {text!r}")
        choices = _CHOICES.get(name)
        if choices and value not in choices:
            raise ValueError(f"knob {name}: one of {', '.join(choices)}; got {value!r}")
        return replace(self, **{name: _parsed(name, known[name], value)})


_CHOICES: Mapping[str, tuple[str, ...]] = {
    "falls_at": ("order", "acceptance"),
    "sku_filter": ("exact", "list"),
    "status_key": ("status", "import_status"),
}


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
class MarketConfig:
    """One shop at one marketplace."""

    api_key: str
    shop_id: int = 2_000
    shop_name: str = "House"
    offers: Mapping[str, int] = field(default_factory=dict)
    knobs: Knobs = Knobs()


def offers_from_json(document: Any) -> dict[str, int]:
    """A seed file: `{"offers": {"SKU": quantity}}`. Raises ValueError naming what is wrong."""
    offers = document.get("offers") if isinstance(document, dict) else None
    if not isinstance(offers, dict) or not all(isinstance(units, int) for units in offers.values()):
        raise ValueError('it is not {"offers": {"SKU": quantity}}')
    return {str(sku): units for sku, units in offers.items()}
