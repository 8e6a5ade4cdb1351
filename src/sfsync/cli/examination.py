"""What `sfsync check` looks at: the settings, the org, each channel. Reads much, changes nothing.

What it finds about allowances needs to know what sfsync uses: where there is a store its records tell, else
the org's own pace does. A part that is not reached is a finding too; the others are looked at all the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Protocol

from sfsync.app import SystemClock, open_one, open_receivers, org_config
from sfsync.channels import BadConfigError
from sfsync.domain import doctor
from sfsync.domain.assortment import Assortment
from sfsync.domain.budget import Work
from sfsync.domain.findings import Finding, Severity
from sfsync.domain.forecast import MOST_LISTED, forecast
from sfsync.domain.mapping import Hold
from sfsync.domain.subscriptions import Act, plan
from sfsync.domain.words import counted
from sfsync.ports import CallsSpent, Channel, OutsideError, Refused, Subscriber
from sfsync.salesforce.check_allowances import allowance
from sfsync.salesforce.org import SalesforceOrg
from sfsync.settings import Settings
from sfsync.store import Database, NoStoreError, StoreError, open_store

DAY = timedelta(days=1)
STOCK_ENTITIES = ("StockMovement__ChangeEvent",)
ORDER_ENTITIES = ("OrderChangeEvent", "OrderItemChangeEvent")


@dataclass(slots=True)
class Part:
    """One part of the house and what was found there."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    reached: bool = True


