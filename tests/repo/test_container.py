"""The container, as far as files can tell: what compose mounts is what the example settings look for."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

TOP = Path(__file__).resolve().parents[2]
DOCKERFILE = (TOP / "Dockerfile").read_text()
COMPOSE = (TOP / "compose.yaml").read_text()


def secret_files(table: Any) -> set[str]:
    """Return each `…_file = "secrets/…"` of a settings tree, without the folder."""
    if isinstance(table, list):
        return set().union(*map(secret_files, table))
    if not isinstance(table, dict):
        return set()
    own = {
        value.removeprefix("secrets/")
        for key, value in table.items()
        if key.endswith("_file") and isinstance(value, str) and value.startswith("secrets/")
    }
    return own.union(*map(secret_files, table.values()))


def test_compose_mounts_each_secret_where_the_example_settings_look_for_it() -> None:
    """One settings file serves beside a checkout and in a container, without a changed line."""
    named = secret_files(tomllib.loads((TOP / "config" / "example.toml").read_text()))
    assert named
    assert set(re.findall(r"target: /etc/sfsync/secrets/(\S+)", COMPOSE)) == named
    assert set(re.findall(r"^  (\S+): \{file: \./secrets/\1\}", COMPOSE, flags=re.MULTILINE)) == named


def test_the_container_runs_as_a_numbered_user_that_can_write_to_one_volume_only() -> None:
    """A name would hide from Kubernetes whether it is root; a writable root would hide what is kept."""
    assert re.findall(r"^USER (.+)$", DOCKERFILE, flags=re.MULTILINE) == ["10001:10001"]
    assert re.findall(r"^VOLUME (.+)$", DOCKERFILE, flags=re.MULTILINE) == ["/var/lib/sfsync"]
    for hardening in ("read_only: true", "cap_drop: [ALL]", "no-new-privileges:true"):
        assert hardening in COMPOSE


def test_the_port_is_the_same_wherever_it_is_said() -> None:
    """Settings, image, health check and compose speak of one port."""
    ports = {*re.findall(r"SFSYNC_WEB__PORT=(\d+)|EXPOSE (\d+)|127\.0\.0\.1:(\d+)/healthz", DOCKERFILE)}
    assert {port for found in ports for port in found if port} == {"8181"}
    assert '"127.0.0.1:8181:8181"' in COMPOSE


def test_every_base_image_is_pinned_to_a_minor_version_of_python() -> None:
    """`latest` would be another Python one day, without the tests having run on it."""
    assert set(re.findall(r"^FROM (\S+)", DOCKERFILE, flags=re.MULTILINE)) == {"python:3.13-slim"}
