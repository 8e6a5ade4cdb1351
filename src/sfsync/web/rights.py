"""Which scopes lead to which address: one table for every page and route, and the doors that it makes.

Nothing is served that the table does not name: the app does not start with such a route, nor with a row
that no route answers. A handler runs only after its row has let the party in, so none can forget to ask; and
a form is read here, with the token that its page gave it, so that no other site can send one.

Whoever is let in sees what is within its sight only (`domain.rights.Sight`): the handlers take care of that.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from .access import SAFE, Doorkeeper, Party
from .options import ADMIN, AUDIT, COUNTS, LEVELS, RESERVATIONS, STORES, TILLS, VIEW, Sight, WebOptions
from .problems import ProblemError
from .requests import read_form, unkept

Handler = Callable[[Request], Awaitable[Response]]


class Way(StrEnum):
    """How those who are not let in are told."""

    PROGRAM = "program"  # a problem, as JSON
    PERSON = "person"  # a page: the form to log in, or what is missing


@dataclass(frozen=True, slots=True)
class Right:
    """One of these scopes is enough, or to be known at all where there are none.

    `public`: nobody is asked who it is. `open_status`: nor here, where the settings open the pages.
    """

    scopes: tuple[str, ...] = ()
    way: Way = Way.PROGRAM
    public: bool = False
    open_status: bool = False


PUBLIC = Right(public=True)
PUBLIC_PAGE = Right(public=True, way=Way.PERSON)
LOOK = Right((VIEW,), open_status=True)
LOOK_AT_PAGE = Right((VIEW,), Way.PERSON, open_status=True)
READ_OWN = Right((RESERVATIONS, STORES, AUDIT))
CHANGE_OWN = Right((RESERVATIONS,))
OPERATE = Right((ADMIN,))
READ_ALL = Right((AUDIT,))
READ_ALL_PAGE = Right((AUDIT,), Way.PERSON)
OPERATE_PAGE = Right((ADMIN,), Way.PERSON)
REPORTS = Right((COUNTS, AUDIT))

RIGHTS: dict[str, Right] = {
    # The machines that watch over the daemon, and what belongs to nobody.
    "GET /healthz": PUBLIC,
    "GET /readyz": PUBLIC,
    "GET /openapi.json": PUBLIC,
    "GET /static/{name}": PUBLIC,
    "POST /webhooks/{channel}": PUBLIC,  # each is signed by its channel
    # Logging in.
    "GET /login": PUBLIC_PAGE,
    "POST /login": PUBLIC_PAGE,
    "POST /logout": PUBLIC_PAGE,
    # How things stand.
    "GET /metrics": LOOK,
    "GET /status.json": LOOK,
    "GET /status.fragment": LOOK,
    "GET /events": LOOK,
    "GET /v1/status": Right((VIEW,)),
    "GET /v1/exposure": Right((VIEW,)),
    "GET /v1/why": Right((VIEW,)),
    "GET /v1/drift": Right((VIEW,)),
    "GET /v1/shadow": Right((VIEW,)),
    "GET /v1/allocations": Right((VIEW,)),
    "GET /v1/editions": Right((VIEW,)),
    "GET /v1/editions/{name}": Right((VIEW,)),
    # A storefront's own, and a boutique's.
    "GET /v1/levels": Right((LEVELS, RESERVATIONS, AUDIT)),
    "POST /v1/reservations": CHANGE_OWN,
    "GET /v1/reservations": READ_OWN,
    "GET /v1/reservations/orphans": Right((RESERVATIONS, AUDIT)),
    "GET /v1/reservations/{id}": READ_OWN,
    "POST /v1/reservations/{id}/confirm": CHANGE_OWN,
    "POST /v1/reservations/{id}/extend": CHANGE_OWN,
    "POST /v1/reservations/{id}/move": CHANGE_OWN,
    "POST /v1/reservations/{id}/substitute": CHANGE_OWN,
    "POST /v1/reservations/{id}/release": CHANGE_OWN,
    "POST /v1/reservations/{id}/refund": CHANGE_OWN,
    "POST /v1/reservations/{id}/hand-over": Right((RESERVATIONS, STORES)),
    "POST /v1/reservations/{id}/store-confirmation": Right((STORES,)),
    "GET /v1/refunds": Right((RESERVATIONS, AUDIT)),
    "GET /v1/refunds/{id}": Right((RESERVATIONS, AUDIT)),
    "POST /v1/refunds/{id}/close": CHANGE_OWN,
    # Counts, and the reports on them; a concession's till.
    "POST /v1/counts": Right((COUNTS,)),
    "GET /v1/reports/ira": REPORTS,
    "GET /v1/reports/sell-through": REPORTS,
    "GET /v1/reports/replenish": REPORTS,
    "GET /v1/reports/count-next": REPORTS,
    "POST /v1/tills/{name}/sales": Right((TILLS,)),
    "GET /v1/tills/{name}/levels": Right((TILLS, AUDIT)),
    # An operator's; an auditor reads.
    "POST /v1/editions/{name}/open": OPERATE,
    "POST /v1/editions/{name}/close": OPERATE,
    "POST /v1/allocations": OPERATE,
    "POST /v1/ledger/fold": OPERATE,
    "GET /v1/ledger/fold/{id}": READ_ALL,
    "GET /v1/progress/{id}": READ_ALL,
    "POST /v1/resync": OPERATE,
    "GET /v1/resync": READ_ALL,
    "POST /v1/resync/plan": OPERATE,
    "GET /v1/resync/{id}": READ_ALL,
    "GET /v1/resync/{id}/rows": READ_ALL,
    "POST /v1/resync/{id}/rows": OPERATE,
    "POST /v1/resync/{id}/apply": OPERATE,
    "POST /v1/transfers": OPERATE,
    "GET /v1/transfers": READ_ALL,
    "GET /v1/incidents/{id}": READ_ALL,
    "POST /v1/incidents/{id}/resolution": OPERATE,
    "GET /v1/dead-letters": READ_ALL,
    "POST /v1/dead-letters/retry": OPERATE,
    "POST /v1/dead-letters/drop": OPERATE,
    "POST /v1/channels/forget": OPERATE,
    "GET /v1/sku-mappings": READ_ALL,
    "POST /v1/sku-mappings": OPERATE,
    "POST /v1/sku-mappings/remove": OPERATE,
    "POST /v1/reload": OPERATE,
    # The pages.
    "GET /": LOOK_AT_PAGE,
    "GET /sku": LOOK_AT_PAGE,
    "GET /accuracy": LOOK_AT_PAGE,
    "GET /shadow": LOOK_AT_PAGE,
    "GET /counts": PUBLIC_PAGE,  # empty until a token is given
    "GET /counts/plain": Right((COUNTS,), Way.PERSON),
    "POST /counts/plain": Right((COUNTS,), Way.PERSON),
    "GET /pick-ups": Right((STORES, RESERVATIONS, AUDIT), Way.PERSON),
    "POST /pick-ups": Right((STORES, RESERVATIONS), Way.PERSON),
    "GET /resync": READ_ALL_PAGE,
    "POST /resync": OPERATE_PAGE,
    "GET /dead-letters": READ_ALL_PAGE,
    "POST /dead-letters": OPERATE_PAGE,
    "GET /incidents/{id}": READ_ALL_PAGE,
    "POST /incidents/{id}": OPERATE_PAGE,
    "GET /refunds/{id}": READ_ALL_PAGE,
    "POST /refunds/{id}": OPERATE_PAGE,
    "GET /allocations": READ_ALL_PAGE,
    "POST /allocations": OPERATE_PAGE,
    "GET /editions/{name}": READ_ALL_PAGE,
    "POST /editions/{name}": OPERATE_PAGE,
}


class UndeclaredError(Exception):
    """Routes and table do not agree: an address would be open, or is promised and not there."""


def guarded(
    routes: Iterable[Route],
    doorkeeper: Doorkeeper,
    options: WebOptions,
    ask: Callable[[Request], Response],
    rights: dict[str, Right] = RIGHTS,
) -> list[Route]:
    """The routes behind their doors. `ask` is the form to log in. `UndeclaredError`: one has no row."""
    doors, left = [], dict(rights)
    for route in routes:
        (method,) = (route.methods or set()) - {"HEAD"}
        right = left.pop(f"{method} {route.path}", None)
        if right is None:
            raise UndeclaredError(f"no row says who may {method} {route.path}")
        doors.append(
            Route(route.path, _door(route.endpoint, right, doorkeeper, options, ask), methods=[method])
        )
    if left:
        raise UndeclaredError(f"no route answers {', '.join(sorted(left))}")
    return doors


def _door(
    handler: Handler,
    right: Right,
    doorkeeper: Doorkeeper,
    options: WebOptions,
    ask: Callable[[Request], Response],
) -> Handler:
    """The handler, for those who may come in."""

    async def door(request: Request) -> Response:
        if any(unkept(text) for text in request.path_params.values()):
            raise ProblemError(404, "no-such-path", "There is nothing at this address.")
        for name, text in request.query_params.multi_items():
            if unkept(name) or unkept(text):
                detail = "The query contains characters that cannot be kept, such as NUL."
                raise ProblemError(400, "bad-query", detail)
        request.state.page = right.way is Way.PERSON
        if right.public:
            return await handler(request)
        party = doorkeeper.known(request)
        if right.open_status and options.open_status and (party is None or not right_of(party, right)):
            request.state.who = party
            return await handler(request)
        if party is None and right.way is Way.PERSON and request.method in SAFE:
            return ask(request)
        party = doorkeeper.let_in(request, party, right.scopes)
        if request.method not in SAFE and right.way is Way.PERSON:
            request.state.fields = fields = await read_form(request, options.body_seconds)
            doorkeeper.check_form(party, fields.pop("form", ""))
        elif request.method not in SAFE:
            doorkeeper.check_header(party, request)
        request.state.who = party
        return await handler(request)

    return door


def right_of(party: Party, right: Right) -> bool:
    """Whether one of the party's scopes is enough."""
    return not right.scopes or not party.scopes.isdisjoint(right.scopes)


def party_of(request: Request) -> Party:
    """Who was let in."""
    party: Party = request.state.who
    return party


def sight_of(request: Request) -> Sight:
    """Whose things the party sees, or may change, by this request."""
    return party_of(request).sight_of(request.method)


def who(party: Party) -> str:
    """The name that stands with what is done."""
    return party.person or party.typed_by or party.name


def form_of(request: Request) -> dict[str, str]:
    """The fields of the form that was sent, without the token that it brought."""
    fields: dict[str, str] = request.state.fields
    return fields
