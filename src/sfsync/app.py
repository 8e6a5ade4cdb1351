"""The one place where everything meets: settings in, a running daemon out.

Order of the start: store (and its lock), web, org identity (another org than the store's is refused), flow.
The web server listens from the beginning, so webhooks are stored even while the org is away. Order of the
end: what lets things in, then what finishes work in hand, then web and store.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp, Receive, Scope, Send

from sfsync.channels import BadConfigError, ChannelConfig, open_channel, open_offered
from sfsync.channels.alert import AlertCallback
from sfsync.channels.callback import CallbackChannel
from sfsync.channels.sender import CallbackConfig, Sender
from sfsync.channels.till_folder import InboxFolder, LevelsFile
from sfsync.domain.alerts import AlertKind
from sfsync.domain.assortment import Assortment
from sfsync.domain.callbacks import Patience
from sfsync.domain.drift import Pace
from sfsync.domain.retry import backoff_seconds
from sfsync.domain.rights import SCOPES, Role
from sfsync.flow.alerting import Alerts, Limits
from sfsync.flow.callbacks import receiver_changed
from sfsync.flow.calls import recall
from sfsync.flow.catching_up import CatchingUp
from sfsync.flow.context import SNAPSHOT, Bell, Context, Logger, Pulse
from sfsync.flow.door import Door
from sfsync.flow.forgetting import Forgetting
from sfsync.flow.hearing import heard
from sfsync.flow.letters import Letters
from sfsync.flow.org_counts import Counting
from sfsync.flow.resync_told import ResyncDesk
from sfsync.flow.sku_mappings import SkuMappings
from sfsync.flow.supervisor import Supervisor
from sfsync.flow.trail import Trail
from sfsync.flow.why import Why
from sfsync.lives import Lives
from sfsync.overview import FoldService, Overview, ReloadService
from sfsync.ports import AlertReceiver, Channel, Clock, Org, OutsideError, Refused, TillPlace, Tx
from sfsync.reports import Reports
from sfsync.salesforce.config import OrgConfig, OrgOrdersConfig, ProductsConfig
from sfsync.salesforce.org import SalesforceOrg
from sfsync.settings import (
    AlertReceiverSettings,
    AmazonSettings,
    CallbackSettings,
    ChannelSettings,
    MiraklSettings,
    OrgOrdersSettings,
    Problem,
    ProductsSettings,
    ProxySettings,
    ReceiverSettings,
    Settings,
    SettingsError,
    ShopifySettings,
    VendureSettings,
)
from sfsync.shadow import ShadowChannel, ShadowOrg, ShadowReports, Watch, report
from sfsync.shadow.report import handed_over
from sfsync.store import Database, StoreError, open_store
from sfsync.store import shadow as shadows
from sfsync.store.shadow import ShadowTx
from sfsync.store.tx import SqlTx
from sfsync.web import (
    CannotListenError,
    Proxy,
    Services,
    TillAccess,
    Token,
    WebOptions,
    build_web,
    serve,
)

if TYPE_CHECKING:
    from sfsync.telemetry import OtlpTracer

__all__ = ["Daemon", "StartError", "SystemClock"]


class StartError(Exception):
    """The daemon cannot start; says why and what to do."""


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        """The present, UTC."""
        return datetime.now(UTC)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


def _open_store(url: str) -> Database:
    return open_store(url, exclusive=True)


class Server(Protocol):
    """What serves the web app: started, stopped, and where it is."""

    @property
    def address(self) -> str: ...
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class Daemon:
    """A daemon made of its parts. `run` does all of it; who holds time, chance and network hands over others.

    `open_store` opens the store at a URL, `serve` makes a server for the web app at host and port, and
    `read_again` reads the settings anew.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        approve: bool = False,
        shadow: bool = False,
        clock: Clock | None = None,
        org: Org | None = None,
        channels: Mapping[str, Channel] | None = None,
        log: Logger | None = None,
        luck: Callable[[], float] | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        poll_seconds: float = 300.0,
        open_store: Callable[[str], Database] = _open_store,
        serve: Callable[[ASGIApp, str, int], Server] = serve,
        read_again: Callable[[], Settings] | None = None,
    ) -> None:
        self._settings = settings
        self._shadow = shadow or settings.shadow.enabled
        self._approve = approve or self._shadow  # nobody need look at a plan that writes nothing
        self._clock = clock or SystemClock()
        self._log: Logger = log or structlog.get_logger("sfsync")
        self._org, self._channels = org, channels
        self._luck = luck or random.SystemRandom().random
        self._new_id, self._poll_seconds = new_id, poll_seconds
        self._opened, self._served = open_store, serve
        self._read_again = read_again
        self._reloading: ReloadService | None = None
        self.address = ""

    async def reload(self) -> None:
        """Read the settings again; the log tells what is other."""
        if self._reloading is not None:
            await self._reloading.reload()

    async def run(self, stop: asyncio.Event, *, ready: asyncio.Event | None = None) -> None:
        """From start to orderly end. Raises `StartError` when it cannot start."""
        settings, log = self._settings, self._log
        for warning in settings.warnings:
            log.warning("setting", problem=str(warning))
        tracer = _open_tracer(settings)
        store = self._open_store()
        org = self._org or await self._open_org(store)
        channels = self._channels or await self._open_channels(store, org)
        receivers = await self._open_receivers(store, org, channels)
        shade: ShadowOrg | None = None
        beside: dict[str, Callable[[], Awaitable[None]]] = {}
        if self._shadow:
            store.transact_by(lambda connection: ShadowTx(connection, self._clock.now))
            org = shade = ShadowOrg(org, store, self._clock.now)
            channels = {
                name: ShadowChannel(channel, store, self._clock) for name, channel in channels.items()
            }
            beside = self._watches(channels, store)
        pulse = Pulse(self._clock.now())
        ctx = Context(
            heard(org, pulse),
            channels,
            store,
            self._clock,
            self._luck,
            self._new_id,
            settings.assortment(),
            Bell(),
            pulse,
            log,
        )
        ctx.pulse.calls = org.calls
        ctx.pulse.trail = Trail(tracer, self._new_id) if tracer else None
        ctx.pulse.topics, ctx.pulse.posting_topics = tuple(org.topics), org.posting_topics
        folds = settings.ledger.fold_nightly and not self._shadow
        nightly = settings.ledger.fold_older_than_days if folds else None
        tells = settings.shadow.alerts or not self._shadow
        alerts = Alerts(ctx, receivers if tells else (), Limits(settings.alerts.exposed_units))
        supervisor = Supervisor(
            ctx,
            approve=self._approve,
            poll_seconds=settings.shadow.orders_every_seconds if self._shadow else self._poll_seconds,
            watch_seconds=settings.salesforce.poll_after_seconds,
            fold_nightly_days=nightly,
            # What differs is the other integration's, and stands in the shadow's report.
            drift=None if self._shadow else Pace(**settings.drift.model_dump()),
            alerts=alerts,
            till_places=() if self._shadow else till_places(settings),
            beside=beside,
            counting=counting(settings),
        )
        local_token = _local_token(settings)
        front = _Front()
        reloading = self._reloading = (
            ReloadService(
                ctx,
                settings,
                self._read_again,
                front.follow,
                _Outside(ctx, alerts, settings, tells=tells).follow,
                ask=not self._approve,
            )
            if self._read_again
            else None
        )
        seen = ShadowReports(store, ctx.assortment, ctx.clock, settings.shadow.late_after_seconds)
        services = Services(
            doorman=Door(ctx, None if self._shadow else supervisor.drift.hear),
            desk=supervisor.desk,
            overview=overview(settings, store, ctx.clock, ctx.pulse, ctx.assortment),
            reconciler=ResyncDesk(ctx, supervisor.resync),
            drift=supervisor.drift,
            now=ctx.clock.now,
            transfers=supervisor.transfers,
            editions=supervisor.editions,
            allocations=supervisor.hands,
            counts=supervisor.counts,
            reports=reports(settings, store, ctx.clock, ctx.org),
            incidents=supervisor.resolver,
            refunds=supervisor.refunds,
            letters=Letters(ctx),
            mappings=SkuMappings(ctx, settings.tills, supervisor.writer.look_again),
            forgetter=Forgetting(ctx),
            why=Why(ctx),
            levels=CatchingUp(ctx),
            tills=supervisor.tills,
            folder=FoldService(supervisor, settings.ledger.fold_older_than_days),
            lives=Lives(ctx, store),
            reloader=reloading,
            shadow=seen,
        )
        front.open(
            lambda held: build_web(services, replace(web_options(held, local_token), shadow=self._shadow)),
            settings,
        )
        web = self._served(front, settings.web.host, settings.web.port)
        try:
            await self._serve(web)
            if ready is not None:
                ready.set()
            if await self._bind(ctx, store, stop):
                if shade is not None:
                    await shade.load()
                    log.warning("in shadow", next="nothing is written anywhere; see `sfsync shadow report`")
                await recall(ctx)
                ctx.assortment.learn(await store.read(lambda tx: tx.products()))
                await supervisor.start()
                await stop.wait()
                log.info("stopping", next="work in hand is finished or left for the next start")
            await supervisor.stop()
        finally:
            if reloading is not None:
                await reloading.stop()
            await web.stop()
            if self.address and (path := settings.local_address_path()) is not None:
                path.unlink(missing_ok=True)
            await seen.stop()
            for channel in channels.values():
                await channel.close()
            await alerts.close()
            for receiver in () if tells else receivers:  # beside another integration nobody was told
                await receiver.close()
            await org.close()
            await store.close()
            if tracer is not None:
                await asyncio.to_thread(tracer.close)
        log.info("stopped")

    def _open_store(self) -> Database:
        try:
            return self._opened(self._settings.store_url())
        except StoreError as error:
            raise StartError(str(error)) from error

    async def _open_org(self, store: Database) -> Org:
        try:
            config = replace(org_config(self._settings), read_only=self._shadow)
            return SalesforceOrg(config, self._clock)
        except Refused as error:
            await store.close()
            raise StartError(f"{error}: {error.advice}") from error

    async def _open_channels(self, store: Database, org: Org) -> Mapping[str, Channel]:
        opened: dict[str, Channel] = {}
        try:
            for name, channel in self._settings.channels.items():
                opened[name] = open_one(name, channel, self._clock, read_only=self._shadow)
        except BadConfigError as error:
            for other in opened.values():
                await other.close()
            await org.close()
            await store.close()
            raise StartError(str(error)) from error
        return opened

    async def _open_receivers(
        self, store: Database, org: Org, channels: Mapping[str, Channel]
    ) -> list[AlertReceiver]:
        try:
            return open_receivers(self._settings, self._clock)
        except BadConfigError as error:
            for channel in channels.values():
                await channel.close()
            await org.close()
            await store.close()
            raise StartError(str(error)) from error

    async def _serve(self, web: Server) -> None:
        try:
            await web.start()
        except CannotListenError as error:
            raise StartError(f"{error}. Choose another web.port") from error
        self.address = web.address
        if (path := self._settings.local_address_path()) is not None:
            path.write_text(self.address)
        self._log.info("listening", address=self.address)

    async def _bind(self, ctx: Context, store: Database, stop: asyncio.Event) -> bool:
        """Make sure that the store is this org's. False when stopped before the org could be asked."""
        attempt = 0
        while not stop.is_set():
            try:
                org_id = await ctx.org.org_id()
                break
            except OutsideError as error:
                attempt += 1
                wait = backoff_seconds(attempt, ctx.luck())
                advice = getattr(error, "advice", "") or f"asked again in {wait:.1f} s"
                self._log.error("org not reached", reason=str(error), next=advice)
                with suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), wait)
        else:
            return False
        names = {*ctx.channels, *ctx.assortment.shared}
        bound = await store.read(lambda tx: tx.bound_org())
        if bound is None:
            await store.write(lambda tx: _bind_first(tx, org_id, self._clock.now(), shadow=self._shadow))
        elif bound != org_id:
            raise StartError(
                f"this store was made with org {bound}, but the credentials are of org {org_id}. "
                "Give the other org a store of its own (store.url), or mend [salesforce]"
            )
        elif (await store.read(shadows.since)) is not None:
            if not self._shadow:
                await store.write(lambda tx: _go_live(tx, self._clock.now(), self._log))
        elif self._shadow:
            raise StartError(
                "this store has been used without --shadow: what it holds was really written, or is to be. "
                "Give the shadow a store of its own (store.url)"
            )
        await store.write(lambda tx: _note_channels(tx, names, self._clock.now()))
        return True

    def _watches(
        self, channels: Mapping[str, Channel], store: Database
    ) -> dict[str, Callable[[], Awaitable[None]]]:
        """What looks at the channels in shadow; one that is only told can not be looked at."""
        watch = Watch(channels, store, self._clock, every_seconds=self._settings.shadow.numbers_every_seconds)
        looks: dict[str, Callable[[], Awaitable[None]]] = {
            f"shadow at {name}": partial(watch.follow, name)
            for name, channel in channels.items()
            if channel.ability.callbacks is None
        }
        return {"shadow": watch.stay, **looks}


