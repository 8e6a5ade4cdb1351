"""Settings: one file, the environment over it, secret files beneath; all problems at once, no secret told."""

from __future__ import annotations

import base64
import json
import os
import tomllib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from sfsync.channels.config import SHOPIFY_API_VERSIONS
from sfsync.domain.assortment import PLENTY
from sfsync.domain.ats import Guarantee
from sfsync.domain.block import BlockRule
from sfsync.domain.editions import Edition
from sfsync.domain.tills import Restart
from sfsync.resources import config_folder
from sfsync.settings import Problem, Settings, SettingsError, ShopifySettings, load

SECRET = "a-secret-that-must-not-be-told"
GOOD = f"""\
[salesforce]
login_url = "https://house.my.salesforce.com"
client_id = "sfsync"
client_secret = "{SECRET}"

[[web.tokens]]
name = "checkout"
token = "{SECRET}"
channels = ["*"]

[channels.london]
kind = "shopify"
url = "https://london.myshopify.com"
shop_domain = "london.myshopify.com"
access_token = "{SECRET}"
webhook_secret = "{SECRET}"

[channels.london.locations.online]
id = "gid://shopify/Location/1"
sells_from = ["ECOM", "KNIGHTSBRIDGE"]
"""
DEMO_ENVIRONMENT = {
    "SFSYNC_SALESFORCE__CLIENT_SECRET": SECRET,
    **{
        f"SFSYNC_CHANNELS__{channel}__{key}": SECRET
        for channel in ("LONDON", "DUBAI")
        for key in ("ACCESS_TOKEN", "WEBHOOK_SECRET")
    },
}

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the text of a settings file, readable by its owner only."""

    def write(text: str) -> Path:
        path = tmp_path / "sfsync.toml"
        path.write_text(text, encoding="utf-8")
        path.chmod(0o600)
        return path

    return write


def secret_of(settings: Settings) -> str:
    """The org's client secret."""
    assert settings.salesforce.client_secret is not None
    return settings.salesforce.client_secret.get_secret_value()


def problems_of(path: Path, env: Mapping[str, str] | None = None) -> tuple[Problem, ...]:
    with pytest.raises(SettingsError) as caught:
        load(path, env or {})
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    return caught.value.problems


def shopify(settings: Settings, name: str) -> ShopifySettings:
    """A channel that is a Shopify store."""
    channel = settings.channels[name]
    assert isinstance(channel, ShopifySettings)
    return channel


def test_three_mistakes_are_reported_together_with_line_key_and_remedy(write: Write) -> None:
    """A config with three mistakes reports all three with file, key and remedy."""
    path = write(
        GOOD.replace("client_id =", "clent_id =").replace('kind = "shopify"', 'kind = "shopfy"')
        + '\n[web]\nport = "many"\n'
    )
    assert [(problem.where, problem.key) for problem in problems_of(path)] == [
        (f"{path}, line 3", "salesforce.clent_id"),
        (f"{path}, line 12", "channels.london.kind"),
        (f"{path}, line 23", "web.port"),
    ]
    misspelt, wrong_word, wrong_type = problems_of(path)
    assert "client_id" in misspelt.remedy
    assert "'many', not a whole number" in wrong_type.what
    assert "shopify" in wrong_word.remedy


def test_good_settings_give_plain_values(write: Write) -> None:
    """What the file says and what it leaves out come back as values with their units' defaults."""
    settings = load(write(GOOD), {})
    assert secret_of(settings) == SECRET
    assert settings.salesforce.silence_seconds == 330
    assert settings.web.port == 8181
    assert shopify(settings, "london").timeout_seconds == 10
    assert settings.warnings == ()


def test_the_environment_overrides_the_file_key_by_key(write: Write) -> None:
    """A variable replaces one key and leaves its neighbours; lists may be JSON or have commas."""
    settings = load(
        write(GOOD),
        {
            "SFSYNC_CHANNELS__LONDON__URL": "https://other.myshopify.com/",
            "SFSYNC_CHANNELS__LONDON__LOCATIONS__ONLINE__SELLS_FROM": "DUBAI-MALL, ECOM",
            "SFSYNC_SALESFORCE__PUBSUB_TLS": "false",
            "SFSYNC_POLICIES": '[{"skus": ["LE-*"], "cap": 1}]',
            "SFSYNC_REQUIRE": "all",
        },
    )
    london = shopify(settings, "london")
    assert london.url == "https://other.myshopify.com"
    assert london.shop_domain == "london.myshopify.com"
    assert london.locations["online"].sells_from == ("DUBAI-MALL", "ECOM")
    assert not settings.salesforce.pubsub_tls
    assert settings.policies[0].cap == 1


def test_a_name_with_a_dash_is_reached_by_an_underscore(write: Write) -> None:
    """Variables have no dashes: the file's own spelling of a channel's name counts."""
    text = GOOD.replace("channels.london", "channels.london-west")
    settings = load(write(text), {"SFSYNC_CHANNELS__LONDON_WEST__CAP": "3"})
    assert settings.channels["london-west"].cap == 3


def test_a_channel_may_come_from_the_environment_alone(write: Write) -> None:
    """Without a table in the file, variables make the whole channel."""
    text = GOOD[: GOOD.index("[channels")]
    channel = tomllib.loads(GOOD)["channels"]["london"]
    assert (
        load(write(text), {"SFSYNC_CHANNELS": json.dumps({"paris": channel})}).channels["paris"].cap is None
    )


def test_an_unknown_variable_is_told_with_the_nearest_known(write: Write) -> None:
    """Both a wrong word and a missing underscore are named, with the variable that was meant."""
    found = problems_of(
        write(GOOD), {"SFSYNC_LOG_LEVEL": "info", "SFSYNC_CHANNELS__LONDON__WEBHOK_SECRET": "x"}
    )
    assert [(problem.where, problem.remedy) for problem in found] == [
        (
            "environment variable SFSYNC_CHANNELS__LONDON__WEBHOK_SECRET",
            "Did you mean SFSYNC_CHANNELS__LONDON__WEBHOOK_SECRET?",
        ),
        ("environment variable SFSYNC_LOG_LEVEL", "Did you mean SFSYNC_LOG__LEVEL?"),
    ]


def test_a_wrong_value_in_a_variable_names_the_variable(write: Write) -> None:
    """The place to look at is the environment, although the file has the key too."""
    (found,) = problems_of(write(GOOD + "[web]\nport = 1\n"), {"SFSYNC_WEB__PORT": "70000"})
    assert found.where == "environment variable SFSYNC_WEB__PORT"
    assert found.what == "is '70000'; it must be at most 65535"


