"""A channel whose orders, or numbers, are not told: its status says so before a unit is sold twice."""

from __future__ import annotations

from typing import Any

import pytest
from tests.flow.kit import House, house

from sfsync.domain.why import Question
from sfsync.flow.why import Why
from sfsync.overview.status import Overview
from sfsync.ports import OutsideError, Refused, TryLater

BAG = "BAG-1|ECOM"
REVOKED = Refused("london: orders was answered with HTTP 401", advice="give the app a new token")


async def london(h: House) -> Any:
    """How London stands on the status."""
    told = await Overview(h.store, h.ctx.assortment, h.clock, {}, h.pulse).status()
    (found,) = [each for each in told["channels"] if each["name"] == "london"]
    return {**found, "health": told["health"]["state"]}


async def asked(h: House, says: OutsideError | None) -> None:
    """Its list of orders is asked for, and that is what it says."""
    h.shops["london"].shut = says
    if says is None:
        await h.supervisor.polls.poll("london")
        return
    with pytest.raises(type(says)):
        await h.supervisor.polls.poll("london")


async def test_a_shop_whose_token_is_revoked_is_bad_at_once_until_its_orders_are_heard_again() -> None:
    """What it sells meanwhile nobody hears of, so nobody may say that it shows what it should."""
    async with house({BAG: 5}) as h:
        assert (await london(h))["state"] == "good"
        heard = await h.store.read(lambda tx: tx.poll_mark("london"))
        assert heard is not None
        await asked(h, REVOKED)
        found = await london(h)
        assert (found["state"], found["health"]) == ("bad", "bad")
        assert found["sentence"] == (
            f"Its orders are unheard since {heard:%Y-%m-%d %H:%M:%S} UTC: london: orders was answered with "
            "HTTP 401; give the app a new token."
        )
        told: Any = await Why(h.ctx).tell(Question("BAG-1", channel="london"))
        assert [(each["where"], each["remedy"]) for each in told["findings"]] == [
            ("london", "`sfsync check london`")
        ]
        await asked(h, TryLater("no answer"))
        assert (await london(h))["state"] == "bad"  # that it does not answer, too, makes it no better
        await asked(h, None)
        assert (await london(h))["sentence"] == "Shows what it should."


async def test_a_shop_that_does_not_tell_its_orders_is_a_warning_and_then_bad() -> None:
    """One reading that fails is told; one and all for longer than an order may be late is an alarm."""
    async with house({BAG: 5}) as h:
        await asked(h, TryLater("no answer"))
        assert (await london(h))["state"] == "warning"
        await asked(h, None)
        long_ago = h.clock.now() - 2 * h.ctx.assortment.orders_lag("london")
        await h.store.write(lambda tx: tx.put_poll_mark("london", long_ago))
        await asked(h, TryLater("no answer"))
        assert (await london(h))["state"] == "bad"
        await asked(h, None)
        assert (await london(h))["state"] == "good"


async def test_a_shop_whose_numbers_are_not_told_is_named_too() -> None:
    """Drift looks at what it shows and is refused; the next look that is answered ends it."""
    async with house({BAG: 5}, shops=("london",)) as h:
        h.shops["london"].shut_numbers = REVOKED
        await h.supervisor.drift.look()
        found = await london(h)
        assert (found["state"], found["sentence"].startswith("What it shows could not be read since ")) == (
            "bad",
            True,
        )
        h.shops["london"].shut_numbers = None
        await h.supervisor.drift.look()
        assert (await london(h))["state"] == "good"
