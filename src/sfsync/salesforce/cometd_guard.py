"""What stands between aiosfstream-ng and the org, by the two extensions that the library offers.

- A subscription refused, a session forgotten, a poll without an answer (which may have held events, and a
  session tells none twice): the session ends at once, and what goes on does so from our own cursor. The
  library would keep an empty session, or poll on.
- Its replay storage, which saves on receipt, keeps nothing: our store has the cursor, in the effect's commit.
- Events are taken out of each answer whole, so that a batch and an idle poll are what the org made of them.
- The advised pause is read as the milliseconds that it is.
- Tokens come from our own provider, as `OAuth`; a refused one is renewed, and only then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import aiohttp
from aiosfstream_ng.auth import AuthenticatorBase
from aiosfstream_ng.exceptions import AiosfstreamException
from aiosfstream_ng.replay import ReplayMarker, ReplayMarkerStorage

from sfsync.ports import OutsideError, Refused, TryLater
from sfsync.salesforce import bayeux
from sfsync.salesforce.auth import TRUST_ADVICE, Token, TokenProvider
from sfsync.salesforce.bayeux import Message, SessionGone, WornToken
from sfsync.salesforce.stream import ACCESS_ADVICE
from sfsync.salesforce.transport import is_distrusted

ANSWERS_AHEAD = 4  # read ahead; then the library waits, and with it the org
GRACE_SECONDS = 30.0  # beyond the time for which the org says that it holds an idle poll
# An empty answer to the first poll that is held tells that nothing more is to be replayed: it need not wait
# until the org would give up holding it, which takes two minutes.
FIRST_HELD_MILLISECONDS = 5_000
LONGEST_PAUSE_SECONDS = 30.0  # the org forgets a session that stays away for 40 s
WORDS_KEPT = 200


class OverError(AiosfstreamException):
    """Keeps the library from going on; why, the guard knows."""


class Access(AuthenticatorBase):
    """Hands the library our own token, and a new one once the org has refused it.

    `tell` hears of a token that was not to be had: the library would only try again.
    """

    def __init__(self, tokens: TokenProvider) -> None:
        super().__init__()
        self._tokens = tokens
        self._token: Token | None = None
        self._worn = False
        self._refused_in_a_row = 0
        self.tell: Callable[[Exception], None] = _nobody

    async def _authenticate(self) -> tuple[int, dict[str, Any]]:
        """The library calls it at the start, and after any answer that looks like a refusal of the token."""
        await self._current()
        return 200, {}

    async def outgoing(self, payload: list[Message], headers: dict[str, str]) -> None:
        """Signs every request."""
        headers["Authorization"] = f"OAuth {(await self._current()).access}"

    async def _current(self) -> Token:
        try:
            if self._token is None:
                self._token = await self._tokens.token()
            elif self._worn:
                self._token = await self._tokens.renew(self._token)
        except OutsideError as error:
            self.tell(error)
            raise
        self._worn = False
        self.instance_url = self._token.instance_url
        return self._token

    def accepted(self) -> None:
        """The org took the token."""
        self._refused_in_a_row = 0

    def refused(self) -> bool:
        """The org did not take the token; True when a new one may heal it."""
        self._worn = True
        self._refused_in_a_row += 1
        return self._refused_in_a_row == 1


class Guard(ReplayMarkerStorage):
    """Between library and org: sees each message, keeps the events, ends what has gone wrong."""

    def __init__(self, what: str, place: int, access: Access, silence_seconds: float) -> None:
        super().__init__()
        self._what, self._place, self._access = what, place, access
        self._silence_seconds = silence_seconds
        self._answers: asyncio.Queue[list[Message] | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(ANSWERS_AHEAD)
        self._polls = 0
        self._polling = False  # a poll was sent and not yet answered
        self.reason: Exception | None = None
        self.patience_seconds = silence_seconds

    # -- for the stream

    async def answer(self) -> list[Message]:
        """The events of the next poll, none if it was idle; raises why there will be no more."""
        events = await self._answers.get()
        if events is None:
            raise self.reason or SessionGone(self._what)
        self._room.release()
        return events

    def end(self, reason: Exception) -> None:
        """No more of this session, once what has come is taken. The first reason counts."""
        if self.reason is None:
            self.reason = reason
            self._answers.put_nowait(None)

    # -- the replay extension

    async def get_replay_id(self, subscription: str) -> int:
        """Where the subscription begins."""
        return self._place

    async def get_replay_marker(self, subscription: str) -> ReplayMarker | None:
        """None: nothing is kept here."""
        return None

    async def set_replay_marker(self, subscription: str, replay_marker: ReplayMarker) -> None:
        """Nothing: the store keeps the cursor, when the effect is in it."""

    # -- every message

    async def outgoing(self, payload: list[Message], headers: dict[str, str]) -> None:
        """What the library is about to send."""
        for message in payload:
            channel = message["channel"]
            if channel == bayeux.DISCONNECT:
                return
            if channel == bayeux.HANDSHAKE:
                message["ext"] = {"replay": True}
            elif channel == bayeux.CONNECT:
                if self._polling:
                    self.end(TryLater(f"{self._what}: a poll had no answer"))
                self._polling = True
                self._polls += 1
                if self._polls == 1:
                    message["advice"] = {"timeout": 0}  # it is for the subscription that follows
                elif self._polls == 2:
                    message["advice"] = {"timeout": FIRST_HELD_MILLISECONDS}
        self._go_on()
        await super().outgoing(payload, headers)

    async def incoming(self, payload: list[Message], headers: Any = None) -> None:
        """What the org has answered."""
        if not isinstance(payload, list) or not all(isinstance(each, dict) for each in payload):
            self.end(TryLater(f"{self._what}: the org answered with no Bayeux messages"))
            self._go_on()
        events = [each for each in payload if not str(each.get("channel")).startswith("/meta/")]
        # The library would keep them for a reader of its own.
        payload[:] = [each for each in payload if str(each.get("channel")).startswith("/meta/")]
        polled = any(each.get("channel") == bayeux.CONNECT and each.get("successful") for each in payload)
        if events or (polled and self._polls > 1):
            await self._room.acquire()
            self._answers.put_nowait(events)
        for message in payload:
            self._note(message)
        self._go_on()

    def _note(self, message: Message) -> None:
        channel = message.get("channel")
        if isinstance(message.get("advice"), dict):
            self._heed(message["advice"])
        if channel == bayeux.CONNECT:
            self._polling = False
        if channel == bayeux.DISCONNECT:
            return
        if message.get("successful"):
            self._access.accepted()
            return
        reason = bayeux.refusal(message, self._what)
        if isinstance(reason, WornToken):
            self.token_refused(str(reason))
        else:
            self.end(reason)

    def _heed(self, advice: dict[str, Any]) -> None:
        """The library would take the pause for seconds, and bear a poll a fifth longer than it is held."""
        pause, idle = advice.get("interval"), advice.pop("timeout", None)
        if isinstance(pause, int | float):
            advice["interval"] = min(max(pause, 0) / 1000, LONGEST_PAUSE_SECONDS)
        if isinstance(idle, int | float) and idle > 0:
            self.patience_seconds = min(self._silence_seconds, idle / 1000 + GRACE_SECONDS)

    def _go_on(self) -> None:
        if self.reason is not None:
            raise OverError(str(self.reason))

    # -- HTTP, as the library does not tell it

    def token_refused(self, words: str) -> None:
        """The next request brings a new token; a new one that is refused too is for a person."""
        if not self._access.refused():
            self.end(Refused(words, advice=ACCESS_ADVICE))

    async def judge(self, response: aiohttp.ClientResponse) -> None:
        """Every HTTP answer, before the library reads it."""
        status = response.status
        if status < 300:
            return
        words = " ".join((await response.text(errors="replace")).split())[:WORDS_KEPT]
        told = f"{self._what}: HTTP {status}: {words}"
        if status == 401:
            self._polling = False  # refused before anything was done: no answer is lost
            self.token_refused(told)
        elif status == 400 and "api version" in words.lower():
            self.end(Refused(told, advice="set api_version to one that the org speaks"))
        elif status == 404:
            self.end(Refused(told, advice="the org does not speak CometD there: check login_url"))
        else:
            after = response.headers.get("Retry-After", "")
            self.end(TryLater(told, after_seconds=float(after) if after.isdigit() else None))
        raise aiohttp.ClientResponseError(
            response.request_info, response.history, status=status, message=words
        )

    async def failed(
        self, _: aiohttp.ClientSession, __: SimpleNamespace, request: aiohttp.TraceRequestExceptionParams
    ) -> None:
        """A request had no answer."""
        error = request.exception
        if isinstance(error, aiohttp.ClientResponseError | asyncio.CancelledError):
            return
        told = f"{self._what}: {error or type(error).__name__}"
        self.end(Refused(told, advice=TRUST_ADVICE) if is_distrusted(error) else TryLater(told))


def _nobody(_: Exception) -> None:
    """Hears nothing."""
