"""Find rotated files, and the order in which they were written."""

from __future__ import annotations

import glob
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detectd.filesystem.compressed_names import SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

# `.1` is newer than `.2`; with dates, as in `-20261123` or `.2026-11-23`, the later is newer.
NUMBER = re.compile(r"\.(\d{1,3})")
DATE = re.compile(r"[-._](\d{4}[-_T:.\d]{2,})")
DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True)
class Rotated:
    """A file that may have been rotated. Within a `scheme` a greater `age` is newer.

    Files of the scheme "other" have no age, and are ordered by modification time. `named` may be a
    symlink to `place`.
    """

    named: Path
    place: Path
    scheme: str
    age: tuple[int, ...]
    modified: int
    key: tuple[int, int]


def candidates(path: Path, here: Path, target: Path, globs: Sequence[str]) -> list[Rotated]:
    """Return the files that `path` may have been rotated to, sorted within a scheme.

    If `path` is a symlink, `here` is its target now, and `target` its target when last read; else
    both are `path` itself. The search covers the names that logrotate gives, and those of other
    targets of the link.
    """
    found: dict[Path, Rotated] = {}
    for rotated in _candidates(path, here, target, globs):
        if rotated.place != here:
            found.setdefault(rotated.place, rotated)
    for place in [place for place in found if place.suffix in SUFFIXES]:
        if (
            place.with_suffix("") in found
        ):  # it is being compressed, and the original is still whole
            del found[place]
    return sorted(found.values(), key=lambda one: (one.scheme, one.age, one.modified))


def _candidates(path: Path, here: Path, target: Path, globs: Sequence[str]) -> Iterator[Rotated]:
    for place in matching(globs):
        yield from _rotated(place, [path, here, target], other=True)
    bases = dict.fromkeys([path.absolute(), here, target])
    for base in bases:
        for place in entries(base.parent):
            yield from _rotated(place, [base])
    if here == path.absolute() == target:
        return
    for place in entries(target.parent):
        if _shape(place) == _shape(target) and DIGITS.search(place.name):
            yield from _listed(place, "target", _numbers(place))


def _rotated(place: Path, bases: Iterable[Path], *, other: bool = False) -> Iterator[Rotated]:
    known = next(filter(None, (_age(base, _unpacked(place).name) for base in bases)), None)
    if known or other:
        yield from _listed(place, *(known or ("other", ())))


def _listed(place: Path, scheme: str, age: tuple[int, ...]) -> Iterator[Rotated]:
    try:
        status = place.stat()
    except OSError:  # removed since it was listed
        return
    if stat.S_ISREG(status.st_mode):
        key = status.st_dev, status.st_ino
        yield Rotated(place, Path(os.path.realpath(place)), scheme, age, status.st_mtime_ns, key)


def matching(globs: Iterable[str]) -> Iterator[Path]:
    """Yield the matches of the patterns, relative ones from the working directory."""
    for pattern in globs:
        yield from map(Path, glob.iglob(pattern, recursive=True))  # noqa: PTH207 - may be absolute


def entries(directory: Path) -> list[Path]:
    """Return the entries of a directory; nothing if it cannot be read."""
    try:
        return list(directory.iterdir())
    except OSError:
        return []


def younger(own: Rotated, rotated: Iterable[Rotated], current: Path) -> list[Rotated]:
    """Return those of `rotated` that were written after `own`, oldest first.

    `current` is the current target of the source's path: former targets of a link are sorted
    between their names.
    """
    if own.scheme == "other":
        later = [one for one in rotated if one.modified > own.modified and one.key != own.key]
        return sorted(later, key=lambda one: one.modified)
    later = [one for one in rotated if one.scheme == own.scheme and one.age > own.age]
    if own.scheme == "target":
        return [one for one in later if one.age < _numbers(current)]
    return later


def _age(base: Path, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Return scheme and age from the name. With logrotate's `extension` it is `events.1.jsonl`."""
    rest = ""
    if name.startswith(base.name):
        rest = name.removeprefix(base.name)
    elif base.suffix and name.startswith(base.stem) and name.endswith(base.suffix):
        rest = name[len(base.stem) : -len(base.suffix)]
    if number := NUMBER.fullmatch(rest):
        return "number", (-int(number[1]),)
    if date := DATE.fullmatch(rest):
        return "date", tuple(map(int, DIGITS.findall(date[1])))
    return None


def _unpacked(place: Path) -> Path:
    return place.with_suffix("") if place.suffix in SUFFIXES else place


def _shape(place: Path) -> Path:
    return place.parent / DIGITS.sub("#", _unpacked(place).name)


def _numbers(place: Path) -> tuple[int, ...]:
    return tuple(map(int, DIGITS.findall(_unpacked(place).name)))
