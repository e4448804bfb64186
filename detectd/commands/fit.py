"""`detectd fit`: train a model on files and activate it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import structlog

from detectd import derive, wiring
from detectd.commands.console import configuration
from detectd.commands.first_events import first_events_hint
from detectd.commands.input_files import Inputs, keys_lost
from detectd.commands.models import to_other_hosts
from detectd.errors import DetectdError
from detectd.models.row_order import RowOrder
from detectd.pipeline.time_coverage import TimeCovered, widened
from detectd.pipeline.vectors import vectors
from detectd.report.text import text
from detectd.telemetry import logs
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.commands.console import Console
    from detectd.models.serving import Serving
    from detectd.settings import Settings
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()


@dataclass(frozen=True)
class FitResult:
    """The result of `fit`: the model, the number of rows and files, and warnings on the rows.

    `before` is the previously active version.
    """

    serving: Serving
    notes: list[str]
    places: int
    before: str | None


@dataclass
class _Rows:
    """The rows (N, d) of all inputs, and the counts of records without a row.

    `young` events have no row: their keys had too little history.
    """

    parts: list[NDArray[np.float64]]
    order: RowOrder | None
    left_out: int = 0
    young: int = 0
    first_error: str = ""
    without: list[str] = field(default_factory=list)
    covered: TimeCovered | None = None


def fit(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd fit`."""
    settings = configuration(arguments, console)
    from detectd.report.figures import figures

    logs.configure(settings.log)
    inputs = Inputs(arguments.input, settings)
    with progress_bar("detectd fit") as advance:
        fitted = fit_inputs(inputs, settings, advance, activate=arguments.activate)
    for note in fitted.notes:
        console.note(f"detectd: {note}")
    console.say(text(figures(fitted.serving, {})))
    console.say(_fitted_text(fitted, settings.models.directory, active=arguments.activate))
    if arguments.activate:
        to_other_hosts(settings, fitted.serving.model.version, console)


def fit_file(path: Path, settings: Settings, advance: Advance) -> FitResult:
    """Fit on one file and activate the model. See `fit_inputs`."""
    return fit_inputs(Inputs([str(path)], settings), settings, advance)


def fit_inputs(
    inputs: Inputs, settings: Settings, advance: Advance, *, activate: bool = True
) -> FitResult:
    """Train on the inputs and store the model; with `activate`, activate it.

    Raise UsageError if an input cannot be read, DetectdError if the rows cannot train a model.
    """
    from detectd.models import serving, training, training_notes

    found = _read(inputs, settings, advance)
    rows, keys = np.concatenate(found.parts), None
    if found.order is not None:
        recipe, columns = derive.recipe(settings), settings.event.columns
        asked = settings.training.max_per_key
        most = training.bound_per_key(found.order.keys, asked, recipe, columns)
        chosen = found.order.order(most, by_time=recipe.order == "time")
        rows = rows[chosen]
        keys = found.order.keys[chosen] if settings.calibration.by_key else None
    hours = None if found.covered is None else round(found.covered.hours, 1)
    log.info("training.started", rows=len(rows), dead_letters=found.left_out, hours_covered=hours)
    if not len(rows) and found.left_out:
        raise DetectdError(
            f"{inputs}: none of its {found.left_out} records gives a feature vector; the first "
            f"error: {found.first_error}; check [event]"
        )
    now = datetime.now(UTC)
    model = training.train(rows, derive.recipe(settings), settings.event.declared, now, keys)
    ready = serving.serve_new(model, derive.serving_options(settings))
    store = wiring.store(settings)
    before = store.active()
    store.save(model)
    if activate:
        store.activate(model.version)
    constant = training_notes.constant_features(model)
    notes = _notes(found, constant, training_notes.scaling_in_words(model))
    promise = ready.promise
    hint = first_events_hint(settings, promise.rejector.zone.n, promise.terms)
    notes += filter(None, (hint, keys_lost(settings)))
    notes += training_notes.categories_in_words(model)
    return FitResult(ready, notes, len(inputs.places), before)


def _notes(found: _Rows, constant: Sequence[str], scaled: str | None) -> list[str]:
    notes = [f"{place}: none of its records is usable" for place in found.without]
    if found.left_out:
        notes.append(f"{found.left_out} records were skipped; the first error: {found.first_error}")
    if found.young:
        notes.append(
            f"{found.young} events were skipped: late, or with fewer than keys.min_events earlier "
            "events of their key"
        )
    if found.covered and found.covered.warning:
        notes.append(found.covered.warning)
    if scaled is not None:
        notes.append(scaled)
    if constant:
        notes.append(f"constant in training, so useless to the detector: {', '.join(constant)}")
    return notes


def _read(inputs: Inputs, settings: Settings, advance: Advance) -> _Rows:
    schema = derive.schema(settings)
    state = derive.feature_state(settings) if derive.keeps_keys(settings) else None
    by_time = derive.recipe(settings).order == "time"
    keyed = settings.calibration.by_key or settings.training.max_per_key is not None
    found = _Rows([np.empty((0, len(schema.columns)))], RowOrder() if by_time or keyed else None)
    rows_of: Counter[str] = Counter({str(place): 0 for place in inputs.places})
    for place, records, share in inputs.chunks():
        batch = vectors(records, schema, state)
        found.parts.append(batch.rows)
        rows_of[place] += len(batch.rows)
        if found.order:
            found.order.add(each.key for each in batch.events)
        found.covered = widened(found.covered, (each.timestamp_ms for each in batch.events))
        if batch.dead and not found.left_out:
            first = min(batch.dead)
            among = f"{records[first].id}: " if len(inputs.places) > 1 else ""
            found.first_error = f"{among}{batch.dead[first].error}"
        found.left_out += len(batch.dead)
        found.young += len(batch.unscored)
        advance(share, rows_of.total())
    found.without = [place for place, rows in rows_of.items() if not rows]
    return found


def _fitted_text(fitted: FitResult, directory: Path, *, active: bool) -> str:
    """Return the text on the rows, the location of the model, and the active version."""
    model = fitted.serving.model
    places = f"{fitted.places} inputs" if fitted.places > 1 else "one input"
    lines = [f"fitted on {len(model.rows):,} rows of {places}: {model.version} in {directory}"]
    if active:
        replaced = fitted.before not in (None, model.version)
        instead = f", replacing {fitted.before}" if replaced else ""
        lines.append(f"active: {model.version}{instead}")
    else:
        lines.append(
            f"active: {fitted.before or 'none'}, as before; activate the new one with `detectd "
            f"models activate {model.version}`"
        )
    return "\n".join(lines)