class Tell(Protocol):
    """Is told what is being looked at now, how far that is, of how much, and what is left to spend."""

    def __call__(
        self, what: str, done: int = 0, total: int | None = None, budget: str | None = None
    ) -> None: ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the store knows: the org's id, our calls of 24 hours, each channel's items, what is held."""

    org: str | None = None
    calls: int | None = None
    items: Mapping[str, Mapping[tuple[str, str], str]] = field(default_factory=dict)
    levels: int | None = None  # stock levels, as far as the store knows
    holds: Mapping[str, Hold] = field(default_factory=dict)  # changed settings that wait for a person
    store: Database | None = None

    def names(self, record_ids: Collection[str]) -> Mapping[str, str]:
        """The keys of stock levels by their record ids, as far as they are known."""
        if self.store is None:
            return {}
        levels = self.store.read_now(lambda tx: tx.levels_by_record(record_ids))
        return {level.record_id: str(level.key) for level in levels}


class Examination:
    """One look at a whole house, part by part."""

    def __init__(self, settings: Settings, tell: Tell, *, skus: bool = True) -> None:
        self._settings, self._tell, self._with_skus = settings, tell, skus
        self._clock = SystemClock()
        self._assortment: Assortment = settings.assortment()
        self._shadow = settings.shadow.enabled  # then nothing is tried out
        self._in_org: dict[str, set[str]] | None = None  # location -> SKUs; None: not read

    async def run(self, only: Collection[str] = ()) -> AsyncIterator[Part]:
        """Each part as soon as it is through; `only` these, when given.

        Parts are settings, org, channels by name, alerts.
        """
        remembered, store = self._remember()
        if not only or "settings" in only:
            yield Part("settings", [*self._of_settings(), *store])
        wanted = [name for name in self._settings.channels if not only or name in only]
        if not only or "org" in only or (wanted and self._with_skus):
            part = await self._org(remembered, skus=bool(wanted) and self._with_skus)
            unread = wanted and self._with_skus and self._in_org is None  # then no SKUs are compared
            if not only or "org" in only or unread:
                yield part
        for name in wanted:
            yield await self._channel(name, remembered)
        called = self._settings.shadow.alerts or not self._shadow
        if self._settings.alerts.receivers and called and (not only or "alerts" in only):
            yield await self._alerts()

    # -- the settings and the store

    def _of_settings(self) -> list[Finding]:
        found = []
        for each in self._settings.warnings:
            path = each.remedy.partition(",")[0].removeprefix("chmod 600 ")
            mend = f"{doctor.RIGHTS}:{path}" if each.remedy.startswith("chmod 600 ") else ""
            said = f"{each.where}: {each.key} {each.what}"
            why = "whoever is on this machine can act as sfsync" if mend else ""
            found.append(Finding(Severity.WARNING, said, each.remedy, why, mend))
        if not self._settings.channels:
            remedy = "add a [channels.NAME] for each; docs/ has a page for each kind"
            why = "what is sold anywhere is not heard of, and no shop is told what is left"
            found.append(Finding(Severity.WARNING, "the settings name no channel", remedy, why))
        channels = counted(len(self._settings.channels), "channel")
        return found or [Finding(Severity.GOOD, f"the settings are complete: {channels}")]

    def _remember(self) -> tuple[Remembered, list[Finding]]:
        """What a store can tell, and what is wrong with it; without one the org's own pace has to do."""
        try:
            store = open_store(self._settings.store_url(), exclusive=False, migrate=False)
        except NoStoreError as error:
            return Remembered(), [Finding(Severity.GOOD, f"nothing to compare with yet: {error}")]
        except StoreError as error:
            what, _, remedy = str(error).partition(". ")
            why = "sfsync keeps in it what it must not forget, and does not start without it"
            return Remembered(), [Finding(Severity.FATAL, what, remedy, why)]
        return self._recall(store), []

    def _recall(self, store: Database) -> Remembered:
        since = self._clock.now() - DAY

        hours, _ = store.read_now(lambda tx: tx.calls())
        items: dict[str, dict[tuple[str, str], str]] = {}
        for level in store.read_now(lambda tx: tx.channel_levels()):
            items.setdefault(level.channel, {})[level.item_id, level.location] = level.sku
        told = [each.ours for each in hours if each.hour > since]
        whole = bool(hours) and hours[0].hour <= since
        bound = store.read_now(lambda tx: tx.bound_org())
        holds = store.read_now(lambda tx: tx.holds())
        levels = store.read_now(lambda tx: tx.count_levels())
        return Remembered(bound, sum(told) if whole else None, items, levels or None, holds, store)

    # -- the org

    async def _org(self, remembered: Remembered, *, skus: bool) -> Part:
        part = Part("org")
        self._tell("the org: signing in")
        try:
            config = replace(org_config(self._settings), read_only=self._shadow)
            org = SalesforceOrg(config, self._clock)
        except Refused as error:
            part.findings.append(Finding(Severity.FATAL, str(error), error.advice, "no event is heard"))
            return part
        try:
            await self._look_at(org, part, remembered, skus=skus)
        except CallsSpent as error:
            part.findings += self._short(org, error, remembered)
        except OutsideError as error:
            part.findings.append(_not_reached(error))
            part.reached = isinstance(error, Refused)
        finally:
            await org.close()
        return part

    def _short(self, org: SalesforceOrg, error: CallsSpent, remembered: Remembered) -> list[Finding]:
        """What is known of the org's calls where there are none left to look with."""
        standing = org.calls()
        rest = Finding(
            Severity.WARNING,
            f"the rest of the org was not looked at: {error}",
            f"sfsync check org, from about {error.until:%Y-%m-%d %H:%M} UTC on",
            "what else is wrong there is not known",
        )
        if standing is None:
            return [rest]
        left = 0 if standing.refused else standing.allowed - standing.used
        reserved = self._settings.salesforce.calls_reserved_percent
        calls = doctor.Allowance(standing.allowed, left)
        told = doctor.calls_finding(calls, reserved, max(remembered.calls or 0, standing.ours_used), 0)
        return [told, rest]

    async def _look_at(self, org: SalesforceOrg, part: Part, remembered: Remembered, *, skus: bool) -> None:
        offset = await org.clock_offset()
        if offset is not None:
            part.findings.append(doctor.clock_finding(*offset))
        number = await org.org_id()
        part.findings.append(Finding(Severity.GOOD, f"the org {number} accepts the credentials"))
        if remembered.org not in (None, number):
            part.findings.append(
                Finding(
                    Severity.FATAL,
                    f"the store was made with another org, {remembered.org}",
                    "give this org a store of its own (store.url), or mend [salesforce]",
                    "the numbers of one org would be written by the ledger of another",
                )
            )
        self._tell("the org: objects, fields, permissions, rule, topics")
        checked = await org.check(writing=not self._shadow)
        part.findings += checked
        if any(each.severity is Severity.FATAL for each in checked):
            return  # what follows would only say the same in other words
        self._tell("the org: allowances")
        part.findings += doctor.member_findings(await org.members(), self._entities())
        await self._allowances(org, part, remembered)
        if skus:
            await self._read_skus(org, remembered.levels)

    async def _allowances(self, org: SalesforceOrg, part: Part, remembered: Remembered) -> None:
        limits = await org.limits()
        rows = {each.level: each.rows for each in await org.children()}
        yesterday = self._clock.now() - DAY
        older = {each.level: each.rows for each in await org.children(yesterday)}
        every = None
        if len(rows) >= MOST_LISTED:
            every = await org.count_rows(), await org.count_rows(yesterday)
        storage = allowance(limits, "DataStorageMB")
        space = forecast((storage.allowed, storage.left) if storage else None, rows, older, every)
        space = space.named(remembered.names({space.fullest, space.crowded}))
        reserved = self._settings.salesforce.calls_reserved_percent
        calls = allowance(limits, "DailyApiRequests")
        if calls is None and (standing := org.calls()) is not None:
            calls = doctor.Allowance(standing.allowed, standing.allowed - standing.used)
        deliveries = allowance(limits, "DailyDeliveredPlatformEvents")
        part.findings += [
            doctor.calls_finding(calls, reserved, remembered.calls, space.rows_a_day),
            doctor.deliveries_finding(deliveries, space.rows_a_day),
            *doctor.space_findings(space),
        ]

    def _entities(self) -> dict[str, tuple[str, ...]]:
        """The change events that each of our channels must carry."""
        wanted: dict[str, tuple[str, ...]] = {self._settings.salesforce.stock_topic: STOCK_ENTITIES}
        if self._settings.org_orders is not None:
            wanted[self._settings.org_orders.topic] = ORDER_ENTITIES
        return {_channel_of(topic): entities for topic, entities in wanted.items()}

    async def _read_skus(self, org: SalesforceOrg, known: int | None) -> None:
        found: dict[str, set[str]] = {}
        count = 0
        async for page in org.snapshot(Work.BULK):
            count += len(page)
            standing = org.calls()
            left = "" if standing is None else f"org {max(0, standing.allowed - standing.used):,} calls left"
            self._tell("the org: stock levels", count, known, left)
            for level in page:
                found.setdefault(level.key.location, set()).add(level.key.sku)
        self._in_org = found

    # -- a channel

    async def _channel(self, name: str, remembered: Remembered) -> Part:
        part = Part(name)
        if (hold := remembered.holds.get(name)) is not None:
            what = f"the settings have changed: {hold.sentence}"
            part.findings.append(Finding(Severity.WARNING, what, hold.way_out, hold.meanwhile))
        self._tell(f"{name}: credential, scopes, version, locations")
        try:
            settings = self._settings.channels[name]
            channel = open_one(name, settings, self._clock, read_only=self._shadow)
        except BadConfigError as error:
            part.findings.append(Finding(Severity.FATAL, str(error), "mend the settings"))
            return part
        try:
            if self._shadow and channel.ability.callbacks is not None:
                part.findings.append(Finding(Severity.GOOD, f"{name} is not called in shadow"))
                return part
            part.findings += await channel.check()
            if any(each.severity is Severity.FATAL for each in part.findings):
                return part
            part.findings += await self._webhooks(channel)
            part.findings += await self._map(channel, remembered)
        except OutsideError as error:
            part.findings.append(_not_reached(error))
            part.reached = isinstance(error, Refused)
        finally:
            await channel.close()
        return part

    async def _alerts(self) -> Part:
        """Whether those who are to be woken may be called."""
        part = Part("alerts")
        self._tell("alerts: receivers")
        try:
            receivers = open_receivers(self._settings, self._clock)
        except BadConfigError as error:
            part.findings.append(Finding(Severity.FATAL, str(error), "mend the settings"))
            return part
        for receiver in receivers:
            part.findings += await receiver.check()
            await receiver.close()
        return part

    async def _webhooks(self, channel: Channel) -> list[Finding]:
        if not isinstance(channel, Subscriber):
            return []
        why = "its sales are heard of minutes later, by asking: time in which the last one is sold again"
        held, base = await channel.subscriptions(), self._settings.web.public_url
        if base is None:
            missing = [
                topic
                for topic in channel.topics
                if not any(step.topic == topic and _ours(step.address, channel.name) for step in held)
            ]
            if not missing:
                return [
                    Finding(Severity.GOOD, f"{channel.name}: every webhook that is read is subscribed to")
                ]
            what = f"{channel.name}: no webhook of {', '.join(sorted(missing))} goes to an address of ours"
            remedy = (
                f"sfsync channel setup {channel.name} --address https://…, or give web.public_url; those "
                "of the app's own configuration file cannot be seen from here"
            )
            return [Finding(Severity.WARNING, what, remedy, why)]
        steps = plan(channel.name, base, channel.topics, held)
        changes = [step for step in steps if step.act in (Act.CREATE, Act.REMOVE)]
        if not changes:
            return [Finding(Severity.GOOD, f"{channel.name}: every webhook that is read goes to {base}")]
        said = ", ".join(f"{step.act.value} {step.subscription.topic}" for step in changes)
        what = f"{channel.name}: its webhooks are not as they should be: {said}"
        mend = f"{doctor.WEBHOOKS}:{channel.name}"
        return [Finding(Severity.WARNING, what, f"sfsync channel setup {channel.name}", why, mend)]

    async def _map(self, channel: Channel, remembered: Remembered) -> list[Finding]:
        if self._in_org is None or channel.ability.callbacks is not None:
            return []
        listed: list[doctor.Listed] = []
        known = remembered.items.get(channel.name, {})
        async for page in channel.items():
            listed += [
                doctor.Listed(
                    each.sku, each.location, each.item_id, each.tracked, each.oversell_allowed, each.duplicate
                )
                for each in page
            ]
            self._tell(f"{channel.name}: items", len(listed), len(known) or None)
        sells_from = set(self._assortment.places(channel.name))
        in_org: dict[str, set[str]] = defaultdict(set)
        for location, skus in self._in_org.items():
            for sku in skus:
                in_org[sku].add(location)
        found = doctor.map_findings(channel.name, listed, in_org, sells_from, known)
        if channel.ability.weak and channel.ability.tells_orders:
            skus = {each.sku for each in listed if sells_from & in_org.get(each.sku, set())}
            risky = {sku for sku in skus if self._assortment.unguarded(channel.name, sku)}
            found = [*doctor.unguarded_finding(channel.name, risky), *found]
        return found


def _channel_of(topic: str) -> str:
    """The channel that a topic is of: one entity's own topic is what the standard channel selects."""
    name = topic.removeprefix("/data/")
    return "ChangeEvents" if name.endswith("ChangeEvent") else name


def _ours(address: str, channel: str) -> bool:
    return address.rstrip("/").endswith(f"/webhooks/{channel}")


def _not_reached(error: OutsideError) -> Finding:
    advice = error.advice if isinstance(error, Refused) else "see that it can be reached from this machine"
    return Finding(Severity.FATAL, str(error), advice, "nothing can be read or written there")
