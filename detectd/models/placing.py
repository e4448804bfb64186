"""The name of a model's directory, given and taken in one step: no reader finds half of one."""

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
    """Give `beside` the name `home`; if that is taken already, leave both as they are."""
    try:
        beside.rename(home)
    except OSError as failed:
        if failed.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise


def move_aside(home: Path) -> Path | None:
    """Take the name from a model, in one step; return None if a process has it in use."""
    aside = atomic_files.unique(home)
    descriptor = locks.directory(home)
    try:
        # Held until the name is gone: a reader that comes now finds no model rather than half of
        # one.
        if not locks.try_lock(descriptor, fcntl.LOCK_EX):
            return None
        home.rename(aside)
    finally:
        os.close(descriptor)
    return aside


def is_left_behind(beside: Path) -> bool:
    """Return whether the process that was writing this has ended before it was finished."""
    try:
        return beside.is_dir() and not locks.is_in_use(beside)
    except OSError:
        return False
