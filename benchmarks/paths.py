"""File to file: the service, against less of itself, and against what a user would write.

The passing loop is the service whose answerer hands on each record in a constant envelope, as long
as ours is in the mean: the same source, sink and loop, and nothing decoded, scored, judged or
counted. The unscored loop is the service with a scorer that says zero: decoding, encoding and
counting remain.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from benchmarks.measuring import BATCH, FEATURES, TRAINING, Row, fitted, telemetry, turns
from detectd.commands.fit import fit_file
from detectd.pipeline.records import Outgoing, Topic
from detectd.service.loop import Service
from detectd.settings.loader import settle
from detectd.signals import Stop
from detectd.telemetry.progress import progress_bar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from detectd.pipeline.records import Record

EVENTS = 50_000
PLAIN_EVENTS = 2_560
NAMES = tuple(f"f{i}" for i in range(FEATURES))
CONTAMINATION, T = 0.02, 32.0
# An envelope of the length that ours have in the mean: verdict, figures, model and position.
FRAME = b'{"verdict":"normal","padding":"%b","event":%b}'


class Passing:
    """Hands on each record, in an envelope with `padding` bytes of nothing."""

    padding = 290

    def answer(self, records: Sequence[Record]) -> list[Outgoing]:
        """In the place of `ScoringEngine.answer`."""
        blank = b"." * self.padding
        return [Outgoing(Topic.NORMAL, FRAME % (blank, record.value)) for record in records]


class Unscored:
    """A scorer that does not look."""

    how = "not at all"
    doubt = None

    def score(self, rows: np.ndarray) -> np.ndarray:
        """Zero for each row."""
        return np.zeros(len(rows))


def rows() -> list[Row]:
    """The service against each of the three."""
    with tempfile.TemporaryDirectory() as home:
        stage = Stage(Path(home))
        passing = stage.against("the same loop passing the records through", stage.passing)
        unscored = stage.against("the same loop with zero for a score", stage.unscored)
        explaining = turns(stage.explaining, stage.serve)
        plain = turns(stage.serve, stage.plain)
    script = f"json.loads, batches of {BATCH}, predict_with_rejection, json.dumps"
    why = _row("the same without output.explain", explaining.ratio, None, explaining.ours)
    why["what"] += ", with output.explain"
    return [passing, unscored, why, _row(script, plain.ratio, 20.0, plain.ours)]


def _row(against: str, ratio: float, target: float | None, seconds: float) -> Row:
    return Row(
        what=f"file to file, {FEATURES} features, IForest",
        against=against,
        ratio=ratio,
        target=target,
        ours_us_an_event=1e6 * seconds,
    )


def write_stream(path: Path, events: int) -> None:
    """Events as JSON lines."""
    encode = msgspec.json.Encoder().encode
    rows = telemetry(events, seed=2).round(4).tolist()
    with path.open("wb") as file:
        for number, row in enumerate(rows):
            event = {"host": f"host-{number % 48:02d}", **dict(zip(NAMES, row, strict=True))}
            file.write(encode(event) + b"\n")


class Stage:
    """A stream, a model, and what reads the one with the other."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.stream = home / "stream.jsonl"
        write_stream(self.stream, EVENTS)
        lines = self.stream.read_bytes().splitlines(keepends=True)
        (home / "training.jsonl").write_bytes(b"".join(lines[:TRAINING]))
        (home / "few.jsonl").write_bytes(b"".join(lines[:PLAIN_EVENTS]))
        self.runs = count()
        self.written = 0
        with progress_bar("fit") as advance:
            fit_file(home / "training.jsonl", self.settings(), advance)
        self.detector = fitted("IForest", telemetry(TRAINING, seed=2), CONTAMINATION)
        Passing.padding += self._shortfall()

    def settings(self, *, explain: bool = False) -> Any:
        """A new output directory each time."""
        written = {
            "source": {"kind": "file", "path": str(self.stream)},
            "sink": {
                "kind": "file",
                "directory": str(self.home / f"out{next(self.runs)}"),
                "fsync": False,  # the disk's time would be the same for all, and hide ours
            },
            "event": {"features": list(NAMES)},
            "detector": {"name": "IForest", "contamination": CONTAMINATION},
            "rejector": {"T": T},
            "output": {"explain": explain},
            "models": {"directory": str(self.home / "models")},
            "server": {"listen": ""},
        }
        return settle(written, "benchmarks")

    def serve(self) -> float:
        """The service itself. Like all of these it returns its seconds an event, less the start."""
        return self._run(Service(self.settings(), Stop()))

    def explaining(self) -> float:
        """The service that says which features drove its anomalies and abstentions."""
        return self._run(Service(self.settings(explain=True), Stop()))

    def passing(self) -> float:
        """The loop without decoding, scoring and encoding."""
        service = Service(self.settings(), Stop())
        service.engine.answer = Passing().answer  # type: ignore[method-assign]
        return self._run(service)

    def unscored(self) -> float:
        """The loop without scoring."""
        service = Service(self.settings(), Stop())
        load = service.engine.load

        def load_and_blind() -> None:
            load()
            champion = service.engine.champion
            assert champion
            judge = replace(champion.serving.judge, scorer=Unscored())
            champion.serving = replace(champion.serving, judge=judge)

        service.engine.load = load_and_blind  # type: ignore[method-assign]
        return self._run(service)

    def plain(self) -> float:
        """What a user would write."""
        started = time.perf_counter()
        few = self.home / "few.jsonl"
        with few.open() as lines, few.with_suffix(".out").open("w") as out:
            batch: list[dict[str, Any]] = []
            for line in lines:
                batch.append(json.loads(line))
                if len(batch) == BATCH:
                    self._flush(batch, out)
            self._flush(batch, out)
        return (time.perf_counter() - started) / PLAIN_EVENTS

    def against(self, name: str, other: Callable[[], float]) -> Row:
        """Ours and the other in turns, a whole run each."""
        outcome = turns(self.serve, other)
        return _row(name, outcome.ratio, 0.7, outcome.ours)

    def _flush(self, batch: list[dict[str, Any]], out: Any) -> None:
        if batch:
            rows = np.array([[event[name] for name in NAMES] for event in batch])
            verdicts = self.detector.predict_with_rejection(rows, T=T).tolist()
            for event, verdict in zip(batch, verdicts, strict=True):
                out.write(json.dumps({"verdict": verdict, "event": event}) + "\n")
        batch.clear()

    def _run(self, service: Service) -> float:
        seconds = service.run().seconds
        directory = service.settings.sink.directory
        assert directory
        self.written = sum(path.stat().st_size for path in directory.glob("*.jsonl"))
        shutil.rmtree(directory)
        return seconds / EVENTS

    def _shortfall(self) -> int:
        """By how many bytes an event our outputs are longer than those passed on."""
        self.serve()
        ours = self.written
        self.passing()
        return round((ours - self.written) / EVENTS)
