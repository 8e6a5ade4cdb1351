"""`sfsync check`: whether everything that sfsync needs is in order, and how to mend what is not."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from sfsync.cli import channel
from sfsync.cli.common import (
    DEFAULT_CONFIG,
    ConfigOption,
    JsonOption,
    fail,
    out,
    print_json,
    settings_or_exit,
    table,
)
from sfsync.cli.examination import Examination, Part
from sfsync.cli.progress import bar
from sfsync.cli.tables import visible
from sfsync.domain import doctor
from sfsync.domain.findings import Finding, Severity, worst
from sfsync.domain.words import counted
from sfsync.settings import Settings

COLOURS = {Severity.GOOD: "green", Severity.WARNING: "yellow", Severity.FATAL: "red"}
FATAL, NOT_REACHED, WARNINGS = 4, 3, 1

Parts = Annotated[
    list[str] | None,
    typer.Argument(help="Only these parts: settings, org, a channel's name, or alerts.", metavar="[PART]..."),
]


def check(
    parts: Parts = None,
    config: ConfigOption = DEFAULT_CONFIG,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Mend what is safe to mend: webhooks (with web.public_url), rights of secret files."
        ),
    ] = False,
    skus: Annotated[
        bool, typer.Option(help="Compare the SKUs of org and channels; reads all of them.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Examine the settings, the org and every channel: what is wrong, why it matters, how to mend it.

    The rule of the org is really tried, on a stock level of its own (SFSYNC-PROBE). Nothing else is written,
    unless --fix is given. Needs no daemon, and disturbs none.

    Exit codes, by the worst finding: 0 all well; 1 warnings; 2 wrong settings; 3 the org or a channel was not
    reached; 4 something fatal: sfsync cannot keep its promises. What --fix has mended does not count.
    """
    settings = settings_or_exit(config)
    names = ["settings", "org", *settings.channels, *(["alerts"] if settings.alerts.receivers else [])]
    unknown = set(parts or ()) - set(names)
    if unknown:
        known = ", ".join(names)
        fail(f"{', '.join(sorted(unknown))}: there is no such part. Known: {known}", 2)
    found: list[Part] = []
    with bar() as shown:
        asyncio.run(_examine(Examination(settings, shown.show, skus=skus), parts or (), found))
    mended = _mend(settings, found) if fix else {}
    if as_json:
        print_json(_report(found, mended))
    else:
        _show(found, mended)
    raise typer.Exit(_exit_code(found, mended))


async def _examine(examination: Examination, only: Sequence[str], found: list[Part]) -> None:
    async for part in examination.run(only):
        found.append(part)


# -- mending ---------------------------------------------------------------------------------------------


def _mend(settings: Settings, parts: Sequence[Part]) -> dict[str, str]:
    """Do what is safe; what was done, or why not, by `Finding.mend`."""
    done: dict[str, str] = {}
    for part in parts:
        for finding in part.findings:
            kind, _, which = finding.mend.partition(":")
            act = _MENDERS.get(kind)
            if act is not None and finding.mend not in done:
                done[finding.mend] = act(settings, which)
    return done


def _webhooks(settings: Settings, name: str) -> str:
    base = settings.web.public_url
    if base is None:
        return ""
    try:
        channel.set_up_now(settings, name, base)
    except typer.Exit:  # why, it has said on standard error
        return f"not mended: see sfsync channel setup {name}"
    return "mended: its webhooks are set up"


def _rights(_: Settings, path: str) -> str:
    try:
        Path(path).chmod(0o600)
    except OSError as error:
        return f"not mended: {error.strerror}"
    return "mended: for its owner only"


_MENDERS: dict[str, Callable[[Settings, str], str]] = {doctor.WEBHOOKS: _webhooks, doctor.RIGHTS: _rights}


def _is_mended(finding: Finding, mended: dict[str, str]) -> bool:
    return mended.get(finding.mend, "").startswith("mended")


# -- telling ---------------------------------------------------------------------------------------------


def _exit_code(parts: Sequence[Part], mended: dict[str, str]) -> int:
    left = [each for part in parts if part.reached for each in part.findings if not _is_mended(each, mended)]
    severity = worst(left)
    if severity is Severity.FATAL:
        return FATAL
    if any(not part.reached for part in parts):
        return NOT_REACHED
    return WARNINGS if severity is Severity.WARNING else 0


def _report(parts: Sequence[Part], mended: dict[str, str]) -> Any:
    return {
        "worst": worst(
            each for part in parts for each in part.findings if not _is_mended(each, mended)
        ).value,
        "parts": [
            {
                "part": part.name,
                "reached": part.reached,
                "findings": [
                    {
                        "severity": each.severity.value,
                        "finding": each.what,
                        "why": each.why,
                        "remedy": each.remedy,
                        "fixable": bool(each.mend),
                        "fix": mended.get(each.mend, "") if each.mend else "",
                    }
                    for each in part.findings
                ],
            }
            for part in parts
        ],
    }


def _show(parts: Sequence[Part], mended: dict[str, str]) -> None:
    counts: Counter[Severity] = Counter()
    fixable = False
    for part in parts:
        made = table(f"\n{part.name}", "", "finding")
        for each in part.findings:
            done = mended.get(each.mend, "") if each.mend else ""
            fixable |= bool(each.mend) and not done
            counts[Severity.GOOD if done.startswith("mended") else each.severity] += 1
            made.add_row(Text(each.severity.value, COLOURS[each.severity]), _told(each, done))
        out.print(made)
    out.print()
    wrong = counts[Severity.FATAL] + counts[Severity.WARNING]
    if not wrong:
        out.print("All well.", style="bold green")
        return
    said = [f"{counts[Severity.FATAL]} fatal"] if counts[Severity.FATAL] else []
    if warnings := counts[Severity.WARNING]:
        said.append(counted(warnings, "warning"))
    colour = COLOURS[worst(each for part in parts for each in part.findings)]
    hint = " Some can be mended by --fix." if fixable else ""
    out.print(Text.assemble((f"{', '.join(said)}.", f"bold {colour}"), hint))


def _told(finding: Finding, done: str) -> Text:
    lines = [Text(visible(finding.what))]
    if finding.severity is not Severity.GOOD:
        more = (("why   ", finding.why), ("mend  ", finding.remedy), ("fix   ", done))
        lines += [Text.assemble((name, "dim"), visible(text)) for name, text in more if text]
    return Text("\n").join(lines)