@pytest.mark.parametrize("ending", ["", "\n", "\r\n"])
def test_a_secret_file_gives_the_secret_without_its_trailing_newline(
    write: Write, tmp_path: Path, ending: str
) -> None:
    """The path is relative to the settings file; blanks within the secret stay."""
    secret = tmp_path / "secret"
    secret.write_bytes(f" {SECRET} {ending}".encode())
    secret.chmod(0o600)
    path = write(GOOD.replace(f'client_secret = "{SECRET}"', 'client_secret_file = "secret"'))
    settings = load(path, {})
    assert secret_of(settings) == f" {SECRET} "
    assert settings.warnings == ()


def test_secret_files_work_inside_lists_of_tables(write: Write, tmp_path: Path) -> None:
    """A token's file is read like any other, from the file and from a variable."""
    (tmp_path / "token").write_text(SECRET)
    path = write(GOOD.replace(f'token = "{SECRET}"', 'token_file = "token"', 1))
    assert load(path, {}).web.tokens[0].token.get_secret_value() == SECRET
    variable = {"SFSYNC_WEB__TOKENS": '[{"name": "till", "token_file": "token", "role": "viewer"}]'}
    (token,) = load(write(GOOD), variable).web.tokens
    assert (token.name, token.token.get_secret_value()) == ("till", SECRET)


def test_a_secret_given_twice_is_a_problem(write: Write, tmp_path: Path) -> None:
    """`x` and `x_file` in one place contradict each other."""
    (tmp_path / "secret").write_text(SECRET)
    (found,) = problems_of(write(GOOD.replace("client_id", 'client_secret_file = "secret"\nclient_id')))
    assert found.key == "salesforce.client_secret_file"
    assert found.what == "is given, and client_secret too"


def test_a_secret_in_the_environment_replaces_the_files_in_either_form(write: Write, tmp_path: Path) -> None:
    """The environment wins as a whole: no contradiction with the other form in the file."""
    path = write(GOOD.replace(f'client_secret = "{SECRET}"', 'client_secret_file = "missing"'))
    assert load(path, {"SFSYNC_SALESFORCE__CLIENT_SECRET": "new"}).salesforce.client_secret_file is None
    (tmp_path / "secret").write_text("newer")
    settings = load(write(GOOD), {"SFSYNC_SALESFORCE__CLIENT_SECRET_FILE": str(tmp_path / "secret")})
    assert secret_of(settings) == "newer"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "No such file"),
        (b"", "is empty"),
        (b"\n", "is empty"),
        (b"\xff\xfe", "not UTF-8"),
        (b"x" * 70_000, "more than"),
    ],
)
def test_an_unusable_secret_file_is_one_problem(
    write: Write, tmp_path: Path, content: bytes | None, words: str
) -> None:
    """It is told once, with its reason, and not as a missing secret too."""
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    (found,) = problems_of(
        write(GOOD.replace(f'client_secret = "{SECRET}"', 'client_secret_file = "secret"'))
    )
    assert found.key == "salesforce.client_secret_file"
    assert words in found.what


def test_secrets_that_everybody_may_read_are_a_warning(write: Write, tmp_path: Path) -> None:
    """Both a secret file and a settings file with secrets in it, with the command that mends it."""
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    secret.chmod(0o644)
    path = write(GOOD.replace(f'client_secret = "{SECRET}"', 'client_secret_file = "secret"'))
    path.chmod(0o644)
    warnings = load(path, {}).warnings
    assert [warning.key for warning in warnings] == ["web.tokens[0].token", "salesforce.client_secret_file"]
    assert all("chmod 600" in warning.remedy for warning in warnings)
    assert SECRET not in str(warnings)


def test_no_text_of_the_settings_holds_a_secret(write: Write) -> None:
    """Neither repr, str nor JSON tells one, a password in the store's URL included."""
    settings = load(write(GOOD), {"SFSYNC_STORE__URL": f"postgresql://u:{SECRET}@db/sfsync"})
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert SECRET not in text
    assert settings.store_url() == f"postgresql+psycopg://u:{SECRET}@db/sfsync"


