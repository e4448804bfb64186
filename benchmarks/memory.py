"""`make bench-memory`: what the service has in memory after ten million events. Minutes."""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks.measuring import TRAINING, Row
from benchmarks.paths import write_stream
from benchmarks.piped import OURS, configure, piped

FEW, MANY = 100_000, 10_000_000
MOST = 1.05


def rows() -> list[Row]:
    """The resident memory of one process, read twice."""
    with tempfile.TemporaryDirectory() as directory:
        home = Path(directory)
        write_stream(home / "stream.jsonl", FEW)
        content = (home / "stream.jsonl").read_bytes()
        training = b"".join(content.splitlines(keepends=True)[:TRAINING])
        (home / "training.jsonl").write_bytes(training)
        resident = {}
        with piped(OURS, configure(home)) as service:
            for events in range(FEW, MANY + 1, FEW):
                service.write(content)
                service.wait(events)
                resident[events] = service.resident_bytes()
    return [
        Row(
            what=f"resident memory after {MANY:,} events",
            against=f"after {FEW:,}: {resident[FEW] >> 20} MiB",
            ratio=resident[MANY] / resident[FEW],
            target=MOST,
            at_most=True,
            ours_us_an_event=None,
            points=[(float(events), float(size)) for events, size in resident.items()],
        )
    ]
