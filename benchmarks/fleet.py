"""`make demo-fleet`: hosts with days of their own, six kinds of faults, and what is found of them.

A simulated fleet (see `benchmarks.fleet_stream`) is judged twice by the real command: value by
value, without a memory, and by the features of each host's history. Both are fitted on the first
days, which have no faults. The second runs over these days first, so that it knows its hosts, then
over the days with faults; and once more over the latter, killed half-way and started again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.fleet_figures import (
    Abstention,
    FalseAlarms,
    Found,
    Silences,
    Verdicts,
    abstention,
    false_alarms,
    found,
    silences,
)
from benchmarks.fleet_runs import HISTORY, RAW, Runs, grown
from benchmarks.fleet_stream import KINDS, Fleet, Plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.fleet_runs import Promised, Ran

    Say = Callable[[str], None]

PLAN = Plan(hosts=500, quiet_days=5, days=2, faults=25, seed=16)


class Outcome(NamedTuple):
    """What came of one of the two ways."""

    found: list[Found]
    silences: Silences
    healthy: FalseAlarms
    struck: FalseAlarms
    abstention: Abstention
    promised: Promised
    ran: Ran
    bytes_a_key: int


class Compared(NamedTuple):
    """Both ways, and whether the run that was killed has the outputs of the one that was not."""

    raw: Outcome
    history: Outcome
    same_after_restart: bool


def compare(fleet: Fleet, home: Path, say: Say) -> Compared:
    """Judge a fleet without and with history."""
    quiet = home / "quiet.jsonl"
    grown(fleet, quiet, 0, fleet.plan.first)
    raw = _judged_alone(fleet, home, quiet, say)
    history, same = _judged_with_history(fleet, home, quiet, say)
    return Compared(raw, history, same)


def _judged_alone(fleet: Fleet, home: Path, quiet: Path, say: Say) -> Outcome:
    raw = Runs(home / "raw", RAW)
    say("fitting on single values")
    raw.fit(quiet)
    grown(fleet, raw.stream, fleet.plan.first, fleet.plan.steps)
    say("running")
    return _outcome(fleet, raw, raw.run())


def _judged_with_history(fleet: Fleet, home: Path, quiet: Path, say: Say) -> tuple[Outcome, bool]:
    """Return the outcome, and whether the outputs are the same after `kill -9` half-way."""
    history = Runs(home / "history", HISTORY)
    say("fitting on features of each host's history")
    history.fit(quiet)
    say("running over the days before the faults")
    read = grown(fleet, history.stream, 0, fleet.plan.first)
    history.run()
    wrote = history.written()
    history.keep(home / "kept")
    say("running over the days with faults")
    new = grown(fleet, history.stream, fleet.plan.first, fleet.plan.steps)
    outcome = _outcome(fleet, history, history.run())
    undisturbed = history.outputs()
    say("once more: killed half-way, and started again")
    history.go_back(home / "kept")
    history.run_and_kill(wrote * new // read // 2)
    history.run()
    return outcome, history.outputs() == undisturbed


def _outcome(fleet: Fleet, runs: Runs, ran: Ran) -> Outcome:
    since = int(fleet.times_ms[fleet.plan.first].min())
    verdicts = Verdicts(fleet, runs.answers(since))
    return Outcome(
        found(fleet, verdicts),
        silences(fleet, runs.silences(since)),
        false_alarms(fleet, verdicts, struck=False),
        false_alarms(fleet, verdicts, struck=True),
        abstention(fleet, verdicts),
        runs.promised(),
        ran,
        runs.bytes_a_key(),
    )


def table(compared: Compared) -> str:
    """Everything side by side, as Markdown."""
    raw, history, same = compared
    rows = [("", "single values", "history")]
    for one, other in zip(raw.found, history.found, strict=True):
        rows.append((f"{one.kind}: found", _found_text(one), _found_text(other)))
    rows += [(label, cell(raw), cell(history)) for label, cell in ROWS]
    ratio = f"{history.ran.rate / raw.ran.rate:.2f}"
    rows.append(("events a second, as a ratio", "1", ratio))
    rows.append(("outputs after kill -9 and restart", "", "the same bytes" if same else "OTHERS"))
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "|---|---|---|", *lines[1:]])


ROWS: tuple[tuple[str, Callable[[Outcome], str]], ...] = (
    ("silent: found", lambda o: f"{o.silences.found} of {o.silences.there}"),
    ("silent: alerts for nothing", lambda o: f"{o.silences.false}"),
    ("false alarms a host and day, hosts without a fault", lambda o: f"{o.healthy.alarms:.2f}"),
    ("the same, hosts with one, outside of it", lambda o: f"{o.struck.alarms:.2f}"),
    ("anomalies a host and day, hosts without a fault", lambda o: f"{o.healthy.anomalies:.2f}"),
    ("abstentions promised, mean", lambda o: f"{o.promised.mean:.3%}"),
    ("abstentions promised, at most", lambda o: f"{o.promised.upper:.3%}"),
    ("the same, by events as dependent as below", lambda o: f"{_dependent_upper(o):.3%}"),
    ("abstentions seen, all hosts", lambda o: f"{o.abstention.rate:.3%}"),
    ("abstentions seen, hosts without a fault", lambda o: f"{o.abstention.healthy:.3%}"),
    ("of these, by day", lambda o: ", ".join(f"{day:.3%}" for day in o.abstention.days)),
    ("by host", lambda o: f"{o.abstention.least:.2%} to {o.abstention.most:.2%}"),
    ("variance between hosts, over independent", lambda o: f"{o.abstention.spread:.1f}"),
    ("likelier right after an abstention", lambda o: f"{o.abstention.again:.1f} ×"),
    ("bytes remembered of a host", lambda o: f"{o.bytes_a_key:,}"),
    ("most memory of the process", lambda o: f"{o.ran.resident_bytes / 2**20:,.0f} MiB"),
)


def _dependent_upper(outcome: Outcome) -> float:
    return outcome.promised.upper_of(1 / max(outcome.abstention.spread, 1.0))


def _found_text(row: Found) -> str:
    after = "" if row.minutes is None else f", after {row.minutes:,.0f} min"
    return f"{row.found} of {row.there} ({row.by_chance:.1f} by chance){after}"


def main() -> None:
    """Simulate, judge, and print the table. Exits with 1 if the restart has changed an output."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fleet")
    for name in ("hosts", "quiet_days", "days", "faults", "seed"):
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=int, default=getattr(PLAN, name), help="%(default)s")
    plan = Plan(**vars(parser.parse_args()))
    if len(KINDS) * plan.faults >= plan.hosts:
        parser.error(f"{plan.faults} faults of each kind strike {len(KINDS) * plan.faults} hosts")
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:5.0f} s  {what}", flush=True)

    say(f"simulating {plan.hosts} hosts, {plan.quiet_days} + {plan.days} days")
    with tempfile.TemporaryDirectory(prefix="detectd-fleet-") as home:
        compared = compare(Fleet(plan), Path(home), say)
    say("done")
    print(f"\n{table(compared)}")
    sys.exit(not compared.same_after_restart)


if __name__ == "__main__":
    main()
