"""Two sources of one order: the storefront itself, and a record of the order in the org.

Another connector may copy a storefront's orders into the org, where people edit them too. Both then tell of
the same sale. Their versions are different clocks, so each source's newest word is kept by itself, and what
the ledger should hold is worked out from the two newest words, never from which of them came last:

- *lines*: a line of one source is the same line as one of the other when both name the same line id, else
  when both sell the same SKU (and unit), first with first;
- *quantities*: where both sources sell an SKU, the authority's quantities count (a setting: the storefront,
  or the org). The other source's edit counts once the authority repeats it;
- a line that only one source has counts as that source tells it, so a sale is reserved as soon as anybody
  tells of it; but what the other source has beyond the authority's lines of that SKU is superseded;
- *what has happened*: goods that left or came back count as soon as one of the two tells of them (the
  greater number, each unit at the earlier of their moments), where each source has exactly one line of the
  SKU. Else the authority's numbers count;
- the storefront's own shelf (`taken_quantity`) is known by the storefront alone;
- a location named by the authority counts before one named by the other;
- which of the storefront's locations sends a unit is known by the storefront alone.

The result does not depend on the order in which the two spoke, nor on how often.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .moments import earliest
from .orders import OrderLine
from .places import LinePlace, settled
from .values import quick, replace


class Source(StrEnum):
    """Who tells of an order."""

    CHANNEL = "channel"
    ORG = "org"


@quick
@dataclass(frozen=True, slots=True)
class Word:
    """The newest that one source has told of a line. `version` is that source's own clock."""

    version: datetime
    line: OrderLine


Words = Mapping[Source, Word]


def pair(held: Mapping[str, Words], told: Sequence[OrderLine], source: Source) -> list[str | None]:
    """For each line told by `source`: the subject that it already has, or None for a line nobody knew.

    `held` has the words of all known lines of the order by subject.
    """
    found: list[str | None] = [None] * len(told)
    free = sorted(subject for subject, words in held.items() if source not in words)
    for position, line in enumerate(told):
        found[position] = next(
            (
                subject
                for subject, words in held.items()
                if source in words and words[source].line.line_id == line.line_id
            ),
            None,
        )
    for same in (_same_id, _same_goods):
        for position, line in enumerate(told):
            if found[position] is None:
                match = next((subject for subject in free if same(held[subject], line)), None)
                if match is not None:
                    found[position] = match
                    free.remove(match)
    return found


def _same_id(words: Words, line: OrderLine) -> bool:
    return any(
        word.line.line_id == line.line_id and _goods(word.line) == _goods(line) for word in words.values()
    )


def _same_goods(words: Words, line: OrderLine) -> bool:
    return any(_goods(word.line) == _goods(line) for word in words.values())


def _goods(line: OrderLine) -> tuple[str, str | None]:
    return line.sku, line.unit


def wanted(order: Mapping[str, Words], authority: Source) -> dict[str, OrderLine]:
    """What the ledger should hold for each line of one order, by subject, from all words about it."""
    groups: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for subject, words in order.items():
        groups[_goods(_first(words, authority).line)].append(subject)
    result: dict[str, OrderLine] = {}
    for subjects in groups.values():
        ruled = any(authority in order[subject] for subject in subjects)
        single = len(subjects) == 1
        for subject in subjects:
            result[subject] = _wanted(order[subject], authority, ruled=ruled, single=single)
    return result


def deciding(words: Words, authority: Source) -> Word:
    """The word whose version the line's movements carry."""
    return _first(words, authority)


def _first(words: Words, authority: Source) -> Word:
    return words[authority] if authority in words else next(iter(words.values()))


def _wanted(words: Words, authority: Source, *, ruled: bool, single: bool) -> OrderLine:
    line = _first(words, authority).line
    if ruled and authority not in words:
        line = replace(line, open_quantity=0, fulfilled_quantity=0, returned_quantity=0)
    elif single and len(words) > 1:
        ordered = line.open_quantity + line.fulfilled_quantity
        fulfilled = max(word.line.fulfilled_quantity for word in words.values())
        returned = max(word.line.returned_quantity for word in words.values())
        line = replace(
            line,
            open_quantity=max(0, ordered - fulfilled),
            fulfilled_quantity=fulfilled,
            returned_quantity=returned,
            left=earliest(*(word.line.left for word in words.values())),
            came_back=earliest(*(word.line.came_back for word in words.values())),
        )
    own = words.get(Source.CHANNEL)
    if own is not None and own.line.places:
        total = LinePlace(
            "", line.open_quantity, line.fulfilled_quantity, line.returned_quantity, own.line.taken_quantity
        )
        first = own.line.places[0].location
        places = settled(own.line.places, total, own.line.places, first, routed=own.line.routed)
        line = replace(line, places=places, routed=own.line.routed)
    return replace(
        line,
        taken_quantity=own.line.taken_quantity if own else 0,
        taken_in_doubt=own.line.taken_in_doubt if own else False,
        location=line.location
        or next((word.line.location for word in words.values() if word.line.location), None),
    )
