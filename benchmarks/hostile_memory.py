"""`make bench-hostile-memory`: the service's peak memory with the worst records of each kind.

Each kind is a stream of its own for the real command, from file to file, and what its process had
in memory at most is held against an ordinary stream of the same run. See memory.md.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from detectd.pipeline import memory_budget

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MIB = 1 << 20
FIRST, MANY = 200, 1_000_000

CONFIG = """
[source]
kind = "file"
path = "{path}"
batch_records = {batch_records}
max_record_bytes = {max_record_bytes}
[sink]
kind = "file"
directory = "{home}/out-{name}"
[event]
features = ["a", "b"]
key = "k"
[detector]
name = "{detector}"
[models]
directory = "{home}/models"
[output]
explain = true
[server]
listen = ""
[log]
level = "error"
"""


# A process begins with the peak of the one that starts it: so this one, which is small, does.
SMALL = """
import os, subprocess, sys
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(usage.ru_maxrss)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@dataclass(frozen=True)
class Kind:
    """A stream: what makes its content, piece by piece, and the name of its file.

    `record_bytes` is source.max_record_bytes, `batch_records` source.batch_records. Its content is
    `size` bytes, less if its records are small: several batches of them.
    """

    pieces: Callable[[int], Iterator[bytes]]
    suffix: str = ".jsonl"
    record_bytes: int = MIB
    batch_records: int = 2000
    size: int = 40 * MIB


class Peak(NamedTuple):
    """How large the stream was in bytes, and what the process had in memory at most."""

    stream: int
    resident: int


def ordinary(count: int, seed: int = 0) -> list[bytes]:
    """Lines of events as they should be."""
    rows = np.random.default_rng(seed).normal(size=(count, 2)).tolist()
    return [json.dumps({"k": "host", "a": a, "b": b}).encode() + b"\n" for a, b in rows]


def _again(size: int, piece: Callable[[int], bytes]) -> Iterator[bytes]:
    """An ordinary beginning, then pieces made of their numbers."""
    yield b"".join(ordinary(FIRST))
    done = number = 0
    while done < size:
        made = piece(number)
        yield made
        done, number = done + len(made), number + 1


def _lines(piece: Callable[[int], bytes]) -> Callable[[int], Iterator[bytes]]:
    return lambda size: _again(size, piece)


