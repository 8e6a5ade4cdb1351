"""What the commands share: settings or a readable list of mistakes, tables, and talking to the daemon."""

from __future__ import annotations

import getpass
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import quote

import httpx
import orjson
import typer
from rich.console import Console
from rich.tree import Tree
from typer.core import TyperGroup

from sfsync.cli.tables import Sheet
from sfsync.domain.coverage import asked_since
from sfsync.domain.words import counted
from sfsync.settings import Settings, SettingsError, load

DEFAULT_CONFIG = Path("sfsync.toml")

ConfigOption = Annotated[
    Path, typer.Option("--config", "-c", help="The settings file.", envvar="SFSYNC_CONFIG", show_default=True)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts instead of tables.")]

# what is printed is shown letter for letter: a SKU may look like markup
out = Console(markup=False, highlight=False, soft_wrap=not sys.stdout.isatty())
err = Console(markup=False, highlight=False, stderr=True, soft_wrap=not sys.stderr.isatty())

LONGEST_LINE = 10_000  # characters of a line that goes to a file or another program


def print_tree(tree: Tree) -> None:
    """Print it; lines are folded at a terminal's width, and whole where nobody looks on.

    A tree cuts its lines off where the console's are not folded.
    """
    console = out if out.is_terminal else Console(markup=False, highlight=False, width=LONGEST_LINE)
    console.print(tree)


@dataclass(slots=True)
class _Document:
    """What a command that was called with --json has said."""

    written: bool = False
    lines: bool = False  # several documents, a line each
    error: dict[str, Any] | None = None
    beside: Mapping[str, Any] = field(default_factory=dict)


_document: ContextVar[_Document] = ContextVar("document")


class Commands(TyperGroup):
    """All commands. One that is called with --json writes one document, however it ends.

    Where a command has nothing of its own to write, that is `{"error": {"message": …, "exit_code": …,
    "problems": […]}}`: one problem for each mistake, where there may be several. Where something is known all
    the same (the plan that a guard has stopped), it stands beside. What is for people stands on standard
    error as ever.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run what was called."""
        words: list[str] = [*getattr(ctx, "_protected_args", ()), *ctx.args]
        if "--json" not in words[: words.index("--") if "--" in words else None]:
            return super().invoke(ctx)
        document = _Document()
        _document.set(document)
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = getattr(error, "exit_code", 1)
            if code and (not document.written or (document.lines and document.error)):
                said = error.format_message() if hasattr(error, "format_message") else str(error)
                noted = document.error or {"message": said or type(error).__name__, "problems": []}
                told = {**document.beside, "error": noted | {"exit_code": code}}
                print_json(told, line=document.lines)
            raise


def settings_or_exit(path: Path, undone: str = "nothing was done") -> Settings:
    """The settings; or every mistake with file, key and remedy, what was not done, and exit code 2."""
    try:
        return load(path)
    except SettingsError as error:
        mistakes = counted(len(error.problems), "mistake")
        fail(f"{path}: {mistakes}; {undone}.", 2, problems=[str(each) for each in error.problems])


def print_json(value: Any, *, line: bool = False) -> None:
    """JSON on standard output, one document; `line`: one of several, each on a line of its own."""
    sys.stdout.buffer.write(orjson.dumps(value, option=0 if line else orjson.OPT_INDENT_2) + b"\n")
    sys.stdout.flush()
    if (document := _document.get(None)) is not None:
        document.written, document.lines = True, line


def table(title: str, *columns: str | tuple[str, str]) -> Sheet:
    """An empty table; a column is a heading, or a heading with how it stands: `right`, `whole`."""
    return Sheet(title, *columns)


def fail(
    message: str,
    code: int = 3,
    *,
    problems: Sequence[str] = (),
    beside: Mapping[str, Any] | None = None,
) -> NoReturn:
    """Say what is missing and leave; `problems` are its single mistakes, each with its place and remedy.

    `beside` is what is known all the same, and stands in the document of a command with --json.
    """
    err.print(message, style="bold red" if problems else "red")
    for problem in problems:
        err.print(f"  {problem}")
    if (document := _document.get(None)) is not None:
        document.error = {"message": message, "exit_code": code, "problems": list(problems)}
        document.beside = beside or {}
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
        self.address = _address(settings)
        self._settings = settings
        self._http = httpx.Client(base_url=self.address, timeout=600.0, trust_env=False)
        self._beside: dict[str, str] = {}
        self.log_in()

    def log_in(self) -> None:
        """Take the token anew: each start of the daemon makes another."""
        if token := _token(self._settings):
            self._http.headers["authorization"] = f"Bearer {token}"
            # Heard beside the daemon's own token: what is done stands under the name of who has typed it.
            self._http.headers["x-sfsync-user"] = quote(user_name())

    def watch(self, key: str) -> None:
        """Send this id (none: "") with what is asked from now on, so that its progress can be asked for."""
        self._beside = {"x-progress-id": key} if key else {}

    def get(self, path: str) -> Any:
        """The JSON at a path; `httpx.HTTPError` when nobody answers."""
        return self._read(self._http.get(path, headers=self._beside))

    def peek(self, path: str) -> Any:
        """The JSON at a path; None when nobody answers, or not with it."""
        try:
            answer = self._http.get(path, timeout=5.0)
            return answer.json() if answer.status_code == 200 else None
        except (httpx.HTTPError, ValueError):
            return None

    def post(self, path: str, body: object) -> Any:
        """Post JSON, get JSON."""
        return self._read(self._http.post(path, json=body, headers=self._beside))

    def attempt(self, path: str, body: object) -> tuple[int, Any]:
        """Post JSON; status and JSON of the answer, a problem's too ({} where it has none)."""
        answer = self._http.post(path, json=body, headers=self._beside)
        try:
            return answer.status_code, answer.json()
        except ValueError:
            return answer.status_code, {}

    def send(self, path: str, content: bytes, media_type: str) -> tuple[int, Any]:
        """Post a file; status and JSON of the answer, as `attempt` has them."""
        headers = {"content-type": media_type, **self._beside}
        answer = self._http.post(path, content=content, headers=headers)
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
            fields = [each for each in problem.get("errors") or () if each.keys() >= {"field", "detail"}]
            wrong = [f"{each['field']} {each['detail']}" for each in fields] if len(fields) > 1 else []
            told = f"{len(wrong)} fields are wrong" if wrong else told  # each of them stands on its own line
            if answer.status_code == 422 and answer.request.method == "GET":  # the question itself is wrong
                fail(f"what was asked for is wrong: {told}", 2, problems=wrong)
            fail(f"the daemon answered {answer.status_code}: {told}", problems=wrong)
        return answer.json()


def _address(settings: Settings) -> str:
    """Where the daemon listens: as it has left word itself, or else as the settings say.

    They may have changed since it was started, and port 0 is any. Who listens everywhere is asked here.
    """
    path, host = settings.local_address_path(), settings.web.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.web.port}"
    with suppress(OSError):
        address = (path.read_text().strip() if path is not None else "") or address
    for everywhere, here in (("//0.0.0.0:", "//127.0.0.1:"), ("//[::]:", "//[::1]:")):
        address = address.replace(everywhere, here)
    return address


def _token(settings: Settings) -> str:
    path = settings.local_token_path()
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
