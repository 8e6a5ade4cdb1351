"""The engine: one writer thread, readers beside it, a lock against a second daemon, migrations.

SQLite runs in WAL mode with ``synchronous=FULL``: what is committed survives a power cut, because an intent
must be on disk before its first byte leaves. One thread does all writing, so that transactions never meet; a
transaction is one hop off the event loop, however many statements it has.
"""

from __future__ import annotations

import asyncio
import fcntl
import functools
import os
import sqlite3
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TypeVar

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, RootTransaction, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import ArgumentError, DBAPIError

from .tx import SqlTx

T = TypeVar("T")

GROUP = 64  # transactions in one commit
PG_LOCK = 0x5F5CC  # the advisory lock's number: any constant of ours


class StoreError(Exception):
    """The store cannot be used; says why and what to do."""


class NoStoreError(StoreError):
    """There is none yet: the first start makes it."""


@dataclass(frozen=True, slots=True)
class Hands:
    """Who carries out transactions, and how surely they are on disk. Given by those who hold time themselves.

    `synchronous` is SQLite's: anything less than FULL may lose the last commits in a power cut.
    """

    writer: Executor  # one after another
    readers: Executor
    synchronous: str = "FULL"


def _threads() -> Hands:
    return Hands(ThreadPoolExecutor(1, "store-write"), ThreadPoolExecutor(2, "store-read"))


class Database:
    """A store. `write` and `read` run a function in a transaction of its own.

    Group commit: what is asked while a commit is under way goes into the next one together, each in a
    savepoint of its own, so that one failing takes nothing else with it and the disk is waited for once.
    """

    def __init__(self, writer: Engine, reader: Engine, lock: _Lock | None, hands: Hands) -> None:
        self._writer, self._reader, self._lock = writer, reader, lock
        self._write_thread, self._read_threads = hands.writer, hands.readers
        self._connection: Connection | None = None
        self._asked: deque[tuple[Callable[[SqlTx], Any], asyncio.Future[Any]]] = deque()
        self._idle: list[Connection] = []  # readers between two transactions
        self._called = False  # the writer's thread: it has not begun yet with what is asked
        self._closed = False
        self._tx: Callable[[Connection], SqlTx] = SqlTx

    def transact_by(self, make: Callable[[Connection], SqlTx]) -> None:
        """Have every transaction from now on be one that `make` makes of a connection."""
        self._tx = make

    async def write(self, work: Callable[[SqlTx], T]) -> T:
        """Run `work` in the next transaction and commit it; roll back when it raises.

        A caller who is cancelled does not cancel the transaction: it is whole or not at all.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._asked.append((work, future))
        if not self._called:  # who is on the way takes all that is asked by then
            self._called = True
            try:
                self._write_thread.submit(self._write_asked, loop)
            except BaseException:
                self._called = False
                raise
        return await future

    async def read(self, work: Callable[[SqlTx], T]) -> T:
        """Run `work` on a consistent picture; nothing it does is kept."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._read_threads, functools.partial(self.read_now, work))

    def read_now(self, work: Callable[[SqlTx], T]) -> T:
        """`read`, in the calling thread."""
        if self._reader.dialect.name != "sqlite":  # whose pool looks after connections
            with self._reader.connect() as connection, _Begun(connection, "BEGIN", keeps=False):
                return work(self._tx(connection))
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._reader.connect()
        try:
            with _Begun(connection, "BEGIN", keeps=False):
                found = work(self._tx(connection))
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        return found

    def write_now(self, work: Callable[[SqlTx], T]) -> T:
        """`write`, in the calling thread, beside a daemon that may be writing too."""
        with self._writer.connect() as connection, _Begun(connection, "BEGIN IMMEDIATE"):
            return work(self._tx(connection))

    def _write_asked(self, loop: asyncio.AbstractEventLoop) -> None:
        """In the writer's thread: all that is asked by now, in one commit, or in several where it is much."""
        self._called = False  # before the first look: what is asked after the last one calls again
        while self._asked:
            self._write_group(loop)

    def _write_group(self, loop: asyncio.AbstractEventLoop) -> None:
        group: list[tuple[Callable[[SqlTx], Any], asyncio.Future[Any]]] = []
        while self._asked and len(group) < GROUP:
            group.append(self._asked.popleft())
        outcomes: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        try:
            connection = self._connected()
            with _Begun(connection, "BEGIN IMMEDIATE"):
                for work, future in group:
                    outcomes.append((future, *self._one(connection, work, alone=len(group) == 1)))
        except Exception as error:
            outcomes = [(future, None, error) for _, future in group]
        loop.call_soon_threadsafe(_tell, outcomes)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.invalidated:
            self._connection = self._writer.connect()
        return self._connection

    def _one(
        self, connection: Connection, work: Callable[[SqlTx], T], *, alone: bool
    ) -> tuple[T | None, BaseException | None]:
        """(result, None) or (None, what it raised): its own changes are undone, those of others stay."""
        if alone:
            return work(self._tx(connection)), None
        try:
            with _nested(connection):
                return work(self._tx(connection)), None
        except Exception as error:
            return None, error

    async def close(self) -> None:
        """Finish what was asked and give everything back. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        try:
            await asyncio.get_running_loop().run_in_executor(self._write_thread, self._close_writer)
        finally:  # also when nobody has the time to wait for it
            self._write_thread.shutdown()
            self._read_threads.shutdown()
            while self._idle:
                self._idle.pop().close()
            self._writer.dispose()
            self._reader.dispose()
            if self._lock is not None:
                self._lock.release()

    def _close_writer(self) -> None:
        if self._connection is not None:
            self._connection.close()


class _Begun:
    """A transaction, committed at its end unless it keeps nothing; SQLite is told how it begins.

    SQLite is told of its end, too, where SQLAlchemy has had no part in it.
    """

    __slots__ = ("_begin", "_connection", "_keeps", "_transaction")

    def __init__(self, connection: Connection, begin: str, *, keeps: bool = True) -> None:
        self._connection, self._begin, self._keeps = connection, begin, keeps
        self._transaction: RootTransaction | None = None

    def __enter__(self) -> None:
        if self._connection.dialect.name == "sqlite":
            _say(self._connection, self._begin)
            return
        self._transaction = self._connection.begin()
        self._transaction.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._transaction is not None:
            if kind is None and not self._keeps:
                self._transaction.rollback()
            self._transaction.__exit__(kind, error, trace)
            return
        try:
            _end(self._connection, keeps=self._keeps and kind is None)
        except BaseException:
            if kind is None:
                _end(self._connection, keeps=False)
            raise


def _end(connection: Connection, *, keeps: bool) -> None:
    driver: Any = connection.connection.driver_connection
    if connection.in_transaction():
        (connection.commit if keeps else connection.rollback)()
    elif driver.in_transaction:  # some errors of SQLite's end it by themselves
        _say(connection, "COMMIT" if keeps else "ROLLBACK")


@contextmanager
def _nested(connection: Connection) -> Iterator[None]:
    """A savepoint. By names of their own, as in SQLAlchemy, they drive all else from the driver's cache."""
    if connection.dialect.name != "sqlite":
        with connection.begin_nested():
            yield
        return
    _say(connection, "SAVEPOINT one")
    try:
        yield
    except BaseException:
        _say(connection, "ROLLBACK TO one")
        raise
    finally:
        _say(connection, "RELEASE one")


