"""`sfsync init`: the first settings, the key pair, and what to click in the org."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from rich.text import Text

from sfsync.cli.common import DEFAULT_CONFIG, ConfigOption, JsonOption, err, fail, out, print_json
from sfsync.settings import Problem, SettingsError, load
from sfsync.settings.first import (
    CERTIFICATE_FILE,
    CHECKOUT_FILE,
    KEY_FILE,
    OPERATIONS_FILE,
    SECRET_FILE,
    First,
    FirstShop,
    first_settings,
)

CERTIFICATE_LIFE = timedelta(days=730)
UNKNOWN = "the consumer key"
# What an answer stands beside while it is tried.
SAMPLE_URL = "https://example.my.salesforce.com"
SAMPLE_SHOP = FirstShop("shop", "example.myshopify.com", "1", ("ECOM",))


@dataclass(slots=True)
class Made:
    """What was made, what was there already, and what is still to do."""

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    todo: list[str] = field(default_factory=list)


def init(
    config: ConfigOption = DEFAULT_CONFIG,
    login_url: Annotated[
        str | None, typer.Option(help="The org's My Domain, like https://example.my.salesforce.com.")
    ] = None,
    client_id: Annotated[
        str | None, typer.Option(help="The External Client App's consumer key; may be put in later.")
    ] = None,
    username: Annotated[
        str | None,
        typer.Option(help="The integration user: signs in by a key pair (JWT bearer), without a secret."),
    ] = None,
    secret: Annotated[
        bool, typer.Option("--secret", help="Sign in by the app's consumer secret instead of a key pair.")
    ] = False,
    shop: Annotated[
        str | None, typer.Option(help="A Shopify store, like example-london.myshopify.com.")
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Our name of that store, like london.")] = None,
    location: Annotated[str | None, typer.Option(help="The store's id of its location.")] = None,
    sells_from: Annotated[
        list[str] | None, typer.Option(help="An org location that it sells from; several, best first.")
    ] = None,
    public_url: Annotated[str | None, typer.Option(help="Where shops reach sfsync, https://….")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write the settings anew; the old ones are kept beside them.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a commented settings file, a key pair and tokens, and tell what to click in the org.

    Asks for what no option gives, where a person sits before it, and again where an answer cannot be used.
    Secrets are asked for without an echo, and go into files of their own (mode 600); no option takes one. A
    key, a token or a secret that is there already is kept, whatever is asked.

    Exit codes: 0 written, ready for `sfsync check`; 1 written, something is still to be filled in; 2 an
    answer is wrong or missing, or the settings exist and --force is not given: nothing was written.
    """
    if config.exists() and not force:
        fail(
            f"{config} is there already. Give --force to write it anew (the old one is kept), or --config", 2
        )
    person = sys.stdin.isatty() and not as_json
    whoever = _Person(person, config)
    address, app, user = _org(login_url, client_id, username, whoever, secret=secret)
    store = _shop(shop, channel, location, sells_from, whoever)
    first = First(address, app or UNKNOWN, user, public_url or "", store)
    text = first_settings(first)
    _refuse_wrong(config, text)
    made = Made()
    folder = config.absolute().parent
    _key_or_secret(folder, first, made, person=person)
    for name in (CHECKOUT_FILE, OPERATIONS_FILE):
        _keep(folder / name, lambda: secrets.token_urlsafe(32).encode(), made)
    if store is not None:
        _asked_for(folder / store.access_token_file, "The store's access token", made, person=person)
        _asked_for(folder / store.webhook_secret_file, "The secret of its webhooks", made, person=person)
    _write_settings(config, text, made)
    if not app:
        made.todo.append(f"the app's consumer key goes into {config}, as client_id")
    steps = clicks(first, folder / CERTIFICATE_FILE)
    if as_json:
        print_json({"written": made.written, "kept": made.kept, "todo": made.todo, "in_the_org": steps})
    else:
        _show(config, made, steps)
    raise typer.Exit(1 if made.todo else 0)


