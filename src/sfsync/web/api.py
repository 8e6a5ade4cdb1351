"""The reservation API, status and resync, for parties with a token."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.reservations import Outcome, Reservation, ReservationState

from .json_text import to_json
from .options import ADMIN, RESERVATIONS, WebOptions
from .problems import ProblemError, bad_fields, later, sentence
from .requests import Doorkeeper, read_object
from .services import Services
from .telling import StatusTeller
from .wishes import digest_of, read_idempotency_key, read_order_reference, read_resync, read_wish


class Api:
    """The handlers of ``/v1``."""

    def __init__(
        self, services: Services, options: WebOptions, doorkeeper: Doorkeeper, teller: StatusTeller
    ) -> None:
        self._services, self._options, self._doorkeeper = services, options, doorkeeper
        self._teller = teller

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/reservations", self.create, methods=["POST"]),
            Route("/v1/reservations/{id}", self.read, methods=["GET"]),
            Route("/v1/reservations/{id}/confirm", self.confirm, methods=["POST"]),
            Route("/v1/reservations/{id}/release", self.release, methods=["POST"]),
            Route("/v1/status", self.status, methods=["GET"]),
            Route("/v1/resync", self.plan, methods=["POST"]),
            Route("/v1/resync/{id}/apply", self.apply, methods=["POST"]),
        ]

    async def create(self, request: Request) -> Response:
        """Ask for a reservation: 201 granted, 202 pending, 409 not to be had."""
        party = self._doorkeeper.admit(request, RESERVATIONS)
        key = read_idempotency_key(request.headers.get("idempotency-key"), party.name)
        wish = read_wish(await self._body(request), self._options.channels)
        outcome = await self._services.desk.create(wish, idempotency_key=key, digest=digest_of(wish))
        reservation = _or_problem(outcome)
        place = {"Location": f"/v1/reservations/{reservation.id}"}
        match reservation.state:
            case ReservationState.PENDING:
                return _json(describe(reservation), 202, place | {"Retry-After": "1"})
            case ReservationState.GRANTED:
                return _json(describe(reservation), 201, place)
            case ReservationState.REFUSED:
                raise _problem(replace(outcome, problem="unavailable", detail=reservation.reason))
            case _:  # asked for before by this key, and gone on since
                return _json(describe(reservation), 200, place)

    async def read(self, request: Request) -> Response:
        """A reservation as it stands."""
        self._doorkeeper.admit(request, RESERVATIONS)
        reservation = await self._services.desk.get(request.path_params["id"])
        if reservation is None:
            raise _problem(Outcome(None, "not-found"))
        return _json(describe(reservation))

    async def confirm(self, request: Request) -> Response:
        """The customer has paid."""
        self._doorkeeper.admit(request, RESERVATIONS)
        reference = read_order_reference(await self._body(request))
        return _json(
            describe(_or_problem(await self._services.desk.confirm(request.path_params["id"], reference)))
        )

    async def release(self, request: Request) -> Response:
        """The units are no longer wanted."""
        self._doorkeeper.admit(request, RESERVATIONS)
        if await self._body(request, needed=False):
            raise bad_fields({"body": "is not empty"})
        return _json(describe(_or_problem(await self._services.desk.release(request.path_params["id"]))))

    async def status(self, request: Request) -> Response:
        """How things stand; with ``?sku=``, the stock of the SKUs that contain it too."""
        self._doorkeeper.admit(request, None)
        return _json(await self._teller.told(request))

    async def plan(self, request: Request) -> Response:
        """Compare org and channels; change nothing."""
        self._doorkeeper.admit(request, ADMIN)
        channel, sku = read_resync(await self._body(request, needed=False), self._options.channels)
        try:
            return _json(await self._services.reconciler.plan(channel, sku))
        except KeyError:
            raise bad_fields({"channel": "is not known"}) from None

    async def apply(self, request: Request) -> Response:
        """Apply a plan."""
        self._doorkeeper.admit(request, ADMIN)
        if await self._body(request, needed=False):
            raise bad_fields({"body": "is not empty"})
        try:
            return _json(await self._services.reconciler.apply(request.path_params["id"]))
        except KeyError:
            detail = "There is no such plan: it was applied, or a newer one took its place."
            raise ProblemError(404, "no-such-plan", detail) from None

    async def _body(self, request: Request, *, needed: bool = True) -> dict[str, object]:
        limits = self._options.max_body_bytes, self._options.body_seconds
        return await read_object(request, *limits, needed=needed)


def _or_problem(outcome: Outcome) -> Reservation:
    """The reservation, or the problem that kept it from being as asked."""
    if outcome.problem or outcome.reservation is None:
        raise _problem(outcome)
    return outcome.reservation


def _problem(outcome: Outcome) -> ProblemError:
    """What the desk's word for the problem is in HTTP."""
    more: dict[str, object] = {}
    if outcome.reservation is not None:
        more["reservation"] = describe(outcome.reservation)
    match outcome.problem:
        case "" | "not-found":
            return ProblemError(404, "no-such-reservation", "There is no reservation of this id.")
        case "unavailable":
            more["available"] = {sku: dict(places) for sku, places in outcome.available.items()}
            status, kind, usual = 409, "unavailable", "the org does not have these units"
        case "expired":
            status, kind, usual = 409, "expired", "the reservation has expired"
        case "key-reused":
            status, kind, usual = 422, "key-reused", "this Idempotency-Key came with another body before"
        case "unknown-sku":
            status, kind, usual = 422, "unknown-sku", "the org has no stock level of this SKU there"
        case _:
            return later(sentence(outcome.detail or "it cannot be answered at the moment"))
    return ProblemError(status, kind, sentence(outcome.detail or usual), more=more)


def describe(reservation: Reservation) -> dict[str, object]:
    """A reservation for the party that asked for it."""
    return {
        "id": reservation.id,
        "state": reservation.state.value,
        "kind": reservation.kind.value,
        "channel": reservation.channel,
        "owner": reservation.owner,
        "lines": [
            {
                "sku": line.level.sku,
                "location": line.level.location,
                "unit": line.level.unit,
                "quantity": line.quantity,
            }
            for line in reservation.lines
        ],
        "created_at": _moment(reservation.created_at),
        "expires_at": None if reservation.expires_at is None else _moment(reservation.expires_at),
        "reason": reservation.reason,
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        to_json(value), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )
