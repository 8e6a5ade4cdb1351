"""Where the files that ship with sfsync are: the org's metadata and the example settings.

In a checkout they are the repository's own folders, so that what a person edits is what runs; an installed
package carries copies in ``_data``.
"""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent
_INSTALLED = _PACKAGE / "_data"
_TOP = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parents[1]


def metadata_folder() -> Path:
    """Return the SFDX project that is deployed into an org (it holds ``sfdx-project.json``)."""
    return _TOP / "salesforce"


def config_folder() -> Path:
    """Return the folder of the example settings (``demo.toml`` among them)."""
    return _TOP / "config"
