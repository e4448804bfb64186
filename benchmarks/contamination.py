"""`python -m benchmarks.contamination DIRECTORY`: the estimated contamination against the true one.

`DIRECTORY` holds data sets as ADBench distributes them: `.npz` files with rows `X` and labels `y`.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from detectd.models.contamination import estimate

LEVEL = 0.9


def main(directory: Path) -> None:
    """Print a line for each data set, and how far off the estimates are on average."""
    paths = sorted(directory.glob("*.npz"))
    if not paths:
        sys.exit(f"{directory}: no .npz files; name the directory with ADBench's data sets")
    print(f"| data set | rows | true | estimated | {LEVEL:.0%} interval | holds it | seconds |")
    print("|---|---|---|---|---|---|---|")
    errors, held = [], []
    for path in paths:
        with np.load(path) as data:
            rows, true = data["X"].astype(np.float64), float(data["y"].mean())
        began = time.perf_counter()
        found = estimate(rows, seed=0)
        seconds = time.perf_counter() - began
        low, high = found.interval(LEVEL)
        errors.append(abs(found.mean - true))
        held.append(low <= true <= high)
        print(
            f"| {path.stem} | {len(rows):,} | {true:.3f} | {found.mean:.3f} "
            f"| {low:.3f}–{high:.3f} | {'yes' if held[-1] else 'no'} | {seconds:.1f} |",
            flush=True,
        )
    print(
        f"\nmean absolute error {np.mean(errors):.3f}, median {np.median(errors):.3f}; "
        f"{sum(held)} of {len(held)} intervals hold the truth"
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
