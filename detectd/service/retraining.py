"""The next model: when it is due, the rows it is trained on, and whether it may take over.

A refit starts between two batches; `refit_schedule` decides when, `challenger_training` how. With a
file that is read to its end, the loop waits for the trainer, and batches end where a refit may be
due, so that a replay gives the same verdicts.

Rows in quarantine are dropped after an alarm, unless its own refit is still to come. Quarantine and
window are both dropped after a refused model, `models rollback` and `models discard`. With
`after_alarm = "hold"`, a model trained after an alarm is stored and waits for `models activate`;
until it is activated or discarded, no other model is trained.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import structlog

from detectd.errors import DetectdError
from detectd.filesystem.os_errors import explained
from detectd.models import serving
from detectd.models.trainer_process import Failed, sweep
from detectd.service import challenger_training
from detectd.service.operator_decisions import OperatorWord
from detectd.service.promotion import Reason
from detectd.service.refit_schedule import Since
from detectd.service.stream_rows import StreamRows

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.models.serving import Serving, ServingOptions
    from detectd.models.store import Store
    from detectd.models.trainer_process import Limits, TrainerProcess
    from detectd.pipeline.scoring import ScoredBatch
    from detectd.service.challenger_training import Finished
    from detectd.service.refit_schedule import RefitSchedule
    from detectd.service.stream_rows import RowsOptions

log = structlog.get_logger()

POLL_SECONDS = 0.1

DISCARDED = "an operator has discarded its rows"

Outcome = Literal["accepted", "held", "refused", "failed"]


@dataclass(frozen=True, kw_only=True)
class RetrainingOptions:
    """What to collect, when the next model is due, and the limits of its training.

    With `hold_after_alarm` a model trained after an alarm waits for an operator.
    """

    rows: RowsOptions
    schedule: RefitSchedule
    serving: ServingOptions
    limits: Limits
    hold_after_alarm: bool


class Retrainer:
    """Fill the window with rows judged by `champion`, and train the next model from it.

    One process per store does this; the others get its models from the store. What is seen becomes
    permanent with the commit of the batch's outputs, and is rolled back with it.
    """

    def __init__(self, options: RetrainingOptions, store: Store, champion: Serving) -> None:
        self.options = options
        self.champion = champion
        self._store = store
        self._committed = self._seen = Since()
        self._began = time.monotonic()
        self._refit: TrainerProcess[Finished] | None = None
        self._rows = StreamRows(store, options.rows)
        self._word = OperatorWord(store)
        self._word.tell()
        self._state: dict[str, Any] = {}
        self._outcomes: list[Outcome] = []
        sweep(store.directory)

    @property
    def held(self) -> str | None:
        """Return the version that waits for an operator."""
        return self._word.held

    @property
    def running(self) -> bool:
        """Return whether a model is being trained."""
        return self._refit is not None

    def outcomes(self) -> list[Outcome]:
        """Return the outcomes of refits since the last call."""
        outcomes, self._outcomes = self._outcomes, []
        return outcomes

    @property
    def wanted(self) -> int | None:
        """Return the maximum number of events to judge before a refit may be due."""
        return self.options.schedule.events_wanted(self._committed)

    def restore(self, past: dict[str, Any]) -> None:
        """Resume from a `snapshot` under the same champion, from the beginning if it is empty."""
        if past and past.get("discarded", "") != self._word.discarded:
            past = {}
            log.warning("window.discarded", reason=DISCARDED)
        if self.held != past.get("held") and self.held:
            past = past | {"since": {}}  # The decision is later than that commit.
        self._state = past
        since = past.get("since", {})
        # Earlier releases knew one kind of alarm.
        since = {"warned": since.get("alarmed", False)} | since
        self._committed = self._seen = Since(**since)
        if not self._rows.restore(past):
            log.warning("window.restarted", reason="its rows are gone, or its shape has changed")
        self._set_guard()

    def heed(self) -> bool:
        """Check for an operator's decision. Return True if the rows so far are discarded."""
        discarded = self._word.look()
        if discarded:
            self._stop()
            self._rows.clear()
            self._begin_again()
            log.warning("window.discarded", reason=DISCARDED)
        return discarded

    def see(self, scored: ScoredBatch, alarms: Sequence[int]) -> None:
        """Add a batch; `alarms` are the numbers of rows up to each alarm."""
        done = 0
        for alarm in alarms:
            self._rows.add(scored, slice(done, alarm))
            self._alarmed()
            done = alarm
        self._rows.add(scored, slice(done, None))
        self._seen = replace(self._seen, events=self._seen.events + len(scored.rows))

    def _alarmed(self) -> None:
        """Drop the rows before an alarm, unless the alarm's own refit waits for them."""
        if self.options.schedule.refit != "on_drift":
            self._rows.drop_waiting()
        elif not self._seen.alarmed:
            self._rows.clear()
            self._seen = replace(self._seen, alarmed=True)
            self._set_guard()
        self._seen = replace(self._seen, warned=True)

    def snapshot(self) -> dict[str, Any]:
        """Return the state that a restart needs once the batch's outputs are committed."""
        said = {"held": self.held, "discarded": self._word.discarded}
        return {"since": asdict(self._seen)} | said | self._rows.snapshot()

    def on_commit(self) -> None:
        """Make what was seen since the last commit permanent."""
        self._committed = self._seen
        self._state = self.snapshot()
        self._rows.on_commit()

    def rollback(self) -> None:
        """Discard what was seen since the last commit."""
        self.restore(self._state)

    def succeed(self, champion: Serving, options: RetrainingOptions) -> None:
        """Switch to another champion, or to other terms of the same one."""
        another = champion.model.version != self.champion.model.version
        self.champion, self.options = champion, options
        if another:
            self._stop()
            self._begin_again()
        else:
            self._set_guard()

    def advance(self, hold: Callable[[], None]) -> Serving | None:
        """Start a refit that is due, between two batches; return its model once it is accepted.

        Over a file that is not followed, wait for the refit, and call `hold` repeatedly meanwhile.
        """
        self._rows.open()
        if self._refit is None and self._due():
            self._start()
        while self._refit is not None:
            found = challenger_training.poll(self._refit, time.monotonic())
            if found is not None:
                self._refit = None
                if self.heed():  # An operator discarded its rows since the last check.
                    return None
                return self._weigh(found if isinstance(found, Failed) else found.result)
            if not self.options.schedule.backfill:
                break
            hold()
            time.sleep(POLL_SECONDS)
        return None

    def close(self) -> None:
        """Stop a running training, and close the window. May be called twice."""
        self._stop()
        self._rows.close()

    def _due(self) -> bool:
        window, passed = self._rows.window, time.monotonic() - self._began
        if self.held or window is None:
            return False
        return self.options.schedule.due(self._committed, window, passed)

    def _start(self) -> None:
        window, schedule = self._rows.window, self.options.schedule
        assert window
        begun = challenger_training.begin(
            window,
            self._store,
            self.champion,
            self.options.serving,
            self.options.limits,
            fewest=schedule.fewest,
            strict=schedule.guard == "normal_only",
            max_changed=schedule.max_changed_after(self._committed),
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
            ready = serving.under_other_terms(found.ready, self.options.serving)
        except DetectdError as impossible:  # under reloaded terms
            self._refuse([Reason("no_promise", str(impossible))])
            return None
        if self.options.hold_after_alarm and self._committed.warned:
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
        if self.options.rows.quarantine:
            self._rows.clear()  # Its training rows would train the same model again.
        self._end("refused")

    def _end(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        # An alarm holds until a model was trained after it.
        stands = outcome not in ("accepted", "held")
        self._begin_again(
            alarmed=stands and self._committed.alarmed, warned=stands and self._committed.warned
        )

    def _begin_again(self, *, alarmed: bool = False, warned: bool = False) -> None:
        self._committed = self._seen = Since(alarmed=alarmed, warned=warned)
        self._began = time.monotonic()
        self._set_guard()
        self._state = self.snapshot()

    def _stop(self) -> None:
        if self._refit:
            self._refit.cancel()
            self._refit = None

    def _set_guard(self) -> None:
        guarded = self.options.schedule.guard_after(self._seen)
        self._rows.guard_by(self.champion.promise, guarded)


def of_another_champion(past: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a `snapshot` that is valid under another champion: the window alone."""
    return past | {"since": {}} if past else past


def begun(options: RetrainingOptions, store: Store, champion: Serving) -> Retrainer:
    """Return a `Retrainer` with an empty window. Raise DetectdError if the store cannot keep
    it."""
    with contextlib.ExitStack() as undone:
        try:
            retrainer = Retrainer(options, store, champion)
            undone.callback(retrainer.close)
            retrainer.restore({})
        except OSError as refused:
            what = f"models.directory: {store.directory}: the training window cannot be kept there"
            raise explained(refused, what) from None
        undone.pop_all()
    return retrainer
