"""What to say of a field that an event does not have."""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from detectd.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# An event may have thousands of names, of any length: so many are compared, up to that length, and
# so many characters of them shown.
COMPARED = 100
LONGEST = 64
SHOWN = 160


def what_is_there(name: str, fields: Mapping[str, Any]) -> str:
    """The rest of a sentence that says that `name` is missing; empty if it is there, but null."""
    return _said(name, tuple(islice(_paths(fields), COMPARED)))


def names_that_are_there(name: str, names: Sequence[str], kind: str = "fields") -> str:
    """The nearest of the names, if one is near, and a list of them."""
    close = nearest(name, names)
    asks = f"did you mean {close!r}? " if close else ""
    listed = ", ".join(names)
    if len(listed) > SHOWN:
        listed = f"{listed[:SHOWN]}…"
    # Quoted as one text, so that dead letters of one kind stay one group.
    return f"{asks}the {kind} are {listed!r}" if names else f"there are no {kind}"


@lru_cache(256)
def _said(name: str, names: tuple[str, ...]) -> str:
    return "" if name in names else f"; {names_that_are_there(name, names)}"


def _paths(value: Any, path: str = "", depth: int = 4) -> Iterator[str]:
    """The paths of what is no object and no array; deeper ones are left out."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in parts if depth else ():
            yield from _paths(each, f"{path}.{name}" if path else str(name), depth - 1)
    else:
        yield path[:LONGEST]
