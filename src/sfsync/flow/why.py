"""Why a channel shows what it shows: the sum behind the number, and behind each part who holds or moved it.

The sum is made by the very functions that decide what is pushed. What stands behind it is read from the org's
ledger, not from what we remember of it, so that a number that we got wrong is seen to be wrong. The same for
a moment of the past: the ledger's rows up to then, under the settings that each channel went by then.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import groupby

from sfsync.domain.assortment import Assortment, InForce
from sfsync.domain.ats import Ats, Guarantee, Part, available_to_sell, parts_of
from sfsync.domain.budget import Work
from sfsync.domain.fold import LedgerRow
from sfsync.domain.piece import NOT_SFSYNC, Event, life
from sfsync.domain.stock import LevelKey, StockLevel
from sfsync.domain.why import (
    NotKeptError,
    Question,
    UnknownLocationError,
    UnknownPieceError,
    UnknownSkuError,
    told_change,
)
from sfsync.domain.words import agree
from sfsync.ports import ChannelLevel, Facts, Held, OutsideError, TryLater, Tx, telling

from .age import age_seconds
from .allocations import Divider, Own, turn_of
from .amiss import findings, heard_of
from .context import Context, wait_until_read
from .picture import Picture
from .rooms import Rooms, limit, with_whole_editions
from .shelf import ats_facts, goes_on, targets_of

MOVED = "not written there yet: it is another place than before"
BELOW = "sold beyond what it shows, until its sales are settled where its units are"
GIVING_BACK = "what it may still show while it gives its allocation back"
HELD_BACK = "held back: changed settings wait for a person"
GONE = "gone from {}, over a counter or to another place"
LAST = "among the last pieces of {}, whose counter has sold some since"
NEWEST = 8  # movements told behind a number on hand, and pieces that are gone
READ_AT_ONCE = 50  # stock levels whose movements are asked of the org by one call
Told = dict[str, object]


class Why:
    """Answers."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    async def tell(self, asked: Question) -> Told:
        """The arithmetic, or where a piece is asked for its life; JSON-ready.

        Raises `UnknownSkuError` and its kinds, `NotKeptError`; `TryLater` where the past is asked for
        and the org does not answer. Without the org the present is told from the store, and says so.
        """
        ctx = self._ctx
        levels = await ctx.store.read(lambda tx: self._levels(tx, asked))
        read = [each for each in levels if asked.at is not None or asked.unit in (None, each.key.unit)]
        rows: dict[LevelKey, Sequence[LedgerRow]] = {}
        begins: dict[LevelKey, datetime] = {}
        unread = ""
        try:
            found = await ledger_rows(ctx, read)
            begins = _begins(asked, found)
            rows = {level.key: _until(level.key, found[level.key], asked.at) for level in read}
        except OutsideError as error:
            if asked.at is not None:
                raise TryLater(f"the past is in the org's ledger, which was not read: {error}") from error
            unread, rows = str(error), {}
        return await ctx.store.read(lambda tx: _Answer(ctx, tx, asked, begins).tell(levels, rows, unread))

    def _levels(self, tx: Tx, asked: Question) -> list[StockLevel]:
        levels = sorted(tx.levels_of([asked.sku]), key=lambda each: each.key)
        if not any(asked.location in (None, each.key.location) for each in levels):
            wait_until_read(tx)
            if levels and asked.location is not None and not tx.held_at(asked.location):
                raise UnknownLocationError(asked.location, asked.sku, {each.key.location for each in levels})
            if levels or asked.at is not None or asked.unit or not heard_of(tx, self._ctx, asked.sku):
                raise UnknownSkuError(asked.sku, asked.location)
        if asked.unit is not None and not any(_asked_for(asked, each.key) for each in levels):
            wait_until_read(tx)
            raise UnknownPieceError(
                asked.sku,
                asked.unit,
                known={each.key.unit for each in levels if each.key.unit is not None},
                location=asked.location,
                places={each.key.location for each in levels if each.key.unit == asked.unit},
            )
        return levels


