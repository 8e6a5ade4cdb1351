"""A till's folder is followed, and its file of levels is kept.

A file is moved away only after all that it tells is written down, so a kill in the middle repeats it; each
line counts once (`tills`). What was refused waits beside its reasons, and as a dead letter until a file of
its name has gone in.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from sfsync.domain.count_file import BadRow, FileError, decode
from sfsync.domain.letters import TILL
from sfsync.domain.till_file import Report, levels_csv, read
from sfsync.domain.tills import REMEDIES, TillOutcome, TillReport
from sfsync.domain.words import agree, counted, of_rows
from sfsync.ports import Inbox, LevelsOut, OutsideError, TillPlace, Tx

from .context import Context
from .tills import Tills

LEVELS_SECONDS = 30.0
MOST_BYTES = 16 * 1024 * 1024  # of a file
TOLD_ROWS = 3  # in a dead letter; the text beside the file has them all
PAYLOAD_CHARACTERS = 2000


class TillWatch:
    """Follows one till's places."""

    def __init__(self, ctx: Context, tills: Tills, place: TillPlace) -> None:
        self._ctx, self._tills, self._place = ctx, tills, place
        self.name = place.till.name

    async def follow(self, inbox: Inbox) -> None:
        """Until cancelled: look into the folder again and again."""
        while True:
            try:
                await self.look(inbox)
            except OutsideError as error:
                self._ctx.warn("till's folder not read", error, till=self.name)
            await self._ctx.clock.sleep(self._place.rest_seconds)

    async def keep(self, levels_out: LevelsOut) -> None:
        """Until cancelled: have the file say what the till may sell."""
        while True:
            try:
                told = await self._tills.may_sell(self._place.till)
                if await levels_out.write(levels_csv(told)):
                    self._ctx.log.info("till told", till=self.name, skus=len(told))
            except OutsideError as error:
                self._ctx.warn("till not told", error, till=self.name)
            await self._ctx.clock.sleep(LEVELS_SECONDS)

    async def look(self, inbox: Inbox) -> None:
        """Take every file that has rested since the last look."""
        for name in await inbox.rested():
            raw = await inbox.read(name, MOST_BYTES)
            if raw is not None:
                await self._take(inbox, name, raw)

    async def _take(self, inbox: Inbox, name: str, raw: bytes) -> None:
        till = self._place.till
        if len(raw) > MOST_BYTES:
            what = f"the file has more than {MOST_BYTES:,} bytes; send it in several"
            await self._refuse(inbox, name, f"{what}.", f"{what}.\n", rows=1)
            return
        try:
            report = await asyncio.to_thread(lambda: read(decode(raw), till))
        except FileError as error:
            await self._refuse(inbox, name, f"{error}.", f"{error}.\n", rows=1)
            return
        sales = [sale for _, sale in report.sales]
        hold = bool(report.bad) and not till.partial
        outcomes = await self._tills.enter(sales, partial=till.partial, dry_run=hold)
        if any(outcome.problem == "try-later" for outcome in outcomes):
            return
        bad = bad_rows(report, outcomes)
        again = report.again + sum(outcome.again for outcome in outcomes)
        entered = sum(bool(outcome.state) for outcome in outcomes)
        rows = len(report.sales) + len(report.bad) + report.again
        if bad:
            reason = f"{of_rows(len(bad), rows)} bad: {'; '.join(map(_line, bad[:TOLD_ROWS]))}"
            text = "".join(f"{_line(row)}: {row.remedy}\n" for row in bad)
            if not entered:
                await self._refuse(inbox, name, reason, f"Nothing was entered.\n{text}", rows=len(bad))
                return
            these = agree(len(bad), "this row was", f"these {len(bad)} rows were")
            text = f"{counted(entered, 'line was', 'lines were')} entered, and {these} not:\n{text}"
            await self._tell(name, reason, text)
            where = await inbox.done(name, text)
        else:
            await self._ctx.store.write(lambda tx: _settled(tx, self._source, name))
            where = await inbox.done(name, "")
        late = sum(outcome.late for outcome in outcomes)
        await self._note(name, entered + report.again, again, late, len(bad))
        self._ctx.log.info(
            "till's report taken", till=self.name, file=where, lines=entered, again=again, bad=len(bad)
        )

    @property
    def _source(self) -> str:
        return f"{TILL}{self.name}"

    async def _note(self, name: str, entered: int, again: int, late: int, refused: int) -> None:
        now = self._ctx.clock.now()
        await self._tills.note(TillReport(self.name, now, name, entered, again, late, refused))

    async def _refuse(self, inbox: Inbox, name: str, reason: str, text: str, *, rows: int) -> None:
        """Nothing of it was entered; `rows` are bad, or 1 for a file that cannot be read at all."""
        await self._tell(name, reason, text)
        await self._note(name, 0, 0, 0, rows)
        where = await inbox.refused(name, text)
        self._ctx.log.warning(
            "till's report refused",
            till=self.name,
            file=where,
            reason=reason,
            next="mend it, and bring it again",
        )

    async def _tell(self, name: str, reason: str, text: str) -> None:
        now, advice = (
            self._ctx.clock.now(),
            "mend its rows, and put a file of this name into the folder again",
        )
        payload = text[:PAYLOAD_CHARACTERS]
        await self._ctx.store.write(
            lambda tx: tx.dead_letter(self._source, name, reason, advice, payload, now)
        )


def bad_rows(report: Report, outcomes: Sequence[TillOutcome]) -> list[BadRow]:
    """Every row that did not go in, by its line."""
    told = [
        BadRow(line, sale.level.sku, outcome.detail, REMEDIES[outcome.problem])
        for (line, sale), outcome in zip(report.sales, outcomes, strict=True)
        if outcome.problem
    ]
    return sorted([*report.bad, *told], key=lambda row: row.line)


def _line(row: BadRow) -> str:
    sku = f" ({row.sku})" if row.sku else ""
    return f"line {row.line}{sku}: {row.detail}"


def _settled(tx: Tx, source: str, name: str) -> None:
    tx.drop_dead_letter(source, name)