# -- asking ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Person:
    """Whoever sits before it, if anybody does: asked again until an answer can be used."""

    there: bool
    config: Path

    def ask(
        self,
        what: str,
        option: str,
        settings: Callable[[str], First],
        key: str,
        *,
        empty: bool = False,
        default: str = "",
    ) -> str:
        """An answer. `settings` are those with it, `key` is what they call it; `empty`: none will do."""
        if not self.there:
            fail(f"{what}: give {option}", 2)
        while True:
            known = default or ("" if empty else None)
            said: str = typer.prompt(what, default=known, show_default=bool(default), err=True)
            answer = said.strip()
            if empty and not answer:
                return ""
            wrong = _trial(self.config, first_settings(settings(answer)))
            if not wrong:
                return answer
            told = next((each for each in wrong if key in each.key), wrong[0])
            err.print(f"  {answer!r} {told.what}. {told.remedy}", style="yellow")


def _org(
    login_url: str | None, client_id: str | None, username: str | None, person: _Person, *, secret: bool
) -> tuple[str, str, str]:
    """The org's address, the app's key ("": later), and the user ("": by the app's secret)."""
    if secret and username:
        fail("--secret and --username: keep one of the two ways to sign in", 2)
    if login_url is None:
        what = "The org's My Domain (https://….my.salesforce.com)"
        login_url = person.ask(what, "--login-url", lambda said: First(said, UNKNOWN), "login_url")
    if username is None and not secret:
        what = "The integration user's name (empty: sign in by the app's secret)"
        username = person.ask(
            what,
            "--username, or --secret",
            lambda said: First(SAMPLE_URL, UNKNOWN, said),
            "username",
            empty=True,
        )
    if client_id is None and person.there:
        what = "The app's consumer key (empty: later)"
        client_id = person.ask(
            what, "--client-id", lambda said: First(SAMPLE_URL, said), "client_id", empty=True
        )
    return login_url, client_id or "", username or ""


def _shop(
    shop: str | None,
    channel: str | None,
    location: str | None,
    sells_from: list[str] | None,
    person: _Person,
) -> FirstShop | None:
    def trial(**known: Any) -> First:
        return First(SAMPLE_URL, UNKNOWN, shop=replace(SAMPLE_SHOP, **known))

    if shop is None and person.there:
        what = "A Shopify store (….myshopify.com; empty: none yet)"
        shop = person.ask(what, "--shop", lambda said: trial(domain=_host(said)), "shop_domain", empty=True)
    if not shop:
        if channel or location or sells_from:
            fail("--channel, --location and --sells-from belong to a --shop", 2)
        return None
    host = _host(shop)
    if channel is None:
        what = "Our name of that store, like london"
        channel = person.ask(what, "--channel", lambda said: trial(name=said), "channels.")
    if location is None:
        what = "The store's id of its location (in the address of its page under Settings → Locations)"
        location = person.ask(what, "--location", lambda said: trial(location=said), ".id")
    if not sells_from:
        what = "The org's locations it sells from, best first, with commas"
        said = person.ask(
            what, "--sells-from", lambda said: trial(sells_from=_list(said)), "sells_from", default="ECOM"
        )
        return FirstShop(channel, host, location, _list(said))
    return FirstShop(channel, host, location, tuple(each.strip() for each in sells_from))


def _host(shop: str) -> str:
    return shop.removeprefix("https://").rstrip("/")


def _list(said: str) -> tuple[str, ...]:
    return tuple(each.strip() for each in said.split(","))


# -- writing ---------------------------------------------------------------------------------------------


def _refuse_wrong(config: Path, text: str) -> None:
    """Leave with every mistake before anything is written."""
    if problems := _trial(config, text):
        wrong = [f"{each.key} {each.what}. {each.remedy}" for each in problems]
        fail(f"{len(wrong)} of these answers cannot be used; nothing was written.", 2, problems=wrong)


def _trial(config: Path, text: str) -> list[Problem]:
    """What `run` would find wrong with it. Nothing stays of the trial."""
    trial = config.absolute().with_name(f".{config.name}.{os.getpid()}")
    try:
        _private(trial, text.encode())
    except OSError as error:
        fail(f"{config.absolute().parent}: {error.strerror}. Make the folder, or let us write there", 2)
    try:
        return _problems(trial)
    finally:
        trial.unlink()


def _problems(path: Path) -> list[Problem]:
    """What is wrong with settings besides the secret files that are not there yet."""
    try:
        load(path, env={})
    except SettingsError as error:
        return [
            each
            for each in error.problems
            if not (each.key.endswith("_file") and "No such file" in each.what)
        ]
    return []


