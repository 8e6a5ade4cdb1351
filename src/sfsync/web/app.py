"""The web's parts put together into one ASGI app."""

from __future__ import annotations

import json
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sfsync.ports import OutsideError

from .acting import Acting
from .acting_allocations import ActingAllocations
from .acting_letters import ActingLetters
from .acting_pickups import ActingPickUps
from .acting_resync import ActingResync
from .allocations import AllocationApi
from .api import Api
from .counting import Counting
from .counts import CountApi
from .editions import EditionApi
from .guard import Guard
from .health import Health
from .incidents import IncidentApi
from .json_text import to_json
from .letters import LetterApi
from .levels import LevelApi
from .looking import Looking
from .metrics import Metrics
from .options import WebOptions
from .page import Page
from .problems import ProblemError, on_http_error, on_problem
from .refunds import RefundApi
from .reloading import ReloadApi
from .requests import Doorkeeper
from .resync import ResyncApi
from .services import Services
from .shade import Shade
from .shadowing import Shadowing
from .sku_mappings import MappingApi
from .telling import StatusTeller
from .tills import TillApi
from .transfers import TransferApi
from .turnstile import Turnstile
from .webhooks import Webhooks

_OPENAPI = Path(__file__).with_name("openapi.json")


def build_web(services: Services, options: WebOptions) -> Starlette:
    """The whole web: webhooks in, reservation API, resync, health, status page."""
    doorkeeper = Doorkeeper(options.tokens, services.now, options.proxy)
    teller = StatusTeller(services.overview)
    page = Page(teller, options, doorkeeper, services.drift)
    description = to_json(json.loads(_OPENAPI.read_bytes()))

    async def openapi(_: Request) -> Response:
        return Response(description, media_type="application/json")

    app = Starlette(
        routes=[
            *Webhooks(services.doorman, options).routes(),
            *Api(services, options, doorkeeper, teller).routes(),
            *TransferApi(services.transfers, options, doorkeeper, services.now).routes(),
            *TillApi(services.tills, options, doorkeeper, services.now).routes(),
            *CountApi(services, options, doorkeeper).routes(),
            *IncidentApi(services.incidents, options, doorkeeper, services.now).routes(),
            *RefundApi(services.refunds, options, doorkeeper).routes(),
            *LetterApi(services.letters, options, doorkeeper).routes(),
            *MappingApi(services.mappings, options, doorkeeper).routes(),
            *LevelApi(services.levels, options, doorkeeper).routes(),
            *EditionApi(services.editions, options, doorkeeper).routes(),
            *AllocationApi(services.allocations, options, doorkeeper).routes(),
            *ResyncApi(services, options, doorkeeper).routes(),
            *ReloadApi(services.reloader, options, doorkeeper).routes(),
            *Health(services.overview).routes(),
            *Metrics(teller, options, doorkeeper, services.drift, services.shadow).routes(),
            Route("/openapi.json", openapi, methods=["GET"]),
            *page.routes(),
            *Looking(services, options, page).routes(),
            *Shadowing(services, doorkeeper, page).routes(),
            *Acting(services, options, doorkeeper, page).routes(),
            *Counting(services, options, doorkeeper, page).routes(),
            *ActingResync(services, options, doorkeeper, page).routes(),
            *ActingLetters(services, options, doorkeeper, page).routes(),
            *ActingAllocations(services, options, doorkeeper, page).routes(),
            *ActingPickUps(services, options, doorkeeper, page).routes(),
        ],
        middleware=[
            Middleware(Turnstile),
            Middleware(Guard),
            *([Middleware(Shade)] if options.shadow else ()),
        ],
        exception_handlers={HTTPException: on_http_error, ProblemError: on_problem, OutsideError: on_problem},
    )
    app.state.live = page.live
    app.router.redirect_slashes = (
        False  # one address for each thing; a redirected webhook would lose its body
    )
    return app
