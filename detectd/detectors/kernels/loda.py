"""LODA: one histogram look-up for each random projection.

Pevny, "Loda: Lightweight on-line detector of anomalies", Machine Learning 2016, as PyOD computes
it: the mean over sparse projections of minus the logarithm of the bin's share, with PyOD's bins,
the first of which ends at the least projection of training.

A score jumps at the edge of a bin, and training rows lie on edges. There the last bit of a
projection decides, which comes from BLAS and differs between machines. So if another rounding could
move a projection across an edge, the kernel leaves it to numpy, with the same product as PyOD
computes for the row alone. All bins have the same width, so a multiplication gives the bin and the
distance to its edges.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.detectors.kernels import Compiled
from detectd.jit import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.float64]
    Ints = NDArray[np.int64]

LANES = 8
# The error, in roundings, of a position among the bins, with a margin.
ROUNDINGS = 16 * float(np.finfo(np.float64).eps)


def build(detector: Any) -> Compiled:
    """Build the kernel of a fitted LODA; `limits_` and `histograms_` are lists if bins vary."""
    projections = np.ascontiguousarray(detector.projections_, dtype=np.float64)
    limits, shares = detector.limits_, detector.histograms_
    if not len(projections) == len(limits) == len(shares) == len(detector.weights):
        raise ValueError("not one histogram and one weight for each projection")
    bins = np.array([len(share) for share in shares])
    if [len(limit) for limit in limits] != list(bins + 1):
        raise ValueError("a histogram without an edge on each side of each bin")
    ends = np.full((len(bins), int(bins.max()) - 1), np.inf)
    if not all(_evenly_spaced(limit) for limit in limits):
        raise ValueError("bins that are not of one width")
    # The last bin's value repeated, then a column for projections too near an edge.
    depths = np.empty((len(bins), int(bins.max()) + 1))
    for i, (limit, share) in enumerate(zip(limits, shares, strict=True)):
        ends[i, : bins[i] - 1] = limit[: bins[i] - 1]
        depth = -detector.weights[i] * np.log(share)
        depths[i, : bins[i]], depths[i, bins[i] :] = depth, depth[-1]
    depths[:, -1] = np.nan
    low, high = np.array([(limit[0], limit[-1]) for limit in limits]).T
    weights, columns = _sparse(projections)
    frames = _frames(low, high, bins, weights.shape[1])
    parts = (weights, columns, frames, depths, ends, projections)
    return Compiled(score, reference, parts, nanoseconds=2.0 * weights.size)


def _evenly_spaced(limit: Rows) -> bool:
    """Return whether the edges are evenly spaced, as `_frames` assumes."""
    even = np.linspace(limit[0], limit[-1], len(limit))
    return bool(np.abs(limit - even).max() <= ROUNDINGS / 4 * np.abs(even).max())


def _sparse(projections: Rows) -> tuple[Rows, Ints]:
    """Return the weights (cuts, m) that are not zero and their columns, in the order of the
    columns."""
    most = max(1, int(np.count_nonzero(projections, axis=1).max()))
    columns = np.sort(np.argsort(projections == 0, axis=1, kind="stable")[:, :most], axis=1)
    return np.take_along_axis(projections, columns, axis=1), columns


def _frames(low: Rows, high: Rows, bins: Ints, terms: int) -> Rows:
    """Return the map from a projection x to its position among the bins: (cuts, 5).

    The position is x·scale + shift, whose integer part is the bin: 0 up to the lowest edge, 1 up to
    the next. Its error is up to blur + Σ|terms of x|·smear. The last column is the highest
    position, well within the last bin.
    """
    with np.errstate(all="ignore"):  # a histogram without width has no safe position
        scale = bins / (high - low)
        shift = 1.0 - low * scale
        blur = ROUNDINGS * (1.0 + bins + np.maximum(np.abs(low), np.abs(high)) * scale)
        smear = ROUNDINGS * terms * scale
    return np.column_stack([scale, shift, blur, smear, bins - 0.5])


def score(
    rows: Rows,
    out: Rows,
    weights: Rows,
    columns: Ints,
    frames: Rows,
    depths: Rows,
    ends: Rows,
    projections: Rows,
) -> None:
    """Run the kernel, then recompute, row by row, the few rows with a projection on an edge."""
    if not _add_depths(rows, out, weights, columns, frames, depths, ends):
        return
    bins = np.empty(len(weights), dtype=np.int64)
    with np.errstate(over="ignore", invalid="ignore"):
        for i in np.flatnonzero(np.isnan(out)):
            _find_bins(rows[i], bins, weights, columns, frames, depths, ends)
            for cut in np.flatnonzero(bins == depths.shape[1] - 1):
                x = projections[cut].dot(rows[i : i + 1].T)
                bins[cut] = ends[cut].searchsorted(x)[0]
            out[i] = _total(bins, depths)


@compiled
def _add_depths(
    rows: Rows, out: Rows, weights: Rows, columns: Ints, frames: Rows, depths: Rows, ends: Rows
) -> int:
    """Compute the scores of the rows, NaN for unsure ones; return how many those are."""
    full = rows.shape[0] - rows.shape[0] % LANES
    _go_abreast(rows[:full], out, weights, columns, frames, depths)
    bins = np.empty(weights.shape[0], np.int64)
    unsure = 0
    for i in range(rows.shape[0]):
        if i >= full or np.isnan(out[i]):
            _find_bins(rows[i], bins, weights, columns, frames, depths, ends)
            out[i] = _total(bins, depths)
            unsure += np.isnan(out[i])
    return unsure


@compiled
def _go_abreast(
    rows: Rows, out: Rows, weights: Rows, columns: Ints, frames: Rows, depths: Rows
) -> None:
    """Compute the scores of a multiple of LANES rows, LANES at a time; NaN if unsure."""
    lanes = np.empty((rows.shape[1], LANES))
    x, size, total = np.empty(LANES), np.empty(LANES), np.empty(LANES)
    for start in range(0, rows.shape[0], LANES):
        total[:] = 0.0
        lanes[:] = rows[start : start + LANES].T
        for cut in range(weights.shape[0]):
            x[:] = 0.0
            size[:] = 0.0
            for k in range(weights.shape[1]):
                weight, column = weights[cut, k], columns[cut, k]
                for lane in range(LANES):
                    term = weight * lanes[column, lane]
                    x[lane] += term
                    size[lane] += abs(term)
            for lane in range(LANES):
                total[lane] += depths[cut, _bin(x[lane], size[lane], frames[cut], depths.shape[1])]
        for lane in range(LANES):
            out[start + lane] = total[lane] / weights.shape[0]


@compiled
def _find_bins(
    row: Rows, bins: Ints, weights: Rows, columns: Ints, frames: Rows, depths: Rows, ends: Rows
) -> None:
    """Compute the bin of each projection of one row; a product alone is rounded the same
    everywhere."""
    for cut in range(weights.shape[0]):
        x = size = 0.0
        for k in range(weights.shape[1]):
            term = weights[cut, k] * row[columns[cut, k]]
            x += term
            size += abs(term)
        bins[cut] = _bin(x, size, frames[cut], depths.shape[1])
        if bins[cut] == depths.shape[1] - 1 and weights.shape[1] == 1:
            bins[cut] = np.searchsorted(ends[cut], x)


@compiled
def _bin(x: float, size: float, frame: Rows, columns: int) -> int:
    """Return the bin of a projection, or the last column if another rounding may give another
    bin."""
    place = x * frame[0] + frame[1]
    if not place < frame[4]:  # also true for NaN
        place = frame[4]
    place = max(place, 0.5)
    off = frame[2] + size * frame[3]
    found = int(place)
    sure = abs(place - found - 0.5) < 0.5 - off
    return found if sure else columns - 1


@compiled
def _total(bins: Ints, depths: Rows) -> float:
    """Return the sum over the projections, in their order as in PyOD."""
    total = 0.0
    for cut in range(len(bins)):
        total += depths[cut, bins[cut]]
    return total / len(bins)


def reference(rows: Rows, *parts: Any) -> Rows:
    """Return the same in plain numpy, each row in separate products."""
    depths, ends, projections = parts[3:]
    scores = np.zeros(len(rows))
    with np.errstate(over="ignore", invalid="ignore"):
        for i in range(len(rows)):
            for projection, edges, depth in zip(projections, ends, depths, strict=True):
                x = projection.dot(rows[i : i + 1].T)
                scores[i] += depth[np.searchsorted(edges, x)[0]]
    return scores / len(projections)
