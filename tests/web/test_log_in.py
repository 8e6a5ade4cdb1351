"""Log-ins, roles, and a proxy's word: who gets in by what, and that no other site can act for anybody."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network

import httpx
import pytest
from starlette.routing import Route
from tests.web.kit import AUDITOR, CHECKOUT, NOW, OPERATIONS, VIEWER, House, on_page, problem

from sfsync.domain.incidents import Way
from sfsync.domain.rights import ROLES, SCOPES, Role
from sfsync.web import Proxy, Token, build_web
from sfsync.web.sessions import LIFE, Sessions
from sfsync.web.wrong_tokens import WrongTokens

OPEN = {
    ("GET", "/healthz"),
    ("GET", "/readyz"),
    ("GET", "/openapi.json"),
    ("GET", "/static/{name}"),
    ("GET", "/login"),
    ("POST", "/login"),
    ("POST", "/logout"),  # ends what is not there
    ("GET", "/"),  # the log-in form stands in its place, and in that of the next nine, and of the last two
    ("GET", "/sku"),
    ("GET", "/accuracy"),
    ("GET", "/resync"),
    ("GET", "/dead-letters"),
    ("GET", "/pick-ups"),
    ("GET", "/counts/plain"),
    ("GET", "/incidents/{id}"),
    ("GET", "/refunds/{id}"),
    ("GET", "/editions/{name}"),
    ("GET", "/counts"),  # an empty sheet
    ("GET", "/allocations"),
    ("GET", "/shadow"),
    ("POST", "/webhooks/{channel}"),  # signed by the channel
}


def routes() -> list[tuple[str, str]]:
    """Every method and path that is served."""
    return sorted(
        (method, route.path)
        for route in House().app.routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    )


def filled(path: str) -> str:
    """A path with something in the place of each name."""
    return re.sub(r"{\w+}", "x1", path)


async def log_in(client: httpx.AsyncClient, token: str, person: str = "") -> str:
    """The form's token of a session that the client has from now on."""
    fields = {"token": token, "person": person}
    answer = await client.post("/login", data=fields, headers={"Accept": "application/json"})
    assert answer.status_code == 200, answer.text
    form: str = answer.json()["form"]
    return form


async def test_every_route_asks_who_it_is_but_for_those_that_are_named_here() -> None:
    """A new route is closed, or stands in this list for a reason."""
    async with House().client() as client:
        for method, path in routes():
            if (method, path) not in OPEN:
                answer = await client.request(method, filled(path))
                assert answer.status_code == 401, (method, path, answer.text)
        assert {*routes()} >= OPEN


@pytest.mark.parametrize(
    ("token", "role"), [(VIEWER, Role.VIEWER), (AUDITOR, Role.AUDITOR), (OPERATIONS, Role.OPERATOR)]
)
async def test_a_role_reads_what_it_may_and_only_an_operator_changes_anything(token: str, role: Role) -> None:
    """The viewer sees what the status page shows, the auditor all that can be read."""
    tokens = House().options.tokens
    house = House(tokens=tuple(replace(each, scopes=ROLES[role]) for each in tokens if each.secret == token))
    refused = set()
    async with house.client(token) as client:
        for method, path in routes():
            if (method, path) in OPEN or path == "/events":
                continue
            answer = await client.request(method, filled(path))
            assert answer.status_code != 401
            if answer.status_code == 403:
                refused.add((method, path))
    reads, writes = ({each for each in refused if (each[0] == "GET") is safe} for safe in (True, False))
    every_write = {each for each in routes() if each[0] != "GET"} - OPEN
    if role is Role.OPERATOR:
        assert not refused
    else:
        assert writes == every_write
        assert bool(reads) == (role is Role.VIEWER)
    if role is Role.VIEWER:
        assert ("GET", "/v1/reservations") in reads
        assert ("GET", "/v1/reports/ira") in reads
        assert ("GET", "/v1/why") not in reads


async def test_a_session_acts_only_with_its_own_form_s_token() -> None:
    """The cookie comes along with whatever a browser sends; the form's token does not."""
    house = House()
    wish = {"way": "accept", "reason": "seen"}
    async with house.client() as client, house.client() as other:
        form, another = await log_in(client, OPERATIONS, "Anna Kay"), await log_in(other, OPERATIONS, "Bo")
        for given in ([], [(b"X-Form-Token", another.encode())], [(b"X-Form-Token", "é".encode())]):
            answer = await client.post("/v1/incidents/7/resolution", json=wish, headers=given)
            problem(answer, 403, "old-form")
        assert house.resolutions.asked == []
        assert (await client.get("/v1/incidents/7")).status_code == 200  # reading needs none
        sent = await client.post("/v1/incidents/7/resolution", json=wish, headers={"X-Form-Token": form})
        assert sent.status_code == 200


