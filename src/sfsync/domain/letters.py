"""Dead letters by their cause: what it means, what to do about it, and whether a retry is safe.

A letter tells its cause by where it comes from and by its key: `push:SKU@location`, `sku:SKU`,
`untracked:SKU@location` and `beyond:SKU@location` of a channel, the subject of an order's line, a movement's
key in the ledger, a stream's topic, a till and the name of its file, a count's record. Whatever else is a
channel's is a delivery of it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum, StrEnum

UNBELIEVED = "unbelieved:"  # before who told of it and the order's id: no delivery's key begins so
ITEM = "item:"  # before the SKU of an item, as it can be shown
LEDGER, TRANSFERS, COUNTS = "ledger", "transfers", "counts"
OLD_RETURN = "came back:"  # before the id of an order that is not ours
CAME_BACK = "goods back:"  # and of one that is
OTHER_SKU = "other SKU:"  # before the subject of an order's line
PUSH, UNTRACKED, BEYOND = "push:", "untracked:", "beyond:"  # how the keys of items' letters begin
TILL = "till "  # before its name; no channel's name has a blank
LONGEST_REASON, LONGEST_NAME = 160, 80
REUSED = "its source has told of something else under the same identity"  # how such a reason begins
REUSED_ADVICE = "have its source tell it again under an identity of its own, then drop this one"
UNREADABLE = "what this opening row stands for cannot be read: steps of its subjects might be entered twice"


class Cause(StrEnum):
    """Why an item was set aside."""

    ITEM_REFUSED = "item refused"
    DUPLICATE_SKU = "duplicate SKU"
    UNTRACKED = "item not tracked"
    BEYOND_STOCK = "item sold beyond its stock"
    NO_LEVEL = "no stock level"
    DELIVERY = "delivery not understood"
    MOVEMENT_REFUSED = "movement refused"
    MOVEMENT_WAITS = "movement waits for its level"
    FOLD_UNREADABLE = "fold not readable"
    EVENT = "event not understood"
    TRANSFER = "transfer not understood"
    REUSED = "identity used twice"
    TILL_FILE = "till's file has bad rows"
    COUNT_UNTOLD = "count not told to the org"
    UNBELIEVED = "order not believed"
    NO_SKU = "item without a usable SKU"
    OLD_RETURN = "return of an order from before"
    CAME_BACK = "goods that came back"
    OTHER_SKU = "sent under another SKU"


class Retry(StrEnum):
    """Whether trying again is safe, and does anything."""

    SAFE = "safe"
    ITSELF = "by itself"  # it is tried again without being asked; asking is safe too
    USELESS = "useless"  # the same would come of it: it must be mended elsewhere


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a person is told of a cause."""

    retry: Retry
    means: str
    advice: str
    why: str  # the retry is safe, or useless


