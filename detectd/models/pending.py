"""The held model and the discards in a store: a small file for each.

held.json        the model that was fitted after an alarm, and that must not answer by itself
discarded.json   a token that is new each time an operator discards what the stream has taught
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from detectd.filesystem import atomic_files
from detectd.models.files import as_json

if TYPE_CHECKING:
    from pathlib import Path


def held(directory: Path) -> str | None:
    """Return the held version, or None."""
    return _read(directory / "held.json", "version")


def hold(directory: Path, version: str | None) -> None:
    """Hold `version`; None for no held version."""
    if version is None:
        (directory / "held.json").unlink(missing_ok=True)
    else:
        atomic_files.replace(directory / "held.json", as_json({"version": version}))


def discarded(directory: Path) -> str:
    """Return the token of the last discard, empty if there was none."""
    return _read(directory / "discarded.json", "token") or ""


def discard(directory: Path) -> None:
    """Make the service discard the rows that it collected for the next model."""
    atomic_files.replace(directory / "discarded.json", as_json({"token": secrets.token_hex(8)}))


def _read(path: Path, key: str) -> str | None:
    try:
        value = json.loads(path.read_bytes())[key]
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return None
    return value if isinstance(value, str) else None
