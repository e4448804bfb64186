"""The training rows of the next model, and the rows in quarantine before them.

With a quarantine, a row waits until that many more events have been judged; only then is it offered
to the window, with its original verdict. Waiting rows can be dropped, so that rows from shortly
before an incident are never used. The waiting rows are a sliding window themselves, and survive
crashes as the other one does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detectd.service.training_window import Window
from detectd.service.window_log import WindowFile

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.service.training_window import Digests, Rows, Verdicts


class TrainingRows:
    """Keep `window` in `directory`, and a `quarantine` of that many rows before it.

    Raises as `WindowFile`.
    """

    def __init__(self, directory: Path, window: Window, quarantine: int) -> None:
        self.window = window
        self._file = WindowFile(directory, window, sync=False)
        self._quarantine = quarantine
        self._waiting: WindowFile | None = None
        if quarantine:
            try:
                rows = Window(window.width, quarantine, keyed=window.keyed)
                self._waiting = WindowFile(directory, rows, sync=False, name="quarantine")
            except BaseException:
                self._file.close()
                raise

    @property
    def waiting(self) -> int:
        """Return the number of rows in quarantine."""
        return self._waiting.window.filled if self._waiting else 0

    def restore(self, state: dict[str, Any]) -> bool:
        """Resume from the `snapshot` of the last commit, {} if there is none.

        Return False if its rows are gone, or were collected under another quarantine: rows admitted
        after a shorter wait must not train under a longer one.
        """
        same = state.get("quarantine", 0) == self._quarantine
        past = state if same else {}
        whole = self._file.restore(past.get("window", {}))
        if self._waiting:
            whole = self._waiting.restore(past.get("waiting", {})) and whole
        return whole and (same or not state.get("window"))

    def add(self, rows: Rows, verdicts: Verdicts, keys: Digests | None = None) -> None:
        """Add rows (k, width) with their verdicts (k,), and the digests of their keys (k,) if the
        window is keyed."""
        if self._waiting is None:
            self._file.add(rows, verdicts, keys)
            return
        self._file.add(*self._waiting.window.leaving(rows, verdicts, keys))
        self._waiting.add(rows, verdicts, keys)

    def drop_waiting(self) -> None:
        """Drop the rows in quarantine."""
        if self._waiting:
            self._waiting.restore({})

    def clear(self) -> None:
        """Drop all rows."""
        self._file.restore({})
        self.drop_waiting()

    def snapshot(self) -> dict[str, Any]:
        """Return the state for the commit."""
        state: dict[str, Any] = {"window": self._file.snapshot()}
        if self._waiting:
            state |= {"waiting": self._waiting.snapshot(), "quarantine": self._quarantine}
        return state

    def on_commit(self) -> None:
        """Make the rows of the latest `snapshot` permanent: it is committed."""
        self._file.on_commit()
        if self._waiting:
            self._waiting.on_commit()

    def close(self) -> None:
        """Close the files. May be called twice."""
        self._file.close()
        if self._waiting:
            self._waiting.close()
