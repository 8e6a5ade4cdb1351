"""What the web and the command line ask of the flow, with its answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sfsync.domain.relay import Difference
from sfsync.flow.context import Context
from sfsync.flow.folding import FoldRun, FoldWish
from sfsync.flow.reconcile import Plan, Reconcile
from sfsync.flow.supervisor import Supervisor

from .rows import moment, moment_or_none


class ResyncService:
    """`Reconcile` as the web and the command line ask for it."""

    def __init__(self, ctx: Context, reconcile: Reconcile) -> None:
        self._ctx, self._reconcile = ctx, reconcile

    async def plan(self, channel: str | None, sku: str | None) -> Mapping[str, object]:
        """Differences, and an id to apply them by. Raises `KeyError` for an unknown channel."""
        if channel is not None and channel not in self._ctx.channels:
            raise KeyError(channel)
        plan = await self._reconcile.compare([channel] if channel else None, [sku] if sku else None)
        return _plan(plan)

    async def apply(self, plan_id: str) -> Mapping[str, object]:
        """Apply a plan. Raises `KeyError` when there is none of that id."""
        plan = await self._reconcile.apply(plan_id)
        if plan is None:
            raise KeyError(plan_id)
        return _plan(plan)


class FoldService:
    """`Folding` as the web and the command line ask for it."""

    def __init__(self, supervisor: Supervisor, older_than_days: int) -> None:
        self._supervisor, self._days = supervisor, older_than_days

    async def begin(
        self, older_than_days: int | None, sku: str | None, location: str | None, *, dry_run: bool
    ) -> Mapping[str, object] | None:
        """Begin a run; None while another is under way."""
        age = timedelta(days=self._days if older_than_days is None else older_than_days)
        run = self._supervisor.fold(FoldWish(age, sku, location, dry_run))
        return None if run is None else _fold_run(run)

    async def run(self, run_id: str) -> Mapping[str, object]:
        """How far a run has come. Raises `KeyError` when it is not the present or the last one."""
        run = self._supervisor.folding.run
        if run is None or run.id != run_id:
            raise KeyError(run_id)
        return _fold_run(run)


def _fold_run(run: FoldRun) -> dict[str, object]:
    return {
        "id": run.id,
        "older_than_days": run.wish.older_than.days,
        "sku": run.wish.sku,
        "location": run.wish.location,
        "dry_run": run.wish.dry_run,
        "started_at": moment(run.started_at),
        "ended_at": moment_or_none(run.ended_at),
        "levels": run.levels,
        "done": run.done,
        "requests": run.requests,
        "rows": run.rows,
        "kept": dict(run.kept),
        "problems": list(run.problems),
    }


def _plan(plan: Plan) -> dict[str, object]:
    return {
        "id": plan.id,
        "made_at": moment(plan.made_at),
        "compared": plan.compared,
        "unread": plan.unread,
        "warnings": list(plan.warnings),
        "rows": [_difference(row) for row in plan.rows],
    }


def _difference(row: Difference) -> dict[str, object]:
    return {
        "channel": row.channel,
        "sku": row.sku,
        "location": row.location,
        "shows": row.shows,
        "target": row.target,
        "cause": row.cause.value,
        "applicable": row.applicable,
    }
