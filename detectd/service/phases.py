"""The phase of the service, warm-up or serving, and the transitions between phases.

A model takes over after it is trained here, activated by an operator, or published by another host.
All of it happens between two batches.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from detectd import derive, stream_names, wiring
from detectd.errors import DetectdError
from detectd.models import serving
from detectd.service.activation import ActivationWatcher
from detectd.service.options import phase_options, warmup_options
from detectd.service.serving_phase import ServingPhase
from detectd.service.store_upkeep import StoreMaintenance
from detectd.service.warmup import WarmupPhase

if TYPE_CHECKING:
    from collections.abc import Callable

    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.pipeline.schema import Schema
    from detectd.settings import Settings

    Phase = WarmupPhase | ServingPhase

log = structlog.get_logger()


class Phases:
    """Own the `current` phase, which is set by `load`.

    `commits` names the commits that this process makes.
    """

    def __init__(self, settings: Settings, schema: Schema, commits: str) -> None:
        self.settings = settings
        self.store = wiring.store(settings)
        self.upkeep = StoreMaintenance(self.store, commits, stream_names.stream(settings))
        self.watcher = ActivationWatcher(self.store)
        self._schema = schema
        self._options = derive.serving_options(settings)
        self._phase: Phase | None = None
        self._look = False

    @property
    def current(self) -> Phase:
        """Return the current phase."""
        assert self._phase
        return self._phase

    @property
    def warmup(self) -> WarmupPhase | None:
        """Return the warm-up phase; None when a model is active."""
        return self._phase if isinstance(self._phase, WarmupPhase) else None

    @property
    def serving(self) -> ServingPhase | None:
        """Return the serving phase; None during a warm-up."""
        return self._phase if isinstance(self._phase, ServingPhase) else None

    def load(self) -> None:
        """Serve the active model, or begin a warm-up if there is none."""
        version = self.store.active()
        if version is not None:
            model = serving.load(self.store, version, datetime.now(UTC))
            if model.version != version:
                self.store.save(model)
            self._adopt(version, serving.serve(model, self._options))
        if self._phase is None:
            self._phase = WarmupPhase(warmup_options(self.settings), self._schema, self.store)

    def restless(self) -> bool:
        """Return whether another model waits to take over."""
        if self.watcher.due():
            self._look = self._waiting()
        return self._look

    def advance(self, hold: Callable[[], None]) -> None:
        """Train if the warm-up is complete or a refit is due, or switch to another model.

        Call `hold` repeatedly while that takes long.
        """
        if self.warmup and self.warmup.complete:
            if model := self.warmup.train(hold):
                self._adopt_trained(model)
        elif self._look or self.watcher.due():
            self._look = False
            self._follow_store()
        if self.serving and (ready := self.serving.next_model(hold)):
            self._renew(self.serving, ready)

    def reconfigure(self, settings: Settings) -> None:
        """Apply other settings. If that fails, raise DetectdError and change nothing."""
        # 1. Everything that can fail.
        options, phase = phase_options(settings), self.serving
        prepared = phase.prepare(options) if phase else None
        # 2. Nothing below can fail.
        self.settings, self._options = settings, options.serving
        if phase and prepared:
            phase.go_on_under(prepared)

    def close(self) -> None:
        """Release the rows and the store. May be called twice."""
        for part in (self.watcher, self.upkeep, self._phase):
            if part:
                part.close()

    def _waiting(self) -> bool:
        active, candidate, phase = self.watcher.active(), self.watcher.candidate(), self.serving
        if active is not None and not (phase and active == phase.champion.version):
            return not self.watcher.under_way("active", active)
        if phase is None or candidate == phase.candidate:
            return False
        return candidate is None or not self.watcher.under_way("candidate", candidate)

    def _follow_store(self) -> None:
        """Serve the models that the store now names as active and as candidate."""
        self._look_for_another_model()
        if isinstance(self.current, ServingPhase):
            self.current.follow_store()
        elif self.current.elsewhere and not self.watcher.preparing():
            self.current.restore({})  # The process that was collecting may be gone.

    def _look_for_another_model(self) -> None:
        version, phase = self.watcher.active(), self.serving
        if version is None and phase:
            self.watcher.keep(phase.champion.serving.model)
        if version is None or (phase and version == phase.champion.version):
            self.watcher.end("active")
            return
        limits = derive.trainer_limits(self.settings)
        if ready := self.watcher.prepared("active", version, self._options, limits):
            if phase:
                phase.write_observed()
            try:
                self._adopt(version, ready)
            except DetectdError as failed:
                self.watcher.refuse("active", version, str(failed))
            if self.settings.kafka.models_topic is not None:
                self.upkeep.prune(
                    self.settings.models.keep
                )  # Models refitted by other processes arrive here.

    def _adopt_trained(self, model: Model) -> None:
        ready = serving.serve_new(model, self._options)
        self.store.save(model)
        self._activate(ready)

    def _renew(self, phase: ServingPhase, ready: Serving) -> None:
        """Activate an accepted and stored refit, or run it in shadow mode."""
        try:
            if self.settings.training.on_refit == "shadow":
                self.store.nominate(ready.model.version)
                phase.compare_with(ready)
            else:
                self._activate(ready)
        except (DetectdError, OSError) as failed:
            log.warning("refit.not_activated", model=ready.model.version, reason=str(failed))
        else:
            self.upkeep.prune(self.settings.models.keep)

    def _activate(self, ready: Serving) -> None:
        """Activate a model trained here, for every host."""
        model = ready.model
        self.store.activate(model.version)
        self._serve(ready)
        try:
            wiring.publish(self.settings, model.version)
        except DetectdError as failed:
            log.warning("models.not_published", model=model.version, reason=str(failed))

    def _adopt(self, version: str, ready: Serving) -> None:
        """Serve the version that the store activated; under a new name if it was fitted again."""
        model = ready.model
        if model.version != version and not self.store.replace_active(version, model.version):
            return  # Another version is already active.
        changed = serving.other_settings(model, self._options)
        self._serve(ready)
        if changed:
            log.warning("model.other_settings", model=model.version, changed=changed, hint="fit")

    def _serve(self, ready: Serving) -> None:
        phase = self.serving
        if phase:
            phase.succeed(ready)
        else:
            options = phase_options(self.settings)
            if self.warmup:
                self.warmup.done()
            self._phase = phase = ServingPhase(
                ready, options, self._schema, self.store, self.watcher, self.upkeep
            )
        phase.retrain()
        serving.log_serving(ready)
