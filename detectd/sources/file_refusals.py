"""Errors on a source file at start, with their fixes."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.filesystem.os_errors import explained
from detectd.sources.compression import DamagedError
from detectd.sources.opener import HINT, ForeignError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def readable(path: Path, *, resuming: bool) -> Iterator[None]:
    """Raise ConfigError if the file cannot be read; `resuming` is whether it was read before."""
    try:
        yield
    except DamagedError as broken:
        if resuming:
            raise replaced(path) from None
        raise ConfigError(
            f"source.path: {path}: {broken}; its name says that it is compressed: name a "
            "file that is, or rename it"
        ) from None
    except ForeignError as foreign:
        raise ConfigError(f"source.path: {foreign.strerror}; {HINT}") from None
    except OSError as refused:
        raise explained(
            refused, f"source.path: {path} cannot be read", "name a file that this user can read"
        ) from None


def replaced(path: Path) -> ConfigError:
    """Return the error for a file that is not the one of the last commit."""
    return ConfigError(
        f"source.path: {path} was replaced or cut since it was processed; "
        "name another sink.directory, or put the file back"
    )