VERDICTS = {
    Cause.ITEM_REFUSED: Verdict(
        Retry.SAFE,
        "the channel refused to write an item's number",
        "mend the item at the channel, then retry",
        "its number is read first, and only what is missing now is written",
    ),
    Cause.DUPLICATE_SKU: Verdict(
        Retry.USELESS,
        "several items of the channel carry one SKU",
        "give each item its own SKU at the channel, then `sfsync resync`",
        "the next comparison finds the same as long as the items carry one SKU",
    ),
    Cause.UNTRACKED: Verdict(
        Retry.USELESS,
        "the channel keeps no number of an item, and so sells it for ever; nothing is written there",
        "switch inventory tracking on for the item at the channel, then `sfsync resync`",
        "the next comparison finds the same as long as it is not tracked",
    ),
    Cause.BEYOND_STOCK: Verdict(
        Retry.USELESS,
        "the channel goes on selling an item that shows zero: the number that sfsync writes stops nobody",
        "switch off 'Continue selling when out of stock' for the item, then `sfsync resync`; or drop it, "
        "where it is meant so: it is not told again",
        "the next comparison finds the same as long as it may be sold so",
    ),
    Cause.NO_LEVEL: Verdict(
        Retry.ITSELF,
        "something was sold that the org has no stock level of",
        "create the stock level, or mend sells_from; or say what the SKU is called in the org: "
        "`sfsync dead-letters map`",
        "each step of an order is entered once, however often it is decided",
    ),
    Cause.DELIVERY: Verdict(
        Retry.SAFE,
        "what the channel sent could not be read or stored",
        "look at its content, mend its sender or update sfsync, then retry; the order list is read anyway",
        "an order's state is taken over, not added: what is known already is entered once",
    ),
    Cause.MOVEMENT_REFUSED: Verdict(
        Retry.SAFE,
        "the org refuses a movement, and not for want of stock",
        "mend what the reason names in the org (a validation, a trigger, a permission), then retry; what has "
        "happened or was sold counts meanwhile, and is tried again every quarter of an hour",
        "it goes under the same key, which the org takes once",
    ),
    Cause.MOVEMENT_WAITS: Verdict(
        Retry.ITSELF,
        "a movement is to be entered at a stock level that the org does not have",
        "create the stock level; it is then entered by itself",
        "it waits, and is tried every minute",
    ),
    Cause.FOLD_UNREADABLE: Verdict(
        Retry.USELESS,
        "somebody edited the opening row of a fold",
        "restore its field Folded__c from a backup of the org, then start sfsync with a new store",
        "nobody can say which steps it stands for",
    ),
    Cause.EVENT: Verdict(
        Retry.USELESS,
        "an event of the org's stream says something that cannot be entered",
        "mend it at its source, which publishes it anew; then drop this one",
        "the event stays what it is",
    ),
    Cause.TRANSFER: Verdict(
        Retry.USELESS,
        "a till told of a transfer that cannot be entered",
        "enter it by `sfsync transfer`, or have it published anew; then drop this one",
        "the event stays what it is",
    ),
    Cause.REUSED: Verdict(
        Retry.USELESS,
        "a till used one identity (SourceId, receipt) for two things; the first is entered, this one is not",
        REUSED_ADVICE,
        "who has the identity keeps it: nobody can tell a second sale from a sale told wrongly twice",
    ),
    Cause.TILL_FILE: Verdict(
        Retry.USELESS,
        "a concession's file, or some rows of it, could not be entered",
        "mend the rows that the text beside it names, and put a file of its name into the folder again",
        "the file stays what it is; all of it may be brought again, as each line is entered once",
    ),
    Cause.UNBELIEVED: Verdict(
        Retry.SAFE,
        "an order says what cannot be true, or cannot be read; nothing of it was entered",
        "correct it at the channel; or, if it is true, raise most_units in the settings; then retry",
        "the order is read again, and entered once if it is believed",
    ),
    Cause.NO_SKU: Verdict(
        Retry.USELESS,
        "an item of the channel carries a SKU that the org cannot have; its number is left alone",
        "type its SKU anew at the channel, then `sfsync resync`, and drop this one",
        "the next reading finds the same as long as the item carries it",
    ),
    Cause.OLD_RETURN: Verdict(
        Retry.USELESS,
        "goods came back of an order from before the channel's first start, which sfsync has not entered",
        "enter a movement of kind Return in the org, where they lie, then drop this one; drop it at once "
        "where somebody else has entered it",
        "what its sale was entered as nobody here knows, so what it gives back cannot be worked out",
    ),
    Cause.CAME_BACK: Verdict(
        Retry.USELESS,
        "the channel tells that goods were received back, and not whether they may be sold again",
        "look at them and enter a movement of kind Return in the org, where they lie, then drop this one; "
        "drop it at once where a till or somebody else has entered it",
        "the channel says the same of it for ever",
    ),
    Cause.OTHER_SKU: Verdict(
        Retry.USELESS,
        "an order's line names another SKU since its goods have left: they are entered under the one before",
        "count both SKUs where the goods left from, then drop this one; drop it at once where a SKU was only "
        "renamed",
        "whether other goods left, or only their name was corrected, nobody here knows",
    ),
    Cause.COUNT_UNTOLD: Verdict(
        Retry.ITSELF,
        "the org refuses to have written into a stock count's record what became of the count",
        "mend what the reason names in the org (a validation, a trigger, a permission)",
        "the count itself is entered or told as a mistake; its record is written again each hour",
    ),
}


def cause_of(source: str, key: str, reason: str) -> Cause:
    """The cause of a letter."""
    if reason.startswith(REUSED):
        return Cause.REUSED
    if source == LEDGER:
        if reason == UNREADABLE:
            return Cause.FOLD_UNREADABLE
        waits = reason.startswith("the org has no stock level ")
        return Cause.MOVEMENT_WAITS if waits else Cause.MOVEMENT_REFUSED
    if source == TRANSFERS:
        return Cause.TRANSFER
    if source == COUNTS:
        return Cause.COUNT_UNTOLD
    if source.startswith(TILL):
        return Cause.TILL_FILE
    if source.startswith("/"):
        return Cause.EVENT
    if key.startswith(UNBELIEVED):
        return Cause.UNBELIEVED
    if key.startswith(OLD_RETURN):
        return Cause.OLD_RETURN
    if key.startswith(CAME_BACK):
        return Cause.CAME_BACK
    if key.startswith(OTHER_SKU):
        return Cause.OTHER_SKU
    if key.startswith(ITEM):
        return Cause.NO_SKU
    if key.startswith(PUSH):
        return Cause.ITEM_REFUSED
    if key.startswith("sku:"):
        return Cause.DUPLICATE_SKU
    if key.startswith(UNTRACKED):
        return Cause.UNTRACKED
    if key.startswith(BEYOND):
        return Cause.BEYOND_STOCK
    return Cause.NO_LEVEL if key.startswith("order:") else Cause.DELIVERY


def is_channel(source: str) -> bool:
    """True where the letter is a channel's, and so waits for that channel."""
    return source not in (LEDGER, TRANSFERS, COUNTS) and not source.startswith(("/", TILL))


def item_of(key: str) -> tuple[str, str]:
    """(SKU, the channel's location) of a letter about an item."""
    sku, _, location = key.partition(":")[2].rpartition("@")
    return sku, location


def item_keys(sku: str, location: str) -> tuple[str, ...]:
    """The keys of all letters that may tell of an item at a channel."""
    return f"sku:{sku}", *(f"{kind}{sku}@{location}" for kind in (PUSH, UNTRACKED, BEYOND))


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the wish to retry a letter."""

    id: int
    done: bool
    said: str


def written(value: object) -> str:
    """What a letter holds of our own values, as JSON: their fields by name, times in UTC."""
    return json.dumps(_plain(value), ensure_ascii=False)


def _plain(value: object) -> object:
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence | frozenset | set) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, str | int | float) else str(value)


def held(payload: str) -> object:
    """What a letter holds: an object or a list where it is JSON of one, else the text as it came."""
    try:
        found: object = json.loads(payload)
    except (ValueError, RecursionError):
        return payload
    return found if isinstance(found, dict | list) else payload
