"""The next model: trained beside the loop from collected rows, and compared with the champion.

Rows beyond the size of a warm-up, up to a fifth of all, are held out from training. Champion and
challenger are compared on the newest of them.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import structlog

from detectd.models import serving
from detectd.models.trainer_process import Failed, Task, TrainerProcess
from detectd.models.training import complete_rows
from detectd.pipeline.records import Stage
from detectd.pipeline.unexpected_errors import During, Unforeseen
from detectd.rejection import NORMAL
from detectd.service.promotion import (
    NOT_COMPARED,
    Challenger,
    Reason,
    agreement,
    backwards,
    refusals,
    scoreless,
    suspicious,
)
from detectd.service.suspicious_tail import with_tail

if TYPE_CHECKING:
    from detectd.models.model import Model
    from detectd.models.serving import Serving, ServingOptions
    from detectd.models.store import Store
    from detectd.models.trainer_process import Limits, Trained
    from detectd.service.training_window import Digests, Rows, Window

log = structlog.get_logger()

# Rows on which two models are compared before one replaces the other, if the window can hold that
# many beyond a warm-up.
COMPARED = 100


@dataclass(frozen=True)
class Finished:
    """A trained model, ready to serve, and the reasons against it."""

    ready: Serving
    refused: list[Reason]


class HeldOut(NamedTuple):
    """Rows (k, d) that neither model was trained on, and the digests of their keys (k,), if
    known."""

    rows: Rows
    keys: Digests | None


def comparable(window: Window, warmup: int) -> bool:
    """Return whether the window holds enough rows beyond a warm-up, or as many as it ever will."""
    most = held_out(window.size, warmup)
    return held_out(window.filled, warmup) >= min(COMPARED, most)


def held_out(rows: int, warmup: int) -> int:
    """Return how many of `rows` are held out; the training takes at least `warmup`."""
    return max(0, min(rows // 5, rows - warmup))


def begin(
    window: Window,
    store: Store,
    old: Serving,
    options: ServingOptions,
    limits: Limits,
    *,
    fewest: int,
    strict: bool,
    max_changed: float,
    after_alarm: bool,
) -> TrainerProcess[Finished] | Reason:
    """Start training the successor of `old`; return a reason if none could take over.

    The training takes at least `fewest` rows, and if it is `strict`, those that `old` called
    normal. An accepted successor is stored. `after_alarm` is for the log.
    """
    rows, keys = window.rows(NORMAL if strict else None), window.keys(NORMAL if strict else None)
    kept = held_out(len(rows), fewest)
    if not kept and max_changed < 1.0:
        return NOT_COMPARED
    first = len(rows) - kept  # of those that are held out
    compared, training = HeldOut(rows[first:], None if keys is None else keys[first:]), rows[:first]
    keys = None if keys is None else keys[:first]
    if strict:
        before = old.model.keys.rows if old.model.keys else None
        tail = suspicious(old.judge, old.model.rows, before)
        training = with_tail(training, old.model.rows, tail)
        # If the tail's keys are unknown, no key would have one: its zone would lie far too low.
        keys = None if keys is None or before is None else with_tail(keys, before, tail)
    task = Task(
        rows=training,
        recipe=options.recipe,
        features=options.features,
        created=datetime.now(UTC),
        keys=keys,
    )

    finish = partial(_judged, store, old, options, compared, max_changed)
    log.info("refit.started", rows=len(training), after_alarm=after_alarm)
    return TrainerProcess(store.directory, task, limits, finish, time.monotonic())


def _judged(
    store: Store,
    old: Serving,
    options: ServingOptions,
    compared: HeldOut,
    max_changed: float,
    model: Model,
) -> Finished:
    """Return the model, ready to serve, and the reasons against it; store it if there are none."""
    ready = serving.serve(model, options)
    agreed = agreement(old.judge, ready.judge, compared.rows, compared.keys)
    refused = refusals(_challenger(old), _challenger(ready), agreed, max_changed)
    trained_on = complete_rows(model)
    refused += scoreless(ready.judge, trained_on) + backwards(ready.judge, trained_on)
    if not refused:
        store.save(model)
    return Finished(ready, refused)


def poll(refit: TrainerProcess[Finished], now: float) -> Failed | Trained[Finished] | None:
    """Return the outcome of the training, None while it runs; an exception of detectd's code on the
    model is a failure."""
    try:
        with During(Stage.SCORE):
            return refit.poll(now)
    except Unforeseen as failed:  # The champion keeps serving.
        return Failed("crashed", f"the new model cannot be evaluated: {failed}")


def _challenger(serving: Serving) -> Challenger:
    return Challenger(serving.judge, serving.promise)
