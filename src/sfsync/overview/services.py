"""What the web and the command line ask of the flow, with its answers as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from sfsync.flow.folding import FoldRun, FoldWish
from sfsync.flow.supervisor import Supervisor

from .rows import moment, moment_or_none


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
