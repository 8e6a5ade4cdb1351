"""A running daemon reads its settings again: by signal and by command, as a process."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.test_daemon import CHANNEL_SECRETS, CONFIG, HTTP, Daemon, free_port, until

TOKEN = "a-new-token-of-the-house"


def test_a_new_token_works_after_a_signal_and_a_wrong_file_changes_nothing(tmp_path: Path) -> None:
    """Without an org to speak to: who may ask is for the daemon alone to know."""
    config = tmp_path / "sfsync.toml"
    text = CONFIG.read_text().replace("open_status = true", "open_status = false")
    config.write_text(text)
    config.chmod(0o600)
    daemon = Daemon(tmp_path, None, {}, free_port(), config)
    daemon.env |= {"SFSYNC_SALESFORCE__CLIENT_SECRET": "x", **CHANNEL_SECRETS}
    daemon.env["SFSYNC_SALESFORCE__LOGIN_URL"] = "https://127.0.0.1:1"
    daemon.start()
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
