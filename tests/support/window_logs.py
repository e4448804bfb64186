"""A training window on disk, and batches for it."""

from __future__ import annotations

import numpy as np

from detectd.service.training_window import Guard, Window
from detectd.service.window_log import WindowFile

SIZE, WIDTH = 50, 2


def batch(number, count):
    """Return rows and verdicts that depend on the number alone."""
    rng = np.random.default_rng(number)
    return rng.normal(size=(count, WIDTH)), rng.choice(3, size=count, p=[0.8, 0.1, 0.1])


def opened(directory, kind="sliding", size=SIZE, sync=False):
    """Open the window kept in the directory."""
    return WindowFile(directory, Window(WIDTH, size, kind, Guard(0.08)), sync=sync)
