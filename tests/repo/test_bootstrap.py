"""`scripts/bootstrap` makes an environment on every machine it may meet, and never believes a half-made one.

The script runs for real, in a little checkout of its own whose path holds a space; what it calls from
outside is put on its PATH by the test: a `uv` that writes down how it was called, a Python that is this
one, a shim that fails. Nothing is fetched.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
NEEDED_PROGRAMS = ("sh", "dash", "env", "cat", "cksum", "dirname", "ln", "mkdir", "rm", "sed", "sleep")
SHELLS = [name for name in ("sh", "dash", "bash", "busybox") if shutil.which(name)]
DEADLINE_SECONDS = 30

# Stands for uv: writes down each call, makes an environment of this very Python, and can be told to fail, to
# kill its caller, or to wait for a file.
UV = f"""#!/bin/sh
{{
    printf '%s|' "$@"
    echo "cache=${{UV_CACHE_DIR:-}}|hashes=${{UV_REQUIRE_HASHES:-}}|path=${{PYTHONPATH:-}}|"
}} >>"$UV_LOG"
case $1 in
    --version) if [ -n "${{UV_BROKEN:-}}" ]; then exit 127; fi ;;
    venv) mkdir -p .venv/bin && ln -s '{sys.executable}' .venv/bin/python ;;
    pip)
        if [ -n "${{UV_KILLS:-}}" ]; then kill -9 $PPID; fi
        while [ -n "${{UV_WAITS_FOR:-}}" ] && [ ! -e "$UV_WAITS_FOR" ]; do sleep 0.05; done
        ;;
esac
exit 0
"""


class Checkout:
    """A little checkout with the real script, and a PATH that holds what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "a shop's checkout"
        self.bin = folder / "bin"
        self.log = folder / "uv.log"
        self.environment = {"PATH": str(self.bin), "HOME": str(folder), "UV_LOG": str(self.log)}
        self.bin.mkdir()
        (self.top / "scripts").mkdir(parents=True)
        shutil.copy(TOP / "scripts" / "bootstrap", self.top / "scripts")
        for kind in ("", "-build", "-dev"):
            (self.top / f"requirements{kind}.lock").write_text("")
        (self.top / "pyproject.toml").write_text('[project]\nname = "x"\n\n[tool.ruff]\nline-length = 110\n')
        for program in NEEDED_PROGRAMS:
            if found := shutil.which(program):
                (self.bin / program).symlink_to(found)

    def put(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def put_python(self, name: str = "python3") -> None:
        self.put(name, f"#!/bin/sh\nexec '{sys.executable}' \"$@\"\n")

    def start(self, kind: str = "run", shell: str = "sh", **extra: str) -> subprocess.Popen[str]:
        found = shutil.which(shell)
        assert found
        command = [found, "sh"] if shell == "busybox" else [found]
        return subprocess.Popen(
            [*command, "scripts/bootstrap", kind],
            cwd=self.top,
            env={**self.environment, **extra},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, kind: str = "run", shell: str = "sh", **extra: str) -> tuple[int, str]:
        """Return the exit code and all that was said."""
        process = self.start(kind, shell, **extra)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
        return process.returncode, out + err

    def calls(self, word: str) -> list[str]:
        """Return the calls of uv that start with this word."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(f"{word}|")]

    def is_fit_for(self, kind: str) -> bool:
        return (self.top / ".venv" / f"fit-for-{kind}").exists()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A checkout on a machine that has uv and one Python."""
    made = Checkout(tmp_path)
    made.put("uv", UV)
    made.put_python()
    return made


@pytest.mark.parametrize("shell", SHELLS)
def test_an_environment_is_made_once_and_found_fit_the_second_time(checkout: Checkout, shell: str) -> None:
    """The first run installs the locked packages by hash and the checkout itself; the second is silent."""
    code, said = checkout.run(shell=shell)
    assert code == 0, said
    locked, itself = checkout.calls("pip")
    assert "--require-hashes|--requirement|requirements.lock|" in locked
    assert "--no-deps|--no-build-isolation|--editable|.|" in itself
    assert "hashes=0|" in itself
    assert checkout.run(shell=shell) == (0, "")
    assert len(checkout.calls("venv")) == 1


def test_the_tools_are_added_to_what_the_demo_made(checkout: Checkout) -> None:
    """`make test` after `make demo` does not start again; `make demo` after `make test` has nothing to do."""
    checkout.run("run")
    assert not checkout.is_fit_for("dev")
    code, said = checkout.run("dev")
    assert code == 0, said
    assert len(checkout.calls("venv")) == 1
    assert any("requirements-dev.lock" in call for call in checkout.calls("pip"))
    assert checkout.run("run") == (0, "")


def test_an_environment_killed_in_the_making_is_made_again(checkout: Checkout) -> None:
    """Nothing that a kill left behind is believed or kept."""
    code, _ = checkout.run(UV_KILLS="1")
    assert code != 0
    assert (checkout.top / ".venv/bin/python").exists()
    (checkout.top / ".venv/left-over").write_text("")
    code, said = checkout.run()
    assert code == 0, said
    assert checkout.is_fit_for("run")
    assert not (checkout.top / ".venv/left-over").exists()


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("requirements.lock", "# newer\n"),
        ("requirements-build.lock", "# newer\n"),
        ("pyproject.toml", "[a]\n"),
    ],
)
def test_a_changed_lock_or_package_makes_the_environment_again(
    checkout: Checkout, file: str, text: str
) -> None:
    """What was installed from older words is not fit any more."""
    checkout.run()
    path = checkout.top / file
    path.write_text(text + path.read_text())
    assert checkout.run()[0] == 0
    assert len(checkout.calls("venv")) == 2


