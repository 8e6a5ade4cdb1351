"""Comparisons as the web and the command line ask for them: JSON-ready, and plans read from files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sfsync.domain.resync import Cause, Difference, Scope, WrittenPlan, code_of, finding
from sfsync.domain.words import agree, counted
from sfsync.ports import PlannedRow, ResyncRun, RowCount, RowState, RunState, Tx

from .context import Context
from .resync import Resync
from .resync_pricing import tariff

VERSION = 1  # of the plan's file


class ResyncDesk:
    """`Resync` for people and scripts."""

    def __init__(self, ctx: Context, resync: Resync) -> None:
        self._ctx, self._resync = ctx, resync

    async def begin(self, scope: Scope) -> Mapping[str, object]:
        """Begin to compare. Raises `BusyError` while a plan is being applied."""
        return await self._told(await self._resync.begin(scope))

    async def bring(self, plan: WrittenPlan, *, more: bool = False) -> Mapping[str, object]:
        """Take in a plan from a file. Raises `ValueError` when it is another org's.

        `more`: its further rows follow by `bring_rows`.
        """
        bound = await self._ctx.store.read(lambda tx: tx.bound_org())
        if plan.org_id != bound:
            raise ValueError(f"the plan was made with org {plan.org_id}, and this is org {bound}")
        return await self._told(await self._resync.bring(plan, more=more))

    async def bring_rows(
        self, run_id: str, rows: Sequence[Difference], *, more: bool
    ) -> Mapping[str, object]:
        """Take in further rows of a plan. `KeyError`: none of that id is coming in; `ValueError`: a row.

        While more follow, only how many have come: to count what they say is work for all of them.
        """
        run = await self._resync.bring_rows(run_id, rows, more=more)
        if run is None:
            raise KeyError(run_id)
        if more:
            return {"id": run.id, "state": run.state.value, "compared": run.about["compared"]}
        return await self._told(run)

    async def last(self) -> Mapping[str, object] | None:
        """The newest comparison as it stands."""
        run = await self._ctx.store.read(lambda tx: tx.last_resync())
        return None if run is None else await self._told(run)

    async def run(self, run_id: str) -> Mapping[str, object]:
        """One as it stands. `KeyError`: there is none of that id."""
        run = await self._ctx.store.read(lambda tx: tx.resync(run_id))
        if run is None:
            raise KeyError(run_id)
        return await self._told(run)

    async def rows(self, run_id: str, after: tuple[str, str, str], limit: int) -> Mapping[str, object]:
        """Rows of its plan after one, and the row to ask for more after, None at the end."""

        def read(tx: Tx) -> tuple[ResyncRun | None, list[PlannedRow]]:
            return tx.resync(run_id), list(tx.resync_rows(run_id, after=after, limit=limit + 1))

        run, found = await self._ctx.store.read(read)
        if run is None:
            raise KeyError(run_id)
        page = found[:limit]
        last = page[-1].difference if len(found) > limit else None
        return {
            "rows": [_row(row) for row in page if row.difference.cause is not Cause.EVEN],
            "next": None if last is None else [last.channel, last.sku, last.location],
        }

    async def apply(self, run_id: str, yes_change: int | None) -> Mapping[str, object]:
        """Begin to apply. `KeyError`: no plan of that id is ready. Raises `TooMuchError`."""
        run = await self._resync.apply(run_id, yes_change=yes_change)
        if run is None:
            raise KeyError(run_id)
        return await self._told(run)

    async def _told(self, run: ResyncRun) -> Mapping[str, object]:
        def read(tx: Tx) -> tuple[list[RowCount], str | None, int]:
            return list(tx.resync_counts(run.id)), tx.bound_org(), tx.count_levels()

        counts, org_id, levels = await self._ctx.store.read(read)
        calls = self._ctx.pulse.calls()
        about = run.about
        return {
            "version": VERSION,
            "id": run.id,
            "org": org_id,
            "state": run.state.value,
            "made_at": _moment(run.made_at),
            "scope": run.scope.told(),
            "compared": about["compared"],
            "progress": {
                "org_levels": about["org"]["levels"],
                "org_levels_held": levels,
                "org_done": about["org"]["done"],
                "channels": {
                    name: {"read": of["read"], "known": of["total"], "done": of["done"]}
                    for name, of in about["channels"].items()
                },
                "calls_left": None if calls is None else max(0, calls.ours - calls.ours_used),
                "points": {name: _points(self._ctx, name) for name in self._ctx.channels},
            },
            "org_newer": about["org"].get("newer", 0),
            "org_gone": about["org"].get("gone", 0),
            "org_unread": about["org"].get("unread", ""),
            "unread": {name: of["unread"] for name, of in about["channels"].items() if of["unread"]},
            "warnings": [*_held(run.scope, counts), *_warnings(about)],
            "price": about.get("price", {}),
            "finding": _finding(run, counts),
            "causes": _causes(counts),
            "changes": sum(each.changes for each in counts if each.cause not in _HIDDEN),
            "rows_done": _done(counts),
            "rows_planned": sum(
                each.rows for each in counts if each.state is RowState.PLANNED and each.cause not in _HIDDEN
            ),
            "ended": run.state in (RunState.READY, RunState.DONE),
        }


_HIDDEN = frozenset({Cause.EVEN})


def _causes(counts: Sequence[RowCount]) -> list[dict[str, object]]:
    rows: Counter[tuple[str, Cause]] = Counter()
    for each in counts:
        if each.cause not in _HIDDEN:
            rows[each.channel, each.cause] += each.rows
    return [
        {"channel": channel, "cause": cause.value, "code": code_of(cause), "rows": count}
        for (channel, cause), count in sorted(rows.items())
    ]


def _done(counts: list[RowCount]) -> dict[str, int]:
    found = dict.fromkeys((state.value for state in RowState if state is not RowState.PLANNED), 0)
    for each in counts:
        if each.state is not RowState.PLANNED and each.cause not in _HIDDEN:
            found[each.state.value] += each.rows
    return found


def _finding(run: ResyncRun, counts: Sequence[RowCount]) -> str:
    """The sentence that stands for a plan without rows; "" where it has some, or is not known yet."""
    if run.state not in (RunState.READY, RunState.DONE) or _causes(counts):
        return ""
    channels = run.about["channels"]
    return finding(
        run.scope,
        compared=run.about["compared"],
        others=sum(of["others"] for of in channels.values()),
        unread=[name for name, of in channels.items() if of["unread"]],
        skus=run.about["skus"],
    )


def _held(scope: Scope, counts: Sequence[RowCount]) -> list[str]:
    """What applying would let go, and nobody has looked at yet."""
    changes, zeros = Counter[str](), Counter[str]()
    for each in counts:
        if each.cause is Cause.SETTINGS_HELD and each.state is RowState.PLANNED and scope.every_row:
            changes[each.channel] += each.changes
            zeros[each.channel] += each.zeros
    return [
        f"{counted(number, 'number')} at {channel} {agree(number, 'is another', 'are others')} by "
        f"changed settings that wait for a person, {zeros[channel]:,} of them nothing: applied, those "
        "settings hold there"
        for channel, number in sorted(changes.items())
    ]


def _row(row: PlannedRow) -> dict[str, object]:
    of = row.difference
    return {
        "channel": of.channel,
        "sku": of.sku,
        "location": of.location,
        "shows": of.shows,
        "target": of.target,
        "believed": row.published,
        "cause": of.cause.value,
        "code": code_of(of.cause),
        "applicable": of.applicable,
        "read_at": _moment(row.read_at),
        "state": row.state.value,
        "note": row.note,
    }


def _warnings(about: Mapping[str, Any]) -> list[str]:
    told = []
    for channel, of in about["channels"].items():
        if beyond := of["oversell"]:
            named = ", ".join(beyond[:3]) + (" …" if len(beyond) > 3 else "")
            told.append(
                f"{channel} sells {counted(len(beyond), 'item beyond its', 'items beyond their')} stock "
                f"({named}): set {agree(len(beyond), 'it', 'them')} to stop at zero there"
            )
    if gone := about["org"].get("gone", 0):
        named = ", ".join(about["org"]["gone_named"]) + (
            " …" if gone > len(about["org"]["gone_named"]) else ""
        )
        levels = counted(gone, "stock level is", "stock levels are")
        told.append(
            f"{levels} no longer in the org ({named}): applied, each counts as empty, and is an incident"
        )
    for channel, (numbers, *skus) in about["org"].get("follow", {}).items():
        named = ", ".join(skus) + (" …" if numbers > len(skus) else "")
        told.append(
            f"{counted(numbers, 'number', 'numbers')} at {channel} that you did not ask for "
            f"{agree(numbers, 'follows', 'follow')} ({named}): sold from the same stock"
        )
    if why := about["org"].get("unread"):
        told.append(f"the org's levels were not read ({why}): compared with those that sfsync holds")
    return told


def _points(ctx: Context, name: str) -> int | None:
    held = tariff(ctx, name).points_held
    return None if held is None else round(held)


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