def _say(connection: Connection, words: str) -> None:
    """Words without parameters or rows, by SQLite's driver: what SQLAlchemy adds takes ten times as long."""
    driver: Any = connection.connection.driver_connection
    try:
        driver.execute(words)
    except sqlite3.Error as error:
        raise DBAPIError.instance(words, None, error, sqlite3.Error) from error


def _tell(outcomes: Sequence[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
    """In the loop's thread: hand each caller what became of its work."""
    for future, result, error in outcomes:
        if future.done():
            continue  # the caller has gone
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)


def open_store(url: str, *, exclusive: bool, migrate: bool = True, hands: Hands | None = None) -> Database:
    """Open the store at an SQLAlchemy URL, brought to the present schema.

    `exclusive` takes the lock that keeps a second daemon away; a reader beside a daemon does without, and
    with ``migrate=False`` it needs no right to change anything. Transactions are carried out in threads of
    its own unless other `hands` are given. Raises `StoreError`.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise StoreError(f"store.url is no database URL: {error}. Use sqlite:///path/to/sfsync.db") from error
    dialect = parsed.get_backend_name()
    if dialect == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise StoreError("store.url names no file. Use sqlite:///path/to/sfsync.db")
        return _open_sqlite(
            Path(parsed.database), exclusive=exclusive, migrate=migrate, hands=hands or _threads()
        )
    if dialect == "postgresql":
        return _open_postgresql(url, exclusive=exclusive, migrate=migrate, hands=hands or _threads())
    raise StoreError(f"store.url names a {dialect} database; sfsync keeps its store in SQLite or PostgreSQL")


def _open_sqlite(path: Path, *, exclusive: bool, migrate: bool, hands: Hands) -> Database:
    if not migrate and not path.exists():
        raise NoStoreError(f"there is no store at {path}. `sfsync run` makes it at its first start")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the folder of the store cannot be made: {error}") from error
    lock = _FileLock(path.with_name(path.name + ".lock")) if exclusive else None
    try:
        writer = _sqlite_engine(path, hands.synchronous)
        reader = _sqlite_engine(path, hands.synchronous)
        (_migrate if migrate else _recognise)(writer)
    except (DBAPIError, CommandError) as error:
        if lock is not None:
            lock.release()
        raise StoreError(
            f"the store {path} cannot be opened: {_why(error)}. Put back a backup of it, or name another "
            "file in store.url"
        ) from error
    return Database(writer, reader, lock, hands)


def _sqlite_engine(path: Path, synchronous: str) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        connect_args={"check_same_thread": False, "timeout": 30, "cached_statements": 1000},
        query_cache_size=1000,
    )

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: object) -> None:
        connection.isolation_level = (
            None  # we say BEGIN ourselves, so that a writer is one from its first statement
        )
        safe = f"synchronous={synchronous}"
        for pragma in ("journal_mode=WAL", safe, "foreign_keys=ON", "cache_size=-16000"):
            connection.execute(f"PRAGMA {pragma}")

    return engine


def _open_postgresql(url: str, *, exclusive: bool, migrate: bool, hands: Hands) -> Database:
    parsed = make_url(url)
    if "+" not in parsed.drivername:
        parsed = parsed.set(drivername="postgresql+psycopg")
    lock = None
    try:
        engine = create_engine(parsed, pool_pre_ping=True, query_cache_size=1000)
        lock = _AdvisoryLock(engine) if exclusive else None
        (_migrate if migrate else _recognise)(engine)
    except ModuleNotFoundError as error:
        raise StoreError("PostgreSQL needs its driver: install sfsync[postgres]") from error
    except (DBAPIError, CommandError) as error:
        if lock is not None:
            lock.release()
        raise StoreError(
            f"the store in PostgreSQL cannot be opened: {_why(error)}. See that its server runs and answers "
            "this machine, or mend store.url"
        ) from error
    # Several statements of one reader see one picture, as in SQLite.
    return Database(engine, engine.execution_options(isolation_level="REPEATABLE READ"), lock, hands)


def _why(error: DBAPIError | CommandError) -> str:
    if isinstance(error, CommandError):
        return f"it was made by another version of sfsync ({error}). Run the newest one"
    return " ".join(str(error.orig).split()).rstrip(".")


def _recognise(engine: Engine) -> None:
    """See that a store is there and speaks as we do, without changing it. Raises `StoreError` when not."""
    with engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            raise NoStoreError(
                "there is no store of sfsync in the database that store.url names. `sfsync run` makes it at "
                "its first start"
            )
        found = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
        connection.rollback()
    if found != (known := _newest_version()):
        raise StoreError(
            f"the store is of version {found}, and this sfsync reads {known}. Use the sfsync that runs on it"
        )


@functools.cache
def _newest_version() -> str | None:
    """Of the schema; every migration is loaded to find it."""
    return ScriptDirectory.from_config(_migrations()).get_current_head()


def _migrations() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def _migrate(engine: Engine) -> None:
    config = _migrations()
    with engine.connect() as connection, _Begun(connection, "BEGIN IMMEDIATE"):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


class _Lock(Protocol):
    """Held while a daemon runs on the store."""

    def release(self) -> None: ...


class _FileLock:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a+")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip()
            self._file.close()
            raise StoreError(
                f"another sfsync (process {holder or 'unknown'}) runs on {path.stem}. Stop it first"
            ) from error
        self._file.seek(0)
        self._file.truncate()
        self._file.write(str(os.getpid()))
        self._file.flush()

    def release(self) -> None:
        self._file.close()


class _AdvisoryLock:
    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect()
        if not self._connection.execute(text("SELECT pg_try_advisory_lock(:n)"), {"n": PG_LOCK}).scalar_one():
            self._connection.close()
            raise StoreError("another sfsync runs on this store. Stop it first")
        self._connection.commit()
        self._connection.detach()  # out of the pool, so that closing it ends its session and the lock

    def release(self) -> None:
        # Said, not left to the end of the session: that comes a moment after the connection is closed.
        with suppress(DBAPIError):
            self._connection.execute(text("SELECT pg_advisory_unlock(:n)"), {"n": PG_LOCK})
        self._connection.close()
