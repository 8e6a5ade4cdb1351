"""The daemon as a process while its event stream goes wrong, over each transport: promises 2, 7 and 8."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import OrgSandbox
from tests.simulators.org_kit import OrgClient
from tests.test_daemon import HTTP, Daemon, buy, until, world

STOCK, TILL = "/data/SfsyncStock__chn", "/event/StockEvent__e"
KNOBS = ["keepalive_seconds=0.5", "cometd_timeout_seconds=0.5"]


@pytest.fixture(params=["pubsub", "cometd"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[OrgSandbox, Daemon]]:
    """A world whose streams show life every half second, and a daemon that soon takes silence for death."""
    with world(tmp_path, knobs=KNOBS) as (org, daemon):
        daemon.env |= {
            "SFSYNC_SALESFORCE__TRANSPORT": request.param,
            "SFSYNC_SALESFORCE__SILENCE_SECONDS": "4",
            "SFSYNC_SALESFORCE__POLL_AFTER_SECONDS": "5",
        }
        yield org, daemon
        assert "Traceback" not in daemon.log()


@contextmanager
def till_of(org: OrgSandbox) -> Iterator[Till]:
    """A till that tells of its sales by events."""
    client = OrgClient(org.ready)
    yield Till(client)
    client.http.close()


class Till:
    """Publishes what it has sold; each receipt has one number, however often it is told."""

    def __init__(self, client: OrgClient) -> None:
        self.client = client
        self.sold = 0

    def sell(self) -> None:
        self.sold += 1
        self.tell(self.sold)

    def tell(self, receipt: int, **changes: Any) -> None:
        event = {"Sku__c": "BAG-1", "LocationCode__c": "ECOM", "SourceId__c": f"till-1/{receipt}"}
        event |= {
            "Kind__c": "Sale",
            "OccurredAt__c": "2026-11-23T08:15:30.000Z",
            "Reference__c": f"R{receipt}",
        }
        answer = self.client.call("POST", "/sobjects/StockEvent__e", {**event, "Quantity__c": -1, **changes})
        assert answer.status_code == 201, answer.text


def postings(org: OrgSandbox) -> list[str]:
    """The till's receipts as the ledger has them, each as often as it was entered."""
    rows = org.query("SELECT SubjectKey__c FROM StockMovement__c WHERE SubjectKey__c LIKE 'posting:%'")
    return sorted(str(row["SubjectKey__c"]) for row in rows)


def receipts(till: Till) -> list[str]:
    return sorted(f"posting:till-1/{number + 1}" for number in range(till.sold))


def test_a_refused_bookmark_and_a_dead_stream_lose_no_sale(house: tuple[OrgSandbox, Daemon]) -> None:
    """The org forgets the bookmark while we are killed; later the stream stays open and says nothing."""
    org, daemon = house
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
    daemon.shows("BAG-1", 29)

    daemon.kill()
    org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
    org.bus("reset_stream")  # the event of this sale is gone too
    daemon.start("--approve")
    daemon.shows("BAG-1", 28)
    until(lambda: "bookmark refused" in daemon.log(), "the refusal to be told")

    until(lambda: org.bus("silence"), "a stream to silence")
    org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
    daemon.shows("BAG-1", 27)
    until(lambda: "is silent" in daemon.log(), "the silence to be noticed")
    assert daemon.terminate() == 0


def test_a_daemon_that_dies_before_its_first_event_misses_none(house: tuple[OrgSandbox, Daemon]) -> None:
    """A quiet stream has told no place to go on from, on one transport; what happens meanwhile is found."""
    org, daemon = house
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    with till_of(org) as till:
        for _ in range(2):
            daemon.kill()
            org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
            till.sell()
            daemon.start()
            daemon.shows("BAG-1", 30 - 2 * till.sold)
        assert postings(org) == receipts(till)
    told = until(lambda: _nothing_missed(daemon), "an answer without anything missed")
    # Killed so soon that no bookmark stood yet, it joined anew.
    reasons = ("sfsync was not running", "refused", "joined without a bookmark")
    assert any(reason in each["why"] for each in told for reason in reasons)
    assert daemon.terminate() == 0


def _connected(daemon: Daemon, name: str) -> bool:
    """Whether the status says that this stream is there."""
    return any(topic["name"] == name and topic["connected"] for topic in daemon.status()["stream"]["topics"])


def _nothing_missed(daemon: Daemon) -> list[dict[str, Any]] | None:
    """The breaks of the stream of stock, once none of them is open."""
    (stock, *_) = json.loads(daemon.cli("coverage", "--since", "1h", "--json").stdout)
    breaks: list[dict[str, Any]] = stock["breaks"]
    print(stock["unknown"], breaks)  # is shown when the wait is in vain
    return None if stock["missed"] else breaks


def test_a_tills_receipts_are_entered_once_each_whatever_happens_to_their_events(
    house: tuple[OrgSandbox, Daemon],
) -> None:
    """Cut, doubled, malformed, the token ended, killed, the bookmark refused: each receipt, none twice.

    A posting stands in no record that could be read again: the stream alone tells of it.
    """
    org, daemon = house
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    with till_of(org) as till:

        def entered() -> None:
            until(lambda: postings(org) == receipts(till), f"{till.sold} receipts, each once")

        for _ in range(3):
            till.sell()
        entered()
        org.bus("cut")
        till.sell()
        org.bus("duplicate_last", topic=TILL, count=4)  # the broken stream goes on with these
        till.tell(1)  # the till itself says it again
        entered()
        till.tell(900, Kind__c="Gift")  # no such kind: set aside, and the next one is entered
        till.sell()
        entered()
        org.control("POST", "/sessions/end")
        till.client.sign_in()
        till.sell()
        entered()
        daemon.kill()
        till.sell()
        org.bus("duplicate_last", topic=TILL, count=3)
        daemon.start()
        entered()
        daemon.kill()
        till.sell()
        org.bus("refuse_replay", count=2)  # both topics: all that is kept is taken again
        daemon.start()
        entered()
        until(lambda: "bookmark refused" in daemon.log(), "the refusal to be told")
        daemon.shows("BAG-1", 30 - till.sold)
        assert org.level("BAG-1|ECOM")["OnHand__c"] == 30 - till.sold
        assert postings(org) == receipts(till)
    until(lambda: [letter for letter in daemon.letters() if "Gift" in letter["reason"]], "the dead letter")
    assert daemon.terminate() == 0


def test_a_stream_that_breaks_at_any_moment_loses_and_doubles_nothing(
    house: tuple[OrgSandbox, Daemon],
) -> None:
    """Cut, forgotten, doubled and late events, another schema, a kill, while the till and people sell."""
    org, daemon = house
    chance = random.Random(1)
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    moved = 0
    org.bus("fates", cut_rate=0.2, duplicate_rate=0.2, late_rate=0.1, schema_rate=0.05, seed=1)
    with till_of(org) as till:
        for turn in range(14):
            if chance.random() < 0.5:
                org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
                moved += 1
            else:
                till.sell()
                org.bus("duplicate_last", topic=TILL, count=chance.randrange(3))
            if turn in (3, 8):
                org.bus("cut")
            if turn == 5:
                daemon.kill()
                daemon.start()
            if turn == 9:
                org.bus("drop_cometd_sessions")
        until(lambda: postings(org) == receipts(till), f"{till.sold} receipts, each once")
        org.control("DELETE", "/faults")
        daemon.shows("BAG-1", 30 - moved - till.sold)
        assert org.level("BAG-1|ECOM")["OnHand__c"] == 30 - moved - till.sold
    assert daemon.terminate() == 0


def test_the_question_whether_anything_was_missed_is_answered_after_a_bad_night(
    house: tuple[OrgSandbox, Daemon],
) -> None:
    """Gaps, damage, an overflow, a kill, silence; schema, permission, allowance gone: each is made up for."""
    org, daemon = house
    over_grpc = daemon.env["SFSYNC_SALESFORCE__TRANSPORT"] == "pubsub"
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    left = 30
    for action, how in (
        ("fates", {"next": ["gap"]}),
        ("fates", {"next": ["torn"]}),
        ("overflow", {"entity": "StockMovement__c"}),
        ("add_field", {"entity": "StockMovement__c", "field": "Colour__c"}),
        ("duplicate_last", {"topic": STOCK, "count": 2}),
        ("silence", {}),
        ("forbid", {"topic": STOCK}),
        ("use_up_allowance", {}),
    ):
        until(lambda: _connected(daemon, STOCK), f"the stream to be there before {action}")
        org.bus(action, **how)
        if action == "add_field" and over_grpc:
            org.bus("refuse", rpc="GetSchema", code="schema.validation.failed", count=3)
        left -= 1
        org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-1", left)
        if action == "overflow":
            daemon.kill()
            org.bus("refuse_replay", count=2)  # whichever topic is first
            org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
            left -= 1
            daemon.start()
            daemon.shows("BAG-1", left)
        if action == "forbid":
            org.bus("allow", topic=STOCK)

    breaks = until(lambda: _nothing_missed(daemon), "an answer without anything missed")
    why = " ".join(each["why"] for each in breaks)
    for word in (
        "sfsync was not running",
        "changes it does not carry",
        "silent",
        "permission",
        "refused our",
    ):
        assert word in why, why
    assert not over_grpc or "schema" in why, why  # CometD's events carry their own
    assert "delivery limit" in why or "daily limit" in why, why  # each transport has words of its own
    topics = json.loads(daemon.cli("status", "--json").stdout)["stream"]["topics"]
    assert [topic["lag_seconds"] is not None for topic in topics if topic["name"] == STOCK] == [True]
    damaged = [each["reason"] for each in daemon.letters() if "cannot be read" in each["reason"]]
    assert len(damaged) == 1, damaged  # set aside whole, and what it told of was read
    people = daemon.cli("coverage", "--since", "1h")
    assert "SfsyncStock__chn: nothing was missed: the stream broke" in people.stdout
    assert "nothing was missed" in daemon.cli("coverage", "--since", "last night").stdout
    unheard = daemon.cli("coverage", "--since", "long ago")
    assert unheard.returncode == 2
    assert "'long ago' names no moment; give 90m, 12h, 2d, today, yesterday, 'last night'" in unheard.stderr