def _private(path: Path, content: bytes) -> None:
    """A new file that only its owner can read, from the first byte on; `FileExistsError` when it is there."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _keep(path: Path, content: Callable[[], bytes], made: Made) -> None:
    """Make a file, unless it is there."""
    try:
        _private(path, content())
    except FileExistsError:
        made.kept.append(str(path))
    else:
        made.written.append(str(path))


def _key_or_secret(folder: Path, first: First, made: Made, *, person: bool) -> None:
    if not first.username:
        _asked_for(folder / SECRET_FILE, "The app's consumer secret", made, person=person)
        return
    _keep(folder / KEY_FILE, _new_key, made)
    try:
        key = serialization.load_pem_private_key((folder / KEY_FILE).read_bytes(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, rsa.RSAPrivateKey):
        what = "is no RSA key that can be read without a passphrase"
        fail(f"{folder / KEY_FILE} {what}. Take it away, and a new one is made", 2)
    if not (folder / CERTIFICATE_FILE).exists():
        (folder / CERTIFICATE_FILE).write_bytes(_certificate(key))
        made.written.append(str(folder / CERTIFICATE_FILE))


def _new_key() -> bytes:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _certificate(key: rsa.RSAPrivateKey) -> bytes:
    """What the app verifies with: signed by the key itself, nobody else vouches for it."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sfsync")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + CERTIFICATE_LIFE)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM)


def _asked_for(path: Path, what: str, made: Made, *, person: bool) -> None:
    """A secret that somebody else made: asked for without an echo, or left to be filled in."""
    if path.exists():
        made.kept.append(str(path))
        return
    said = f"{what} (not shown; empty: later)"
    answer = typer.prompt(said, default="", hide_input=True, show_default=False, err=True) if person else ""
    if answer.strip():
        _keep(path, answer.strip().encode, made)
    else:
        made.todo.append(f"{what[:1].lower()}{what[1:]} goes into {path} (mode 600)")


def _write_settings(config: Path, text: str, made: Made) -> None:
    if config.exists():
        old = config.with_name(f"{config.name}.{datetime.now(UTC):%Y%m%d-%H%M%S-%f}")
        config.rename(old)
        made.kept.append(f"{old} (the settings so far)")
    _private(config.absolute(), text.encode())
    made.written.append(str(config))


# -- telling ---------------------------------------------------------------------------------------------


def clicks(first: First, certificate: Path) -> list[str]:
    """What to do in the org, in order. Screens may be named differently in a release."""
    scope = "Manage user data via APIs (api)"
    if first.username:
        scope += " and Perform requests at any time (refresh_token)"
    steps = [
        "Deploy the metadata: cd salesforce && sf project deploy start --source-dir force-app",
        "Make a user of its own for sfsync, with API access; assign the permission set Sfsync_Integration",
        "Setup → External Client App Manager → New External Client App: enable OAuth; any callback URL (not "
        f"used); scope: {scope}",
    ]
    if first.username:
        steps += [
            f"Flow enablement: JWT Bearer Flow; upload the certificate {certificate}",
            "Policies: Permitted Users: Admin approved users are pre-authorized; select the permission set "
            f"Sfsync_Integration, which {first.username} has",
        ]
    else:
        steps += [
            "Flow enablement: Client Credentials Flow",
            "Policies: client credentials flow on; Run As: that user",
        ]
    steps.append("Settings → OAuth Settings → Consumer Key and Secret: the key is client_id of the settings")
    if not first.username:
        steps[-1] += f", the secret goes into {certificate.with_name(Path(SECRET_FILE).name)}"
    return steps


def _show(config: Path, made: Made, steps: list[str]) -> None:
    for each in made.written:
        out.print(f"written  {each}")
    for each in made.kept:
        out.print(f"kept     {each}")
    out.print(Text.assemble(("\nIn the org", "bold"), " (docs/salesforce-setup.md)"))
    for number, step in enumerate(steps, 1):
        out.print(f"  {number}. {step}")
    if made.todo:
        out.print("\nStill to do", style="bold yellow")
        for each in made.todo:
            out.print(f"  - {each}")
    out.print(f"\nThen: sfsync check --config {config}")
