"""Shadow mode: a candidate scores the same events, and only its counts are used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.service.promotion import NOT_FINITE, Agreement, compared, verdicts

if TYPE_CHECKING:
    from detectd.models.serving import Serving
    from detectd.pipeline.scoring import ScoredBatch


class Shadow:
    """Compare the verdicts of a candidate with those of the active model, version `champion`."""

    def __init__(self, candidate: Serving, champion: str) -> None:
        self.candidate = candidate
        self._champion = champion
        self._counts = self._seen = np.zeros((4, 4), dtype=np.int64)

    @property
    def version(self) -> str:
        """Return the candidate's."""
        return self.candidate.model.version

    def restore(self, past: dict[str, Any]) -> None:
        """Resume from a `snapshot`; from the beginning if it compares two other models."""
        if past.get("between") == self._between():
            self._counts = np.array(past["counts"], dtype=np.int64).reshape(4, 4)
        self.rollback()

    def see(self, scored: ScoredBatch) -> None:
        """Score the rows of a batch with the candidate."""
        ours = np.where(np.isfinite(scored.scores), scored.found.verdict, NOT_FINITE)
        judge = self.candidate.judge
        theirs = verdicts(judge, scored.rows, scored.keys if judge.keys else None)
        self._seen = self._seen + compared(ours, theirs).counts

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the batch's outputs are committed."""
        return {"between": self._between(), "counts": self._seen.ravel().tolist()}

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        self._counts = self._seen

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self._seen = self._counts

    def report(self) -> dict[str, Any]:
        """Return the candidate and the comparison, for the store."""
        return {"candidate": self.version, "agreement": Agreement(self._counts).as_dict()}

    def _between(self) -> list[str]:
        return [self._champion, self.version]