async def test_what_is_decided_stands_under_the_name_of_who_has_logged_in() -> None:
    """Whatever name the form says; a program says whose name it is."""
    house = House()
    wish = {"way": "accept", "reason": "seen", "by": "Somebody Else"}
    async with house.client() as client:
        form = {"X-Form-Token": await log_in(client, OPERATIONS, "Anna Kay")}
        await client.post("/v1/incidents/7/resolution", json=wish, headers=form)
        await client.post("/v1/editions/spring/open", headers=form)
    async with house.client(OPERATIONS) as client:
        await client.post("/v1/incidents/7/resolution", json=wish)
    assert [asked.by for _, asked in house.resolutions.asked] == ["Anna Kay", "Somebody Else"]
    assert [asked.way for _, asked in house.resolutions.asked] == [Way.ACCEPT, Way.ACCEPT]
    assert house.drops.pressed == [("spring", True, "Anna Kay")]


async def test_a_session_is_over_in_time_with_its_token_and_when_it_was_touched() -> None:
    """No list of sessions is kept, so each cookie must prove itself."""
    token = Token("operations", OPERATIONS, frozenset(SCOPES))
    session = Sessions([token]).begin(token, "Anna; Kay=é", NOW)
    read = Sessions([token]).read  # as after a restart
    assert read(session.cookie, NOW + LIFE - timedelta(seconds=1)) == session
    assert read(session.cookie, NOW + LIFE) is None
    changed = Sessions([replace(token, secret="another-token-0123456789")])
    assert changed.read(session.cookie, NOW) is None
    assert Sessions([]).read(session.cookie, NOW) is None
    text, _, signature = session.cookie.partition(".")
    later = Sessions([token]).begin(token, "Anna; Kay=é", NOW + LIFE).cookie.partition(".")[0]
    for cookie in (
        "",
        ".",
        "é",
        text,
        f"{text}.",
        f"{later}.{signature}",
        f"{text}.{signature}0",
        "W10.",
        "🜁.🜁",
    ):
        assert read(cookie, NOW) is None, cookie


async def test_the_log_in_leads_where_it_was_wanted_and_never_elsewhere() -> None:
    """A link to our form must not become a way to another site."""
    async with House().client() as client:
        for wanted, leads in (
            ("/?sku=BAG%201", "/?sku=BAG%201"),
            ("//elsewhere.example", "/"),
            ("/\\elsewhere.example", "/"),
            ("/..//elsewhere.example", "/"),
            ("/.\\\\elsewhere.example", "/"),
            ("https://elsewhere.example", "/"),
            ("/\r\nSet-Cookie: a=b", "/"),
        ):
            answer = await client.post("/login", data={"token": CHECKOUT, "next": wanted})
            assert (answer.status_code, answer.headers["location"]) == (303, leads)
        foreign = {"Sec-Fetch-Site": "cross-site"}
        on_page(await client.post("/login", data={"token": CHECKOUT}, headers=foreign), 403, "another site")
        wrong = await client.post("/login", data={"token": "wrong-token-0123456789"})
        assert wrong.status_code == 401
        assert "wrong-token" not in wrong.text
        assert (await client.post("/login", json={"token": CHECKOUT})).status_code == 415


async def test_the_cookie_is_for_encrypted_ways_where_the_browser_came_by_one() -> None:
    """Also behind a proxy that ends the encryption."""
    for headers, secure in (({}, False), ({"X-Forwarded-Proto": "https"}, True)):
        async with House().client() as client:
            answer = await client.post("/login", data={"token": CHECKOUT}, headers=headers)
            assert ("Secure" in answer.headers["set-cookie"]) is secure
            assert "HttpOnly" in answer.headers["set-cookie"]
            assert "samesite=strict" in answer.headers["set-cookie"].lower()


async def test_logging_out_is_a_form_of_ours_too() -> None:
    """Another site cannot even do that."""
    async with House().client() as client:
        form = await log_in(client, VIEWER)
        on_page(await client.post("/logout", data={"form": "x"}), 403, "another log-in")
        assert (await client.post("/logout", data={"form": form})).status_code == 303
        problem(await client.get("/v1/status"), 401, "who-are-you")


def behind(proxy: Proxy | None, peer: str) -> httpx.AsyncClient:
    """A client whose connections come from an address."""
    house = House(proxy=proxy)
    transport = httpx.ASGITransport(build_web(house.services, house.options), client=(peer, 4711))
    return httpx.AsyncClient(transport=transport, base_url="http://test")


PROXY = Proxy(
    (ip_network("10.0.0.0/24"), ip_network("fd00::7/128")),
    "X-Forwarded-User",
    "X-Forwarded-Groups",
    {"anna@house.example": Role.OPERATOR, "stock control": Role.AUDITOR},
    None,
)


