"""Which webhooks a channel is asked to send, and what must change so that it sends them.

Ours are those to an address that ends with our path for the channel (`path_of`): what others have subscribed
to with the same app is theirs, and left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Subscription:
    """That a channel sends webhooks of a topic to an address.

    `whole` is False where something is left out of them (fields, a filter, another format).
    """

    topic: str
    address: str
    id: str = ""
    whole: bool = True


class Act(StrEnum):
    """What becomes of a subscription."""

    KEEP = "there"
    CREATE = "create"
    REMOVE = "remove"
    LEAVE = "not ours"


@dataclass(frozen=True, slots=True)
class Step:
    """One line of a plan; `why` in words for a person."""

    act: Act
    subscription: Subscription
    why: str = ""


def path_of(channel: str) -> str:
    """Where a channel's webhooks arrive, below the address at which sfsync is reached."""
    return f"/webhooks/{channel}"


def plan(channel: str, base: str, topics: Collection[str], held: Sequence[Subscription]) -> list[Step]:
    """What to do so that exactly these topics go to us: in the order in which to do it.

    Nothing to do means that no step is CREATE or REMOVE. What must be replaced is removed first, for a
    channel refuses a second subscription of a topic to one address.
    """
    address = base.rstrip("/") + path_of(channel)
    there: set[str] = set()
    kept: list[Step] = []
    removed: list[Step] = []
    left: list[Step] = []
    for each in sorted(held, key=lambda one: (one.topic, one.address, one.id)):
        if not urlsplit(each.address).path.rstrip("/").endswith(path_of(channel)):
            left.append(Step(Act.LEAVE, each, "another's address"))
        elif each.address != address:
            removed.append(Step(Act.REMOVE, each, "goes to an address that is not ours any more"))
        elif each.topic not in topics:
            removed.append(Step(Act.REMOVE, each, "nothing is read from it"))
        elif not each.whole:
            removed.append(Step(Act.REMOVE, each, "leaves something out"))
        elif each.topic in there:
            removed.append(Step(Act.REMOVE, each, "is there twice"))
        else:
            there.add(each.topic)
            kept.append(Step(Act.KEEP, each))
    created = [
        Step(Act.CREATE, Subscription(topic, address)) for topic in sorted(topics) if topic not in there
    ]
    replaced = [step for step in removed if step.why == "leaves something out"]
    # The new ones before the stale ones go: while the address changes, nothing is lost in between.
    return [*kept, *replaced, *created, *(step for step in removed if step not in replaced), *left]
