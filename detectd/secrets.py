"""Secrets are read from files, never from the configuration or the environment."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from detectd.errors import ConfigError
from detectd.os_failures import explained
from detectd.settings.section import SecretFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings


def read_secret(key: str, path: Path) -> str:
    """The secret in the file, looked up among systemd's credentials first.

    Raises ConfigError, which names the `key` of the configuration but nothing of the secret.
    """
    there = _found(path)
    try:
        # As an editor on Windows may have saved it: no secret begins with a byte order mark.
        secret = there.read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{key}: {there} cannot be read: it is not UTF-8 text; save it as UTF-8"
        ) from None
    except OSError as failed:
        raise explained(
            failed, f"{key}: {there} cannot be read", "name a file that this user can read"
        ) from None
    if not secret:
        raise ConfigError(f"{key}: {there} is empty; put the secret into it")
    return secret


def exposed(settings: Settings, config: Path) -> Iterator[str]:
    """What every user of this host can read and should not, one line each.

    Files that hold secrets, and the configuration itself where a URL in it has a password.
    """
    for section, table in settings:
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            name = f"{section}.{key}"
            if value is None:
                continue
            if SecretFile in get_args(field.annotation) and _open_to_all(_found(value)):
                yield f"{name}: every user of this host can read {_found(value)}; chmod o-r it"
            if isinstance(value, str) and _has_password(value) and _open_to_all(config):
                yield (
                    f"{name}: it has a password in it, and every user of this host can read "
                    f"{config}; chmod o-r it"
                )


def _found(path: Path) -> Path:
    home = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(home) / path if home and (Path(home) / path).is_file() else path


def _has_password(value: str) -> bool:
    try:
        return "://" in value and urlsplit(value).password is not None
    except ValueError:
        return False


def _open_to_all(path: Path) -> bool:
    """Whether others may read the file, and enter all the directories that it is in."""
    try:
        above = path.resolve().parents
        return bool(path.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in above
        )
    except OSError:
        return False
