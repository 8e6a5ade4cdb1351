"""The statements of tills' reports and of mapped SKUs; a part of `SqlTx`."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from datetime import datetime

from sqlalchemy import select

from sfsync.domain.sku_mapping import SkuMapping
from sfsync.domain.tills import TillHistory, TillReport
from sfsync.ports.keeping import KeptMapping

from . import tables as t
from .statements import Statements


class TillStatements(Statements):
    """What tills have sent, and what their names for SKUs mean."""

    def put_till_report(self, report: TillReport) -> None:
        """A till's report was dealt with."""
        c = t.till_report.c
        before = self._c.execute(select(t.till_report).where(c.till == report.till)).first()
        reports, entered, refused = (
            (before.reports_in_all, before.entered_in_all, before.refused_in_all) if before else (0, 0, 0)
        )
        sums = {
            "reports_in_all": reports + 1,
            "entered_in_all": entered + report.entered - report.again,
            "refused_in_all": refused + report.refused,
        }
        self._upsert(t.till_report, [{**asdict(report), **sums}])

    def till_reports(self) -> dict[str, TillHistory]:
        """What each till has told, by its name."""
        return {
            row.till: TillHistory(
                TillReport(row.till, row.at, row.way, row.entered, row.again, row.late, row.refused),
                row.reports_in_all,
                row.entered_in_all,
                row.refused_in_all,
            )
            for row in self._c.execute(select(t.till_report))
        }

    def sku_mappings(self) -> list[KeptMapping]:
        """All of them, by old SKU and source."""
        c = t.sku_mapping.c
        rows = self._c.execute(select(t.sku_mapping).order_by(c.old, c.source))
        return [KeptMapping(SkuMapping(row.old, row.new, row.source), row.at, row.by) for row in rows]

    def mapped_sku(self, old: str, source: str) -> str | None:
        """What the org calls a SKU that comes from a source: by its own mapping, else by everybody's."""
        c = t.sku_mapping.c
        query = select(c.new).where(c.old == old, c.source.in_(["", source])).order_by(c.source.desc())
        return self._c.execute(query.limit(1)).scalar()

    def put_sku_mappings(self, mappings: Collection[SkuMapping], by: str, at: datetime) -> None:
        """Keep them; one of the same old SKU and source is replaced."""
        rows = [{"old": m.old, "new": m.new, "source": m.source, "by": by, "at": at} for m in mappings]
        if rows:
            self._upsert(t.sku_mapping, rows)

    def drop_sku_mapping(self, old: str, source: str) -> bool:
        """Keep it no longer; False when there was none."""
        c = t.sku_mapping.c
        return self._c.execute(t.sku_mapping.delete().where(c.old == old, c.source == source)).rowcount > 0
