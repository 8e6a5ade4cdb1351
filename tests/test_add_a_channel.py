"""docs/add-a-channel.md is followed to the letter: its package is cut out, installed and run."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.sandbox import SOURCES, start_org
from tests.test_daemon import HTTP, Daemon, free_port, until

PAGE = Path(__file__).resolve().parents[1] / "docs" / "add-a-channel.md"
BLOCK = re.compile(r"^`([\w.]+)`:\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TOKEN = "kiosk-token-for-tests"
SETTINGS = """
[salesforce]
login_url = "https://localhost:8443"
client_id = "sfsync-test"
pubsub_endpoint = "localhost:7443"

[web]
open_status = true

[channels.corner]
kind = "kiosk"
url = "{url}"
token_file = "corner-token"

[channels.corner.locations.corner]
sells_from = ["ECOM"]
"""
# The same kiosk through an adapter that sends plain numbers under no key, as most marketplaces want it.
WEAK = '''
from dataclasses import replace

import orjson
import pytest

import sfsync_kiosk
import test_kiosk
from test_kiosk import Keeper, kiosk, party  # noqa: F401


class Plain(sfsync_kiosk.Kiosk):
    ability = replace(sfsync_kiosk.Kiosk.ability, relative=False, key_life_seconds=0)

    def encode(self, key, writes):
        rows = [{"item": write.item_id, "quantity": write.quantity} for write in writes]
        return orjson.dumps({"key": "", "rows": rows})


class TestPlain(test_kiosk.ChannelExam):
    """The same questions, less those that it says it cannot answer."""

    @pytest.fixture(autouse=True)
    def plain(self, monkeypatch):
        monkeypatch.setattr(Keeper, "kind", replace(sfsync_kiosk.KIOSK, open=Plain))
'''


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files in a folder, and beside them what an installer makes of its entry points."""
    folder = tmp_path_factory.mktemp("kiosk")
    files = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    assert sorted(files) == [
        "kiosk_server.py",
        "pyproject.toml",
        "sfsync_kiosk.py",
        "sfsync_signed.py",
        "test_kiosk.py",
        "test_signed.py",
    ]
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "test_plain.py").write_text(WEAK)
    info = folder / "sfsync_kiosk-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: sfsync-kiosk\nVersion: 0.1.0\n")
    points = re.findall(r'^([\w-]+) = "(sfsync_\w+:\w+)"$', files["pyproject.toml"], re.MULTILINE)
    assert len(points) == 2
    lines = "".join(f"{kind} = {point}\n" for kind, point in points)
    (info / "entry_points.txt").write_text(f"[sfsync.channels]\n{lines}")
    return folder


