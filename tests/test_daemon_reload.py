"""A running daemon reads its settings again: by signal and by command, as a process."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from tests.test_daemon import CHANNEL_SECRETS, CONFIG, HTTP, Daemon, free_port, until, world

TOKEN = "a-new-token-of-the-house"


def alone(tmp_path: Path, text: str) -> tuple[Daemon, Path]:
    """A daemon that runs on these settings, with no org to speak to; and the file that they stand in."""
    config = tmp_path / "sfsync.toml"
    config.write_text(text)
    config.chmod(0o600)
    daemon = Daemon(tmp_path, None, {}, free_port(), config)
    daemon.env |= {"SFSYNC_SALESFORCE__CLIENT_SECRET": "x", **CHANNEL_SECRETS}
    daemon.env["SFSYNC_SALESFORCE__LOGIN_URL"] = "https://127.0.0.1:1"
    daemon.start()
    return daemon, config


def test_a_new_token_works_after_a_signal_and_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    """Without an org to speak to: who may ask is for the daemon alone to know."""
    text = CONFIG.read_text().replace("open_status = true", "open_status = false")
    daemon, config = alone(tmp_path, text)
    assert daemon.process is not None
    try:

        def allowed() -> bool:
            headers = {"authorization": f"Bearer {TOKEN}"}
            return HTTP.get(f"{daemon.url}/v1/status", headers=headers).status_code == 200

        assert not allowed()
        token = f'[[web.tokens]]\nname = "screen"\nrole = "viewer"\ntoken = "{TOKEN}"\n'
        config.write_text(f"{text}\n{token}\n[ledger]\nfold_nightly = true\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(allowed, "the new token to be known")
        waiting = daemon.cli("reload")
        assert waiting.returncode == 1, waiting.stderr
        assert "ledger.fold_nightly" in waiting.stdout
        assert "waits for a restart" in waiting.stdout
        config.write_text(text)
        dry = daemon.cli("reload", "--dry-run", "--json")
        assert dry.returncode == 0, dry.stderr
        told = json.loads(dry.stdout)["changes"]
        assert {each["key"].rpartition(".")[0] for each in told} <= {"web.tokens.screen", "web"}
        assert TOKEN not in dry.stdout
        assert allowed()
        config.write_text(text.replace('guarantee = "gated"', 'guarantee = "golden"'))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "what was in force stays so" in daemon.log(), "the refusal")
        assert allowed()
        assert TOKEN not in daemon.log()
    finally:
        assert daemon.terminate() == 0


def test_a_boutique_that_the_shop_may_reserve_at_by_now_is_one_after_a_signal(tmp_path: Path) -> None:
    """Refused with the places that may be; once the settings name it, it is for the org to say."""
    text = f'{CONFIG.read_text()}\n[[web.tokens]]\nname = "shop"\nchannels = ["london"]\ntoken = "{TOKEN}"\n'
    daemon, config = alone(tmp_path, text)
    assert daemon.process is not None
    try:
        wish = {
            "kind": "pick-up",
            "owner": "Anna",
            "lines": [{"sku": "BAG", "quantity": 1, "location": "MAYFAIR"}],
        }

        def asked() -> Any:
            headers = {"authorization": f"Bearer {TOKEN}"}
            return HTTP.post(f"{daemon.url}/v1/reservations", json=wish, headers=headers)

        refused = asked()
        assert refused.status_code == 422, refused.text
        assert refused.json()["errors"] == [
            {
                "field": "lines[0].location",
                "detail": "is none of ECOM, KNIGHTSBRIDGE, where london may reserve; "
                "channels.london.may_reserve_at names others",
            }
        ]
        config.write_text(
            text.replace("[channels.london]", '[channels.london]\nmay_reserve_at = ["MAYFAIR"]')
        )
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "MAYFAIR" in asked().json()["detail"], "the place to be taken over")
        assert asked().json()["type"] == "urn:sfsync:problem:unknown-sku"  # no org has told of any level yet
    finally:
        assert daemon.terminate() == 0


BAGS = [f"BAG-{number:02}" for number in range(1, 25)]


def test_a_mistaken_cap_for_most_bags_is_held_while_sales_go_out_until_a_person_lets_it_go(
    tmp_path: Path,
) -> None:
    """Reload, check, status and why name the channel, the numbers and the command; a till sale goes out."""
    config = tmp_path / "sfsync.toml"
    text = CONFIG.read_text()
    config.write_text(text)
    config.chmod(0o600)
    levels = [{"sku": sku, "location": "ECOM", "on_hand": 9} for sku in BAGS]
    variants = [{"sku": sku, "title": sku, "price": "9.00", "available": {"Online": 0}} for sku in BAGS]
    with world(tmp_path, levels=levels, shop={"locations": ["Online"], "variants": variants}) as (
        org,
        daemon,
    ):
        daemon.config = config
        daemon.env["COLUMNS"] = "250"  # no sentence is cut into lines
        daemon.start()
        until(lambda: [c["levels"] for c in daemon.status()["channels"]] == [24, 24], "the comparison")
        assert "Applied" in daemon.cli("resync", "--yes").stdout
        for sku in BAGS:
            daemon.shows(sku, 9)
        config.write_text(f'{text}\n[[policies]]\nskus = ["BAG-*"]\nchannels = ["london"]\ncap = 2\n')
        sentence = "24 of 24 numbers of london would change; held until `sfsync resync --channel london`."
        for words in (("reload", "--dry-run"), ("reload",)):
            told = daemon.cli(*words)
            assert (told.returncode, sentence in " ".join(told.stderr.split())) == (4, True), told.stderr
        org.move("BAG-01|ECOM", on_hand=-9, kind="Sale")
        org.move("BAG-02|ECOM", on_hand=-1, kind="Sale")
        daemon.shows("BAG-01", 0)
        daemon.shows("BAG-02", 8)
        assert daemon.shown("BAG-03") == [9, 9]

        (london,) = [each for each in daemon.status()["channels"] if each["name"] == "london"]
        assert (london["state"], london["held"], sentence in london["sentence"]) == ("bad", 24, True)
        assert "sfsync resync --channel london" in daemon.cli("status").stdout
        why = daemon.cli("why", "BAG-02", "--channel", "london")
        assert why.returncode == 1
        assert all(words in why.stdout for words in ("held back", "cap 2, before none", "resync --channel"))
        assert "held until" in daemon.cli("check", "london", "--no-skus").stdout
        metric = 'sfsync_channel_levels_held{channel="london"} 24'
        assert metric in HTTP.get(f"{daemon.url}/metrics").text
        assert sentence in daemon.log()

        stopped = daemon.cli("resync", "--json", "--yes")
        assert stopped.returncode == 4, stopped.stdout
        told = json.loads(stopped.stdout)
        assert (told["applied"], told["changes"]) == (False, 23)
        assert {row["code"] for row in told["rows"]} == {"settings-held"}
        assert "23 numbers at london are others by changed settings" in told["warnings"][0]
        assert daemon.shown("BAG-03") == [9, 9]
        assert "Applied" in daemon.cli("resync", "--channel", "london", "--yes-change", "23").stdout
        until(lambda: daemon.shown("BAG-03") == [2, 9], "the cap to hold at london")
        assert daemon.shown("BAG-02") == [2, 8]
        assert daemon.cli("reload").returncode == 0
        assert daemon.terminate() == 0
