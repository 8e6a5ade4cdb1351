"""`sfsync init`: settings that load, a key pair that signs in, and nothing of before is lost or shown."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import tomllib
from contextlib import ExitStack
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from tests.sandbox import SOURCES, start_org
from typer.testing import CliRunner, Result

from sfsync.cli import app
from sfsync.settings import load

ORG = ["--login-url", "https://house.my.salesforce.com", "--client-id", "3MVG9.key"]
BY_KEY = [*ORG, "--username", "sfsync@house.example"]
SHOP = ["--shop", "house-london.myshopify.com", "--channel", "london", "--location", "7"]
PATIENCE_SECONDS = 60.0
TOKEN, HOOK = "shpat_0123456789abcdef", "0123456789-hook"


def sfsync(*words: object, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(app, list(map(str, words)), env=env)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_what_is_written_loads_and_every_secret_is_its_owners_alone(tmp_path: Path) -> None:
    """A key pair that belongs together, two tokens, comments; the clicks name certificate and user."""
    config = tmp_path / "sfsync.toml"
    done = sfsync("init", "-c", config, *BY_KEY, "--public-url", "https://stock.house.example")
    assert done.exit_code == 0, done.output
    settings = load(config, env={})
    assert settings.salesforce.username == "sfsync@house.example"
    assert settings.salesforce.client_secret is None
    assert settings.web.public_url == "https://stock.house.example"
    assert settings.warnings == ()
    secrets = tmp_path / "secrets"
    private = ["checkout-token", "operations-token", "salesforce-key.pem"]
    assert [mode(secrets / name) for name in private] == [0o600] * 3
    key = serialization.load_pem_private_key((secrets / "salesforce-key.pem").read_bytes(), None)
    certificate = x509.load_pem_x509_certificate((secrets / "salesforce-key.crt").read_bytes())
    assert certificate.public_key() == key.public_key()
    said = " ".join(done.stdout.split())
    assert f"upload the certificate {secrets / 'salesforce-key.crt'}" in said
    assert "Sfsync_Integration, which sfsync@house.example has" in said
    for name in private:
        assert (secrets / name).read_text() not in done.output


def test_a_shop_without_its_secrets_yet_is_written_and_what_is_missing_is_told(tmp_path: Path) -> None:
    """Exit code 1, and a list; once the files are there the settings load."""
    config = tmp_path / "sfsync.toml"
    done = sfsync("init", "-c", config, *ORG, "--secret", *SHOP, "--sells-from", "ECOM", "--json")
    assert done.exit_code == 1, done.output
    todo = json.loads(done.stdout)["todo"]
    assert len(todo) == 3
    for name in ("salesforce-client-secret", "london-access-token", "london-webhook-secret"):
        assert any(str(tmp_path / "secrets" / name) in each for each in todo)
        (tmp_path / "secrets" / name).write_text("a secret of some length")
    assert load(config, env={}).channels["london"].locations["online"].sells_from == ("ECOM",)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([*ORG], "give --username, or --secret"),
        (["--secret"], "give --login-url"),
        (["--login-url", "house", "--secret"], "salesforce.login_url"),
        (
            ["--login-url", "https://house.lightning.force.com", "--secret"],
            "Give its My Domain: https://house.my.salesforce.com",
        ),
        (
            ["--login-url", "https://house--uat.sandbox.my.salesforce-setup.com", "--secret"],
            "Give its My Domain: https://house--uat.sandbox.my.salesforce.com",
        ),
        ([*BY_KEY, "--secret"], "keep one of the two ways"),
        ([*BY_KEY, "--shop", "house.myshopify.com", "--channel", "lon don", *SHOP[4:]], "--sells-from"),
        ([*BY_KEY, *SHOP[:2], "--channel", "lon don", *SHOP[4:], "--sells-from", "A"], "channels.lon don"),
        ([*BY_KEY, "--channel", "london"], "belong to a --shop"),
    ],
)
def test_an_answer_that_is_missing_or_wrong_writes_nothing(
    tmp_path: Path, words: list[str], says: str
) -> None:
    """Exit code 2 with the option or key that mends it, and an empty folder."""
    done = sfsync("init", "-c", tmp_path / "sfsync.toml", *words)
    assert done.exit_code == 2
    assert says in " ".join(done.output.split())
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_kept_whatever_is_asked(tmp_path: Path) -> None:
    """Settings only go aside with --force; a key and a token never do."""
    config = tmp_path / "sfsync.toml"
    assert sfsync("init", "-c", config, *BY_KEY).exit_code == 0
    before = {path: path.read_bytes() for path in [config, *(tmp_path / "secrets").iterdir()]}
    again = sfsync("init", "-c", config, *BY_KEY)
    assert again.exit_code == 2
    assert "--force" in again.output
    forced = sfsync("init", "-c", config, *BY_KEY, "--public-url", "https://other.example", "--force")
    assert forced.exit_code == 0
    assert all(path.read_bytes() == content for path, content in before.items() if path != config)
    (old,) = tmp_path.glob("sfsync.toml.*")
    assert old.read_bytes() == before[config]
    assert tomllib.loads(config.read_text())["web"]["public_url"] == "https://other.example"


def test_the_key_signs_in_and_the_check_says_that_all_is_well(tmp_path: Path) -> None:
    """A key that was there already, as an org knows it; then one that it does not know."""
    with start_org({"levels": []}) as org:
        ready = org.ready
        key = tmp_path / "secrets" / "salesforce-key.pem"
        key.parent.mkdir()
        key.write_bytes(Path(ready["jwt_key_file"]).read_bytes())
        key.chmod(0o600)
        config = tmp_path / "sfsync.toml"
        words = ["--login-url", ready["rest_url"], "--client-id", ready["client_id"]]
        assert sfsync("init", "-c", config, *words, "--username", ready["username"]).exit_code == 0
        env = {
            "SFSYNC_SALESFORCE__CA_FILE": ready["ca_file"],
            "SFSYNC_SALESFORCE__PUBSUB_ENDPOINT": ready["grpc_tls"],
        }
        well = sfsync("check", "org", "-c", config, env=env)
        assert well.exit_code == 0, well.output
        key.unlink()
        assert sfsync("init", "-c", config, *words, "--username", "nobody", "--force").exit_code == 0
        stranger = sfsync("check", "org", "-c", config, "--json", env=env)
        assert stranger.exit_code == 4
        told = json.loads(stranger.stdout)["parts"][0]["findings"][-1]
        assert "invalid assertion" in told["finding"]
        assert "certificate of private_key" in told["remedy"]


def test_a_person_is_asked_and_a_secret_is_not_shown(tmp_path: Path) -> None:
    """Answers on a terminal; the secrets stand in their files and nowhere on the screen."""
    answers = [
        "house",  # asked again
        "https://house.my.salesforce.com",
        "sfsync@house.example",
        "3MVG9.key",
        "house london",  # asked again
        "house-london.myshopify.com",
        "lon don",  # asked again
        "london",
        "7",
        "ECOM, KNIGHTSBRIDGE",
        TOKEN,
        HOOK,
    ]
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "sfsync", "init", "-c", str(tmp_path / "sfsync.toml")]
    env = {**os.environ, "PYTHONPATH": str(SOURCES), "TERM": "dumb"}
    with ExitStack() as ending:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=env,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509 — one system call, before anything of ours runs
        )
        os.close(theirs)
        ending.callback(process.kill)
        screen = b""
        for answer in answers:
            asked = b""
            while not asked.endswith(b": "):
                chunk = _read(ours)
                assert chunk, (screen + asked).decode()
                asked += chunk
            screen += asked
            os.write(ours, answer.encode() + b"\n")
        while chunk := _read(ours):
            screen += chunk
        assert process.wait(60) == 0, screen.decode()
    os.close(ours)
    settings = load(tmp_path / "sfsync.toml", env={})
    assert settings.channels["london"].locations["online"].sells_from == ("ECOM", "KNIGHTSBRIDGE")
    assert (tmp_path / "secrets" / "london-access-token").read_text() == TOKEN
    assert mode(tmp_path / "secrets" / "london-webhook-secret") == 0o600
    for told in (
        "'house' is not a web address",
        "'house london' is not a host name",
        "'lon don' is not a name",
    ):
        assert told.encode() in screen
    assert TOKEN.encode() not in screen
    assert HOOK.encode() not in screen


def _take_terminal() -> None:
    """A password is asked for at the terminal that the process belongs to, whatever its input is."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read(terminal: int) -> bytes:
    assert select.select([terminal], [], [], PATIENCE_SECONDS)[0], "it neither asks nor ends"
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody holds its other end any more
        return b""