async def ledger_rows(ctx: Context, levels: Sequence[StockLevel]) -> dict[LevelKey, list[LedgerRow]]:
    """The movements of each of these levels as the org has them, oldest first."""
    tell = telling()
    found: dict[LevelKey, list[LedgerRow]] = {level.key: [] for level in levels}
    for number in range(0, len(levels), READ_AT_ONCE):
        tell("stock levels read in the org", number, len(levels))
        some = [each.record_id for each in levels[number : number + READ_AT_ONCE] if each.record_id]
        for row in await ctx.org.rows_at(some, Work.REFRESH):
            if row.movement.level in found:
                found[row.movement.level].append(row)
    return found


class _Answer:
    """One answer, within a transaction."""

    def __init__(
        self, ctx: Context, tx: Tx, asked: Question, begins: Mapping[LevelKey, datetime] | None = None
    ) -> None:
        """`begins`: of levels that have no movement of the time asked for, when the first was entered."""
        self._ctx, self._tx, self._asked, self._begins = ctx, tx, asked, begins or {}
        self._now = asked.at or ctx.clock.now()
        self._assortment, self._settings = ctx.assortment, "in force"
        if asked.at is not None:
            then = _settings_of(tx, ctx, asked.at)
            self._assortment, self._settings = then or ctx.assortment, "of then" if then else "of today"

    def tell(
        self, levels: Sequence[StockLevel], rows: Mapping[LevelKey, Sequence[LedgerRow]], unread: str
    ) -> Told:
        """All of it."""
        ctx, tx, asked, now, assortment = self._ctx, self._tx, self._asked, self._now, self._assortment
        behind = _Behind(tx, rows)
        if asked.at is None:
            age = age_seconds(tx, assortment, ctx.pulse, now)
            skus = with_whole_editions(assortment, {asked.sku})
            picture = Picture(tx.facts(skus), assortment, age_seconds=age)
        else:
            picture = Picture(behind.facts(levels, scarce=tx.facts([asked.sku]).scarce), assortment)
        named = list(assortment.channels)
        shown = [
            level
            for level in tx.channel_levels([asked.sku])
            if level.channel in assortment.channels
            and asked.channel in (None, level.channel)
            and (
                asked.location is None
                or asked.location in assortment.sources(level.channel, level.location, level.sku)
            )
        ]
        shown.sort(key=lambda level: (named.index(level.channel), level.location))
        return {
            "sku": asked.sku,
            "at": _moment(now),
            "past": asked.at is not None,
            "settings": self._settings,
            "org": f"not read: {unread}" if unread else "read",
            "turn": self._turn(picture) if asked.at is None else None,
            "findings": [] if asked.at is not None else findings(tx, ctx, asked, levels, shown),
            "channels": self._channels(picture, shown, behind) if levels and asked.unit is None else [],
            "levels": [
                behind.level(level, known=asked.at is None, read=not unread)
                for level in levels
                if _asked_for(asked, level.key)
            ],
            "piece": None if asked.unit is None else self._piece(picture, levels, shown, behind),
        }

    def _turn(self, picture: Picture) -> Told | None:
        """Whose turn it is to sell it, where one channel does at a time."""
        sku = self._asked.sku
        turn = turn_of(self._tx, sku, self._assortment.division(sku, picture.scarce(sku)), self._now)
        if turn is None:
            return None
        return {
            "channel": turn.channel,
            "since": _moment(turn.since),
            "until": _moment(turn.until),
            "then": turn.then,
        }

    def _channels(self, picture: Picture, shown: Sequence[ChannelLevel], behind: _Behind) -> list[Told]:
        tx, asked, now = self._tx, self._asked, self._now
        sku, assortment = asked.sku, self._assortment
        divider = self._divider(picture)
        scarce = divider.scarce(sku)
        own = (
            divider.targets(sku, scarce, tx.channel_levels([sku]))
            if asked.at is None
            else _own(picture, divider, assortment, sku, scarce)
        )
        sums: dict[tuple[str, str, str], Ats] = {}
        for level in shown:
            units = own.get((level.channel, level.location))
            if units is not None and (units < 0 or assortment.division(sku, scarce) is None):
                part = Part(BELOW if units < 0 else GIVING_BACK, units)
                sums[sku, level.channel, level.location] = Ats(units, (part,))
                continue
            facts = ats_facts(
                picture, assortment, level.channel, sku, level.location, scarce=scarce, own=units
            )
            sums[sku, level.channel, level.location] = available_to_sell(facts)
        targets: dict[tuple[str, str, str], int | None] = {key: each.units for key, each in sums.items()}
        if asked.at is None:
            beside = self._beside(divider, picture, targets)
            limit(Rooms(tx, assortment), picture, assortment, [*shown, *beside], targets)
        found: list[Told] = []
        for level in shown:
            key = (sku, level.channel, level.location)
            policy = assortment.policy(level.channel, sku, scarce)
            parts = self._parts(behind, level, sums[key].parts)
            self._tell_gone(parts, divider, level)
            should = targets[key] or 0
            if should != sums[key].units:
                edition = assortment.edition(sku)
                name = f"of the edition {edition.name}" if edition else "elsewhere"
                parts.append(
                    {"what": f"not to be sold {name}", "units": should - sums[key].units, "because": []}
                )
            goes = goes_on(picture, assortment, level, should)
            if goes is not None and goes != should:
                parts.append(self._kept(level, should, goes, scarce))
            hold = tx.held(level.channel) if asked.at is None else None
            moved = hold is not None and hold.moved
            if hold is not None and moved:
                because = [{**_rule(hold.sentence, 0), "at": _moment(hold.since)}]
                parts.append({"what": MOVED, "units": 0, "because": because})
            told: Told = {
                "channel": level.channel,
                "location": level.location,
                "guarantee": policy.guarantee.value,
                "policy": assortment.told(policy),
                "sells_from": list(assortment.sources(level.channel, level.location, sku)),
                "should_show": should if goes is None else goes,
                "sum": parts,
                "held": moved or goes not in (None, should),
            }
            if asked.at is None:
                told |= _shown(level, now)
            found.append(told)
        return found

    def _divider(self, picture: Picture) -> Divider:
        found = Divider(self._tx, self._assortment, self._ctx.pulse, picture, self._now, only_look=True)
        if self._asked.at is not None:
            found.forget_numbers(self._asked.sku)
        return found

    def _tell_gone(self, parts: Sequence[Told], divider: Divider, level: ChannelLevel) -> None:
        """Say behind a channel's allocation what of it has left, and is set aside in the org still."""
        for part in parts:
            because = part["because"]
            if part["what"] == "its allocation" and isinstance(because, list):
                sources = self._assortment.sources(level.channel, level.location, level.sku)
                there = divider.covered_gone(level.sku)
                for key, units in sorted(divider.gone(level.sku, level.channel, sources).items()):
                    place = key.location + (f", piece {key.unit}" if key.unit else "")
                    because.append(_rule((LAST if key in there else GONE).format(place), -units))

    def _kept(self, level: ChannelLevel, by_settings: int, shows: int, scarce: InForce) -> Told:
        """The part that changed settings would change, and that waits for a person."""
        before = self._assortment.held[level.channel]
        rule = told_change(
            before.policy(level.channel, level.sku, scarce),
            self._assortment.policy(level.channel, level.sku, scarce),
        )
        units = shows - by_settings
        because = [_rule(rule, units)] if rule else []
        hold = self._tx.held(level.channel) if self._asked.at is None else None
        if hold is not None:
            percent = self._assortment.channels[level.channel].ask_above_percent
            sentence = f"{hold.sentence.removesuffix('.')}, because its ask_above_percent is {percent}"
            because.append({**_rule(sentence, units), "at": _moment(hold.since)})
        return {"what": HELD_BACK, "units": units, "because": because}

    def _beside(
        self, divider: Divider, picture: Picture, targets: dict[tuple[str, str, str], int | None]
    ) -> list[ChannelLevel]:
        """The channel levels of its limited edition's other SKUs, which share what may still be sold."""
        found: list[ChannelLevel] = []
        sku = self._asked.sku
        for other in sorted(with_whole_editions(self._assortment, {sku}) - {sku}):
            levels = list(self._tx.channel_levels([other]))
            targets |= targets_of(divider, picture, self._assortment, other, levels)
            found += levels
        return found

    def _parts(self, behind: _Behind, level: ChannelLevel, parts: Sequence[Part]) -> list[Told]:
        """The parts of a sum; pieces that are not there any more, and add nothing to it, as one."""
        found: list[Told] = []
        gone: list[LevelKey] = []
        for key, each in groupby(parts, key=lambda part: part.level):
            some = list(each)
            if key is not None and key.unit is not None and not any(part.units for part in some):
                gone.append(key)
            else:
                found += [self._part(behind, level, part) for part in some]
        if gone:
            words = f"{len(gone):,} {agree(len(gone), 'piece that is', 'pieces that are')} not there any more"
            found.append({"what": words, "units": 0, "because": behind.gone(gone)})
        return found

    def _part(self, behind: _Behind, level: ChannelLevel, part: Part) -> Told:
        what, units = part.what, part.units
        because: list[Told] = []
        if what == "its allocation":
            because = behind.holders(f"allocation:{level.channel}:")
        elif what == "its own reservations":
            because = [each for each in behind.holders("reservation:") if each["channel"] == level.channel]
        elif what == "orders that no stock covers":
            because = [
                {
                    "what": f"order {line.order_name} of {line.channel}",
                    "units": line.uncovered,
                    "at": _moment(line.placed_at),
                    "subject": line.subject,
                    "channel": line.channel,
                }
                for line in self._tx.uncovered_lines([self._asked.sku])
            ]
        elif what == "safety stock":
            because = [_rule(f"safety stock of {level.channel} for this SKU, in the settings", -units)]
        elif what.startswith("above its cap"):
            because = [_rule(f"cap of {level.channel} for this SKU, in the settings", units)]
        elif part.level is not None and what.startswith("safety stock"):
            because = [_rule(f"locations.safety_stock.{part.level.location}, in the settings", -units)]
        elif part.level is not None and what.startswith("on hand"):
            because = behind.moved(part.level)
            if (begin := self._begins.get(part.level)) is not None:
                because.append(_rule(f"its books begin at {_moment(begin)}: nothing is known of before", 0))
        elif part.level is not None and what.startswith("reserved"):
            because = behind.holders("", part.level)
        return {"what": what, "units": units, "because": because}

    def _piece(
        self,
        picture: Picture,
        levels: Sequence[StockLevel],
        shown: Sequence[ChannelLevel],
        behind: _Behind,
    ) -> Told:
        """The life of the piece that was asked for, where it stands, and what it counts at channels."""
        own = [level for level in levels if _asked_for(self._asked, level.key)]
        events = behind.life([level.key for level in own])
        promised = behind.promised(own)
        stands = picture.levels(self._asked.sku)
        there = sorted(
            (facts.key.location, facts.on_hand)
            for facts in stands
            if _asked_for(self._asked, facts.key) and facts.on_hand > 0
        )
        return {
            "unit": self._asked.unit,
            "stands": self._stands(there, promised, events),
            "promised_to": promised,
            "counts_at": [told for level in shown for told in self._counts_at(picture, level, promised)],
            "life": [_event(each, behind) for each in events],
        }

    def _stands(
        self, there: Sequence[tuple[str, int]], promised: Sequence[Told], events: Sequence[Event]
    ) -> str:
        """Where it is, and whose it is, in a sentence."""
        owners = [str(each["what"]) for each in promised if each["units"]]
        owed = f"promised to {' and to '.join(owners)}" if owners else ""
        if not there:
            left = next((each for each in reversed(events) if each.on_hand < 0), None)
            words = f"not in stock: {left.what}" if left is not None else "not in stock"
            return f"{words}; still {owed}" if owed else words
        places = [place for place, _ in there]
        if sum(units for _, units in there) > 1:
            return f"at {' and '.join(places)}, {sum(units for _, units in there)} times by the books" + (
                f"; {owed}" if owed else ""
            )
        if owed:
            return f"at {places[0]}, {owed}"
        free = "not for sale there" if places[0] in self._assortment.not_for_sale else "promised to nobody"
        return f"at {places[0]}, {free}"

    def _counts_at(self, picture: Picture, level: ChannelLevel, promised: Sequence[Told]) -> list[Told]:
        """What it adds to the number of a channel that sells from where it is, or to its allocation."""
        sku, assortment = self._asked.sku, self._assortment
        sources = assortment.sources(level.channel, level.location, sku)
        policy = assortment.policy(level.channel, sku, picture.scarce(sku))
        facts = ats_facts(picture, assortment, level.channel, sku, level.location, scarce=picture.scarce(sku))
        own = [each for each in facts.levels if _asked_for(self._asked, each.key)]
        if policy.guarantee is Guarantee.ALLOCATED:
            held = picture.allocated_levels(sku, level.channel, sources)
            gone = self._divider(picture).gone(sku, level.channel, sources)
            units = sum(held.get(each.key, 0) - gone.get(each.key, 0) for each in own)
            parts = [Part("its allocation", units)]
        elif policy.allocated_elsewhere or policy.guarantee is Guarantee.UNKNOWN:
            parts = list(available_to_sell(facts).parts)
        else:
            parts = [part for each in own if each.on_hand or each.reserved for part in parts_of(each)]
            if policy.guarantee is Guarantee.GATED and assortment.channels[level.channel].counts_down:
                parts += [
                    Part("its own reservation", int(str(each["units"])))
                    for each in promised
                    if str(each["subject"]).startswith("reservation:") and each["channel"] == level.channel
                ]
        if not own or not parts:
            return []
        return [
            {
                "channel": level.channel,
                "location": level.location,
                "guarantee": policy.guarantee.value,
                "units": sum(part.units for part in parts),
                "sum": [{"what": part.what, "units": part.units} for part in parts],
            }
        ]


