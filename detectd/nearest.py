"""What somebody may have meant who named a thing that is not there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name of which `name` is probably a slip, in whatever case, or None."""
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def missing(path: Path, fix: str) -> str:
    """Say that there is no such file, and what is there that may be meant, or else the `fix`."""
    said = f"{path} does not exist"
    if not exists(path.parent):
        said += f", nor does {_first_missing(path)}"
    near = nearest_path(path)
    return f"{said}; did you mean {near}?" if near else f"{said}; {fix}"


def nearest_path(path: Path) -> Path | None:
    """Return the path that is there and differs least from one that is not, or None.

    The first part that is missing is the one that is mistaken; what is behind it must be there.
    """
    mistaken = _first_missing(path)
    try:
        beside = [each.name for each in mistaken.parent.iterdir()]
    except OSError:
        return None
    close = nearest(mistaken.name, beside)
    # The same ending makes names alike that have nothing else in common.
    if close is None or not nearest(mistaken.stem, [close.removesuffix(mistaken.suffix)]):
        return None
    found = mistaken.parent / close / path.relative_to(mistaken)
    return found if exists(found) else None


def exists(path: Path) -> bool:
    """Return whether there is such a file, as far as this user may see."""
    try:
        return path.exists()
    except OSError:
        return False


def _first_missing(path: Path) -> Path:
    while not exists(path.parent) and path.parent != path:
        path = path.parent
    return path
