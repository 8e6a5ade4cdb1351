"""What the guides and the help texts must tell, and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from sfsync.cli import COMMANDS, app
from sfsync.domain import incidents

GUIDE = Path(__file__).parents[2] / "docs" / "operations.md"
KINDS = sorted(
    value
    for name, value in vars(incidents).items()
    if name.isupper() and not name.startswith("_") and isinstance(value, str)
)


@pytest.mark.parametrize("kind", KINDS)
def test_the_guide_says_of_each_kind_of_incident_what_to_do(kind: str) -> None:
    """Whoever is woken by one finds its row."""
    assert re.search(rf"^\| {re.escape(kind)}(,[^|]*)? \|", GUIDE.read_text(), re.MULTILINE)


def _texts(command: Any, name: str) -> Iterator[tuple[str, str]]:
    yield name, command.help or ""
    for param in command.params:
        yield f"{name} {param.name}", getattr(param, "help", None) or ""
    for each, under in getattr(command, "commands", {}).items():
        yield from _texts(under, f"{name} {each}")


def test_no_help_text_loses_a_word_to_markup() -> None:
    """What stands in square brackets is taken for a style, and not shown."""
    group: Any = typer.main.get_command(app)
    found: dict[str, str] = {}
    for name in COMMANDS:
        found |= _texts(group.get_command(None, name), name)
    assert len(found) > 100
    assert not {name: text for name, text in found.items() if re.search(r"(?<!\\)\[[a-z]", text)}
