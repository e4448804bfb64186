"""`python -m benchmarks.series DIRECTORY`: what the real command finds in the series of NAB.

`DIRECTORY` holds the benchmark's files, labels, profiles and published results. `detectd fit`
learns from the probationary parts of all files together, `detectd run` judges every event of every
file; a file's name is the key. Labels are looked at only to count. An alarm is the first *anomaly*
of an episode, which ends after 50 events without one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import nab
from benchmarks.stream_peers import PEERS
from detectd.features.kernels import routine
from detectd.features.routine_layout import WORDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

QUIET = 50
CONTAMINATION = 0.0125
DAY_MS = 86_400_000.0
VERDICTS = ("normal", "anomaly", "abstain")
PUBLISHED = {
    "Random Cut Forest": "randomCutForest",
    "HTM": "numenta",
    "CAD OSE": "contextOSE",
}
FULL = '{of = "value", fn = "series"}'
VARIANTS = {
    "raw, IForest": ("IForest", '"value"', "false"),
    "raw, ECOD": ("ECOD", '"value"', "false"),
    "light": ("TailSum", '{of = "value", fn = "series", set = "light"}', "false"),
    "series": ("TailSum", FULL, "false"),
    "series + routine": ("TailSum", FULL, "true"),
    "exact": ("TailSum", '{of = "value", fn = "series", surprise = "exact"}', "false"),
}
# None is the default, which n and the contamination choose.
THRESHOLDS = (None, 1.0)

CONFIG = """
[source]
kind = "file"
path = "{home}/events.jsonl"
[sink]
kind = "file"
directory = "{home}/out"
[event]
key = "series"
timestamp = "time"
features = [{feature}]
[keys]
routine = {routine}
[detector]
name = "{detector}"
contamination = {contamination}
[rejector]
{threshold}
[models]
directory = "{home}/models"
[server]
listen = ""
"""


class RefusedError(Exception):
    """The command did not do it, and this is why."""


@dataclass
class Judged:
    """What the command made of the events, in the order of the series."""

    scores: list[Numbers]
    verdicts: list[NDArray[np.str_]]
    promised: float
    upper: float


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.series", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument(
        "--peers", action="store_true", help="River and PySAD as well: an hour and more"
    )
    arguments = parser.parse_args()
    series, profiles = nab.read(arguments.directory), nab.profiles(arguments.directory)
    events = sum(len(one.values) for one in series)
    windows = sum(one.windows for one in series)
    print(f"{len(series)} files, {events:,} events, {windows} windows\n")
    print(_row(["", "T", *profiles, "found", "false", "alarms a key and day", "best threshold"]))
    print(_row(["---"] * 9))
    kept = {}
    for name in VARIANTS:
        runs = _run(name, series)
        if not runs:
            print(_row([name, "", "refused", *[""] * 6]))
        for T, judged in runs:
            alarms = [verdict == "anomaly" for verdict in judged.verdicts]
            said = "default" if T is None else f"{T:g}"
            scores = judged.scores
            if VARIANTS[name][2] == "true":
                scores = without_routine(series, scores)
            _print_counted(name, said, series, profiles.values(), alarms, scores)
            kept[name, said] = judged
    for name, scores in _others(arguments.directory, series, peers=arguments.peers):
        alarms = above_warm_up(series, scores)
        _print_counted(name, "", series, profiles.values(), alarms, scores)
    print_abstentions(series, kept)
    print_each(series, kept["series", "1"])


def _others(
    directory: Path, series: Sequence[nab.Series], *, peers: bool
) -> list[tuple[str, list[Numbers]]]:
    """Return the scores that were published, and those of other libraries."""
    found = [(name, nab.published(directory, of, series)) for name, of in PUBLISHED.items()]
    if peers:
        found += [(name, [peer(one.values) for one in series]) for name, peer in PEERS.items()]
    return found


def above_warm_up(series: Sequence[nab.Series], scores: Sequence[Numbers]) -> list[nab.Flags]:
    """Return which scores the contamination's share of all warm-up scores reaches, no more."""
    warm_up = [score[: one.probation] for one, score in zip(series, scores, strict=True)]
    threshold = np.quantile(np.concatenate(warm_up), 1.0 - CONTAMINATION)
    return [score >= threshold for score in scores]


def without_routine(series: Sequence[nab.Series], scores: Sequence[Numbers]) -> list[Numbers]:
    """Return the scores, −∞ where routine makes an event normal whatever the threshold."""
    left = []
    for one, score in zip(series, scores, strict=True):
        k, found = len(score), np.zeros(len(score), dtype=np.bool_)
        table, slots, asked = np.zeros((1, WORDS)), np.zeros(k, np.intp), ~found
        times = one.times.astype(np.float64)
        routine.run(table, 0, slots, found.copy(), times, score, asked, 1.0, found)
        left.append(np.where(found, -np.inf, score))
    return left


