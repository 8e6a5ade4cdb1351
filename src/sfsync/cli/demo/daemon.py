"""sfsync itself, as the demo starts it, kills it, and asks it by its public HTTP API."""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import httpx

from sfsync.resources import config_folder

from .outside import Org, Shop
from .processes import Child, DemoError, Stage, is_free, port_to_use

START_SECONDS = 60.0
LEASH = Path(__file__).with_name("leash.py")


class Daemon:
    """The daemon's process and its address. Its settings are `config/demo.toml` and the environment."""

    def __init__(self, stage: Stage, org: Org, shops: Mapping[str, Shop]) -> None:
        self._stage = stage
        self._token = secrets.token_urlsafe(24)
        self.operators_token = secrets.token_urlsafe(12)  # short: a person types it
        self._env = self._settings(org, shops)
        headers = {"authorization": f"Bearer {self._token}"}
        self._http = httpx.AsyncClient(headers=headers, timeout=20.0, trust_env=False)
        self._child: Child | None = None
        self.address = ""

    def _settings(self, org: Org, shops: Mapping[str, Shop]) -> dict[str, str]:
        tokens: list[dict[str, object]] = [
            {
                "name": "storefronts",
                "token": self._token,
                "scopes": ["reservations", "view"],
                "channels": [*shops],
            },
            {"name": "operator", "token": self.operators_token, "role": "operator"},
        ]
        env = {
            "STORE__URL": f"sqlite:///{self._stage.folder / 'sfsync.db'}",
            "WEB__TOKENS": json.dumps(tokens),
            "LOG__FORMAT": "json",
            "SALESFORCE__LOGIN_URL": org.ready["rest_url"],
            "SALESFORCE__CLIENT_ID": org.ready["client_id"],
            "SALESFORCE__CLIENT_SECRET": org.ready["client_secret"],
            "SALESFORCE__PUBSUB_ENDPOINT": org.ready["grpc_tls"],
            "SALESFORCE__CA_FILE": org.ready["ca_file"],
        }
        for name, shop in shops.items():
            channel = f"CHANNELS__{name.upper()}"
            env[f"{channel}__URL"] = shop.ready["url"]
            env[f"{channel}__SHOP_DOMAIN"] = shop.ready["shop_domain"]
            env[f"{channel}__ACCESS_TOKEN"] = shop.ready["access_token"]
            env[f"{channel}__WEBHOOK_SECRET"] = shop.ready["webhook_secret"]
            env[f"{channel}__LOCATIONS__ONLINE__ID"] = shop.ready["locations"][0]["id"]
        return {f"SFSYNC_{name}": text for name, text in env.items()}

    @property
    def child(self) -> Child:
        """Its process."""
        if self._child is None:
            raise DemoError("the daemon was not started")
        return self._child

    async def open(self, wished_port: int) -> None:
        """Start it for the first time, at this port where that is free; returns when it listens."""
        for port in (wished_port, 0, 0):
            port = port_to_use(port)
            self.address = f"http://127.0.0.1:{port}"
            self._http.base_url = httpx.URL(self.address)
            self._env["SFSYNC_WEB__PORT"] = str(port)
            self._env["SFSYNC_WEB__PUBLIC_URL"] = self.address
            try:
                await self.start()
            except DemoError:
                if self.child.ended is None or is_free(port):
                    raise
                self.child.wanted = False  # somebody else took the port after we had looked
            else:
                return
        raise DemoError("every port was taken by others before sfsync could listen")

    async def set_up(self, channels: Iterable[str]) -> None:
        """Have the storefronts send their webhooks here, as an admin does: `sfsync channel setup`."""
        typed = [self._sfsync(f"setup-{name}", "channel", "setup", name) for name in channels]
        for child in typed:
            child.wanted = False  # it ends by itself
        for child in typed:

            async def over(child: Child = child) -> int | None:
                return child.ended

            if await self._stage.until(f"sfsync {child.name}", over, START_SECONDS, concerned=child):
                raise DemoError(f"sfsync {child.name} ended with {child.ended}. {child.tail()}")
            child.let_go()

    def _sfsync(self, name: str, *words: str) -> Child:
        """One of its commands, as a process of its own that goes with us."""
        command = ["-P", str(LEASH), *words, "--config", str(config_folder() / "demo.toml")]
        return self._stage.start(name, command, **self._env)

    async def start(self) -> None:
        """Start it; returns when it listens."""
        self._child = self._sfsync("sfsync", "run", "--approve")

        async def listening() -> bool | None:
            # Only our own daemon knows our token: another one may listen at the port that ours wanted.
            return (await self._http.get("/v1/status")).is_success or None

        await self._stage.until("sfsync to listen", listening, START_SECONDS)

    def kill(self) -> bool:
        """SIGKILL: no time for a last word. True when that is what ended it."""
        self.child.wanted = False
        self.child.signal(signal.SIGKILL)
        self.child.wait(10.0)
        return self.child.ended == -signal.SIGKILL

    async def status(self) -> Any:
        """`GET /v1/status`."""
        answer = await self._http.get("/v1/status")
        if not answer.is_success:
            raise DemoError(f"GET /v1/status was answered {answer.status_code}: {answer.text[:500]}")
        return answer.json()

    async def reserve(self, channel: str, sku: str) -> tuple[int, Any]:
        """A checkout at a storefront asks for one unit; the HTTP status and the body."""
        wish = {"kind": "cart", "channel": channel, "owner": f"cart at {channel}"}
        return await self.ask("/v1/reservations", {**wish, "lines": [{"sku": sku, "quantity": 1}]})

    async def confirm(self, reservation: str, order: str) -> int:
        """The customer has paid; the HTTP status."""
        return (await self.ask(f"/v1/reservations/{reservation}/confirm", {"order_reference": order}))[0]

    async def ask(self, path: str, body: object, **headers: str) -> tuple[int, Any]:
        """POST to its API; the HTTP status and the body."""
        answer = await self._http.post(path, json=body, headers=headers)
        return answer.status_code, answer.json()

    async def close(self) -> None:
        """Let go of its connections; the stage ends the process."""
        await self._http.aclose()
