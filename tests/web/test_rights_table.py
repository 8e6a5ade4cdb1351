"""Who may open which address: every route of the app, asked for by every kind of party.

The table below says so once more, by itself: what a house may rely on, not what the code happens to do.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from tests.web.kit import NOW, House

from sfsync.domain.rights import EVERYTHING, SCOPES, Role
from sfsync.web import Proxy, Token, build_web
from sfsync.web.access import Doorkeeper
from sfsync.web.rights import RIGHTS, UndeclaredError, guarded

EVERYBODY = "*"
MAY = {
    "GET /healthz": EVERYBODY,
    "GET /readyz": EVERYBODY,
    "GET /openapi.json": EVERYBODY,
    "GET /static/{name}": EVERYBODY,
    "GET /counts": EVERYBODY,
    "GET /login": EVERYBODY,
    "POST /login": EVERYBODY,
    "POST /logout": EVERYBODY,
    "POST /webhooks/{channel}": EVERYBODY,
    "GET /": "view audit admin",
    "GET /accuracy": "view audit admin",
    "GET /sku": "view audit admin",
    "GET /events": "view audit admin",
    "GET /metrics": "view audit admin",
    "GET /status.json": "view audit admin",
    "GET /status.fragment": "view audit admin",
    "GET /v1/status": "view audit admin",
    "GET /v1/exposure": "view audit admin",
    "GET /v1/why": "view audit admin",
    "GET /v1/drift": "view audit admin",
    "GET /shadow": "view audit admin",
    "GET /v1/shadow": "view audit admin",
    "GET /v1/allocations": "view audit admin",
    "GET /v1/editions": "view audit admin",
    "GET /v1/editions/{name}": "view audit admin",
    "GET /v1/levels": "levels reservations audit admin",
    "POST /v1/reservations": "reservations admin",
    "GET /v1/reservations": "reservations stores audit admin",
    "GET /v1/reservations/{id}": "reservations stores audit admin",
    "GET /v1/reservations/orphans": "reservations audit admin",
    "POST /v1/reservations/{id}/confirm": "reservations admin",
    "POST /v1/reservations/{id}/extend": "reservations admin",
    "POST /v1/reservations/{id}/hand-over": "reservations stores admin",
    "POST /v1/reservations/{id}/move": "reservations admin",
    "POST /v1/reservations/{id}/refund": "reservations admin",
    "POST /v1/reservations/{id}/release": "reservations admin",
    "POST /v1/reservations/{id}/store-confirmation": "stores admin",
    "POST /v1/reservations/{id}/substitute": "reservations admin",
    "GET /v1/refunds": "reservations audit admin",
    "GET /v1/refunds/{id}": "reservations audit admin",
    "POST /v1/refunds/{id}/close": "reservations admin",
    "GET /pick-ups": "reservations stores audit admin",
    "POST /pick-ups": "reservations stores admin",
    "POST /v1/counts": "counts admin",
    "GET /counts/plain": "counts admin",
    "POST /counts/plain": "counts admin",
    "GET /v1/reports/count-next": "counts audit admin",
    "GET /v1/reports/ira": "counts audit admin",
    "GET /v1/reports/replenish": "counts audit admin",
    "GET /v1/reports/sell-through": "counts audit admin",
    "GET /v1/tills/{name}/levels": "tills audit admin",
    "POST /v1/tills/{name}/sales": "tills admin",
    "GET /v1/dead-letters": "audit admin",
    "GET /v1/incidents/{id}": "audit admin",
    "GET /v1/ledger/fold/{id}": "audit admin",
    "GET /v1/progress/{id}": "audit admin",
    "GET /v1/resync": "audit admin",
    "GET /v1/resync/{id}": "audit admin",
    "GET /v1/resync/{id}/rows": "audit admin",
    "GET /v1/sku-mappings": "audit admin",
    "GET /v1/transfers": "audit admin",
    "GET /dead-letters": "audit admin",
    "GET /editions/{name}": "audit admin",
    "GET /incidents/{id}": "audit admin",
    "GET /refunds/{id}": "audit admin",
    "GET /resync": "audit admin",
    "GET /allocations": "audit admin",
    "POST /allocations": "admin",
    "POST /v1/allocations": "admin",
    "POST /dead-letters": "admin",
    "POST /editions/{name}": "admin",
    "POST /incidents/{id}": "admin",
    "POST /refunds/{id}": "admin",
    "POST /resync": "admin",
    "POST /v1/channels/forget": "admin",
    "POST /v1/dead-letters/drop": "admin",
    "POST /v1/dead-letters/retry": "admin",
    "POST /v1/editions/{name}/close": "admin",
    "POST /v1/editions/{name}/open": "admin",
    "POST /v1/incidents/{id}/resolution": "admin",
    "POST /v1/ledger/fold": "admin",
    "POST /v1/reload": "admin",
    "POST /v1/resync": "admin",
    "POST /v1/resync/plan": "admin",
    "POST /v1/resync/{id}/apply": "admin",
    "POST /v1/resync/{id}/rows": "admin",
    "POST /v1/sku-mappings": "admin",
    "POST /v1/sku-mappings/remove": "admin",
    "POST /v1/transfers": "admin",
}
ROLES = {"viewer": {"view"}, "auditor": {"view", "audit"}, "operator": {*SCOPES}}
PLACES = {"{name}": "spring", "{id}": "7", "{channel}": "paris"}
PROXY = Proxy(
    (ip_network("10.0.0.0/24"),),
    "X-Forwarded-User",
    roles={"vera": Role.VIEWER, "audrey": Role.AUDITOR, "olga": Role.OPERATOR},
)


def secret(scope: str) -> str:
    return f"token-of-{scope}-0123456789"


def routes() -> Iterator[str]:
    for route in House().app.routes:
        assert isinstance(route, Route)
        yield from (f"{method} {route.path}" for method in (route.methods or set()) - {"HEAD"})


def house() -> House:
    return House(
        tokens=tuple(Token(scope, secret(scope), frozenset({scope}), EVERYTHING) for scope in SCOPES),
        proxy=PROXY,
    )


async def asked(client: httpx.AsyncClient, row: str, headers: dict[str, str]) -> int:
    """The status of the answer."""
    method, path = row.split()
    for place, value in PLACES.items():
        path = path.replace(place, value)
    answer = await client.request(method, path, headers={"accept": "application/json"} | headers)
    return answer.status_code


def test_every_route_stands_in_the_table_and_no_other() -> None:
    """A new address is nobody's before somebody has said whose it is."""
    assert sorted(routes()) == sorted(MAY)