def holes(daemon: Daemon) -> dict[str, Any]:
    """What the status tells of holes, by stream."""
    return {
        hole["source"]: hole for hole in json.loads(daemon.cli("status", "--json").stdout)["stream"]["holes"]
    }


def coverage(daemon: Daemon) -> dict[str, Any]:
    """What was known of each stream."""
    return {each["source"]: each for each in json.loads(daemon.cli("coverage", "--json").stdout)}


def test_a_break_stands_on_the_status_until_it_was_made_up_for(house: tuple[OrgSandbox, Daemon]) -> None:
    """The permission is taken away for a while: since when nothing is known, and what will mend it."""
    org, daemon = house
    daemon.env["COLUMNS"] = "250"  # no sentence is cut into lines
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    org.move("BAG-1|ECOM", on_hand=1, kind="Receipt")  # from now on there is a bookmark to go on from
    daemon.shows("BAG-1", 31)
    until(lambda: not holes(daemon), "the hole of the first start to be closed")
    until(lambda: TILL in coverage(daemon), "the till's stream to be joined")
    with till_of(org) as till:
        for topic in (STOCK, TILL):
            org.bus("forbid", topic=topic)
        found = until(lambda: told if len(told := holes(daemon)) == 2 else None, "both holes")
        for topic, closes in (
            (STOCK, "the stream's return, then its replay or a reading of all that moved since"),
            (TILL, "the stream's return, then the end of its replay"),
        ):
            said = found[topic]["reason"]
            assert "permission to subscribe" in said or "403::" in said  # each transport in its own words
            assert "then:" not in said  # the same refusal again is no news
            assert found[topic]["closes"] == closes
            assert found[topic]["age_seconds"] >= 0
            assert found[topic]["next_try_at"] > found[topic]["since"]
        people = daemon.cli("status")
        assert people.returncode == 1
        assert "has a hole of" in people.stdout
        assert "next tried (UTC)" in people.stdout
        till.sell()  # told while nobody may listen, and in no record
        org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-1", 30)  # by looking; the till's cannot be seen
        for topic in (STOCK, TILL):
            org.bus("allow", topic=topic)
        daemon.shows("BAG-1", 29)
        assert postings(org) == receipts(till)
    until(lambda: not holes(daemon), "both to be closed")
    told = coverage(daemon)
    assert {each["how"] for each in told[TILL]["breaks"]} == {"replayed by the stream"}
    assert "polled" in {each["how"] for each in told[STOCK]["breaks"]}
    assert daemon.terminate() == 0


def test_a_till_that_nobody_may_listen_to_from_the_first_start_on_is_missed(
    house: tuple[OrgSandbox, Daemon],
) -> None:
    """The permission was never given: what the till sells is told as not known, and entered once it is."""
    org, daemon = house
    org.bus("forbid", topic=TILL)
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    told = until(lambda: coverage(daemon).get(TILL), "the till's stream in the answer")
    assert told["missed"]
    assert [(each["how"], each["until"]) for each in told["breaks"]] == [("not known", told["until"])]
    asked = daemon.cli("coverage", "--since", "1h")
    assert asked.returncode == 1
    assert holes(daemon)[TILL]["closes"] == "the stream's return, then the end of its replay"
    with till_of(org) as till:
        till.sell()
        org.bus("allow", topic=TILL)
        daemon.shows("BAG-1", 29)
        assert postings(org) == receipts(till)
    until(lambda: TILL not in holes(daemon), "the hole to be closed")
    told = until(lambda: None if (found := coverage(daemon)[TILL])["missed"] else found, "nothing missed")
    assert [each["how"] for each in told["breaks"]] == ["replayed by the stream"]
    assert daemon.terminate() == 0


