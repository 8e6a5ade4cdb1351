"""What the commands share: settings or a readable list of mistakes, tables, and talking to the daemon."""

from __future__ import annotations

import getpass
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn

import httpx
import orjson
import typer
from rich.console import Console
from rich.table import Table

from sfsync.app import local_token_path
from sfsync.domain.coverage import asked_since
from sfsync.settings import Settings, SettingsError, load

DEFAULT_CONFIG = Path("sfsync.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The settings file.", envvar="SFSYNC_CONFIG", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of tables.")]

out = Console(soft_wrap=not sys.stdout.isatty())
err = Console(stderr=True, soft_wrap=not sys.stderr.isatty())


def settings_or_exit(path: Path) -> Settings:
    """The settings; or every mistake with file, key and remedy, and exit code 2."""
    try:
        return load(path)
    except SettingsError as error:
        count = len(error.problems)
        err.print(
            f"[bold red]{path}: {count} {'mistake' if count == 1 else 'mistakes'}; nothing was started.[/]"
        )
        for problem in error.problems:
            err.print(f"  {problem}", markup=False, highlight=False)
        raise typer.Exit(2) from None


def print_json(value: Any) -> None:
    """JSON on standard output, one document."""
    sys.stdout.buffer.write(orjson.dumps(value, option=orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()


def table(title: str, *columns: str | tuple[str, str]) -> Table:
    """An empty table; a column is a heading, or a heading with its justification."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="dim", box=None, pad_edge=False
    )
    for column in columns:
        heading, justify = column if isinstance(column, tuple) else (column, "left")
        made.add_column(
            heading,
            justify="right" if justify == "right" else "left",
            overflow="fold",
            no_wrap=justify == "right",
        )
    return made


def fail(message: str, code: int = 3) -> NoReturn:
    """Say what is missing and leave."""
    err.print(message, style="red", markup=False, highlight=False)
    raise typer.Exit(code)


def past_moment(option: str, text: str, now: datetime) -> datetime:
    """A time that an option gave, UTC. Exit code 2 when it is no time, or lies ahead.

    What names no offset is told by the clock on the wall, summer time and all.
    """
    try:
        moment = asked_since(text, now.astimezone().replace(tzinfo=None)).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        fail(f"{option}: {error}", 2)
    if moment > now:
        fail(f"{option}: {text!r} lies ahead: {moment:%Y-%m-%d %H:%M:%S} UTC", 2)
    return moment


class DaemonClient:
    """Asks the running daemon, as the user who started it or with a configured admin token."""

    def __init__(self, settings: Settings) -> None:
        host = settings.web.host
        self.address = f"http://{'127.0.0.1' if host in ('0.0.0.0', '::') else host}:{settings.web.port}"  # noqa: S104 — compared, not bound
        headers = {}
        if token := _token(settings):
            headers["authorization"] = f"Bearer {token}"
        self._http = httpx.Client(base_url=self.address, headers=headers, timeout=600.0, trust_env=False)

    def get(self, path: str) -> Any:
        """The JSON at a path; `httpx.HTTPError` when nobody answers."""
        return self._read(self._http.get(path))

    def peek(self, path: str) -> Any:
        """The JSON at a path; None when nobody answers, or not with it."""
        try:
            answer = self._http.get(path, timeout=5.0)
            return answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None

    def post(self, path: str, body: object) -> Any:
        """Post JSON, get JSON."""
        return self._read(self._http.post(path, json=body))

    def attempt(self, path: str, body: object) -> tuple[int, Any]:
        """Post JSON; status and JSON of the answer, a problem's too ({} where it has none)."""
        answer = self._http.post(path, json=body)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def send(self, path: str, content: bytes, media_type: str) -> tuple[int, Any]:
        """Post a file; status and JSON of the answer, as `attempt` has them."""
        answer = self._http.post(path, content=content, headers={"content-type": media_type})
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def text(self, path: str) -> str:
        """The text at a path, such as a CSV file; `httpx.HTTPError` when nobody answers."""
        answer = self._http.get(path)
        if answer.status_code >= 400:
            self._read(answer)
        return answer.text

    def _read(self, answer: httpx.Response) -> Any:
        if answer.status_code >= 400:
            try:
                problem = answer.json()
            except ValueError:
                problem = {}
            told = problem.get("detail") or problem.get("title") or answer.text
            fail(f"the daemon answered {answer.status_code}: {told}")
        return answer.json()


def _token(settings: Settings) -> str:
    path = local_token_path(settings)
    if path is not None and path.exists():
        try:
            return path.read_text().strip()
        except OSError:
            pass
    return next(
        (token.token.get_secret_value() for token in settings.web.tokens if "admin" in token.rights()), ""
    )


def user_name() -> str:
    """Who types: the name of the login."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return "the command line"
