"""The command: plays the drop, shows how it goes, prints the report, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from sfsync.cli.common import JsonOption, err, fail, out, print_json, table
from sfsync.cli.demo.processes import DemoError, Stage

from .crowd import Visit
from .plan import Plan, PlanError, read
from .play import Watch, play
from .report import Report

SANDBOX_PARTS = ("graphql", "lark")  # what only the simulators need


def rehearse(
    drop: Annotated[Path, typer.Argument(help="The drop's file; config/drop.toml is an example.")],
    buyers: Annotated[int | None, typer.Option(help="So many instead of the file's.", min=1)] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep logs and store; say where.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Play a drop through on this machine: a simulated org and storefronts, the real daemon, many buyers.

    Exit codes: 0 nothing was oversold; 1 something was, or the rehearsal failed; 2 the file is wrong;
    3 a package is missing.
    """
    missing = [part for part in SANDBOX_PARTS if find_spec(part) is None]
    if missing:
        fail("the simulated parties need more packages: pip install 'sfsync[sandbox]'")
    try:
        plan = read(drop)
    except PlanError as error:
        fail(str(error), code=2)
    if buyers is not None:
        plan = plan.model_copy(update={"buyers": plan.buyers.model_copy(update={"count": buyers})})
    folder = Path(tempfile.mkdtemp(prefix="sfsync-rehearsal-"))
    stage = Stage(folder)
    try:
        found = asyncio.run(_played(plan, stage))
    except DemoError as error:
        fail(f"The rehearsal failed: {error}", code=1)
    finally:
        stage.end()
        if keep:
            err.print(f"Logs and the store are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if as_json:
        print_json(found.as_json())
    else:
        _tell(found)
    raise typer.Exit(1 if found.oversold else 0)


async def _played(plan: Plan, stage: Stage) -> Report:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("", total=plan.buyers.count)
        counts: Counter[str] = Counter()

        def phase(what: str) -> None:
            progress.update(task, description=what)

        def left(visit: Visit) -> None:
            counts[visit.outcome] += 1
            told = f"the drop is open: {counts['got one']:,} sold, {counts['sold out']:,} too late"
            progress.update(task, advance=1, description=told)

        return await play(plan, stage, Watch(phase, left))


def _tell(found: Report) -> None:
    block = f", local block of {found.block:,}" if found.block else ""
    made = table(
        f"{found.buyers:,} buyers for {found.pieces:,} pieces, {found.guarantee}{block}",
        "",
        ("", "right"),
        "",
    )
    refusals = f"{found.sold_out:,} told that it is sold out, {found.no_answer:,} left without an answer"
    made.add_row("granted", f"{found.granted:,}", refusals)
    made.add_row("orders", f"{found.ordered:,}", "pieces in orders at the storefronts")
    made.add_row(
        "oversold", f"{found.oversold:,}", "" if found.oversold else "nobody was promised what is not there"
    )
    sold_out = "-" if found.sold_out_after_s is None else f"{found.sold_out_after_s:,.1f} s"
    made.add_row("sold out", sold_out, "after the opening" if found.sold_out_after_s else "pieces are left")
    made.add_row("answer: granted", _ms(found.granted_p50_ms), f"p99 {_ms(found.granted_p99_ms)}")
    made.add_row("answer: sold out", _ms(found.refused_p50_ms), f"p99 {_ms(found.refused_p99_ms)}")
    if found.turned_away:
        made.add_row("turned away", f"{found.turned_away:,}", "times, to come again a moment later")
    made.add_row("org calls", f"{found.org_calls:,}", _named(found))
    for name, points in found.shopify_points.items():
        made.add_row(f"Shopify points, {name}", f"{points:,.0f}", "")
    made.add_row("all settled", f"{found.settled_after_s:,.1f} s", "after the opening")
    made.add_row("sfsync's memory", f"{found.memory_mb:,.0f} MB", "at its highest")
    for reason, count in found.no_answer_because.items():
        made.add_row("no answer", f"{count:,}", reason)
    out.print(made)
    first = table("What a larger drop would meet first", "limit", ("used", "right"), "")
    for used in found.breaks_first:
        first.add_row(used.limit, f"{used.percent:,.1f} %", used.how)
    out.print(first)


def _named(found: Report) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in found.org_calls_by_kind.items())


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f} ms"
