"""A boutique's pick-ups on a page: who comes for what; found or not, paid, handed over, given back.

And whatever else waits for the word of a shop: a cart or a client that wants one of its last pieces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.reservations import (
    OPEN,
    TO_FETCH,
    Outcome,
    Reservation,
    ReservationKind,
    ReservationState,
)
from sfsync.domain.stock import LOCATION_LENGTH

from .api import changeable, describe, in_hand, problem_of
from .options import RESERVATIONS, STORES, WebOptions
from .page import Page
from .problems import ProblemError
from .rights import form_of, party_of, who
from .services import Services
from .wishes import LONGEST_REFERENCE

SHOWN = 50
NEEDS = {"found": (STORES,), "not-found": (STORES,), "hand-over": (STORES, RESERVATIONS)}  # else RESERVATIONS


class ActingPickUps:
    """The handlers of ``/pick-ups``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/pick-ups", self.look, methods=["GET"]),
            Route("/pick-ups", self.do, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """What waits, of one location or of all; oldest first."""
        return await self._render(request)

    async def do(self, request: Request) -> Response:
        """One step of one pick-up, under the name of who has logged in; the same again changes nothing."""
        party, fields = party_of(request), form_of(request)
        step, number = fields.get("do", ""), fields.get("reservation", "")
        needed = NEEDS.get(step, (RESERVATIONS,))
        if party.scopes.isdisjoint(needed):
            told = f"This step needs the scope {' or '.join(needed)}, which {who(party)} lacks."
            return await self._render(request, 403, told)
        text = fields.get("text", "").strip()
        if len(text) > LONGEST_REFERENCE or not text.isprintable():
            return await self._render(request, 422, "What was typed is too long, or cannot be printed.")
        try:
            may = in_hand if step in ("found", "not-found") else changeable
            number = (await may(request, self._services.desk, number)).id
            outcome = await self._step(request, step, number, text)
            if outcome.problem or outcome.reservation is None:
                raise problem_of(outcome)
        except ProblemError as error:
            return await self._render(request, error.status, error.detail)
        state = outcome.reservation.state.value.replace("-", " ")
        return await self._render(request, done=f"{outcome.reservation.owner}: {state}.")

    async def _step(self, request: Request, step: str, number: str, text: str) -> Outcome:
        desk, party = self._services.desk, party_of(request)
        match step:
            case "found" | "not-found":
                sku, place = form_of(request).get("sku", ""), _place(request)
                sight = party.sight_of(request.method)
                places = frozenset({place}) if place and sight.at(place) else sight.locations
                return await desk.store_confirmation(
                    number,
                    found=step == "found",
                    who=who(party),
                    locations=places,
                    skus=frozenset({sku}) if sku else frozenset(),
                )
            case "release":
                told = f"{text} ({who(party)})" if text else ""
                return await desk.release(number, told, by=who(party))
            case "confirm" | "hand-over" if text:
                done = desk.confirm if step == "confirm" else desk.hand_over
                return await done(number, text)
            case "confirm" | "hand-over":
                raise ProblemError(422, "bad-input", "Give the order's name, or the receipt's number.")
            case _:
                raise ProblemError(422, "bad-input", "Say what is to be done.")

    async def _render(
        self, request: Request, status_code: int = 200, trouble: str = "", *, done: str = ""
    ) -> Response:
        location = _place(request)
        found = await self._services.desk.find(
            states=[state.value for state in OPEN | TO_FETCH | {ReservationState.PAID_UNAVAILABLE}],
            kind=ReservationKind.PICK_UP.value,
            channel=None,
            owner=None,
            location=location or None,
            after=request.query_params.get("after") or None,
            limit=SHOWN + 1,
            sight=party_of(request).sight_of("GET"),
        )
        party = party_of(request)
        asked = [
            each
            for kind in ReservationKind
            if kind is not ReservationKind.PICK_UP
            for each in await self._services.desk.find(
                states=[ReservationState.AWAITING_STORE.value],
                kind=kind.value,
                channel=None,
                owner=None,
                location=location or None,
                after=None,
                limit=SHOWN,
                sight=party.sight_of("GET"),
            )
        ]
        return self._page.render(
            "pick-ups.html",
            request,
            party,
            status_code=status_code,
            location=location,
            waiting=_rows(found[:SHOWN]),
            asked=_rows(sorted(asked, key=lambda each: each.created_at)[:SHOWN]),
            following=found[SHOWN - 1].id if len(found) > SHOWN else None,
            own=sorted(party.sight.locations or ()) if not party.acts else [],
            finds=STORES in party.scopes,
            reserves=RESERVATIONS in party.scopes,
            now=self._services.now().isoformat(),
            trouble=trouble,
            done=done,
        )


def _place(request: Request) -> str:
    """The location that is looked at; empty for all."""
    return request.query_params.get("location", "").strip()[:LOCATION_LENGTH]


def _rows(found: Sequence[Reservation]) -> Sequence[Mapping[str, object]]:
    return [describe(each) for each in found]
