"""Log-ins that need no memory: a signed cookie names a token and a person, and ends by itself.

It is signed with a key made from that very token, so a token that is changed or taken away ends its sessions,
and a restart ends none.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from .json_text import BadJsonError, from_json, to_json
from .options import Token

COOKIE = "sfsync-session"
LIFE = timedelta(hours=12)
LONGEST_PERSON = 80


@dataclass(frozen=True, slots=True)
class Session:
    """A person who has logged in."""

    token: Token
    person: str
    until: datetime
    cookie: str


class Sessions:
    """Makes and reads sessions of the settings' tokens."""

    def __init__(self, tokens: Sequence[Token]) -> None:
        self._tokens: Mapping[str, Token] = {token.name: token for token in tokens}

    def begin(self, token: Token, person: str, now: datetime) -> Session:
        """A session of its own, for whoever holds the token."""
        until = now + LIFE
        said = to_json([token.name, person, int(until.timestamp())])
        text = base64.urlsafe_b64encode(said).decode().rstrip("=")
        return Session(token, person, until, f"{text}.{_signed(token, 'session', text)}")

    def read(self, cookie: str, now: datetime) -> Session | None:
        """The session of a cookie; None when it is over, or was never ours."""
        text, _, signature = cookie.partition(".")
        told = _said(text)
        if told is None:
            return None
        token = self._tokens.get(told[0])
        # Compared as bytes: a cookie may hold anything, and only ASCII texts can be compared.
        if token is None or not hmac.compare_digest(
            _signed(token, "session", text).encode(), signature.encode()
        ):
            return None
        until = datetime.fromtimestamp(told[2], UTC)
        return Session(token, told[1], until, cookie) if now < until else None

    @staticmethod
    def form_token(session: Session) -> str:
        """What a form of this session must bring along: no other site can know it."""
        return _signed(session.token, "form", session.cookie)


def _signed(token: Token, use: str, text: str) -> str:
    key = hashlib.sha256(f"sfsync {use} {token.secret}".encode()).digest()
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _said(text: str) -> tuple[str, str, int] | None:
    try:
        value: Any = from_json(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (BadJsonError, binascii.Error, ValueError):
        return None
    match value:
        case [str(name), str(person), int(until)]:
            return name, person, until
        case _:
            return None
