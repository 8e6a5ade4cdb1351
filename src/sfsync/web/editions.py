"""Limited editions: how they stand, and the one switch that opens or closes them everywhere."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.editions import REST, Standing

from .json_text import to_json
from .options import WebOptions
from .problems import ProblemError, bad_fields
from .requests import read_object
from .rights import party_of, who
from .services import EditionDesk
from .status_shape import EditionRow


class EditionApi:
    """The handlers of ``/v1/editions``."""

    def __init__(self, desk: EditionDesk, options: WebOptions) -> None:
        self._desk, self._options = desk, options

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/v1/editions", self.all, methods=["GET"]),
            Route("/v1/editions/{name}", self.one, methods=["GET"]),
            Route("/v1/editions/{name}/open", self.open, methods=["POST"]),
            Route("/v1/editions/{name}/close", self.close, methods=["POST"]),
        ]

    async def all(self, request: Request) -> Response:
        """Every edition, in the order of the settings."""
        return _json({"editions": [describe(each) for each in await self._desk.standings()]})

    async def one(self, request: Request) -> Response:
        """How one stands."""
        name = request.path_params["name"]
        for each in await self._desk.standings():
            if each.edition.name == name:
                return _json(describe(each))
        raise await self._none(name)

    async def open(self, request: Request) -> Response:
        """Put it on sale at every channel at once; again is fine."""
        return await self._switch(request, on=True)

    async def close(self, request: Request) -> Response:
        """Take it off sale everywhere; what is reserved stays reserved. Again is fine."""
        return await self._switch(request, on=False)

    async def _switch(self, request: Request, *, on: bool) -> Response:
        party, name = party_of(request), request.path_params["name"]
        limits = self._options.max_body_bytes, self._options.body_seconds
        if await read_object(request, *limits, needed=False):
            raise bad_fields({"body": "is not empty"})
        try:
            return _json(describe(await self._desk.switch(name, on=on, who=who(party))))
        except KeyError:
            raise await self._none(name) from None

    async def _none(self, name: str) -> ProblemError:
        known = (
            ", ".join(each.edition.name for each in await self._desk.standings()) or "none in these settings"
        )
        return ProblemError(404, "no-such-edition", f"There is no edition {name}; known are {known}.")


def describe(standing: Standing) -> EditionRow:
    """How an edition stands, as JSON."""
    edition, switch = standing.edition, standing.switch
    return EditionRow(
        name=edition.name,
        state="open" if standing.is_open else "closed",
        skus=list(edition.skus),
        size=edition.size,
        taken=standing.taken,
        left=max(0, edition.size - standing.taken),
        per_client=edition.per_client,
        opens_at=_moment(None if standing.settled else edition.opens_at),
        changed_at=_moment(switch.at if switch else None),
        changed_by=switch.who if switch else "",
        shares=[
            {
                "channel": None if share.party == REST else share.party,
                "limit": share.limit,
                "taken": share.taken,
                "left": share.left,
            }
            for share in standing.shares
        ],
        shows=dict(standing.shows),
    )


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _json(value: object) -> Response:
    return Response(to_json(value), 200, {"Cache-Control": "no-store"}, "application/json")
