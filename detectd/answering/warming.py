"""What answers while there is no model yet, and collects the rows for the first one.

What it collects counts with the commit of the outputs, and is taken back with it. With
`training.on_warmup = "hold"` nothing is committed at all before there is a model: then the stream
is read again, and every event gets a verdict.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from detectd import wiring
from detectd.answering.warmup import Busy, Warmup
from detectd.checks import require_detector, require_trainable_warmup
from detectd.errors import DetectdError
from detectd.models import training
from detectd.pipeline import collect_records
from detectd.records import Topic

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.decode import Schema
    from detectd.models.model import Model
    from detectd.models.store import Store
    from detectd.records import Outgoing, Record
    from detectd.settings import Settings

log = structlog.get_logger()

VERDICTS = {"abstain": Topic.ABSTAIN, "pass": Topic.NORMAL, "hold": Topic.ABSTAIN}

# A line in the log for each tenth of the way.
TOLD = 10


class Progress(NamedTuple):
    """How far a warm-up is, in events, and how long the rest takes at the rate so far.

    `failures` counts the trainings that have failed in this run, `last_failure` says why.
    """

    collected: int
    wanted: int
    seconds_left: float | None = None
    failures: int = 0
    last_failure: str | None = None


class Warming:
    """Answers without a model. The first process on a store collects; others wait for its model."""

    def __init__(self, settings: Settings, schema: Schema, store: Store) -> None:
        require_detector(settings)
        require_trainable_warmup(settings)
        self._settings = settings
        self._schema = schema
        self._store = store
        self._rows: Warmup | None = None
        self._committed = (0, 0)
        self._failures = 0
        self._last_failure: str | None = None
        self._began = (time.monotonic(), 0)
        self._told = 0
        self.holding = settings.training.on_warmup == "hold"

    @property
    def remaining(self) -> int | None:
        """How many events are still wanted; None where another process collects them."""
        return self._rows.remaining if self._rows else None

    def resume(self, collected: int, failed: int = 0) -> None:
        """Go on with the first `collected` rows, which could not carry `failed` trainings.

        Does nothing if another process of this group collects.
        """
        if not self._rows and not self._open():
            return
        assert self._rows
        before = (0, 0) if self.holding else (collected, failed)
        if not self._rows.resume(*before):
            log.warning("warmup.restarted", why="the collected rows are gone")
        self._committed = (self._rows.collected, self._rows.failed)
        self._begin_to_count()
        log.info("warmup.started", collected=self._rows.collected, wanted=self._rows.wanted)

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """One output for each record, in order: no verdict of a model, or a dead letter."""
        verdict = VERDICTS[self._settings.training.on_warmup]
        original = self._settings.output.value == "original"
        outgoing, rows = collect_records(records, self._schema, verdict, original=original)
        if self._rows:
            self._rows.add(rows)
        self._tell()
        return outgoing

    def state(self) -> dict[str, Any]:
        """What a restart must know once the outputs are committed."""
        if not self._rows:
            return {"warmup": 0}
        return {"warmup": self._rows.collected, "warmup_failed": self._rows.failed}

    def committed(self) -> None:
        """The outputs have been committed."""
        if self._rows:
            self._committed = (self._rows.collected, self._rows.failed)

    def rewind(self) -> None:
        """What was answered since the last commit will be answered again."""
        if self._rows:
            self._rows.resume(*self._committed)

    def release(self) -> None:
        """The stream has ended too soon: what is held gets its answer without a model."""
        log.warning("warmup.incomplete", wanted=self.remaining, why="the stream has ended")
        self.holding = False

    @property
    def progress(self) -> Progress | None:
        """None where another process collects."""
        if not self._rows:
            return None
        since, had = self._began
        gained = self._rows.collected - had
        seconds = (time.monotonic() - since) * self._rows.remaining / gained if gained else None
        return Progress(
            self._rows.collected, self._rows.wanted, seconds, self._failures, self._last_failure
        )

    def train(self, hold: Callable[[], None]) -> Model | None:
        """Return the first model; None if these rows cannot carry one, and more are wanted then.

        Calls `hold` again and again while that takes long.
        """
        assert self._rows
        rows, recipe = self._rows.rows(), wiring.recipe(self._settings)
        log.info("training.started", rows=len(rows))
        with ThreadPoolExecutor(1, "training") as aside:
            features = self._schema.features
            trained = aside.submit(training.train, rows, recipe, features, datetime.now(UTC))
            while not wait([trained], 0.1).done:
                hold()
        try:
            return trained.result()
        except MemoryError:
            raise
        except Exception as failed:
            if isinstance(failed.__cause__, MemoryError):  # PyOD's own
                raise
            known = isinstance(failed, DetectdError)
            self._go_on(str(failed) if known else f"{type(failed).__name__}: {failed}")
            return None

    def done(self) -> None:
        """There is a model; where it was made here, the rows are in it."""
        if self._rows:
            self._rows.done()

    def close(self) -> None:
        """Let go of the rows. May be called twice."""
        if self._rows:
            self._rows.close()

    def _open(self) -> bool:
        self._store.make()
        width, wanted = len(self._schema.columns), self._settings.training.warmup
        try:
            self._rows = Warmup(self._store.directory, width, wanted)
        except Busy:
            if self._settings.source.kind != "kafka":
                raise
            log.debug("warmup.elsewhere")
        return self._rows is not None

    def _go_on(self, failure: str) -> None:
        assert self._rows
        self._failures, self._last_failure = self._failures + 1, failure
        tried = self._rows.collected
        self._rows.want_more()
        self._begin_to_count()
        log.warning(
            "warmup.untrainable",
            rows=tried,
            reason=failure,
            next_try_at=self._rows.wanted,
            collected=self._rows.collected,
            hint="collecting on; if this stays, change event.features or detector.name, or run "
            "`detectd fit` on rows that vary",
        )

    def _begin_to_count(self) -> None:
        assert self._rows
        self._began = (time.monotonic(), self._rows.collected)
        self._told = self._rows.collected * TOLD // self._rows.wanted

    def _tell(self) -> None:
        progress = self.progress
        if progress and progress.collected * TOLD // progress.wanted > self._told:
            self._told = progress.collected * TOLD // progress.wanted
            left = progress.seconds_left
            seconds = None if left is None else round(left, 1)
            log.info(
                "warmup.progress",
                collected=progress.collected,
                wanted=progress.wanted,
                seconds_left=seconds,
            )