def test_a_row_that_is_deleted_while_the_stream_is_away_is_found_by_looking(
    house: tuple[OrgSandbox, Daemon],
) -> None:
    """Somebody deletes a receipt from the ledger while nobody may listen: the shops soon show less."""
    org, daemon = house
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    receipt = org.move("BAG-1|ECOM", on_hand=5, kind="Receipt")
    daemon.shows("BAG-1", 35)
    until(lambda: not holes(daemon), "the hole of the first start to be closed")
    org.bus("forbid", topic=STOCK)
    until(lambda: STOCK in holes(daemon), "the hole")
    org.records("delete", receipt)
    daemon.shows("BAG-1", 30)
    assert STOCK in holes(daemon)  # it was not the stream that told
    kinds = [each["kind"] for each in daemon.status()["incidents"]]
    assert any("rewritten" in kind for kind in kinds), kinds
    org.bus("allow", topic=STOCK)
    until(lambda: STOCK not in holes(daemon), "the hole to be closed")
    assert daemon.terminate() == 0


def test_the_last_pieces_are_closed_while_the_org_tells_nothing(house: tuple[OrgSandbox, Daemon]) -> None:
    """Stream and records away: the last bag leaves both shops, thirty scarves stay; back, and it is sold out.

    Its last one went over the counter meanwhile. A belt that is as scarce was not sold, and is offered again.
    """
    org, daemon = house
    policy = {"skus": ["BAG-1", "BELT-1", "SCARF-1"], "scarce_at": 2, "fresh_seconds": 10}
    policy["exposure_accepted"] = True
    daemon.env["SFSYNC_POLICIES"] = json.dumps([policy])
    for sku, left in (("BAG-1", 1), ("BELT-1", 2)):
        org.move(f"{sku}|ECOM", on_hand=left - 30, kind="Sale")
    daemon.start("--approve")
    daemon.shows("BAG-1", 1)
    daemon.shows("BELT-1", 2)
    org.bus("forbid", topic=STOCK)
    org.bus("cut")
    org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
    org.arm("error", times=None, status=503, path="/services/data")
    daemon.shows("BAG-1", 0)
    daemon.shows("BELT-1", 0)
    daemon.shows("SCARF-1", 30)
    reasons = until(
        lambda: [why for why in daemon.status()["health"]["reasons"] if "was not heard" in why], "its reason"
    )
    assert HTTP.get(f"{daemon.url}/readyz").status_code == 503
    assert reasons == [
        "The org was not heard for more than 10 seconds: what is scarce by policy is closed "
        "until it is heard again."
    ]
    org.control("DELETE", "/faults")
    org.bus("allow", topic=STOCK)
    daemon.shows("BELT-1", 2)
    until(lambda: daemon.status()["health"]["state"] == "good", "green")
    assert daemon.shown("BAG-1") == [0, 0]
    assert daemon.terminate() == 0


def test_an_org_that_takes_no_sale_is_told_while_its_stream_flows(house: tuple[OrgSandbox, Daemon]) -> None:
    """Every composite is answered with an error, all else goes on: red until the sale is entered."""
    org, daemon = house
    daemon.start("--approve")
    daemon.shows("BAG-1", 30)
    until(lambda: HTTP.get(f"{daemon.url}/readyz").status_code == 200, "ready")
    org.arm("error", times=None, status=503, path="/composite")
    assert buy(daemon.shops["london"], "BAG-1", 1).status_code == 201
    until(lambda: HTTP.get(f"{daemon.url}/readyz").status_code == 503, "not ready")
    org.move("SCARF-1|ECOM", on_hand=-1, kind="Sale")
    daemon.shows("SCARF-1", 29)  # the stream flows, and what it names is read
    assert HTTP.get(f"{daemon.url}/readyz").status_code == 503
    health = daemon.status()["health"]
    assert health["state"] == "bad"
    assert any("The org does not answer" in why for why in health["reasons"])
    org.control("DELETE", "/faults")
    daemon.shows("BAG-1", 29)
    until(lambda: HTTP.get(f"{daemon.url}/readyz").status_code == 200, "ready again")
    assert daemon.terminate() == 0