def _open_tracer(settings: Settings) -> OtlpTracer | None:
    """What sends traces; None where the settings name no collector. Raises `StartError` without its extra."""
    if settings.telemetry.otlp_endpoint is None:
        return None
    try:
        from sfsync.telemetry import OtlpTracer  # noqa: PLC0415 — an extra that most do without
    except ImportError as error:
        raise StartError(
            f"telemetry.otlp_endpoint needs {error.name}, which is not installed. "
            "Install sfsync with its extra: pip install 'sfsync[otel]'"
        ) from error
    return OtlpTracer(settings.telemetry.otlp_endpoint)


class _Front:
    """The web app that is in force; another takes its place when the settings say so."""

    def open(self, build: Callable[[Settings], Starlette], settings: Settings) -> None:
        """Before the first request."""
        self._build, self._app = build, build(settings)

    def follow(self, settings: Settings) -> None:
        """From the next request on by these settings; what goes on for long begins anew."""
        before, self._app = self._app, self._build(settings)
        before.state.live.end()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


class _Outside:
    """Those who are told by callbacks and alerts, as the settings that hold say."""

    def __init__(self, ctx: Context, alerts: Alerts, settings: Settings, *, tells: bool) -> None:
        self._ctx, self._alerts, self._held, self._tells = ctx, alerts, settings, tells

    async def follow(self, settings: Settings) -> None:
        """Tell them by these settings. Raises `SettingsError`, and changes nothing, where one cannot be."""
        held, clock = self._held, self._ctx.clock
        told: list[AlertReceiver] = []
        senders: list[tuple[CallbackChannel, Sender, CallbackConfig]] = []
        try:
            for name, each in settings.alerts.receivers.items() if self._tells else ():
                known = self._alerts.receiver(name) if held.alerts.receivers.get(name) == each else None
                told.append(known or open_receiver(name, each, clock))
            for name, channel in self._ctx.channels.items():
                now, before = settings.channels.get(name), held.channels.get(name)
                if not (isinstance(now, CallbackSettings) and isinstance(before, CallbackSettings)):
                    continue
                config = callback_config(name, now)
                if isinstance(channel, CallbackChannel) and config != callback_config(name, before):
                    senders.append((channel, channel.sender(config), config))
        except BadConfigError as error:
            raise SettingsError([Problem("settings", error.channel, str(error))]) from error
        for receiver, sender, config in senders:
            receiver.adopt(sender, config)
            await receiver_changed(self._ctx, receiver.name)
        if self._tells and settings.alerts != held.alerts:
            await self._alerts.adopt(told, Limits(settings.alerts.exposed_units))
        self._held = settings


