"""Error text for a missing field: which fields the event has, and which one may be meant."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from detectd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

# An event may have thousands of names, of any length: this many are compared, up to that length,
# and this many are listed, in as many characters.
COMPARED, LONGEST = 100, 64
LISTED, SHOWN = 20, 160


def what_is_there(name: str, fields: Mapping[str, Any]) -> str:
    """Return the end of a sentence that says that `name` is missing; empty if it is present but
    null."""
    return _said(name, tuple(each[:LONGEST] for each in islice(names_of(fields), COMPARED)))


def alternatives(name: str, known: Collection[str], kind: str = "fields") -> str:
    """Return the known name nearest to an unknown one, and all known names."""
    listed = [*known]
    if not listed:
        return f"there are no {kind}"
    close = nearest(name, listed)
    more = f" and {len(listed) - LISTED} more" if len(listed) > LISTED else ""
    shown = ", ".join(listed[:LISTED])
    there = f"the {kind} are {shown if len(shown) <= SHOWN else f'{shown[:SHOWN]}…'}{more}"
    return f"did you mean {close!r}? {there}" if close else there


def names_of(fields: Mapping[str, Any], prefix: str = "", depth: int = 4) -> Iterator[str]:
    """Yield the fields by their names, those of nested objects and arrays by their paths."""
    for name, value in fields.items():
        path = f"{prefix}{name}"
        if isinstance(value, list):
            value = {str(i): each for i, each in enumerate(value[:LISTED])}  # noqa: PLW2901
        if isinstance(value, dict) and depth:
            yield from names_of(value, f"{path}.", depth - 1)
        else:
            yield path


@lru_cache(256)
def _said(name: str, names: tuple[str, ...]) -> str:
    return "" if name in names else f"; {alternatives(name, names)}"
