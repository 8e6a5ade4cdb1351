"""From pydantic's errors to our problems: the same facts, in words for the person who wrote the file."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .origins import Origins, variable
from .problems import KeyPath, meant, nearest
from .shape import Form, Shape

LONGEST_SHOWN = 60
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "a text",
    "tuple": "a list",
    "list": "a list",
    "dict": "a table",
    "model": "a table",
    "path": "a path",
}
_GIVEN = {
    str: "a text",
    bool: "true or false",
    int: "a number",
    float: "a number",
    list: "a list",
    dict: "a table",
}
_LIMITS = {
    "greater_than": ("must be more than", "gt"),
    "greater_than_equal": ("must be at least", "ge"),
    "less_than": ("must be less than", "lt"),
    "less_than_equal": ("must be at most", "le"),
}


def note_findings(error: ValidationError, root: Shape, origins: Origins) -> None:
    """Turn every error into a problem; none repeats a secret.

    Unknown keys first: a required key that was only misspelt is not told as missing too.
    """
    found = error.errors(include_url=False)
    for details in sorted(found, key=lambda details: details["type"] != "extra_forbidden"):
        _note(details, root, origins)


def _note(details: ErrorDetails, root: Shape, origins: Origins) -> None:
    path = tuple(part for part in details["loc"] if part != "[key]")
    parent = root.at(path[:-1])
    kind, context = details["type"], details.get("ctx", {})
    what, remedy = details["msg"][:1].lower() + details["msg"][1:], ""
    if kind == "told":
        what, remedy = context["what"], context["remedy"]
    elif kind == "missing":
        origins.missing(path, _how_to_give(path, parent))
        return
    elif kind == "extra_forbidden":
        _note_unknown(path, parent.names() if parent else (), origins)
        return
    elif kind in ("literal_error", "enum"):
        what = f"is {_shown(details, root, path)}"
        remedy = _choices(context.get("expected", ""), details["input"])
    elif kind in _LIMITS:
        words, key = _LIMITS[kind]
        what = f"is {_shown(details, root, path)}; it {words} {context[key]:g}"
    elif kind in ("too_short", "string_too_short"):
        fewest = context["min_length"]
        what = "is empty" if fewest == 1 else f"has fewer than {fewest} characters"
    elif kind in ("too_long", "string_too_long"):
        what = f"has more than {context['max_length']} characters"
    else:
        wanted = _KINDS.get(kind.split("_")[0])
        if wanted is not None:
            what = f"is {_shown(details, root, path)}, not {wanted}"
    origins.problem(path, what, remedy)


def _shown(details: ErrorDetails, root: Shape, path: KeyPath) -> str:
    """The value, where it is a plain one and no secret; otherwise its kind."""
    value: Any = details["input"]
    shape = root.at(path)
    plain = shape is not None and shape.leaf and shape.form is not Form.SECRET and path[-1] != "token"
    if plain and isinstance(value, str | int | float | bool):
        text = str(value).lower() if isinstance(value, bool) else repr(value)
        return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
    return _GIVEN.get(type(value), "of another kind")


def _how_to_give(path: KeyPath, parent: Shape | None) -> str:
    name = str(path[-1])
    shape = parent.child(name) if parent else None
    if shape is not None and not shape.leaf:
        return f"Add the table [{'.'.join(str(part) for part in path)}]"
    if any(isinstance(part, int) for part in path):
        return f"Add {name}" + (f" or {name}_file" if shape and shape.form is Form.SECRET else "")
    ways = f"Give {name}"
    if shape is not None and shape.form is Form.SECRET:
        ways += f" or {name}_file"
    return f"{ways}, or set {variable(path)}"


def _note_unknown(path: KeyPath, known: tuple[str, ...], origins: Origins) -> None:
    word = str(path[-1])
    close = nearest(word, known)
    if close is not None:
        origins.explained.add((*path[:-1], close.removesuffix("_file")))
    origins.problem(path, "is not a known key", meant(word, known))


def _choices(expected: str, given: object) -> str:
    words = [word.strip(" '") for word in expected.replace(" or ", ",").split(",")]
    close = nearest(str(given), words)
    return f"Use one of {', '.join(words)}" + (f"; did you mean {close}?" if close else "")
