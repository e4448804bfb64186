"""Write files that are complete or absent, whatever happens while they are written."""

from __future__ import annotations

import contextlib
import os
import secrets
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from typing import TYPE_CHECKING

from detectd.filesystem import umask

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


def write(
    path: Path, content: bytes, *, mode: int = 0o640, sync: bool = True, after: Sequence[int] = ()
) -> None:
    """Create `path` with `content`; with `sync` on the disk itself, not only in its cache.

    The path must not exist yet. Others may read it as far as `mode` and the umask at the start
    allow.

    So is then what was written to the descriptors `after`. The disk is asked for all of it at the
    same time: a file system makes one journal entry of that, so there is one wait.
    """
    descriptor = os.open(path, FLAGS, mode)
    with os.fdopen(descriptor, "wb") as file:
        umask.share(descriptor, mode)
        file.write(content)
        file.flush()
        if sync:
            others = [_threads().submit(os.fsync, other) for other in after]
            try:
                os.fsync(file.fileno())
            finally:
                wait(others)
            for other in others:
                other.result()


def replace(
    path: Path, content: bytes, *, mode: int = 0o640, sync: bool = True, after: Sequence[int] = ()
) -> None:
    """Replace `path` by `content`: a reader sees the old file or the new one.

    Several threads and processes may do so at once; the last one wins. With `sync`, data written to
    the descriptors `after` is on disk before.
    """
    beside = unique(path)
    try:
        write(beside, content, mode=mode, sync=sync, after=after)
        beside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if sync:
        sync_directory(path.parent)


def unique(path: Path) -> Path:
    """Return a hidden name beside `path` that no thread, process or container uses.

    A process id is not unique: it is the same in every container.
    """
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.new")


def sync_directory(directory: Path) -> None:
    """Make renames, creations and removals in the directory survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, "sync")