def _bind_first(tx: SqlTx, org_id: str, now: datetime, *, shadow: bool) -> None:
    """A new store: it is this org's from now on, and nothing of the org has been read."""
    tx.bind_org(org_id, now)
    if shadow:
        shadows.begin(tx, now)
    tx.open_hole(SNAPSHOT, now, "the org was never read whole", now)


def _go_live(tx: SqlTx, now: datetime, log: Logger) -> None:
    """A shadow's store, and no shadow any more: what was only thought is forgotten, and all begins anew.

    What the other integration had not entered by then is nobody's, and a person is told of each.
    """
    marks = {name: tx.poll_mark(name) for name in shadows.channels(tx)}
    ours, left = handed_over(tx, marks, now)
    shadows.leave(tx, now)
    tx.open_hole(SNAPSHOT, now, "the org was never read whole", now)
    for name, since in ours.items():
        tx.note_channel(name, since)
    for each in left:
        sale = each.sale
        tx.dead_letter(
            sale.channel,
            f"shadow:{sale.subject}",
            f"order {sale.order_name}: {each.missing} of {sale.sku} sold while sfsync was in shadow, "
            "and entered by nobody",
            "enter it in the org by hand if the former integration never will, then drop this",
            sale.order_id,
            now,
        )
    log.warning("live", sales_entered_by_nobody=len(left), next="read anew; `sfsync dead-letters`")


