"""`make bench`: every case, with ratios and spread. ARGS="--quick" for a short look."""

from __future__ import annotations

import argparse
import json
import sys

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import block, burst, latency, resync, simulator

out = Console()
CASES = ["latency", "burst", "killed", "simulator", "resync", "block"]


def main() -> None:
    """Run the cases and print tables, or JSON."""
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="fewer and shorter rounds; the rival's burst is cut short"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("cases", nargs="*", choices=[*CASES, []], default=[])
    options = parser.parse_args()
    cases = options.cases or CASES
    limit = 60.0 if options.quick else 400.0
    found: dict[str, object] = {}
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(
        *columns, console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()
    ) as progress:
        if "latency" in cases:
            progress.add_task("latency: 50 changes/s to two storefronts")
            found["latency"] = latency.run(*((1, 5) if options.quick else (3, 15)))
        if "burst" in cases:
            progress.add_task("burst: 2,000 changes over 500 levels, Standard points")
            found["burst"] = burst.run(limit)
        if "killed" in cases:
            progress.add_task("burst with SIGKILL in its middle")
            found["killed"] = burst.run_killed(limit / 2)
        if "simulator" in cases:
            progress.add_task("simulator: the simulated org by itself")
            found["simulator"] = simulator.run(*((1, 30) if options.quick else (5, 100)))
        if "resync" in cases:
            skus = 2_000 if options.quick else 100_000
            progress.add_task(f"resync: {5 * skus:,} levels, one in a hundred drifted, two kills")
            found["resync"] = resync.run(skus, 300.0 if options.quick else 3600.0)
        if "block" in cases:
            progress.add_task("block: reservations out of the local block, and asked of the org")
            found["block"] = block.run(*((30, 50) if options.quick else (200, 300)))
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        _tell(found)


def _tell(found: dict[str, object]) -> None:
    for case, result in found.items():
        made = Table(title=case, title_justify="left", box=None)
        made.add_column("")
        rounds = {name: value if isinstance(value, list) else [value] for name, value in dict(result).items()}  # type: ignore[call-overload]  # reason: JSON-like
        for name in rounds:
            made.add_column(name, justify="right")
        made.add_column("ratio", justify="right")
        for key in next(iter(rounds.values()))[0]:
            values = {name: [row[key] for row in rows] for name, rows in rounds.items()}
            made.add_row(
                key, *(_spread(numbers) for numbers in values.values()), _ratio(list(values.values()))
            )
        out.print(made)


def _spread(numbers: list[float | None]) -> str:
    known = [number for number in numbers if number is not None]
    if not known:
        return "not within the limit"
    if len(known) == 1:
        return f"{known[0]:,.1f}"
    return f"{sorted(known)[len(known) // 2]:,.1f} ({min(known):,.1f} to {max(known):,.1f})"


def _ratio(columns: list[list[float | None]]) -> str:
    middles = [sorted(n for n in numbers if n is not None) for numbers in columns]
    if len(middles) != 2 or not all(middles):
        return "-"
    ours, theirs = (numbers[len(numbers) // 2] for numbers in middles)
    return f"{ours / theirs:.2f}" if theirs else "-"


if __name__ == "__main__":
    main()