class _Behind:
    """Who holds and who moved what, by the org's ledger."""

    def __init__(self, tx: Tx, rows: Mapping[LevelKey, Sequence[LedgerRow]]) -> None:
        self._tx, self._rows = tx, rows
        self._held: dict[tuple[str, LevelKey], list[LedgerRow]] = defaultdict(list)
        for key, each in rows.items():
            for row in each:
                self._held[row.movement.subject, key].append(row)

    def facts(self, levels: Sequence[StockLevel], *, scarce: Mapping[str, InForce]) -> Facts:
        """The facts as the ledger's rows make them. What was on its way then, and by whom, nobody keeps."""
        then = [
            StockLevel(
                level.key,
                sum(row.movement.on_hand_delta for row in self._rows[level.key]),
                sum(row.movement.reserved_delta for row in self._rows[level.key]),
                len(self._rows[level.key]),
                level.record_id,
            )
            for level in levels
        ]
        held: Counter[tuple[str, str | None, LevelKey]] = Counter()
        for (subject, key), rows in self._held.items():
            kind = subject.partition(":")[0]
            if kind in ("reservation", "allocation"):
                units = sum(row.movement.reserved_delta for row in rows)
                held[kind, self.channel(subject), key] += units
        by = [Held(kind, channel, key, units) for (kind, channel, key), units in held.items() if units]
        return Facts(then, by, (), {}, scarce)

    def holders(self, start: str, level: LevelKey | None = None) -> list[Told]:
        """Subjects with units reserved, newest first; of all levels together, which piece each has."""
        found = [
            (min(row.created_at for row in rows), subject, key, units)
            for (subject, key), rows in self._held.items()
            if subject.startswith(start)
            and level in (None, key)
            and (units := sum(row.movement.reserved_delta for row in rows))
        ]
        found.sort(key=lambda each: each[:2], reverse=True)
        return [
            {
                "what": self.name(subject)
                + (f", piece {key.unit}" if key.unit is not None and level is None else ""),
                "units": units,
                "at": _moment(at),
                "subject": subject,
                "channel": self.channel(subject),
            }
            for at, subject, key, units in found
        ]

    def moved(self, level: LevelKey) -> list[Told]:
        """The newest movements of what is on hand there, and all older ones as one."""
        rows = [row for row in self._rows.get(level, ()) if row.movement.on_hand_delta]
        rows.sort(key=lambda row: row.created_at, reverse=True)
        found: list[Told] = [
            {
                "what": f"{row.movement.kind.word} {row.movement.reference}".strip(),
                "units": row.movement.on_hand_delta,
                "at": _moment(row.created_at),
                "subject": row.movement.subject,
                "by": _by(row.by_sfsync),
            }
            for row in rows[:NEWEST]
        ]
        if older := rows[NEWEST:]:
            units = sum(row.movement.on_hand_delta for row in older)
            found.append(
                {"what": f"{len(older)} older movements", "units": units, "at": _moment(older[0].created_at)}
            )
        return found

    def gone(self, levels: Sequence[LevelKey]) -> list[Told]:
        """How pieces left where they were, the newest first."""
        left = [
            (events[-1].at, key, events[-1])
            for key in levels
            if (events := [each for each in self.life([key]) if each.on_hand < 0])
        ]
        left.sort(key=lambda each: each[:2], reverse=True)
        found: list[Told] = [
            {
                "what": f"piece {key.unit}: {event.what}",
                "units": event.on_hand,
                "at": _moment(at),
                "subject": event.subject,
                "by": _by(event.by_sfsync),
            }
            for at, key, event in left[:NEWEST]
        ]
        if older := left[NEWEST:]:
            units = sum(event.on_hand for _, _, event in older)
            found.append({"what": f"{len(older):,} that left before", "units": units})
        return found

    def life(self, levels: Sequence[LevelKey]) -> list[Event]:
        """What has happened to a piece, oldest first; `levels` are its own."""
        return life((row for key in levels for row in self._rows.get(key, ())), self.name)

    def promised(self, levels: Sequence[StockLevel]) -> list[Told]:
        """Whom a piece is promised to, newest first; where the ledger was not read, as the store has it."""
        if all(level.key in self._rows for level in levels):
            found = [
                {**each, "location": level.key.location}
                for level in levels
                for each in self.holders("", level.key)
            ]
        else:
            found = [
                {
                    "what": self.name(held.subject),
                    "units": held.reserved,
                    "at": _moment(held.since),
                    "subject": held.subject,
                    "channel": held.channel,
                    "location": held.level.location,
                }
                for held in self._tx.holdings_at([level.key for level in levels])
                if held.reserved
            ]
        return sorted(found, key=lambda each: str(each["at"]), reverse=True)

    def level(self, level: StockLevel, *, known: bool, read: bool) -> Told:
        """A level as the ledger has it; beside it what we knew, where that is asked for."""
        rows = self._rows.get(level.key, ())
        folded = [row.created_at for row in rows if row.folded is not None]
        told: Told = {"location": level.key.location, "unit": level.key.unit}
        if read:
            told |= {
                "on_hand": sum(row.movement.on_hand_delta for row in rows),
                "reserved": sum(row.movement.reserved_delta for row in rows),
                "rows": len(rows),
                "folded_until": _moment(max(folded)) if folded else None,
            }
        if known:
            told["known"] = {"on_hand": level.on_hand, "reserved": level.reserved, "version": level.version}
        return told

    def channel(self, subject: str) -> str | None:
        """For which channel something is held or moved; None: for none."""
        kind, _, rest = subject.partition(":")
        if kind == "reservation":
            reservation = self._tx.reservation(rest.rpartition(":")[0])
            return reservation.channel if reservation is not None else None
        return rest.partition(":")[0] if kind in ("order", "allocation") else None

    def name(self, subject: str) -> str:
        """What people call it."""
        kind, _, rest = subject.partition(":")
        if kind == "order":
            line = self._tx.lines([subject]).get(subject)
            return f"order {line.order_name if line else rest} of {rest.partition(':')[0]}"
        if kind == "reservation":
            reservation = self._tx.reservation(rest.rpartition(":")[0])
            if reservation is not None:
                words = f"{reservation.kind.value} reservation {reservation.id} of {reservation.owner}"
                return f"{words}, for {reservation.channel}" if reservation.channel else words
        if kind == "allocation":
            return f"allocation of {rest.partition(':')[0]}"
        return subject or NOT_SFSYNC


