"""The operator's forms as pages of their own: all that the dialogs of the dashboard do, without a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.incidents import Stage

from . import refunds
from .editions import describe
from .incident_rows import incident_row
from .incidents import number_of, problem_of, read_resolution
from .options import WebOptions
from .page import Page
from .problems import ProblemError, sentence
from .rights import form_of, party_of, who
from .services import Services

FLAGS = ("whole_order", "refund", "notify")
WAYS = {
    "move": ("promise", "location"),
    "substitute": ("sku", "location"),
    "refund": (),
    "wait": ("until",),
    "cancel": ("promise", *FLAGS),
    "accept": (),
}


class Acting:
    """The handlers of ``/incidents``, ``/refunds`` and ``/editions``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/incidents/{id}", self.incident, methods=["GET"]),
            Route("/incidents/{id}", self.resolve, methods=["POST"]),
            Route("/refunds/{id}", self.refund, methods=["GET"]),
            Route("/refunds/{id}", self.close, methods=["POST"]),
            Route("/editions/{name}", self.edition, methods=["GET"]),
            Route("/editions/{name}", self.switch, methods=["POST"]),
        ]

    async def incident(self, request: Request) -> Response:
        """An incident, what was decided about it, and the form of its ways out."""
        return await self._incident(request)

    async def resolve(self, request: Request) -> Response:
        """Take a way out; the page says what has become of it. The same again is done once."""
        party, fields = party_of(request), form_of(request)
        table = {**_table(fields), "by": who(party)}
        try:
            wish = read_resolution(table, party.name, self._services.now())
            resolved = await self._services.incidents.resolve(number_of(request), wish)
            if resolved.problem:
                raise problem_of(resolved)
        except ProblemError as error:
            return await self._incident(request, error.status, error.detail, fields=fields)
        if resolved.stage is Stage.REFUSED:
            answer = sentence(resolved.answer or "it was refused, and nothing has changed")
            return await self._incident(request, 409, answer, fields=fields)
        asked = "Written down. It is done when the org or the channel answers; load this page again to see."
        done = asked if resolved.stage is Stage.ASKED else sentence(resolved.answer or "done")
        return await self._incident(request, done=done)

    async def refund(self, request: Request) -> Response:
        """What is owed to a customer, and the form that says that it is over."""
        return await self._refund(request)

    async def close(self, request: Request) -> Response:
        """It is paid back, or owed no more; the page says how it stands then."""
        party, fields = party_of(request), form_of(request)
        table = {name: fields.get(name, "").strip() for name in ("ending", "reason")}
        try:
            ending, said, _ = refunds.read_closing(table)
            number = refunds.number_of(request)
            answer = await self._services.refunds.close(number, ending, by=who(party), said=said)
            if answer.problem:
                raise refunds.problem_of(answer)
        except ProblemError as error:
            return await self._refund(request, error.status, error.detail, fields=fields)
        return await self._refund(request, done="Closed.")

    async def edition(self, request: Request) -> Response:
        """A limited edition, and its switch."""
        return await self._edition(request)

    async def switch(self, request: Request) -> Response:
        """Open or close it everywhere; the page says how it stands then."""
        party, fields = party_of(request), form_of(request)
        word = fields.get("word", "")
        if word not in ("open", "close"):
            return await self._edition(request, 422, "Say whether it is to be opened or closed.")
        name = request.path_params["name"]
        try:
            await self._services.editions.switch(name, on=word == "open", who=who(party))
        except KeyError:
            raise _no_edition(name) from None
        return await self._edition(request, done="Opened." if word == "open" else "Closed.")

    async def _incident(
        self,
        request: Request,
        status_code: int = 200,
        trouble: str = "",
        *,
        done: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        desk = self._services.incidents
        found = await desk.incident(number_of(request))
        if found is None:
            raise ProblemError(404, "no-such-incident", "There is no incident of this number.")
        now = self._services.now()
        return self._page.render(
            "incident.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            incident=incident_row(*found, desk.cancelling, now),
            now=now.isoformat(),
            trouble=trouble,
            done=done,
            fields=fields or {},
        )

    async def _refund(
        self,
        request: Request,
        status_code: int = 200,
        trouble: str = "",
        *,
        done: str = "",
        fields: Mapping[str, str] | None = None,
    ) -> Response:
        task = await self._services.refunds.get(refunds.number_of(request))
        if task is None:
            raise ProblemError(404, "no-such-refund", "There is no refund of this number.")
        return self._page.render(
            "refund.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            refund=refunds.refund_row(task),
            now=self._services.now().isoformat(),
            trouble=trouble,
            done=done,
            fields=fields or {},
        )

    async def _edition(
        self, request: Request, status_code: int = 200, trouble: str = "", *, done: str = ""
    ) -> Response:
        name = request.path_params["name"]
        for each in await self._services.editions.standings():
            if each.edition.name == name:
                told = describe(each)
                break
        else:
            raise _no_edition(name)
        party = self._page.visitor(request)
        return self._page.render(
            "edition.html",
            request,
            party,
            status_code=status_code,
            edition=told,
            trouble=trouble,
            done=done,
        )


def _table(fields: Mapping[str, str]) -> dict[str, Any]:
    """The form as the API's body: fields of other ways are left out, as the form cannot hide them."""
    way = fields.get("way", "")
    table: dict[str, Any] = {"way": way, "reason": fields.get("reason", "").strip()}
    for name in WAYS.get(way, ()):
        if name in FLAGS:
            table[name] = name in fields
        elif name == "until":
            table[name] = f"{fields.get(name, '')}T23:59:59Z"
        elif text := fields.get(name, "").strip():
            table[name] = text
    return table


def _no_edition(name: str) -> ProblemError:
    return ProblemError(404, "no-such-edition", f"There is no edition {name}.")
