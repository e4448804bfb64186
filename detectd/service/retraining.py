"""The next model: when it is due, the rows it is trained on, and whether it may take over.

every      so many judged events, or so much time, after the last model
on_drift   after an alarm. The window is then filled anew and without its guard: the verdicts that
           it would guard by are those of a model that no longer fits (`normal_only` stays: it is
           there to let nothing suspicious in). The refit is due when the window holds as many rows
           as a warm-up takes.

It is due between two batches. Over a file that is read to its end the loop waits for the trainer,
and batches end where a refit may be due, so a replay gives the same verdicts. Of what the window
holds beyond a warm-up, the newest rows, up to a fifth of all, are kept from the training: on them
the verdicts before and after are compared.

Rows in quarantine are dropped when something speaks against them: an alarm, unless its own refit is
still to come; and with the window a refused model, `models rollback` and `models discard`. With
`after_alarm = "hold"` a model that came after an alarm is stored and waits for `models activate`;
until then, or until it is discarded, no other is trained.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import structlog

from detectd import derive
from detectd.errors import DetectdError
from detectd.filesystem.os_errors import explained
from detectd.models import serving
from detectd.models.trainer_process import Failed, Trained, TrainerProcess, sweep
from detectd.pipeline.records import Stage
from detectd.pipeline.unexpected_errors import During, Unforeseen
from detectd.rejection.exact import rate_upper
from detectd.service import challenger_training
from detectd.service.operator_decisions import OperatorWord
from detectd.service.promotion import Reason
from detectd.service.training_rows import Collected
from detectd.service.training_window import Window, guard
from detectd.service.warmup_log import DirectoryLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.models.serving import Serving
    from detectd.models.store import Store
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.service.challenger_training import Finished
    from detectd.settings import Settings

log = structlog.get_logger()

# In a backfill, batches end at multiples of so many judged events, and there a refit may be due.
STEP = 1_000

POLL_SECONDS = 0.1

DISCARDED = "an operator has discarded its rows"

Outcome = Literal["accepted", "held", "refused", "failed"]


@dataclass(frozen=True)
class _Since:
    """Judged events since the last model or attempt, and whether there was an alarm.

    `alarmed` says that the window was begun anew for it, `warned` only that there was one.
    """

    events: int = 0
    alarmed: bool = False
    warned: bool = False


class Retrainer:
    """Fills the window with what `champion` has judged, and has the next model trained from it.

    One process on a store does so; the others find its models there. What is seen counts with the
    commit of the batch's outputs, and is taken back with it.
    """

    def __init__(self, settings: Settings, store: Store, champion: Serving) -> None:
        derive.require_trainable_warmup(settings)
        self.settings = settings
        self._options = derive.serving_options(settings)
        self.champion = champion
        self._store = store
        self._committed = self._seen = _Since()
        self._began = time.monotonic()
        self._refit: TrainerProcess[Finished] | None = None
        self._collected: Collected | None = None
        self._word = OperatorWord(store)
        self._word.tell()
        self._state: dict[str, Any] = {}
        self._outcomes: list[Outcome] = []
        self._fewest = derive.refit_rows(settings)
        sweep(store.directory)

    @property
    def held(self) -> str | None:
        """The version that waits for an operator."""
        return self._word.held

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

    def _lifted(self, since: _Since) -> bool:
        """Whether an alarm has lifted the guard and `max_changed`."""
        return since.alarmed and self.settings.training.guard != "normal_only"

    @property
    def _max_changed(self) -> float:
        return 1.0 if self._lifted(self._committed) else self.settings.training.max_changed

    @property
    def _waits(self) -> bool:
        """A backfill gives the same each time, and nobody is waiting for its next event."""
        return self.settings.source.kind == "file" and self.settings.source.bounded

    def resume(self, past: dict[str, Any], version: str | None) -> None:
        """Go on from a `state`, from the beginning where it is empty. `version` answered then:
        where another model has come since, the window is what counts of it."""
        same = version == self.champion.model.version
        self._resume(past if same or not past else past | {"since": {}})

    def _resume(self, past: dict[str, Any]) -> None:
        if past and past.get("discarded", "") != self._word.discarded:
            past = {}
            log.warning("window.discarded", reason=DISCARDED)
        if self.held != past.get("held") and self.held:
            past = past | {"since": {}}  # It came after that commit.
        self._state = past
        since = past.get("since", {})
        # Earlier releases knew one kind of alarm.
        since = {"warned": since.get("alarmed", False)} | since
        self._committed = self._seen = _Since(**since)
        if self._open() and self._collected and not self._collected.resume(past):
            log.warning("window.restarted", reason="its rows are gone, or it has another shape")
        self._set_guard()

    def heed(self) -> bool:
        """Look for what an operator has said. True if the rows so far are discarded."""
        discarded = self._word.look()
        if discarded:
            self._stop()
            self._forget()
            self._begin_again()
            log.warning("window.discarded", reason=DISCARDED)
        return discarded

    def see(self, scored: ScoredBatch, alarms: Sequence[int]) -> None:
        """Take a batch in; `alarms` says how many of its rows it took to each alarm."""
        done = 0
        for alarm in alarms:
            self._collect(scored, slice(done, alarm))
            self._alarmed()
            done = alarm
        self._collect(scored, slice(done, None))
        self._seen = replace(self._seen, events=self._seen.events + len(scored.rows))

    def _collect(self, scored: ScoredBatch, part: slice) -> None:
        if self._collected:
            # What is beyond the reach of one detector would ruin the training of the next.
            finite = np.isfinite(scored.scores[part])
            rows, verdicts = scored.rows[part][finite], scored.found.verdict[part][finite]
            self._collected.add(rows, verdicts)

    def _alarmed(self) -> None:
        """Drop what an alarm speaks against, unless it is what the alarm's own refit waits for."""
        if self.settings.training.refit != "on_drift":
            if self._collected:
                self._collected.drop_waiting()
        elif not self._seen.alarmed:
            self._forget()
            self._seen = replace(self._seen, alarmed=True)
            self._set_guard()
        self._seen = replace(self._seen, warned=True)

    def _forget(self) -> None:
        if self._collected:
            self._collected.clear()

    def state(self) -> dict[str, Any]:
        """What a restart must know once the batch's outputs are committed."""
        collected = self._collected.state() if self._collected else {"window": {}}
        said = {"held": self.held, "discarded": self._word.discarded}
        return {"since": asdict(self._seen)} | said | collected

    def committed(self) -> None:
        """The outputs have been committed."""
        self._committed = self._seen
        self._state = self.state()
        if self._collected:
            self._collected.committed()

    def rewind(self) -> None:
        """What was seen since the last commit will be seen again."""
        self._resume(self._state)

    def succeed(self, champion: Serving, settings: Settings) -> None:
        """Another model answers from here on, wherever it came from, or the same by other terms."""
        another = champion.model.version != self.champion.model.version
        self.champion, self.settings = champion, settings
        self._options = derive.serving_options(settings)
        if another:
            self._stop()
            self._begin_again()
        else:
            self._set_guard()

    def advance(self, hold: Callable[[], None]) -> Serving | None:
        """Between two batches: begin a refit that is due, and give its model when it is accepted.

        Over a file that is not followed this waits, and calls `hold` again and again meanwhile.
        """
        if self._collected is None:
            self._open()
        if self._refit is None and self._due():
            self._start()
        while self._refit is not None:
            found = self._polled(self._refit)
            if found is not None:
                self._refit = None
                if self.heed():  # An operator has spoken against its rows since the last look.
                    return None
                return self._weigh(found if isinstance(found, Failed) else found.result)
            if not self._waits:
                break
            hold()
            time.sleep(POLL_SECONDS)
        return None

    @staticmethod
    def _polled(refit: TrainerProcess[Finished]) -> Failed | Trained[Finished] | None:
        """Return what has become of the training; a model on which our code fails is none."""
        try:
            with During(Stage.SCORE):
                return refit.poll(time.monotonic())
        except Unforeseen as failed:  # The champion goes on answering.
            return Failed("crashed", f"the new model cannot be tried: {failed}")

    def close(self) -> None:
        """Stop what is being trained, and let go of the window. May be called twice."""
        self._stop()
        if self._collected:
            self._collected.close()
            self._collected = None

    def _due(self) -> bool:
        asked, since = self.settings.training, self._committed
        window = self._collected.window if self._collected else None
        if self.held or window is None or window.filled < self._fewest:
            return False
        if self._max_changed < 1.0 and not challenger_training.comparable(window, self._fewest):
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
        assert self._collected
        begun = challenger_training.begin(
            self._collected.window,
            self._store,
            self.champion,
            self._options,
            derive.trainer_limits(self.settings, gives_way=not self._waits),
            fewest=derive.refit_rows(self.settings),
            strict=self.settings.training.guard == "normal_only",
            max_changed=self._max_changed,
            after_alarm=self._committed.warned,
        )
        if isinstance(begun, Reason):
            self._refuse([begun])
            return
        self._refit = begun

    def _weigh(self, found: Failed | Finished) -> Serving | None:
        if isinstance(found, Failed):
            log.warning("refit.failed", code=found.code, reason=found.reason)
            self._end("failed")
            return None
        if found.refused:
            self._refuse(found.refused)
            return None
        try:
            ready = serving.under_other_terms(found.ready, self._options)
        except DetectdError as impossible:  # under terms that came with a reload
            self._refuse([Reason("no_promise", str(impossible))])
            return None
        if self.settings.training.after_alarm == "hold" and self._committed.warned:
            self._hold(ready.model.version)
            return None
        self._end("accepted")
        return ready

    def _hold(self, version: str) -> None:
        try:
            self._word.hold(version)
        except DetectdError as failed:
            log.warning("refit.failed", code="not_held", reason=str(failed))
            self._end("failed")
        else:
            self._end("held")

    def _refuse(self, reasons: Sequence[Reason]) -> None:
        for reason in reasons:
            log.warning("refit.refused", code=reason.code, reason=reason.sentence)
        if self.settings.training.quarantine:
            self._forget()  # Rows that come later are no better than those it was trained on.
        self._end("refused")

    def _end(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        # An alarm stands until a model has come of it.
        stands = outcome not in ("accepted", "held")
        self._begin_again(
            alarmed=stands and self._committed.alarmed, warned=stands and self._committed.warned
        )

    def _begin_again(self, *, alarmed: bool = False, warned: bool = False) -> None:
        self._committed = self._seen = _Since(alarmed=alarmed, warned=warned)
        self._began = time.monotonic()
        self._set_guard()
        self._state = self.state()

    def _stop(self) -> None:
        if self._refit:
            self._refit.cancel()
            self._refit = None

    def _open(self) -> bool:
        """Keep the window, unless another process on this store does. True where it is ours now."""
        if self._collected is not None:
            return True
        asked = self.settings.training
        window = Window(len(self.settings.event.columns), asked.window, asked.sample)
        try:
            self._store.make()
            self._collected = Collected(self._store.directory, window, asked.quarantine)
        except DirectoryLockedError:
            return False
        self._set_guard()
        return True

    def _set_guard(self) -> None:
        if self._collected is None:
            return
        promise = self.champion.promise
        guarded = "none" if self._lifted(self._seen) else self.settings.training.guard
        zone = promise.rejector.zone
        upper = rate_upper(zone.n, zone.width, promise.terms.delta)  # no law needed for a guard
        self._collected.window.guard = guard(guarded, promise.terms.contamination, upper)


def begun(settings: Settings, store: Store, champion: Serving) -> Retrainer:
    """A `Retrainer` with an empty window. Raises DetectdError if the store cannot keep it."""
    with contextlib.ExitStack() as undone:
        try:
            retrainer = Retrainer(settings, store, champion)
            undone.callback(retrainer.close)
            retrainer.resume({}, None)
        except OSError as refused:
            what = f"models.directory: {store.directory}: the training window cannot be kept there"
            raise explained(refused, what) from None
        undone.pop_all()
    return retrainer
