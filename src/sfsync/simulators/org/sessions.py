"""Users, connected apps and access tokens of the org.

A token is good until its session ends: by time (longer when it is used), by revocation, or by a fault.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any

from sfsync.simulators.org.clock import Clock
from sfsync.simulators.org.ids import make_id, normalize_id
from sfsync.simulators.org.knobs import Knobs

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._"
_TOKEN_LENGTH = 96


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who can sign in."""

    id: str
    username: str
    password: str
    name: str


@dataclass(frozen=True, slots=True)
class ConnectedApp:
    """An external client app: its key and secret, its certificate, and the user it runs as."""

    client_id: str
    client_secret: str
    name: str
    run_as: User
    certificate: bytes | None = None  # PEM public key that verifies JWT assertions


@dataclass(slots=True)
class Session:
    """A signed-in user; `refresh_token` only for the flows that give one."""

    token: str
    user: User
    client_id: str
    issued_at: datetime
    expires_at: datetime
    refresh_token: str | None = None


@dataclass(slots=True)
class Identity:
    """The org's id, its users by name and its apps by client id."""

    org_id: str
    users: dict[str, User] = field(default_factory=dict)
    apps: dict[str, ConnectedApp] = field(default_factory=dict)

    def user_by_id(self, user_id: str) -> User | None:
        return next((user for user in self.users.values() if user.id == user_id), None)


class Sessions:
    """All access and refresh tokens that were given out."""

    def __init__(self, identity: Identity, *, clock: Clock, random: Random, knobs: Knobs) -> None:
        self.identity = identity
        self._clock = clock
        self._random = random
        self._knobs = knobs
        self._by_token: dict[str, Session] = {}
        self._refreshable: dict[str, tuple[User, str]] = {}

    def open(self, user: User, client_id: str, *, refreshable: bool = False, fresh: bool = False) -> Session:
        """Signs a user in; the session that is still valid is given again, as orgs do."""
        if self._knobs.reuse_session and not fresh:
            for session in self._by_token.values():
                if (session.user, session.client_id) == (user, client_id) and self._valid(session):
                    return session
        now = self._clock.now()
        token = f"{self.identity.org_id[:15]}!{self._random_text()}"
        session = Session(token, user, client_id, now, now + self._lifetime())
        if refreshable:
            session.refresh_token = f"5Aep861{self._random_text()}"
            self._refreshable[session.refresh_token] = (user, client_id)
        self._by_token[token] = session
        return session

    def refresh(self, refresh_token: str, client_id: str) -> Session | None:
        """A new session for a refresh token of this client; None when it is not known."""
        found = self._refreshable.get(refresh_token)
        if found is None or found[1] != client_id:
            return None
        return self.open(found[0], client_id, fresh=True)

    def find(self, token: str) -> Session | None:
        """The valid session of a token, whose life this use may prolong."""
        session = self._by_token.get(token)
        if session is None or not self._valid(session):
            return None
        if self._knobs.session_extends_with_use:
            now = self._clock.now()
            if session.expires_at - now < self._lifetime() / 2:
                session.expires_at = now + self._lifetime()
        return session

    def every(self) -> list[Session]:
        """All sessions that still hold."""
        return [session for session in self._by_token.values() if self._valid(session)]

    def restore(self, session: Session) -> None:
        """Takes a session of an earlier life of the org."""
        self._by_token[session.token] = session
        if session.refresh_token is not None:
            self._refreshable[session.refresh_token] = (session.user, session.client_id)

    def look_up(self, token: str) -> Session | None:
        """The session of a token, valid or not, without prolonging it."""
        return self._by_token.get(token)

    def is_valid(self, token: str) -> bool:
        session = self._by_token.get(token)
        return session is not None and self._valid(session)

    def user_of(self, token: str, instance_url: str, tenant_id: str) -> str | None:
        """The user behind the three call headers of the Pub/Sub API; None when one of them is wrong."""
        if normalize_id(tenant_id) != self.identity.org_id or not instance_url.startswith(
            ("https://", "http://")
        ):
            return None
        session = self.find(token)
        return None if session is None else session.user.id

    def revoke(self, token: str) -> bool:
        """Ends a session by its access token, or forgets a refresh token and its sessions."""
        if token in self._refreshable:
            user, client_id = self._refreshable.pop(token)
            for session in list(self._by_token.values()):
                if (session.user, session.client_id) == (user, client_id):
                    del self._by_token[session.token]
            return True
        return self._by_token.pop(token, None) is not None

    def end_all(self) -> int:
        """Ends every session, as an administrator or a fault would; refresh tokens stay."""
        count = len(self._by_token)
        self._by_token.clear()
        return count

    def _valid(self, session: Session) -> bool:
        return self._clock.now() < session.expires_at

    def _lifetime(self) -> timedelta:
        return timedelta(seconds=self._knobs.session_seconds)

    def _random_text(self) -> str:
        return "".join(self._random.choices(_ALPHABET, k=_TOKEN_LENGTH))


def token_answer(session: Session, org_id: str, instance_url: str, secret: str) -> dict[str, Any]:
    """The token endpoint's answer: `issued_at` in ms as text, signed; there is no `expires_in`."""
    issued_at = str(int(session.issued_at.timestamp() * 1000))
    identity_url = f"{instance_url}/id/{org_id}/{session.user.id}"
    digest = hmac.new(secret.encode(), (identity_url + issued_at).encode(), hashlib.sha256).digest()
    answer = {
        "access_token": session.token,
        "signature": base64.b64encode(digest).decode(),
        "scope": "api refresh_token" if session.refresh_token else "api",
        "instance_url": instance_url,
        "id": identity_url,
        "token_type": "Bearer",
        "issued_at": issued_at,
    }
    if session.refresh_token:
        answer["refresh_token"] = session.refresh_token
    return answer


def default_identity(random: Random, certificate: bytes | None = None) -> Identity:
    """One integration user and one app, with a random secret and password."""
    org_id = make_id("00D", 1)
    user = User(make_id("005", 1), "integration@sfsync.example", _secret(random), "Integration User")
    client_id = f"3MVG9{_secret(random, 80)}"
    app = ConnectedApp(client_id, _secret(random, 64).upper(), "sfsync", user, certificate)
    return Identity(org_id, {user.username: user}, {client_id: app})


def _secret(random: Random, length: int = 24) -> str:
    return "".join(random.choices(_ALPHABET[:62], k=length))
