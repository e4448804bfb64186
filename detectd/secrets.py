"""Secrets are read from files, never from the configuration or the environment."""

from __future__ import annotations

import os
from pathlib import Path

from detectd.errors import ConfigError


def read_secret(key: str, path: Path) -> str:
    """The secret in the file, looked up among systemd's credentials first.

    Raises ConfigError, which names the `key` of the configuration but nothing of the secret.
    """
    home = os.environ.get("CREDENTIALS_DIRECTORY")
    there = Path(home) / path if home and (Path(home) / path).is_file() else path
    try:
        secret = there.read_text(encoding="utf-8").removesuffix("\n")
    except (OSError, UnicodeDecodeError) as failed:
        why = failed.strerror if isinstance(failed, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{key}: {there} cannot be read: {why}; name a file that this user can read"
        ) from None
    if not secret:
        raise ConfigError(f"{key}: {there} is empty; put the secret into it")
    return secret
