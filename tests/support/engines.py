"""Settings and models small enough to try out what the service does with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np

from detectd.models.model import Recipe
from detectd.models.training import train
from detectd.settings import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def settings(home, **sections):
    """Return the settings of a service in `home`, with these keys changed."""
    written = {
        "source": {"kind": "file", "path": home / "events.jsonl", "follow": True},
        "sink": {"kind": "file", "directory": home / "out"},
        "event": {"features": ["a", "b"]},
        "detector": {"name": "PCA", "contamination": 0.1},
        "rejector": {"T": 8.0},
        "models": {"directory": home / "models"},
        "training": {"warmup": 200, "window": 400},
    }
    for section, keys in sections.items():
        written[section] = written.get(section, {}) | keys
    return Settings(**written)


def model(number):
    """Return a small model; another number gives other rows and a later time."""
    rows = np.random.default_rng(number).normal(size=(400, 2))
    recipe = Recipe("PCA", 0.1, seed=number)
    return train(rows, recipe, ("a", "b"), NOON + timedelta(seconds=number))
