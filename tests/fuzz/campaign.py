"""Coverage-guided fuzzing of the path of an event: `make fuzz`.

    python -m tests.fuzz.campaign --seconds 60 --seed 1 --corpus build/fuzz

atheris puts counters into the modules of the path, and libFuzzer changes inputs towards those that
reach new places. The corpus is kept and is where the next campaign begins. An input that breaks an
invariant of `fuzz.path` ends the campaign with exit code 77, is written beside the corpus, and is
tried again by naming its file: `python -m tests.fuzz.campaign --again FILE`. Without atheris (some
Pythons have no wheels for it) the same inputs are changed blindly.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from pathlib import Path

# Not those that numba compiles, as nesting: it knows no counters.
MODULES = [
    "detectd.pipeline.absence",
    "detectd.pipeline.anomaly_records",
    "detectd.kafka.avro",
    "detectd.pipeline.dead_letters",
    "detectd.pipeline.decode",
    "detectd.pipeline.encode",
    "detectd.pipeline.explain",
    "detectd.pipeline.feature_values",
    "detectd.features",
    "detectd.pipeline.field_watch",
    "detectd.pipeline.nonfinite_scores",
    "detectd.pipeline.scoring",
    "detectd.report.sample",
    "detectd.report.terminal",
    "detectd.pipeline.fields",
    "detectd.pipeline.formats",
    "detectd.pipeline.json_pieces",
    "detectd.pipeline.surrogates",
    "detectd.pipeline.fast_json",
    "detectd.pipeline.unexpected_errors",
]
# No input of so many bytes may take longer, or the process more memory.
LONGEST, SECONDS_AN_INPUT, MEGABYTES = 8192, 5, 2048

TOKENS = [b"\x1e\x1e", b'{"', b'":', b"[{", b"}]", b"\\ud83d", b"1e308", b"-0.0", b"NaN", b"\\N"]


def main() -> None:
    """Fuzz as asked on the command line."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.campaign", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--corpus", type=Path, default=Path("build/fuzz"))
    parser.add_argument("--again", type=Path)
    asked = parser.parse_args()
    try:
        import atheris
    except ModuleNotFoundError:
        atheris = None
    if atheris:
        import detectd.pipeline.nesting  # noqa: F401 - before the counters

        with atheris.instrument_imports(include=MODULES):
            from tests.fuzz.path import one_input
    from tests.fuzz.path import one_input
    from tests.fuzz.seeds import seeds

    if asked.again:
        one_input(asked.again.read_bytes())
        return
    asked.corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds()):
        (asked.corpus / f"seed-{number:03}").write_bytes(seed)
        one_input(seed)  # Kernels compile when first used, and that is no input's time.
    if atheris is None:
        print("no atheris: inputs are changed blindly", flush=True)
        count = blindly(one_input, seeds(), asked.seed, seconds=asked.seconds)
        print(f"{count:,} inputs, all invariants hold")
        return
    tokens = asked.corpus.parent / "fuzz.dict"
    spelled = ("".join(f"\\x{byte:02x}" for byte in token) for token in TOKENS)
    tokens.write_text("".join(f'"{token}"\n' for token in spelled))
    options = {
        "max_total_time": asked.seconds,
        "seed": asked.seed,
        "max_len": LONGEST,
        "timeout": SECONDS_AN_INPUT,
        "rss_limit_mb": MEGABYTES,
        "dict": tokens,
        "artifact_prefix": f"{asked.corpus.parent}/",
        "print_final_stats": 1,
    }
    given = [f"-{name}={value}" for name, value in options.items()]
    atheris.Setup([sys.argv[0], *given, str(asked.corpus)], one_input)
    atheris.Fuzz()


def blindly(one_input, inputs, seed, *, seconds=None, runs=None) -> int:
    """Try `runs` inputs, or for so many seconds, made from others by chance; return how many."""
    rng, ends, count = random.Random(seed), time.monotonic() + (seconds or 0), 0
    while count < runs if runs is not None else time.monotonic() < ends:
        one_input(_changed(rng, rng.choice(inputs), rng.choice(inputs)))
        count += 1
    return count


def _changed(rng, data, other):
    made = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.randrange(len(made) + 1)
        length = rng.choice((0, 1, 2, 8, 64))
        piece = (
            bytes([rng.randrange(256)]),
            rng.choice(TOKENS),
            other[rng.randrange(len(other)) :][:length],
            bytes(made[place : place + length]) * rng.choice((2, 40)),
        )
        made[place : place + rng.choice((0, 0, length))] = rng.choice(piece)
    return bytes(made[:LONGEST])


if __name__ == "__main__":
    main()