def test_a_tool_s_settings_do_not_make_the_environment_again(checkout: Checkout) -> None:
    """A line for ruff or mypy changes nothing that is installed."""
    checkout.run()
    with (checkout.top / "pyproject.toml").open("a") as file:
        file.write("\n[tool.mypy]\nstrict = true\n")
    assert checkout.run() == (0, "")


def test_a_moved_checkout_makes_its_environment_again(checkout: Checkout) -> None:
    """An environment knows its own folder: at another path it would run the wrong files."""
    checkout.run()
    checkout.top = checkout.top.rename(checkout.top.with_name("elsewhere"))
    assert checkout.run()[0] == 0
    assert len(checkout.calls("venv")) == 2


def test_an_environment_whose_python_is_gone_is_made_again(checkout: Checkout) -> None:
    """A system upgrade that takes the interpreter away is noticed."""
    checkout.run()
    (checkout.top / ".venv/bin/python").unlink()
    assert checkout.run()[0] == 0
    assert len(checkout.calls("venv")) == 2


def test_two_at_once_make_one_environment(checkout: Checkout) -> None:
    """The second waits for the first, says so, and finds the work done."""
    gate = checkout.top / "gate"
    first = checkout.start(UV_WAITS_FOR=str(gate))
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not checkout.calls("pip"):
        assert time.monotonic() < deadline, "the first never began to install"
        time.sleep(0.02)
    second = checkout.start()
    assert second.stderr
    assert "waiting" in second.stderr.readline()
    gate.touch()
    for process in (first, second):
        process.communicate(timeout=DEADLINE_SECONDS)
        assert process.returncode == 0
    assert len(checkout.calls("venv")) == 1


def test_a_shim_that_fails_is_passed_over(checkout: Checkout) -> None:
    """A `python3.13` that only says that 3.13 is not chosen is no Python."""
    checkout.put("python3.13", "#!/bin/sh\necho 'python3.13: command not found' >&2\nexit 127\n")
    checkout.put("python3.14", "#!/bin/sh\necho 'warming up'\nexit 0\n")
    assert checkout.run()[0] == 0
    assert f"--python|{checkout.bin}/python3|" in checkout.calls("venv")[0]


def test_the_newest_python_on_the_path_is_taken(checkout: Checkout) -> None:
    """Each candidate is asked for its version, whatever it is called."""
    newest = "import sys; sys.version_info = (3, 14, 0, 'final', 0)"
    asked = f'exec \'{sys.executable}\' -c "{newest}$code" "$@"'
    checkout.put("python", f'#!/bin/sh\n[ "$1" = -c ] || exit 1\ncode=$2\nshift 2\n{asked}\n')
    assert checkout.run()[0] == 0
    expected = "python3" if sys.version_info >= (3, 14) else "python"
    assert f"--python|{checkout.bin}/{expected}|" in checkout.calls("venv")[0]


