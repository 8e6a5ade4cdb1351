"""Dead letters on a page: what `sfsync dead-letters` does with its retry, drop and map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.domain.letters import Cause

from .access import Party
from .letters import read_drop, read_page
from .options import WebOptions
from .page import Page
from .problems import ProblemError
from .rights import form_of, party_of, who
from .services import Services
from .sku_mappings import no_mapping, read_csv, refusal

PICKED = "letter-"


class ActingLetters:
    """The handlers of ``/dead-letters``."""

    def __init__(self, services: Services, options: WebOptions, page: Page) -> None:
        self._services, self._options, self._page = services, options, page

    def routes(self) -> list[Route]:
        """Their addresses."""
        return [
            Route("/dead-letters", self.look, methods=["GET"]),
            Route("/dead-letters", self.do, methods=["POST"]),
        ]

    async def look(self, request: Request) -> Response:
        """They by cause, a page of each or the next page of one, and the SKUs that are mapped."""
        return await self._render(request, page=read_page(request.query_params))

    async def do(self, request: Request) -> Response:
        """Try some or all of a cause again, drop some, map SKUs, or map one no longer."""
        party, fields = party_of(request), form_of(request)
        try:
            match fields.get("do", ""):
                case "retry":
                    return await self._retry(request, fields)
                case "drop":
                    return await self._drop(request, party, fields)
                case "look" | "map":
                    return await self._map(request, party, fields)
                case "unmap":
                    old, channel = fields.get("old", ""), fields.get("channel", "")
                    if not await self._services.mappings.remove(old, channel, who(party)):
                        raise no_mapping(old, channel)
                    return await self._render(request, done=f"{old} is mapped no longer.")
                case _:
                    return await self._render(request, 422, "Say what is to be done.")
        except ProblemError as error:
            return await self._render(request, error.status, error.detail, fields=fields)

    async def _retry(self, request: Request, fields: Mapping[str, str]) -> Response:
        cause = fields.get("all", "")
        if cause not in ("", *Cause):
            return await self._render(request, 422, "There is no such cause.")
        numbers = _picked(fields)
        if not cause and not numbers:
            return await self._render(request, 422, "Choose what is to be tried again.")
        tried = await self._services.letters.retry([] if cause else numbers, Cause(cause) if cause else None)
        kept = [f"no. {each.id}: {each.said}" for each in tried if not each.done]
        done = sum(each.done for each in tried)
        words = f"{done} tried again. What went well leaves the list."
        return await self._render(request, done=words, trouble=f"Kept: {'; '.join(kept)}." if kept else "")

    async def _drop(self, request: Request, party: Party, fields: Mapping[str, str]) -> Response:
        reason = fields.get("reason", "").strip()
        if cause := fields.get("all", ""):
            up_to = fields.get("up_to", "")
            newest = int(up_to) if up_to.isascii() and up_to.isdigit() and len(up_to) < 16 else 0
            wish = read_drop({"cause": cause, "up_to": newest, "reason": reason})
        else:
            numbers = _picked(fields)
            if not numbers:
                return await self._render(request, 422, "Choose what is to be dropped.", fields=fields)
            wish = read_drop({"ids": numbers, "reason": reason})
        letters, by = self._services.letters, who(party)
        if wish.cause is None:
            dropped = await letters.drop(wish.ids, by, wish.reason)
        else:
            dropped = await letters.drop_cause(wish.cause, wish.up_to, by, wish.reason)
        return await self._render(request, done=f"{len(dropped)} dropped, and kept in the record.")

    async def _map(self, request: Request, party: Party, fields: Mapping[str, str]) -> Response:
        sheet = read_csv(fields.get("sheet", "").encode())
        named = fields.get("yes_change", "").strip()
        partial, go = "partial" in fields, fields["do"] == "map"
        told = await self._services.mappings.give(
            sheet,
            who(party),
            partial=partial,
            dry_run=not go,
            yes_change=int(named) if named.isascii() and named.isdigit() and len(named) < 10 else None,
        )
        if go and told["applied"]:
            return await self._render(request, done=f"{told['new']} mapped; {told['letters']} tried again.")
        trouble = refusal(told, partial=partial).detail if go else ""
        return await self._render(request, 409 if go else 200, trouble, looked=told, fields=fields)

    async def _render(
        self,
        request: Request,
        status_code: int = 200,
        trouble: str = "",
        *,
        done: str = "",
        looked: Mapping[str, Any] | None = None,
        fields: Mapping[str, str] | None = None,
        page: tuple[Cause | None, int] = (None, 0),
    ) -> Response:
        told: Mapping[str, Any] = await self._services.letters.told(*page)
        return self._page.render(
            "letters.html",
            request,
            self._page.visitor(request),
            status_code=status_code,
            causes=told["causes"],
            picked=PICKED,
            mappings=await self._services.mappings.kept(),
            looked=looked,
            now=self._services.now().isoformat(),
            trouble=trouble,
            done=done,
            fields=fields or {},
        )


def _picked(fields: Mapping[str, str]) -> list[int]:
    """The ids of the letters that are ticked."""
    texts = [name.removeprefix(PICKED) for name in fields if name.startswith(PICKED)]
    return [int(text) for text in texts if text.isascii() and text.isdigit() and 0 < len(text) < 16]
