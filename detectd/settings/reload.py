"""The changes of a new configuration, and whether they can be applied while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.errors import ConfigError
from detectd.settings.types import RELOADABLE

if TYPE_CHECKING:
    from detectd.settings import Settings


def changed(old: Settings, new: Settings) -> list[str]:
    """Return the keys with another value.

    Raise ConfigError with all keys that need a restart.
    """
    before, after = old.model_dump(), new.model_dump()
    keys = [
        f"{section}.{key}"
        for section, table in after.items()
        for key in table
        if table[key] != before[section][key]
    ]
    fixed = [key for key in keys if not _reloadable(new, *key.split("."))]
    if fixed:
        raise ConfigError(f"{', '.join(fixed)}: cannot change while the service runs; restart it")
    return keys


def _reloadable(settings: Settings, section: str, key: str) -> bool:
    fields = (
        type(settings).model_fields[section],
        type(getattr(settings, section)).model_fields[key],
    )
    return any(RELOADABLE in field.metadata for field in fields)