def _note_channels(tx: Tx, channels: Iterable[str], now: datetime) -> None:
    """What was sold at a channel before we knew of it was somebody else's to enter."""
    for name in sorted(channels):
        tx.note_channel(name, now)


def org_config(settings: Settings) -> OrgConfig:
    """The org's settings in its package's words."""
    org = settings.salesforce
    return OrgConfig(
        login_url=org.login_url,
        client_id=org.client_id,
        client_secret=org.client_secret.get_secret_value() if org.client_secret else "",
        username=org.username or "",
        private_key=org.private_key.get_secret_value() if org.private_key else "",
        token_audience=org.token_audience or "",
        api_version=org.api_version,
        transport=org.transport,
        pubsub_endpoint=org.pubsub_endpoint,
        pubsub_tls=org.pubsub_tls,
        ca_file=str(org.ca_file) if org.ca_file else None,
        calls_reserved_percent=org.calls_reserved_percent,
        timeout_seconds=org.timeout_seconds,
        silence_seconds=org.silence_seconds,
        stock_topic=org.stock_topic,
        pos_topic=org.pos_topic or None,
        orders=_orders_config(settings.org_orders) if settings.org_orders else None,
        products=_products_config(settings.products) if settings.products else None,
        counts=settings.org_counts is not None,
    )


