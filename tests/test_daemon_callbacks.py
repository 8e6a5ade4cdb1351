"""A storefront without an API of its own beside a running daemon: told by callbacks, asking first."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
from tests.sandbox import OrgSandbox, Sandbox, start_org, start_receiver
from tests.test_daemon import HTTP, LEVELS, Daemon, free_port, until
from tests.test_receivers import quantity, running

SECRET = f"whsec_{base64.b64encode(b'between the house and its boutique').decode()}"
TOKEN = "boutique-site-token-0123456789"
SETTINGS = """
[salesforce]
login_url = "https://localhost"
client_id = "sfsync"

[[web.tokens]]
name = "site"
token = "{token}"
scopes = ["reservations", "levels"]
channels = ["*"]

[channels.boutique]
kind = "callback"
url = "http://127.0.0.1:{port}/stock"
allow_private = true
secret = "{secret}"

[channels.boutique.locations.online]
sells_from = ["ECOM"]

[alerts.receivers.pager]
url = "{pager}"
allow_private = true
secret = "{pager_secret}"
kinds = ["incident"]
"""


def ask(daemon: Daemon, method: str, path: str, body: object = None) -> httpx.Response:
    headers = {"authorization": f"Bearer {TOKEN}"}
    return HTTP.request(method, daemon.url + path, json=body, headers=headers)


def test_a_storefront_is_told_asks_first_and_catches_up_after_it_was_away(tmp_path: Path) -> None:
    """From the org's till to the shelf; a cart, an order, a hand-over; a night on which nobody listened."""
    port, config = free_port(), tmp_path / "sfsync.toml"
    with start_org({"levels": LEVELS}) as org, start_receiver() as pager:
        known = {"pager": pager.ready["url"], "pager_secret": pager.ready["secret"]}
        config.write_text(SETTINGS.format(token=TOKEN, port=port, secret=SECRET, **known))
        config.chmod(0o600)
        daemon = Daemon(tmp_path, org, {}, free_port(), config)
        try:
            with running("python", tmp_path, SECRET, PORT=str(port)) as shop:
                checked = daemon.cli("channel", "check", "boutique")
                assert (checked.returncode, "takes signed" in checked.stdout) == (0, True), checked.stdout
                daemon.start("--approve")
                _shows(shop, "SCARF-1", 30)
                org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
                _shows(shop, "BAG-1", 29)
                _sells(daemon, shop)
                _wakes(daemon, org, pager, config)
            org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
            until(lambda: "failing since" in _told(daemon), "the daemon to miss its receiver")
            org.move("BAG-1|ECOM", on_hand=-1, kind="Sale")
            with running("python", tmp_path, SECRET, PORT=str(port)) as shop:
                _shows(shop, "BAG-1", 26)
                until(lambda: "failing since" not in _told(daemon), "the receiver to be known as well")
            assert daemon.terminate() == 0
            assert SECRET not in daemon.log()
        finally:
            if daemon.process is not None and daemon.process.poll() is None:
                daemon.kill()


def _sells(daemon: Daemon, shop: str) -> None:
    """A shopper's unit is nobody else's from the cart on, and gone when it is handed over."""
    line = {"sku": "BAG-1", "quantity": 1}
    wish = {"kind": "cart", "channel": "boutique", "owner": "cart 7", "lines": [line]}
    answer = ask(daemon, "POST", "/v1/reservations", wish)
    assert answer.status_code == 201, answer.text
    place = f"/v1/reservations/{answer.json()['id']}"
    _shows(shop, "BAG-1", 28)
    assert ask(daemon, "POST", f"{place}/confirm", {"order_reference": "order 7"}).status_code == 200
    assert ask(daemon, "POST", f"{place}/hand-over", {"reference": "parcel 7"}).status_code in (200, 202)
    until(lambda: ask(daemon, "GET", place).json()["state"] == "settled", "the hand-over")
    _shows(shop, "BAG-1", 28)
    (level,) = ask(daemon, "GET", "/v1/levels?sku=BAG-1").json()["levels"]
    assert (level["channel"], level["quantity"]) == ("boutique", 28)


def _wakes(daemon: Daemon, org: OrgSandbox, pager: Sandbox, config: Path) -> None:
    """A till sells what a cart holds: somebody is told, and told again when a receipt has covered it.

    So is somebody else, whom the settings name only meanwhile, and who is read of without a restart.
    """
    wish = {"kind": "cart", "channel": "boutique", "owner": "8", "lines": [{"sku": "BELT-1", "quantity": 1}]}
    assert ask(daemon, "POST", "/v1/reservations", wish).status_code == 201
    org.move("BELT-1|ECOM", on_hand=-30, kind="Sale")
    until(lambda: [kind for kind, _ in _alerts(pager)] == ["alert.opened"], "the alert")
    table = config.read_text().partition("[alerts.receivers.pager]")[2]
    config.write_text(f"{config.read_text()}\n[alerts.receivers.second]{table}")
    reloaded = daemon.cli("reload", "--json")
    assert reloaded.returncode == 0, reloaded.stderr
    assert "alerts.receivers.second.url" in reloaded.stdout
    until(lambda: [kind for kind, _ in _alerts(pager)] == ["alert.opened"] * 2, "the second to be told")
    org.move("BELT-1|ECOM", on_hand=5, kind="Receipt")
    until(lambda: [kind for kind, _ in _alerts(pager)][2:] == ["alert.resolved"] * 2, "its end")
    (_, begun), _, (_, over), _ = _alerts(pager)
    assert begun["alert"] == over["alert"]
    assert "BELT-1" in begun["title"]


def _alerts(pager: Sandbox) -> list[tuple[str, Any]]:
    told = [each["message"] for each in pager.control("GET", "/state")["messages"]]
    return [(message["type"], message["data"]) for message in told]


def _told(daemon: Daemon) -> str:
    """What the status says of the storefront."""
    (channel,) = daemon.status()["channels"]
    return str(channel["sentence"])


def _shows(shop: str, sku: str, units: int) -> None:
    until(lambda: quantity(shop, sku) == units, f"{units} of {sku}")
