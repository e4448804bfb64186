"""Find a file again that was renamed, compressed, copied or unlinked since it was read.

By inode first; else by the bytes that it begins with and those before the offset, for a copy has
another inode, and an inode may be another file's by now.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.sources.opened import Opened
from detectd.sources.packed import SUFFIXES
from detectd.sources.rotation import Rotated, candidates, entries, matching, younger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from detectd.sources.identity import Identity

SECOND = 1_000_000_000  # in ns


class Tails:
    """The files that `path` was rotated to, beside it and where the `globs` say."""

    def __init__(self, path: Path, globs: Sequence[str]) -> None:
        self._path = path
        self._globs = globs

    def find(self, past: Identity, offset: int, target: Path) -> Opened | None:
        """Open the file of that identity wherever it lies now; None if it is gone.

        `target` is what the path stood for, if it is a symlink. Raises ConfigError if the file may
        be one that only a library could read that is not installed.
        """
        return (
            self._by_inode(past, offset, target)
            or self.find_copy(past, offset, target)
            or self._restored(past, offset)
        )

    def find_next(self, past: Identity, target: Path) -> Opened | None:
        """Open a file of which the first bytes are known, an empty one by its inode alone."""
        if not past.head_size:
            return self._by_inode(past, 0, target)
        return self.find(past, past.head_size, target)

    def find_copy(self, past: Identity, offset: int, target: Path) -> Opened | None:
        """Open a copy, compressed or not, of a file of which `offset` bytes had been read.

        Of several the oldest that has been changed since then. Of an empty file only that is known.
        """
        rotated = candidates(self._path, target, self._globs)
        # Those who compress a file may set its time to the second.
        since = past.modified // SECOND * SECOND if past.head_size else past.modified + 1
        changed = [one for one in rotated if one.modified >= since]
        changed.sort(key=lambda one: one.modified)
        if not past.head_size:
            return _first_match(changed, past, offset) if past.modified else None
        before = [one for one in rotated if one.modified < since]
        before.sort(key=lambda one: -one.modified)
        return _first_match([*changed, *before], past, offset, since)

    def after(self, own: Opened, target: Path) -> list[Rotated]:
        """Return the files that were rotated after `own`, the oldest first."""
        rotated = candidates(self._path, target, self._globs)
        known = next((one for one in rotated if one.key == own.key), None)
        status = own.status()
        known = known or next((one for one in rotated if is_compressed(one, own)), None)
        known = known or Rotated(own.place, "other", (), status.st_mtime_ns, own.key)
        return younger(known, rotated, self._path.resolve())

    def after_time(self, modified: int, target: Path) -> list[Rotated]:
        """Return the rotated files that were changed after `modified`, in ns, the oldest first."""
        lost = Rotated(self._path, "other", (), modified, (0, 0))
        return younger(lost, candidates(self._path, target, self._globs), self._path)

    def _by_inode(self, past: Identity, offset: int, target: Path) -> Opened | None:
        inode = past.device, past.inode
        for place in self._places(target):
            with contextlib.suppress(OSError):
                status = place.stat()
                if (status.st_dev, status.st_ino) != inode:
                    continue
                file = Opened(place)
                if file.key == inode and file.matches(past, offset):
                    return file
                file.close()
                return None
        return None

    def _places(self, target: Path) -> Iterator[Path]:
        yield self._path
        yield target
        for directory in dict.fromkeys(
            [self._path.absolute().parent, self._path.resolve().parent, target.parent]
        ):
            yield from entries(directory)
        yield from matching(self._globs)

    def _restored(self, past: Identity, offset: int) -> Opened | None:
        """Open the file at the path if another inode has the same content."""
        if not offset:
            return None
        with contextlib.suppress(OSError):
            file = Opened(self._path)
            if file.matches(past, offset):
                return file
            file.close()
        return None


def is_compressed(rotated: Rotated, own: Opened) -> bool:
    """Return whether a rotated file is what has become of an open one."""
    if rotated.place.suffix not in SUFFIXES or own.packed:
        return False
    size = own.size()
    if not size:
        return False
    match = _first_match([rotated], own.identity(size), size)
    if match:
        match.close()
    return match is not None


def _first_match(
    rotated: Iterable[Rotated], past: Identity, offset: int, since: int = 0
) -> Opened | None:
    """Raises ConfigError if there is none but one changed `since` cannot be read."""
    unreadable: ConfigError | None = None
    for one in rotated:
        try:
            file = Opened(one.place, original=False)
        except OSError:
            continue
        except ConfigError as missing:
            unreadable = unreadable or (missing if one.modified >= since else None)
            continue
        if file.matches(past, offset):
            return file
        file.close()
    if unreadable:
        raise unreadable
    return None
