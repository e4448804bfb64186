"""Follow the store's choice of active model and candidate while the service runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import structlog

from detectd.errors import BrokerUnavailableError, DetectdError
from detectd.models import serving
from detectd.service.model_loading import Preparation

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.models.model import Model
    from detectd.models.serving import Serving, ServingOptions
    from detectd.models.store import Store
    from detectd.models.trainer_process import Limits

log = structlog.get_logger()

# How often the store is checked for changes by an operator.
LOOK_SECONDS = 0.5

Role = Literal["active", "candidate"]


class ActivationWatcher:
    """Check the store periodically. A version that cannot be loaded is refused once, and retried
    only after the store has named another one."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._looked_at = 0.0
        self._refused: dict[Role, str] = {}
        self._preparing: dict[Role, Preparation] = {}
        self._told: str | None = None

    def due(self) -> bool:
        """Return whether a check is due; the next one is due half a second later."""
        now = time.monotonic()
        if now - self._looked_at <= LOOK_SECONDS:
            return False
        self._looked_at = now
        return True

    def active(self) -> str | None:
        """Return the active version; None if there is none or it was refused."""
        return self._sound("active", self._store.active)

    def candidate(self) -> str | None:
        """Return the candidate version; None if there is none or it was refused."""
        return self._sound("candidate", self._store.candidate)

    def under_way(self, role: Role, version: str) -> bool:
        """Return whether that version is still being prepared."""
        preparing = self._preparing.get(role)
        return preparing is not None and preparing.version == version and not preparing.done

    def preparing(self) -> bool:
        """Return whether the active model is being prepared, or is ready to take over."""
        return "active" in self._preparing

    def prepared(
        self,
        role: Role,
        version: str,
        options: ServingOptions,
        limits: Limits,
        *,
        wait: bool = False,
    ) -> Serving | None:
        """Return the version, ready under `options`; None while it is being prepared beside the
        loop, or if it cannot be served, which is logged once. With `wait`, block until it is ready.

        A version that had to be fitted again, within `limits`, is stored under a new name.
        """
        preparing = self._preparing.get(role)
        if preparing is None or preparing.version != version:
            self.end(role)
            preparing = self._preparing[role] = Preparation(self._store, version, options, limits)
        if not (wait or preparing.done):
            return None
        del self._preparing[role]
        try:
            return serving.under_other_terms(preparing.result(), options)
        except BrokerUnavailableError as away:  # the store's file system; retried at the next check
            self._tell(str(away))
            return None
        except DetectdError as failed:
            self.refuse(role, version, str(failed))
            return None

    def refuse(self, role: Role, version: str, why: str) -> None:
        """Do not try this version again until the store has named another one."""
        self._refused[role] = version
        log.warning("model.refused", model=version, reason=why)

    def end(self, role: Role) -> None:
        """Stop preparing a model for this role."""
        if preparing := self._preparing.pop(role, None):
            preparing.abandon()

    def close(self) -> None:
        """Stop all preparation. May be called twice."""
        while self._preparing:
            self._preparing.popitem()[1].close()

    def keep(self, model: Model) -> None:
        """Save the active model again if the store was deleted under it."""
        try:
            if self._store.active() is None:
                self._store.save(model)
                self._store.activate(model.version)
                log.warning("models.rewritten", model=model.version, reason="the store was deleted")
                self._told = None
        except (DetectdError, OSError) as failed:
            self._tell(str(failed))

    def _sound(self, role: Role, look: Callable[[], str | None]) -> str | None:
        try:
            found = look()
        except (DetectdError, OSError) as failed:
            self._tell(str(failed))
            return None
        if found == self._refused.get(role):
            return None
        self._refused.pop(role, None)
        return found

    def _tell(self, why: str) -> None:
        if why != self._told:
            log.warning("models.unreadable", reason=why)
        self._told = why
