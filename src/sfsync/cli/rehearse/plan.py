"""The file that describes a drop. Values only; every mistake is told with its key."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")]


class PlanError(Exception):
    """The drop's file cannot be used; says where and why."""


class Part(BaseModel):
    """A table of the file: no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Drop(Part):
    """What is sold, to how many, and how the channels sell it."""

    sku: str = Field(default="DROP-1", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")
    pieces: int = Field(ge=1, le=100_000)  # in the org when the drop opens
    guarantee: Literal["gated", "allocated", "mirrored"] = "gated"
    block: int = Field(default=0, ge=0)  # units of the local block; gated only

    @model_validator(mode="after")
    def _fits(self) -> Drop:
        if self.block and self.guarantee != "gated":
            raise ValueError("block is for the guarantee gated, where buyers ask first")
        return self


class Buyers(Part):
    """Who comes, and when. Each wants one piece."""

    count: int = Field(ge=1, le=1_000_000)
    seconds: float = Field(default=60.0, gt=0, le=86_400)  # from the opening to the last arrival
    rush_seconds: float = Field(default=10.0, ge=0)  # at its beginning
    rush_percent: float = Field(default=50.0, ge=0, le=100)  # of the buyers, who come in the rush
    patience_seconds: float = Field(default=30.0, gt=0)  # who has no answer by then leaves
    pay_percent: float = Field(default=100.0, ge=0, le=100)  # of those who hold a piece
    connections: int = Field(default=200, ge=1, le=2_000)  # of the storefronts' servers, together
    seed: int = 1  # of moments, storefronts and who pays

    @model_validator(mode="after")
    def _fits(self) -> Buyers:
        if self.rush_seconds > self.seconds:
            raise ValueError("rush_seconds is longer than seconds")
        return self


class OrgPart(Part):
    """The simulated org."""

    latency: str = "live"  # as `sfsync sandbox org --latency`
    calls_per_day: int = Field(default=100_000, ge=1)
    faults: int | None = None  # seed of a mix of faults; none when not given


class ShopPart(Part):
    """A simulated storefront."""

    plan: Literal["standard", "advanced", "plus", "enterprise"] = "plus"  # its points per second
    weight: int = Field(default=1, ge=0)  # of all buyers
    latency_seconds: float = Field(default=0.05, ge=0, le=10)  # of each call to its Admin API


class Plan(Part):
    """The whole file."""

    drop: Drop
    buyers: Buyers
    org: OrgPart = OrgPart()
    shops: dict[Name, ShopPart] = Field(min_length=1)

    @model_validator(mode="after")
    def _somebody_sells(self) -> Plan:
        if not sum(shop.weight for shop in self.shops.values()):
            raise ValueError("every shop has weight 0: nobody would come")
        return self


def read(path: Path) -> Plan:
    """The plan in a file. Raises `PlanError` with all mistakes."""
    try:
        tree: Any = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror}. Copy config/drop.toml and change it") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PlanError(f"{path} is not TOML: {error}") from error
    try:
        return Plan.model_validate(tree)
    except ValidationError as error:
        told = [f"{path}: {_where(each['loc'])}: {_what(each['msg'])}" for each in error.errors()]
        raise PlanError("\n".join(told)) from error


def _where(place: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in place) or "the file"


def _what(message: str) -> str:
    told = message.removeprefix("Value error, ")
    if told == "Extra inputs are not permitted":
        return "is not a known key; config/drop.toml has them all"
    return told
