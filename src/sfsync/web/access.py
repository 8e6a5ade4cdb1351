"""Who asks, and what that party may do: decided here, for every page and every route.

Three ways lead in. A bearer token, for programs. A session, begun by a token in the log-in form, for people.
And a name that a trusted proxy has put into a header, where people log in elsewhere. The last two come along
by themselves with whatever a browser sends, so what changes something must also bring the form's own token,
which no other site knows.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import ip_address
from urllib.parse import unquote

from starlette.requests import Request

from sfsync.domain.rights import whole
from sfsync.domain.values import replace

from .options import ADMIN, AUDIT, EVERYTHING, NOTHING, Proxy, Sight, Token
from .problems import ProblemError
from .sessions import COOKIE, LONGEST_PERSON, Session, Sessions

FORM_HEADER = "x-form-token"
USER_HEADER = "x-sfsync-user"  # who types, percent-encoded; heard of the command line's own token only
SAFE = ("GET", "HEAD")


@dataclass(frozen=True, slots=True)
class Party:
    """Who asks."""

    name: str  # stands in logs: the token's, or the person's
    scopes: frozenset[str]
    person: str = ""  # who has logged in; empty for programs
    form: str = ""  # what forms must bring along; empty where nothing comes by itself
    sight: Sight = NOTHING  # whose things it sees, unless it may see all of them
    named_by: str = "token"  # or "proxy"
    typed_by: str = ""  # who types, as the command line says

    @property
    def acts(self) -> bool:
        """Whether it may do what an operator does."""
        return ADMIN in self.scopes

    def sight_of(self, method: str) -> Sight:
        """Whose things are there for it: all for an operator, and for an auditor who only reads."""
        reads_all = AUDIT in self.scopes and method in SAFE
        return EVERYTHING if self.acts or reads_all else self.sight

    def owner(self, channel: str | None) -> str:
        """In whose name it asks: its channel's, whichever token is used for it; its own otherwise.

        No two parties have the same, whatever they are called.
        """
        if channel is not None and not self.acts and channel in (self.sight.channels or ()):
            return f"channel {channel}"
        return f"{self.named_by} {len(self.name)} {self.name}"


class Doorkeeper:
    """Knows the parties and what each may do."""

    def __init__(self, tokens: Sequence[Token], now: Callable[[], datetime], proxy: Proxy | None) -> None:
        tokens = [replace(token, scopes=whole(token.scopes)) for token in tokens]
        # Digests have one length, so that comparing them tells nothing, not even a token's length.
        self._tokens = [(_digest(token.secret.encode()), token) for token in tokens]
        self._sessions, self.now, self._proxy = Sessions(tokens), now, proxy
        self._key = secrets.token_bytes(32)  # of the forms of those whom a proxy names

    def let_in(self, request: Request, party: Party | None, scopes: Sequence[str]) -> Party:
        """The party, which has one of these scopes (none: it is enough to be known); a problem otherwise."""
        if party is None:
            raise self._unknown("Log in, or send Authorization: Bearer with a token of these settings.")
        request.state.party = party.name
        if scopes and party.scopes.isdisjoint(scopes):
            header = {
                "WWW-Authenticate": f'Bearer realm="sfsync", error="insufficient_scope", scope="{scopes[0]}"'
            }
            detail = f"{_whose(party)} lacks the scope {' or '.join(scopes)}."
            raise ProblemError(403, "not-allowed", detail, headers=header)
        return party

    def check_header(self, party: Party, request: Request) -> None:
        """As `check_form`, where a script brings the token along."""
        self.check_form(party, request.headers.get(FORM_HEADER, ""))

    @staticmethod
    def check_form(party: Party, token: str) -> None:
        """A problem unless a form has brought the token that it was given; programs bring none."""
        if party.form and not same(party.form, token):
            detail = "The form is of another log-in. Load the page again, and send it from there."
            raise ProblemError(403, "old-form", detail)

    def known(self, request: Request) -> Party | None:
        """The party that asks; None when nobody says who it is. A wrong token is a problem."""
        if "authorization" in request.headers:
            return self._of_token(request)
        if (named := self._of_proxy(request)) is not None:
            return named
        session = self._sessions.read(request.cookies.get(COOKIE, ""), self.now())
        if session is None:
            return None
        return _logged_in(session)

    def address(self, request: Request) -> str:
        """Where somebody logs in from, as far as that is known: a trusted proxy says for whom it asks."""
        if self._trusted(request):
            told = request.headers.get("x-forwarded-for", "").rpartition(",")[2].strip()
            if told:
                return told[:LONGEST_PERSON]
        return request.client.host if request.client else ""

    def log_in(self, secret: str, person: str) -> tuple[Session, Party] | None:
        """A session for whoever gives a token; None when it is not known."""
        token = self._find(secret)
        if token is None:
            return None
        session = self._sessions.begin(token, person[:LONGEST_PERSON], self.now())
        return session, _logged_in(session)

    def _of_token(self, request: Request) -> Party:
        if len(request.headers.getlist("authorization")) > 1:
            raise self._unknown("Send Authorization once.")
        scheme, _, given = request.headers["authorization"].partition(" ")
        if scheme.lower() != "bearer" or not given.strip():
            raise self._unknown("Send Authorization: Bearer with a token of these settings.")
        found = self._find(given.strip())
        if found is None:
            raise self._unknown("This token is not known here.", 'error="invalid_token"')
        typed_by = ""
        if found.personal:
            typed_by = unquote(request.headers.get(USER_HEADER, "")).strip()[:LONGEST_PERSON]
        return Party(
            found.name, found.scopes, sight=found.sight, typed_by=typed_by if typed_by.isprintable() else ""
        )

    def _of_proxy(self, request: Request) -> Party | None:
        proxy = self._proxy
        if proxy is None or not self._trusted(request):
            return None
        for header in filter(None, (proxy.user_header, proxy.groups_header)):
            if len(request.headers.getlist(header)) > 1:  # the client's own beside the proxy's
                detail = f"{header} came twice: the proxy must replace what it is sent."
                raise ProblemError(403, "two-names", detail)
        name = request.headers.get(proxy.user_header, "").strip()[:LONGEST_PERSON]
        if not name:
            return None
        groups = request.headers.get(proxy.groups_header, "") if proxy.groups_header else ""
        scopes = whole(proxy.scopes(name, {group.strip() for group in groups.split(",")}))
        if not scopes:
            request.state.party = name
            raise ProblemError(403, "not-allowed", f"{name} has no role here: see web.proxy in the settings.")
        form = hmac.new(self._key, name.encode(), hashlib.sha256).hexdigest()
        return Party(name, scopes, name, form, named_by="proxy")

    def _trusted(self, request: Request) -> bool:
        """Whether the connection itself comes from the proxy: a header alone proves nothing."""
        if self._proxy is None or request.client is None:
            return False
        try:
            address = ip_address(request.client.host)
        except ValueError:
            return False
        return any(address in network for network in self._proxy.trusted)

    def _find(self, secret: str) -> Token | None:
        digest = _digest(secret.encode())
        found: Token | None = None
        for known, token in self._tokens:  # all of them: the time taken does not tell which one came close
            if hmac.compare_digest(known, digest):
                found = token
        return found

    @staticmethod
    def _unknown(detail: str, error: str = "") -> ProblemError:
        challenge = 'Bearer realm="sfsync"' + (f", {error}" if error else "")
        return ProblemError(401, "who-are-you", detail, headers={"WWW-Authenticate": challenge})


def _logged_in(session: Session) -> Party:
    token, form = session.token, Sessions.form_token(session)
    return Party(token.name, token.scopes, session.person or token.name, form, token.sight)


def same(one: str, other: str) -> bool:
    """Whether two secrets are the same, in a time that tells nothing."""
    return hmac.compare_digest(one.encode(), other.encode())


def _whose(party: Party) -> str:
    return party.person if party.person == party.name else f"The token of {party.name}"


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()
