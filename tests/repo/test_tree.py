"""What is committed: locked wholly and by hash, and naming no place that only one machine knows."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

TOP = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-build.lock", "requirements-dev.lock")

# Put together from halves, so that this file does not hold what it looks for.
PLACES = {
    "a package registry": r"(?:files|registry|deb|security)\.(?:debian|npmjs|pythonhosted)\.(?:org|com)"
    r"|\b(?:test\.)?py" r"pi\.(?:org|python)|npm" r"js\.(?:org|com)",
    "an option that names an index": r"--(?:extra-)?index" r"-url[ =]\S*:|--find" r"-links[ =]\S*[:/]",
    "a path of one machine": r"(?<![\w.])/(?:wo" r"rk|fa" r"rm|ro" r"ot|ho" r"me/\w+|Us" r"ers/\w+)/",
    "a folder of one workplace": r"(?<!\w)\.lib" r"rary\b|/tm" r"p/venv",
}  # fmt: skip


def committed_files() -> list[Path]:
    if not shutil.which("git") or not (TOP / ".git").exists():
        pytest.skip("not a git checkout: what is committed cannot be told")
    names = subprocess.run(
        ["git", "ls-files", "-z"], cwd=TOP, check=True, capture_output=True, text=True
    ).stdout.split("\0")
    return [TOP / name for name in names if name and (TOP / name).is_file()]


def pins(lock: str) -> dict[str, str]:
    """Return each package of a lock file with its version."""
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (TOP / lock).read_text(), flags=re.MULTILINE))


def wanted(*groups: str, extras: bool = False) -> set[str]:
    """Return the names of the packages that pyproject.toml asks for."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    asked = [] if groups and not extras else list(project["project"]["dependencies"])
    if extras:
        asked += [line for extra in project["project"]["optional-dependencies"].values() for line in extra]
    for group in groups:
        asked += [line for line in project["dependency-groups"][group] if isinstance(line, str)]
    return {re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in asked}


@pytest.mark.parametrize("what", PLACES)
def test_no_committed_file_names(what: str) -> None:
    """A checkout works wherever it lies and wherever its packages come from."""
    found = []
    for path in committed_files():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            if re.search(PLACES[what], line):
                found.append(f"{path.relative_to(TOP)}:{number}: {line.strip()[:100]}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_file_holds_nothing_but_pins_with_hashes(lock: str) -> None:
    """Each package is pinned to one version and to the hashes of its files; no line says where from."""
    text = (TOP / lock).read_text()
    assert "://" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert re.match(r"[a-z0-9-]+==\S+( ; [^\\\n]+)? \\\n", block), block[:80]
        assert re.search(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$", block, flags=re.MULTILINE), block[:80]
        assert not re.search(r"^\s*--(?!hash=)", block, flags=re.MULTILINE), block[:80]


def test_the_locks_hold_all_that_the_package_asks_for() -> None:
    """A dependency added to pyproject.toml without `make lock` is found here."""
    assert wanted(extras=True) <= pins("requirements.lock").keys()
    assert wanted("build") <= pins("requirements-build.lock").keys()
    assert wanted("build", "dev", extras=True) <= pins("requirements-dev.lock").keys()


def test_the_locks_agree() -> None:
    """What is tested is what runs: the three locks never pin one package to two versions."""
    tested = pins("requirements-dev.lock")
    for lock in LOCKS:
        assert pins(lock).items() <= tested.items()


def test_the_package_carries_its_version_in_one_place() -> None:
    """What `sfsync --version` says and what an installer sees are the same."""
    import sfsync

    project = tomllib.loads((TOP / "pyproject.toml").read_text())["project"]
    assert project["version"] == sfsync.__version__
