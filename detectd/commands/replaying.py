"""`detectd dead-letters replay`: after a mend, each dead letter is answered once more, and once.

The outputs get the answers; neither the source nor its readers see anything of it. One commit holds
the answers and how far the replay has come, so neither a crash nor another replay answers a dead
letter twice. What dies again is a dead letter again, behind all that this replay reads.
"""

from __future__ import annotations

from collections import Counter
from contextlib import closing, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from detectd import derive, wiring
from detectd.errors import UsageError
from detectd.pipeline import dead_letters
from detectd.pipeline.output_detail import shown
from detectd.pipeline.records import Position
from detectd.pipeline.scoring import judge_records, within_limits
from detectd.sources.header import Header

if TYPE_CHECKING:
    from detectd.pipeline.records import Dialect
    from detectd.settings import Settings
    from detectd.signals import Stop


@dataclass
class Replayed:
    """What became of the dead letters: outputs by topic, and why some were left as they are."""

    model: str
    topics: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


def replay(settings: Settings, stop: Stop, *, rehearse: bool = False) -> Replayed:
    """Answer all dead letters behind the last replay; a rehearsal writes nothing.

    Raises DetectdError where no model is active, or the service still writes to the same files.
    """
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
            scored = judge_records(records, schema, serving.judge, original=original)
            outgoing = shown(scored.outgoing, settings.output.detail, original=original)
            if sink:
                outgoing = within_limits(records, outgoing, sink.limits())
                sink.commit(outgoing, Position(batch.position))
            done.topics.update(out.topic.value for out in outgoing)
            done.left.update(letter.lacks for letter in letters if letter.record is None)
    return done


def _header(settings: Settings) -> tuple[tuple[str, ...] | None, Dialect | None]:
    """The columns under which the records stood, and how they are written; None if that is JSON.

    They are those of the source now. Raises UsageError if it has none.
    """
    asked = settings.source
    if asked.kind == "kafka" or asked.row_format(asked.path) != "csv":
        return None, None
    if asked.kind == "stdin":
        if not asked.csv.columns:
            raise UsageError(
                "source.kind: the header of a CSV pipe is gone with it; name its columns in "
                "source.csv.columns to replay"
            )
        csv = derive.csv_format(settings)
        return csv.columns, Header(csv.columns, csv.delimiter).dialect(csv)
    with closing(wiring.source(settings, None)) as source:
        source.start(None)
        first = source.read(1, 0).records
    if not first:
        raise UsageError(f"source.path: {asked.path} has no header now; put one back to replay")
    return first[0].columns, first[0].dialect
