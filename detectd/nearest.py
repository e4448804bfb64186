"""What somebody may have meant who named a thing that is not there."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is probably a slip of, in whatever case; None if there is none."""
    folded = {each.lower(): each for each in known}
    close = difflib.get_close_matches(name.lower(), folded, n=1)
    return folded[close[0]] if close else None


def nearest_path(path: Path) -> Path | None:
    """The path that is there and differs least from one that is not; None if nothing is like it.

    The first part that is missing is the one that is mistaken; what is behind it must be there.
    """
    missing = path
    while not missing.parent.exists() and missing.parent != missing:
        missing = missing.parent
    try:
        beside = [each.name for each in missing.parent.iterdir()]
    except OSError:
        return None
    close = nearest(missing.name, beside)
    if close is None:
        return None
    found = missing.parent / close / path.relative_to(missing)
    return found if found.exists() else None