@pytest.mark.parametrize(
    "change",
    [
        {"SFSYNC_WEB__TOKENS": SECRET},
        {"SFSYNC_WEB__TOKENS": json.dumps([SECRET])},
        {"SFSYNC_WEB__TOKENS": json.dumps([{"name": "a", "token": [SECRET]}])},
        {"SFSYNC_WEB__TOKENS": json.dumps([{"name": "a", "token": SECRET, "key": SECRET}])},
        {"SFSYNC_STORE__URL": f"mysql://u:{SECRET}@db"},
        {"SFSYNC_CHANNELS__LONDON": SECRET},
        {"SFSYNC_CHANNELS__LONDON__URL": f"https://u:{SECRET}@x"},
        {"SFSYNC_SALESFORCE": json.dumps({"client_secret": {"a": SECRET}})},
        {"SFSYNC_SALESFORCE__CLIENT_SECRET": ""},
        {"SFSYNC_SALESFORCE__CLIENT_SECRETS": SECRET},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_secret_in_the_wrong_place_is_not_repeated(write: Write, change: dict[str, str]) -> None:
    """Whatever is wrong around a secret, the report names the key and keeps the value to itself."""
    assert problems_of(write(GOOD), change)


def test_a_syntax_error_is_told_with_its_line(write: Write) -> None:
    """Nothing else is reported: the rest cannot be known yet."""
    path = write(GOOD.replace("client_id =", "client_id"))
    (found,) = problems_of(path)
    assert found.where == f"{path}, line 3"
    assert found.what.startswith("is not TOML")


@pytest.mark.parametrize("left_open", ["[[policies", 'skus = ["BAG-*",', 'name = """an edition'])
def test_what_is_never_closed_is_told_with_the_line_at_which_the_file_ends(
    write: Write, left_open: str
) -> None:
    """The parser itself names no line then; without one nobody finds it in a long file."""
    path = write(f"{GOOD.rstrip()}\n{left_open}\n\n")
    (found,) = problems_of(path)
    assert found.where == f"{path}, line {len(GOOD.rstrip().splitlines()) + 1}"
    assert found.what.startswith("is not TOML")


def test_a_file_that_is_not_there_or_not_text_is_told(tmp_path: Path, write: Write) -> None:
    """With the example to start from."""
    (found,) = problems_of(tmp_path / "none.toml")
    assert "example.toml" in found.remedy
    path = write("")
    path.write_bytes(b"\xff\xfe")
    assert problems_of(path)[0].what == "is not UTF-8 text"
    assert problems_of(tmp_path)[0].where == str(tmp_path)


def test_an_empty_file_tells_what_is_missing(write: Write) -> None:
    """The one table that has no defaults."""
    (found,) = problems_of(write(""))
    assert (found.key, found.remedy) == ("salesforce", "Add the table [salesforce]")


POLICY = '[[policies]]\nskus = ["LE-*"]\n'
ALONE = POLICY + 'guarantee = "allocated"\nchannels = ["london"]\n'
TURNS = POLICY + 'guarantee = "allocated"\nturn_hours = 24\n'


PARIS = GOOD[GOOD.index("[channels.london]") :].replace("london", "paris")
PARIS = PARIS.replace("[channels.paris]", '[channels.paris]\nmay_reserve_at = ["IN-TRANSIT"]')
PLACES = (
    GOOD
    + """
[location_groups]
boutiques = ["MAYFAIR", "SLOANE"]
vault = ["VAULT"]

[[policies]]
skus = ["HIGH-*"]
channels = ["london"]
location_group = "vault"

[tills.harrods]
location = "HARRODS"
timezone = "Europe/London"
"""
)


def test_a_channel_s_tokens_reserve_where_it_sells_from_and_where_its_settings_say(write: Write) -> None:
    """A policy's locations are among those it sells from; beside them, groups and locations are named."""
    for given, more in (
        ("[]", set()),
        ('["boutiques"]', {"MAYFAIR", "SLOANE"}),
        ('["SLOANE", "HARRODS"]', {"SLOANE", "HARRODS"}),
    ):
        said = f"[channels.london]\nmay_reserve_at = {given}"
        settings = load(write(PLACES.replace("[channels.london]", said)), {})
        assert settings.reach().channels == {"london": {"ECOM", "KNIGHTSBRIDGE", "VAULT", *more}}
        assert settings.reach().groups == {"boutiques": {"MAYFAIR", "SLOANE"}, "vault": {"VAULT"}}
        assert settings.warnings == ()


def test_a_place_to_reserve_at_that_nothing_else_names_is_told_at_the_start(write: Write) -> None:
    """A slip of the pen is told with what was meant; a shop that only this names may be put into a group."""
    text = PLACES.replace("[channels.london]", '[channels.london]\nmay_reserve_at = ["boutique", "PARIS-7"]')
    near, far = load(write(text), {}).warnings
    assert [near.key, far.key] == [f"channels.london.may_reserve_at[{number}]" for number in (0, 1)]
    assert near.remedy.startswith("Did you mean boutiques?")
    assert "names PARIS-7, which is no location group" in far.what
    assert far.remedy == 'If the org has it, put it in a group: location_groups.boutiques = ["PARIS-7"]'


@pytest.mark.parametrize(
    ("text", "key", "words"),
    [
        (POLICY + 'channels = ["lodon"]\ncap = 1', "policies[0].channels[0]", "Did you mean london?"),
        (POLICY, "policies[0]", "says nothing"),
        (POLICY + "cap = 1.5", "policies[0].cap", "whole number"),
        (POLICY + "cap = -1", "policies[0].cap", "at least 0"),
        (POLICY + 'guarantee = "alocated"', "policies[0].guarantee", "did you mean allocated?"),
        (POLICY + "scarce_at = 2\nblock = 5", "policies[0].block", "Give it in a policy of its own"),
        (POLICY + "plentiful_at = 2\ncap = 5", "policies[0].plentiful_at", "Give both"),
        (
            POLICY + "scarce_at = 2\nplentiful_at = 2\ncap = 5",
            "policies[0].plentiful_at",
            "some units between",
        ),
        (POLICY + 'location_group = "boutiques"', "policies[0].location_group", "location_groups.boutiques"),
        (
            '[location_groups]\nvault = ["ECOM"]\n' + POLICY + 'location_group = "vaults"',
            "policies[0].location_group",
            "Did you mean vault?",
        ),
        (
            '[location_groups]\nvault = ["ECOM"]\n' + POLICY + 'location_group = "vault"\nscarce_at = 2',
            "policies[0].location_group",
            "Give it in a policy of its own",
        ),
        ("[locations]\nsafety_stock = { ECOMM = 1 }", "locations.safety_stock.ECOMM", "Did you mean ECOM?"),
        ("[locations]\nsafety_stock = { ECOM = 0 }", "locations.safety_stock.ECOM", "at least 1"),
        (
            POLICY + 'cap = 1\nfields = { Family = "Bags" }',
            "policies[0].fields.Family",
            'products.fields = ["Family"]',
        ),
        (
            '[products]\nfields = ["Family"]\n' + POLICY + 'cap = 1\nfields = { Famly = "Bags" }',
            "policies[0].fields.Famly",
            "Did you mean Family?",
        ),
        (
            POLICY + "cap = 1\nprice_from = 5000",
            "policies[0].price_from",
            "Give products.price_field or products.price_from_channel",
        ),
        (
            POLICY + 'cap = 1\ntags = ["iconic"]',
            "policies[0].tags",
            "Give products.tags_field, or product_tags",
        ),
        (
            '[products]\nprice_from_channel = "paris"',
            "products.price_from_channel",
            "is no channel that tells prices",
        ),
        ('[products]\nfields = ["Family; DROP"]', "products.fields[0]", "is not a field"),
        (POLICY + "fresh_seconds = 0", "policies[0].fresh_seconds", "more than 0"),
        (POLICY + "turn_hours = 24", "policies[0].turn_hours", 'Say guarantee = "allocated"'),
        (ALONE + "turn_hours = 24", "policies[0].turn_hours", "in the order of their turns"),
        (ALONE + "turn_idle_hours = 0", "policies[0].turn_idle_hours", "more than 0"),
        (TURNS + "shares = { london = 2 }", "policies[0].shares", "Remove shares, or turn_hours"),
        (TURNS + "demand_days = 28", "policies[0].demand_days", "Remove demand_days, or turn_hours"),
        (POLICY + "block = 0", "policies[0].block", "at least 1"),
        (POLICY + 'block_at = ["ECOM"]\ncap = 1', "policies[0].block_at", "Give both"),
        (POLICY + 'block = 5\nguarantee = "allocated"', "policies[0].block", "divided among channels"),
        (POLICY + 'block = 5\nblock_at = ["IN-TRANSIT"]', "policies[0].block_at", "not for sale"),
        ("[channels.sfsync]", "channels.sfsync", "Give the channel another name"),
        (POLICY + "fresh_seconds = 90", "policies[0].fresh_seconds", "Give 120 or more"),
        (
            POLICY + 'guarantee = "allocated"\nfresh_seconds = 300',
            "policies[0].fresh_seconds",
            "Remove it, or give it in a policy of its own",
        ),
        ("[[policies]]\nskus = []\ncap = 1", "policies[0].skus", "is empty"),
        ('[[policies]]\nskus = ["a|b"]\ncap = 1', "policies[0].skus[0]", "SKU pattern"),
        ('[store]\nurl = "sqlite://"', "store.url", "names no file"),
        ('[store]\nurl = "sqlite:///:memory:"', "store.url", "names no file"),
        ('[web]\nhost = ""', "web.host", "is empty"),
        ('[web]\nopen_status = "perhaps"', "web.open_status", "not true or false"),
        ("web = 3", "channels.london.locations.online.web", "is not a known key"),
        ("[log]\nlevel = 3", "log.level", "Use one of debug, info, warning, error"),
        ("[chanels.x]", "chanels", "Did you mean channels?"),
        ("[channels.Dubai]\n", "channels.Dubai", "is not a name"),
        (
            '[channels.london.locations.click]\nid = "1"\nsells_from = []',
            "channels.london.locations.click.sells_from",
            "is empty",
        ),
        (
            '[channels.london.locations.click]\nid = "1"\nsells_from = ["A|B"]',
            "channels.london.locations.click.sells_from[0]",
            "level key",
        ),
        (
            '[channels.london.locations.click]\nid = "x"\nsells_from = ["A"]',
            "channels.london.locations.click.id",
            "gid://shopify",
        ),
        (
            '[channels.london.locations.click]\nid = "gid://shopify/Location/1"\nsells_from = ["A"]',
            "channels.london.locations.click.id",
            "is that of online too",
        ),
        (
            '[channels.london.locations.click]\nid = "2"\nsells_from = ["A", "A"]',
            "channels.london.locations.click.sells_from",
            "names A twice",
        ),
    ],
)
def test_a_wrong_value_is_told_with_its_key_and_remedy(write: Write, text: str, key: str, words: str) -> None:
    """One mistake each; the key and the words that a person needs."""
    found = problems_of(write(f"{GOOD}\n{text}\n"))
    assert key in [problem.key for problem in found]
    assert words in "\n".join(map(str, found))
    assert all("line" in problem.where for problem in found)


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('login_url = "https://house', 'login_url = "http://house', "salesforce.login_url"),
        ("https://london.myshopify.com", "http://london.myshopify.com", "channels.london.url"),
        ("https://london.myshopify.com", "https://london.myshopify.com/admin", "channels.london.url"),
        ("https://london.myshopify.com", "london.myshopify.com", "channels.london.url"),
        (f'access_token = "{SECRET}"', "", "channels.london.access_token"),
        (f'access_token = "{SECRET}"', 'client_id = "x"', "channels.london.client_secret"),
        (
            f'access_token = "{SECRET}"',
            f'client_id = "x"\naccess_token = "{SECRET}"',
            "channels.london.client_id",
        ),
        (f'webhook_secret = "{SECRET}"', "", "channels.london.webhook_secret"),
        (f'token = "{SECRET}"', 'token = "short"', "web.tokens[0].token"),
        ("[channels.london.locations.online]", "[other]", "channels.london.locations"),
        ("client_id =", 'api_version = "67"\nclient_id =', "salesforce.api_version"),
        ("client_id =", 'pubsub_endpoint = "x"\nclient_id =', "salesforce.pubsub_endpoint"),
        ("client_id =", 'stock_topic = ""\nclient_id =', "salesforce.stock_topic"),
        ("client_id =", 'ca_file = "none.pem"\nclient_id =', "salesforce.ca_file"),
        ("client_id =", 'ca_file = "sfsync.toml"\nclient_id =', "salesforce.ca_file"),
        ("client_id =", "timeout_seconds = 0\nclient_id =", "salesforce.timeout_seconds"),
    ],
)
def test_a_spoilt_key_is_found(write: Write, old: str, new: str, key: str) -> None:
    """Each from good settings by one change."""
    assert old in GOOD
    assert key in [problem.key for problem in problems_of(write(GOOD.replace(old, new)))]


