"""A drop beside a running daemon, over real sockets: opened everywhere by one press, and within limits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
from tests.test_daemon import CONFIG, HTTP, Daemon, buy, until, world

SIZE, LONDON, ON_HAND = 6, 4, 30
DROP = f"""
[[policies]]
skus = ["BAG-1"]
channels = ["london"]
guarantee = "gated"

[editions.drop]
skus = ["BAG-1", "BELT-1"]
size = {SIZE}
split = {{ london = {LONDON} }}
per_client = 2
"""


def told(daemon: Daemon, *words: str) -> str:
    """What a command says."""
    done = daemon.cli("edition", *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def headers(daemon: Daemon) -> dict[str, str]:
    """Those of whoever runs the daemon."""
    return {"authorization": f"Bearer {(daemon.folder / 's.db.token').read_text()}"}


def ask(daemon: Daemon, client: str, sku: str = "BAG-1", channel: str = "london") -> httpx.Response:
    """A shopper's cart asks, for as long as the daemon only says later."""
    lines = [{"sku": sku, "quantity": 1}]
    wish = {
        "kind": "cart",
        "channel": channel,
        "owner": f"cart of {client}",
        "client": client,
        "lines": lines,
    }

    def answered() -> httpx.Response | None:
        answer = HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=headers(daemon))
        return None if answer.status_code == 503 else answer

    answer: httpx.Response = until(answered, "an answer")
    return answer


def kinds(answers: list[httpx.Response]) -> list[str]:
    """What each was told: granted, or the problem."""
    return sorted(
        answer.json()["type"].rpartition(":")[2] if answer.status_code == 409 else answer.json()["state"]
        for answer in answers
    )


def test_a_drop_opens_everywhere_by_one_press_and_keeps_its_limits(tmp_path: Path) -> None:
    """Thirty on hand, six sold: four in London, two elsewhere, two to a client, with a kill in between."""
    config = tmp_path / "drop.toml"
    config.write_text(CONFIG.read_text() + DROP)
    config.chmod(0o600)
    with world(tmp_path) as (org, daemon), ThreadPoolExecutor(8) as crowd:
        daemon.config = config
        daemon.start("--approve")
        daemon.shows("SCARF-1", ON_HAND)
        assert (daemon.shown("BAG-1"), daemon.shown("BELT-1")) == ([0, 0], [0, 0])
        early = ask(daemon, "C1")
        assert (early.status_code, kinds([early])) == (409, ["edition-closed"])

        assert f"drop is open: {SIZE} of {SIZE} left, 2 to a client" in told(daemon, "open", "drop")
        until(lambda: daemon.shown("BAG-1")[0] == LONDON, "London's share")
        until(lambda: sum(daemon.shown(sku)[1] for sku in ("BAG-1", "BELT-1")) == SIZE - LONDON, "the rest")

        answers = kinds(list(crowd.map(lambda _: ask(daemon, "C1"), range(5))))
        assert answers == ["client-limit"] * 3 + ["granted"] * 2
        daemon.kill()
        daemon.start()
        answers = kinds(list(crowd.map(lambda n: ask(daemon, f"C{n}"), range(2, 8))))
        assert answers == ["edition-sold-out"] * 4 + ["granted"] * 2
        until(lambda: sum(daemon.shown(sku)[1] for sku in ("BAG-1", "BELT-1")) == SIZE - LONDON, "the rest")
        sold = [sku for sku in ("BAG-1", "BELT-1") for _ in range(daemon.shown(sku)[1])]
        assert [buy(list(daemon.shops.values())[1], sku).status_code for sku in sold] == [201, 201]

        def reserved() -> int:
            return sum(int(org.level(f"{sku}|ECOM")["Reserved__c"]) for sku in ("BAG-1", "BELT-1"))

        until(lambda: reserved() == SIZE, "the orders in the org")
        assert kinds([ask(daemon, "C9", "BELT-1", "dubai")]) == ["edition-sold-out"]
        url = f"{daemon.url}/v1/editions/drop/close"
        standing = HTTP.post(url, headers=headers(daemon)).json()
        assert (standing["left"], [share["left"] for share in standing["shares"]]) == (0, [0, 0])
        # What London's own shoppers hold they may still pay for; nobody else sees anything.
        until(lambda: (daemon.shown("BAG-1"), daemon.shown("BELT-1")) == ([LONDON, 0], [0, 0]), "the end")
        assert f"drop is closed: 0 of {SIZE} left, 2 to a client" in told(daemon, "status")
        assert reserved() == SIZE
        assert daemon.terminate() == 0
