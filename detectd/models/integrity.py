"""Read files that may hold code: only if no other user could have written them, and their sha256 is
as expected."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem import owners
from detectd.filesystem.os_errors import explained

if TYPE_CHECKING:
    from pathlib import Path


FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def verified(path: Path, digest: str) -> bytes:
    """Return the content of a file.

    Raise ConfigError if others could write it, or its sha256 is not `digest`.
    """
    try:
        with os.fdopen(os.open(path, FLAGS), "rb") as file:
            refuse_writable(path, os.fstat(file.fileno()))
            content = file.read()
    except FileNotFoundError:
        raise damaged(path.parent, f"{path.name} is missing") from None
    except OSError as unreadable:
        raise explained(unreadable, f"{path} cannot be read") from None
    if sha256(content) != digest:
        raise damaged(path.parent, f"{path.name} differs from what was stored (sha256)")
    return content


def damaged(home: Path, what: str) -> ConfigError:
    """Return the error for a model that was changed after it was stored."""
    return ConfigError(
        f"{home}: damaged model: {what}; run `detectd models rollback`, or `detectd fit` again"
    )


def refuse_writable(path: Path, status: os.stat_result) -> None:
    """Raise ConfigError if another user could write what was opened at `path`."""
    if flaw := owners.flaw(status):
        raise ConfigError(f"{path} {flaw}, and a model is code; {owners.fix(status, path)}")


def sha256(content: bytes) -> str:
    """Return the digest, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
