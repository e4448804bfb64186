"""Prepare a stored version for serving, in a thread beside the loop.

Loading a model means reading, hashing and unpickling it, trying its scorer, and, if it was fitted
with other library versions, fitting it again. That takes seconds to minutes, in which the loop
continues with the previous model.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import structlog

from detectd.errors import DetectdError
from detectd.models import serving
from detectd.models.trainer_process import Failed, Task, TrainerProcess
from detectd.pipeline.unexpected_errors import NOT_THE_RECORDS, in_words

if TYPE_CHECKING:
    from detectd.models.files import Loaded
    from detectd.models.serving import Serving, ServingOptions
    from detectd.models.store import Store
    from detectd.models.trainer_process import Limits

log = structlog.get_logger()

POLL_SECONDS = 0.1


class Preparation:
    """Preparation starts at once. A model that is fitted again within `limits` is stored under a
    new name."""

    def __init__(self, store: Store, version: str, options: ServingOptions, limits: Limits) -> None:
        self.version = version
        self._options = options
        self._limits = limits
        self._store = store
        self._outcome: Future[Serving] = Future()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="preparation", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        """Return whether `result` returns without waiting."""
        return self._outcome.done()

    def result(self) -> Serving:
        """Return the model, ready under its options; wait for it if necessary.

        Raise DetectdError if it cannot answer.
        """
        return self._outcome.result()

    def abandon(self) -> None:
        """Abandon the preparation without waiting."""
        self._stopped.set()

    def close(self) -> None:
        """Abandon the preparation; end its thread and trainer."""
        self.abandon()
        self._thread.join()

    def _run(self) -> None:
        try:
            loaded = self._store.load(self.version)
            self._outcome.set_result(
                self._fitted_again(loaded)
                if loaded.drift
                else serving.serve(loaded.model, self._options)
            )
        except NOT_THE_RECORDS as failed:
            self._outcome.set_exception(failed)
        except Exception as failed:  # noqa: BLE001 - a model from elsewhere can be anything
            broken = DetectdError(f"{self.version}: it cannot score events: {in_words(failed)}")
            self._outcome.set_exception(broken)
        except BaseException as failed:  # noqa: BLE001 - `result` raises it
            self._outcome.set_exception(failed)

    def _fitted_again(self, loaded: Loaded) -> Serving:
        """Return a model from the same rows, recipe and seed, fitted by the present libraries in a
        separate process."""
        model = loaded.model
        refit = TrainerProcess(
            self._store.directory,
            Task(
                model.rows,
                model.recipe,
                model.declared or model.features,
                datetime.now(UTC),
                model.keys.rows if model.keys else None,
            ),
            self._limits,
            lambda fitted: serving.serve_new(
                replace(fitted, declared=model.declared), self._options
            ),
            time.monotonic(),
        )
        while (found := refit.poll(time.monotonic())) is None:
            if self._stopped.wait(POLL_SECONDS):
                refit.cancel()
                raise DetectdError(f"{self.version}: another model was activated meanwhile")
        if isinstance(found, Failed):
            raise DetectdError(
                f"{self.version}: it was fitted under other library versions, and cannot be fitted "
                f"again: {found.reason}"
            )
        self._store.save(found.result.model)
        serving.log_fitted_again(loaded, found.result.model)
        return found.result
