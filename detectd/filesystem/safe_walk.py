"""Walk a path by descriptors, so that the checked file is the opened one."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from types import TracebackType

PLACE = os.O_PATH | os.O_CLOEXEC
MOST_LINKS = 40  # as the kernel has it


class Step(NamedTuple):
    """A directory or a symlink on the way."""

    place: Path
    status: os.stat_result


class Walk:
    """The target of `path`: its `status`, and the `links` and `directories` on the way.

    Use it as a context. Raises OSError, with the name of `path`, if the way does not lead to its
    end; with `missing_ok` it is `missing`, and `status` is that of the last directory there. A
    link of the kernel's own, as in /proc/self/fd, is followed and not counted.
    """

    def __init__(self, path: Path, *, missing_ok: bool = False) -> None:
        self.links: list[Step] = []
        self.directories: list[Step] = []
        self.missing = False
        self._at = os.open("/", PLACE)
        try:
            self._go(path.absolute(), missing_ok=missing_ok)
        except OSError as failed:
            os.close(self._at)
            raise OSError(failed.errno, os.strerror(failed.errno or 0), str(path)) from None

    def __enter__(self) -> Self:
        """Give the walk, to be closed at the end."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Close the walk."""
        os.close(self._at)

    def open(self, flags: int) -> int:
        """Open what was found, and nothing that has taken its place since."""
        return os.open(f"/proc/self/fd/{self._at}", flags | os.O_CLOEXEC)

    def _go(self, path: Path, *, missing_ok: bool) -> None:
        self.status = os.fstat(self._at)
        self.place = Path("/")
        left = [*reversed(path.parts)]
        while left:
            part = left.pop()
            if part == "/":
                self._enter(os.open("/", PLACE), Path("/"))
                continue
            self.directories.append(Step(self.place, self.status))
            try:
                found = os.open(part, PLACE | os.O_NOFOLLOW, dir_fd=self._at)
            except FileNotFoundError:
                if not missing_ok:
                    raise
                self.place, self.missing = self.place.joinpath(part, *reversed(left)), True
                return
            try:
                target = self._target(found, part)
            except BaseException:
                os.close(found)
                raise
            if target is not None:
                os.close(found)
                left += reversed(Path(target).parts)
            elif stat.S_ISLNK(os.fstat(found).st_mode):  # the kernel's own
                os.close(found)
                found = os.open(part, PLACE, dir_fd=self._at)
                self._enter(found, Path(f"/proc/self/fd/{found}").readlink())
            else:
                self._enter(found, self.place.parent if part == ".." else self.place / part)

    def _target(self, found: int, part: str) -> str | None:
        """Return where a link leads, None if it is not a link that a user made."""
        status = os.fstat(found)
        if not stat.S_ISLNK(status.st_mode) or of_the_kernel(status):
            return None
        self.links.append(Step(self.place / part, status))
        if len(self.links) > MOST_LINKS:
            raise OSError(errno.ELOOP, "")
        return os.readlink("", dir_fd=found)

    def _enter(self, found: int, place: Path) -> None:
        os.close(self._at)
        self._at, self.place, self.status = found, place, os.fstat(found)


def of_the_kernel(status: os.stat_result) -> bool:
    """Return whether a file lies in /proc or /sys, where what is read is made while it is read."""
    return any(
        os.path.ismount(place) and os.stat(place).st_dev == status.st_dev  # noqa: PTH116
        for place in ("/proc", "/sys")
    )
