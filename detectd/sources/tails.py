"""Find a file that was renamed, compressed, copied or unlinked since it was read.

It is found by inode first; otherwise by its first bytes and those before the offset, since a copy
has another inode, and an inode may have been reused.
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

# Many files begin with the same few bytes.
SURE = 64


class Tails:
    """The files that `path` was rotated to, beside it and matching the `globs`."""

    def __init__(self, path: Path, globs: Sequence[str], opener: Opener) -> None:
        self._path = path
        self._globs = globs
        self._open = opener

    def find(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open the file of that identity wherever it is now; None if it is gone.

        `target` is the path's target, if it is a symlink. Raise ConfigError if the file may be one
        that needs a missing library.
        """
        if past.head_size < SURE:  # The file may still have been copied and truncated.
            found = self._changed_copy(past, offset, target) or self.by_inode(past, offset, target)
            if found or not past.head_size:
                return found
        return (
            self.by_inode(past, offset, target)
            or self.find_copy(past, offset, target)
            or self._restored(past, offset)
        )

    def is_among(self, rotated: Iterable[Rotated], past: Identity) -> bool:
        """Return whether one of them begins with the same bytes as the file."""
        match = self._first_match(rotated, past, past.head_size)
        if match:
            match.close()
        return match is not None

    def find_copy(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open a copy, compressed or not, of a file of which `offset` bytes had been read.

        If there are several, it is the oldest that was changed since then.
        """
        rotated = self._candidates(target)
        changed = _changed_since(rotated, past.modified)
        before = [one for one in rotated if one not in changed]
        before.sort(key=lambda one: -one.modified)
        # Compression may truncate the time to whole seconds.
        return self._first_match([*changed, *before], past, offset, past.modified - SECOND)

    def _changed_copy(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        if not past.modified:
            return None
        rotated = self._candidates(target)
        changed = _changed_since(rotated, past.modified + 1)
        written = (one for one in changed if not self._is_empty(one))
        return self._first_match(written, past, offset)

    def after(self, files: Sequence[OpenFile], target: Path) -> list[Rotated]:
        """Return the files that were rotated after the last of `files`, oldest first.

        If that one is gone, use the one before it; `files` themselves are not returned.
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
        """Return the rotated files that were changed after `modified`, in ns, oldest first."""
        lost = Rotated(self._path, self._path, "other", (), modified, (0, 0))
        return younger(lost, self._candidates(target), self._path)

    def by_inode(self, past: Identity, offset: int, target: Path) -> OpenFile | None:
        """Open the file itself, if its content is unchanged, wherever it was renamed to."""
        inode = past.device, past.inode
        for place in self._places(target):
            with contextlib.suppress(OSError):
                status = place.stat()
                if (status.st_dev, status.st_ino) != inode:
                    continue
                file = self._open(place)
                # A reused inode, of a file compressed since, may begin with the same bytes.
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
        """Return the current form of an open file: renamed, compressed, or neither."""
        renamed = next((one for one in rotated if one.key == file.key), None)
        return renamed or next((one for one in rotated if self.is_same(one, file)), None)

    def is_same(self, rotated: Rotated, file: OpenFile) -> bool:
        """Return whether a compressed file was made from an open one.

        The open one may have grown since, or may not have much content yet.
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

        Raise ConfigError if none matches but one changed `since` cannot be read.
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
