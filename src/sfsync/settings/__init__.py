"""Settings: one TOML file, the environment over it, and secret files beneath; read once, as values.

`load` gives `Settings`, or a `SettingsError` that holds every problem at once, each with its place, its key,
what is wrong and the remedy. Relative paths start at the settings file's folder, wherever they are given.
"""

from __future__ import annotations

import os
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource

from .changes import Change, changes, with_live
from .channel import (
    AmazonSettings,
    CallbackSettings,
    ChannelSettings,
    LocationSettings,
    MiraklSettings,
    ReceiverSettings,
    ShopifyLocationSettings,
    ShopifySettings,
    SiteSettings,
    VendureSettings,
    known_kinds,
    meant_model,
)
from .checks import check_across
from .findings import note_findings
from .lines import key_lines, syntax_error
from .model import (
    AlertReceiverSettings,
    AlertsSettings,
    LocationsSettings,
    LogSettings,
    OrgOrdersSettings,
    PolicySettings,
    ProductsSettings,
    ProxySettings,
    SalesforceSettings,
    Settings,
    StoreSettings,
    TelemetrySettings,
    TokenSettings,
    WebSettings,
)
from .origins import Origins, variable
from .problems import Problem, SettingsError
from .shape import Shape, sections, shape_of, with_kinds
from .sources import SecretFileSource, TreeSource, anchor, drop_replaced, environment_tree, secret_names
from .texts import Name, Secret, Text, refuse
from .till import TillSettings

__all__ = [
    "AlertReceiverSettings",
    "AlertsSettings",
    "AmazonSettings",
    "CallbackSettings",
    "Change",
    "ChannelSettings",
    "LocationSettings",
    "LocationsSettings",
    "LogSettings",
    "MiraklSettings",
    "Name",
    "OrgOrdersSettings",
    "PolicySettings",
    "Problem",
    "ProductsSettings",
    "ProxySettings",
    "ReceiverSettings",
    "SalesforceSettings",
    "Secret",
    "Settings",
    "SettingsError",
    "ShopifyLocationSettings",
    "ShopifySettings",
    "SiteSettings",
    "StoreSettings",
    "TelemetrySettings",
    "Text",
    "TillSettings",
    "TokenSettings",
    "VendureSettings",
    "WebSettings",
    "changes",
    "known_kinds",
    "load",
    "refuse",
    "with_live",
]

_ROOT = shape_of(Settings)


def load(path: Path, env: Mapping[str, str] | None = None) -> Settings:
    """Read the settings from a file and an environment (default: the process's own).

    Raises `SettingsError` with all problems. What works but should be mended is in `Settings.warnings`.
    """
    origins = Origins(path)
    file_tree = _file_tree(path, origins)
    folder = path.resolve().parent
    variables = os.environ if env is None else env
    env_tree = environment_tree(variables, file_tree, _shape(file_tree, variables), origins)
    root = _shape(file_tree, variables, env_tree)
    _check_rights(path, file_tree, root, origins)
    drop_replaced(env_tree, file_tree, root)
    for tree in (env_tree, file_tree):
        anchor(tree, folder, root)
    merged, settings = _validated(env_tree, file_tree, root, origins)
    check_across(merged, root, origins)
    if settings is None or origins.found:
        raise SettingsError(origins.problems())
    settings._folder = folder
    settings._warnings = tuple(origins.warnings)
    return settings


def _file_tree(path: Path, origins: Origins) -> dict[str, Any]:
    """The file's tree, and its lines into `origins`. Without a file all else would be noise: it ends here."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        what, remedy = f"cannot be read: {error.strerror}", "Copy config/example.toml and fill it in"
        raise SettingsError([Problem(str(path), "", what, remedy)]) from None
    except UnicodeDecodeError:
        raise SettingsError([Problem(str(path), "", "is not UTF-8 text", "Save it as UTF-8")]) from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        what, line = syntax_error(error, text)
        where = f"{path}, line {line}"
        raise SettingsError([Problem(where, "", f"is not TOML: {what}", "Mend this line first")]) from None
    origins.lines = key_lines(text)
    return tree


def _validated(
    env_tree: dict[str, Any], file_tree: dict[str, Any], root: Shape, origins: Origins
) -> tuple[dict[str, Any], Settings | None]:
    """The merged raw tree, and the settings made of it where every value is good."""
    secret_files: list[SecretFileSource] = []

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            secret_files.append(SecretFileSource(settings_cls, root, origins))
            return TreeSource(settings_cls, env_tree), TreeSource(settings_cls, file_tree), secret_files[-1]

    settings: Settings | None = None
    try:
        settings = Loaded()
    except ValidationError as error:
        note_findings(error, root, origins)
    return secret_files[-1].merged, settings


def _shape(
    file_tree: dict[str, Any], env: Mapping[str, str], env_tree: Mapping[str, Any] | None = None
) -> Shape:
    """The shape of these settings: which keys a channel has follows from its kind, wherever that is said."""
    said = {name.upper(): value for name, value in env.items()}
    models: dict[str, type[ChannelSettings]] = {}
    for tree in (file_tree, env_tree or {}):
        channels = tree.get("channels")
        for name, table in channels.items() if isinstance(channels, dict) else ():
            kind = table.get("kind") if isinstance(table, dict) else None
            kind = said.get(variable(("channels", name, "kind")), kind)
            if kind is not None or name not in models:
                models[name] = meant_model(kind)
    return with_kinds(_ROOT, models)


def _check_rights(path: Path, file_tree: dict[str, Any], root: Shape, origins: Origins) -> None:
    """A file with secrets in it is for its owner only."""
    secrets = [
        (*at, name)
        for at, shape, section in sections(root, file_tree)
        for name in secret_names(shape)
        if name in section and name != "url"
    ]
    if secrets and path.stat().st_mode & stat.S_IROTH:
        remedy = f"chmod 600 {path}, or move the secret into a file of its own"
        origins.warning(secrets[0], "stands in a file that every user of this machine can read", remedy)