def test_a_shopify_version_is_one_that_has_been_checked_against(write: Write) -> None:
    """Before 2026 no key makes a write happen once there; of versions to come nobody knows."""
    for version in SHOPIFY_API_VERSIONS:
        if version != "unstable":
            text = GOOD.replace("[channels.london]", f'[channels.london]\napi_version = "{version}"')
            assert shopify(load(write(text), {}), "london").api_version == version
    for version in ("2025-10", "2027-01", "unstable"):
        text = GOOD.replace("[channels.london]", f'[channels.london]\napi_version = "{version}"')
        (found,) = problems_of(write(text))
        assert found.key == "channels.london.api_version"
        assert "line" in found.where
        assert "2026-10" in found.remedy


def test_a_location_sold_from_twice_is_a_warning(write: Write) -> None:
    """A shop that adds its locations up would show those units twice."""
    more = '\n[channels.london.locations.click]\nid = "gid://shopify/Location/2"\nsells_from = ["ECOM"]\n'
    (warning,) = load(write(GOOD + more), {}).warnings
    assert "ECOM, as online does" in warning.what


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)]
)
def test_an_open_status_page_beyond_this_machine_is_a_warning(write: Write, host: str, warned: bool) -> None:
    """Stock is not for everybody."""
    settings = load(write(GOOD), {"SFSYNC_WEB__OPEN_STATUS": "true", "SFSYNC_WEB__HOST": host})
    assert [warning.key for warning in settings.warnings] == (["web.open_status"] if warned else [])


def test_plain_http_is_good_enough_for_this_machine(write: Write) -> None:
    """A simulator on loopback needs no certificate."""
    url = {"SFSYNC_CHANNELS__LONDON__URL": "http://127.0.0.1:8501"}
    assert shopify(load(write(GOOD), url), "london").url == "http://127.0.0.1:8501"


