"""A command called with --json writes one document, however it ends; its exit codes are documented."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from tests.web.kit import OPERATIONS as OPERATIONS_TOKEN
from tests.web.kit import House, Plans, compared, planned
from typer.testing import CliRunner, Result

from sfsync.cli import app
from sfsync.domain.resync import Extent, Scope, TooMuchError
from sfsync.settings import load
from sfsync.web import serve
from sfsync.web.app import build_web

OPERATIONS = Path(__file__).parent.parent / "docs" / "operations.md"
WORDS = {  # what stands for an argument
    "sku": "BAG-1",
    "drop": "no-such-drop.toml",
    "numbers": "1",
    "number": "1",
    "quantity": "1",
    "units": "1",
    "channel": "london",
    "name": "london",
    "old": "OLD-1",
    "file": "sheet.csv",
}
REASON = {"--reason": "because", "--from": "ECOM", "--to": "DUBAI"}
WITHOUT_JSON = {"run", "sandbox org", "sandbox shopify", "sandbox receiver"} | {
    f"sandbox {kind}" for kind in ("mirakl", "amazon", "vendure")
}
READS_STORE = {"status", "dead-letters", "coverage", "exposure", "incidents", "refunds", "mapping list"}
NO_SETTINGS = {"init", "channel kinds", "demo", "rehearse"}  # they read none


def _leaves(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    if hasattr(command, "commands"):
        if path and command.invoke_without_command:
            yield " ".join(path), command
        for name in command.list_commands(None):
            yield from _leaves(command.get_command(None, name), (*path, name))
    else:
        yield " ".join(path), command


COMMANDS = dict(_leaves(typer.main.get_command(app)))
WITH_JSON = sorted(COMMANDS.keys() - WITHOUT_JSON)
DOCUMENTED = re.compile(r"Exit codes?(?:, by the worst finding)?:\s(.*)", re.DOTALL)


def _words(name: str) -> list[str]:
    """A command line that only lacks what it needs from outside."""
    words = name.split()
    for each in COMMANDS[name].params:
        if each.param_type_name == "argument" and each.required:
            words.append(WORDS[each.name])
        elif each.required:
            words += [each.opts[0], REASON[each.opts[0]]]
    return [*words, "--accept"] if name == "incidents resolve" else words


def sfsync(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def _document(result: Result) -> Any:
    """The one document that was written."""
    assert result.stdout.strip(), (result.exit_code, result.stderr, result.exception)
    return json.loads(result.stdout)


def _error(result: Result) -> Any:
    told = _document(result)["error"]
    assert told.keys() == {"message", "exit_code", "problems"}
    assert told["exit_code"] == result.exit_code != 0
    assert told["message"]
    return told


@pytest.fixture
def nothing_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Good settings of a house of which nothing runs: no daemon, no org, no shop, no store."""
    monkeypatch.chdir(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "sfsync.toml").write_text(
        f"""
[salesforce]
login_url = "http://127.0.0.1:{port}"
client_id = "key"
client_secret = "secret"
pubsub_endpoint = "127.0.0.1:{port}"

[web]
port = {port}

[channels.london]
kind = "shopify"
url = "http://127.0.0.1:{port}"
shop_domain = "london.myshopify.com"
access_token = "token"
webhook_secret = "secret"

[channels.london.locations.online]
id = "gid://shopify/Location/1"
sells_from = ["ECOM"]
"""
    )
    (tmp_path / "sfsync.toml").chmod(0o600)
    (tmp_path / "sheet.csv").write_text("sku,location,quantity,counted_at,old,new\n")
    return tmp_path


def test_every_command_but_those_that_only_run_has_json() -> None:
    """A daemon and the simulated parties speak by their logs."""
    without = {name for name, each in COMMANDS.items() if not any("--json" in p.opts for p in each.params)}
    assert without == WITHOUT_JSON
    assert len(COMMANDS) > 45  # all of them were found


