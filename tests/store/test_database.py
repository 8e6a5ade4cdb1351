"""The store as a whole: one schema, one daemon, whole transactions, one picture per reader."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Double, Text, create_engine, text
from tests.needs import needs

from sfsync.store import Database, StoreError, open_store
from sfsync.store.tables import Instant, Json, metadata
from sfsync.store.tx import SqlTx

NOW = datetime(2026, 11, 23, 8, 15, tzinfo=UTC)


class BrokenError(Exception):
    """Work that fails on purpose."""


def _same_type(
    _context: MigrationContext, _inspected: Any, _column: Any, found: Any, wanted: Any
) -> bool | None:
    """Our own types are what they are kept as."""
    if isinstance(wanted, (Instant, Json)):
        return not isinstance(found, Double if isinstance(wanted, Instant) else Text)
    return None


def test_the_migrations_make_the_schema_that_the_statements_speak_of(store_url: str) -> None:
    """Alembic finds nothing that a migration forgot."""
    engine = create_engine(store_url)
    with engine.connect() as connection:
        options = {"compare_type": _same_type}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), metadata)
    engine.dispose()
    assert differences == []


async def test_opening_again_keeps_what_is_there(store_url: str) -> None:
    """A migration that has run does nothing the next time."""
    first = open_store(store_url, exclusive=True)
    await first.write(lambda tx: tx.put_cursor("a", b"12345678", NOW))
    await first.close()
    await first.close()
    second = open_store(store_url, exclusive=True)
    assert await second.read(lambda tx: tx.cursor("a")) == b"12345678"
    await second.close()


async def test_a_second_daemon_is_refused_and_a_reader_is_not(store_url: str) -> None:
    """One writer per store; `status` beside it may look."""
    daemon = open_store(store_url, exclusive=True)
    with pytest.raises(StoreError, match="another sfsync"):
        open_store(store_url, exclusive=True)
    beside = open_store(store_url, exclusive=False, migrate=False)
    assert beside.read_now(lambda tx: tx.bound_org()) is None
    await beside.close()
    await daemon.close()
    following = open_store(store_url, exclusive=True)
    await following.close()


async def test_a_transaction_that_fails_leaves_nothing(store: Database) -> None:
    """Effect and bookmark are there together or not at all."""

    def broken(tx: SqlTx) -> None:
        tx.put_inbox("london", "orders/create", "1", b"{}", NOW)
        tx.put_cursor("a", b"12345678", NOW)
        raise BrokenError

    with pytest.raises(BrokenError):
        await store.write(broken)
    assert await store.read(lambda tx: (tx.inbox(9), tx.cursor("a"))) == ([], None)


async def test_one_that_fails_takes_nothing_else_with_it(store: Database) -> None:
    """Transactions that share a commit stay apart, also when the database itself refused a statement."""
    begun, gate = threading.Event(), threading.Event()

    def slow(tx: SqlTx) -> None:
        begun.set()
        assert gate.wait(20)
        tx.put_cursor("slow", b"1", NOW)

    def broken(tx: SqlTx) -> None:
        tx.put_cursor("broken", b"1", NOW)
        raise BrokenError

    def refused(tx: SqlTx) -> None:
        tx.put_cursor("refused", b"1", NOW)
        tx.connection.execute(text("INSERT INTO cursor (topic) VALUES ('x')"))

    def good(tx: SqlTx) -> None:
        tx.put_cursor("good", b"1", NOW)

    first = asyncio.create_task(store.write(slow))
    assert await asyncio.to_thread(begun.wait, 20)
    asked = [asyncio.create_task(store.write(work)) for work in (good, broken, refused, good)]
    await asyncio.sleep(0)  # each has asked, and waits behind the slow one
    gate.set()
    results = await asyncio.gather(first, *asked, return_exceptions=True)
    assert [type(result).__name__ for result in results] == [
        "NoneType",
        "NoneType",
        "BrokenError",
        "IntegrityError",
        "NoneType",
    ]
    kept = await store.read(
        lambda tx: [name for name in ("slow", "good", "broken", "refused") if tx.cursor(name)]
    )
    assert kept == ["slow", "good"]


async def test_a_caller_who_goes_away_does_not_tear_a_transaction(store: Database) -> None:
    """Cancelled while it runs: it is whole."""
    begun, gate = threading.Event(), threading.Event()

    def work(tx: SqlTx) -> None:
        tx.put_cursor("a", b"1", NOW)
        begun.set()
        assert gate.wait(20)
        tx.put_cursor("b", b"1", NOW)

    asked = asyncio.create_task(store.write(work))
    assert await asyncio.to_thread(begun.wait, 20)
    asked.cancel()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asked
    await store.write(lambda tx: tx.put_cursor("c", b"1", NOW))
    assert await store.read(lambda tx: [tx.cursor(name) for name in "abc"]) == [b"1", b"1", b"1"]


async def test_what_is_asked_before_the_end_is_done_before_the_end(store_url: str) -> None:
    """Closing finishes what was asked, however much: more than goes into one commit."""
    store = open_store(store_url, exclusive=False, migrate=False)
    asked = [
        asyncio.create_task(store.write(lambda tx, n=n: tx.put_cursor(str(n), b"1", NOW)))  # type: ignore[misc]  # a default binds the loop's value
        for n in range(150)
    ]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*asked)
    again = open_store(store_url, exclusive=False, migrate=False)
    assert await again.read(lambda tx: all(tx.cursor(str(n)) for n in range(150)))
    await again.close()


async def test_a_reader_sees_one_picture(store: Database) -> None:
    """A commit between two statements of one reading is not seen by it, and does not wait for it."""
    await store.write(lambda tx: tx.put_cursor("a", b"old", NOW))
    between, written = threading.Event(), threading.Event()

    def look(tx: SqlTx) -> tuple[bytes | None, bytes | None]:
        first = tx.cursor("a")
        between.set()
        assert written.wait(20)
        return first, tx.cursor("a")

    reading = asyncio.create_task(store.read(look))
    assert await asyncio.to_thread(between.wait, 20)
    await store.write(lambda tx: tx.put_cursor("a", b"new", NOW))
    written.set()
    assert await reading == (b"old", b"old")
    assert await store.read(lambda tx: tx.cursor("a")) == b"new"


async def test_what_a_reader_writes_is_not_kept(store: Database) -> None:
    """Only `write` commits."""
    await store.read(lambda tx: tx.put_cursor("a", b"1", NOW))
    assert await store.read(lambda tx: tx.cursor("a")) is None


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/x", "SQLite or PostgreSQL"),
        ("nonsense", "no database URL"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
        ("postgresql://nobody@/x?host=/nowhere/at/all", "PostgreSQL cannot be opened"),
    ],
)
def test_an_address_that_is_no_store_is_told_plainly(url: str, words: str) -> None:
    """Why, in a sentence."""
    with pytest.raises(StoreError, match=words):
        open_store(url, exclusive=True)


def test_a_store_that_is_not_there_is_not_made_by_looking(tmp_path: Path) -> None:
    """Only the daemon makes one."""
    with pytest.raises(StoreError, match="there is no store"):
        open_store(f"sqlite:///{tmp_path / 'none.db'}", exclusive=False, migrate=False)
    assert list(tmp_path.iterdir()) == []


@contextmanager
def _refused(path: Path, words: str) -> Iterator[None]:
    yield
    for _ in range(2):  # the second time too: the lock of the first try was given back
        with pytest.raises(StoreError, match=words):
            open_store(f"sqlite:///{path}", exclusive=True)


def test_a_file_that_is_no_store_is_told_plainly(tmp_path: Path) -> None:
    """Somebody named a picture."""
    path = tmp_path / "holiday.jpg"
    with _refused(path, "not a database"):
        path.write_bytes(b"\xff\xd8" * 4096)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///{folder}/holiday.jpg", "not a database.*Put back a backup"),
        ("sqlite:///{folder}/empty.db", "there is no store of sfsync"),
        ("sqlite:///{folder}/newer.db", "version 9999.*Use the sfsync that runs on it"),
        ("postgresql://nobody@/x?host=/nowhere/at/all", "cannot be opened.*See that its server runs"),
    ],
)
def test_who_only_looks_is_told_plainly_that_he_cannot(
    made_sqlite: Path, tmp_path: Path, url: str, words: str
) -> None:
    """In one line, with what to do, before anything was asked of it."""
    (tmp_path / "holiday.jpg").write_bytes(b"\xff\xd8" * 4096)
    (tmp_path / "empty.db").touch()
    shutil.copy(made_sqlite, tmp_path / "newer.db")
    connection = sqlite3.connect(tmp_path / "newer.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match=words) as told:
        open_store(url.format(folder=tmp_path), exclusive=False, migrate=False)
    assert "\n" not in str(told.value)


def test_a_store_of_a_newer_version_is_left_alone(made_sqlite: Path, tmp_path: Path) -> None:
    """An older sfsync does not touch what it does not understand."""
    path = tmp_path / "s.db"
    with _refused(path, "another version of sfsync"):
        path.write_bytes(made_sqlite.read_bytes())
        connection = sqlite3.connect(path)
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
        connection.close()


@needs("postgresql")
async def test_a_lost_connection_costs_one_transaction(new_postgresql: str) -> None:
    """The database went away and came back: the next write works."""
    store = open_store(new_postgresql, exclusive=False)
    await store.write(lambda tx: tx.put_cursor("a", b"1", NOW))
    engine = create_engine(new_postgresql)
    with engine.connect() as connection:
        connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        )
    engine.dispose()
    with pytest.raises(Exception, match=r"(?i)connection|terminat"):
        await store.write(lambda tx: tx.put_cursor("a", b"2", NOW))
    await store.write(lambda tx: tx.put_cursor("a", b"3", NOW))
    assert await store.read(lambda tx: tx.cursor("a")) == b"3"
    await store.close()