def test_relative_paths_start_at_the_settings_files_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the daemon was started."""
    path = write(GOOD)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = load(Path(os.path.relpath(path)), {})
    assert settings.store_url() == f"sqlite:///{tmp_path / 'var' / 'sfsync.db'}"
    absolute = load(path, {"SFSYNC_STORE__URL": "sqlite:////data/x.db"})
    assert absolute.store_url() == "sqlite:////data/x.db"


def test_the_assortment_speaks_the_domains_words(write: Write) -> None:
    """Channels with their sources in order, and policies in order."""
    text = GOOD + '\n[[policies]]\nskus = ["GATED-*"]\nguarantee = "gated"\nsafety_stock = 2\n'
    assortment = load(write(text), {"SFSYNC_CHANNELS__LONDON__CAP": "4"}).assortment()
    assert assortment.sources("london", "online", None) == ("ECOM", "KNIGHTSBRIDGE")
    gated, other = (
        assortment.policy("london", "GATED-1", PLENTY),
        assortment.policy("london", "BAG-1", PLENTY),
    )
    assert (gated.guarantee, gated.safety_stock, gated.cap) == (Guarantee.GATED, 2, 4)
    assert (other.guarantee, other.safety_stock, other.cap) == (Guarantee.MIRRORED, 0, 4)


TILL = """
[tills.kadewe]
location = "BERLIN"
timezone = "Europe/Berlin"
tokens = ["checkout"]
columns = { receipt = "Bon-Nr", quantity = "Menge" }
decimal = ","
date_format = "DD.MM.YYYY"
day_ends = "21:30"
receipts_restart = "daily"
safety_stock = 1
inbox = "in"
levels_out = "levels.csv"
"""


def test_a_concessions_till_speaks_the_domains_words(write: Write, tmp_path: Path) -> None:
    """Its folders start at the file's; what is at its location may have been sold without our knowing."""
    (tmp_path / "in").mkdir()
    settings = load(write(GOOD + TILL), {"SFSYNC_TILLS__KADEWE__CAP": "2"})
    till = settings.tills["kadewe"]
    assert (till.inbox, till.levels_out) == (tmp_path / "in", tmp_path / "levels.csv")
    told = till.told("kadewe")
    assert (told.name, told.location, told.zone) == ("kadewe", "BERLIN", ZoneInfo("Europe/Berlin"))
    assert (told.day_ends, told.restart, told.cap) == (time(21, 30), Restart.DAILY, 2)
    assert settings.assortment().floor.locations == {"BERLIN"}


@pytest.mark.parametrize(
    ("old", "new", "key", "words"),
    [
        ('"Europe/Berlin"', '"Europe/Berln"', "timezone", "Europe/Paris"),
        ('"Europe/Berlin"', '"../../etc/passwd"', "timezone", "no time zone"),
        ("receipt =", "reciept =", "columns.reciept", "Known are receipt"),
        ('["checkout"]', '["chekout"]', "tokens[0]", "checkout"),
        ('"21:30"', '"9 pm"', "day_ends", '"21:30"'),
        ('"DD.MM.YYYY"', '"DD.MM.YY"', "date_format", "DD.MM.YYYY"),
        ('inbox = "in"', 'inbox = "on"', "inbox", "no folder"),
        ('"levels.csv"', '"out/levels.csv"', "levels_out", "Create the folder"),
        ('"levels.csv"', '"in/levels.csv"', "levels_out", "another folder"),
        ("safety_stock", "saftey_stock", "saftey_stock", "safety_stock"),
    ],
)
def test_a_spoilt_till_is_told_with_its_key(
    write: Write, tmp_path: Path, old: str, new: str, key: str, words: str
) -> None:
    """Each from good settings by one change, with a remedy."""
    (tmp_path / "in").mkdir()
    assert old in TILL
    found = {each.key: str(each) for each in problems_of(write(GOOD + TILL.replace(old, new)))}
    assert words in found[f"tills.kadewe.{key}"]


def test_each_till_has_a_folder_of_its_own(write: Write, tmp_path: Path) -> None:
    """Else nobody could say whose a file is."""
    (tmp_path / "in").mkdir()
    two = GOOD + TILL + TILL.replace("kadewe", "alsterhaus").replace("levels_out", "# levels_out")
    (problem,) = problems_of(write(two))
    assert (problem.key, "kadewe" in problem.what) == ("tills.alsterhaus.inbox", True)


def test_a_policy_says_how_old_the_numbers_of_scarce_pieces_may_be(write: Write) -> None:
    """Without another guarantee, from the file or the environment; other SKUs have no limit."""
    text = GOOD + '\n[[policies]]\nskus = ["BAG-*"]\nscarce_at = 3\nfresh_seconds = 20\n'
    env = {"SFSYNC_SALESFORCE__POLL_AFTER_SECONDS": "10"}
    assortment = load(write(text), env).assortment()
    (scarcity,) = assortment.scarcities("BAG-1")
    bag = assortment.policy("london", "BAG-1", frozenset({scarcity.name}))
    assert (bag.guarantee, bag.scarce_at, bag.fresh_seconds) == (Guarantee.MIRRORED, 3, 20.0)
    assert assortment.policy("london", "BAG-1", PLENTY).fresh_seconds is None
    assert assortment.policy("london", "SCARF", PLENTY).fresh_seconds is None
    assert assortment.limits_seconds == {20.0}
    assert (assortment.limited("BAG-1", {20.0}), assortment.limited("SCARF", {20.0})) == (True, False)


def test_a_policy_says_how_many_units_the_local_block_is_to_have_and_where(write: Write) -> None:
    """At the first source of the channel unless it says where; other SKUs have no block."""
    here = GOOD + '\n[[policies]]\nskus = ["DROP-*"]\nblock = 50\n'
    assortment = load(write(here), {}).assortment()
    assert assortment.block("DROP-1") == BlockRule(50, ("ECOM",))
    assert assortment.block("SCARF") is None
    there = load(write(here + 'block_at = ["TOWN", "ECOM"]\n'), {}).assortment()
    assert there.block("DROP-1") == BlockRule(50, ("TOWN", "ECOM"))


