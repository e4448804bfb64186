"""The rows of the stream for the next model, kept by one process per store.

If that process stops, this one takes over with an empty window.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.models.locks import DirectoryLockedError
from detectd.service.training_rows import TrainingRows
from detectd.service.training_window import Guard, Window, guard

if TYPE_CHECKING:
    from detectd.models.store import Store
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.rejection.promise import Promise
    from detectd.service.training_window import Guarded, Kind


@dataclass(frozen=True, kw_only=True)
class RowsOptions:
    """A window of `size` rows of `width` columns, and the number of rows in quarantine.

    With `keyed` the rows keep the digests of their keys.
    """

    width: int
    size: int
    kind: Kind
    quarantine: int
    keyed: bool = False


class StreamRows:
    """Keep rows of judged events; do nothing while another process keeps them."""

    def __init__(self, store: Store, options: RowsOptions) -> None:
        self._store = store
        self._options = options
        self._guard = Guard()
        self.kept: TrainingRows | None = None

    @property
    def window(self) -> Window | None:
        """Return the training rows; None while another process keeps them."""
        return self.kept.window if self.kept else None

    def open(self) -> bool:
        """Start keeping rows, unless another process does. Return whether they are kept here now.

        Raise OSError or DetectdError if the store cannot keep them.
        """
        if self.kept:
            return True
        asked = self._options
        window = Window(asked.width, asked.size, asked.kind, self._guard, keyed=asked.keyed)
        try:
            self._store.make()
            self.kept = TrainingRows(self._store.directory, window, asked.quarantine)
        except DirectoryLockedError:
            return False
        return True

    def guard_by(self, promise: Promise, guarded: Guarded) -> None:
        """Set the guard of the window under that promise."""
        upper = promise.rejection_rate_upper
        self._guard = guard(guarded, promise.terms.contamination, upper)
        if self.kept:
            self.kept.window.guard = self._guard

    def add(self, scored: ScoredBatch, part: slice) -> None:
        """Add a part of a batch, except rows whose score is not finite.

        A row that one detector cannot score would ruin the training of the next.
        """
        if self.kept:
            finite = np.isfinite(scored.scores[part])
            keys = scored.keys[part][finite] if self._options.keyed else None
            self.kept.add(scored.rows[part][finite], scored.found.verdict[part][finite], keys)

    def drop_waiting(self) -> None:
        """Drop the rows in quarantine."""
        if self.kept:
            self.kept.drop_waiting()

    def clear(self) -> None:
        """Drop all rows."""
        if self.kept:
            self.kept.clear()

    def restore(self, state: dict[str, Any]) -> bool:
        """Resume from a `snapshot`. Return False if rows of it are gone, or of another shape."""
        return not self.open() or self.kept is None or self.kept.restore(state)

    def snapshot(self) -> dict[str, Any]:
        """Return the reference to the rows for a commit."""
        return self.kept.snapshot() if self.kept else {"window": {}}

    def on_commit(self) -> None:
        """Make the rows so far permanent."""
        if self.kept:
            self.kept.on_commit()

    def close(self) -> None:
        """Close the files. May be called twice."""
        if self.kept:
            self.kept.close()
            self.kept = None
