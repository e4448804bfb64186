"""Write a result to the target of `-o`: a file, a pipe, a device, without following untrusted
links."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from detectd.errors import UsageError
from detectd.filesystem import owners, umask
from detectd.filesystem.os_errors import explained
from detectd.filesystem.safe_walk import Walk

if TYPE_CHECKING:
    from pathlib import Path

# A pipe without a reader is an error, not a wait.
FLAGS = os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC
MODE = 0o666


def write_result(path: Path, text: str) -> None:
    """Replace the content of the file given as `-o`. Raise UsageError."""
    try:
        descriptor = _opened(path)
        os.set_blocking(descriptor, True)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.ftruncate(descriptor, 0)
            file.write(text)
    except OSError as refused:
        raise explained(refused, f"-o {path.absolute()}", operators=UsageError) from None


def _opened(path: Path) -> int:
    try:
        descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, MODE)
    except FileExistsError:
        return _opened_again(path)
    umask.share(descriptor, MODE)
    return descriptor


def _opened_again(path: Path) -> int:
    """Open what is there already, a symlink only if root or this user owns it."""
    with Walk(path) as walk:
        for place, status in walk.links:
            if status.st_uid not in owners.trusted():
                raise UsageError(
                    f"-o {path.absolute()}: {place} is a symbolic link owned by "
                    f"{owners.name(status.st_uid)} to {walk.place}; name the target itself if it "
                    "is meant"
                )
        if stat.S_ISDIR(walk.status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if (
            stat.S_ISREG(walk.status.st_mode)
            and walk.status.st_uid not in owners.trusted()
            and walk.directories[-1].status.st_mode & stat.S_IWOTH
        ):
            raise UsageError(
                f"-o {path.absolute()}: it belongs to {owners.name(walk.status.st_uid)}, and any "
                "user could have created it; name another file"
            )
        return walk.open(FLAGS)
