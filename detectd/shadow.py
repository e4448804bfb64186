"""A candidate that scores along without being heard, so that two models can be compared.

What is counted is counted with the commit of the batch's outputs, and is taken back with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from detectd.pipeline import judge_rows

if TYPE_CHECKING:
    import numpy.typing as npt

    from detectd.pipeline import Judged
    from detectd.serving import Serving

KINDS = 3  # of verdicts, in the order of the rejector's codes


class Shadow:
    """Counts how often the candidate agrees with the model that answers, `incumbent`."""

    def __init__(self, candidate: Serving, incumbent: str) -> None:
        self.candidate = candidate
        self._incumbent = incumbent
        # The incumbent's verdict, the candidate's; what the candidate cannot score comes last.
        self._counts = self._seen = np.zeros(KINDS * KINDS + 1, dtype=np.int64)

    @property
    def version(self) -> str:
        """The candidate's."""
        return self.candidate.model.version

    def resume(self, past: dict[str, Any]) -> None:
        """Go on from a `state`; from the beginning where it compares two other models."""
        if (past.get("candidate"), past.get("incumbent")) == (self.version, self._incumbent):
            self._counts = np.array(past["counts"], dtype=np.int64)
        self.rewind()

    def see(self, judged: Judged) -> None:
        """Let the candidate judge the rows of a batch."""
        _, finite, found = judge_rows(judged.rows, self.candidate.judge)
        both = KINDS * judged.found.verdict[finite].astype(np.int64) + found.verdict
        lost = len(finite) - len(both)
        fresh = np.append(np.bincount(both, minlength=KINDS * KINDS), lost)
        self._seen = self._seen + fresh

    def state(self) -> dict[str, Any]:
        """What a restart must know once the batch's outputs are committed."""
        return self._as_dict(self._seen)

    def committed(self) -> None:
        """The outputs have been committed."""
        self._counts = self._seen

    def rewind(self) -> None:
        """What was seen since the last commit will be seen again."""
        self._seen = self._counts

    def compared(self) -> dict[str, Any]:
        """The same as `state`, of what is committed."""
        return self._as_dict(self._counts)

    def _as_dict(self, counts: npt.NDArray[np.int64]) -> dict[str, Any]:
        return {
            "candidate": self.version,
            "incumbent": self._incumbent,
            "counts": counts.tolist(),
        }
