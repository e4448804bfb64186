"""Which features drove a score, how they were off, and between which calibration scores it lies.

By occlusion: a feature's part is how much the score falls if its value is replaced by the training
median (M. Zeiler and R. Fergus, "Visualizing and Understanding Convolutional Networks", ECCV 2014).
For detectors that add up a score for each feature (HBOS, ECOD, COPOD), that is the feature's own
term less the median's. For the others the parts need not add up to the score, since features that
are unusual only in combination share their contribution.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from detectd.pipeline import memory_budget
from detectd.pipeline.encode import explained
from detectd.rejection import NORMAL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from detectd.detectors import Scorer
    from detectd.pipeline.expectations import Expectations
    from detectd.pipeline.judging import ModelScorer
    from detectd.pipeline.records import Outgoing
    from detectd.rejection import KeyVerdicts, Verdicts

    Floats = NDArray[np.float64]

LARGEST = np.finfo(np.float64).max

to_json = msgspec.json.Encoder().encode


def occlusion(
    scorer: Scorer, rows: Floats, scores: Floats, medians: Floats, columns: NDArray[np.bool_]
) -> Floats:
    """Return the part (k, f) of each feature in the scores (k,) of complete rows (k, d).

    `columns` (f, d) marks the columns of each feature. A row whose score without a feature is not
    finite gives NaN there; a part too large for a double is the largest double, as is that of an
    infinite score. Scores k·f rows.
    """
    (k, d), f = rows.shape, len(columns)
    occluded = np.where(columns, medians, rows[:, None, :])
    without = scorer.score(occluded.reshape(k * f, d)).reshape(k, f)
    with np.errstate(over="ignore", invalid="ignore"):
        parts = np.clip(scores[:, None] - without, -LARGEST, LARGEST)
    return np.where(np.isfinite(without), parts, np.nan)


def explain(
    living: list[Outgoing],
    rows: Floats,
    scores: Floats,
    found: Verdicts | KeyVerdicts,
    judge: ModelScorer,
    expected: Expectations,
    *,
    original: bool,
) -> None:
    """Add explanations to the outputs (k,) of scores that are not judged normal."""
    labels, calibration = expected.schema.labels, partial(judge.calibration, found)
    for place, why in explanations(
        judge.scorer, rows, scores, judge.medians, labels, found, calibration, expected
    ):
        living[place] = explained(living[place], why, original=original)


def explanations(
    scorer: Scorer,
    rows: Floats,
    scores: Floats,
    medians: Floats,
    labels: Sequence[str],
    found: Verdicts | KeyVerdicts,
    calibration: Callable[[int], Floats],
    expected: Expectations | None = None,
) -> Iterator[tuple[int, bytes]]:
    """Yield index and explanation, as JSON, for each of the k scores that is not judged normal.

    `rows` (k, d) are complete; `calibration` returns the ascending calibration scores of a row's
    zone. `labels` (d) name the feature behind each column; features come with the largest part
    first; `off` is how those that raised the score were off, if `expected` is given; `nearest` are
    the calibration scores around, with their ranks, null beyond the ends.
    """
    places = np.flatnonzero(found.verdict != NORMAL)
    if not len(places):
        return
    features = list(dict.fromkeys(labels))
    columns = np.array([[label == feature for label in labels] for feature in features])
    # Each row becomes one row per feature, which may be too many for one call.
    step = max(1, memory_budget.EXPLAINING_BYTES // (8 * columns.size))
    parts = (
        part
        for at in range(0, len(places), step)
        for part in occlusion(
            scorer, rows[places[at : at + step]], scores[places[at : at + step]], medians, columns
        )
    )
    for place, part in zip(places.tolist(), parts, strict=True):
        order = np.argsort(-np.nan_to_num(part), kind="stable").tolist()
        told: dict[str, Any] = {
            "features": {features[j]: _or_null(part[j]) for j in order},
            "off": {
                features[j]: off
                for j in order
                if expected is not None
                and not part[j] <= 0
                and (off := expected.off(place, features[j]))
            },
            "nearest": {
                "below": _neighbour(calibration(place), int(found.below[place])),
                "above": _neighbour(calibration(place), int(found.rank[place]) + 1),
            },
        }
        yield place, to_json(told)


def _neighbour(calibration: Floats, rank: int) -> dict[str, float] | None:
    if not 1 <= rank <= len(calibration):
        return None
    return {"rank": rank, "score": float(calibration[rank - 1])}


def _or_null(part: float) -> float | None:
    return float(part) if np.isfinite(part) else None
