"""Who answers: the active model, or a warm-up that collects the rows for the first one.

What they learn from a batch becomes true with the commit of its outputs, and is taken back with it.
Between two batches another model may take over: trained here, activated by an operator, or
published by another host.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from detectd import wiring
from detectd.answering.incumbent import Incumbent
from detectd.answering.renewal import Renewal
from detectd.answering.shadow import Shadow
from detectd.answering.succession import Succession
from detectd.answering.warming import Warming
from detectd.checks import require_trainable_warmup
from detectd.errors import DetectdError
from detectd.models import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.decode import Schema
    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.records import Outgoing, Record
    from detectd.settings import Settings

log = structlog.get_logger()


class Answerer:
    """Gives each record its output, and keeps what must be remembered beside the outputs."""

    def __init__(self, settings: Settings, schema: Schema) -> None:
        self.settings = settings
        self.schema = schema
        self.store = wiring.store(settings)
        self.events = wiring.event_fingerprint(settings)
        self.warming: Warming | None = None
        self.incumbent: Incumbent | None = None
        self.shadow: Shadow | None = None
        self.renewal: Renewal | None = None
        self._succession = Succession(self.store)
        self._look = False
        self._unwritten = False

    @property
    def serving(self) -> Serving | None:
        """The model that answers, with its promise."""
        return self.incumbent.serving if self.incumbent else None

    @property
    def wanted(self) -> int | None:
        """How many events to answer at most before something else is due; None for any number."""
        if self.warming:
            return self.warming.remaining
        return self.renewal.wanted if self.renewal else None

    @property
    def holding(self) -> bool:
        """Whether nothing may be committed yet."""
        return self.warming is not None and self.warming.holding

    def load(self) -> None:
        """Let the active model answer, if there is one."""
        model = serving.load_active(self.store, datetime.now(UTC))
        if model is not None:
            self._adopt(model)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what the last commit remembers; call it again to take everything back."""
        if self.incumbent:
            self.incumbent.resume(state, self.store.observed(self.incumbent.version))
            self._look_for_a_candidate()
            if self.shadow:
                self.shadow.resume(state.get("shadow", {}))
            if self.renewal:
                self.renewal.resume(state.get("renewal", {}), state.get("model"))
        else:
            # Rows of other features are none of this model's.
            same_events = state.get("events") == self.events
            collected = state.get("warmup", 0), state.get("warmup_failed", 0)
            self._collect(*(collected if same_events else (0, 0)))

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """One output for each record, in order."""
        if self.warming:
            return self.warming.answer(records)
        assert self.incumbent
        judged, alarmed = self.incumbent.answer(records)
        if self.shadow:
            self.shadow.see(judged)
        if self.renewal:
            self.renewal.see(judged, alarmed)
        return judged.outgoing

    def alerts(self) -> list[Outgoing]:
        """Records that tell of the promise rather than of an event, for the next commit."""
        wanted = self.incumbent and self.settings.topics.alerts is not None
        return self.incumbent.vigil.alerts() if self.incumbent and wanted else []

    def state(self, counts: Counter[str]) -> dict[str, Any]:
        """What a restart must know once outputs with these counts are committed."""
        state: dict[str, Any] = {"events": self.events}
        if self.warming:
            return state | self.warming.state()
        assert self.incumbent
        if self.shadow:
            state["shadow"] = self.shadow.state()
        if self.renewal:
            state["renewal"] = self.renewal.state()
        return state | self.incumbent.state(counts)

    def committed(self, counts: Counter[str]) -> None:
        """The outputs with these counts have been committed."""
        if self.warming:
            self.warming.committed()
        if self.incumbent:
            self.incumbent.committed(counts)
            self._unwritten = True
        for part in (self.shadow, self.renewal):
            if part:
                part.committed()

    def rewind(self) -> None:
        """What was answered since the last commit will be answered again."""
        for part in (self.warming, self.incumbent, self.shadow, self.renewal):
            if part:
                part.rewind()

    def release(self) -> None:
        """The stream has ended: what is held back is answered without a model."""
        assert self.warming
        self.warming.release()

    def restless(self) -> bool:
        """Whether another model waits to take over, so that a batch need not wait for more."""
        if self._succession.due():
            self._look = self._waiting()
        return self._look

    def advance(self, hold: Callable[[], None]) -> bool:
        """Between two batches: train when the warm-up is complete, or let another model answer.

        Calls `hold` again and again while that takes long. True where what was held back until now
        is to be read again, and answered.
        """
        held = self.holding
        if self.warming and self.warming.remaining == 0:
            if model := self.warming.train(hold):
                self._adopt_trained(model)
        elif self._look or self._succession.due():
            self._look = False
            self._look_for_another_model()
            self._look_for_a_candidate()
            if self.warming and self.warming.remaining is None:
                self.warming.resume(0)  # Whoever was collecting may be gone.
            self.write_observed()
        if self.renewal and (ready := self.renewal.advance(hold)):
            self._renew(ready)
        return held and not self.holding

    def reconfigure(self, settings: Settings) -> None:
        """Go on under other terms. Raises ConfigError where they cannot be, and changes nothing."""
        if settings.training.refit != "never":
            require_trainable_warmup(settings)
        if self.incumbent:
            past = self.incumbent
            ready = serving.under_other_terms(past.serving, settings)
            self.settings = settings
            self._serve(ready)
            self.incumbent.resume(past.state(Counter()), past.report())
        self.settings = settings
        if self.renewal and settings.training.refit == "never":
            self.renewal.close()
            self.renewal = None

    def write_observed(self) -> None:
        """Let reports see the counts. The commits carry them: failing is no reason to stop."""
        if not self.incumbent or not self._unwritten:
            return
        try:
            seen = self.incumbent.report()
            if self.shadow:
                seen["shadow"] = self.shadow.report()
            self.store.record_observed(self.incumbent.version, seen)
            self._unwritten = False
        except (OSError, DetectdError) as failed:
            log.warning("observed.not_written", why=str(failed))

    def close(self) -> None:
        """Let go of the warm-up's rows, and leave the counts."""
        with contextlib.suppress(OSError, DetectdError):
            self.write_observed()
        for part in (self.warming, self.renewal):
            if part:
                part.close()

    def _collect(self, collected: int, failed: int) -> None:
        if not self.warming:
            self.warming = Warming(self.settings, self.schema, self.store)
        self.warming.resume(collected, failed)

    def _answers(self) -> str | None:
        return self.incumbent.version if self.incumbent else None

    def _shadows(self) -> str | None:
        return self.shadow.version if self.shadow else None

    def _waiting(self) -> bool:
        active, candidate = self._succession.active(), self._succession.candidate()
        another = active not in (None, self._answers())
        return another or (self.incumbent is not None and candidate != self._shadows())

    def _look_for_another_model(self) -> None:
        version = self._succession.active()
        if version is None and self.incumbent:
            self._succession.keep(self.incumbent.serving.model)
        if version in (None, self._answers()):
            return
        assert version
        if model := self._succession.load(version):
            self.write_observed()
            try:
                self._adopt(model)
            except DetectdError as failed:
                self._succession.refuse(version, str(failed))

    def _look_for_a_candidate(self) -> None:
        version = self._succession.candidate()
        if not self.incumbent or version == self._shadows():
            return
        self.shadow = None
        if version and (model := self._succession.load(version)):
            try:
                self._let_shadow(serving.serve(model, self.settings))
            except DetectdError as failed:
                self._succession.refuse(version, str(failed))

    def _let_shadow(self, candidate: Serving) -> None:
        assert self.incumbent
        self.shadow = Shadow(candidate, self.incumbent.version)
        log.info("model.shadowing", model=candidate.model.version)

    def _adopt_trained(self, model: Model) -> None:
        ready = serving.serve_new(model, self.settings)
        self.store.save(model)
        self._succeed(ready)

    def _renew(self, ready: Serving) -> None:
        """A refit was accepted, and is in the store."""
        assert self.renewal
        try:
            if self.settings.training.on_refit == "shadow":
                self.store.nominate(ready.model.version)
                self._let_shadow(ready)
            else:
                self._succeed(ready)
        except (DetectdError, OSError) as failed:
            log.warning("refit.not_activated", model=ready.model.version, why=str(failed))

    def _succeed(self, ready: Serving) -> None:
        """Let a model answer that was made here, on every host."""
        model = ready.model
        self.store.activate(model.version)
        self._serve(ready)
        try:
            wiring.publish(self.settings, model.version)
        except DetectdError as failed:
            log.warning("models.not_published", model=model.version, why=str(failed))

    def _adopt(self, model: Model) -> None:
        ready = serving.serve(model, self.settings)
        if model.version != self.store.active():
            self.store.save(model)
            self.store.activate(model.version)
        changed = serving.other_settings(model, self.settings)
        self._serve(ready)
        if changed:
            log.warning("model.other_settings", model=model.version, changed=changed, mend="fit")

    def _serve(self, ready: Serving) -> None:
        if self.warming:
            self.warming.done()
            self.warming = None
        self.incumbent = Incumbent(ready, self.schema, self.settings)
        self.shadow = None
        if self.renewal:
            self.renewal.succeed(ready, self.settings)
        elif self.settings.training.refit != "never":
            self.renewal = Renewal(self.settings, self.store, ready)
            self.renewal.resume({}, None)
        for warning in ready.promise.warnings:
            log.warning("promise.warning", reason=warning)
        promise = ready.promise
        # No bound without a law: a figure that is none belongs in no log either.
        bound: dict[str, float | bool] = {}
        if promise.exact is not None:
            bound["rejection_rate_upper"] = promise.exact.rejection_rate_upper
            bound["delta"] = promise.exact.delta
            bound["valid"] = promise.rate_bounded
        log.info(
            "model.serving",
            model=ready.model.version,
            detector=ready.model.recipe.detector,
            n=len(ready.model.calibration),
            T=promise.rejector.zone.T,
            reach=promise.reach,
            expected_rejection_rate=promise.expected_rejection_rate,
            **bound,
        )
