"""The default location of the configuration."""

from __future__ import annotations

import os
from pathlib import Path

from detectd.nearest import exists

LOCAL_CONFIG = Path("detectd.toml")
DEFAULT_CONFIG = Path("/etc/detectd/detectd.toml")


def default_config() -> Path:
    """Return $DETECTD_CONFIG, else ./detectd.toml if it exists, else the path under /etc."""
    named = os.environ.get("DETECTD_CONFIG")
    if named:
        return Path(named)
    return LOCAL_CONFIG if exists(LOCAL_CONFIG) else DEFAULT_CONFIG
