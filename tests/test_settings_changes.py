"""What is other between two readings of the settings, and what a running daemon takes over of it."""

from __future__ import annotations

import tomllib

import pytest
from tests.test_settings import GOOD, SECRET

from sfsync.settings import Change, Settings, changes, with_live

POLICIES = """
[[policies]]
skus = ["LE-*"]
cap = 3
"""


def read(text: str) -> Settings:
    return Settings(**tomllib.loads(text))


def told(before: str, after: str) -> list[tuple[str, str, str, bool]]:
    found = changes(read(before), read(after))
    return [(each.key, each.before, each.after, each.live) for each in found]


def test_the_same_settings_have_no_changes() -> None:
    """However often they are read."""
    assert told(GOOD + POLICIES, GOOD + POLICIES) == []


@pytest.mark.parametrize(
    ("old", "new", "change"),
    [
        ("cap = 3", "cap = 5", ("policies.1.cap", "3", "5", True)),
        ("cap = 3", "cap = 3\nsafety_stock = 1", ("policies.1.safety_stock", "not given", "1", True)),
        ("[channels.london]", "[channels.london]\ncap = 9", ("channels.london.cap", "not given", "9", True)),
        (
            "[channels.london]",
            "[channels.london]\nmay_reserve_at = ['MAYFAIR']",
            ("channels.london.may_reserve_at", "not given", '["MAYFAIR"]', True),
        ),
        (
            "[channels.london]",
            "[ledger]\nfold_nightly = true\n[channels.london]",
            ("ledger.fold_nightly", "false", "true", False),
        ),
        (
            "[channels.london]",
            "[log]\nlevel = 'debug'\n[channels.london]",
            ("log.level", '"info"', '"debug"', True),
        ),
        (
            '["ECOM", "KNIGHTSBRIDGE"]',
            '["ECOM"]',
            ("channels.london.locations.online.sells_from", '["ECOM", "KNIGHTSBRIDGE"]', '["ECOM"]', False),
        ),
        (
            "[channels.london]",
            "[alerts]\nexposed_units = 5\n[channels.london]",
            ("alerts.exposed_units", "not given", "5", True),
        ),
        ('client_id = "sfsync"', 'client_id = "x"', ("salesforce.client_id", '"sfsync"', '"x"', False)),
        (
            'name = "checkout"',
            'name = "checkout"\nrole = "viewer"',
            ("web.tokens.checkout.role", "not given", '"viewer"', True),
        ),
    ],
)
def test_each_change_is_named_with_what_becomes_of_it(
    old: str, new: str, change: tuple[str, str, str, bool]
) -> None:
    """The dotted key, both values, and whether it waits for a restart."""
    before = GOOD + POLICIES
    assert told(before, before.replace(old, new, 1)) == [change]


NEW_POLICY = """
[[policies]]
skus = ["BAG-*"]
channels = ["london"]
cap = 2
"""


def test_a_policy_put_before_others_is_the_only_thing_that_is_other() -> None:
    """With what was written of it, and none of its defaults; taken away again, the same is told."""
    before, after = GOOD + POLICIES * 2, GOOD + NEW_POLICY + POLICIES * 2
    written = [("channels", '["london"]'), ("cap", "2"), ("skus", '["BAG-*"]')]
    keys = sorted(written)
    assert told(before, after) == [(f"policies.1.{key}", "not given", text, True) for key, text in keys]
    assert told(after, before) == [
        (f"policies.1 (gone).{key}", text, "not given", True) for key, text in keys
    ]


def test_a_policy_that_was_changed_and_moved_by_another_is_told_as_the_same() -> None:
    """The file's number of now; the tenth comes after the ninth."""
    before = GOOD + POLICIES
    after = GOOD + NEW_POLICY + POLICIES.replace("cap = 3", "cap = 5")
    assert ("policies.2.cap", "3", "5", True) in told(before, after)
    assert not any(
        key.startswith("policies.2.") and key != "policies.2.cap" for key, *_ in told(before, after)
    )
    many = "".join(f'\n[[policies]]\nskus = ["A-{number}"]\ncap = 1\n' for number in range(11))
    keys = [key for key, *_ in told(GOOD + many, GOOD + many.replace("cap = 1", "cap = 2"))]
    assert keys == [f"policies.{number}.cap" for number in range(1, 12)]


def test_a_new_channel_token_and_list_are_told_as_they_are_written() -> None:
    """No defaults, no empty lists, no name twice; numbers as people write them."""
    paris = GOOD[GOOD.index("[channels.london]") :].replace("london", "paris")
    keys = [key for key, *_ in told(GOOD, GOOD + paris)]
    assert keys == [
        "channels.paris.access_token",
        "channels.paris.kind",
        "channels.paris.locations.online.id",
        "channels.paris.locations.online.sells_from",
        "channels.paris.shop_domain",
        "channels.paris.url",
        "channels.paris.webhook_secret",
    ]
    token = f'[[web.tokens]]\nname = "screen"\nrole = "viewer"\ntoken = "{SECRET}"\n'
    assert [key for key, *_ in told(GOOD, GOOD + token)] == [
        "web.tokens.screen.role",
        "web.tokens.screen.token",
    ]
    assert told(GOOD, f"{GOOD}[drift]\nevery_seconds = 60\n") == [("drift.every_seconds", "900", "60", False)]
    assert told(GOOD + POLICIES, GOOD + POLICIES + "channels = []\n") == []


