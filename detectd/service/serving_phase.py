"""The serving phase: the champion, an optional candidate in shadow mode, and the retrainer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog

from detectd.errors import DetectdError
from detectd.models import serving
from detectd.pipeline.records import Stage
from detectd.pipeline.unexpected_errors import During, Unforeseen
from detectd.service.champion import Champion
from detectd.service.retraining import begun, of_another_champion
from detectd.service.shadow import Shadow

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterator, Sequence

    from detectd.models.serving import Serving
    from detectd.models.store import Store
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.pipeline.vectors import Vectors
    from detectd.service.activation import ActivationWatcher
    from detectd.service.checkpoint import Checkpointed
    from detectd.service.options import PhaseOptions
    from detectd.service.retraining import Retrainer
    from detectd.service.store_upkeep import StoreMaintenance

log = structlog.get_logger()


@dataclass(frozen=True)
class Prepared:
    """The models and the retrainer under other options, ready to switch to."""

    options: PhaseOptions
    champion: Serving
    candidate: Serving | None
    retrainer: Retrainer | None


class ServingPhase:
    """Give verdicts by `ready`, or by a later model after `succeed`."""

    def __init__(
        self,
        ready: Serving,
        options: PhaseOptions,
        schema: Schema,
        store: Store,
        watcher: ActivationWatcher,
        upkeep: StoreMaintenance,
    ) -> None:
        self._options = options
        self._schema = schema
        self._store = store
        self._watcher = watcher
        self._upkeep = upkeep
        self._unwritten = False
        self.champion = self._champion(ready)
        self.shadow: Shadow | None = None
        self.retrainer: Retrainer | None = None
        self._claim_models()

    @property
    def wanted(self) -> int | None:
        """Return the maximum number of events to score before other work is due; None for no
        limit."""
        return self.retrainer.wanted if self.retrainer else None

    @property
    def candidate(self) -> str | None:
        """Return the version in shadow mode; None if there is none."""
        return self.shadow.version if self.shadow else None

    def succeed(self, ready: Serving) -> None:
        """Serve another model from now on."""
        self.champion = self._champion(ready)
        candidate, self.shadow = self.shadow and self.shadow.candidate, None
        self._claim_models()
        if candidate and candidate.model.version == self._watcher.candidate():
            self.compare_with(candidate)

    def retrain(self) -> None:
        """Set up retraining for a successor of the current model.

        Raise DetectdError if the store cannot keep the rows for it.
        """
        ready, options = self.champion.serving, self._options.retraining
        if self.retrainer and options:
            self.retrainer.succeed(ready, options)
        elif options:
            self.retrainer = begun(options, self._store, ready)

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `snapshot`; see `Checkpointed`."""
        self.champion.recall(self._upkeep.recorded(self.champion.version))
        self.champion.restore(state)
        self.look_for_candidate()
        if self.shadow:
            self.shadow.restore(state.get("shadow", {}))
        if self.retrainer:
            past = state.get("renewal", {})
            same = state.get("model") == self.champion.version
            self.retrainer.restore(past if same else of_another_champion(past))

    def answer(self, records: Sequence[Record], batch: Vectors) -> list[Outgoing]:
        """Return one output for each record, in order; `batch` are their feature vectors."""
        scored, alarms = self.champion.answer(records, batch)
        if self.shadow:
            self._compare(self.shadow, scored)
        if self.retrainer:
            self.retrainer.see(scored, alarms)
        return scored.outgoing

    def alerts(self) -> list[tuple[float, Outgoing]]:
        """Return the alert records, which report on the promise rather than on an event, each with
        the number of the record that raised it."""
        return self.champion.drift_monitor.alerts()

    def settle(self, counts: Counter[str], outgoing: Sequence[Outgoing]) -> None:
        """Count the outputs that the next commit will contain."""
        self.champion.settle(counts, outgoing)

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the settled outputs are committed."""
        state: dict[str, Any] = {}
        if self.shadow:
            state["shadow"] = self.shadow.snapshot()
        if self.retrainer:
            state["renewal"] = self.retrainer.snapshot()
        return state | self.champion.snapshot()

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        for part in self._parts():
            part.on_commit()
        self._unwritten = True

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        for part in self._parts():
            part.rollback()

    def begin_again(self) -> None:
        """Reset the counts of an earlier run of the stream."""
        self.champion.begin_again()
        self._unwritten = True
        self.write_observed()

    def write_observed(self) -> None:
        """Write the counts for reports."""
        if self._unwritten:
            self._unwritten = not self._upkeep.record(self.champion, self.shadow)

    def next_model(self, hold: Callable[[], None]) -> Serving | None:
        """Train the next model if it is due; return it once it is accepted and stored."""
        return self.retrainer.advance(hold) if self.retrainer else None

    def look_for_candidate(self, *, wait: bool = False) -> None:
        """Run the store's candidate in shadow mode; with `wait`, wait until it is loaded."""
        version = self._watcher.candidate()
        if version == self.candidate:
            return
        self.shadow = None
        if version is None:
            self._watcher.end("candidate")
            self._claim_models()
            return
        options, limits = self._options.serving, self._options.limits
        ready = self._watcher.prepared("candidate", version, options, limits, wait=wait)
        if ready is None:
            return
        try:
            name = ready.model.version
            if name == version or self._store.replace_candidate(version, name):
                self.compare_with(ready)
        except DetectdError as failed:
            self._watcher.refuse("candidate", version, str(failed))

    def follow_store(self) -> None:
        """Apply the store's and the operator's decisions on models other than the champion."""
        self.look_for_candidate()
        if self.retrainer:
            self.retrainer.heed()
        self.write_observed()

    def compare_with(self, candidate: Serving) -> None:
        """Run `candidate` in shadow mode."""
        self.shadow = Shadow(candidate, self.champion.version)
        self._claim_models()
        log.info("model.shadowing", model=candidate.model.version)

    def prepare(self, options: PhaseOptions) -> Prepared:
        """Prepare to switch to other options. If that fails, raise DetectdError and change
        nothing."""
        ready = serving.under_other_terms(self.champion.serving, options.serving)
        candidate = retrainer = None
        if self.shadow:
            candidate = serving.under_other_terms(self.shadow.candidate, options.serving)
        if options.retraining:
            retrainer = self.retrainer or begun(options.retraining, self._store, ready)
        return Prepared(options, ready, candidate, retrainer)

    def go_on_under(self, prepared: Prepared) -> None:
        """Switch to other options; keep the counts and rows that are still valid under them."""
        self._options, ready = prepared.options, prepared.champion
        other = ready is not self.champion.serving
        self.champion.go_on_under(ready, self._options.average_run_length)
        if self.shadow and prepared.candidate:
            self.shadow.candidate = prepared.candidate
        if self.retrainer and not prepared.retrainer:
            self.retrainer.close()
        self.retrainer = prepared.retrainer
        if self.retrainer and self._options.retraining:
            self.retrainer.succeed(ready, self._options.retraining)
        if other:
            serving.log_serving(ready)

    def close(self) -> None:
        """Stop a running training. May be called twice."""
        if self.retrainer:
            self.retrainer.close()

    def _parts(self) -> Iterator[Checkpointed]:
        yield self.champion
        if self.shadow:
            yield self.shadow
        if self.retrainer:
            yield self.retrainer

    def _champion(self, ready: Serving) -> Champion:
        options = self._options
        return Champion(ready, self._schema, options.average_run_length, original=options.original)

    def _claim_models(self) -> None:
        self._upkeep.serves(self.champion.version, self.candidate)

    def _compare(self, shadow: Shadow, scored: ScoredBatch) -> None:
        """Score the batch with the candidate, too; stop comparing if it fails."""
        try:
            with During(Stage.SCORE):
                shadow.see(scored)
        except Unforeseen as failed:  # A candidate's failure must not stop the stream.
            self.shadow = None
            why = f"{shadow.version}: it cannot score events: {failed}"
            self._watcher.refuse("candidate", shadow.version, why)
            self._claim_models()