def _rows(header: list[str], piece: bytes) -> Callable[[int], Iterator[bytes]]:
    """CSV under a header, with an ordinary beginning."""

    def pieces(size: int) -> Iterator[bytes]:
        yield ",".join(header).encode() + b"\n"
        rest = "," * (len(header) - 3)
        for a, b in np.random.default_rng(0).normal(size=(FIRST, 2)):
            yield f"{a},{b},host{rest}\n".encode()
        for _ in range(max(1, size // len(piece))):
            yield piece

    return pieces


def _bomb(size: int) -> Iterator[bytes]:
    """One line that is compressed a thousandfold; `size` bytes when it is unpacked."""
    packer = zlib.compressobj(wbits=31)
    yield packer.compress(b"".join(ordinary(FIRST)))
    for _ in range(size // MIB):
        yield packer.compress(b"x" * MIB)
    yield packer.compress(b"\n") + packer.flush()


def _event(number: int, rest: bytes) -> bytes:
    return b'{"a":%d.5,"b":1,"k":"%d",%b}\n' % (number, number, rest)


def _large_key(number: int) -> bytes:
    return b'{"a":1,"b":2,"k":"%b"}\n' % (b"%09d" % number * 100_000)


FIELDS = b",".join(b'"f%d":1' % number for number in range(90_000))
ARRAYS = b'"x":[' + b"[]," * 340_000 + b"[]]"
COLUMNS = ["a", "b", "k", *(f"{number:0>60}" for number in range(5_000))]

KINDS = {
    "newlines": Kind(_lines(lambda _: b"\n" * 4096), batch_records=MANY, size=MIB // 8),
    "the smallest events": Kind(
        _lines(lambda _: b'{"a":1,"b":1}\n' * 512), batch_records=MANY, size=2 * MIB
    ),
    "anomalies, explained": Kind(
        _lines(lambda n: b'{"a":%d,"b":-1e9,"k":"%d"}\n' % (10**9 + n, n) * 64),
        batch_records=MANY,
        size=MIB,
    ),
    "keys of 0.9 MB, each another": Kind(_lines(_large_key)),
    "90,000 fields": Kind(_lines(lambda n: _event(n, FIELDS))),
    "90,000 fields, dead": Kind(_lines(lambda _: b"{" + FIELDS + b"}\n")),
    "340,000 empty arrays, dead": Kind(_lines(lambda _: b"{" + ARRAYS + b"}\n")),
    "control characters": Kind(_lines(lambda _: b"\x01" * 1_000_000 + b"\n")),
    "lines of 20 MiB": Kind(_lines(lambda _: b"x" * (20 * MIB) + b"\n")),
    "each line another error": Kind(_lines(lambda n: b'{"a":"%x","b":1}\n' % n), size=2 * MIB),
    "rows of commas, 5,000 columns": Kind(
        _rows(COLUMNS, b"," * (len(COLUMNS) - 1) + b"\n"), ".csv"
    ),
    "sound rows, 5,000 columns": Kind(
        _rows(COLUMNS, b"1,1" + b"," * (len(COLUMNS) - 2) + b"\n"), ".csv"
    ),
    "quotes and newlines, limit 16 MiB": Kind(
        _rows(COLUMNS[:3], b'1,1,"' + b'"\n' * 100_000 + b"\n"),
        ".csv",
        record_bytes=16 * MIB,
        batch_records=MANY,
        size=MIB,
    ),
    "quotes, limit 16 MiB": Kind(
        _rows(COLUMNS[:3], b'1,1,"' + b'""' * (8 * MIB - 100) + b'"\n'), ".csv", 16 * MIB
    ),
    "arrays, limit 16 MiB": Kind(
        _lines(lambda _: b'{"x":[' + b"[]," * (5 * MIB) + b"[]]}\n"), record_bytes=16 * MIB
    ),
    "a gzip bomb": Kind(_bomb, ".jsonl.gz", size=512 * MIB),
}


class Command:
    """The real command in a directory of its own, with a model that fits the ordinary stream."""

    detector: ClassVar[str] = "HBOS"

    def __init__(self, home: Path) -> None:
        self.home = home
        training = home / "training.jsonl"
        training.write_bytes(b"".join(ordinary(2000, seed=1)))
        self._run("fit", "--input", training, config=self._config("fit", Kind(_bomb), training))

    def peak(self, name: str, kind: Kind) -> Peak:
        """Run over a stream of that kind."""
        stem = "".join(each for each in name if each.isalnum())
        path = self.home / f"{stem}{kind.suffix}"
        with path.open("wb") as file:
            file.writelines(kind.pieces(kind.size))
        resident = self._run("run", config=self._config(stem, kind, path))
        size = path.stat().st_size
        path.unlink()
        shutil.rmtree(self.home / f"out-{stem}")
        return Peak(size, resident)

    def _config(self, name: str, kind: Kind, path: Path) -> Path:
        text = CONFIG.format(
            path=path,
            home=self.home,
            name=name,
            detector=self.detector,
            batch_records=kind.batch_records,
            max_record_bytes=kind.record_bytes,
        )
        config = self.home / f"{name}.toml"
        config.write_text(text, encoding="utf-8")
        return config

    def _run(self, *arguments: object, config: Path) -> int:
        command = [sys.executable, "-m", "detectd", *map(str, arguments), "--config", str(config)]
        return self.resident(command)

    def resident(self, command: list[str]) -> int:
        """Run a process to its end; return the most that it had in memory, in bytes."""
        done = subprocess.run(
            [sys.executable, "-c", SMALL, *command], capture_output=True, check=False
        )
        if done.returncode:
            said = done.stderr.decode()[-500:]
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {said}")
        return int(done.stdout) * 1024


ORDINARY = Kind(_lines(lambda number: b"".join(ordinary(2000, number))), size=4 * MIB)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as directory:
        command = Command(Path(directory))
        base = command.peak("ordinary", ORDINARY)
        print("| stream | MiB | peak MiB | beyond an ordinary one | of a budget of |")
        print("|---|---:|---:|---:|---:|")
        print(
            f"| ordinary | {base.stream / MIB:,.0f} | {base.resident / MIB:,.0f} | | |", flush=True
        )
        for name, kind in KINDS.items():
            found = command.peak(name, kind)
            budget = memory_budget.budget(max_record_bytes=kind.record_bytes) / MIB
            beyond = (found.resident - base.resident) / MIB
            cells = [f"{found.stream / MIB:,.1f}", f"{found.resident / MIB:,.0f}"]
            print(
                "|", " | ".join([name, *cells, f"{beyond:,.0f}", f"{budget:,.0f}"]), "|", flush=True
            )


if __name__ == "__main__":
    main()
