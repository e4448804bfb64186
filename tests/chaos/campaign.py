"""Many processes between two sets of Kafka topics, under fire: is each record answered once?

    python -m tests.chaos.campaign --seed 1 --events 300000 --seconds 240 --processes 4

Half of the events are there before the first process starts, the others come while processes are
killed, frozen for longer than the session timeout, added and removed, and brokers restarted one at
a time. Then it is quiet; when all is answered, a single process answers the same input undisturbed,
and the two outputs are compared. Exits 1, and keeps its directory, where anything is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from tests.chaos import audit, stage
from tests.chaos.faults import Fault, Kind, draw
from tests.chaos.fleet import TICK, Fleet
from tests.chaos.stream import Stream, produce

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

T = TypeVar("T")

MORE = 2
FEWER = 2
SIGNALS = {Kind.BROKER_TERM: signal.SIGTERM, Kind.BROKER_KILL: signal.SIGKILL}


@dataclass
class Report:
    """What a campaign did, and what it found. `struck` counts the faults that came about."""

    seed: int
    seconds: float = 0.0
    sent: int = 0
    struck: Counter[Kind] = field(default_factory=Counter)
    restarts: int = 0
    last_words: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    findings: audit.Findings = field(default_factory=audit.Findings)

    @property
    def clean(self) -> bool:
        return self.findings.clean and not self.problems

    def lines(self) -> list[str]:
        struck, found = self.struck, self.findings
        return [
            f"seed {self.seed}, {self.seconds:.0f} s, {self.sent} events, {struck.total()} rounds",
            f"processes: {struck[Kind.KILL]} kills, {struck[Kind.FREEZE]} freezes, "
            f"{struck[Kind.ADD]} added, {struck[Kind.REMOVE]} removed, "
            f"{self.restarts} ended by themselves and were restarted",
            *(f"  {count} x {words[:300]}" for words, count in self.last_words.most_common()),
            f"brokers: {struck[Kind.BROKER_TERM]} restarts after SIGTERM, "
            f"{struck[Kind.BROKER_KILL]} after SIGKILL",
            f"lost {found.lost}, doubled {found.doubled}, out of order {found.out_of_order}, "
            f"strangers {found.strangers}",
            f"dead letters {found.dead_letters} = poison {found.poison}, "
            f"misjudged {found.misjudged}, differing verdicts {found.differing}",
            *found.examples,
            *(f"problem: {problem}" for problem in self.problems),
        ]


@dataclass
class Campaign:
    """One run of it, in `directory`. `tell` gets a line for each round."""

    seed: int
    events: int
    seconds: float
    processes: int
    directory: Path
    tell: Callable[[str], None] = print
    client: str = "kafka-python"
    began: float = field(default_factory=time.monotonic)

    def run(self) -> Report:
        stream, report = Stream(self.events, self.seed), Report(self.seed, sent=self.events)
        with stage.brokers(self.directory / "kafka") as broker:
            (source,) = broker.create_topics("in", partitions=stage.PARTITIONS)
            play = stage.make(broker, self.directory, source, self.directory / "models")
            play.world.write(kafka={"client": self.client})
            self._say("fit")
            stage.fit(play, self.seed + 2)
            self._say("produce")
            half = self.events // 2
            produce(broker, source, stream, range(half))
            with ThreadPoolExecutor(1) as feeder:
                later = range(half, self.events)
                fed = feeder.submit(produce, broker, source, stream, later, 0.8 * self.seconds)
                self._fight(play, report, fed)
            calm = play.understudy()
            self._rehearse(calm, report)
            self._audit(stream, play, calm, report)
        report.seconds = time.monotonic() - self.began
        return report

    def _fight(self, play: stage.Stage, report: Report, fed: Future[None]) -> None:
        with closing(Fleet(play.world.path, self.directory / "logs")) as fleet:
            for _ in range(self.processes):
                fleet.add()
            began = time.monotonic()
            outage: stage.Outage | None = None
            for fault in draw(self.seed, self.seconds):
                # One broker at a time. What follows keeps its distance.
                while time.monotonic() < began + fault.at or (
                    fault.kind in SIGNALS and outage and not outage.over
                ):
                    fleet.tend()
                    time.sleep(TICK)
                began = max(began, time.monotonic() - fault.at - TICK)
                if fault.kind in SIGNALS:
                    node = pick(fault, play.broker.nodes)
                    outage = stage.Outage(play.broker, node, SIGNALS[fault.kind], fault.lasts)
                    struck: str | None = node.server
                else:
                    struck = self._strike(fault, fleet)
                if struck:
                    report.struck[fault.kind] += 1
                    self._say(f"{fault.kind}: {struck}")
            while not (fed.done() and (outage is None or outage.over)):
                fleet.tend()
                time.sleep(TICK)
            fed.result()
            self._finish(play, fleet, report)

    def _strike(self, fault: Fault, fleet: Fleet) -> str | None:
        """To whom it happened; None where nobody is there for it."""
        free = fleet.free()
        if fault.kind == Kind.ADD:
            room = len(fleet.members) < self.processes + MORE
            return fleet.add().name if room else None
        if not free or (
            fault.kind == Kind.REMOVE and len(fleet.members) <= max(1, self.processes - FEWER)
        ):
            return None
        member = pick(fault, free)
        if fault.kind == Kind.KILL:
            fleet.kill(member)
        elif fault.kind == Kind.FREEZE:
            fleet.freeze(member, fault.lasts)
        else:
            fleet.remove(member)
        return member.name

    def _finish(self, play: stage.Stage, fleet: Fleet, report: Report) -> None:
        """Let the processes answer the rest, and end them."""
        fleet.calm()
        self._say(f"quiet, {stage.backlog(play)} records wait")
        try:
            stage.await_answers(play, fleet.tend)
        except TimeoutError as stuck:
            report.problems.append(str(stuck))
            for member in fleet.free():
                fleet.abort(member)
        else:
            fleet.stop()
        report.restarts, report.last_words = fleet.restarts, fleet.last_words
        report.problems += fleet.problems

    def _rehearse(self, calm: stage.Stage, report: Report) -> None:
        """The undisturbed run."""
        self._say("undisturbed run")
        with closing(Fleet(calm.world.path, self.directory / "logs" / "undisturbed")) as single:
            single.add()
            try:
                stage.await_answers(calm, single.tend)
            except TimeoutError as stuck:
                report.problems.append(f"undisturbed: {stuck}")
            else:
                single.stop()
            report.problems += [f"undisturbed: {p}" for p in (*single.problems, *single.last_words)]

    def _say(self, what: str) -> None:
        self.tell(f"{time.monotonic() - self.began:7.1f} s  {what}")

    def _audit(self, stream: Stream, play: stage.Stage, calm: stage.Stage, report: Report) -> None:
        self._say("audit")
        broker = play.broker
        source = audit.inputs(audit.read(broker, play.source))
        if len(source) != self.events:
            # Nothing that the service could know of, but the campaign is not what it should be.
            report.problems.append(f"the input holds {len(source)} records, not {self.events}")
        undisturbed = {
            audit.answer_id(record): audit.answer(record, calm.names)
            for record in audit.read(broker, *calm.names)
        }
        outputs = audit.read(broker, *play.names)
        report.findings = audit.audit(source, stream.poison, play.names, outputs, undisturbed)


def pick(fault: Fault, among: Sequence[T]) -> T:
    """The one that the fault was meant for."""
    return among[int(fault.pick * len(among))]


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--events", type=int, default=300_000)
    parser.add_argument("--seconds", type=float, default=240.0, help="how long faults happen")
    parser.add_argument("--processes", type=int, default=4)
    parser.add_argument("--client", choices=("kafka-python", "confluent"), default="kafka-python")
    parser.add_argument("--directory", type=Path, help="kept; by default only after a failure")
    asked = parser.parse_args()
    directory = asked.directory or Path(tempfile.mkdtemp(prefix="detectd-chaos-"))
    directory.mkdir(parents=True, exist_ok=True)
    campaign = Campaign(asked.seed, asked.events, asked.seconds, asked.processes, directory)
    campaign.client = asked.client
    report = campaign.run()
    lines = report.lines()
    if not report.clean:
        lines.append(f"logs of the processes, Kafka's data and config: {directory}")
    elif not asked.directory:
        shutil.rmtree(directory)
    print(*lines, sep="\n")  # noqa: T201 - what the command is for
    return not report.clean


if __name__ == "__main__":
    sys.exit(main())
