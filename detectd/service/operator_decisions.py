"""The operator's decisions on the next model: which one is held, and what was discarded."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from detectd.models.store import Store

log = structlog.get_logger()


class OperatorWord:
    """The store's files of `models.pending`, as of the last check.

    `held` is the version that waits for an operator, `discarded` the token of the last discard.
    Raise OSError if the store cannot be read.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.held = store.held()
        self.discarded = store.discarded()

    def look(self) -> bool:
        """Check again. Return True if an operator discarded the rows since the last check."""
        before = self.discarded
        try:
            self.held, self.discarded = self._store.held(), self._store.discarded()
        except OSError as away:  # the store's file system; the next look tries again
            log.debug("models.unreadable", reason=str(away))
        return self.discarded != before

    def hold(self, version: str) -> None:
        """Hold a version. Raise DetectdError if the store cannot be written."""
        self._store.hold(version)
        self.held = version
        self.tell()

    def tell(self) -> None:
        """Log the held model, if there is one."""
        if self.held:
            log.warning(
                "refit.held",
                model=self.held,
                reason="it was fitted after an alarm",
                hint=f"detectd models activate {self.held}, or detectd models discard",
            )
