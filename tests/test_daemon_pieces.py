"""One-of-one pieces beside a running daemon, over real sockets: each is promised once, and followed."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
from tests.test_daemon import HTTP, Daemon, until, world

PIECES = (("A-1", "KNIGHTSBRIDGE"), ("B-2", "KNIGHTSBRIDGE"), ("C-3", "ECOM"))
LEVELS = [{"sku": "BAG-1", "location": place, "unit": unit, "on_hand": 1} for unit, place in PIECES]


def ask(daemon: Daemon, unit: str | None, owner: str) -> httpx.Response:
    """A client of London's wants a piece; this very one, where it is named."""
    line = {"sku": "BAG-1", "quantity": 1} | ({"unit": unit} if unit else {})
    wish = {
        "kind": "client",
        "channel": "london",
        "owner": owner,
        "lines": [line],
        "expires_in_seconds": 86_400,
    }
    headers = {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}

    def answered() -> httpx.Response | None:
        answer = HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=headers)
        return None if answer.status_code == 503 else answer

    answer: httpx.Response = until(answered, "an answer")
    return answer


def test_a_piece_is_reserved_sold_and_followed_through_the_daemon(tmp_path: Path) -> None:
    """Two locations, two shops: both show three; the named piece is one client's, and then her order's."""
    with world(tmp_path, levels=LEVELS) as (org, daemon):
        daemon.start("--approve")
        daemon.shows("BAG-1", 3)
        held = ask(daemon, "A-1", "Ms Laurent")
        assert (held.status_code, held.json()["lines"][0]["unit"]) == (201, "A-1")
        daemon.shows("BAG-1", 2)
        assert ask(daemon, "A-1", "Ms Roche").status_code == 409

        london = daemon.shops["london"].ready["url"]
        basket = {
            "sku": "BAG-1",
            "properties": {"_sfsync_unit": "A-1"},
            "note_attributes": {"sfsync_reservation": held.json()["id"]},
        }
        sold = HTTP.post(f"{london}/storefront/buy", json=basket)
        assert sold.status_code == 201, sold.text

        def its_order() -> bool:
            told = json.loads(daemon.cli("why", "BAG-1", "--unit", "A-1", "--json").stdout)
            return "promised to order #1001 of london" in told["piece"]["stands"]

        until(its_order, "the order to hold the piece")
        assert ask(daemon, "A-1", "Ms Roche").status_code == 409
        told = json.loads(daemon.cli("why", "BAG-1", "--unit", "A-1", "--json").stdout)
        client = f"client reservation {held.json()['id']} of Ms Laurent, for london"
        assert [event["what"] for event in told["piece"]["life"]] == [
            "there at KNIGHTSBRIDGE when its books began",
            f"reserved at KNIGHTSBRIDGE by {client}",
            f"promised at KNIGHTSBRIDGE to order #1001 of london, out of {client}",
        ]
        people = daemon.cli("why", "BAG-1", "--unit", "A-1")
        assert people.returncode == 0, people.stdout + people.stderr
        for words in ("promised at KNIGHTSBRIDGE to order #1001 of london, out of", "it counts 0 there"):
            assert words in people.stdout  # a line is whole, however long

        plain = HTTP.post(f"{daemon.shops['dubai'].ready['url']}/storefront/buy", json={"sku": "BAG-1"})
        assert plain.status_code == 201
        until(
            lambda: org.level("BAG-1|ECOM|C-3")["Reserved__c"] == 1, "the first piece of Dubai's first place"
        )
        daemon.shows("BAG-1", 1)
        wrong = daemon.cli("why", "BAG-1", "--unit", "Z-9")
        assert (wrong.returncode, "known are A-1, B-2, C-3" in " ".join(wrong.stderr.split())) == (3, True)
