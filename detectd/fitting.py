"""`detectd fit`: from a file of training rows to an active model."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import numpy as np
import structlog

from detectd import wiring
from detectd.decode import decode
from detectd.errors import DetectdError
from detectd.input import InputFile
from detectd.models import serving, training

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from detectd.decode import Schema
    from detectd.models.serving import Serving
    from detectd.settings import Settings
    from detectd.telemetry.progress import Advance

log = structlog.get_logger()


@dataclass(frozen=True)
class Fitted:
    """What `fit` made, and what the operator should know of the rows."""

    serving: Serving
    notes: list[str]


def fit_file(path: Path, settings: Settings, advance: Advance) -> Fitted:
    """Train on the file at `path`, store the model and let it answer from now on.

    Raises UsageError where the file cannot be read, DetectdError where its rows carry no model.
    """
    schema = wiring.schema(settings)
    rows, dead = _read(path, settings, schema, advance)
    log.info("training.started", rows=len(rows), dead_letters=len(dead))
    if not len(rows) and dead:
        raise DetectdError(
            f"--input {path}: none of its {len(dead)} records gives a feature vector, the first "
            f"because {dead[0]}; see [event]"
        )
    now = datetime.now(UTC)
    model = training.train(rows, wiring.recipe(settings), settings.event.features, now)
    ready = serving.serve_new(model, settings)
    store = wiring.store(settings)
    store.save(model)
    store.activate(model.version)
    notes = []
    if dead:
        notes.append(f"{len(dead)} of the records were left out, the first because {dead[0]}")
    if constant := training.constant_features(model):
        notes.append(f"constant in training, so of no use to the detector: {', '.join(constant)}")
    return Fitted(ready, notes)


def _read(
    path: Path, settings: Settings, schema: Schema, advance: Advance
) -> tuple[NDArray[np.float64], list[str]]:
    """All rows (N, d) of the file, and the error of each record that gives none."""
    parts: list[NDArray[np.float64]] = [np.empty((0, len(schema.features)))]
    dead: list[str] = []
    with closing(InputFile(path, settings)) as file:
        ended = False
        while not ended:
            batch = file.read()
            decoded = decode(batch.records, schema)
            parts.append(decoded.rows)
            dead += [defect.error for defect in decoded.dead.values()]
            advance(file.progress(), sum(map(len, parts)))
            ended = batch.ended
    return np.concatenate(parts), dead