def environment(package: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{package}"}


UNABLE = {
    "it sends no webhooks",
    "it sends webhooks",
    "it tells nothing of numbers",
    "it takes no cancellations",
    "the channel cannot compare",
    "the channel takes numbers only",
    "the channel remembers no keys",
    "it opens no reader that cannot write",
}


def test_the_pages_channel_sits_the_exam(package: Path) -> None:
    """Taking changes, plain numbers or numbers on condition: what it cannot do is skipped, the rest holds."""
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"],
        cwd=package,
        env=environment(package),
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout
    assert set(re.findall(r"^SKIPPED .*: (.*)$", ran.stdout, re.MULTILINE)) == UNABLE
    (passed,) = re.findall(r"(\d+) passed", ran.stdout)
    assert int(passed) > 80


@contextmanager
def kiosk(package: Path) -> Iterator[str]:
    """The page's kiosk, with one bag on its shelf; its address."""
    command = [sys.executable, str(package / "kiosk_server.py")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        url = f"http://127.0.0.1:{process.stdout.readline().strip()}"
        keep(url, "stock", {"BAG-1": 1})
        try:
            yield url
        finally:
            process.stdin.close()


def keep(url: str, what: str, told: Mapping[str, Any]) -> None:
    """The kiosk's keeper does something."""
    HTTP.post(f"{url}/keeper/{what}", json=told).raise_for_status()


def test_a_channel_of_another_package_is_kept_right_by_the_daemon(tmp_path: Path, package: Path) -> None:
    """Named in the settings, checked, brought to the org's number, and its sale is entered in the org."""
    levels = [{"sku": "BAG-1", "location": "ECOM", "on_hand": 7}]
    with kiosk(package) as url, start_org({"levels": levels}) as org:
        keep(url, "sell", {"BAG-1": 1})  # before sfsync knew of it: somebody else's to enter
        (tmp_path / "sfsync.toml").write_text(SETTINGS.format(url=url))
        (tmp_path / "corner-token").write_text(TOKEN)
        (tmp_path / "corner-token").chmod(0o600)
        daemon = Daemon(tmp_path, org, {}, free_port(), tmp_path / "sfsync.toml")
        daemon.env["PYTHONPATH"] = environment(package)["PYTHONPATH"]
        listed = json.loads(daemon.cli_without_settings("channel", "kinds", "--json").stdout)
        found = {(row["kind"], row["from"], row["problem"]) for row in listed}
        assert found >= {(kind, "sfsync-kiosk 0.1.0", "") for kind in ("kiosk", "signed-kiosk")}
        assert daemon.command("channel", "check", "corner").returncode == 0
        try:
            daemon.start("--approve")
            until(lambda: HTTP.get(f"{url}/keeper/shows").json() == {"BAG-1": 7}, "the kiosk to show 7")
            org.move("BAG-1|ECOM", on_hand=-2, kind="Sale")
            until(lambda: HTTP.get(f"{url}/keeper/shows").json() == {"BAG-1": 5}, "the kiosk to show 5")
            assert daemon.terminate() == 0
            keep(url, "sell", {"BAG-1": 1})
            daemon.start()
            until(lambda: org.level("BAG-1|ECOM")["Reserved__c"] == 1, "the kiosk's sale in the org")
            assert HTTP.get(f"{url}/keeper/shows").json() == {"BAG-1": 4}
            (channel,) = daemon.status()["channels"]
            assert (channel["name"], channel["kind"]) == ("corner", "kiosk")
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def test_a_signed_channel_of_another_package_is_heard_and_never_gone_over(
    tmp_path: Path, package: Path
) -> None:
    """Its webhook enters a sale at once; one whose webhook was lost stops the next number, and is heard."""
    levels = [{"sku": "BAG-1", "location": "ECOM", "on_hand": 7}]
    with kiosk(package) as url, start_org({"levels": levels}) as org:
        settings = SETTINGS.format(url=url).replace('"kiosk"', '"signed-kiosk"')
        secret = 'token_file = "corner-token"\nwebhook_secret = "kiosk-secret-for-tests"'
        (tmp_path / "sfsync.toml").write_text(settings.replace('token_file = "corner-token"', secret))
        (tmp_path / "corner-token").write_text(TOKEN)
        (tmp_path / "corner-token").chmod(0o600)
        daemon = Daemon(tmp_path, org, {}, free_port(), tmp_path / "sfsync.toml")
        daemon.env["PYTHONPATH"] = environment(package)["PYTHONPATH"]
        try:
            daemon.start("--approve")
            until(lambda: HTTP.get(f"{url}/keeper/shows").json() == {"BAG-1": 7}, "the kiosk to show 7")
            keep(url, "hear", {"url": f"{daemon.url}/webhooks/corner"})
            keep(url, "sell", {"BAG-1": 1})
            until(lambda: org.level("BAG-1|ECOM")["Reserved__c"] == 1, "the sale that was told")
            keep(url, "hear", {"url": ""})
            keep(url, "sell", {"BAG-1": 1})
            org.move("BAG-1|ECOM", on_hand=-2, kind="Sale")
            until(lambda: org.level("BAG-1|ECOM")["Reserved__c"] == 2, "the sale that was not told")
            until(lambda: HTTP.get(f"{url}/keeper/shows").json() == {"BAG-1": 3}, "the kiosk to show 3")
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()