def test_a_named_python_wins_over_the_newest(checkout: Checkout) -> None:
    """SFSYNC_PYTHON chooses; a name that is no Python from 3.11 is refused in one line."""
    checkout.put_python("my-python")
    assert checkout.run(SFSYNC_PYTHON="my-python")[0] == 0
    assert f"--python|{checkout.bin}/my-python|" in checkout.calls("venv")[0]
    shutil.rmtree(checkout.top / ".venv")
    code, said = checkout.run(SFSYNC_PYTHON="cat")
    assert code == 1
    assert said == f"sfsync: {checkout.bin}/cat is not a Python from 3.11\n"


def test_without_any_python_one_line_names_the_package(checkout: Checkout) -> None:
    """Nothing is made, and the person reads what to install."""
    (checkout.bin / "python3").unlink()
    checkout.put("apt-get", "#!/bin/sh\n")
    code, said = checkout.run(UV_BROKEN="1")
    assert code == 1
    assert said.startswith(
        "sfsync: no Python from 3.11 on the PATH; install it with: apt-get install python3"
    )
    assert said.count("\n") == 1
    assert not (checkout.top / ".venv").exists()


def test_a_python_that_can_make_no_environment_is_told_what_it_lacks(checkout: Checkout) -> None:
    """No uv, no ensurepip, no pip: one line names the system's package."""
    bare = "import sys; code = sys.argv.pop(1); sys.modules.update(ensurepip=None, pip=None); exec(code)"
    checkout.put(
        "python3",
        f"#!/bin/sh\n[ \"$1\" = -c ] || exit 1\nshift\nexec '{sys.executable}' -c '{bare}' \"$@\"\n",
    )
    checkout.put("apt-get", "#!/bin/sh\n")
    code, said = checkout.run(UV_BROKEN="1")
    assert code == 1
    assert "cannot make an environment; install what it lacks with: apt-get install python3" in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("home", [None, "/nonexistent/home"])
def test_without_a_home_caches_stay_in_the_checkout(checkout: Checkout, home: str | None) -> None:
    """A home that is missing is neither written to nor made."""
    del checkout.environment["HOME"]
    extra = {} if home is None else {"HOME": home}
    assert checkout.run(**extra)[0] == 0
    assert all(f"cache={checkout.top}/.cache/uv|" in call for call in checkout.calls("pip"))


def test_the_caller_s_python_settings_do_not_leak_in(checkout: Checkout) -> None:
    """A PYTHONPATH from elsewhere would put other code before ours."""
    assert checkout.run(PYTHONPATH="/elsewhere", PYTHONHOME="", VIRTUAL_ENV="/elsewhere")[0] == 0
    assert all("path=|" in call for call in checkout.calls("pip"))


def make(*arguments: str, **environment: str) -> str:
    """Return what make says, run at the top of this repository."""
    return subprocess.run(
        ["make", "--no-print-directory", *arguments],
        cwd=TOP,
        env={"PATH": os.environ["PATH"], **environment},
        check=True,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
    ).stdout


def test_make_alone_lists_every_target_with_a_sentence() -> None:
    """A newcomer types `make` and reads what there is."""
    lines = make().splitlines()
    assert lines == make("help").splitlines()
    listed = {line.split()[1] for line in lines}
    assert {"help", "demo", "test", "check", "bench", "lock", "protos", "clean"} <= listed
    assert all(len(line.split()) > 4 for line in lines)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "shop.example"}, "shop.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "shop.example"}, "shop.example,localhost,127.0.0.1,::1"),
    ],
)
def test_what_make_runs_never_asks_a_proxy_for_loopback(given: dict[str, str], expected: str) -> None:
    """Both spellings are set, since programs disagree on which one they read."""
    show = 'show: ; @echo "$$NO_PROXY $$no_proxy $$http_proxy"'
    said = make(f"--eval={show}", "show", http_proxy="http://proxy.example:3128", **given)
    assert said.split() == [expected, expected, "http://proxy.example:3128"]
