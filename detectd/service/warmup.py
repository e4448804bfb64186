"""The warm-up phase: process records without a model, and collect the rows for the first one.

With `training.on_warmup = "hold"`, nothing is committed before there is a model; then the stream is
reread, and every event gets a verdict.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import structlog

from detectd.errors import DetectdError
from detectd.models import training
from detectd.models.awaited_partitions import Awaited, delivers
from detectd.models.locks import DirectoryLockedError
from detectd.models.row_order import training_rows
from detectd.pipeline.key_digest import NO_KEY, digest
from detectd.pipeline.records import Topic
from detectd.pipeline.scoring import collect_vectors
from detectd.pipeline.time_coverage import HOUR_MS
from detectd.service.warmup_log import Origin, RowLog
from detectd.telemetry.warmup_progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from detectd.models.collection import Goal
    from detectd.models.model import Model, Recipe
    from detectd.models.store import Store
    from detectd.pipeline.records import Outgoing, Record
    from detectd.pipeline.schema import Schema
    from detectd.pipeline.scoring import Unjudged
    from detectd.pipeline.vectors import Vectors
    from detectd.service.warmup_log import Collected
    from detectd.sources import Partition

log = structlog.get_logger()

VERDICTS = {"abstain": Topic.ABSTAIN, "pass": Topic.NORMAL, "hold": Topic.ABSTAIN}

# Log progress at each tenth.
TOLD = 10


@dataclass(frozen=True, kw_only=True)
class WarmupOptions:
    """What to collect, how to train on it, and what events get meanwhile.

    `shared` is whether several processes read the stream, `original` whether outputs keep the bytes
    of the record. At most `max_per_key` rows of each key are used for training, if that leaves
    enough; with `by_key` the model keeps the keys of its rows.
    """

    goal: Goal
    recipe: Recipe
    on_warmup: Literal["abstain", "hold", "pass"]
    shared: bool
    original: bool
    max_per_key: int | None = None
    by_key: bool = False


class WarmupPhase:
    """Answer without a model. The first process on a store collects rows; the others wait for its
    model."""

    def __init__(self, options: WarmupOptions, schema: Schema, store: Store) -> None:
        self._options = options
        self._schema = schema
        self._store = store
        self._rows: RowLog | None = None
        self._committed: dict[str, Any] = {}
        self._awaited = Awaited(shared=options.shared)
        self._failures = 0
        self._last_failure: str | None = None
        self._began = (time.monotonic(), 0.0)
        self._told = 0
        self._told_waiting = self._told_ended = False
        self.holding = options.on_warmup == "hold"

    @property
    def elsewhere(self) -> bool:
        """Return whether another process collects the rows."""
        return self._rows is None

    @property
    def wanted(self) -> int:
        """Return the maximum number of events before a training may be due; 0 for no limit."""
        return self._rows.collection.due if self._rows else 0

    @property
    def complete(self) -> bool:
        """Return whether there are enough rows to train on, from every partition that has any."""
        return self._rows is not None and self._rows.collection.enough and not self._waits

    @property
    def _waits(self) -> bool:
        return self._awaited.names is None or bool(self._awaited.names)

    def restore(self, state: dict[str, Any]) -> None:
        """Resume from a `snapshot`, or from the beginning if it is empty.

        Do nothing if another process of this group collects.
        """
        if not self._rows and not self._open():
            return
        assert self._rows
        # Earlier versions committed a number, for rows in another format.
        rows = state.get("warmup")
        rows = rows if isinstance(rows, dict) and not self.holding else {}
        if not self._rows.restore(rows):
            log.warning("warmup.restarted", reason="the collected rows are gone")
        self._committed = self._rows.snapshot()
        self._begin_to_count()
        log.info("warmup.started", **self._figures())

    def answer(self, records: Sequence[Record], batch: Vectors) -> list[Outgoing]:
        """Return one output for each record, in order: an abstention or a dead letter, never a
        verdict of a model.

        `batch` are their feature vectors.
        """
        verdict, original = VERDICTS[self._options.on_warmup], self._options.original
        unjudged = collect_vectors(records, batch, verdict, original=original)
        if self._rows:
            self._rows.add(unjudged.rows, origins(unjudged))
        self._tell()
        return unjudged.outgoing

    def look(self, partitions: Mapping[str, Partition] | None) -> None:
        """Inspect the assigned partitions; see `Awaited`."""
        if not self._rows:
            return
        collection = self._rows.collection
        given = {name: collection.sample.given(digest(name.encode())) for name in partitions or ()}
        self._awaited.look(_delivering(partitions), given, collection.size)
        if collection.enough and self._waits and not self._told_waiting:
            self._told_waiting = True
            names = self._awaited.names or []
            log.info("warmup.waiting", partitions=names[:10], count=len(names))

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the outputs are committed."""
        return {"warmup": self._rows.snapshot() if self._rows else {}}

    def on_commit(self) -> None:
        """Make the rows so far permanent."""
        if self._rows:
            self._committed = self._rows.snapshot()

    def rollback(self) -> None:
        """Discard the rows since the last commit."""
        if self._rows:
            self._rows.restore(self._committed)

    def release(self) -> None:
        """Release the held records without a model: the stream ended too soon."""
        self.ended()
        self.holding = False

    def ended(self) -> None:
        """Log once how far the warm-up got: the stream ended before there was a model."""
        progress = self.progress
        if progress and not self._told_ended:
            self._told_ended = True
            reason = f"the stream has ended: {progress.lacks}" if progress.lacks else None
            hint = "lower training.warmup, or run `detectd fit` on more events"
            log.warning("warmup.incomplete", **self._figures(), reason=reason, hint=hint)

    @property
    def progress(self) -> Progress | None:
        """Return the progress; None if another process collects."""
        if not self._rows:
            return None
        (since, had), collection = self._began, self._rows.collection
        gained, left = collection.share - had, 1 - collection.share
        timed = collection.span_ms is not None
        return Progress(
            collected=collection.filled,
            wanted=collection.wanted,
            seconds_left=(time.monotonic() - since) * left / gained if gained > 0 else None,
            failures=self._failures,
            last_failure=self._last_failure,
            covered_seconds=collection.covered_ms / 1000 if timed else None,
            span_seconds=collection.span_ms / 1000 if collection.span_ms is not None else None,
            awaited_partitions=len(self._awaited.names or ()) if collection.enough else 0,
        )

    def train(self, hold: Callable[[], None]) -> Model | None:
        """Return the first model; None if these rows cannot train one and more are collected.

        Call `hold` repeatedly while that takes long.
        """
        assert self._rows
        collected, recipe = self._rows.collected(), self._options.recipe
        columns, keys = self._schema.columns, collected.keys
        most = training.bound_per_key(keys, self._options.max_per_key, recipe, columns)
        chosen = training_rows(keys, most, by_time=recipe.order == "time")
        rows, keys = collected.rows[chosen], keys[chosen]
        _log_training(collected, len(rows))
        with ThreadPoolExecutor(1, "training") as aside:
            features = self._schema.features
            keyed, now = keys if self._options.by_key else None, datetime.now(UTC)
            trained = aside.submit(training.train, rows, recipe, features, now, keyed)
            while not wait([trained], 0.1).done:
                hold()
        try:
            return trained.result()
        except MemoryError:
            raise
        except Exception as failed:
            if isinstance(failed.__cause__, MemoryError):  # raised by PyOD
                raise
            known = isinstance(failed, DetectdError)
            self._go_on(str(failed) if known else f"{type(failed).__name__}: {failed}")
            return None

    def done(self) -> None:
        """End the warm-up: there is a model. If it was trained here, it holds the rows."""
        if self._rows:
            self._rows.done()

    def close(self) -> None:
        """Release the rows. May be called twice."""
        if self._rows:
            self._rows.close()

    def _open(self) -> bool:
        self._store.make()
        width = len(self._schema.columns)
        try:
            self._rows = RowLog(self._store.directory, width, self._options.goal)
        except DirectoryLockedError:
            if not self._options.shared:
                raise
            log.debug("warmup.elsewhere")
        return self._rows is not None

    def _go_on(self, failure: str) -> None:
        assert self._rows
        self._failures, self._last_failure = self._failures + 1, failure
        tried = self._rows.collection.filled
        self._rows.want_more()
        self._awaited.begin_again()
        self._begin_to_count()
        figures = self._figures()
        log.warning(
            "warmup.untrainable",
            rows=tried,
            reason=failure,
            next_try_at=figures.pop("wanted"),
            **figures,
            hint="still collecting; if this persists, change event.features or detector.name, or "
            "run "
            "`detectd fit` on rows that vary",
        )

    def _begin_to_count(self) -> None:
        assert self._rows
        share = self._rows.collection.share
        self._began = (time.monotonic(), share)
        self._told = int(share * TOLD)
        self._told_waiting = False

    def _tell(self) -> None:
        progress = self.progress
        if progress and int(progress.share * TOLD) > self._told:
            self._told = int(progress.share * TOLD)
            left = progress.seconds_left
            seconds = None if left is None else round(left, 1)
            log.info("warmup.progress", **self._figures(), seconds_left=seconds)

    def _figures(self) -> dict[str, Any]:
        """Return the progress, for the log."""
        assert self._rows
        collection = self._rows.collection
        figures: dict[str, Any] = {"collected": collection.filled, "wanted": collection.wanted}
        if collection.span_ms is not None:
            figures["hours_covered"] = round(collection.covered_ms / HOUR_MS, 2)
            figures["hours_wanted"] = round(collection.span_ms / HOUR_MS, 2)
        return figures


def origins(unjudged: Unjudged) -> list[Origin]:
    """Return where the rows come from. A source without partitions counts as one partition."""
    return [
        Origin(
            "" if record.partition is None else record.id.rpartition("/")[0],
            event.timestamp_ms,
            event.key,
        )
        for record, event in zip(unjudged.records, unjudged.events, strict=True)
    ]


def _delivering(partitions: Mapping[str, Partition] | None) -> dict[str, bool] | None:
    if partitions is None:
        return None
    return {name: delivers(each.lag, each.silent) for name, each in partitions.items()}


def _log_training(collected: Collected, rows: int) -> None:
    covered, keys = collected.covered, collected.keys
    log.info(
        "training.started",
        rows=rows,
        partitions=collected.partitions,
        keys=len(np.unique(keys[keys != NO_KEY])),
        hours_covered=None if covered is None else round(covered.hours, 1),
    )
    if covered and covered.warning:
        log.warning("training.short_span", reason=covered.warning)
