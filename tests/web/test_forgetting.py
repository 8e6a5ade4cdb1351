"""The end of a channel over the API: by an operator, with a name and a reason, and never of one in use."""

from __future__ import annotations

from tests.web.kit import AUDITOR, OPERATIONS, House, problem

PATH = "/v1/channels/forget"


async def test_a_channel_is_forgotten_by_name_with_what_was_kept_of_it() -> None:
    """Under the name that is given, or the token's."""
    house = House()
    async with house.client(OPERATIONS) as client:
        answer = await client.post(PATH, json={"channel": "paris", "reason": "the site is closed"})
        assert answer.status_code == 200
        assert answer.json() == {
            "name": "paris",
            "numbers": 77,
            "dead_letters": 3,
            "drifts": 1,
            "set_aside": 0,
            "open_lines": 2,
        }
        await client.post(PATH, json={"channel": "paris", "reason": "closed", "by": "Anna Kay"})
    assert house.forgetter.forgotten == [
        ("paris", "operations", "the site is closed"),
        ("paris", "Anna Kay", "closed"),
    ]


async def test_one_in_use_one_with_units_and_one_that_nobody_knows_are_refused() -> None:
    """With what to do first; and nobody but an operator may."""
    house = House()
    async with house.client(OPERATIONS) as client:
        for channel, status, kind in (
            ("london", 409, "in-settings"),
            ("rome", 409, "still-set-aside"),
            ("oslo", 404, "unknown-channel"),
        ):
            problem(await client.post(PATH, json={"channel": channel, "reason": "closed"}), status, kind)
        problem(await client.post(PATH, json={"channel": "paris"}), 422, "bad-input")
    async with house.client(AUDITOR) as client:
        assert (await client.post(PATH, json={"channel": "paris", "reason": "closed"})).status_code == 403
    assert house.forgetter.forgotten == []
