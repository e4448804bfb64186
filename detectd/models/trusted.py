"""Files that may hold code: nothing is read of them that another user could have written, or whose
sha256 is not the one expected."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.os_failures import explained

if TYPE_CHECKING:
    from pathlib import Path


def verified(path: Path, digest: str) -> bytes:
    """The content of a file. Raises ConfigError where it is not that of the sha256 `digest`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise damaged(path.parent, f"{path.name} is gone") from None
    except OSError as unreadable:
        raise explained(unreadable, f"{path} cannot be read") from None
    if sha256(content) != digest:
        raise damaged(path.parent, f"{path.name} is not what was stored (sha256)")
    return content


def damaged(home: Path, what: str) -> ConfigError:
    """What to raise of a model that is not as it was stored."""
    return ConfigError(
        f"{home}: damaged model: {what}; `detectd models rollback` goes back, or fit anew"
    )


def refuse_writable(*paths: Path) -> None:
    """Raise ConfigError where another user, who is not root, could write to one of the paths."""
    for path in paths:
        status = path.stat()
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigError(
                f"{path}: others can write to it, and a model is code; chmod go-w {path}"
            )
        if status.st_uid not in {os.geteuid(), 0}:
            raise ConfigError(f"{path}: belongs to another user, and a model is code; chown it")


def sha256(content: bytes) -> str:
    """The digest, in hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()