@pytest.mark.parametrize(
    ("peer", "headers", "status"),
    [
        ("10.0.0.9", {"X-Forwarded-User": "anna@house.example"}, 200),
        ("fd00::7", {"X-Forwarded-User": "anna@house.example"}, 200),
        ("10.0.1.9", {"X-Forwarded-User": "anna@house.example"}, 401),  # no proxy of ours
        ("10.0.0.9", {}, 401),
        ("10.0.0.9", {"X-Forwarded-User": " "}, 401),
        ("10.0.0.9", {"X-Forwarded-User": "bo@house.example"}, 403),  # no role
        ("10.0.0.9", {"X-Forwarded-User": "bo", "X-Forwarded-Groups": "tills, stock control"}, 200),
        ("10.0.0.9", {"X-Forwarded-User": "bo", "X-Forwarded-Groups": "stock"}, 403),
    ],
)
async def test_a_proxy_s_word_counts_from_its_own_addresses_only(
    peer: str, headers: dict[str, str], status: int
) -> None:
    """Whoever else sends the header is nobody."""
    async with behind(PROXY, peer) as client:
        assert (await client.get("/v1/status", headers=headers)).status_code == status
    async with behind(None, peer) as client:
        assert (await client.get("/v1/status", headers=headers)).status_code == 401


async def test_whom_a_proxy_names_acts_with_the_token_of_the_page_s_form() -> None:
    """The header comes along by itself, as a cookie does."""
    anna = {"X-Forwarded-User": "anna@house.example"}
    async with behind(PROXY, "10.0.0.9") as client:
        page = (await client.get("/", headers=anna)).text
        form = re.search(r'name="sfsync-form" content="(\w+)"', page)
        assert form is not None
        assert "anna@house.example" in page
        problem(await client.post("/v1/editions/spring/open", headers=anna), 403, "old-form")
        acting = {**anna, "X-Form-Token": form[1]}
        opened = await client.post("/v1/editions/spring/open", headers=acting)
        assert opened.status_code == 200


async def test_ten_wrong_tokens_in_a_minute_close_the_form_for_their_address_and_for_no_other() -> None:
    """A right token does not open it either; programs, and people elsewhere, go on as ever."""
    house = House(proxy=PROXY)
    app = build_web(house.services, house.options)

    def from_(peer: str) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(app, client=(peer, 4711))
        return httpx.AsyncClient(transport=transport, base_url="http://test")

    async with from_("192.0.2.7") as guesser, from_("192.0.2.8") as other, from_("10.0.0.9") as proxy:
        for number in range(10):
            wrong = await guesser.post("/login", data={"token": f"wrong-token-012345678{number}"})
            assert wrong.status_code == 401
        closed = await guesser.post("/login", data={"token": OPERATIONS})
        on_page(closed, 429, "Too many wrong tokens")
        assert 1 <= int(closed.headers["retry-after"]) <= 60
        bearer = {"Authorization": f"Bearer {OPERATIONS}"}
        assert (await guesser.get("/v1/status", headers=bearer)).status_code == 200
        assert (await other.post("/login", data={"token": OPERATIONS})).status_code == 303
        for _ in range(10):  # through the proxy each is known by where it says that he comes from
            await proxy.post(
                "/login", data={"token": "x" * 20}, headers={"X-Forwarded-For": "8.8.8.8, 192.0.2.9"}
            )
        for address, status in (("192.0.2.9", 429), ("8.8.8.8, 192.0.2.9", 429), ("192.0.2.10", 303)):
            told = {"X-Forwarded-For": address}
            answer = await proxy.post("/login", data={"token": OPERATIONS}, headers=told)
            assert answer.status_code == status, address


def test_wrong_tokens_are_forgotten_in_time_and_need_little_room() -> None:
    """A minute after the first of ten it is open again; a thousand addresses are kept in mind."""
    wrong = WrongTokens()
    for number in range(10):
        assert wrong.closed_for("a", NOW) is None
        wrong.another("a", NOW + timedelta(seconds=number))
    assert wrong.closed_for("a", NOW + timedelta(seconds=10)) == timedelta(seconds=50)
    assert wrong.closed_for("a", NOW + timedelta(seconds=60)) is None
    for number in range(1_000):
        wrong.another(f"address {number}", NOW)
    assert wrong.closed_for("a", NOW + timedelta(seconds=10)) is None


async def test_a_header_that_comes_twice_says_nothing() -> None:
    """Of two names or two tokens nobody knows which one the proxy, or the program, meant."""
    twice = [("X-Forwarded-User", "anna@house.example"), ("X-Forwarded-User", "bo@house.example")]
    async with behind(PROXY, "10.0.0.9") as client:
        problem(await client.get("/v1/status", headers=twice), 403, "two-names")
        tokens = [("Authorization", f"Bearer {each}") for each in (OPERATIONS, "wrong-token-0123456789")]
        problem(await client.get("/v1/status", headers=tokens), 401, "who-are-you")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/reservations/%00", 404),
        ("GET", "/v1/reservations/a%ED%A0%80", 404),
        ("GET", "/v1/why?sku=%00", 400),
        ("GET", "/?sku=%00", 400),
        ("GET", "/v1/reservations?%00=1", 400),
    ],
)
async def test_what_no_database_keeps_does_not_reach_one(method: str, path: str, status: int) -> None:
    """NUL in an address or a query is answered before anybody looks for it."""
    async with House().client(OPERATIONS) as client:
        assert (await client.request(method, path)).status_code == status
