"""The settings that the benchmark of several sensors tries, and what it calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from benchmarks.skab_runs import Setting

if TYPE_CHECKING:
    from collections.abc import Sequence

ALL = (
    "Accelerometer1RMS",
    "Accelerometer2RMS",
    "Current",
    "Pressure",
    "Temperature",
    "Thermocouple",
    "Voltage",
    "Volume Flow RateRMS",
)
# Temperatures, of the motor and of the water, drift: the training rows show it already.
DRIFTING = ("Temperature", "Thermocouple")
STEADY = tuple(name for name in ALL if name not in DRIFTING)
SLOPE = 30
SLOPES = tuple(f'{{of = "{name}", fn = "trend", window = {SLOPE}}}' for name in DRIFTING)

# Two of all calibration scores are anomalies. If only one is, the zone of abstention takes all that
# is beyond it.
CALIBRATIONS = {
    "time holdout": (0.011, "holdout", "time"),
    "random holdout": (0.011, "holdout", "random"),
    "in sample": (0.006, "in_sample", "auto"),
    "cross": (0.006, "cross", "random"),
}

# The columns of the preset are surprises of level, trend, day, week, two of code, and frozen. An
# experiment takes twenty minutes: it has no days.
SUMS: dict[str, tuple[float | str, ...]] = {
    "level, trend, code": (1, 1, 0, 0, 0.25, 0.25, 0),
    "the whole preset": (1, 1, 1, 0.5, 0.25, 0.25, "max"),
}
# The first surprises of a file are large however small a change is: there is no spread yet.
YOUNG = 100
# The first means of a file are of fewer values and scatter more. They set the threshold, unless the
# rows until a window is whole train nothing.
PAIRS = [(whole, how) for whole in (False, True) for how in ("random holdout", "time holdout")]


class Row(NamedTuple):
    """What the first cells of a row of the tables say, and the setting behind them."""

    said: tuple[str, ...]
    setting: Setting


def fault_rows() -> list[Row]:
    """Return the settings that faults are looked for with."""
    rows = [_fault_row(ALL, "random holdout", detector="IForest", window=1, share=0.05)]
    rows += [_fault_row(ALL, how, window=10, whole=whole) for whole, how in PAIRS]
    rows += [_fault_row(STEADY, how, window=10, whole=whole) for whole, how in PAIRS]
    rows += [_fault_row(STEADY, "time holdout", window=window) for window in (1, 5, 6, 7, 8, 20)]
    rows += [_fault_row(STEADY, "cross", window=window) for window in (5, 6, 7, 8)]
    rows += [_fault_row(STEADY, how) for how in ("random holdout", "in sample")]
    rows += [_fault_row(STEADY, "time holdout", share=share) for share in (0.02, 0.05, 0.1)]
    rows += [_fault_row(STEADY, "time holdout", detector="GMM")]
    return [*rows, _fault_row(STEADY, "time holdout", more=SLOPES)]


def _fault_row(
    sensors: Sequence[str],
    how: str,
    *,
    detector: str = "PCA",
    window: int = 7,
    share: float | None = None,
    whole: bool = True,
    more: tuple[str, ...] = (),
) -> Row:
    usual, method, order = CALIBRATIONS[how]
    setting = Setting(
        detector,
        tuple(_feature(name, window) for name in sensors) + more,
        share or usual,
        scale="auto" if detector == "IForest" else "robust",
        method=method,
        order=order,
        young=max(window, SLOPE if more else 0) if whole else 0,
    )
    judged = f"{len(sensors)} and {len(more)} slopes" if more else str(len(sensors))
    mean = str(window) if whole else f"{window} or fewer"
    return Row((judged, detector, mean, how, f"{setting.contamination:g}"), setting)


def _feature(name: str, window: int) -> str:
    mean = f'{{of = "{name}", fn = "mean", window = {window}}}'
    return mean if window > 1 else f'"{name}"'


def change_rows() -> list[Row]:
    """Return the settings that changes are looked for with."""
    return [
        Row(
            (str(len(sensors)), said, f"{share:g}"),
            Setting(
                "TailSum",
                tuple(f'{{of = "{name}", fn = "series"}}' for name in sensors),
                share,
                weights=weights * len(sensors),
                young=YOUNG,
            ),
        )
        for sensors in (ALL, STEADY)
        for said, weights in SUMS.items()
        for share in (0.025, 0.05, 0.1)
    ]
