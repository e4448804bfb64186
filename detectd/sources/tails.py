"""Find a file again that was renamed, compressed, copied or unlinked since it was read.

By inode first; else by the bytes that it begins with and those before the offset, for a copy has
another inode, and an inode may be another file's by now.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem.compressed_names import SUFFIXES
from detectd.sources.rotation import Rotated, candidates, entries, matching, younger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from detectd.sources.file_identity import Identity
    from detectd.sources.open_file import OpenFile
    from detectd.sources.opener import Opener

SECOND = 1_000_000_000  # in ns

# Many a file begins with the same few bytes.
SURE = 64


class Tails:
    """The files that `path` was rotated to, beside it and where the `globs` say."""

    def __init__(self, path: Path, globs: Sequence[str], opener: Opener) -> None:
        self._path = path
        self._globs = globs
        self._open = opener

    def find(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open the file of that identity wherever it lies now; None if it is gone.

        `target` is what the path stood for, if it is a symlink. Raises ConfigError if the file may
        be one that only a library could read that is not installed.
        """
        if past.head_size < SURE:  # The file may have been copied and truncated nevertheless.
            found = self._changed_copy(past, offset, target) or self.by_inode(past, offset, target)
            if found or not past.head_size:
                return found
        return (
            self.by_inode(past, offset, target)
            or self.find_copy(past, offset, target)
            or self._restored(past, offset)
        )

    def is_among(self, rotated: Iterable[Rotated], past: Identity) -> bool:
        """Return whether one of them begins as a file did."""
        match = self._first_match(rotated, past, past.head_size)
        if match:
            match.close()
        return match is not None

    def find_copy(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open a copy, compressed or not, of a file of which `offset` bytes had been read.

        Of several the oldest that has been changed since then.
        """
        rotated = self._candidates(target)
        changed = _changed_since(rotated, past.modified)
        before = [one for one in rotated if one not in changed]
        before.sort(key=lambda one: -one.modified)
        # What was compressed may have its time in whole seconds.
        return self._first_match([*changed, *before], past, offset, past.modified - SECOND)

    def _changed_copy(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        if not past.modified:
            return None
        rotated = self._candidates(target)
        changed = _changed_since(rotated, past.modified + 1)
        written = (one for one in changed if not self._is_empty(one))
        return self._first_match(written, past, offset)

    def after(self, files: Sequence[OpenFile], target: Path) -> list[Rotated]:
        """Return the files that were rotated after the last of `files`, the oldest first.

        If nothing is left of that one, after the one before it; none of `files` is among them.
        """
        rotated = self._candidates(target)
        places = [self._now(file, rotated) for file in files]
        last = files[-1]
        modified = max(file.status().st_mtime_ns for file in files)
        own = next(filter(None, reversed(places)), None)
        own = own or Rotated(last.place, last.place, "other", (), modified, last.key)
        return [
            one for one in younger(own, rotated, self._open.target(self._path)) if one not in places
        ]

    def after_time(self, modified: int, target: Path) -> list[Rotated]:
        """Return the rotated files that were changed after `modified`, in ns, the oldest first."""
        lost = Rotated(self._path, self._path, "other", (), modified, (0, 0))
        return younger(lost, self._candidates(target), self._path)

    def by_inode(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open the file itself, if it still holds what it did, wherever it was renamed to."""
        inode = past.device, past.inode
        for place in self._places(target):
            with contextlib.suppress(OSError):
                status = place.stat()
                if (status.st_dev, status.st_ino) != inode:
                    continue
                file = self._open(place)
                # An inode that is used again, for what was compressed since, may begin like it.
                sure = past.head_size >= SURE or not file.packed
                if sure and file.key == inode and file.matches(past, offset):
                    return file
                file.close()
                return None
        return None

    def _candidates(self, target: Path) -> list[Rotated]:
        here = self._open.target(self._path)
        return candidates(self._path, here, target, self._globs)

    def _places(self, target: Path) -> Iterator[Path]:
        yield self._path
        yield target
        for directory in dict.fromkeys(
            [self._path.absolute().parent, self._path.resolve().parent, target.parent]
        ):
            yield from entries(directory)
        yield from matching(self._globs)

    def _restored(self, past: Identity, offset: int) -> OpenFile | None:
        """Open the file at the path if another inode has the same content."""
        if not offset:
            return None
        with contextlib.suppress(OSError):
            file = self._open(self._path)
            if file.matches(past, offset):
                return file
            file.close()
        return None

    def _now(self, file: OpenFile, rotated: Sequence[Rotated]) -> Rotated | None:
        """Return what has become of an open file: renamed, compressed, or neither."""
        renamed = next((one for one in rotated if one.key == file.key), None)
        return renamed or next((one for one in rotated if self.is_same(one, file)), None)

    def is_same(self, rotated: Rotated, file: OpenFile) -> bool:
        """Return whether a compressed file is what has become of an open one.

        Its writer may have added to the open one since, or may not have written much yet.
        """
        if rotated.place.suffix not in SUFFIXES or file.packed:
            return False
        try:
            packed = self._open(rotated.named)
        except (OSError, ConfigError):
            return False
        with contextlib.closing(packed):
            return packed.agrees_with(file, at_least=SURE)

    def _is_empty(self, rotated: Rotated) -> bool:
        try:
            file = self._open(rotated.named)
        except (OSError, ConfigError):
            return False
        with contextlib.closing(file):
            return file.is_empty()

    def _first_match(
        self, rotated: Iterable[Rotated], past: Identity, offset: int, since: int = 0
    ) -> OpenFile | None:
        """Return the first file that matches.

        Raises ConfigError if there is none but one changed `since` cannot be read.
        """
        unreadable: ConfigError | None = None
        for one in rotated:
            try:
                file = self._open(one.named, original=one.key == (past.device, past.inode))
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


def _changed_since(rotated: Iterable[Rotated], modified: int) -> list[Rotated]:
    changed = [one for one in rotated if one.modified >= modified]
    return sorted(changed, key=lambda one: one.modified)