@pytest.mark.parametrize("name", WITH_JSON)
def test_a_mistyped_command_line_is_told_in_a_document(name: str) -> None:
    """An option that there is not."""
    told = _error(sfsync(*_words(name), "--no-such-option", "--json"))
    assert (told["exit_code"], "--no-such-option" in told["message"]) == (2, True)


@pytest.mark.parametrize("name", [each for each in WITH_JSON if each not in NO_SETTINGS])
def test_settings_that_are_not_there_or_wrong_are_told_in_a_document(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With every mistake, its key and its remedy."""
    monkeypatch.chdir(tmp_path)
    assert _error(sfsync(*_words(name), "--json"))["exit_code"] == 2
    (tmp_path / "sfsync.toml").write_text("[salesforce]\nlogin = 1\n")
    (tmp_path / "sheet.csv").write_text("sku\n")
    told = _error(sfsync(*_words(name), "--json"))
    assert told["exit_code"] == 2
    assert told["problems"]


@pytest.mark.parametrize("name", [each for each in WITH_JSON if each not in NO_SETTINGS - {"rehearse"}])
def test_a_house_of_which_nothing_runs_is_told_in_a_document(name: str, nothing_runs: Path) -> None:
    """No daemon, no store, no org, no shop, and sheets without the columns that they need."""
    result = sfsync(*_words(name), "--json")
    document = _document(result)
    assert result.exit_code in (2, 3), document
    assert "error" in document or name == "check"


@pytest.mark.parametrize("name", [each for each in WITH_JSON if each not in NO_SETTINGS])
def test_a_store_that_is_no_database_is_told_in_a_document(name: str, nothing_runs: Path) -> None:
    """In one sentence with its remedy, by whoever reads it; a check finds it fatal."""
    path = Path(load(nothing_runs / "sfsync.toml", env={}).store_url().removeprefix("sqlite:///"))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"no database" * 999)
    result = sfsync(*_words(name), "--json")
    document = _document(result)
    assert result.exit_code in (2, 3, 4), document
    if name in READS_STORE:
        assert result.exit_code == 3
        assert "file is not a database" in document["error"]["message"]
        assert "Put back a backup" in document["error"]["message"]


def test_an_init_that_writes_nothing_says_why_in_a_document(nothing_runs: Path) -> None:
    """The settings are there already; and answers that cannot be used."""
    assert "is there already" in _error(sfsync("init", "--json"))["message"]
    (nothing_runs / "sfsync.toml").unlink()
    told = _error(sfsync("init", "--login-url", "nowhere", "--client-id", "k", "--username", "u", "--json"))
    assert told["exit_code"] == 2


def test_a_sheet_with_a_wrong_header_is_told_in_a_document(nothing_runs: Path) -> None:
    """Counts and mappings: the columns that it lacks are named."""
    (nothing_runs / "sheet.csv").write_text("article;pieces\nBAG-1;2\n")
    for words in (("count", "import"), ("dead-letters", "map")):
        told = _error(sfsync(*words, "sheet.csv", "--json"))
        assert (told["exit_code"], "sku" in told["message"] or "old" in told["message"]) == (3, True), told


def test_without_json_nothing_is_written_but_for_people(nothing_runs: Path) -> None:
    """Standard output stays empty, and the reason stands on standard error."""
    result = sfsync("why", "BAG-1")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "no daemon answers" in result.stderr


# -- exit codes ------------------------------------------------------------------------------------------


def _help(name: str) -> str:
    found = DOCUMENTED.search(COMMANDS[name].help or "")
    assert found, f"{name} does not tell its exit codes"
    return found[1]


@pytest.mark.parametrize("name", [each for each in COMMANDS if not each.startswith("sandbox")])
def test_every_exit_code_of_a_command_stands_in_its_help_and_in_the_documentation(name: str) -> None:
    """The table of docs/operations.md has a row for each command, with the very codes of its help."""
    rows = dict(
        re.findall(r"^\| `([a-z -]+)` \| (.*) \|$", OPERATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert name in rows, f"docs/operations.md has no exit codes of {name}"
    assert _codes_of_row(rows[name]) == _codes_of_help(_help(name)), (name, rows[name], _help(name))


def _codes_of_help(text: str) -> set[str]:
    return set(re.findall(r"(?:^|; )(\d)\b", " ".join(text.split())))


def _codes_of_row(text: str) -> set[str]:
    return set(re.findall(r"(?:^|; )(\d)\b", text))


def test_no_command_ends_with_a_code_that_its_help_does_not_tell(nothing_runs: Path) -> None:
    """As far as nothing runs; the others are told by each command's own tests."""
    for name in WITH_JSON:
        if name in NO_SETTINGS - {"channel kinds"}:
            continue
        code = sfsync(*_words(name), "--json").exit_code
        assert str(code) in _codes_of_help(_help(name)), (name, code)


# -- a plan that the guard stops -------------------------------------------------------------------------


class _Drifted(Plans):
    """A plan whose one row is applied when somebody says so; or that would change 900 numbers."""

    def __init__(self, *, large: bool = False) -> None:
        super().__init__()
        self._large = large
        self.page = [planned("BAG", 9, 4)]

    async def begin(self, scope: Scope) -> Mapping[str, object]:
        return self._now()

    async def run(self, run_id: str) -> Mapping[str, object]:
        return self._now()

    async def apply(self, run_id: str, yes_change: int | None) -> Mapping[str, object]:
        if self._large and yes_change != 900:
            raise TooMuchError({"london": Extent(1000, 900, 100)}, 900)
        self.applied.append((run_id, yes_change))
        self.page = [each | {"state": "applied"} for each in self.page]
        return self._now()

    def _now(self) -> Mapping[str, object]:
        return compared("done" if self.applied else "ready") | {"unread": {}}


async def _resync(plans: _Drifted, folder: Path, *words: str) -> tuple[int, Any]:
    """The exit code and the document of `sfsync resync` beside a daemon that has these plans."""
    house = House()
    server = serve(build_web(replace(house.services, reconciler=plans), house.options), "127.0.0.1", 0)
    await server.start()
    file = folder / "sfsync.toml"
    port = server.address.rpartition(":")[2]
    text = re.sub(r"port = \d+", f"port = {port}", file.read_text())
    text += f'\n[[web.tokens]]\nname = "operations"\ntoken = "{OPERATIONS_TOKEN}"\nscopes = ["admin"]\n'
    file.write_text(text)
    try:
        command = [sys.executable, "-m", "sfsync", "resync", "--json", *words]
        result = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=False)
    finally:
        await server.stop()
    return result.returncode, json.loads(result.stdout)


async def test_a_plan_that_the_guard_stops_is_told_whole_in_a_document(nothing_runs: Path) -> None:
    """With its rows and the number that a script must name to go on; nothing was applied."""
    code, told = await _resync(_Drifted(large=True), nothing_runs, "--yes")
    assert (code, told["error"]["exit_code"], told["applied"]) == (4, 4, False)
    assert (told["changes"], told["rows"][0]["sku"]) == (900, "BAG")
    assert "--yes-change 900" in told["error"]["message"]


@pytest.mark.parametrize(
    ("words", "applied"), [([], []), (["--yes"], [("p1", None)]), (["--yes-change", "900"], [("p1", 900)])]
)
async def test_a_script_that_asks_for_json_applies_no_plan_without_a_yes(
    nothing_runs: Path, words: list[str], applied: list[object]
) -> None:
    """Who only wants to read the differences by a program changes nothing, and is told that they remain."""
    plans = _Drifted(large="--yes-change" in words)
    code, told = await _resync(plans, nothing_runs, *words)
    assert plans.applied == applied
    assert (code, told["applied"]) == ((0, True) if applied else (1, False))
    assert {row["state"] for row in told["rows"]} == {"applied" if applied else "planned"}
