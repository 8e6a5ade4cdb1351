"""Forms of the pages: who has sent one, and what stands in it."""

from __future__ import annotations

from starlette.requests import Request

from .access import Doorkeeper, Party
from .options import WebOptions
from .requests import read_form


async def sent(
    request: Request, doorkeeper: Doorkeeper, options: WebOptions, scope: str, *or_else: str
) -> tuple[Party, dict[str, str]]:
    """Who has sent a form, and its fields; a problem unless it brings the token that it was given."""
    party = doorkeeper.permit(request, scope, *or_else)
    fields = await read_form(request, options.body_seconds)
    doorkeeper.check_form(party, fields.pop("form", ""))
    return party, fields


def who(party: Party) -> str:
    """The name that stands with what is done."""
    return party.person or party.name
