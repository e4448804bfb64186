"""The files of a followed path, in the order in which they were written.

`behind` have been read, and are kept until acknowledged; `current` is being read; `next` come after
it. All are held open, so that nothing is lost if they are renamed or removed.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from detectd.sources.file_identity import LONGEST, NOTHING
from detectd.sources.opener import Opener
from detectd.sources.tails import Tails
from detectd.sources.watched_path import WatchedPath

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from detectd.sources.file_identity import Identity
    from detectd.sources.open_file import OpenFile

# A position lists this many of the next files; more are found by their names.
MOST_EXPECTED = 4


class Chain:
    """The current and former files of `path`. A rotated file is complete once it has been silent
    for `wait_seconds`: until then its writer may not have noticed the rename.

    `clock` is monotonic, in seconds; `wall` gives seconds since the epoch, as file times do.
    """

    def __init__(
        self,
        path: Path,
        rotated: Sequence[str] = (),
        wait_seconds: float = 0.0,
        opener: Opener | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        opener = opener or Opener()
        self.place = WatchedPath(path, opener)
        self.tails = Tails(path, rotated, opener)
        self.current: OpenFile | None = None
        self.next: list[OpenFile] = []
        self.behind: list[OpenFile] = []
        self._wait = wait_seconds
        self._clock = clock
        self._wall = wall

    def begin(self, file: OpenFile | None, generation: int, *, found: bool = False) -> None:
        """Read `file` from now on; `found` is whether it was found by a search."""
        self.current = file
        if file:
            file.generation = generation
            self.place.found()
            # The time of a link's change is unknown.
            if found and file.place != self.place.target_now() and not self.place.path.is_symlink():
                self._has_moved(file, self._age(file))

    def begin_after(
        self, modified: int, expected: Iterable[Identity], generation: int
    ) -> OpenFile | None:
        """Begin with the files written after `modified`, in ns, if no earlier file is left."""
        self.expect(expected)
        for one in self.tails.after_time(modified, self.place.target):
            if one.key not in self._known() and (file := self.place.open_rotated(one)):
                self._append(file, at_path=False)
        file = self.place.open(patient=False)
        if file and file.key in self._known():
            file.close()
        elif file:
            self._append(file, at_path=True)
        first = self.next.pop(0) if self.next else None
        self.begin(first, generation)
        return first

    def beginning(self, generation: int) -> tuple[Identity | None, list[Identity]]:
        """Return the identities of the file of a generation, and of those after it."""
        files = [file for file in self._read() if file.generation >= generation]
        if not files or files[0].generation != generation or files[0].cut:
            return None, []
        first, *others = [_beginning(file) for file in (*files, *self.next)][: MOST_EXPECTED + 1]
        return first, others

    def has_read(self, size: int) -> None:
        """Record that many bytes read from the current file; bytes after its end are new."""
        file = self.current
        if file is None:
            return
        if size and file.at_end:
            file.quiet_since = self._clock()
        file.at_end = not size

    def following(self) -> OpenFile | None:
        """Return the file to switch to, None if there is none or it is not time yet.

        An empty file is not used: as long as it has no content to identify it, the file before
        identifies the position better.
        """
        assert self.current
        self._look()
        if not self.next or not self._is_complete(self.current):
            return None
        if not self.current.cut:
            self._add_missed()
        while len(self.next) > 1 and self.next[0].is_empty():
            if not self._is_complete(self.next[0]):
                return None
            self.next.pop(0).close()
        first = self.next[0]
        return None if first.is_empty() and not self.current.cut else first

    def go_over(self, first: OpenFile, end: int) -> None:
        """Switch to `first` of the next files; the current one was read up to `end`."""
        assert self.current
        self.next.remove(first)
        self.current.end = end
        self.behind.append(self.current)
        first.generation = self.current.generation + 1
        self.current = first

    def replace(self, copy: OpenFile) -> None:
        """Switch to a copy of the current file, whose content is gone."""
        assert self.current
        copy.generation = self.current.generation
        self.current.close()
        self.current = copy
        close(self.next)
        self.next = []

    def expected(self) -> list[Identity]:
        """Return the identities of the next files, as far as known."""
        return [_beginning(file) for file in self.next[:MOST_EXPECTED]]

    def expect(self, past: Iterable[Identity]) -> int:
        """Find the files that were known to come next; return how many are gone.

        They are found by inode: compressed or copied files are found by name, since their
        beginnings may be alike. The file at the path is last, whatever file its inode belonged to
        before.
        """
        missing: list[Identity] = []
        for identity in past:
            file = self.tails.by_inode(identity, identity.head_size, self.place.target)
            if file is None:
                missing += [identity] if identity.head_size else []
            elif file.key in self._known() or file.place == self.place.target_now():
                file.close()
            else:
                self._append(file, at_path=False)
        if not missing or not self._read():
            return len(missing)
        after = self.tails.after(self._read(), self.place.target)
        return sum(not self.tails.is_among(after, identity) for identity in missing)

    def acknowledge(self, generation: int) -> None:
        """Release the earlier files, except the last one, which may still be written to."""
        done = [file for file in self.behind if file.generation < generation]
        if done and done[-1] is self.behind[-1] and done[-1].status().st_nlink:
            done.pop()
        close(done)
        self.behind = [file for file in self.behind if file not in done]

    def written_too_late(self) -> int:
        """Return how many unread bytes were added to the previous file after the switch."""
        if not self.behind or not self.behind[-1].original or self.behind[-1].cut:
            return 0
        last = self.behind[-1]
        late = max(0, last.size() - last.end)
        last.end += late
        return late

    def go_back(self, generation: int) -> None:
        """Make the file of that generation current again."""
        files = self._read()
        at = next((n for n, file in enumerate(files) if file.generation >= generation), None)
        if at is not None:
            self.behind, self.current = files[:at], files[at]
            self.next = files[at + 1 :] + self.next

    def progress(self, offset: int) -> float | None:
        """Return the share of the current file before `offset`; of its compressed bytes if
        compressed."""
        file = self.current
        if file is None:
            return None
        size = file.size()
        read = file.packed_at() if file.packed else offset
        return min(1.0, read / size) if size else 1.0

    def unread(self, offset: int) -> int | None:
        """Return the bytes after `offset` in the current file, and in the next ones."""
        file = self.current
        if file is None:
            return None
        size = file.end if file.cut else file.size()
        read = file.packed_at() if file.packed else offset
        return max(0, size - read) + sum(later.size() for later in self.next)

    def close(self) -> None:
        """Release all files."""
        close([*self._read(), *self.next])
        self.behind, self.current, self.next = [], None, []

    def _look(self) -> None:
        """Check for a file that replaced the last known one."""
        last = self.next[-1] if self.next else self.current
        assert last
        status = self.place.status()
        if status is None:
            return
        if (status.st_dev, status.st_ino) == last.key:
            if last.cut and (file := self.place.open()):
                self._append(file, at_path=True)
            return
        rotated = self.tails.after([*self._read(), *self.next], self.place.target)
        for one in rotated:
            if file := self.place.open_rotated(one):
                self._append(file, at_path=False)
        if file := self.place.open():
            self._append(file, at_path=True)

    def _append(self, file: OpenFile, *, at_path: bool) -> None:
        before = self.next[-1] if self.next else self.current
        if before and not before.moved:
            self._has_moved(before, 0.0)
        self.next.append(file)
        if not at_path:
            self._has_moved(file, self._age(file))

    def _add_missed(self) -> None:
        """Add files that were rotated between the current and the next file during the wait.

        The content of a file that is copied and truncated before it is begun is in its copy.
        """
        assert self.current
        before = list(self.next)
        ordered: list[OpenFile] = []
        for one in self.tails.after(self._read(), self.place.target):
            same = (file for file in before if file.key == one.key or self.tails.is_same(one, file))
            file = next(same, None)
            if file is None and (file := self.place.open_rotated(one)):
                self._has_moved(file, self._age(file))
            if file and file not in ordered:
                ordered.append(file)
        # Files whose names give no order keep their relative order, and the last stays last.
        for n, file in enumerate(before):
            if file not in ordered:
                at = ordered.index(before[n - 1]) + 1 if n else 0
                ordered.insert(len(ordered) if file is before[-1] else at, file)
        self.next = ordered

    def _known(self) -> set[tuple[int, int]]:
        return {file.key for file in (*self._read(), *self.next)}

    def _read(self) -> list[OpenFile]:
        return [*self.behind, *([self.current] if self.current else [])]

    def _has_moved(self, file: OpenFile, seconds_ago: float) -> None:
        file.moved = True
        file.quiet_since = max(file.quiet_since, self._clock() - seconds_ago)

    def _age(self, file: OpenFile) -> float:
        """Return for how many seconds a file has been neither written nor renamed."""
        status = file.status()
        return max(0.0, self._wall() - max(status.st_mtime, status.st_ctime))

    def _is_complete(self, file: OpenFile) -> bool:
        if not file.original or file.cut:
            return True
        if self._clock() - file.quiet_since < self._wait:
            return False
        # A backlog may just have been completed. A time in the future is ignored.
        return not 0 <= self._wall() - file.status().st_mtime < self._wait


def _beginning(file: OpenFile) -> Identity:
    size = LONGEST if file.packed else min(file.size(), LONGEST)
    return replace(file.identity(size), tail_size=0, tail=NOTHING)


def close(files: Iterable[OpenFile]) -> None:
    """Close all files."""
    for file in files:
        file.close()
