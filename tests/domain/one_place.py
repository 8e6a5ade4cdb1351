"""A SKU of which all units stand at one place that every channel sells from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sfsync.domain.allocation import Books, Move, moves, stock

HERE = "here"


def here(books: Books) -> Books:
    """A channel all of whose units stand at one place, from which every channel sells."""
    return replace(
        books, sources=(HERE,), stands={HERE: books.held - books.gone}, arriving={HERE: books.coming}
    )


def total(pool: int, books: Sequence[Books]) -> int:
    """Units to split, where all of them stand at one place."""
    return stock({HERE: pool}, [here(each) for each in books]).total


def moves_here(pool: int, books: Sequence[Books], goals: Mapping[str, int]) -> list[Move]:
    """What is to be asked of the org, where all units stand at one place."""
    return moves({HERE: pool}, [here(each) for each in books], goals)
