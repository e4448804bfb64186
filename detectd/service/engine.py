"""Who answers: the active model, or a warm-up that collects the rows for the first one.

What they learn from a batch becomes true with the commit of its outputs, and is taken back with it.
Between two batches another model may take over: trained here, activated by an operator, or
published by another host.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from detectd import derive, wiring
from detectd.errors import DetectdError
from detectd.models import serving
from detectd.pipeline.output_detail import shown
from detectd.pipeline.records import Stage
from detectd.pipeline.unexpected_errors import During, Unforeseen
from detectd.service.activation import ActivationWatcher
from detectd.service.champion import Champion
from detectd.service.retraining import Retrainer, begun
from detectd.service.shadow import Shadow
from detectd.service.store_upkeep import StoreMaintenance
from detectd.service.warmup import WarmupOptions, WarmupPhase
from detectd.telemetry.snapshot import Snapshot

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Sequence

    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.service.activation import Role
    from detectd.settings import Settings

log = structlog.get_logger()


class ScoringEngine:
    """Gives each record its output, and keeps what must be remembered beside the outputs.

    `commits` names those that this process makes.
    """

    def __init__(self, settings: Settings, schema: Schema, commits: str) -> None:
        self.settings = settings
        self._options = derive.serving_options(settings)
        self.schema = schema
        self.store = wiring.store(settings)
        self.events = derive.event_fingerprint(settings)
        self.warming: WarmupPhase | None = None
        self.champion: Champion | None = None
        self.shadow: Shadow | None = None
        self.retrainer: Retrainer | None = None
        self._succession = ActivationWatcher(self.store)
        self._upkeep = StoreMaintenance(self.store, commits, derive.stream(settings))
        self._look = False
        self._resumed = False
        self._unwritten = False

    @property
    def serving(self) -> Serving | None:
        """The model that answers, with its promise."""
        return self.champion.serving if self.champion else None

    @property
    def wanted(self) -> int | None:
        """How many events to answer at most before something else is due; None for any number."""
        if self.warming:
            return self.warming.wanted
        return self.retrainer.wanted if self.retrainer else None

    @property
    def holding(self) -> bool:
        """Whether nothing may be committed yet."""
        return self.warming is not None and self.warming.holding

    def load(self) -> None:
        """Let the active model answer, if there is one."""
        version = self.store.active()
        if version is not None:
            model = serving.load(self.store, version, datetime.now(UTC))
            if model.version != version:
                self.store.save(model)
            self._adopt(version, serving.serve(model, self._options))

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what the last commit remembers; call it again to take everything back."""
        if self.champion:
            self.champion.resume(state, self._upkeep.recorded(self.champion.version))
            self._look_for_a_candidate(wait=not self._resumed)
            if self.shadow:
                self.shadow.resume(state.get("shadow", {}))
            if self.retrainer:
                self.retrainer.resume(state.get("renewal", {}), state.get("model"))
        else:
            # Rows of other features are none of this model's.
            same_events = state.get("events") == self.events
            self._collect(state.get("warmup") if same_events else None)
        self._resumed = True

    def begin_anew(self) -> None:
        """The stream is read from its beginning: count nothing of an earlier run of it."""
        self._upkeep.begin_anew()
        if self.champion:
            self.champion.begin_anew()
            self._unwritten = True
            self.write_observed()

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """One output for each record, in order."""
        if self.warming:
            return self._shown(self.warming.answer(records))
        assert self.champion
        scored, alarms = self.champion.answer(records)
        if self.shadow:
            self._compare(self.shadow, scored)
        if self.retrainer:
            self.retrainer.see(scored, alarms)
        return self._shown(scored.outgoing)

    def _compare(self, shadow: Shadow, scored: ScoredBatch) -> None:
        """Let the candidate judge the batch, too; one that cannot is compared no longer."""
        try:
            with During(Stage.SCORE):
                shadow.see(scored)
        except Unforeseen as failed:  # Nobody hears a candidate: it ends no stream.
            self.shadow = None
            why = f"{shadow.version}: it cannot answer: {failed}"
            self._succession.refuse("candidate", shadow.version, why)
            self._upkeep.serves(self._answers(), self._shadows())

    def alerts(self) -> list[Outgoing]:
        """Records that tell of the promise rather than of an event, for the next commit."""
        wanted = self.champion and self.settings.topics.alerts is not None
        return self._shown(self.champion.drift_monitor.alerts()) if self.champion and wanted else []

    def _shown(self, outgoing: list[Outgoing]) -> list[Outgoing]:
        output = self.settings.output
        return shown(outgoing, output.detail, original=output.value == "original")

    def state(self, counts: Counter[str]) -> dict[str, Any]:
        """What a restart must know once outputs with these counts are committed."""
        state: dict[str, Any] = {"events": self.events}
        if self.warming:
            return state | self.warming.state()
        assert self.champion
        if self.shadow:
            state["shadow"] = self.shadow.state()
        if self.retrainer:
            state["renewal"] = self.retrainer.state()
        return state | self.champion.state(counts)

    def committed(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """These outputs, with these counts, have been committed."""
        if self.warming:
            self.warming.committed()
        if self.champion:
            self.champion.committed(counts, outgoing)
            self._unwritten = True
        for part in (self.shadow, self.retrainer):
            if part:
                part.committed()

    def rewind(self) -> None:
        """What was answered since the last commit will be answered again."""
        for part in (self.warming, self.champion, self.shadow, self.retrainer):
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
        if self.warming and self.warming.complete:
            if model := self.warming.train(hold):
                self._adopt_trained(model)
        elif self._look or self._succession.due():
            self._look = False
            self._look_for_another_model()
            self._look_for_a_candidate()
            if self.warming and self.warming.elsewhere and not self._succession.preparing():
                self.warming.resume(None)  # Whoever was collecting may be gone.
            if self.retrainer:
                self.retrainer.heed()
            self.write_observed()
        if self.retrainer and (ready := self.retrainer.advance(hold)):
            self._renew(ready)
        return held and not self.holding

    def take_snapshot(self) -> Snapshot:
        """What is to be seen from outside; how trainings ended is in one snapshot only."""
        return Snapshot(
            champion=self.champion.figures() if self.champion else None,
            warmup=self.warming.progress if self.warming else None,
            held=self.retrainer.held if self.retrainer else None,
            training=self.retrainer.running if self.retrainer else False,
            refits=self.retrainer.outcomes() if self.retrainer else (),
        )

    def reconfigure(self, settings: Settings) -> None:
        """Go on under other terms. Raises ConfigError where they cannot be, and changes nothing."""
        # 1. All that can fail.
        if settings.training.refit != "never":
            derive.require_trainable_warmup(settings)
        options = derive.serving_options(settings)
        ready = candidate = retrainer = None
        if self.champion:
            ready = serving.under_other_terms(self.champion.serving, options)
            if self.shadow:
                candidate = serving.under_other_terms(self.shadow.candidate, options)
            retrainer = self._renewal_under(ready, settings)
        # 2. Nothing of what follows does.
        self.settings, self._options = settings, options
        if self.champion and ready:
            other = ready is not self.champion.serving
            self.champion.go_on_under(ready, settings.drift.average_run_length)
            if self.shadow and candidate:
                self.shadow.candidate = candidate
            if self.retrainer and not retrainer:
                self.retrainer.close()
            if retrainer:
                retrainer.succeed(ready, settings)
            self.retrainer = retrainer
            if other:
                serving.log_serving(ready)

    def write_observed(self) -> None:
        """Let reports see the counts."""
        if self.champion and self._unwritten:
            self._unwritten = not self._upkeep.record(self.champion, self.shadow)

    def close(self) -> None:
        """Let go of the warm-up's rows, and leave the counts."""
        self.write_observed()
        for part in (self._succession, self._upkeep, self.warming, self.retrainer):
            if part:
                part.close()

    def _collect(self, before: Any) -> None:
        if not self.warming:
            self.warming = WarmupPhase(_warmup_options(self.settings), self.schema, self.store)
        # Earlier versions committed a number, of rows that are written in another way.
        self.warming.resume(before if isinstance(before, dict) else None)

    def _answers(self) -> str | None:
        return self.champion.version if self.champion else None

    def _shadows(self) -> str | None:
        return self.shadow.version if self.shadow else None

    def _waiting(self) -> bool:
        active, candidate = self._succession.active(), self._succession.candidate()
        if active not in (None, self._answers()):
            assert active
            return not self._succession.under_way("active", active)
        if self.champion is None or candidate == self._shadows():
            return False
        return candidate is None or not self._succession.under_way("candidate", candidate)

    def _look_for_another_model(self) -> None:
        version = self._succession.active()
        if version is None and self.champion:
            self._succession.keep(self.champion.serving.model)
        if version in (None, self._answers()):
            self._succession.end("active")
            return
        assert version
        if ready := self._prepared("active", version):
            self.write_observed()
            try:
                self._adopt(version, ready)
            except DetectdError as failed:
                self._succession.refuse("active", version, str(failed))
            if self.settings.kafka.models_topic is not None:
                self._upkeep.prune(self.settings.models.keep)  # Here others' refits arrive.

    def _look_for_a_candidate(self, *, wait: bool = False) -> None:
        version = self._succession.candidate()
        if not self.champion or version == self._shadows():
            return
        self.shadow = None
        if version is None:
            self._succession.end("candidate")
            self._upkeep.serves(self._answers(), self._shadows())
            return
        ready = self._prepared("candidate", version, wait=wait)
        if ready is None:
            return
        try:
            name = ready.model.version
            if name == version or self.store.replace_candidate(version, name):
                self._let_shadow(ready)
        except DetectdError as failed:
            self._succession.refuse("candidate", version, str(failed))

    def _prepared(self, role: Role, version: str, *, wait: bool = False) -> Serving | None:
        limits = derive.trainer_limits(self.settings)
        return self._succession.prepared(role, version, self._options, limits, wait=wait)

    def _let_shadow(self, candidate: Serving) -> None:
        assert self.champion
        self.shadow = Shadow(candidate, self.champion.version)
        self._upkeep.serves(self._answers(), self._shadows())
        log.info("model.shadowing", model=candidate.model.version)

    def _adopt_trained(self, model: Model) -> None:
        ready = serving.serve_new(model, self._options)
        self.store.save(model)
        self._succeed(ready)

    def _renew(self, ready: Serving) -> None:
        """A refit was accepted, and is in the store."""
        assert self.retrainer
        try:
            if self.settings.training.on_refit == "shadow":
                self.store.nominate(ready.model.version)
                self._let_shadow(ready)
            else:
                self._succeed(ready)
        except (DetectdError, OSError) as failed:
            log.warning("refit.not_activated", model=ready.model.version, reason=str(failed))
        else:
            self._upkeep.prune(self.settings.models.keep)

    def _succeed(self, ready: Serving) -> None:
        """Let a model answer that was made here, on every host."""
        model = ready.model
        self.store.activate(model.version)
        self._serve(ready)
        try:
            wiring.publish(self.settings, model.version)
        except DetectdError as failed:
            log.warning("models.not_published", model=model.version, reason=str(failed))

    def _adopt(self, version: str, ready: Serving) -> None:
        """Serve what the store has activated; under a new name where it was fitted again."""
        model = ready.model
        if model.version != version and not self.store.replace_active(version, model.version):
            return  # Another version is active by now.
        changed = serving.other_settings(model, self._options)
        self._serve(ready)
        if changed:
            log.warning("model.other_settings", model=model.version, changed=changed, hint="fit")

    def _serve(self, ready: Serving) -> None:
        if self.warming:
            self.warming.done()
            self.warming = None
        self.champion = Champion(
            ready,
            self.schema,
            self.settings.drift.average_run_length,
            original=self.settings.output.value == "original",
        )
        candidate, self.shadow = self.shadow and self.shadow.candidate, None
        self._upkeep.serves(self._answers(), self._shadows())
        if candidate and candidate.model.version == self._succession.candidate():
            self._let_shadow(candidate)
        if self.retrainer:
            self.retrainer.succeed(ready, self.settings)
        else:
            self.retrainer = self._renewal_under(ready, self.settings)
        serving.log_serving(ready)

    def _renewal_under(self, ready: Serving, settings: Settings) -> Retrainer | None:
        """What makes the next model: the one there is, a new one, or None where none is wanted.

        Raises ConfigError where it cannot be.
        """
        if settings.training.refit == "never":
            return None
        return self.retrainer or begun(settings, self.store, ready)


def _warmup_options(settings: Settings) -> WarmupOptions:
    """Raises DetectdError if no warm-up could train the model."""
    derive.require_detector(settings)
    derive.require_trainable_warmup(settings)
    return WarmupOptions(
        goal=derive.warmup_goal(settings),
        recipe=derive.recipe(settings),
        on_warmup=settings.training.on_warmup,
        shared=settings.source.kind == "kafka",
        original=settings.output.value == "original",
    )
