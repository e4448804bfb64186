"""Losses of a file: each is logged with its reason, and counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import structlog

from detectd.sources import Losses

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


class LossLog:
    """The losses of one path since they were last taken."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = Losses()

    def lost(self, line: int, why: Loss, size: int | None) -> None:
        """Log the loss of what came after `line`: at least `size` bytes, None if unknown."""
        known = "unknown" if size is None else size
        log.error("source.lost", path=str(self._path), line=line, bytes=known, **why._asdict())
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

    def take(self) -> Losses:
        """Return the losses, and reset them."""
        since, self._since = self._since, Losses()
        return since
