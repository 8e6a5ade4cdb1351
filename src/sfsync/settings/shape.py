"""The shape of the settings, as needed to walk a raw tree beside the models: which key is what."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, SecretStr

from .problems import KeyPath


class Form(Enum):
    """What a key holds."""

    SECTION = "section"  # a table with known keys
    TABLE = "table"  # a table whose keys are names
    LIST = "list"
    TEXT = "text"
    SECRET = "secret"  # noqa: S105 — the name of a form
    PATH = "path"
    VALUE = "value"  # a number, a choice, true or false


@dataclass(frozen=True, slots=True)
class Shape:
    """What a key holds: a section's `model`, the shape of a table's or list's items (`inner`).

    `named`: of a table, the shapes of items that are of a kind of their own.
    """

    form: Form
    model: type[BaseModel] | None = None
    inner: Shape | None = None
    named: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def leaf(self) -> bool:
        """True for a single value."""
        return self.form not in (Form.SECTION, Form.TABLE, Form.LIST)

    def child(self, part: str | int) -> Shape | None:
        """The shape one step further down, None where there is none."""
        if str(part) in self.named:
            return self.named[str(part)]
        if self.model is not None:
            known = self.model.model_fields.get(str(part))
            return None if known is None else shape_of(known.annotation)
        return self.inner

    def at(self, path: KeyPath) -> Shape | None:
        """The shape at the end of a path."""
        shape: Shape | None = self
        for part in path:
            shape = None if shape is None else shape.child(part)
        return shape

    def names(self) -> tuple[str, ...]:
        """The known keys of a section."""
        return () if self.model is None else tuple(self.model.model_fields)


def shape_of(annotation: Any) -> Shape:
    """The shape that a type annotation means."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return shape_of(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return shape_of(next(part for part in get_args(annotation) if part is not type(None)))
    if origin in (dict, Mapping):
        return Shape(Form.TABLE, inner=shape_of(get_args(annotation)[1]))
    if origin is tuple:
        return Shape(Form.LIST, inner=shape_of(get_args(annotation)[0]))
    if isinstance(annotation, type):
        if issubclass(annotation, BaseModel):
            return Shape(Form.SECTION, model=annotation)
        simple = {SecretStr: Form.SECRET, Path: Form.PATH, str: Form.TEXT}
        return Shape(simple.get(annotation, Form.VALUE))
    return Shape(Form.VALUE)


def with_kinds(root: Shape, models: Mapping[str, type[BaseModel]]) -> Shape:
    """The shape of the settings, its channels being of these models by name."""
    channels = root.child("channels")
    if channels is None:
        return root
    named = {name: Shape(Form.SECTION, model=model) for name, model in models.items()}
    return replace(root, named={"channels": replace(channels, named=named)})


def sections(
    shape: Shape, tree: object, path: KeyPath = ()
) -> Iterator[tuple[KeyPath, Shape, dict[str, Any]]]:
    """Every section of a raw tree, wherever the tree has the shape that it should have."""
    if shape.form is Form.LIST and isinstance(tree, list):
        for number, item in enumerate(tree):
            yield from sections(shape.inner or shape, item, (*path, number))
    if not isinstance(tree, dict):
        return
    if shape.form is Form.SECTION:
        yield path, shape, tree
    for key, value in tree.items():
        child = shape.child(key)
        if child is not None and not child.leaf:
            yield from sections(child, value, (*path, key))
