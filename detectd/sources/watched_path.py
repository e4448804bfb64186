"""Watch the path of a followed file, and log why there is nothing to read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from detectd.sources.open_file import kind
from detectd.sources.opener import HINT, ForeignError

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from detectd.sources.open_file import OpenFile
    from detectd.sources.opener import Opener
    from detectd.sources.rotation import Rotated

log = structlog.get_logger()


class WatchedPath:
    """Open the file at `path`; `target` is the path's target when it was last opened.

    A reason for nothing to read is logged once.
    """

    def __init__(self, path: Path, opener: Opener) -> None:
        self.path = path
        self.target = opener.target(path)
        self._opener = opener
        self._waiting: str | None = None

    def open(self, *, patient: bool = True) -> OpenFile | None:
        """Open the file at the path; None if there is nothing yet, which is logged.

        If not `patient`, raise OSError if the file cannot be read.
        """
        try:
            file = self._opener(self.path)
        except ForeignError as foreign:
            if not patient:
                raise
            self._refuse(foreign)
            return None
        except OSError as missing:
            # The rotating process may not have created it or changed its owner yet.
            if not patient and not isinstance(missing, FileNotFoundError):
                raise
            self._wait_for(missing.strerror)
            return None
        self.found()
        self.target = file.place
        return file

    def open_rotated(self, rotated: Rotated) -> OpenFile | None:
        """Open a rotated file; None if it is gone or not trusted, which is logged."""
        try:
            return self._opener(rotated.named)
        except ForeignError as foreign:
            self._refuse(foreign)
        except OSError:  # it has just been renamed or removed
            pass
        return None

    def status(self) -> os.stat_result | None:
        """Return the status of the path; None if it cannot be read, which is logged."""
        try:
            status = self.path.stat()
        except OSError as missing:
            self._wait_for(missing.strerror)
            return None
        if wrong := kind(status):
            self._wait_for(f"is {wrong}")
            return None
        return status

    def target_now(self) -> Path:
        """Return the path's current target."""
        return self._opener.target(self.path)

    def found(self) -> None:
        """Record that there is something to read: the next reason is logged again."""
        self._waiting = None

    def _wait_for(self, reason: str | None) -> None:
        if self._waiting != reason:
            self._waiting = reason
            log.info("source.waiting", path=str(self.path), reason=reason)

    def _refuse(self, foreign: ForeignError) -> None:
        if self._waiting != foreign.strerror:
            self._waiting = foreign.strerror
            log.warning("source.refused", path=str(self.path), reason=foreign.strerror, hint=HINT)
