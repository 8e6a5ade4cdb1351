"""When a change of the settings is so large that a person should look before it is written anywhere.

A wrong location, or a policy for the wrong SKUs, changes most of a channel's numbers at once, and each of
them looks like any other change.
"""

from __future__ import annotations

FEWEST = 20  # channel levels: fewer are looked over in a moment when they are wrong


def must_ask(changed: int, known: int, percent: int) -> bool:
    """Whether a change of so many of a channel's known numbers waits for a person.

    `percent`: the most that may change without; 100 never asks.
    """
    return changed >= FEWEST and 100 * changed > percent * known
