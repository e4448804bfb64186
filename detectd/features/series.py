"""The presets `series` and `light`: a metric over time, as the surprises of its behaviour. Pure.

The parts are the level, the trend, the deviation from the time of day and from the hour of the
week, and the break of its pattern (code length), each judged among its key's own last values, and
the time without a change. `light` is the first three.
"""

from __future__ import annotations

from typing import NamedTuple

DAY_MS = 86_400_000.0
MEMORY = 5_000.0

# A column of this weight is not added to the sum of the others; the larger of the two counts.
MAXIMUM = "max"
# What a surprise gives, and that of a run: itself first, then what explanations say.
JUDGED, FROZEN = 2, 3
Weight = float | str


class Part(NamedTuple):
    """One step of a preset.

    It reads output `at` of an earlier part, by index, or the feature's field. A part with a
    `weight` is a column of the feature vector.
    """

    name: str
    step: str
    params: tuple[float, ...]
    of: int | None = None
    at: int = 0
    width: int = 1
    weight: Weight | None = None


def series_parts(*, light: bool = False, exact: bool = False) -> tuple[Part, ...]:
    """Return the steps of the preset; with `exact`, each keeps its last 5,000 values."""
    parts: list[Part] = []

    def add(name: str, step: str, *params: float, width: int = 1) -> int:
        parts.append(Part(name, step, params, width=width))
        return len(parts) - 1

    def judge(name: str, of: int, weight: Weight, at: int = 0) -> None:
        step = "surprise_exact" if exact else "surprise"
        parts.append(Part(name, step, (MEMORY, 0.0, 0.0), of, at, JUDGED, weight))

    judge("level", add("mean of 5", "level", 5.0), 1.0)
    judge("trend", add("mean of 60 less mean of 500", "series_trend", 60.0, 500.0), 1.0)
    judge("day", add("off its day", "season", DAY_MS, 96.0, 0.03, 0.0), 1.0)
    if light:
        return tuple(parts)
    judge("week", add("off its week", "season", 7 * DAY_MS, 168.0, 0.1, 0.0), 0.5)
    bits = add("bits", "code", width=3)
    judge("code20", bits, 0.25, at=1)
    judge("code60", bits, 0.25, at=2)
    parts.append(Part("frozen", "frozen", (MEMORY,), width=FROZEN, weight=MAXIMUM))
    return tuple(parts)