def _asked_for(asked: Question, level: LevelKey) -> bool:
    return asked.location in (None, level.location) and asked.unit in (None, level.unit)


def _event(event: Event, behind: _Behind) -> Told:
    return {
        "at": _moment(event.at),
        "happened_at": _moment(event.happened_at),
        "what": event.what,
        "where": list(event.places),
        "on_hand": event.on_hand,
        "reserved": event.reserved,
        "reference": event.reference,
        "subject": event.subject,
        "channel": behind.channel(event.subject),
        "by": _by(event.by_sfsync),
        "because": [
            {"what": behind.name(subject), "units": units, "subject": subject}
            for subject, units in event.folded.items()
        ],
    }


def _by(sfsync: bool) -> str:
    return "sfsync" if sfsync else NOT_SFSYNC


def _begins(asked: Question, found: Mapping[LevelKey, Sequence[LedgerRow]]) -> dict[LevelKey, datetime]:
    """Levels of which nothing had been entered at the time asked for, each with its beginning.

    `NotKeptError` where that is so of all that was asked for. A level without any movement has always been
    empty; of one that was folded, `_until` knows since when it is.
    """
    if asked.at is None:
        return {}
    first = {key: min(row.created_at for row in rows) for key, rows in found.items() if rows}
    first = {key: begin for key, begin in first.items() if all(row.folded is None for row in found[key])}
    own = [begin for key, begin in first.items() if _asked_for(asked, key)]
    if own and min(own) > asked.at:
        at = f" at {asked.location}" if asked.location is not None else ""
        raise NotKeptError(f"{asked.sku}{at}", min(own), folded=False)
    return {key: begin for key, begin in first.items() if begin > asked.at}