@pytest.mark.parametrize("row", sorted(row for row in MAY if row != "GET /events"))
async def test_an_address_is_open_to_those_whom_the_table_names_and_to_nobody_else(row: str) -> None:
    """Without a token 401; with each single scope as the table has it, and with each role of a proxy."""
    served = house()
    async with served.client() as client:
        nobody = await asked(client, row, {})
        # A page asks who it is by its form.
        page = row.startswith("GET") and RIGHTS[row].way == "person" and not RIGHTS[row].public
        if RIGHTS[row].public:  # a webhook and a log-in say for themselves who sends them
            assert MAY[row] == EVERYBODY
            return
        assert nobody == (200 if page else 401), (row, nobody)
        for scope in SCOPES:
            status = await asked(client, row, {"authorization": f"Bearer {secret(scope)}"})
            told = scope in MAY[row].split()
            # Who is let in and brings no form, or nothing that could be read, is told that, and not 403.
            assert (status not in (401, 403)) == told, (row, scope, status)
    app = build_web(served.services, served.options)
    transport = httpx.ASGITransport(app, client=("10.0.0.9", 4711))
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for person, role in (("vera", "viewer"), ("audrey", "auditor"), ("olga", "operator")):
            if row.startswith("POST"):
                continue
            status = await asked(client, row, {"x-forwarded-user": person})
            assert (status != 403) == bool({*MAY[row].split()} & ROLES[role]), (row, person, status)


@pytest.mark.parametrize(("person", "may"), [("vera", False), ("audrey", False), ("olga", True)])
async def test_only_an_operator_whom_a_proxy_names_changes_anything(person: str, *, may: bool) -> None:
    """A viewer and an auditor are refused at every address that changes something, form or no form."""
    served = house()
    app = build_web(served.services, served.options)
    named = {"x-forwarded-user": person}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, client=("10.0.0.9", 4711)), base_url="http://test"
    ) as client:
        said = await client.get("/login", headers=named | {"accept": "application/json"})
        form = {"x-form-token": said.json()["form"]}
        for row, scopes in MAY.items():
            if row.startswith("GET") or scopes == EVERYBODY:
                continue
            status = await asked(client, row, named | form)
            assert (status != 403) == may, (row, status)


def test_an_address_that_no_row_names_does_not_start() -> None:
    """Nor does a row that no address answers: it would promise something that is not there."""

    async def secret_door(_: Request) -> Response:
        return Response("everything")

    def ask(_: Request) -> Response:
        return Response("who?")

    options = House().options
    doorkeeper = Doorkeeper(options.tokens, lambda: NOW, None)
    route = Route("/v1/everything", secret_door, methods=["GET"])
    with pytest.raises(UndeclaredError, match="GET /v1/everything"):
        guarded([route], doorkeeper, options, ask, {})
    with pytest.raises(UndeclaredError, match="no route answers GET /gone"):
        guarded([], doorkeeper, options, ask, {"GET /gone": RIGHTS["GET /"]})


def test_the_description_of_the_api_names_the_same_scopes() -> None:
    """Whoever generates a client reads there which token each call needs."""
    document = json.loads(Path("src/sfsync/web/openapi.json").read_bytes())
    for row, may in MAY.items():
        method, path = row.split()
        said = document["paths"][path][method.lower()]["security"]
        scopes = {scope for each in said for names in each.values() for scope in names}
        assert scopes == (set() if may == EVERYBODY else {*may.split()}), row
        assert (said == []) == (may == EVERYBODY), row


def test_the_page_on_rights_has_the_same_table() -> None:
    """docs/rights.md has a row for each address, with the scopes that open it."""
    text = Path("docs/rights.md").read_text()
    rows = {
        cells[1].strip().strip("`"): cells[2].strip()
        for cells in (line.split("|") for line in text.splitlines() if line.startswith("| `"))
    }
    assert rows == {
        row: "everybody" if may == EVERYBODY else may.replace(" ", ", ") for row, may in MAY.items()
    }


async def test_the_settings_may_open_the_pages_and_nothing_else() -> None:
    """For a screen on the wall of a stockroom: what a viewer sees, without a log-in."""
    async with House(open_status=True).client() as client:
        opened = {
            row
            for row in MAY
            if row.startswith("GET") and row != "GET /events" and MAY[row] != EVERYBODY
            if await asked(client, row, {"accept": "application/json"}) not in (401,)
            and RIGHTS[row].open_status
        }
    assert opened == {
        "GET /",
        "GET /accuracy",
        "GET /shadow",
        "GET /sku",
        "GET /metrics",
        "GET /status.json",
        "GET /status.fragment",
    }
