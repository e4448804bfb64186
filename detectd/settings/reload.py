"""What a new configuration changes, and whether that can be done while the service runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd.errors import ConfigError

if TYPE_CHECKING:
    from detectd.settings import Settings

# Keys, or whole sections, that take effect without a restart. None of them takes a new fit: the
# zone is computed anew from the calibration scores that the model keeps.
CHANGEABLE = {
    "drift",
    "log",
    "models.keep",
    "rejector",
    "source.batch_records",
    "source.batch_seconds",
    "training.refit",
    "training.every_events",
    "training.every_seconds",
    "training.cooldown_events",
    "training.after_alarm",
    "training.guard",
    "training.max_changed",
    "training.on_refit",
    "training.deadline_seconds",
    "training.memory_bytes",
}


def changed(old: Settings, new: Settings) -> list[str]:
    """The keys with another value.

    Raises ConfigError that names every one of them which only a restart can change.
    """
    before, after = old.model_dump(), new.model_dump()
    keys = [
        f"{section}.{key}"
        for section, table in after.items()
        for key in table
        if table[key] != before[section][key]
    ]
    fixed = [key for key in keys if not CHANGEABLE & {key, key.split(".")[0]}]
    if fixed:
        raise ConfigError(f"{', '.join(fixed)}: cannot change while the service runs; restart it")
    return keys
