"""Open the files of a source, which may belong to other users, as may links to them."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from detectd.filesystem import owners
from detectd.filesystem.safe_walk import Walk
from detectd.sources.open_file import OpenFile

if TYPE_CHECKING:
    from pathlib import Path

HINT = "name the target itself, or set source.follow_symlinks = true if it is meant"


class ForeignError(PermissionError):
    """A symlink of one user points to a file of another."""

    def __init__(self, reason: str, place: Path) -> None:
        super().__init__(errno.EPERM, reason, str(place))


class Opener:
    """Open files; follow symlinks only if their owner owns their target, or if all are followed.

    A log often belongs to another user, who could link its name to a file that only this process
    may read. Links of root and of this user are trusted.
    """

    def __init__(self, *, follow_symlinks: bool = False) -> None:
        self._follow = follow_symlinks

    def __call__(self, place: Path, *, original: bool = True) -> OpenFile:
        """Open a file; see `OpenFile`. Raise ForeignError if its link is not trusted."""
        with Walk(place) as walk:
            self._look(walk)
            return OpenFile(walk, place, original=original)

    def target(self, path: Path) -> Path:
        """Return the target of a path; the path itself if it is not to be followed."""
        try:
            # The target of a link may be created later.
            with Walk(path, missing_ok=True) as walk:
                self._look(walk)
                return walk.place
        except OSError:
            return path.absolute()

    def _look(self, walk: Walk) -> None:
        trusted, owner = owners.trusted(), walk.status.st_uid
        for link in () if self._follow else walk.links:
            whose = link.status.st_uid
            if whose in trusted or whose == owner != owners.anonymous():
                continue
            reason = f"{link.place} is a symbolic link owned by {owners.name(whose)}, "
            reason += f"and its target {walk.place} belongs to {owners.name(owner)}"
            raise ForeignError(reason, walk.place)
