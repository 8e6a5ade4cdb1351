"""The event stream over CometD, by aiosfstream-ng: for networks that do not let gRPC through.

The library keeps the Bayeux session: handshake, cookies, subscription, one long poll after another. What it
does when something is wrong is taken out of its hands by `cometd_guard`, and by what is set here:

- Its watchdog, which dies of any network failure, is off; the time for a poll's answer is ours.
- The path's version is ours, and at least the one from which events tell their UUID.
- Cookies are kept of hosts without a name too; certificates are trusted as everywhere else.
- A session that has ended is followed by another one from our own cursor, never by the library's own.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from datetime import datetime
from typing import Any

import aiohttp
import orjson
from aiosfstream_ng.client import Client, ReplayMarkerStoragePolicy
from aiosfstream_ng.exceptions import AiosfstreamException

from sfsync.ports import OutsideError, TryLater
from sfsync.salesforce import bayeux
from sfsync.salesforce.auth import TokenProvider
from sfsync.salesforce.bayeux import SessionGone, WornToken
from sfsync.salesforce.bookmark import FROM_NOW, FROM_OLDEST, Thread
from sfsync.salesforce.cometd_guard import Access, Guard
from sfsync.salesforce.config import OrgConfig
from sfsync.salesforce.stream import Batch
from sfsync.salesforce.transport import is_loopback

GOODBYE_SECONDS = 2.0
SESSIONS_TRIED = 3  # in a row, none of which lived to its first poll

# What they would say is told by us, once and with what it means.
for _name in ("aiosfstream_ng", "aiocometd_ng"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


class _Session(Client):
    """One Bayeux session of the library's, held by our guard."""

    def __init__(self, access: Access, guard: Guard, config: OrgConfig) -> None:
        access.tell = guard.end
        super().__init__(
            access,
            replay=guard,
            replay_storage_policy=ReplayMarkerStoragePolicy.MANUAL,
            connection_timeout=0,  # its watchdog dies of any network failure
            json_loads=orjson.loads,
        )
        self._version = config.api_version
        traces = aiohttp.TraceConfig()
        traces.on_request_exception.append(guard.failed)
        trust = ssl.create_default_context(cafile=config.ca_file) if config.ca_file else True
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust),
            cookie_jar=aiohttp.CookieJar(unsafe=True, quote_cookie=False),  # also of hosts without a name
            raise_for_status=guard.judge,
            trace_configs=[traces],
            trust_env=not is_loopback(config.login_url),
        )

    def get_cometd_url(self, instance_url: str) -> str:  # type: ignore[override]  # is called on self
        """The endpoint; the library's own version tells no event's UUID."""
        return bayeux.endpoint(instance_url, self._version)

    async def _get_http_session(self) -> aiohttp.ClientSession:
        return self._http

    async def _negotiate_transport(self) -> Any:
        transport: Any = await super()._negotiate_transport()
        heed = transport._connect_done

        def polled(poll: asyncio.Future[Any]) -> None:
            # The library's own look at a poll that was called off ends in a traceback.
            if not poll.cancelled():
                heed(poll)

        transport._connect_done = polled
        return transport

    async def leave(self) -> None:
        """Say goodbye, if that can be done quickly, and give back the connections."""
        try:
            await asyncio.sleep(0)  # a poll that just ended is followed by another one now, not after us
            with suppress(AiosfstreamException, aiohttp.ClientError, OutsideError, OSError, ValueError):
                async with asyncio.timeout(GOODBYE_SECONDS):
                    await self.close()
        finally:
            transport: Any = self._transport
            poll = None if transport is None else transport._connect_task
            if poll is not None and not poll.done():  # of a session that never opened, or that hangs
                poll.cancel()
            await self._http.close()


class Cometd:
    """The Streaming API of one org. Implements `stream.EventSource`; each topic has a session of its own."""

    def __init__(self, config: OrgConfig, tokens: TokenProvider, now: Callable[[], datetime]) -> None:
        self._config = config
        self._tokens = tokens
        self._now = now

    async def subscribe(self, topic: str, cursor: bytes | None) -> AsyncGenerator[Batch, None]:
        """The events after `cursor`; from now on when None, all that are kept when `EVERYTHING`."""
        access = Access(self._tokens)
        thread = Thread(topic, cursor)
        dead = 0  # sessions in a row that did not live to their first poll
        while True:
            try:
                async with aclosing(self._session(topic, thread.join(), access)) as batches:
                    yield thread.kept(await anext(batches), self._now())
                    async for batch in batches:
                        dead = 0
                        yield thread.kept(batch, self._now())
            except (SessionGone, WornToken) as error:
                dead += 1
                if dead == SESSIONS_TRIED:
                    raise TryLater(str(error)) from None

    async def _session(self, topic: str, cursor: bytes | None, access: Access) -> AsyncGenerator[Batch, None]:
        """One session: a sign of life when it has joined, then each poll's events."""
        place = bayeux.place(topic, cursor)
        what = f"the stream {topic}"
        guard = Guard(what, place, access, self._config.silence_seconds)
        session = _Session(access, guard, self._config)
        try:
            await self._join(session, topic, guard, what)
            cursor = FROM_NOW if cursor is None else cursor or FROM_OLDEST
            yield Batch((), cursor, joined=True)
            while True:
                try:
                    async with asyncio.timeout(guard.patience_seconds):
                        told = await guard.answer()
                except TimeoutError:
                    raise TryLater(f"{what} is silent: nothing for {guard.patience_seconds:g} s") from None
                numbers = [number for each in told if (number := bayeux.replay_id(each)) is not None]
                if numbers:
                    cursor = bayeux.cursor_after(numbers[-1])
                before = bayeux.cursor_after(numbers[-2]) if len(numbers) > 1 else b""
                yield Batch([bayeux.event(each) for each in told], cursor, before=before)
        finally:
            await session.leave()

    async def _join(self, session: _Session, topic: str, guard: Guard, what: str) -> None:
        """Handshake, first poll, subscription."""
        try:
            async with asyncio.timeout(self._config.timeout_seconds):
                await session.open()
                await session.subscribe(topic)
        except TimeoutError:
            raise TryLater(f"{what}: no answer for {self._config.timeout_seconds:g} s") from None
        except OutsideError:
            raise
        except (AiosfstreamException, aiohttp.ClientError, OSError, ValueError, KeyError) as error:
            if guard.reason is not None:
                raise guard.reason from None
            # Refused by a bare HTTP 401, which the library does not take for a refused token.
            raise WornToken(f"{what}: {error}") from None

    async def may_listen(self, topic: str) -> None:
        """Refused when we may not subscribe, or there is no such topic."""
        async with aclosing(self.subscribe(topic, None)) as batches:
            await anext(batches)

    async def close(self) -> None:
        """Nothing to give back: each stream gives back its own."""
