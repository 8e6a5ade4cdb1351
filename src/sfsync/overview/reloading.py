"""Settings read again while the daemon runs, as the web, a signal and the command line ask for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping

from sfsync.flow.context import Context
from sfsync.flow.policies import Policies
from sfsync.settings import Settings, SettingsError, changes, with_live


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
    ) -> None:
        self._outside = outside
        self._ctx, self._settings, self._read, self._adopt = ctx, settings, read, adopt
        self._lock = asyncio.Lock()
        self._deciding: asyncio.Task[None] | None = None

    async def reload(self, *, dry_run: bool = False) -> Mapping[str, object]:
        """What is other and what was taken over, JSON-ready. Wrong settings are told as `problems`."""
        async with self._lock:
            log = self._ctx.log
            try:
                wanted = await asyncio.to_thread(self._read)
                found = changes(self._settings, wanted)
                live = [each for each in found if each.live]
                if live and not dry_run:
                    await self._take(with_live(self._settings, wanted))
            except SettingsError as error:
                problems = [str(problem) for problem in error.problems]
                for problem in problems:
                    log.error("settings refused", problem=problem, next="what was in force stays so")
                return {"dry_run": dry_run, "applied": False, "changes": [], "problems": problems}
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
                "problems": [],
            }

    async def _take(self, settings: Settings) -> None:
        ctx, assortment = self._ctx, settings.assortment()
        if self._outside is not None:
            await self._outside(settings)  # first: it alone may say no
        if assortment.fingerprint() != ctx.assortment.fingerprint():
            # In the store's own thread: no transaction sees half of it.
            await ctx.store.write(lambda tx: ctx.assortment.adopt(assortment))
            if self._deciding is not None:
                self._deciding.cancel()
                await asyncio.gather(self._deciding, return_exceptions=True)
            self._deciding = asyncio.create_task(self._decide(), name="policies again")
        logging.getLogger("sfsync").setLevel(settings.log.level.upper())
        self._adopt(settings)
        self._settings = settings

    async def _decide(self) -> None:
        """What channels show follows; cut short, it goes on at the next start."""
        try:
            await Policies(self._ctx).run()
        except Exception:
            self._ctx.log.exception("policies could not be decided anew", next="restart sfsync")

    async def stop(self) -> None:
        """Let go of what is under way."""
        if self._deciding is not None:
            self._deciding.cancel()
            await asyncio.gather(self._deciding, return_exceptions=True)
