"""The reservation API and status, for parties with a token."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.reservations import REMEDIES, Orphan, Outcome, Reservation, ReservationState
from sfsync.domain.values import replace
from sfsync.domain.why import NotKeptError, UnknownLocationError, UnknownPieceError, UnknownSkuError

from .json_text import to_json
from .options import STORES, Sight, WebOptions
from .problems import ProblemError, bad_fields, later, sentence
from .requests import read_object
from .rights import party_of, sight_of, who
from .services import Folder, ReservationDesk, Services
from .telling import StatusTeller
from .wishes import (
    digest_of,
    read_exposure,
    read_fold,
    read_found,
    read_idempotency_key,
    read_life,
    read_list,
    read_location,
    read_order_reference,
    read_question,
    read_reason,
    read_receipt,
    read_stand_in,
    read_wish,
)


class Api:
    """The handlers of ``/v1``."""

    def __init__(self, services: Services, options: WebOptions, teller: StatusTeller) -> None:
        self._services, self._options = services, options
        self._teller = teller

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/reservations", self.create, methods=["POST"]),
            Route("/v1/reservations", self.find, methods=["GET"]),
            Route("/v1/reservations/orphans", self.orphans, methods=["GET"]),
            Route("/v1/reservations/{id}", self.read, methods=["GET"]),
            Route("/v1/reservations/{id}/confirm", self.confirm, methods=["POST"]),
            Route("/v1/reservations/{id}/extend", self.extend, methods=["POST"]),
            Route("/v1/reservations/{id}/move", self.move, methods=["POST"]),
            Route("/v1/reservations/{id}/substitute", self.substitute, methods=["POST"]),
            Route("/v1/reservations/{id}/hand-over", self.hand_over, methods=["POST"]),
            Route("/v1/reservations/{id}/release", self.release, methods=["POST"]),
            Route("/v1/reservations/{id}/store-confirmation", self.store, methods=["POST"]),
            Route("/v1/status", self.status, methods=["GET"]),
            Route("/v1/exposure", self.exposure, methods=["GET"]),
            Route("/v1/why", self.why, methods=["GET"]),
            Route("/v1/ledger/fold", self.fold, methods=["POST"]),
            Route("/v1/ledger/fold/{id}", self.folding, methods=["GET"]),
        ]

    async def create(self, request: Request) -> Response:
        """Ask for a reservation: 201 granted, 202 pending, 409 not to be had."""
        party, sight = party_of(request), sight_of(request)
        options, now = self._options, self._services.now()
        wish = read_wish(
            await self._body(request),
            options.channels,
            options.reach,
            now,
            sight=sight,
            is_store=STORES in party.scopes,
        )
        key = read_idempotency_key(request.headers.get("idempotency-key"), party.owner(wish.channel))
        outcome = await self._services.desk.create(wish, idempotency_key=key, digest=digest_of(wish))
        outcome = self._within(sight, wish.channel, outcome)
        reservation = _or_problem(outcome)
        if not sight.sees(reservation):  # the key is of a time when the token saw more
            raise problem_of(Outcome(None, "key-reused"))
        place = {"Location": f"/v1/reservations/{reservation.id}"}
        match reservation.state:
            case ReservationState.PENDING:
                return _json(describe(reservation), 202, place | {"Retry-After": "1"})
            case ReservationState.GRANTED | ReservationState.AWAITING_STORE:
                return _json(describe(reservation), 201, place)
            case ReservationState.REFUSED:
                raise problem_of(replace(outcome, problem="unavailable", detail=reservation.reason))
            case _:  # asked for before by this key, and gone on since
                return _json(describe(reservation), 200, place)

    async def find(self, request: Request) -> Response:
        """Reservations, oldest first; `next` is the `after` of the following page."""
        sight = sight_of(request)
        asked = read_list(request.query_params, self._options.channels, sight)
        found = list(await self._services.desk.find(**asked.wanted, limit=asked.limit + 1, sight=sight))
        page = found[: asked.limit]
        following = page[-1].id if len(found) > asked.limit else None
        return _json({"reservations": [describe(each) for each in page], "next": following})

    async def orphans(self, request: Request) -> Response:
        """What reservations hold for nobody, longest held first."""
        sight, found = sight_of(request), await self._services.desk.orphans()
        return _json({"orphans": [_orphan(each) for each in found if _seen(sight, each)]})

    async def read(self, request: Request) -> Response:
        """A reservation as it stands."""
        return _json(describe(await seen(request, self._services.desk)))

    async def confirm(self, request: Request) -> Response:
        """The customer has paid: 200 confirmed, 202 asked of the org again, 409 paid and not available."""
        number = await self._own(request)
        reference = read_order_reference(await self._body(request))
        outcome = await self._services.desk.confirm(number, reference)
        channel = outcome.reservation.channel if outcome.reservation is not None else None
        return _as_it_stands(self._within(sight_of(request), channel, outcome))

    async def extend(self, request: Request) -> Response:
        """It expires that long from now."""
        number = await self._own(request)
        life = read_life(await self._body(request))
        return _as_it_stands(await self._services.desk.extend(number, life))

    async def move(self, request: Request) -> Response:
        """Hold it at another location: 200 moved, 202 asked, and where it was until the org answers."""
        moved, sight = await changeable(request, self._services.desk), sight_of(request)
        location = read_location(await self._body(request), moved.channel, self._options.reach, sight)
        outcome = await self._services.desk.move(moved.id, location)
        return _as_it_stands(self._within(sight, moved.channel, outcome))

    async def substitute(self, request: Request) -> Response:
        """Take other pieces for one that is paid and not available: 201 taken, 202 asked, 409 none."""
        desk = self._services.desk
        paid, sight = await changeable(request, desk), sight_of(request)
        lines = read_stand_in(await self._body(request), paid.channel, self._options.reach, sight)
        outcome = await desk.substitute(paid.id, lines)
        stand_in = _or_problem(self._within(sight, paid.channel, outcome))
        pending = stand_in.state is ReservationState.PENDING
        headers = {"Location": f"/v1/reservations/{stand_in.id}"} | ({"Retry-After": "1"} if pending else {})
        return _json(describe(stand_in), 202 if pending else 201, headers)

    async def hand_over(self, request: Request) -> Response:
        """The customer has the goods."""
        number = await self._own(request)
        receipt = read_receipt(await self._body(request))
        return _as_it_stands(await self._services.desk.hand_over(number, receipt))

    async def release(self, request: Request) -> Response:
        """The units are no longer wanted."""
        party, number = party_of(request), await self._own(request)
        reason = read_reason(await self._body(request, needed=False))
        told = f"{reason} ({who(party)})" if reason else ""
        return _as_it_stands(await self._services.desk.release(number, told, by=who(party)))

    async def store(self, request: Request) -> Response:
        """The shop says whether it has the piece."""
        party, desk = party_of(request), self._services.desk
        there = await in_hand(request, desk)
        found, locations, skus = read_found(await self._body(request), sight_of(request))
        outcome = await desk.store_confirmation(
            there.id, found=found, who=who(party), locations=locations, skus=skus
        )
        return _as_it_stands(outcome)

    async def status(self, request: Request) -> Response:
        """How things stand; with ``?sku=``, the stock of the SKUs that contain it too."""
        return _json(await self._teller.told(request))

    async def exposure(self, request: Request) -> Response:
        """What channels have shown beyond what they had to sell; ``?since=``, ``?channel=``."""
        since, channel = read_exposure(request.query_params, self._options.channels, self._services.now())
        return _json(await self._services.overview.exposure(since, channel))

    async def why(self, request: Request) -> Response:
        """The sum behind a number, or a piece's life; ``?sku=``, ``?unit=``, ``?channel=``, ``?at=`` …"""
        asked = read_question(request.query_params, self._options.channels, self._services.now())
        try:
            return _json(await self._services.why.tell(asked))
        except UnknownLocationError as error:  # the question is wrong, as with a channel that there is not
            raise bad_fields({"location": f"is unknown: {error}"}) from None
        except UnknownPieceError as error:
            raise ProblemError(404, "unknown-unit", sentence(str(error))) from None
        except UnknownSkuError as error:
            raise ProblemError(404, "unknown-sku", sentence(str(error))) from None
        except NotKeptError as error:
            raise ProblemError(410, "not-kept", sentence(str(error))) from None

    async def fold(self, request: Request) -> Response:
        """Begin to fold old movements: 202 with the run; 409 while another is under way."""
        days, sku, location, dry_run = read_fold(await self._body(request, needed=False))
        folder = self._folder()
        run = await folder.begin(days, sku, location, dry_run=dry_run)
        if run is None:
            raise ProblemError(409, "already-folding", "Another folding is under way; wait for its end.")
        return _json(run, 202, {"Location": f"/v1/ledger/fold/{run['id']}"})

    async def folding(self, request: Request) -> Response:
        """How far a folding has come."""
        try:
            return _json(await self._folder().run(request.path_params["id"]))
        except KeyError:
            raise ProblemError(404, "no-such-folding", "There is no such folding any more.") from None

    def _within(self, sight: Sight, channel: str | None, outcome: Outcome) -> Outcome:
        """What is available only where the party may reserve in the channel's name."""
        reach = self._options.reach.of(channel) if sight.of_channel(channel) else frozenset[str]()
        available = {
            sku: {place: units for place, units in places.items() if not sight.beyond(reach, [place])}
            for sku, places in outcome.available.items()
        }
        return replace(outcome, available=available)

    def _folder(self) -> Folder:
        if self._services.folder is None:
            raise later("Nothing can be folded here.")
        return self._services.folder

    async def _own(self, request: Request) -> str:
        """The id of a reservation that the party may change."""
        if party_of(request).sight_of(request.method).everything:
            return str(request.path_params["id"])  # the desk itself says whether there is one
        return (await changeable(request, self._services.desk)).id

    async def _body(self, request: Request, *, needed: bool = True) -> dict[str, object]:
        limits = self._options.max_body_bytes, self._options.body_seconds
        return await read_object(request, *limits, needed=needed)


