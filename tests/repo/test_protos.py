"""The committed gRPC stubs are what the tool makes from the committed contract."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

TOP = Path(__file__).resolve().parents[2]


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("protos", TOP / "scripts" / "protos.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


protos = script()


@pytest.mark.parametrize("home", protos.HOMES, ids=lambda home: home.parent.name)
def test_the_stubs_are_what_the_contract_makes_of_them(home: Path) -> None:
    """Nobody edits a stub by hand, and nobody changes the contract without `make protos`."""
    for name, text in protos.generate(home).items():
        assert (home / name).read_text() == text, f"{name} is stale: run `make protos`"


def test_product_and_simulator_read_the_same_contract() -> None:
    """Two copies, since the two share no code; one text, since both speak to the same service."""
    first, *others = ((home / protos.PROTO).read_text() for home in protos.HOMES)
    assert all(other == first for other in others)
