"""What stands although the org refuses its rows: a sale, goods that have moved, a step of an order.

It waits in the store as it was written down, and so counts as asked for: nobody else is promised its units.
The org is asked again now and then; a letter tells a person why it refuses, and an incident tells of each
order that is waiting for units. A person has it sent at once or drops it; an order that has changed meanwhile
takes its step back and is decided anew.
"""

from __future__ import annotations

from datetime import datetime

from sfsync.domain.incidents import NOT_ENTERED
from sfsync.domain.ledger import Bundle
from sfsync.domain.letters import LEDGER, written
from sfsync.domain.values import replace
from sfsync.ports import Tx

from .context import Context
from .cover import order_told

ADVICE = "mend it in the org: it counts meanwhile, and is tried again every quarter of an hour; or retry"


def tell(tx: Tx, ctx: Context, bundle: Bundle, reason: str, *, again: bool) -> None:
    """The org refuses it for good, `again` or for the first time: a person must look."""
    now, first = ctx.clock.now(), bundle.movements[0]
    tx.dead_letter(LEDGER, first.key, reason, ADVICE, written(bundle.movements), now)
    ctx.log.warning("movement refused", key=first.key, reason=reason, next=ADVICE)
    decided_by = {row.subject: row.source_version for row in bundle.own}
    for line in tx.lines(decided_by).values():
        changed = line.version.isoformat() != decided_by[line.subject]
        tx.lines_answered([line.subject], due=changed or (again and line.due))
        units = sum(row.reserved_delta for row in bundle.own if row.subject == line.subject)
        if units <= 0:
            continue  # it gives units back, or they have left: its customer waits for nothing
        title = f"{units} of {line.line.sku} sold at {line.channel} that the org refuses to reserve: {reason}"
        detail = {"sku": line.line.sku, "units": units, "order": order_told(line), "reason": reason}
        tx.open_incident(NOT_ENTERED, line.subject, title, detail, now)


def over(tx: Tx, bundle: Bundle, now: datetime) -> None:
    """It is in the ledger, or is asked for no more."""
    for subject in {row.subject for row in bundle.own}:
        tx.close_incident(NOT_ENTERED, subject, now)


def take_back(tx: Tx, bundle: Bundle, now: datetime, *, decide: bool) -> None:
    """Ask for it no more; `decide`: its orders have changed, and what they want now is worked out anew.

    Until then what was asked for them counts as what no stock covers: nobody else gets it in between.
    """
    tx.finish_bundle(bundle.id, "wrong", "taken back", now)
    tx.drop_dead_letter(LEDGER, bundle.movements[0].key)
    over(tx, bundle, now)
    if not decide:
        return
    asked = {row.subject: 0 for row in bundle.own}
    for row in bundle.own:
        asked[row.subject] += row.reserved_delta
    for line in tx.lines(asked).values():
        units = min(max(0, asked[line.subject]), line.line.open_quantity)
        tx.put_line(replace(line, due=True, uncovered=line.uncovered + units))
