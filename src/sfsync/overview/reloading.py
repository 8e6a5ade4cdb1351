"""Settings read again while the daemon runs, as the web, a signal and the command line ask for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sfsync.domain.mapping import Hold
from sfsync.flow.context import Context
from sfsync.flow.policies import Policies
from sfsync.settings import Settings, SettingsError, changes, with_live

WEIGHING_SECONDS = 300.0  # so long an answer waits until it is known what changed settings would change


class ReloadService:
    """Reads the settings again and takes over what can be; all of it or, where anything is wrong, none.

    `settings` are those that hold now; `read` reads them anew; `adopt` makes the web and the log follow, and
    `outside` those who are told by callbacks and alerts: it raises `SettingsError` before anything changes.
    """

    def __init__(
        self,
        ctx: Context,
        settings: Settings,
        read: Callable[[], Settings],
        adopt: Callable[[Settings], None],
        outside: Callable[[Settings], Awaitable[None]] | None = None,
        *,
        ask: bool = True,
    ) -> None:
        self._ask = ask  # a person, before a large change holds
        self._outside = outside
        self._ctx, self._settings, self._read, self._adopt = ctx, settings, read, adopt
        self._lock = asyncio.Lock()
        self._deciding: asyncio.Task[None] | None = None

    async def reload(self, *, dry_run: bool = False) -> Mapping[str, object]:
        """What is other and what was taken over, JSON-ready. Wrong settings are told as `problems`.

        `held` has the channels at which changed settings wait for a person, or with `dry_run` would.
        """
        async with self._lock:
            log = self._ctx.log
            try:
                wanted = await asyncio.to_thread(self._read)
                found = changes(self._settings, wanted)
                live = [each for each in found if each.live]
                taken = with_live(self._settings, wanted)
                if live and not dry_run:
                    await self._take(taken)
            except SettingsError as error:
                problems = [str(problem) for problem in error.problems]
                for problem in problems:
                    log.error("settings refused", problem=problem, next="what was in force stays so")
                return {"dry_run": dry_run, "applied": False, "changes": [], "held": [], "problems": problems}
            for each in () if dry_run else found:
                log.info(
                    "setting changed" if each.live else "setting waits for a restart",
                    key=each.key,
                    before=each.before,
                    after=each.after,
                )
            return {
                "dry_run": dry_run,
                "applied": bool(live) and not dry_run,
                "changes": [
                    {"key": each.key, "before": each.before, "after": each.after, "live": each.live}
                    for each in found
                ],
                "held": [
                    {
                        "channel": each.channel,
                        "changed": each.changed,
                        "of": each.known,
                        "sentence": each.sentence,
                    }
                    for each in await self._held(taken, dry_run=dry_run)
                ],
                "problems": [],
            }

    async def _held(self, settings: Settings, *, dry_run: bool) -> list[Hold]:
        """Where a person is waited for; with `dry_run`, where one would be."""
        ctx, now = self._ctx, self._ctx.clock.now()
        assortment = settings.assortment()
        if not dry_run or assortment.fingerprint() == ctx.assortment.fingerprint():
            found = await ctx.store.read(lambda tx: tx.holds())
            return [found[name] for name in sorted(found)]
        weighed = await Policies(ctx).foresee(assortment.snapshot(ctx.assortment.catalogue))
        approved = await ctx.store.read(lambda tx: {name for name in weighed if tx.approved(name)})
        return [
            Hold(name, each.changed, each.known, now)
            for name, each in sorted(weighed.items())
            if each.asks and self._ask and name in approved
        ]

    async def _take(self, settings: Settings) -> None:
        ctx, assortment = self._ctx, settings.assortment()
        if self._outside is not None:
            await self._outside(settings)  # first: it alone may say no
        if assortment.fingerprint() != ctx.assortment.fingerprint():
            if self._deciding is not None:
                self._deciding.cancel()
                await asyncio.gather(self._deciding, return_exceptions=True)
            policies = Policies(ctx, ask=self._ask)
            await policies.adopt(assortment)
            self._deciding = asyncio.create_task(self._decide(policies), name="policies again")
            weighed = asyncio.create_task(policies.weighed.wait())
            await asyncio.wait(
                {weighed, self._deciding}, timeout=WEIGHING_SECONDS, return_when=asyncio.FIRST_COMPLETED
            )
            weighed.cancel()
        logging.getLogger("sfsync").setLevel(settings.log.level.upper())
        self._adopt(settings)
        self._settings = settings

    async def _decide(self, policies: Policies) -> None:
        """What channels show follows; cut short, it goes on at the next start."""
        try:
            await policies.run()
        except Exception:
            self._ctx.log.exception("policies could not be decided anew", next="restart sfsync")

    async def stop(self) -> None:
        """Let go of what is under way."""
        if self._deciding is not None:
            self._deciding.cancel()
            await asyncio.gather(self._deciding, return_exceptions=True)
