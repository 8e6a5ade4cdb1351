"""Which webhooks a channel is asked for: decided from what it sends already."""

from __future__ import annotations

from sfsync.domain.subscriptions import Act, Subscription, plan

BASE = "https://stock.example.com/"
OURS = "https://stock.example.com/webhooks/london"
TOPICS = ("orders/create", "orders/updated")


def steps(*held: Subscription) -> list[tuple[str, str, str]]:
    return [
        (step.act.value, step.subscription.topic, step.subscription.address)
        for step in plan("london", BASE, TOPICS, held)
    ]


def test_a_channel_that_sends_nothing_is_asked_for_every_topic() -> None:
    """At the address that is the channel's own."""
    assert steps() == [("create", topic, OURS) for topic in TOPICS]


def test_a_channel_that_sends_everything_is_asked_for_nothing() -> None:
    """Doing it twice changes nothing."""
    held = [Subscription(topic, OURS, id=topic) for topic in TOPICS]
    assert {step.act for step in plan("london", BASE, TOPICS, held)} == {Act.KEEP}


def test_when_the_address_changes_the_new_one_is_there_before_the_old_one_goes() -> None:
    """So that no order falls between the two."""
    old = "https://old.example.com/sfsync/webhooks/london"
    assert steps(*(Subscription(topic, old, id=topic) for topic in TOPICS)) == [
        *(("create", topic, OURS) for topic in TOPICS),
        *(("remove", topic, old) for topic in TOPICS),
    ]


def test_one_that_leaves_something_out_is_removed_before_it_is_created_anew() -> None:
    """A channel refuses a second one of the same topic to the same address."""
    whole = Subscription("orders/updated", OURS, id="2")
    assert steps(Subscription("orders/create", OURS, id="1", whole=False), whole) == [
        ("there", "orders/updated", OURS),
        ("remove", "orders/create", OURS),
        ("create", "orders/create", OURS),
    ]


def test_what_is_read_from_by_nobody_or_is_there_twice_goes() -> None:
    """Each of them would be one more call for nothing."""
    held = [
        Subscription("orders/create", OURS, id="1"),
        Subscription("orders/create", OURS, id="2"),
        Subscription("PRODUCTS_UPDATE", OURS, id="3"),
        Subscription("orders/updated", OURS, id="4"),
    ]
    removed = [step for step in plan("london", BASE, TOPICS, held) if step.act is Act.REMOVE]
    assert [(step.subscription.id, step.why) for step in removed] == [
        ("3", "nothing is read from it"),
        ("2", "is there twice"),
    ]


def test_what_others_subscribed_to_is_left_alone() -> None:
    """Another program of the house, another channel of ours, and one whose name only ends like ours."""
    for address in (
        "https://crm.example.com/hook",
        "https://stock.example.com/webhooks/dubai",
        "https://stock.example.com/webhooks/new-london",
        "arn:aws:events:eu-west-1::event-source/aws.partner/shopify.com/1/x",
    ):
        (first, *_rest) = reversed(
            plan("london", BASE, TOPICS, [Subscription("orders/create", address, "9")])
        )
        assert (first.act, first.subscription.id) == (Act.LEAVE, "9")