def test_the_lines_of_keys_are_right_around_long_values(write: Write) -> None:
    """Lists over several lines and texts that look like tables move nothing."""
    text = GOOD.replace(
        'sells_from = ["ECOM", "KNIGHTSBRIDGE"]',
        'sells_from = [\n  "ECOM", # ] \n  "KNIGHTSBRIDGE",\n]\nid2 = """\n[web]\nport = 3\n"""',
    )
    path = write(text + '\n[[policies]]\nskus = ["A"]\n\n[[policies]]\n"skus" = ["B"]\n"cap" = "x"\n')
    found = {problem.key: problem.where for problem in problems_of(path)}
    lines = path.read_text().splitlines()
    assert (
        found["channels.london.locations.online.id2"]
        == f"{path}, line {lines.index('id2 = ' + chr(34) * 3) + 1}"
    )
    assert found["policies[1].cap"] == f"{path}, line {len(lines)}"
    assert found["policies[0]"] == f"{path}, line {lines.index('[[policies]]') + 1}"


# -- the examples --------------------------------------------------------------------------------------


def test_the_demo_settings_hold_no_secret_and_load_with_the_demos_environment() -> None:
    """London and Dubai sell from the same two places; the three ways of the last handbag are ruled."""
    settings = load(config_folder() / "demo.toml", DEMO_ENVIRONMENT)
    assert settings.warnings == ()
    assortment = settings.assortment()
    assert assortment.sources("london", "online", None) == ("KNIGHTSBRIDGE", "ECOM")
    assert assortment.sources("dubai", "online", None) == ("ECOM", "KNIGHTSBRIDGE")
    for channel in ("london", "dubai"):
        assert assortment.policy(channel, "GATED-1", PLENTY).guarantee is Guarantee.GATED
        assert assortment.policy(channel, "BAG-1", PLENTY).guarantee is Guarantee.MIRRORED
    assert assortment.policy("london", "ALLOC-1", PLENTY).guarantee is Guarantee.ALLOCATED
    assert assortment.policy("dubai", "ALLOC-1", PLENTY).allocated_elsewhere


def example_tree() -> dict[str, Any]:
    return tomllib.loads((config_folder() / "example.toml").read_text(encoding="utf-8"))


def with_secret_files(tree: Any, folder: Path) -> None:
    """Make every secret file that the tree names."""
    if isinstance(tree, dict):
        for key, value in tree.items():
            if key.endswith("_file") and not key.startswith("ca_"):
                secret = folder / value
                secret.parent.mkdir(exist_ok=True)
                secret.write_text(f"secret of {key} in {value}\n")
                secret.chmod(0o600)
            with_secret_files(value, folder)
    elif isinstance(tree, list):
        for item in tree:
            with_secret_files(item, folder)


def test_the_example_loads_once_its_secret_files_are_there(tmp_path: Path) -> None:
    """Nothing else has to be changed for it to be good."""
    path = tmp_path / "sfsync.toml"
    path.write_text((config_folder() / "example.toml").read_text(encoding="utf-8"), encoding="utf-8")
    with_secret_files(example_tree(), tmp_path)
    settings = load(path, {})
    assert settings.warnings == ()
    division = settings.assortment().division("LE-1", PLENTY)
    assert division is not None
    assert division.channels == ("london",)


def test_the_example_shows_every_key_and_its_true_default() -> None:
    """Each key of each table stands there, and what is commented out is the default."""
    text = (config_folder() / "example.toml").read_text(encoding="utf-8")
    shown: dict[str, dict[str, str]] = {}
    table = ""
    for line in text.splitlines():
        bare = line.removeprefix("# ")
        if bare.startswith("["):
            table = bare.strip("[]\n").replace(".london", "").replace(".dubai", "").replace(".online", "")
        elif "=" in bare and bare.split("=")[0].strip().isidentifier():
            shown.setdefault(table, {}).setdefault(bare.split("=")[0].strip(), line)
    for name, model in _models().items():
        for key, field in model.model_fields.items():
            if key in ("tokens", "locations", "proxy", "receivers") or _other_form(key, shown[name]):
                continue
            assert key in shown[name], f"{name}.{key} is not in the example"
            line = shown[name][key]
            if line.startswith("# ") and "no default" not in line:
                given = tomllib.loads(line.removeprefix("# "))[key]
                default = field.get_default()
                secret = getattr(default, "get_secret_value", None)
                default = secret() if secret else default
                assert given == (list(default) if isinstance(default, tuple) else default), f"{name}.{key}"


def _other_form(key: str, shown: Mapping[str, str]) -> bool:
    """True when a secret is shown in its other form."""
    return f"{key}_file" in shown or (key.endswith("_file") and key.removesuffix("_file") in shown)


def _models() -> dict[str, Any]:
    from sfsync import settings

    return {
        "salesforce": settings.SalesforceSettings,
        "store": settings.StoreSettings,
        "web": settings.WebSettings,
        "web.tokens": settings.TokenSettings,
        "web.proxy": settings.ProxySettings,
        "log": settings.LogSettings,
        "telemetry": settings.TelemetrySettings,
        "locations": settings.LocationsSettings,
        "org_orders": settings.OrgOrdersSettings,
        "products": settings.ProductsSettings,
        "channels": settings.ShopifySettings,
        "channels.amazon": settings.AmazonSettings,
        "channels.bazaar": settings.MiraklSettings,
        "channels.boutique": settings.CallbackSettings,
        "channels.atelier": settings.VendureSettings,
        "alerts": settings.AlertsSettings,
        "alerts.receivers.pager": settings.AlertReceiverSettings,
        "channels.locations": settings.LocationSettings,
        "policies": settings.PolicySettings,
        "tills.rinascente": settings.TillSettings,
    }


SIGNING = "whsec_" + base64.b64encode(SECRET.encode()).decode()
CALLBACK = f"""
[channels.boutique]
kind = "callback"
url = "https://shop.example.com/stock?store=1"
secret = "{SIGNING}"
previous_secret = "{SIGNING[:-8]}"

[channels.boutique.locations.online]
sells_from = ["ECOM"]
"""


def test_a_storefront_that_is_told_asks_first_and_keeps_no_number_of_its_own(write: Write) -> None:
    """Unless the settings say that it does not ask."""
    path = write(GOOD + CALLBACK)
    plan = load(path, {}).assortment().channels["boutique"]
    assert (plan.guarantee, plan.counts_down) == (Guarantee.GATED, False)
    assert load(path, {}).assortment().channels["london"].counts_down
    told = load(path, {"SFSYNC_CHANNELS__BOUTIQUE__GUARANTEE": "mirrored"}).assortment()
    assert told.channels["boutique"].guarantee is Guarantee.MIRRORED


