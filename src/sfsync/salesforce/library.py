"""simple-salesforce, for what is large or rare: the snapshot's pages, exports, and descriptions of objects.

The library is synchronous, so it works in a thread and never on the event loop. An export is a query job of
the Bulk API 2.0: it is waited for in a thread that nobody waits for at the end of the process. The library
speaks HTTPS only and knows neither time-outs nor our three names of failure; those are added here. It is
imported at its first use: it takes a third of a second and twenty megabytes, which a command that asks for
one number need not pay.
"""

from __future__ import annotations

import asyncio
import csv
import importlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from sfsync.domain.budget import Work
from sfsync.ports import Refused
from sfsync.salesforce.auth import TRUST_ADVICE, Token, TokenProvider
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.gate import Gate
from sfsync.salesforce.records import Record
from sfsync.salesforce.rest import Hiccup, OrgRefused, deciding, errors_of, failure, is_used_up, reads
from sfsync.salesforce.transport import CONNECT_SECONDS, is_loopback

Call = Callable[[Any], Any]

JOB_SECONDS = 1  # between two looks at whether a job is complete


def serves(config: OrgConfig) -> bool:
    """Whether the library can reach this org at all."""
    return config.login_url.lower().startswith("https://")


class LibraryPages:
    """Implements `snapshot.Pages` for one kind of work."""

    def __init__(self, library: Library, work: Work) -> None:
        self._library = library
        self._work = work

    def pages(self, query: str) -> AsyncGenerator[Sequence[Record], None]:
        """Every record that the query finds, up to 2,000 at a time."""
        return self._library.pages(query, self._work)