def test_a_secret_is_another_one_and_never_told() -> None:
    """A token is taken over; what a connection was made with is not."""
    found = changes(read(GOOD), read(GOOD.replace(SECRET, "another-secret-of-the-house")))
    assert [(each.key, each.live) for each in found] == [
        ("channels.london.access_token", False),
        ("channels.london.webhook_secret", False),
        ("salesforce.client_secret", False),
        ("web.tokens.checkout.token", True),
    ]
    assert {(each.before, each.after) for each in found} == {("a secret", "another secret")}


@pytest.mark.parametrize(
    "more",
    [
        POLICIES.replace("cap = 3", "cap = 5\nblock = 9\nblock_at = ['ECOM']\nchannels = ['london']"),
        POLICIES.replace("cap = 3", "cap = 5\nfresh_seconds = 60\nscarce_at = 1"),
        POLICIES.replace("cap = 3", "cap = 5")
        + GOOD[GOOD.index("[channels.london]") :].replace("london", "paris"),
    ],
)
def test_policies_wait_where_loops_or_channels_come_and_go(more: str) -> None:
    """A local block, a limit of age, another channel: all wait, because they were written for each other."""
    before, after = read(GOOD + POLICIES), read(GOOD + more)
    of_policies = [each for each in changes(before, after) if each.key.startswith("policies")]
    assert of_policies
    assert not any(each.live for each in of_policies)
    assert with_live(before, after).policies == before.policies


def test_what_is_live_is_taken_over_and_the_rest_stays() -> None:
    """So that the next reading is compared with what really holds."""
    before = read(GOOD + POLICIES)
    changed = GOOD.replace("[channels.london]", "[channels.london]\ncap = 2")
    after = read(changed + POLICIES.replace("cap = 3", "cap = 5") + "[ledger]\nfold_nightly = true\n")
    held = with_live(before, after)
    assert held.ledger.fold_nightly is False
    assert (held.channels["london"].cap, held.policies[0].cap) == (2, 5)
    assert changes(held, after) == [Change("ledger.fold_nightly", "false", "true", live=False)]


def test_where_tokens_may_reserve_waits_with_the_group_that_it_may_name() -> None:
    """A group is known after a restart only; until then it holds what held before."""
    before = read(GOOD)
    said = GOOD.replace("[channels.london]", '[channels.london]\nmay_reserve_at = ["boutiques"]')
    after = read(said + '[location_groups]\nboutiques = ["MAYFAIR"]\n')
    assert [(each.key, each.live) for each in changes(before, after)] == [
        ("channels.london.may_reserve_at", False),
        ("location_groups.boutiques", False),
    ]
    assert with_live(before, after).reach() == before.reach()
    alone = with_live(before, read(said.replace("boutiques", "MAYFAIR")))
    assert alone.reach().of("london") == {*before.reach().of("london"), "MAYFAIR"}


CALLBACK = """
[channels.boutique]
kind = "callback"
url = "https://boutique.example.com/stock"
secret = "whsec_YmV0d2VlbiB0aGUgaG91c2UgYW5kIGl0cyBib3V0aXF1ZQ=="
[channels.boutique.locations.online]
sells_from = ["ECOM"]
"""
PAGER = """
[alerts.receivers.pager]
url = "https://pager.example.com"
secret = "whsec_YmV0d2VlbiB0aGUgaG91c2UgYW5kIGl0cyBib3V0aXF1ZQ=="
"""


def test_who_is_told_by_callbacks_and_alerts_and_where_is_taken_over_at_once() -> None:
    """A receiver that comes or goes, too; a channel that comes waits for a restart, as any other."""
    moved = CALLBACK.replace("boutique.example.com", "shop.example.com")
    ((key, _, _, live),) = told(GOOD + CALLBACK, GOOD + moved)
    assert (key, live) == ("channels.boutique.url", True)
    after = with_live(read(GOOD + CALLBACK), read(GOOD + moved + PAGER))
    assert after.channels["boutique"] == read(GOOD + moved).channels["boutique"]
    assert list(after.alerts.receivers) == ["pager"]
    assert all(each[3] for each in told(GOOD, GOOD + PAGER))
    assert not any(each[3] for each in told(GOOD, GOOD + CALLBACK))
    sells = moved.replace('["ECOM"]', '["KNIGHTSBRIDGE"]')
    assert [each[3] for each in told(GOOD + moved, GOOD + sells)] == [False]
