"""Find a moved output file: renamed beside its path, moved below, copied, or compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import shutil
import stat
import zlib
from typing import IO, TYPE_CHECKING, cast

from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from detectd.sinks.checkpoint import Mark

BLOCK = 1 << 20
PACKERS: dict[str, Callable[..., object]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
DAMAGED = (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error)


def find(path: Path, length: int, mark: Mark) -> Iterator[Path]:
    """Yield each file, other than `path`, with the content that `path` had at `length` bytes.

    A file of any name is found by its inode, and a copy by a name with the same beginning.
    """
    for place in _candidates(path.parent):
        alike = place.name.startswith(path.stem)
        try:
            status = place.stat(follow_symlinks=False)
            wanted = alike or status.st_ino == mark.inode
            if place == path or not wanted or not stat.S_ISREG(status.st_mode):
                continue
            if not length and not (alike and status.st_ino == mark.inode):
                continue
            if _holds(place, length, mark):
                yield place
        except FileNotFoundError:  # a rotation is in progress
            continue
        except DAMAGED:
            continue
        except OSError as failed:
            if failed.errno is not None:  # bz2 reports damage without an errno
                raise explained(failed, f"{place} cannot be read") from None


def open_former(place: Path) -> IO[bytes]:
    """Open a file from `find` for reading its uncompressed content."""
    opened = PACKERS[place.suffix](place) if place.suffix in PACKERS else place.open("rb")
    return cast("IO[bytes]", opened)


def cut_back(place: Path, length: int) -> int:
    """Truncate `place` to `length` bytes; return the number of removed bytes."""
    if place.suffix not in PACKERS:
        extra = place.stat().st_size - length
        if extra > 0:
            os.truncate(place, length)
        return max(0, extra)
    with open_former(place) as packed:
        extra = -length
        while block := packed.read(BLOCK):
            extra += len(block)
    if extra > 0:
        _repack(place, length)
    return extra


def _repack(place: Path, length: int) -> None:
    beside = atomic_files.unique(place)
    try:
        with (
            open_former(place) as packed,
            cast("IO[bytes]", PACKERS[place.suffix](beside, "wb")) as cut,
        ):
            while length and (block := packed.read(min(BLOCK, length))):
                cut.write(block)
                length -= len(block)
        shutil.copystat(place, beside)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def _candidates(directory: Path) -> Iterator[Path]:
    """Yield the files in the directory, and in its direct subdirectories, as for logrotate's
    olddir."""
    for entry in sorted(directory.iterdir()):
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and not entry.is_symlink():
            try:
                yield from sorted(entry.iterdir())
            except PermissionError:
                continue
        else:
            yield entry


def _holds(place: Path, length: int, mark: Mark) -> bool:
    if place.suffix in PACKERS:
        if not length or place.stat().st_size == 0:
            return False
        with open_former(place) as packed:
            packed.seek(length - mark.size)
            return mark.fits_bytes(packed.read(mark.size)) and packed.tell() == length
    descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        return mark.fits(descriptor, length)
    finally:
        os.close(descriptor)
