"""Which file comes after a rotated one, where a log was rotated more than once."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.sources.identity import Identity

# `.1` is younger than `.2`; of dates, as in `-20261123` or `.2026-11-23`, the later is younger.
# Other names, `.gz` and `.bak` among them, may be copies of what has been read already.
NUMBER = re.compile(r"\.(\d{1,3})")
DATE = re.compile(r"[-.](\d{4}[-_T:.\d]{2,})")


def successor(path: Path, finished: Identity) -> Path:
    """The file to read after the one of `finished`: the next younger beside it, else `path`."""
    rotated: dict[tuple[str, int, str], Path] = {}
    for sibling in path.parent.iterdir():
        age = _age(sibling.name.removeprefix(path.name))
        if age and sibling.name.startswith(path.name) and sibling.is_file():
            rotated[age] = sibling
    own = next((age for age, place in rotated.items() if finished.is_same_inode(place)), None)
    younger = [age for age in rotated if own and age[0] == own[0] and age > own]
    return rotated[min(younger)] if younger else path


def _age(suffix: str) -> tuple[str, int, str] | None:
    """Sorts the names of one kind of rotation from the oldest to the youngest."""
    if number := NUMBER.fullmatch(suffix):
        return "number", -int(number[1]), ""
    if date := DATE.fullmatch(suffix):
        return "date", 0, date[1]
    return None
