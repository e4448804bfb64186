"""What a service may know of its keys."""

from __future__ import annotations

from detectd.telemetry.snapshot import KeyFigures

KEYS = KeyFigures(
    remembered=90,
    most=100,
    silent=2,
    evicted=30,
    expired=4,
    late=50,
    unscored={"warming_up": 60},
    routine=7,
)
