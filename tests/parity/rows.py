"""The rows on which kernels are held against PyOD: drawn, measured, and such as nobody sends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float64]

# From the least denormal to the largest double, through where squares overflow and underflow.
SIZES = (5e-324, 1e-310, 1e-200, 1e-20, 1e3, 1e8, 1e16, 1e100, 1e154, 1e160, 1e300, 1e308)
LARGEST = float(np.finfo(np.float64).max)
KINDS = ("plain", "tied", "spread", "constant", "offset")


def generated(kind: str, count: int = 500, width: int = 6) -> Rows:
    """Training rows with a smaller cluster beside the large one."""
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(count, width))
    rows[: count // 10] += 9
    if kind == "tied":
        rows = np.round(rows)
    if kind == "spread":
        rows *= np.logspace(-4, 6, width)
    if kind == "constant":
        rows[:, width // 2] = 0.1
    if kind == "offset":
        rows += 1e6
    return rows


def measured(directory: Path) -> Iterator[tuple[str, Rows]]:
    """The name and the rows of each ADBench archive in a directory."""
    for path in sorted(directory.glob("*.npz")):
        with np.load(path) as archive:
            yield path.stem, np.ascontiguousarray(archive["X"], dtype=np.float64)


def adversarial(rows: Rows, each: int = 4, seed: int = 0) -> Rows:
    """Training rows and what lies next to them, corners, and numbers of all sizes."""
    rng = np.random.default_rng(seed)
    width, spread = rows.shape[1], rows.std(axis=0)
    some = rows[rng.integers(len(rows), size=6 * each)]
    parts = [some, np.nextafter(some, np.inf), np.nextafter(some, -np.inf)]
    parts += [rows.min(axis=0), rows.max(axis=0), np.median(rows, axis=0), rows.mean(axis=0)]
    parts += [rows[0] + 1e3 * spread, rows[0] - 1e6 * spread, np.zeros(width), -np.zeros(width)]
    for size in (*SIZES, LARGEST):
        parts.append(size * np.sign(rng.normal(size=(each, width))))
        one = rows[rng.integers(len(rows), size=each)].copy()
        one[np.arange(each), rng.integers(width, size=each)] = size * np.sign(rng.normal(size=each))
        parts.append(one)
    return np.vstack(parts)


def fresh(rows: Rows, count: int, seed: int = 1) -> Rows:
    """Rows like those of training: half of them as they are, half moved by a tenth of a spread."""
    rng = np.random.default_rng(seed)
    drawn = rows[rng.integers(len(rows), size=count)]
    drawn[count // 2 :] += 0.1 * rows.std(axis=0) * rng.normal(size=(count - count // 2, 1))
    return drawn