def _until(key: LevelKey, rows: Sequence[LedgerRow], at: datetime | None) -> list[LedgerRow]:
    """The rows that stood there then."""
    if at is None:
        return list(rows)
    folded = max((row.created_at for row in rows if row.folded is not None), default=None)
    if folded is not None and at < folded:
        raise NotKeptError(key, folded)
    return [row for row in rows if row.created_at <= at]


def _shown(level: ChannelLevel, now: datetime) -> Told:
    """What the channel shows, and what is under way to it."""
    return {
        "shows": level.published,
        "in_flight": level.push is not None,
        "changed_at": _moment(level.changed_at),
        "read_at": _moment(level.baseline_at),
        "age_seconds": round((now - level.changed_at).total_seconds(), 1),
        "problem": level.problem,
    }


def _settings_of(tx: Tx, ctx: Context, at: datetime) -> Assortment | None:
    """What channels went by at a time, with today's products; None where that is not kept."""

    def rules(channel: str) -> Assortment | None:
        by = tx.went_by(channel, at)
        kept = None if by is None else tx.rulebook(by)
        return None if kept is None else kept.snapshot(ctx.assortment.catalogue)

    then = rules("")
    if then is None:
        return None
    others = {
        name: kept
        for name in then.channels
        if tx.went_by(name, at) != tx.went_by("", at) and (kept := rules(name)) is not None
    }
    then.keep(others)
    return then


def _own(picture: Picture, divider: Divider, assortment: Assortment, sku: str, scarce: InForce) -> Own:
    """What each channel had of its own then, less what had left of that."""
    found = {}
    for name, plan in assortment.channels.items():
        if assortment.policy(name, sku, scarce).guarantee is Guarantee.ALLOCATED:
            sources = assortment.sources(name, plan.first_location, sku)
            gone = sum(divider.gone(sku, name, sources).values())
            found[name, plan.first_location] = picture.allocation(sku, name, sources) - gone
    return found


def _rule(what: str, units: int) -> Told:
    return {"what": what, "units": units}


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