def _run(name: str, series: Sequence[nab.Series]) -> list[tuple[float | None, Judged]]:
    """Fit once, and judge all events by each T."""
    with tempfile.TemporaryDirectory(prefix="detectd-series-") as directory:
        home = Path(directory)
        _write(home / "events.jsonl", series, [len(one.values) for one in series])
        _write(home / "warm-up.jsonl", series, [one.probation for one in series])
        _configure(home, name, None)
        try:
            _detectd(home, "fit", "--input", str(home / "warm-up.jsonl"))
        except RefusedError as refused:
            print(f"{name}: {refused}", file=sys.stderr)
            return []
        return [(T, _judge(home, name, T, series)) for T in THRESHOLDS]


def _judge(home: Path, name: str, T: float | None, series: Sequence[nab.Series]) -> Judged:
    out = home / f"by-{T}"
    _configure(home, name, T, out)
    said = _detectd(home, "run")
    serving = next(line for line in said if line["event"] == "model.serving")
    place = {one.name: i for i, one in enumerate(series)}
    scores = [np.full(len(one.values), np.nan) for one in series]
    verdicts = [np.full(len(one.values), "", dtype="U7") for one in series]
    for verdict in VERDICTS:
        with (out / f"{verdict}.jsonl").open(encoding="utf-8") as lines:
            for line in map(json.loads, lines):
                i, row = place[line["key"]], line["event"]["row"]
                scores[i][row], verdicts[i][row] = line["score"], verdict
    return Judged(
        scores, verdicts, serving["expected_rejection_rate"], serving["rejection_rate_upper"]
    )


def _configure(home: Path, name: str, T: float | None, out: Path | None = None) -> None:
    detector, feature, by_routine = VARIANTS[name]
    text = CONFIG.format(
        home=home,
        detector=detector,
        feature=feature,
        routine=by_routine,
        contamination=CONTAMINATION,
        threshold="" if T is None else f"T = {T}",
    )
    text = text.replace(f"{home}/out", str(out)) if out else text
    (home / "detectd.toml").write_text(text, encoding="utf-8")


def _write(path: Path, series: Sequence[nab.Series], counts: Sequence[int]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for one, count in zip(series, counts, strict=True):
            for i in range(count):
                event = {"series": one.name, "time": int(one.times[i]), "row": i}
                file.write(json.dumps(event | {"value": float(one.values[i])}) + "\n")


def _detectd(home: Path, *arguments: str) -> list[dict[str, Any]]:
    """Run the command, and return the lines of its log."""
    command = [sys.executable, "-m", "detectd", *arguments, "--config", str(home / "detectd.toml")]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RefusedError(done.stderr.splitlines()[-1] if done.stderr else "no reason was given")
    return [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]


def _print_counted(
    name: str,
    T: str,
    series: Sequence[nab.Series],
    profiles: Any,
    raised: Sequence[nab.Flags],
    scores: Sequence[Numbers],
) -> None:
    counted = nab.count(series, [nab.episodes(flags, QUIET) for flags in raised])
    best = [nab.best_with_episodes(series, scores, profile, QUIET) for profile in profiles]
    key_days = sum(float(one.times[-1] - one.times[one.probation]) for one in series) / DAY_MS
    cells = [f"{counted.score(profile):.1f}" for profile in profiles]
    cells += [f"{counted.found} of {counted.windows}", str(counted.false_alarms)]
    cells += [f"{counted.alarms / key_days:.3f}", " / ".join(f"{x:.1f}" for x in best)]
    print(_row([name, T, *cells]), flush=True)


def print_abstentions(series: Sequence[nab.Series], kept: dict[tuple[str, str], Judged]) -> None:
    """Print how many events each variant abstained from, and where they lie."""
    print("\n" + _row(["", "T", "promised, mean", "upper", "seen", "of windows", "outside"]))
    print(_row(["---"] * 7))
    for (name, T), judged in kept.items():
        pairs = list(zip(series, judged.verdicts, strict=True))
        parts = [[v[one.window != nab.OUTSIDE] for one, v in pairs]]
        parts.append([v[one.window == nab.OUTSIDE] for one, v in pairs])
        shares = [_abstained(judged.verdicts), *map(_abstained, parts)]
        cells = [f"{x:.2%}" for x in (judged.promised, judged.upper, *shares)]
        print(_row([name, T, *cells]))


def print_each(series: Sequence[nab.Series], judged: Judged) -> None:
    """Print what became of each file's events."""
    print("\n" + _row(["series, T = 1", "events", "anomaly", "abstained", "of windows"]))
    print(_row(["---"] * 5))
    for one, verdicts in zip(series, judged.verdicts, strict=True):
        inside = verdicts[one.window != nab.OUTSIDE]
        shares = [np.mean(verdicts == "anomaly"), _abstained([verdicts])]
        cells = [f"{len(verdicts):,}", *(f"{x:.2%}" for x in shares)]
        print(_row([one.name, *cells, f"{_abstained([inside]):.2%}" if len(inside) else ""]))


def _abstained(verdicts: Sequence[NDArray[np.str_]]) -> float:
    return float(np.mean(np.concatenate(verdicts) == "abstain"))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
