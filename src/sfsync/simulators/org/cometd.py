"""The Streaming API of the simulated org: Bayeux over HTTP long polling at `/cometd/{version}`.

A client must handshake, send the `BAYEUX_BROWSER` cookie back, keep a connect waiting and come again
soon after each answer; what it subscribed to lives as long as its session. Replay positions are numbers
in the `replay` extension. Error texts are the documented ones.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sfsync.simulators.org.bayeux import (
    ANEW,
    NO_MORE,
    Message,
    api_version,
    read_messages,
    refusal,
    subscription_problem,
    success,
    wanted_channels,
)
from sfsync.simulators.org.bus import LATEST, EventBus
from sfsync.simulators.org.cometd_session import CometdKnobs, CometdSession
from sfsync.simulators.org.faults import cut_connection
from sfsync.simulators.org.stream import ALLOWANCE_USED_UP, StreamEnded

COOKIE = "BAYEUX_BROWSER"
LARGEST_REQUEST_BYTES = 32_768

UserOf: TypeAlias = Callable[[str], str | None]

_HANDSHAKE = "/meta/handshake"
_CONNECT = "/meta/connect"
_TYPES = ["long-polling"]


@dataclass(slots=True)
class _Visit:
    """One POST: who came, and with which messages."""

    request: Request
    version: float
    user_id: str | None
    problem: str  # of the authentication, when there is no user
    cookie: str | None
    alone: bool  # whether the POST has one message, so that a connect may wait
    new_cookie: str | None = None


class Cometd:
    """The endpoint, and the switches that the control port turns.

    `user_of` returns the id of the user whose valid access token it is given, or None.
    """

    def __init__(self, bus: EventBus, user_of: UserOf, knobs: CometdKnobs | None = None) -> None:
        self.knobs = knobs or CometdKnobs()
        self.sessions: dict[str, CometdSession] = {}
        self._bus = bus
        self._user_of = user_of
        self._answers: dict[str, Callable[[Message, CometdSession, _Visit], Awaitable[list[Message]]]] = {
            _CONNECT: self._connect,
            "/meta/subscribe": self._subscribe,
            "/meta/unsubscribe": self._unsubscribe,
            "/meta/disconnect": self._disconnect,
        }

    def routes(self) -> list[Route]:
        """Some clients add the message's type to the path."""
        paths = ("/cometd", "/cometd/{version}", "/cometd/{version}/{kind}")
        return [Route(path, self.serve, methods=["POST"]) for path in paths]

    # --- for the control port

    def drop_sessions(self) -> int:
        """Forgets all clients, as a server that was replaced has; returns how many there were."""
        dropped = list(self.sessions.values())
        for session in dropped:
            self._end(session)
        return len(dropped)

    def go_silent(self) -> int:
        """Holds the connects of the present clients and never answers them; returns how many clients."""
        for session in self.sessions.values():
            session.speaking.clear()
        return len(self.sessions)

    def speak(self) -> None:
        """Ends the silence."""
        for session in self.sessions.values():
            session.speaking.set()

    def cut(self, channel: str | None = None) -> int:
        """Breaks the connects that wait, or the next ones: of a channel's clients, or of all; how many."""
        struck = [each for each in self.sessions.values() if channel is None or channel in each.subscriptions]
        for session in struck:
            session.to_cut = True
            session.news.set()
        return len(struck)

    # --- one POST

    async def serve(self, request: Request) -> Response:
        """Answers the messages of one POST, in their order."""
        version, problem = api_version(request.path_params.get("version", ""))
        if problem:
            return PlainTextResponse(problem, 400)
        body = await request.body()
        if len(body) > LARGEST_REQUEST_BYTES:
            return PlainTextResponse("Maximum Request Size Exceeded", 413)
        try:
            messages = read_messages(body)
        except ValueError:
            return PlainTextResponse("The body is not a Bayeux message.", 400)
        user_id, problem = self._authenticate(request.headers.get("authorization", ""))
        cookie = request.cookies.get(COOKIE)
        visit = _Visit(request, version, user_id, problem, cookie, alone=len(messages) == 1)
        if user_id is None and self.knobs.cometd_expired_token_is_http_401:
            return PlainTextResponse(problem, 401)
        answers = [answer for message in messages for answer in await self._answer(message, visit)]
        response = Response(orjson.dumps(answers), media_type="application/json;charset=UTF-8")
        if visit.new_cookie is not None:
            secure = request.url.scheme == "https"
            response.set_cookie(COOKIE, visit.new_cookie, path="/cometd/", httponly=True, secure=secure)
        return response

    def _authenticate(self, header: str) -> tuple[str | None, str]:
        """Returns the user, or None and the reason."""
        if not header.strip():
            return None, "401::Request requires authentication"
        scheme, _, token = header.strip().partition(" ")
        if not token:
            scheme, token = "", scheme  # the raw session id, as one official sample sends it
        allowed = {"", "oauth"} | ({"bearer"} if self.knobs.cometd_accepts_bearer else set())
        user_id = self._user_of(token.strip()) if scheme.lower() in allowed else None
        return user_id, "401::Authentication invalid"

    # --- one message

    async def _answer(self, message: Message, visit: _Visit) -> list[Message]:
        channel = str(message.get("channel", ""))
        if channel == _HANDSHAKE:
            return [self._handshake(message, visit)]
        if visit.user_id is None:
            return [refusal(message, visit.problem, NO_MORE)]
        if not message.get("clientId"):
            return [refusal(message, "403::Client has not completed handshake", ANEW)]
        session = self.sessions.get(str(message["clientId"]))
        if session is None:
            return [refusal(message, "403::Unknown client", ANEW)]
        if problem := self._mistaken(session, visit):
            return [refusal(message, problem, ANEW)]
        answer = self._answers.get(channel)
        if answer is None:
            return [refusal(message, "403::Restricted channel")]
        return await answer(message, session, visit)

    def _mistaken(self, session: CometdSession, visit: _Visit) -> str:
        """Why a session does not belong to who came with its id; empty when it does."""
        if visit.cookie != session.cookie:
            if visit.cookie is None and self.knobs.cometd_names_missing_cookie:
                client = session.client_id
                return f"400::Client {client} has established a session, but no {COOKIE} cookie present"
            return "403::Unknown client"
        if visit.user_id != session.user_id:
            return "400::Authenticated user id does not match the session's user id"
        return ""

    def _handshake(self, message: Message, visit: _Visit) -> Message:
        ext: dict[str, Any] = {"replay": True, "payload.format": True}
        if visit.user_id is None:
            denied = refusal(message, "403::Handshake denied", {"reconnect": "none"})
            return {**denied, "ext": {"sfdc": {"failureReason": visit.problem}, "replay": True}}
        if "long-polling" not in message.get("supportedConnectionTypes", _TYPES):
            wanted = ", ".join(map(str, message["supportedConnectionTypes"]))
            return refusal(message, f"400::Invalid connection type {wanted}", {"reconnect": "none"})
        visit.new_cookie = visit.cookie or self._bus.new_uuid().replace("-", "")
        client_id = self._bus.new_uuid().replace("-", "")[:28]
        session = CometdSession(client_id, visit.user_id, visit.new_cookie, visit.version, self.knobs)
        self.sessions[client_id] = session
        self._watch(session)
        versions = {"version": "1.0", "minimumVersion": "1.0", "supportedConnectionTypes": _TYPES}
        return success(message, clientId=client_id, ext=ext, **versions)

    async def _subscribe(self, message: Message, session: CometdSession, visit: _Visit) -> list[Message]:
        replay = (message.get("ext") or {}).get("replay")
        starts = replay if isinstance(replay, dict) else {}
        return [
            self._subscribe_one(message, session, channel, starts.get(channel, LATEST))
            for channel in wanted_channels(message)
        ]

    def _subscribe_one(self, message: Message, session: CometdSession, channel: str, start: Any) -> Message:
        problem = ""
        if not channel:
            problem = "400::Channel name not specified"
        elif not channel.startswith("/"):
            problem = "400::Channel subscriptions must start with a leading '/'"
        elif self._bus.topic(channel) is None:
            problem = f"400::The channel you requested to subscribe to does not exist {{{channel}}}"
        else:
            try:
                session.subscribe(self._bus, channel, start if isinstance(start, int) else -3)
            except StreamEnded as refused:
                problem = subscription_problem(refused.code, channel, start)
        if problem:
            return {**refusal(message, problem), "subscription": channel}
        return success(message, clientId=session.client_id, subscription=channel)

    async def _unsubscribe(self, message: Message, session: CometdSession, visit: _Visit) -> list[Message]:
        channels = wanted_channels(message)
        for channel in channels:
            session.unsubscribe(channel)
        return [success(message, clientId=session.client_id, subscription=channel) for channel in channels]

    async def _disconnect(self, message: Message, session: CometdSession, visit: _Visit) -> list[Message]:
        self._end(session)
        return [success(message, clientId=session.client_id)]

    # --- connect

    async def _connect(self, message: Message, session: CometdSession, visit: _Visit) -> list[Message]:
        if message.get("connectionType") != "long-polling":
            return [refusal(message, f"400::Invalid connection type {message.get('connectionType')}")]
        session.stop_sweeper()
        session.turn += 1
        turn = session.turn
        session.news.set()  # a connect that still waits gives way to this one
        first, session.connected = not session.connected, True
        patience = self._patience(message, visit)
        events: list[Message] = []
        try:
            if not (first and self.knobs.cometd_first_connect_at_once):
                events = await self._events(session, visit, patience)
        except StreamEnded as ended:
            if ended.code == ALLOWANCE_USED_UP:
                self._watch(session)
                return [refusal(message, "403::Organization total events daily limit exceeded", NO_MORE)]
            self._end(session)
        if session.ended:
            return [refusal(message, "403::Unknown client", ANEW)]
        if turn == session.turn:
            self._watch(session)
        advice = {
            "interval": self.knobs.cometd_interval_milliseconds,
            "timeout": round(self.knobs.cometd_timeout_seconds * 1000),
            "reconnect": "retry",
        }
        return [*events, success(message, clientId=session.client_id, advice=advice)]

    def _patience(self, message: Message, visit: _Visit) -> float:
        if not visit.alone:
            return 0.0
        wished = (message.get("advice") or {}).get("timeout")
        patience = self.knobs.cometd_timeout_seconds
        return min(patience, wished / 1000) if isinstance(wished, (int, float)) else patience

    async def _events(self, session: CometdSession, visit: _Visit, patience: float) -> list[Message]:
        """Waits for events, at most so long, and for nothing when the client has gone or come again."""
        turn = session.turn
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        gone = asyncio.create_task(_gone(visit.request))
        try:
            while turn == session.turn and not session.ended and not gone.done():
                if session.to_cut:
                    session.to_cut = False
                    cut_connection(visit.request.scope)
                    break
                if not session.speaking.is_set():
                    await _first_of(gone, session.speaking)
                    continue
                if session.subscriptions and not self._bus.allowance.left():
                    raise StreamEnded(ALLOWANCE_USED_UP, "")
                events = session.take()
                if events or loop.time() >= deadline:
                    return events
                await _first_of(gone, session.news, deadline - loop.time())
        finally:
            gone.cancel()
        return []

    def _watch(self, session: CometdSession) -> None:
        """Forgets the client unless it connects again in time."""
        session.stop_sweeper()
        if not session.ended:
            wait = self.knobs.cometd_max_interval_seconds
            session.sweeper = asyncio.get_running_loop().call_later(wait, self._end, session)

    def _end(self, session: CometdSession) -> None:
        self.sessions.pop(session.client_id, None)
        session.end()


async def _gone(request: Request) -> None:
    """Returns when the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def _first_of(gone: asyncio.Task[None], signal: asyncio.Event, seconds: float | None = None) -> None:
    """Returns when the client has gone, the signal is set, or time is up."""
    signalled = asyncio.create_task(signal.wait())
    try:
        await asyncio.wait((gone, signalled), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        signalled.cancel()
