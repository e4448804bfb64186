"""Who answers: the active model, or a warm-up that collects the rows for the first one.

What it counts and collects becomes true with the commit of the outputs, and is taken back with it.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog

from detectd import serving, training, wiring
from detectd.checks import require_detector, require_trainable_warmup
from detectd.encode import VERDICTS
from detectd.errors import ConfigError, DetectdError
from detectd.pipeline import collect_records, judge_records
from detectd.warmup import Busy, Warmup

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.decode import Schema
    from detectd.model import Model
    from detectd.records import Outgoing, Record
    from detectd.serving import Serving
    from detectd.settings import Settings

log = structlog.get_logger()

# How often `observed.json` follows the stream, and how soon another active model answers.
LOOK_SECONDS = 1.0


class Answerer:
    """Gives each record its output, and keeps what must be remembered beside the outputs."""

    def __init__(self, settings: Settings, schema: Schema) -> None:
        self.settings = settings
        self.schema = schema
        self.store = wiring.store(settings)
        self.events = wiring.event_fingerprint(settings)
        self.original = settings.output.value == "original"
        self.serving: Serving | None = None
        self.warmup: Warmup | None = None
        self.observed: Counter[str] = Counter()
        self._committed_rows = 0
        self._unwritten = False
        self._looked_at = 0.0
        self._refused: str | None = None

    def load(self) -> None:
        """Let the active model answer, if there is one."""
        model = serving.load_active(self.store, datetime.now(UTC))
        if model is not None:
            self._adopt(model)

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what the last commit remembers; call it again to take everything back."""
        same_events = state.get("events") == self.events
        if self.serving:
            self.observed = Counter(self._counts_so_far(state))
        else:
            # Rows of other features are none of this model's.
            self._collect(state.get("warmup", 0) if same_events else 0)

    @property
    def wanted(self) -> int | None:
        """How many events the warm-up still wants; None where there is none."""
        return self.warmup.remaining if self.warmup else None

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """One output for each record, in order."""
        if self.serving:
            judge = self.serving.judge
            return judge_records(records, self.schema, judge, original=self.original)
        outgoing, rows = collect_records(records, self.schema, original=self.original)
        if self.warmup:
            self.warmup.add(rows)
        return outgoing

    def state(self, counts: Counter[str]) -> dict[str, Any]:
        """What a restart must know once outputs with these counts are committed."""
        if not self.serving:
            collected = self.warmup.collected if self.warmup else 0
            return {"events": self.events, "warmup": collected}
        version, observed = self.serving.model.version, dict(self._with(counts))
        return {"events": self.events, "model": version, "observed": observed}

    def committed(self, counts: Counter[str]) -> None:
        """The outputs with these counts have been committed."""
        if self.serving:
            self.observed = self._with(counts)
            self._unwritten = True
        elif self.warmup:
            self._committed_rows = self.warmup.collected

    def rewind(self) -> None:
        """What was answered since the last commit will be answered again."""
        if self.warmup:
            self.warmup.resume(self._committed_rows)

    def advance(self, hold: Callable[[], None]) -> None:
        """Between two batches: train when the warm-up is complete, or let another model answer.

        Calls `hold` again and again while that takes long.
        """
        if self.warmup and not self.warmup.remaining:
            self._train(hold)
        elif time.monotonic() - self._looked_at > LOOK_SECONDS:
            self._looked_at = time.monotonic()
            self._look_for_another_model()
            if not self.serving and not self.warmup:
                self._collect(0)
            self.write_observed()

    def write_observed(self) -> None:
        """Let reports see the counts. The commits carry them: failing is no reason to stop."""
        if not self.serving or not self._unwritten:
            return
        try:
            self.store.record_observed(self.serving.model.version, dict(self.observed))
            self._unwritten = False
        except (OSError, ConfigError) as failed:
            log.warning("observed.not_written", why=str(failed))

    def close(self) -> None:
        """Let go of the warm-up's rows, and leave the counts."""
        with contextlib.suppress(OSError, ConfigError):
            self.write_observed()
        if self.warmup:
            self.warmup.close()

    def _look_for_another_model(self) -> None:
        try:
            active = self.store.active()
            serves = self.serving.model.version if self.serving else None
            if active is None or active in (serves, self._refused):
                return
            model = serving.load_active(self.store, datetime.now(UTC))
        except DetectdError as failed:
            self._refused = active
            log.warning("model.refused", model=active, why=str(failed))
            return
        if model is not None:
            self.write_observed()
            self._adopt(model)
            self.observed = Counter(self.store.observed(model.version))

    def _adopt(self, model: Model) -> None:
        if model.version != self.store.active():
            self.store.save(model)
            self.store.activate(model.version)
        changed = serving.other_settings(model, self.settings)
        self._serve(serving.serve(model, self.settings))
        if changed:
            log.warning("model.other_settings", model=model.version, changed=changed, mend="fit")

    def _serve(self, ready: Serving) -> None:
        if self.warmup:
            self.warmup.done()
            self.warmup = None
        self.serving = ready
        for warning in ready.promise.warnings:
            log.warning("promise.unreachable", warning=warning)
        exact = ready.promise.exact
        log.info(
            "model.serving",
            model=ready.model.version,
            detector=ready.model.recipe.detector,
            n=len(ready.model.calibration),
            T=ready.promise.rejector.zone.T,
            expected_rejection_rate=exact.expected_rejection_rate,
            rejection_rate_upper=exact.rejection_rate_upper,
            delta=exact.delta,
        )

    def _collect(self, collected: int) -> None:
        """Collect rows, unless another process of this group does so for all of us."""
        require_detector(self.settings)
        require_trainable_warmup(self.settings)
        wanted = self.settings.training.warmup
        if not self.warmup:
            self.store.make()
            try:
                width = len(self.schema.features)
                self.warmup = Warmup(self.store.directory, width, wanted)
            except Busy:
                if self.settings.source.kind != "kafka":
                    raise
                log.debug("warmup.elsewhere")
                return
        self._committed_rows = min(collected, wanted)
        if not self.warmup.resume(self._committed_rows):
            self._committed_rows = 0
            log.warning("warmup.restarted", why="the collected rows are gone")
        log.info("warmup.started", collected=self.warmup.collected, wanted=wanted)

    def _train(self, hold: Callable[[], None]) -> None:
        assert self.warmup
        rows, recipe = self.warmup.rows(), wiring.recipe(self.settings)
        log.info("training.started", rows=len(rows))
        with ThreadPoolExecutor(1, "training") as aside:
            features = self.schema.features
            trained = aside.submit(training.train, rows, recipe, features, datetime.now(UTC))
            while not wait([trained], 0.1).done:
                hold()
            model = trained.result()
        ready = serving.serve(model, self.settings)
        self.store.save(model)
        self.store.activate(model.version)
        self._serve(ready)
        try:
            wiring.publish(self.settings, model.version)
        except DetectdError as failed:
            log.warning("models.not_published", model=model.version, why=str(failed))

    def _with(self, counts: Counter[str]) -> Counter[str]:
        return self.observed + Counter({topic.value: counts[topic.value] for topic in VERDICTS})

    def _counts_so_far(self, state: dict[str, Any]) -> dict[str, int]:
        """From the commit where the sink keeps it, else what was last written for reports."""
        assert self.serving
        version = self.serving.model.version
        if state.get("model") == version:
            counts: dict[str, int] = state["observed"]
            return counts
        return self.store.observed(version) if not state else {}
