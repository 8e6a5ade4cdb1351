"""The three sources of settings, strongest first: the environment, the file, the secret files.

Each gives a raw tree; pydantic-settings lays them over each other. What a source cannot read it notes as a
problem and leaves out, so that one look finds everything.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from .origins import PREFIX, Origins, variable
from .problems import KeyPath, nearest
from .shape import Form, Shape, sections

LARGEST_SECRET_BYTES = 64 * 1024


class TreeSource(PydanticBaseSettingsSource):
    """A source that hands over a whole tree."""

    def __init__(self, settings_cls: type[BaseSettings], tree: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self.tree = tree

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        """One top-level key of the tree."""
        return self.tree.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """The tree."""
        return self.tree


class SecretFileSource(TreeSource):
    """For each `x_file` in what the stronger sources gave: `x`, read from that file."""

    def __init__(self, settings_cls: type[BaseSettings], root: Shape, origins: Origins) -> None:
        super().__init__(settings_cls, {})
        self.root, self.origins = root, origins
        self.merged: dict[str, Any] = {}

    def __call__(self) -> dict[str, Any]:
        """The secrets that stand in files, at their places in the tree.

        Items of lists are completed in place: lists are not laid over each other.
        """
        self.merged = self.current_state
        for path, shape, section in sections(self.root, self.merged):
            for name in secret_names(shape):
                if isinstance(section.get(f"{name}_file"), str):
                    self._fill(path, section, name)
        return {}

    def _fill(self, path: KeyPath, section: dict[str, Any], name: str) -> None:
        at, at_file = (*path, name), (*path, f"{name}_file")
        if name in section:
            remedy = f"Keep one of {name} and {name}_file"
            self.origins.problem(at_file, f"is given, and {name} too", remedy)
            return
        text = read_secret(Path(section[f"{name}_file"]), at_file, self.origins)
        if text is None:
            self.origins.explained.add(at)
        else:
            section[name] = text


def secret_names(shape: Shape) -> Iterator[str]:
    """The keys of a section that hold secrets."""
    for name in shape.names():
        child = shape.child(name)
        if child is not None and child.form is Form.SECRET:
            yield name


def read_secret(file: Path, path: KeyPath, origins: Origins) -> str | None:
    """The secret in a file without its trailing newline; None, and a problem noted, where there is none."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(LARGEST_SECRET_BYTES + 1)
            readable_by_all = bool(os.fstat(stream.fileno()).st_mode & stat.S_IROTH)
        text = raw.decode().removesuffix("\n").removesuffix("\r")
    except OSError as error:
        origins.problem(path, f"names {file}: {error.strerror}", "Create it, or let us read it")
        return None
    except UnicodeDecodeError:
        origins.problem(path, f"names {file}, which is not UTF-8 text", "Put only the secret into it")
        return None
    if not text.strip() or len(raw) > LARGEST_SECRET_BYTES:
        what = "is empty" if not text.strip() else f"has more than {LARGEST_SECRET_BYTES} bytes"
        origins.problem(path, f"names {file}, which {what}", "Put only the secret into it")
        return None
    if readable_by_all:
        origins.warning(path, f"names {file}, which every user of this machine can read", f"chmod 600 {file}")
    return text


def anchor(tree: dict[str, Any], folder: Path, shape: Shape) -> None:
    """Make paths absolute: a relative one starts at the settings file's folder."""
    for _, section_shape, section in sections(shape, tree):
        for name, value in section.items():
            child = section_shape.child(name)
            if child is not None and child.form is Form.PATH and isinstance(value, str) and value:
                section[name] = str(folder / value)


# -- the environment -----------------------------------------------------------------------------------


def environment_tree(
    env: Mapping[str, str], file_tree: dict[str, Any], root: Shape, origins: Origins
) -> dict[str, Any]:
    """What the ``SFSYNC_…__…`` variables say, as a tree. Unknown ones are problems."""
    tree: dict[str, Any] = {}
    known = sorted(known_variables(root, file_tree))
    for name in sorted(env):
        if not name.upper().startswith(PREFIX):
            continue
        path, shape = _place(name, root, file_tree)
        if shape is None:
            _unknown_variable(name, known, origins)
            continue
        origins.variables[path] = name
        value = _decoded(env[name], path, shape, origins)
        if value is not None:
            _put(tree, path, value)
    return tree


def _place(name: str, root: Shape, file_tree: object) -> tuple[KeyPath, Shape | None]:
    """The key that a variable sets, and its shape; None when there is no such key."""
    path: KeyPath = ()
    shape: Shape | None = root
    for part in name[len(PREFIX) :].lower().split("__"):
        if shape is None or shape.leaf or shape.form is Form.LIST:
            return path, None
        if shape.form is Form.TABLE and isinstance(file_tree, dict):
            # Variables know neither '-' nor capitals: the file's own spelling of a name counts.
            part = next((key for key in file_tree if variable((key,)) == variable((part,))), part)
        path = (*path, part)
        shape = shape.child(part)
        file_tree = file_tree.get(part) if isinstance(file_tree, dict) else None
    return path, shape


def _decoded(text: str, path: KeyPath, shape: Shape, origins: Origins) -> object:
    """The value of a variable: lists and tables as JSON, a list of texts also with commas between."""
    if shape.leaf:
        return text
    of_texts = shape.form is Form.LIST and shape.inner is not None and shape.inner.leaf
    if of_texts and not text.lstrip().startswith("["):
        return [part.strip() for part in text.split(",") if part.strip()]
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if isinstance(value, list if shape.form is Form.LIST else dict):
        return value
    kind = "list" if shape.form is Form.LIST else "object"
    origins.problem(path, f"is not a JSON {kind}", f"Give the whole {kind} as JSON, or leave it to the file")
    return None


def _put(tree: dict[str, Any], path: KeyPath, value: object) -> None:
    """Set a key deep in a tree. Names come sorted: a whole table first, then single keys of it."""
    for part in map(str, path[:-1]):
        if not isinstance(tree.get(part), dict):
            tree[part] = {}
        tree = tree[part]
    tree[str(path[-1])] = value


def known_variables(shape: Shape, tree: object, path: KeyPath = ()) -> Iterator[str]:
    """Every variable that would set something, given the names of channels and locations in the file."""
    table = tree if isinstance(tree, dict) else {}
    for name in shape.names() or tuple(table):
        child = shape.child(name)
        if child is not None and child.form in (Form.SECTION, Form.TABLE):
            yield from known_variables(child, table.get(name), (*path, name))
        else:
            yield variable((*path, name))


def _unknown_variable(name: str, known: list[str], origins: Origins) -> None:
    """A problem if it is surely meant for us: it has '__', or only lacks an underscore."""
    flat = {other.replace("__", "_"): other for other in known}
    alike = flat.get(name.upper().replace("__", "_"))
    if "__" not in name and alike is None:
        return
    close = alike or nearest(name.upper(), known)
    remedy = f"Did you mean {close}?" if close else "See config/example.toml for all keys"
    path = tuple(name[len(PREFIX) :].lower().split("__"))
    origins.variables[path] = name
    origins.problem(path, "is not a known key", remedy)


def drop_replaced(env_tree: dict[str, Any], file_tree: dict[str, Any], root: Shape) -> None:
    """A secret in the environment replaces the file's, in whichever of the two ways each gives it."""
    in_file = {path: section for path, _, section in sections(root, file_tree)}
    for path, shape, section in sections(root, env_tree):
        for name in secret_names(shape):
            if name in section or f"{name}_file" in section:
                for key in (name, f"{name}_file"):
                    in_file.get(path, {}).pop(key, None)
