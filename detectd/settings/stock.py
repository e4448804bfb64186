"""Check whether the configuration is still the one that the packages install."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detectd.settings import Settings

# The placeholders in config/service.toml.
STOCK_PATH = Path("/var/lib/detectd/detectd/events.jsonl")
STOCK_FEATURES = ("cpu", "memory", "latency_ms")


def unedited(settings: Settings) -> str | None:
    """Return a warning if the configuration is the installed one, else None."""
    if (settings.source.path, settings.event.features) != (STOCK_PATH, STOCK_FEATURES):
        return None
    return (
        "source.path, event.features: this is the configuration as installed, with an example "
        "file and features; name your own, or write events to {STOCK_PATH}"
    )
