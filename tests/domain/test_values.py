"""Values that are made quickly are what they were: the same fields, and nobody changes them."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import FrozenInstanceError, dataclass, field

import pytest

from sfsync.domain.exposure import Exposure
from sfsync.domain.ledger import Bundle
from sfsync.domain.orders import OrderLine
from sfsync.domain.stock import LevelKey, Movement, MovementKind, StockLevel
from sfsync.domain.values import quick, replace

LEVEL = StockLevel(LevelKey("BAG", "LON"), 3, 1, 7, "a01")


@dataclass(frozen=True, slots=True)
class Plain:
    """As it would be without."""

    name: str
    units: int = 1
    places: list[str] = field(default_factory=list)
    length: int = field(init=False, default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.name))


@quick
@dataclass(frozen=True, slots=True)
class Quick:
    """The same, made quickly."""

    name: str
    units: int = 1
    places: list[str] = field(default_factory=list)
    length: int = field(init=False, default=0, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "length", len(self.name))


def test_it_is_made_as_any_other_value() -> None:
    """By position or by name, with what stands for itself where nothing is said, and what follows from it."""
    for given, named in [(("bag",), {}), (("bag", 2), {"places": ["x"]}), ((), {"name": "bag", "units": 5})]:
        plain, made = Plain(*given, **named), Quick(*given, **named)  # type: ignore[arg-type]  # of all sorts
        assert dataclasses.asdict(made) == dataclasses.asdict(plain)
        assert made.length == 3
        assert type(made) is Quick
        assert repr(made) == repr(plain).replace("Plain", "Quick")
    assert list(inspect.signature(Quick).parameters) == list(inspect.signature(Plain).parameters)
    assert Quick("a").places is not Quick("a").places
    with pytest.raises(TypeError, match="name"):
        Quick()  # type: ignore[call-arg]  # what is missing is said


@pytest.mark.parametrize("value", [LEVEL, Quick("bag"), OrderLine("1", "BAG", 1, 0, 0, 1), Exposure()])
def test_nobody_changes_it(value: object) -> None:
    """What was decided by a number holds as long as it stands: it is not changed behind anybody."""
    name = dataclasses.fields(value)[0].name  # type: ignore[arg-type]  # all of them are dataclasses
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, "other")
    with pytest.raises(FrozenInstanceError):
        delattr(value, name)
    with pytest.raises((AttributeError, TypeError)):
        setattr(value, "anything", "else")  # noqa: B010  # to mypy there is no such attribute


def test_a_changed_value_is_another_one() -> None:
    """The changed one differs in what was named and in nothing else; the first stays what it was."""
    changed = replace(LEVEL, on_hand=2, version=8)
    assert (changed.on_hand, changed.version) == (2, 8)
    assert dataclasses.replace(LEVEL, on_hand=2, version=8) == changed
    assert LEVEL.on_hand == 3
    assert hash(changed) != hash(LEVEL)
    with pytest.raises(TypeError, match="colour"):
        replace(LEVEL, colour="red")  # type: ignore[call-arg]  # there is no such field


def test_what_follows_from_its_parts_follows_anew() -> None:
    """A bundle with other movements has their levels, not those of the movements before."""
    row = Movement("k:0", "k", LevelKey("BAG", "LON"), MovementKind.ORDER, 0, 1, "", "", None)  # type: ignore[arg-type]  # no time is looked at
    bundle = Bundle(1, (row,), 1)
    other = replace(bundle, movements=(replace(row, level=LevelKey("BAG", "PAR")),))
    assert other.levels == {LevelKey("BAG", "PAR")}
    assert bundle.levels == {row.level}


def test_only_a_plain_frozen_value_is_made_quickly() -> None:
    """What has slots of a base, or none, is refused at once rather than made wrongly."""

    @dataclass(frozen=True)
    class Loose:
        name: str

    with pytest.raises(TypeError, match="Loose"):
        quick(Loose)