async def seen(request: Request, desk: ReservationDesk, number: str | None = None) -> Reservation:
    """The reservation of that id, or of the one in the address; 404 where it is not there for the party."""
    found = await desk.get(request.path_params["id"] if number is None else number)
    if found is None or not sight_of(request).sees(found):
        raise problem_of(Outcome(None, "not-found"))
    return found


async def changeable(request: Request, desk: ReservationDesk, number: str | None = None) -> Reservation:
    """As `seen`, and the party may change it; 409 where pieces of it are at somebody else's location."""
    found = await seen(request, desk, number)
    if not sight_of(request).may_move(found):
        raise _elsewhere_too()
    return found


async def in_hand(request: Request, desk: ReservationDesk, number: str | None = None) -> Reservation:
    """As `seen`, and some of its pieces are where the party is, who may say what is in its hand."""
    found, sight = await seen(request, desk, number), sight_of(request)
    if not any(sight.at(line.level.location) for line in found.lines):
        raise problem_of(Outcome(None, "not-found"))
    return found


def _elsewhere_too() -> ProblemError:
    detail = "Some of its pieces are at a location that is not this token's. An operator can do it."
    return ProblemError(409, "elsewhere-too", detail)


def _seen(sight: Sight, orphan: Orphan) -> bool:
    if orphan.reservation is not None:
        return sight.sees(orphan.reservation)
    return (
        sight.everything
        or sight.of_channel(orphan.channel)
        or any(sight.at(level.location) for level in orphan.units)
    )