def counting(settings: Settings) -> Counting | None:
    """How the org's count records are followed; None: not at all."""
    return Counting(**settings.org_counts.model_dump()) if settings.org_counts else None


def _products_config(products: ProductsSettings) -> ProductsConfig:
    return ProductsConfig(**products.model_dump(exclude={"price_from_channel"}))


def _orders_config(orders: OrgOrdersSettings) -> OrgOrdersConfig:
    return OrgOrdersConfig(
        topic=orders.topic,
        channel_field=orders.channel_field,
        order_field=orders.order_field,
        sku_field=orders.sku_field,
        line_field=orders.line_field,
        location_field=orders.location_field,
        fulfilled_field=orders.fulfilled_field,
        unit_field=orders.unit_field,
        reduction_orders=orders.reduction_orders,
        returns=orders.returns_to is not None,
        not_goods=orders.not_goods,
    )


def open_one(name: str, settings: ChannelSettings, clock: Clock, *, read_only: bool = False) -> Channel:
    """The channel that its settings describe. Raises `BadConfigError`.

    `read_only`: nothing that could change anything there leaves, at those of our own kinds that are read.
    """
    if isinstance(settings, ShopifySettings):
        return open_channel(replace(channel_config(name, settings), read_only=read_only), clock)
    if isinstance(settings, CallbackSettings):
        return CallbackChannel(callback_config(name, settings), clock)
    if isinstance(settings, MiraklSettings):
        return open_channel(replace(market_config(name, settings), read_only=read_only), clock)
    if isinstance(settings, AmazonSettings):
        return open_channel(replace(amazon_config(name, settings), read_only=read_only), clock)
    if isinstance(settings, VendureSettings):
        return open_channel(replace(vendure_config(name, settings), read_only=read_only), clock)
    return open_offered(name, settings.kind, settings, clock)


