"""`detectd dead-letters`: inspect and replay dead letters.

A replay processes each dead letter once. The results go to the outputs; the source and its readers
are not affected. One commit holds the results and the progress of the replay, so neither a crash
nor another replay processes a dead letter twice. A record that fails again becomes a new dead
letter, after all that this replay reads.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from detectd import derive, wiring
from detectd.commands.console import configuration, give
from detectd.errors import UsageError
from detectd.pipeline import dead_letters
from detectd.pipeline.encode import VERDICTS
from detectd.pipeline.output_detail import shown
from detectd.pipeline.records import Position, Topic
from detectd.report.terminal import one_line
from detectd.signals import Stop
from detectd.sources.header import Header
from detectd.telemetry import logs

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from detectd.commands.console import Console
    from detectd.pipeline.dead_letters import Group
    from detectd.pipeline.records import Dialect
    from detectd.settings import Settings

OUTPUTS = (*VERDICTS, Topic.DEAD_LETTER)


@dataclass
class Replayed:
    """The result of a replay: outputs by topic, and why some dead letters were left."""

    model: str
    topics: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def list_(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd dead-letters list`."""
    settings = configuration(arguments, console)
    logs.configure(settings.log)
    batches = wiring.outputs(settings).dead_letters(replayed=arguments.all)
    letters = (dead_letters.read(found) for batch in batches for found in batch.records)
    give(_list_figures(dead_letters.grouped(letters)), _list_text, arguments, console)


def replay(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd dead-letters replay`."""
    stop = Stop()
    stop.listen()
    settings = configuration(arguments, console)
    logs.configure(settings.log)
    done = replay_all(settings, stop, rehearse=arguments.dry_run)
    give(_replay_figures(done, rehearsed=arguments.dry_run), _replay_text, arguments, console)


def replay_all(settings: Settings, stop: Stop, *, rehearse: bool = False) -> Replayed:
    """Process all dead letters since the last replay; a rehearsal writes nothing.

    Raise DetectdError if no model is active, or if the service still writes to the same files.
    """
    from detectd.pipeline.scoring import judge_vectors, within_limits
    from detectd.pipeline.vectors import without_their_past

    serving = wiring.serve_active(settings, datetime.now(UTC))
    columns, dialect = _header(settings)
    outputs, schema = wiring.outputs(settings), wiring.stream_schema(settings)
    original = settings.output.value == "original"
    done = Replayed(serving.model.version)
    sink = None if rehearse else outputs.replay_sink()
    with closing(sink) if sink else nullcontext():
        if sink:
            sink.open()
        for batch in outputs.dead_letters(replayed=False):
            if stop.requested:
                break
            letters = [dead_letters.read(found, columns, dialect) for found in batch.records]
            records = [letter.record for letter in letters if letter.record is not None]
            rows = without_their_past(records, schema)
            scored = judge_vectors(records, rows, schema, serving.judge, original=original)
            outgoing = shown(scored.outgoing, settings.output.detail, original=original)
            if sink:
                outgoing = within_limits(records, outgoing, sink.limits())
                sink.commit(outgoing, Position(batch.position))
            done.topics.update(out.topic.value for out in outgoing)
            done.left.update(letter.lacks for letter in letters if letter.record is None)
    return done


def _header(settings: Settings) -> tuple[tuple[str, ...] | None, Dialect | None]:
    """Return the columns and the format of CSV records; None for JSON.

    They are those of the source at present. Raise UsageError if it has none.
    """
    asked = settings.source
    if asked.kind == "kafka" or asked.row_format(asked.path) != "csv":
        return None, None
    if asked.kind == "stdin":
        if not asked.csv.columns:
            raise UsageError(
                "source.kind: the header of a CSV pipe is not stored; name its columns in "
                "source.csv.columns to replay"
            )
        csv = derive.csv_format(settings)
        return csv.columns, Header(csv.columns, csv.delimiter).dialect(csv)
    with closing(wiring.source(settings, None)) as source:
        source.start(None)
        first = source.read(1, 0).records
    if not first:
        raise UsageError(f"source.path: {asked.path} no longer has a header; restore it to replay")
    return first[0].columns, first[0].dialect


def _list_figures(groups: Sequence[Group]) -> dict[str, Any]:
    """Return the figures of `dead-letters list`."""
    return {
        "dead_letters": sum(group.count for group in groups),
        "replayable": sum(group.replayable for group in groups),
        "groups": [asdict(group) for group in groups],
    }


def _list_text(found: dict[str, Any]) -> str:
    """Return the groups as a table."""
    groups = found["groups"]
    if not groups:
        return "no dead letters"
    groups = [{name: _cell(value) for name, value in group.items()} for group in groups]
    wide = {name: max(len(name), *(len(g[name]) for g in groups)) for name in ("first", "last")}
    lines = [
        f"{'count':>9}  {'stage':9}{'first':{wide['first']}}  {'last':{wide['last']}}  error",
        *(
            f"{g['count']:>9,}  {g['stage']:9}{g['first']:{wide['first']}}  "
            f"{g['last']:{wide['last']}}  {g['error']}"
            for g in groups
        ),
    ]
    lost = found["dead_letters"] - found["replayable"]
    if lost:
        lines.append(f"{lost:>9,}  of these cannot be replayed: their bytes were not kept in full")
    return "\n".join(lines)


def _cell(value: Any) -> Any:
    """Return a record's text without line breaks."""
    return one_line(value) if isinstance(value, str) else value


def _replay_figures(done: Replayed, *, rehearsed: bool) -> dict[str, Any]:
    """Return the figures of `dead-letters replay`."""
    return {
        "model": done.model,
        "rehearsed": rehearsed,
        "replayed": done.topics.total(),
        **{topic.value: done.topics[topic.value] for topic in OUTPUTS},
        "left": dict(done.left),
    }


def _replay_text(told: dict[str, Any]) -> str:
    """Return the outcomes, one line each."""
    what = "would be replayed" if told["rehearsed"] else "replayed"
    lines = [f"{told['replayed']:,} dead letters {what} with model {told['model']}"]
    if told["replayed"]:
        lines += [f"{topic.value:12}{told[topic.value]:>12,}" for topic in OUTPUTS]
    lines += [f"{'left':12}{count:>12,}  {why}" for why, count in told["left"].items()]
    return "\n".join(lines)
