"""Locks on the model store, for threads and processes alike.

All are the kernel's (flock), so they end with the process that holds them, however it ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from typing import TYPE_CHECKING

from detectd.errors import DetectdError
from detectd.filesystem.os_errors import explained

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NAME = ".lock"

# A process changing the store holds the lock for milliseconds; a frozen one holds it longer.
FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
PATIENCE_SECONDS = 10.0
PAUSE_SECONDS = 0.005

# Errors of file systems that cannot lock a directory for writing (NFS), or anything.
UNSUPPORTED = {errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS}


class DirectoryLockedError(DetectdError):
    """Another process keeps its rows in the directory."""


@contextlib.contextmanager
def exclusive(store: Path, patience: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the exclusive lock on the directory `store`. Not to be nested.

    Raise DetectdError if another process does not release it within `patience` seconds, OSError if
    the lock file cannot be opened.
    """
    descriptor = os.open(store / NAME, FLAGS, 0o600)
    try:
        _leave_to_owner(descriptor, store)
        deadline = time.monotonic() + patience
        while not try_lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise DetectdError(
                    f"models.directory: {store}: another process has held {NAME} for "
                    f"{patience:g} seconds; find it with `fuser {store / NAME}` and stop it"
                )
            time.sleep(PAUSE_SECONDS)
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def in_use(home: Path) -> Iterator[int]:
    """Protect the directory `home` from pruning, and yield its descriptor.

    Raise OSError if it does not exist.
    """
    descriptor = hold(home)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def hold(home: Path) -> int:
    """Take the lock of `in_use`, until the descriptor that this returns is closed."""
    descriptor = directory(home)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError as refused:
        if refused.errno not in UNSUPPORTED:
            os.close(descriptor)
            raise
    return descriptor


def is_in_use(home: Path) -> bool:
    """Return whether any process loads or serves the model in the directory `home`."""
    descriptor = directory(home)
    try:
        return not try_lock(descriptor, fcntl.LOCK_EX)
    finally:
        os.close(descriptor)


def locked_file(path: Path, busy: str) -> int:
    """Open a file in the model store, locked for as long as the process holds it.

    Raise DirectoryLockedError with `busy` if another process holds it, and the error for an
    OSError.
    """
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as refused:
        raise explained(refused, f"models.directory: {path.parent} cannot be written") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(file)
        raise DirectoryLockedError(busy) from None
    return file


def directory(path: Path) -> int:
    """Return a descriptor of the directory, for locking."""
    return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)


def try_lock(descriptor: int, how: int) -> bool:
    """Take the lock unless another holds it. Also true if the file system has no locks."""
    try:
        fcntl.flock(descriptor, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as refused:
        if refused.errno not in UNSUPPORTED:
            raise
    return True


def _leave_to_owner(descriptor: int, store: Path) -> None:
    """Change the owner of a lock file that root created to that of the store."""
    if os.geteuid() == 0:
        owner = store.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


class Holder:
    """The models that this process serves: no process may prune them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, int] = {}

    def only(self, *versions: str) -> None:
        """Hold these and no others. One that is not in the store is ignored."""
        for version in self._held.keys() - set(versions):
            os.close(self._held.pop(version))
        for version in set(versions) - self._held.keys():
            with contextlib.suppress(OSError):
                self._held[version] = hold(self._directory / version)

    def close(self) -> None:
        """Release all. May be called twice."""
        self.only()