def open_receivers(settings: Settings, clock: Clock) -> list[AlertReceiver]:
    """Whoever is told of alerts. Raises `BadConfigError`."""
    return [open_receiver(name, each, clock) for name, each in settings.alerts.receivers.items()]


def open_receiver(name: str, settings: AlertReceiverSettings, clock: Clock) -> AlertReceiver:
    """One of them. Raises `BadConfigError`."""
    return AlertCallback(callback_config(name, settings), [AlertKind(kind) for kind in settings.kinds], clock)


def callback_config(name: str, settings: ReceiverSettings) -> CallbackConfig:
    """A receiver's settings in its package's words."""
    secrets_used = [settings.secret, settings.previous_secret]
    return CallbackConfig(
        name,
        settings.url,
        tuple(secret.get_secret_value() for secret in secrets_used if secret is not None),
        settings.allow_private,
        settings.timeout_seconds,
        settings.ca_file,
        Patience(timedelta(minutes=settings.set_aside_after_minutes)),
    )


def market_config(name: str, settings: MiraklSettings) -> ChannelConfig:
    """A marketplace's settings in its package's words."""
    ((location, place),) = settings.locations.items()
    options: dict[str, object] = {
        "api_key": settings.api_key.get_secret_value(),
        "location": location,
        "warehouse": place.id,
        "shop_id": settings.shop_id,
        "falls_at": settings.falls_at,
        "settle_seconds": settings.settle_seconds,
        "imports_every_seconds": settings.imports_every_seconds,
        "status_every_seconds": settings.status_every_seconds,
        "outcome_within_minutes": settings.outcome_within_minutes,
        "orders_every_seconds": settings.orders_every_seconds,
    }
    return ChannelConfig(
        name, settings.kind, settings.url, options, settings.timeout_seconds, settings.ca_file
    )


def amazon_config(name: str, settings: AmazonSettings) -> ChannelConfig:
    """An Amazon store's settings in its package's words."""
    options: dict[str, object] = {
        "location": next(iter(settings.locations)),
        "auth_url": settings.auth_url,
        "seller_id": settings.seller_id,
        "marketplace_id": settings.marketplace_id,
        "client_id": settings.client_id,
        "client_secret": settings.client_secret.get_secret_value(),
        "refresh_token": settings.refresh_token.get_secret_value(),
        "settle_seconds": settings.settle_seconds,
        "landing_seconds": settings.landing_seconds,
        "outcome_every_seconds": settings.outcome_every_seconds,
        "outcome_within_minutes": settings.outcome_within_minutes,
        "orders_every_seconds": settings.orders_every_seconds,
    }
    return ChannelConfig(
        name, settings.kind, settings.url, options, settings.timeout_seconds, settings.ca_file
    )


def channel_config(name: str, settings: ShopifySettings) -> ChannelConfig:
    """A Shopify store's settings in its package's words."""
    secrets_accepted = [settings.webhook_secret, settings.previous_webhook_secret]
    options: dict[str, object] = {
        "api_version": settings.api_version,
        "shop_domain": settings.shop_domain,
        "product_tags": settings.product_tags,
        "locations": {location: place.id for location, place in settings.locations.items()},
        "webhook_secrets": tuple(
            secret.get_secret_value() for secret in secrets_accepted if secret is not None
        ),
        "access_token": settings.access_token.get_secret_value() if settings.access_token else "",
        "client_id": settings.client_id or "",
        "client_secret": settings.client_secret.get_secret_value() if settings.client_secret else "",
    }
    return ChannelConfig(
        name, settings.kind, settings.url, options, settings.timeout_seconds, settings.ca_file
    )