@pytest.mark.parametrize(
    ("given", "instead", "key", "what"),
    [
        ("https://shop", "http://shop", "url", "would send stock without encryption"),
        (
            "https://shop.example.com",
            "http://localhost:9",
            "url",
            "is this machine, where callbacks do not go",
        ),
        ("https://shop", "https://me:hush@shop", "url", "holds a user name or a password"),
        ("stock?store=1", "stock#there", "url", "has a part after #"),
        ("https://shop.example.com/stock?store=1", "shop", "url", "is not a web address"),
        (SIGNING, SECRET, "secret", "is no secret for signing"),
        (SIGNING, "whsec_aGFsbG8=", "secret", "is no secret for signing"),
    ],
)
def test_a_callback_that_could_not_be_sent_safely_is_told(
    write: Write, given: str, instead: str, key: str, what: str
) -> None:
    """Where it goes and how it is signed, before anything is sent."""
    (problem,) = problems_of(write(GOOD + CALLBACK.replace(given, instead, 1)))
    assert (problem.key, problem.what.startswith(what)) == (f"channels.boutique.{key}", True)
    assert problem.remedy


def test_units_are_not_set_aside_for_a_storefront_that_asks_first(write: Write) -> None:
    """Neither by name nor because the policy is for every channel."""
    policy = '\n[[policies]]\nskus = ["LE-*"]\nguarantee = "allocated"\n'
    for channels in ("", 'channels = ["boutique", "london"]\n'):
        (problem,) = problems_of(write(GOOD + CALLBACK + policy + channels))
        assert (problem.key, problem.remedy) == (
            "policies[0].channels",
            "Give the policy channels without boutique; it shows none of these then",
        )
    load(write(GOOD + CALLBACK + policy + 'channels = ["london"]\n'), {})


ALERTS = f"""
[alerts]
exposed_units = 20

[alerts.receivers.pager]
url = "https://pager.example.com/sfsync"
secret = "{SIGNING}"
kinds = ["incident", "silence"]
"""


def test_whoever_is_woken_is_told_by_callbacks_too(write: Write) -> None:
    """Of some kinds; and where that cannot be, the settings say so."""
    alerts = load(write(GOOD + ALERTS), {}).alerts
    assert (alerts.exposed_units, alerts.receivers["pager"].kinds) == (20, ("incident", "silence"))
    (problem,) = problems_of(write(GOOD + ALERTS.replace('"silence"', '"silense"')))
    assert problem.key == "alerts.receivers.pager.kinds[1]"
    assert "did you mean silence?" in problem.remedy
    (problem,) = problems_of(write(GOOD + ALERTS.replace("https://pager.example.com", "https://localhost")))
    assert problem.what == "is this machine, where callbacks do not go by themselves"


def test_settings_made_directly_read_nothing_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only `load` looks at the environment."""
    monkeypatch.setenv("SALESFORCE", "{}")
    tree = tomllib.loads(GOOD)
    assert Settings(**tree).salesforce.client_id == "sfsync"


ORDERS = """
[org_orders]
sells_from = ["ECOM"]
channel_field = "Store__c"
returns_to = "RETURNS"

[org_orders.channels]
"Web London" = "london"
"""


def test_orders_in_the_org_are_read_by_the_house_s_own_fields(write: Write) -> None:
    """A channel is named by its own name or by another word; what comes back is not for sale."""
    assortment = load(write(GOOD + ORDERS), {}).assortment()
    assert assortment.org_orders is not None
    assert assortment.org_orders.channels == {"london": "london", "Web London": "london"}
    assert set(assortment.shared) == {"london", "org"}
    assert assortment.sources("org", "", None) == ("ECOM",)
    assert assortment.not_for_sale == {"IN-TRANSIT", "RETURNS"}
    assert load(write(GOOD), {}).assortment().shared == {}


@pytest.mark.parametrize(
    ("text", "key", "what"),
    [
        (ORDERS.replace('= "london"', '= "lodnon"'), "org_orders.channels.Web London", "no channel"),
        (ORDERS.replace('channel_field = "Store__c"', ""), "org_orders.channels", "no channel_field"),
        (ORDERS.replace("Store__c", "Store; DROP"), "org_orders.channel_field", "not a field"),
        (ORDERS.replace('"ECOM"', '"RETURNS"'), "org_orders.sells_from", "not for sale"),
        (
            '[locations]\nnot_for_sale = ["ECOM"]',
            "channels.london.locations.online.sells_from",
            "not for sale",
        ),
        ('[locations]\nin_transit = "ECOM"', "channels.london.locations.online.sells_from", "in transit"),
        ('[location_groups]\nfar = ["IN-TRANSIT"]', "location_groups.far", "in transit"),
        (PARIS, "channels.paris.may_reserve_at", "in transit"),
    ],
)
def test_settings_that_would_sell_what_is_not_for_sale_or_lose_an_order_are_refused(
    write: Write, text: str, key: str, what: str
) -> None:
    """Each names its key; goods in transit or returned are sold by nobody."""
    (problem,) = problems_of(write(f"{GOOD}\n{text}\n"))
    assert problem.key == key
    assert what in problem.what


def test_a_limited_edition_is_read_with_its_split_and_its_opening_in_utc(write: Write) -> None:
    """500 bags, of which London may sell 200, at ten in the morning of Paris."""
    path = write(
        GOOD
        + """
[editions.spring-bag]
skus = ["BAG-RED", "BAG-BLUE"]
size = 500
split = { london = 200 }
per_client = 1
opens_at = 2026-12-01T10:00:00+01:00
"""
    )
    edition = load(path, {}).assortment().edition("BAG-BLUE")
    assert edition == Edition(
        "spring-bag",
        ("BAG-RED", "BAG-BLUE"),
        500,
        {"london": 200},
        1,
        datetime(2026, 12, 1, 9, 0, tzinfo=UTC),
    )


def test_mistakes_in_editions_are_told_together(write: Write) -> None:
    """A pattern, no such channel, more given away than there is, a time without a zone, a SKU twice."""
    path = write(
        GOOD
        + """
[editions.drop]
skus = ["BAG-*", "RED"]
size = 5
split = { london = 4, lodnon = 2 }
opens_at = 2026-12-01T09:00:00

