"""The next model: when it is due, the rows it is trained on, and whether it may take over.

every      so many judged events, or so much time, after the last model
on_drift   after an alarm. The window is then filled anew and without its guard: the verdicts that
           it would guard by are those of a model that no longer fits. The refit is due when the
           window holds as many rows as a warm-up takes.

It is due between two batches. Over a file that is read to its end the loop waits for the trainer,
and batches end where a refit may be due, so a replay gives the same verdicts. Of what the window
holds beyond a warm-up, the newest rows, up to a fifth of all, are kept from the training: on them
the verdicts before and after are compared.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import structlog

from detectd import wiring
from detectd.answering.acceptance import (
    NOT_COMPARED,
    Contender,
    Reason,
    agreement,
    backwards,
    refusals,
    scoreless,
)
from detectd.answering.warmup import Busy
from detectd.answering.window import Window, guard
from detectd.answering.window_file import WindowFile
from detectd.checks import require_trainable_warmup
from detectd.errors import DetectdError
from detectd.models import serving
from detectd.models.refitting import Failed, Limits, Refit, Task, sweep
from detectd.models.training import complete_rows
from detectd.os_failures import explained
from detectd.rejection.exact import rate_upper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.models.model import Model
    from detectd.models.serving import Serving
    from detectd.models.store import Store
    from detectd.pipeline import Judged
    from detectd.settings import Settings

log = structlog.get_logger()

# In a backfill, batches end at multiples of so many judged events, and there a refit may be due.
STEP = 1_000

POLL_SECONDS = 0.1

# Rows on which two models are compared before one replaces the other, where the window can hold so
# many beyond a warm-up.
COMPARED = 100

Outcome = Literal["accepted", "refused", "failed"]


@dataclass(frozen=True)
class _Since:
    """Judged events since the last model or attempt, and whether an alarm was raised."""

    events: int = 0
    alarmed: bool = False


@dataclass(frozen=True)
class _Finished:
    """A trained model, ready to answer, and why it should not."""

    ready: Serving
    refused: list[Reason]


class Renewal:
    """Fills the window with what `incumbent` has judged, and has the next model trained from it.

    One process on a store does so; the others find its models there. What is seen counts with the
    commit of the batch's outputs, and is taken back with it.
    """

    def __init__(self, settings: Settings, store: Store, incumbent: Serving) -> None:
        require_trainable_warmup(settings)
        self.settings = settings
        self.incumbent = incumbent
        self._store = store
        self._committed = self._seen = _Since()
        self._began = time.monotonic()
        self._refit: Refit[_Finished] | None = None
        self._file: WindowFile | None = None
        self._state: dict[str, Any] = {}
        self._outcomes: list[Outcome] = []
        sweep(store.directory)

    @property
    def running(self) -> bool:
        """Whether a model is being trained."""
        return self._refit is not None

    def outcomes(self) -> list[Outcome]:
        """How refits have ended since this was asked before."""
        found, self._outcomes = self._outcomes, []
        return found

    @property
    def wanted(self) -> int | None:
        """How many events to judge at most before a refit may be due."""
        if not self._waits:
            return None
        every, events = self.settings.training.every_events, self._committed.events
        ahead = STEP - events % STEP
        return min(ahead, every - events) if every is not None and every > events else ahead

    @property
    def _waits(self) -> bool:
        """A backfill gives the same each time, and nobody is waiting for its next event."""
        return self.settings.source.kind == "file" and self.settings.source.bounded

    def resume(self, past: dict[str, Any], version: str | None) -> None:
        """Go on from a `state`, from the beginning where it is empty. `version` answered then:
        where another model has come since, the window is what counts of it."""
        same = version == self.incumbent.model.version
        self._resume(past if same else past | {"since": {}})

    def _resume(self, past: dict[str, Any]) -> None:
        self._state = past
        self._committed = self._seen = _Since(**past.get("since", {}))
        if self._open() and self._file and not self._file.resume(past.get("window", {})):
            log.warning("window.restarted", why="its rows are gone, or it has another shape")
        self._set_guard()

    def see(self, judged: Judged, alarmed: int | None) -> None:
        """Take a batch in; `alarmed` is how many of its rows it took to an alarm, if any."""
        rows, verdicts, finite = judged.rows, judged.found.verdict, np.isfinite(judged.scores)
        events = self._seen.events + len(rows)
        on_drift = self.settings.training.refit == "on_drift"
        if alarmed is not None and on_drift and not self._seen.alarmed:
            rows, verdicts, finite = rows[alarmed:], verdicts[alarmed:], finite[alarmed:]
            if self._file:
                self._file.resume({})
            self._seen = replace(self._seen, alarmed=True)
            self._set_guard()
        self._seen = replace(self._seen, events=events)
        if self._file:
            # What is beyond the reach of one detector would ruin the training of the next.
            self._file.add(rows[finite], verdicts[finite])

    def state(self) -> dict[str, Any]:
        """What a restart must know once the batch's outputs are committed."""
        window = self._file.state() if self._file else {}
        return {"since": asdict(self._seen), "window": window}

    def committed(self) -> None:
        """The outputs have been committed."""
        self._committed = self._seen
        self._state = self.state()
        if self._file:
            self._file.committed()

    def rewind(self) -> None:
        """What was seen since the last commit will be seen again."""
        self._resume(self._state)

    def succeed(self, incumbent: Serving, settings: Settings) -> None:
        """Another model answers from here on, wherever it came from, or the same by other terms."""
        another = incumbent.model.version != self.incumbent.model.version
        self.incumbent, self.settings = incumbent, settings
        if another:
            self._stop()
            self._begin_again()
        self._set_guard()

    def advance(self, hold: Callable[[], None]) -> Serving | None:
        """Between two batches: begin a refit that is due, and give its model when it is accepted.

        Over a file that is not followed this waits, and calls `hold` again and again meanwhile.
        """
        if self._file is None:
            self._open()
        if self._refit is None and self._due():
            self._start()
        while self._refit is not None:
            found = self._refit.poll(time.monotonic())
            if found is not None:
                self._refit = None
                return self._weigh(found if isinstance(found, Failed) else found.result)
            if not self._waits:
                break
            hold()
            time.sleep(POLL_SECONDS)
        return None

    def close(self) -> None:
        """Stop what is being trained, and let go of the window. May be called twice."""
        self._stop()
        if self._file:
            self._file.close()
            self._file = None

    def _due(self) -> bool:
        asked, since = self.settings.training, self._committed
        if not self._file or self._file.window.filled < asked.warmup:
            return False
        if not since.alarmed and asked.max_changed < 1.0:
            compared = _held_out(self._file.window.filled, asked.warmup)
            if compared < min(COMPARED, _held_out(asked.window, asked.warmup)):
                return False
        if since.events < asked.cooldown_events:
            return False
        if self._waits and since.events % STEP and since.events != asked.every_events:
            return False
        if asked.refit == "on_drift":
            return since.alarmed
        passed = time.monotonic() - self._began
        by_events = asked.every_events is not None and since.events >= asked.every_events
        return by_events or (asked.every_seconds is not None and passed >= asked.every_seconds)

    def _start(self) -> None:
        assert self._file
        rows = self._file.window.rows()
        asked = self.settings.training
        kept = _held_out(len(rows), asked.warmup)
        task = Task(
            rows=rows[: len(rows) - kept],
            recipe=wiring.recipe(self.settings),
            features=self.settings.event.columns,
            created=datetime.now(UTC),
        )
        limits = Limits(
            memory_bytes=asked.memory_bytes,
            seconds=asked.deadline_seconds,
            gives_way=not self._waits,
        )
        settings, old = self.settings, self.incumbent
        limit = 1.0 if self._committed.alarmed else asked.max_changed
        if not kept and limit < 1.0:
            self._refuse([NOT_COMPARED])
            return

        def finish(model: Model) -> _Finished:
            ready = serving.serve(model, settings)
            agreed = agreement(old.judge, ready.judge, rows[len(rows) - kept :])
            refused = refusals(_contender(old), _contender(ready), agreed, limit)
            trained_on = complete_rows(model)
            refused += scoreless(ready.judge, trained_on) + backwards(ready.judge, trained_on)
            if not refused:
                self._store.save(model)
            return _Finished(ready, refused)

        log.info("refit.started", rows=len(task.rows), after_alarm=self._committed.alarmed)
        self._refit = Refit(self._store.directory, task, limits, finish, time.monotonic())

    def _weigh(self, found: Failed | _Finished) -> Serving | None:
        if isinstance(found, Failed):
            log.warning("refit.failed", code=found.code, why=found.reason)
            self._end("failed")
            return None
        if found.refused:
            self._refuse(found.refused)
            return None
        try:
            ready = serving.under_other_terms(found.ready, self.settings)
        except DetectdError as impossible:  # under terms that came with a reload
            self._refuse([Reason("no_promise", str(impossible))])
            return None
        self._end("accepted")
        return ready

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        for reason in reasons:
            log.warning("refit.refused", code=reason.code, why=reason.sentence)
        self._end("refused")

    def _end(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        # An alarm stands until a model has come of it.
        self._begin_again(alarmed=self._committed.alarmed and outcome != "accepted")

    def _begin_again(self, *, alarmed: bool = False) -> None:
        self._committed = self._seen = _Since(alarmed=alarmed)
        self._began = time.monotonic()
        self._state = self.state()

    def _stop(self) -> None:
        if self._refit:
            self._refit.cancel()
            self._refit = None

    def _open(self) -> bool:
        """Keep the window, unless another process on this store does. True where it is ours now."""
        if self._file is not None:
            return True
        asked = self.settings.training
        window = Window(len(self.settings.event.columns), asked.window, asked.sample)
        try:
            self._store.make()
            self._file = WindowFile(self._store.directory, window, sync=False)
        except Busy:
            return False
        self._set_guard()
        return True

    def _set_guard(self) -> None:
        if self._file is None:
            return
        promise = self.incumbent.promise
        guarded = "none" if self._seen.alarmed else self.settings.training.guard
        zone = promise.rejector.zone
        upper = rate_upper(zone.n, zone.width, promise.terms.delta)  # no law needed for a guard
        self._file.window.guard = guard(guarded, promise.terms.contamination, upper)


def _held_out(rows: int, warmup: int) -> int:
    """How many of so many rows are kept from the training, which takes `warmup` at least."""
    return min(rows // 5, rows - warmup)


def begun(settings: Settings, store: Store, incumbent: Serving) -> Renewal:
    """A `Renewal` with an empty window. Raises DetectdError if the store cannot keep it."""
    renewal = Renewal(settings, store, incumbent)
    try:
        renewal.resume({}, None)
    except OSError as refused:
        renewal.close()
        what = f"models.directory: {store.directory}: the training window cannot be kept there"
        raise explained(refused, what) from None
    except BaseException:
        renewal.close()
        raise
    return renewal


def _contender(serving: Serving) -> Contender:
    return Contender(serving.judge, serving.promise)
