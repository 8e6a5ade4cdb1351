"""Kinds of channel that other packages bring: named in settings, checked like ours, never in their place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sfsync import kinds
from sfsync.settings import SettingsError, load

SECRET = "a-secret-that-must-not-be-told"
HEAD = """\
[salesforce]
login_url = "https://house.my.salesforce.com"
client_id = "sfsync"
client_secret = "hush hush hush hush"

[channels.corner]
kind = "kiosk"
"""
PLACE = """
[channels.corner.locations.shelf]
sells_from = ["ECOM"]
"""
GOOD = f'{HEAD}folder = "drop"\npassword_file = "password"\nopens_hour = 9\ncloses_hour = 18\n{PLACE}'
MODULE = '''
from pathlib import Path

from pydantic import Field, model_validator

from sfsync.channels import Kind
from sfsync.settings import ChannelSettings, Secret, refuse


class KioskSettings(ChannelSettings):
    """A kiosk that reads its stock from a folder."""

    folder: Path
    password: Secret
    password_file: Path | None = None
    opens_hour: int = Field(default=8, ge=0, le=23)
    closes_hour: int = Field(default=20, ge=1, le=24)

    @model_validator(mode="after")
    def _opens_before_it_closes(self):
        if self.opens_hour >= self.closes_hour:
            raise refuse("is never open", "Let it open before it closes")
        return self


def open_kiosk(name, settings, clock):
    raise NotImplementedError


KIOSK = Kind(KioskSettings, open_kiosk)
'''

Install = Callable[[str, str, str], None]
Write = Callable[[str], Path]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Puts a package on the path, as an installer would: its module, and its entry point beside it."""

    def put(package: str, point: str, module: str) -> None:
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sfsync.channels]\n{point}\n")
        (tmp_path / f"{package}.py").write_text(module)

    monkeypatch.syspath_prepend(tmp_path)
    return put


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a settings file and the secret beside it."""

    def put(text: str) -> Path:
        path = tmp_path / "sfsync.toml"
        path.write_text(text, encoding="utf-8")
        (tmp_path / "password").write_text(f"{SECRET}\n")
        for file in (path, tmp_path / "password"):
            file.chmod(0o600)
        return path

    return put


def told(path: Path, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load(path, env or {})
    assert SECRET not in str(caught.value)
    return [str(problem).removeprefix(f"{path}, ") for problem in caught.value.problems]


def test_a_kind_of_another_package_is_named_in_settings_like_ours(install: Install, write: Write) -> None:
    """Its own keys, its secret from a file, its path from the file's folder, and the environment over it."""
    install("kiosk_one", "kiosk = kiosk_one:KIOSK", MODULE)
    path = write(GOOD)
    settings = load(path, {"SFSYNC_CHANNELS__CORNER__OPENS_HOUR": "7", "SFSYNC_CHANNELS__CORNER__CAP": "3"})
    corner = settings.channels["corner"]
    read = corner.model_dump()
    assert read["folder"] == path.parent / "drop"
    assert read["password"].get_secret_value() == SECRET
    assert (read["opens_hour"], read["closes_hour"], corner.cap) == (7, 18, 3)
    assert settings.assortment().channels["corner"].locations == {"shelf": ("ECOM",)}


def test_every_mistake_in_another_packages_settings_is_told_as_in_ours(
    install: Install, write: Write
) -> None:
    """With line, key and remedy; a misspelt key with what was meant; what is the author's in his words."""
    install("kiosk_two", "kiosk = kiosk_two:KIOSK", MODULE)
    wrong = GOOD.replace("folder =", "foldr =").replace("= 9", '= "early"').replace('"ECOM"', "")
    assert told(write(wrong), {"SFSYNC_CHANNELS__CORNER__CLOSES_HOUR": "25"}) == [
        "line 8: channels.corner.foldr is not a known key. Did you mean folder?",
        "line 10: channels.corner.opens_hour is 'early', not a whole number",
        "line 14: channels.corner.locations.shelf.sells_from is empty",
        "environment variable SFSYNC_CHANNELS__CORNER__CLOSES_HOUR: channels.corner.closes_hour is '25'; "
        "it must be at most 24",
    ]
    assert told(write(GOOD.replace("= 18", "= 9"))) == [
        "line 6: channels.corner is never open. Let it open before it closes"
    ]
    assert told(write(GOOD.replace('password_file = "password"', ""))) == [
        f"{'line 6'}: channels.corner.password is missing. Give password or password_file, or set "
        "SFSYNC_CHANNELS__CORNER__PASSWORD"
    ]


def test_an_unknown_kind_is_told_with_those_that_there_are(install: Install, write: Write) -> None:
    """Ours and others'; a kind that is missing is told too."""
    install("kiosk_three", "kiosk = kiosk_three:KIOSK", MODULE)
    (problem,) = told(write(GOOD.replace('"kiosk"', '"kisok"')))
    assert problem.startswith("line 7: channels.corner.kind is 'kisok'. Use one of ")
    assert "shopify" in problem
    assert problem.endswith("did you mean kiosk?")
    (problem,) = told(write(GOOD.replace('kind = "kiosk"', "")))
    assert "channels.corner.kind is missing" in problem


def test_two_packages_that_offer_one_kind_are_both_refused(install: Install, write: Write) -> None:
    """Which of them writes stock is not left to chance."""
    for name in ("kiosk_four", "kiosk_five"):
        install(name, f"kiosk = {name}:KIOSK", MODULE)
    (problem,) = told(write(GOOD))
    assert "several packages: kiosk_five:KIOSK of kiosk_five 1.0, kiosk_four:KIOSK of kiosk_four" in problem


@pytest.mark.parametrize(
    ("package", "module", "words"),
    [
        ("kiosk_broken", "import no_such_module_at_all", "cannot be loaded: ModuleNotFoundError"),
        ("kiosk_odd", "KIOSK = 7", "is no sfsync.channels.Kind"),
        ("kiosk_empty", "", "cannot be loaded: AttributeError"),
    ],
)
def test_a_package_that_is_broken_is_told_by_name_and_nothing_is_started(
    install: Install, write: Write, package: str, module: str, words: str
) -> None:
    """The settings are not to blame, and the person reading has to know which package is."""
    install(package, f"kiosk = {package}:KIOSK", module)
    (problem,) = told(write(GOOD))
    assert words in problem


def test_a_built_in_kind_is_not_replaced_from_outside(install: Install) -> None:
    """Its offer is seen, and ours is used."""
    install("kiosk_thief", "shopify = nowhere:at_all", "")
    assert ("shopify", "nowhere:at_all") in [(offer.kind, offer.place) for offer in kinds.offers()]
    from sfsync.settings import ShopifySettings
    from sfsync.settings.channel import model_of

    assert model_of("shopify") is ShopifySettings
