"""Which model should answer, and which score along, as the store says it while the service runs."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from detectd.errors import DetectdError
from detectd.models import serving

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.models.model import Model
    from detectd.models.store import Store

log = structlog.get_logger()

# How soon what an operator does with the store takes effect.
LOOK_SECONDS = 0.5


class Succession:
    """Looks into the store now and then. A version that cannot be loaded is refused once."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked_at = 0.0
        self._refused: set[str] = set()
        self._told: str | None = None

    def due(self) -> bool:
        """Whether it is time for a look; the next is due half a second later."""
        now = time.monotonic()
        if now - self._looked_at <= LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def active(self) -> str | None:
        """The version that should answer; None where there is none, or it has been refused."""
        return self._sound(self._store.active)

    def candidate(self) -> str | None:
        """The version that should score along; None where there is none, or it has been refused."""
        return self._sound(self._store.candidate)

    def load(self, version: str) -> Model | None:
        """The model; None where it cannot answer, which is told once."""
        try:
            return serving.load(self._store, version, datetime.now(UTC))
        except DetectdError as failed:
            self.refuse(version, str(failed))
            return None

    def refuse(self, version: str, why: str) -> None:
        """Do not try this version again."""
        self._refused.add(version)
        log.warning("model.refused", model=version, why=why)

    def keep(self, model: Model) -> None:
        """Write down the model that answers, where the store has been deleted under it."""
        try:
            if self._store.active() is None:
                self._store.save(model)
                self._store.activate(model.version)
                log.warning("models.rewritten", model=model.version, why="the store was gone")
                self._told = None
        except (DetectdError, OSError) as failed:
            self._tell(str(failed))

    def _sound(self, look: Callable[[], str | None]) -> str | None:
        try:
            found = look()
        except (DetectdError, OSError) as failed:
            self._tell(str(failed))
            return None
        return None if found in self._refused else found

    def _tell(self, why: str) -> None:
        if why != self._told:
            log.warning("models.unreadable", why=why)
        self._told = why