[editions.other]
skus = ["RED"]
size = 5
opens_at = "soon"
"""
    )
    assert sorted(str(problem).partition(", line ")[2] for problem in problems_of(path)) == [
        "23: editions.drop.skus[0] is not a SKU. Name each SKU by itself, without * and ?",
        "25: editions.drop.split gives 6 to channels, more than its size of 5. "
        "Lower the shares, or raise the size",
        "25: editions.drop.split.lodnon is no channel of these settings. Did you mean london?",
        "26: editions.drop.opens_at does not say in which time zone. "
        "Give it like 2026-12-01T09:00:00Z, with Z or an offset",
        "29: editions.other.skus[0] names RED, which is of the edition drop too. "
        "Name each SKU in one edition",
        "31: editions.other.opens_at is not a moment. Give it like 2026-12-01T09:00:00Z, with Z or an offset",
    ]


MARKET = f"""
[channels.bazaar]
kind = "mirakl"
url = "https://bazaar.example.com"
api_key = "{SECRET}"

[channels.bazaar.locations.warehouse]
sells_from = ["ECOM"]
"""


AMAZON = f"""
[channels.bazaar]
kind = "amazon"
url = "https://bazaar.example.com"
seller_id = "A1"
marketplace_id = "M1"
client_id = "app"
client_secret = "{SECRET}"
refresh_token = "{SECRET}"

[channels.bazaar.locations.own]
sells_from = ["ECOM"]
"""


@pytest.mark.parametrize("market", [MARKET, AMAZON], ids=["mirakl", "amazon"])
def test_a_marketplace_is_mirrored_or_allocated_and_never_gated(write: Write, market: str) -> None:
    """It cannot ask before payment: gated for every channel means mirrored there; its own is refused."""
    gated = '\n[[policies]]\nskus = ["GATED-*"]\nguarantee = "gated"\n'
    assortment = load(write(GOOD + market + gated), {}).assortment()
    assert assortment.policy("bazaar", "GATED-1", PLENTY).guarantee is Guarantee.MIRRORED
    assert assortment.policy("london", "GATED-1", PLENTY).guarantee is Guarantee.GATED
    for wrong, key in (
        (market + gated + 'channels = ["bazaar"]\n', "policies"),
        (market.replace("url =", 'guarantee = "gated"\nurl ='), "channels.bazaar.guarantee"),
        (
            market + '\n[channels.bazaar.locations.other]\nsells_from = ["ECOM2"]\n',
            "channels.bazaar.locations",
        ),
        (market.replace("https", "http"), "channels.bazaar.url"),
    ):
        with pytest.raises(SettingsError) as caught:
            load(write(GOOD + wrong), {})
        assert any(key in problem.key for problem in caught.value.problems), caught.value
        assert SECRET not in str(caught.value)


def test_the_tags_of_one_store_only_are_read(write: Write) -> None:
    """Two may tag one product differently, in two languages; of one they stand in for the org's."""
    start = GOOD.index("[channels.london]")
    other = GOOD[start:].replace("channels.london", "channels.dubai")
    both = {f"SFSYNC_CHANNELS__{name}__PRODUCT_TAGS": "true" for name in ("LONDON", "DUBAI")}
    (told,) = problems_of(write(f"{GOOD}\n{other}"), both)
    assert (told.key, told.remedy) == ("channels.dubai.product_tags", "Read the tags of one store")
    text = GOOD + '\n[[policies]]\nskus = ["*"]\ntags = ["iconic"]\ncap = 1\n'
    one = load(write(text), {"SFSYNC_CHANNELS__LONDON__PRODUCT_TAGS": "true"}).assortment()
    assert one.tags_channel == "london"
    assert load(write(GOOD), {}).assortment().tags_channel == ""


TOKEN = f"""
[[web.tokens]]
name = "other"
token = "{SECRET}2"
"""


@pytest.mark.parametrize(
    ("said", "key", "remedy"),
    [
        ("", "channels", 'channels = ["london"]'),
        ('scopes = ["reservations"]', "channels", "or a boutique's own locations"),
        ('scopes = ["levels"]\nlocations = ["ECOM"]', "channels", 'channels = ["london"]'),
        ('scopes = ["stores"]', "locations", 'locations = ["KNIGHTSBRIDGE"], or ["*"]'),
        ('scopes = ["counts"]\nchannels = ["london"]', "locations", "its counts are about"),
        ('channels = ["londno"]', "channels[0]", "london"),
        ('channels = ["London!"]', "channels[0]", "name"),
        ('channels = ["london"]\nlocations = ["A|B"]', "locations[0]", "as the org does"),
        ('role = "operator"\nchannels = ["london"]', "channels", "Remove it"),
        ('scopes = ["admin"]\nlocations = ["ECOM"]', "locations", "Remove it"),
        ('role = "viewer"\nchannels = ["london"]', "channels", "Remove it"),
        ('scopes = ["levels"]\nchannels = ["london"]\nlocations = ["ECOM"]', "locations", "Remove it"),
        ('scopes = ["tills"]', "scopes", 'tokens = ["other"]'),
    ],
)
def test_a_token_says_whose_things_it_may_touch(write: Write, said: str, key: str, remedy: str) -> None:
    """Nothing is open by being forgotten: what is missing, or means nothing, is named with its remedy."""
    problems = problems_of(write(GOOD + TOKEN + said))
    assert f"web.tokens[1].{key}" in {problem.key for problem in problems}
    assert any(remedy in problem.remedy for problem in problems)


@pytest.mark.parametrize(
    ("said", "channels", "locations"),
    [
        ('channels = ["london"]', {"london"}, set()),
        ('channels = ["*"]', None, set()),
        ('locations = ["KNIGHTSBRIDGE"]', set(), {"KNIGHTSBRIDGE"}),
        ('scopes = ["stores", "counts"]\nlocations = ["*"]', set(), None),
        ('role = "viewer"', set(), set()),
        ('role = "operator"', set(), set()),
    ],
)
def test_a_token_s_sight_is_what_it_names(
    write: Write, said: str, channels: set[str] | None, locations: set[str] | None
) -> None:
    """And no more: without a word it sees nothing, and an operator's role sees everything by itself."""
    token = load(write(GOOD + TOKEN + said), {}).web.tokens[1]
    assert (token.sight().channels, token.sight().locations) == (channels, locations)


def test_the_name_of_the_daemon_s_own_token_is_taken(write: Write) -> None:
    """Two tokens of one name would end each other's log-ins."""
    (problem,) = problems_of(write(GOOD.replace('name = "checkout"', 'name = "local"')))
    assert (problem.key, "another name" in problem.remedy) == ("web.tokens[0].name", True)
