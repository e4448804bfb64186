"""Suggest a known name for a misspelled one."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that `name` probably misspells, ignoring case, or None."""
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def missing(path: Path, fix: str) -> str:
    """Return an error for a missing file, with a suggestion, or else the `fix`."""
    said = f"{path} does not exist"
    if not exists(path.parent):
        said += f", nor does {_first_missing(path)}"
    near = nearest_path(path)
    return f"{said}; did you mean {near}?" if near else f"{said}; {fix}"


def nearest_path(path: Path) -> Path | None:
    """Return the existing path that is most similar to a missing one, or None.

    The first missing part is assumed to be misspelled; the rest behind it must exist.
    """
    mistaken = _first_missing(path)
    try:
        beside = [each.name for each in mistaken.parent.iterdir()]
    except OSError:
        return None
    close = nearest(mistaken.name, beside)
    # A common suffix makes unrelated names similar.
    if close is None or not nearest(mistaken.stem, [close.removesuffix(mistaken.suffix)]):
        return None
    found = mistaken.parent / close / path.relative_to(mistaken)
    return found if exists(found) else None


def exists(path: Path) -> bool:
    """Return whether the file exists, as far as this user can see."""
    try:
        return path.exists()
    except OSError:
        return False


def _first_missing(path: Path) -> Path:
    while not exists(path.parent) and path.parent != path:
        path = path.parent
    return path
