"""`make bench-keys`: the memory of 100,000 keys with eight features of the light kind. Minutes.

The real command from file to file, twice each: over a few keys, and over all of them; then again,
so that it reads its keys back. What the second of a pair has at most beyond the first is held
against the bytes of the rows that it keeps.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.hostile_memory import SMALL
from benchmarks.measuring import Row
from detectd.features.declaring import declare
from detectd.features.key_rows import HEADER_WORDS
from detectd.features.program import compiled_program

if TYPE_CHECKING:
    from collections.abc import Iterator

FEW, KEYS, EVENTS_A_KEY = 100, 100_000, 3
TRAINING = 4_000
LIGHT: list[dict[str, Any]] = [
    {"of": "cpu", "fn": "series", "set": "light"},
    {"of": "latency", "fn": "series", "set": "light"},
    {"of": "bytes", "fn": "rate", "surprise": True},
    {"of": "errors", "fn": "mean", "window": 5, "surprise": True},
]
CONFIG = """
[source]
kind = "file"
path = "{home}/{name}.jsonl"
[sink]
kind = "file"
directory = "{home}/{name}"
fsync = false
[event]
key = "host"
timestamp = "time"
missing = "median"
features = [
  {{of = "cpu", fn = "series", set = "light"}},
  {{of = "latency", fn = "series", set = "light"}},
  {{of = "bytes", fn = "rate", surprise = true}},
  {{of = "errors", fn = "mean", window = 5, surprise = true}},
]
[keys]
max = {keys}
[detector]
name = "TailSum"
contamination = 0.0125
[models]
directory = "{home}/{name}-models"
[server]
listen = ""
[log]
level = "error"
"""
# Beyond the rows: the keys' names, an index of them, and what a batch copies and writes.
MOST = 1.15
MOST_MIB = 1024
MIB = 1 << 20


def rows() -> list[Row]:
    """What a run has in memory, and a restart, for each byte of the keys' rows."""
    key_bytes = 8 * (HEADER_WORDS + compiled_program([declare(each) for each in LIGHT]).words)
    layout = KEYS * key_bytes
    found = []
    with tempfile.TemporaryDirectory() as directory:
        few, many = (_peaks(Path(directory), f"keys{keys}", keys) for keys in (FEW, KEYS))
    for what, least, most in zip(("run", "restart"), few, many, strict=True):
        taken = most - least
        against = f"{key_bytes:,} bytes a key: {layout / MIB:,.0f} MiB"
        measured = [("", taken / layout, MOST), ("MiB", taken / MIB, MOST_MIB)]
        found += [
            Row(
                what=f"memory of {KEYS:,} keys, 8 features, {what}",
                against=against if not unit else "",
                ratio=ratio,
                target=float(target),
                at_most=True,
                ours_us_an_event=None,
                unit=unit or "x",
            )
            for unit, ratio, target in measured
        ]
    return found


def _peaks(home: Path, name: str, keys: int) -> tuple[int, int]:
    """Return the most bytes that a run has in memory, and one that goes on from there."""
    config = home / f"{name}.toml"
    config.write_text(CONFIG.format(home=home, name=name, keys=KEYS), encoding="utf-8")
    stream = home / f"{name}.jsonl"
    with stream.open("w", encoding="utf-8") as file:
        file.writelines(_events(TRAINING // 100, 0, TRAINING))
    _command("fit", "--config", config, "--input", stream)
    with stream.open("w", encoding="utf-8") as file:
        file.writelines(_events(keys, 0, EVENTS_A_KEY * KEYS))
    first = _command("run", "--config", config)
    with stream.open("a", encoding="utf-8") as file:
        file.writelines(_events(keys, EVENTS_A_KEY * KEYS, 2_000))
    return first, _command("run", "--config", config)


def _events(keys: int, first: int, count: int) -> Iterator[str]:
    values = np.random.default_rng(first).normal(50, 5, (count, 2)).round(2).tolist()
    for i, (cpu, latency) in enumerate(values, start=first):
        yield (
            f'{{"time": {1_750_000_000 + i // 100}, "host": "host-{i % keys:07}.example.com", '
            f'"cpu": {cpu}, "latency": {latency}, "bytes": {i * 1000}, "errors": {i % 7}}}\n'
        )


def _command(*arguments: object) -> int:
    """Return the most bytes that `detectd` with these arguments had in memory."""
    command = [sys.executable, "-c", SMALL, sys.executable, "-m", "detectd", *map(str, arguments)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return 1024 * int(done.stdout)
