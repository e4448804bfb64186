"""Create and remove a model's directory by an atomic rename: no reader sees half of one."""

from __future__ import annotations

import errno
import fcntl
import os
from typing import TYPE_CHECKING

from detectd.filesystem import atomic_files
from detectd.models import locks

if TYPE_CHECKING:
    from pathlib import Path


def rename_unless_there(beside: Path, home: Path) -> None:
    """Rename `beside` to `home`; if that exists already, leave both unchanged."""
    try:
        beside.rename(home)
    except OSError as failed:
        if failed.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def move_aside(home: Path) -> Path | None:
    """Rename a model away atomically; return None if a process uses it."""
    aside = atomic_files.unique(home)
    descriptor = locks.directory(home)
    try:
        # Held until the name is gone: a new reader finds no model rather than half of one.
        if not locks.try_lock(descriptor, fcntl.LOCK_EX):
            return None
        home.rename(aside)
    finally:
        os.close(descriptor)
    return aside


def is_left_behind(beside: Path) -> bool:
    """Return whether the process that was writing this ended before it finished."""
    try:
        return beside.is_dir() and not locks.is_in_use(beside)
    except OSError:
        return False
