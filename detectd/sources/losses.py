"""Losses of a file: each is logged with its reason, counted, and an alert."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from detectd.pipeline.records import LostPart
from detectd.sources import Losses
from detectd.sources.uncommitted import Uncommitted

if TYPE_CHECKING:
    from pathlib import Path

log = structlog.get_logger()


class Loss(NamedTuple):
    """The reason of a loss, and how to prevent it."""

    reason: str
    hint: str


_KEEP = "name in source.rotated where rotated files go, and keep them until they are read"

GONE = Loss("truncated or removed since, and no rotated file has its content", _KEEP)
NEXT_GONE = Loss("a file that came after it was removed before it was read", _KEEP)
TRUNCATED = Loss("truncated while it was read, and no rotated file has its content", _KEEP)
UNANSWERED = Loss("truncated after it was read and before it was judged", _KEEP)
TOO_LATE = Loss(
    "written to a rotated file after source.rotate_wait_seconds of silence",
    "raise source.rotate_wait_seconds, or let the writer reopen its log sooner",
)


def name_of(path: Path, generation: int) -> str:
    """Return the name of a file in the ids of its records, without their lines."""
    return f"{path.name}#{generation}" if generation else path.name


class LossLog:
    """The losses of one path: those since they were last taken, and those since the last commit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = Losses()
        self._found = Uncommitted[LostPart]()

    def begin(self) -> None:
        """Discard the lost parts: a source that resumes from its last commit finds them again."""
        self._found = Uncommitted()

    def lost(
        self, generation: int, line: int, why: Loss, size: int | None, number: int = 0
    ) -> None:
        """Log the loss of what came after `line`: at least `size` bytes, None if unknown.

        `number` is for several losses after the same line.
        """
        known = "unknown" if size is None else size
        log.error("source.lost", path=str(self._path), line=line, bytes=known, **why._asdict())
        name = name_of(self._path, generation)
        # A loss that is found again after a crash may have another reason, and another size.
        seen = f"{self._path.absolute()}\n{name}\n{line} {number}"
        if seen not in (part.seen for part in self._found):
            self._found.add(LostPart(name, line, size, why.reason, seen))
        times, lost_bytes, nul_bytes = self._since
        self._since = Losses(times + 1, lost_bytes + (size or 0), nul_bytes)

    def skipped(self, line: int, size: int) -> None:
        """Log a hole of `size` NULs after `line`, without any record."""
        log.warning(
            "source.nul_hole",
            path=str(self._path),
            line=line,
            bytes=size,
            hint="let the writer open the file for appending if it is truncated under it",
        )
        self._since = self._since._replace(nul_bytes=self._since.nul_bytes + size)

    def offer(self) -> list[LostPart]:
        """Return the lost parts that a commit of the current position makes permanent."""
        return self._found.offer()

    def on_commit(self) -> None:
        """Remove the parts that were last offered: they are committed."""
        self._found.on_commit()

    def take(self) -> Losses:
        """Return the losses, and reset them."""
        since, self._since = self._since, Losses()
        return since