def vendure_config(name: str, settings: VendureSettings) -> ChannelConfig:
    """A Vendure shop's settings in its package's words."""
    secrets_accepted = [settings.webhook_secret, settings.previous_webhook_secret]
    options: dict[str, object] = {
        "locations": {location: place.id for location, place in settings.locations.items()},
        "api_key": settings.api_key.get_secret_value() if settings.api_key else "",
        "username": settings.username or "",
        "password": settings.password.get_secret_value() if settings.password else "",
        "webhook_secrets": tuple(
            secret.get_secret_value() for secret in secrets_accepted if secret is not None
        ),
        "channel_token": settings.channel_token.get_secret_value() if settings.channel_token else "",
        "admin_path": settings.admin_path,
    }
    return ChannelConfig(
        name, settings.kind, settings.url, options, settings.timeout_seconds, settings.ca_file
    )


def web_options(settings: Settings, local_token: str) -> WebOptions:
    """The web server's settings in its package's words; the local token is an admin's."""
    tokens = [
        Token(token.name, token.token.get_secret_value(), token.rights(), token.sight())
        for token in settings.web.tokens
    ]
    if local_token:
        tokens.append(Token("local", local_token, frozenset(SCOPES), personal=True))
    return WebOptions(
        tokens=tuple(tokens),
        channels=frozenset(settings.channels),
        reach=settings.reach(),
        max_body_bytes=settings.web.max_body_bytes,
        open_status=settings.web.open_status,
        tills={
            name: TillAccess(till.told(name), frozenset(till.tokens)) for name, till in settings.tills.items()
        },
        proxy=_proxy(settings.web.proxy) if settings.web.proxy else None,
    )


def _proxy(proxy: ProxySettings) -> Proxy:
    return Proxy(
        tuple(ip_network(network) for network in proxy.trusted),
        proxy.user_header,
        proxy.groups_header or "",
        {name: Role(role) for name, role in proxy.roles.items()},
        Role(proxy.default_role) if proxy.default_role else None,
    )


def till_places(settings: Settings) -> Sequence[TillPlace]:
    """Each till's folder and file, where it has them."""
    return [
        TillPlace(
            till.told(name),
            None if till.inbox is None else InboxFolder(till.inbox),
            till.rest_seconds,
            None if till.levels_out is None else LevelsFile(till.levels_out),
        )
        for name, till in settings.tills.items()
    ]


def overview(
    settings: Settings,
    store: Database,
    clock: Clock,
    pulse: Pulse | None,
    assortment: Assortment | None = None,
) -> Overview:
    """What tells people how things stand; without a pulse and an assortment, from the store alone."""
    if assortment is None:
        assortment = settings.assortment()
        assortment.learn(store.read_now(lambda tx: tx.products()))
    kinds = {name: channel.kind for name, channel in settings.channels.items()}
    tills = {name: till.expected() for name, till in settings.tills.items()}
    return Overview(store, assortment, clock, kinds, pulse, tills)


def reports(settings: Settings, store: Database, clock: Clock, org: Org | None = None) -> Reports:
    """What works out reports; a product's class is the first field that the settings keep."""
    fields = settings.products.fields if settings.products else ()
    without = frozenset(settings.assortment().not_for_sale)
    return Reports(store, clock, fields[0] if fields else "", org, without)


def shadow_report(settings: Settings, store: Database, clock: Clock, since: datetime | None) -> Any:
    """What a shadow has seen, held against what sfsync would have done; JSON-ready, in the calling thread."""

    def told(tx: SqlTx) -> Any:
        assortment = settings.assortment()
        assortment.learn(tx.products())
        return report(tx, assortment, clock.now(), since, settings.shadow.late_after_seconds)

    return store.read_now(told)


def _local_token(settings: Settings) -> str:
    path = settings.local_token_path()
    if path is None:
        return ""
    token = secrets.token_urlsafe(32)
    path.unlink(missing_ok=True)
    path.touch(mode=0o600)
    path.write_text(token)
    return token