class Library:
    """One org through simple-salesforce."""

    def __init__(
        self,
        config: OrgConfig,
        tokens: TokenProvider,
        gate: Gate,
        *,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._config = config
        self._tokens = tokens
        self._gate = gate
        self._sleep = sleep
        self._client: tuple[Token, Any] | None = None
        self._calls = _Calls()

    async def pages(self, query: str, work: Work) -> AsyncGenerator[Sequence[Record], None]:
        """Every record that the query finds, up to 2,000 at a time."""
        answer = await self._ask(lambda client: client.query(query), "query", work)
        yield answer["records"]
        while not answer["done"]:
            more = answer["nextRecordsUrl"]
            answer = await self._ask(_following(more), "query", work)
            yield answer["records"]

    async def export(
        self, name: str, query: str, work: Work, *, rows: int
    ) -> AsyncGenerator[Sequence[Record], None]:
        """Every record of an object that a query job finds, `rows` a page; values are texts, "" for null.

        A failure in the middle is told as such: whoever wants the rest begins anew.
        """
        token = await self._tokens.token()
        for last in (False, True):
            client = _client(self._config, token, self._calls)
            texts = getattr(client.bulk2, name).query(query, max_records=rows, wait=JOB_SECONDS)
            try:
                first = await self._next(texts, work)
                break
            except _TokenSpentError:
                if last:
                    raise OrgRefused(f"export of {name}: the org takes no token of ours", code="") from None
                token = await self._tokens.renew(token)
        page: list[dict[str, str]] | None = first
        while page is not None:
            yield page
            try:
                page = await self._next(texts, work)
            except _TokenSpentError:
                raise Hiccup(f"export of {name}: the token ran out in its middle") from None

    async def _next(self, texts: Any, work: Work) -> list[dict[str, str]] | None:
        """The next page of an export, None at its end; each call that the library makes is counted."""
        self._gate.enter(work)
        before = self._calls.made
        try:
            page: list[dict[str, str]] | None = await _aside(lambda: _rows(next(texts, None)))
            return page
        except Exception as error:
            if used_up := _used_up(error):
                raise self._gate.refused(work, used_up) from None
            meant = _meaning(error, "export")
            raise _TokenSpentError if meant is None else meant from None
        finally:
            for _ in range(self._calls.made - before):
                self._gate.answered(None)

    async def describe(self, name: str, work: Work) -> Mapping[str, Any]:
        """What the org tells of an object: its fields and what we may do with it."""
        described: Mapping[str, Any] = await self._ask(
            lambda client: getattr(client, name).describe(), f"describe {name}", work
        )
        return described

    def close(self) -> None:
        """Give back the connections."""
        if self._client is not None:
            self._client[1].session.close()
            self._client = None

    async def _ask(self, call: Call, what: str, work: Work) -> Any:
        async for attempt in reads(self._sleep):
            with attempt:
                return await self._once(call, what, work)
        raise AssertionError("there is at least one attempt")

    async def _once(self, call: Call, what: str, work: Work) -> Any:
        token = await self._tokens.token()
        for last in (False, True):
            self._gate.enter(work)
            try:
                answer, used = await asyncio.to_thread(self._work, token, call)
                self._gate.answered(used)
                return answer
            except Exception as error:
                if used_up := _used_up(error):
                    raise self._gate.refused(work, used_up) from None
                self._gate.answered(None)
                meant = _meaning(error, what)
                if meant is not None:
                    raise meant from None
                if last:
                    raise OrgRefused(
                        f"{what}: the org takes no token of ours", code="INVALID_SESSION_ID"
                    ) from None
            token = await self._tokens.renew(token)
        raise AssertionError("the second try returns or raises")

    def _work(self, token: Token, call: Call) -> tuple[Any, tuple[int, int] | None]:
        """In a worker thread: one call with the client of this token, and (used, allowed) where told."""
        if self._client is None or self._client[0] is not token:
            self._client = token, _client(self._config, token, self._calls)
        client = self._client[1]
        answer = call(client)
        usage = client.api_usage.get("api-usage")
        return answer, None if usage is None else (usage.used, usage.total)


class _TokenSpentError(Exception):
    """A new token may heal it."""


class _Calls:
    """How many requests the library has sent."""

    made = 0


def _rows(text: str | None) -> list[dict[str, str]] | None:
    return None if text is None else list(csv.DictReader(text.splitlines()))


async def _aside(work: Callable[[], Any]) -> Any:
    """Do work in a thread of its own, which does not keep the process when it is to end."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(result: Any, error: BaseException | None) -> None:
        if done.done():
            return  # whoever asked has gone
        if error is None:
            done.set_result(result)
        else:
            done.set_exception(error)

    def run() -> None:
        result, failed = None, None
        try:
            result = work()
        except Exception as error:
            failed = error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(tell, result, failed)

    threading.Thread(target=run, name="export", daemon=True).start()
    return await done


def _following(url: str) -> Call:
    return lambda client: client.query_more(url, identifier_is_url=True)


def _client(config: OrgConfig, token: Token, calls: _Calls) -> Any:
    requests = importlib.import_module("requests")
    adapters = importlib.import_module("requests.adapters")
    timeouts = (min(CONNECT_SECONDS, config.timeout_seconds), config.timeout_seconds)

    class TimedAdapter(adapters.HTTPAdapter):  # type: ignore[misc, name-defined]  # reason: imported late
        """Gives up, where requests alone would wait for ever. Counts."""

        def send(self, request: Any, **options: Any) -> Any:
            calls.made += 1
            return super().send(request, **{**options, "timeout": timeouts})

    session = requests.Session()
    session.trust_env = not is_loopback(config.login_url)
    if config.ca_file:
        session.verify = config.ca_file
    session.mount("https://", TimedAdapter())
    library = importlib.import_module("simple_salesforce")
    return library.Salesforce(
        session_id=token.access, instance_url=token.instance_url, session=session, version=config.api_version
    )


def _used_up(error: Exception) -> str:
    """The org's words when the calls of the day are used up, else ""."""
    exceptions = importlib.import_module("simple_salesforce.exceptions")
    found = errors_of(error.content) if isinstance(error, exceptions.SalesforceError) else []
    return next((str(each) for each in found if is_used_up(each)), "")


def _meaning(error: Exception, what: str) -> Exception | None:
    """What a failure of the library means; None when a new token may heal it."""
    exceptions = importlib.import_module("simple_salesforce.exceptions")
    requests = importlib.import_module("requests")
    if isinstance(error, exceptions.SalesforceExpiredSession):
        return None
    if isinstance(error, exceptions.SalesforceError):
        status = int(error.status)
        first = deciding(errors_of(error.content), status)
        return failure(first, status, what, write=False, after_seconds=None)
    if isinstance(error, exceptions.SalesforceOperationError):
        return Hiccup(f"{what}: {error}")  # the job failed, or was aborted
    if isinstance(error, requests.exceptions.SSLError):
        return Refused(f"{what}: {error}", advice=TRUST_ADVICE)
    if isinstance(error, requests.exceptions.RequestException | OSError | ValueError):
        return Hiccup(f"{what}: {type(error).__name__}: {error}")
    return error
