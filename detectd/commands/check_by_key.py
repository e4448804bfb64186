"""Explain `calibration.by_key` for `detectd check`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from detectd import derive

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings


def what_a_key_needs(settings: Settings) -> Iterator[str]:
    """Yield what gives a key a zone of its own, and a warning if the warm-up is too short for it.

    Raise ConfigError if the contamination is out of range.
    """
    if not settings.calibration.by_key:
        return
    own = "a zone and a promise" if settings.calibration.method == "holdout" else "a zone"
    rest = f"has {own} of its own; all others share one"
    if settings.detector.contamination == "estimate" or settings.rejector.max_abstain_rate:
        yield f"by key    a key with enough calibration scores to reach anomaly {rest}"
        return
    from detectd.models.calibrating import calibration_size
    from detectd.rejection import smallest_n_reaching

    needed = smallest_n_reaching(settings.detector.contamination, settings.rejector.T)
    yield f"by key    a key with at least {needed:,} calibration scores {rest}"
    rows = settings.training.warmup_rows
    left = calibration_size(rows, derive.recipe(settings))
    if left < needed:
        yield (
            f"WARNING   calibration.by_key: {rows:,} rows of a warm-up leave {left:,} calibration "
            "scores in all, so no key has a zone of its own; raise training.warmup, or run "
            "`detectd fit` on more events"
        )