def _or_problem(outcome: Outcome) -> Reservation:
    """The reservation, or the problem that kept it from being as asked."""
    if outcome.problem or outcome.reservation is None:
        raise problem_of(outcome)
    return outcome.reservation


def _as_it_stands(outcome: Outcome) -> Response:
    """The reservation: 202 while the org has not answered what was asked."""
    reservation = _or_problem(outcome)
    pending = outcome.waiting or reservation.state is ReservationState.PENDING
    return _json(describe(reservation), 202 if pending else 200, {"Retry-After": "1"} if pending else None)


def problem_of(outcome: Outcome) -> ProblemError:
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
        case "paid-unavailable":
            more["available"] = {sku: dict(places) for sku, places in outcome.available.items()}
            usual = "it was paid for, and the org does not have the units any more"
            more["ways_out"] = ["move", "substitute", "refund"]
            status, kind = 409, "paid-unavailable"
        case "awaiting-store":
            status, kind, usual = 409, "awaiting-store", "the shop has not confirmed it yet"
        case "edition-closed" | "edition-sold-out" | "client-limit":
            status, kind, usual = 409, outcome.problem, "its limited edition does not allow it"
            more |= outcome.more
        case "client-missing":
            status, kind, usual = 422, outcome.problem, "its limited edition asks whose it is"
            more |= {**outcome.more, "errors": [{"field": "client", "detail": "is missing"}]}
        case "other-order" | "not-for-sale":
            status, kind, usual = 409, outcome.problem, "the reservation does not allow it"
        case "ended":
            status, kind, usual = 409, "ended", "the reservation is over"
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
        "client": reservation.client or None,
        "lines": [
            {
                "sku": line.level.sku,
                "location": line.level.location,
                "unit": line.level.unit,
                "quantity": line.quantity,
                "wanted": line.wanted,
                "found": line.found,
            }
            for line in reservation.lines
        ],
        "created_at": _moment(reservation.created_at),
        "expires_at": None if reservation.expires_at is None else _moment(reservation.expires_at),
        "pick_up": None
        if reservation.window is None
        else {"begins": _moment(reservation.window.begins), "ends": _moment(reservation.window.ends)},
        "order_reference": reservation.order_reference,
        "instead_of": reservation.instead_of or None,
        "found_at": None if reservation.found_at is None else _moment(reservation.found_at),
        "reason": reservation.reason,
    }


def _orphan(orphan: Orphan) -> dict[str, object]:
    reservation = orphan.reservation
    return {
        "reservation": orphan.reservation_id,
        "cause": orphan.cause.value,
        "remedy": REMEDIES[orphan.cause],
        "channel": orphan.channel,
        "owner": reservation.owner if reservation else None,
        "order_reference": reservation.order_reference if reservation else None,
        "units": {str(level): units for level, units in sorted(orphan.units.items())},
        "since": _moment(orphan.since),
    }


def _moment(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _json(value: object, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(
        to_json(value), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )
