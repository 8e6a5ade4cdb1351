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

from .access import Doorkeeper
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
from .forgetting import ForgettingApi
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
from .problems import ProblemError, problem_of, wants_page
from .progress import Watched, Works
from .refunds import RefundApi
from .reloading import ReloadApi
from .resync import ResyncApi
from .rights import guarded
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
    teller, works = StatusTeller(services.overview), Works()
    page = Page(teller, options, doorkeeper, services.drift)
    description = to_json(json.loads(_OPENAPI.read_bytes()))

    async def openapi(_: Request) -> Response:
        return Response(description, media_type="application/json")

    def told(request: Request, problem: ProblemError) -> Response:
        return page.problem(request, problem) if wants_page(request) else problem.response()

    async def on_error(request: Request, error: Exception) -> Response:
        return told(request, problem_of(request, error))

    routes = [
        *Webhooks(services.doorman, options).routes(),
        *Api(services, options, teller).routes(),
        *TransferApi(services.transfers, options, services.now).routes(),
        *TillApi(services.tills, options, services.now).routes(),
        *CountApi(services, options).routes(),
        *IncidentApi(services.incidents, options, services.now).routes(),
        *RefundApi(services.refunds, services.desk, options).routes(),
        *LetterApi(services.letters, options).routes(),
        *MappingApi(services.mappings, options).routes(),
        *ForgettingApi(services.forgetter, options).routes(),
        *LevelApi(services.levels, options).routes(),
        *EditionApi(services.editions, options).routes(),
        *AllocationApi(services.allocations, options).routes(),
        *ResyncApi(services, options).routes(),
        *ReloadApi(services.reloader, options).routes(),
        *Health(services.overview).routes(),
        *works.routes(),
        *Metrics(teller, services.drift, services.shadow).routes(),
        Route("/openapi.json", openapi, methods=["GET"]),
        *page.routes(),
        *Looking(services, options, page).routes(),
        *Shadowing(services, page).routes(),
        *Acting(services, options, page).routes(),
        *Counting(services, options, page).routes(),
        *ActingResync(services, options, page).routes(),
        *ActingLetters(services, options, page).routes(),
        *ActingAllocations(services, options, page).routes(),
        *ActingPickUps(services, options, page).routes(),
    ]
    app = Starlette(
        routes=guarded(routes, doorkeeper, options, page.ask),
        middleware=[
            Middleware(Turnstile),
            Middleware(Guard, told=told),
            Middleware(Watched, works=works),
            *([Middleware(Shade, told=told)] if options.shadow else ()),
        ],
        exception_handlers=dict.fromkeys((HTTPException, ProblemError, OutsideError), on_error),
    )
    app.state.live = page.live
    app.router.redirect_slashes = (
        False  # one address for each thing; a redirected webhook would lose its body
    )
    return app
