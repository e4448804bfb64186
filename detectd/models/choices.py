"""The store's active model and candidate: a small file for each.

active.json      the versions that have answered, the last of them now
candidate.json   the version that runs in shadow mode
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem import atomic_files
from detectd.models.files import as_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def history(directory: Path) -> list[str]:
    """Return the versions that have been active, the current one last; empty if there is none."""
    path = directory / "active.json"
    try:
        return list(json.loads(path.read_bytes())["history"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{path}: damaged; remove it, then choose a model with `detectd models activate`"
        ) from None


def write_history(directory: Path, versions: Sequence[str]) -> None:
    """Activate the last of `versions`."""
    atomic_files.replace(directory / "active.json", as_json({"history": list(versions)}))


def candidate(directory: Path) -> str | None:
    """Return the candidate version, or None."""
    try:
        version: str | None = json.loads(_candidate(directory).read_bytes())["version"]
    except (FileNotFoundError, KeyError, ValueError, TypeError):
        return None
    return version


def write_candidate(directory: Path, version: str | None) -> None:
    """Make `version` the candidate; None for no candidate."""
    if version is None:
        _candidate(directory).unlink(missing_ok=True)
    else:
        atomic_files.replace(_candidate(directory), as_json({"version": version}))


def _candidate(directory: Path) -> Path:
    return directory / "candidate.json"
