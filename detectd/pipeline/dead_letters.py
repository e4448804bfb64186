"""Dead letters: written with the reason and the record's bytes, and read back."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import msgspec

from detectd.pipeline import memory_budget
from detectd.pipeline.json_pieces import as_text, end, to_json
from detectd.pipeline.records import Dialect, Outgoing, Record, RecordError, Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Headers that detectd adds; the original record did not have them.
STAGE, REPLAYED = "detectd-stage", "detectd-replayed"

# The Kafka position of the record: topic/partition/offset.
PLACE = re.compile(r".+/([0-9]{1,9})/[0-9]+", re.DOTALL)

# The parts of an error that differ from record to record; the name of a feature does not.
PARTICULARS = re.compile(r"(feature '[^']*')|'[^']*'|\"[^\"]*\"|(?<![\w-])\d+")

# The list of fields an event has helps to fix the error but does not make a group of its own.
WHAT_IS_THERE = re.compile(r"(feature '[^']*' is missing|every feature is missing: '[^']*');.*")


class DeadLetter(msgspec.Struct):
    """The value of a dead letter: the record's bytes and the reason.

    `dropped` counts the bytes that the source has left out.
    """

    id: str
    stage: str
    error: str
    raw: str | None
    raw_encoding: str
    dropped: int | msgspec.UnsetType = msgspec.UNSET


class Letter(msgspec.Struct, frozen=True):
    """A dead letter. `record` is the failed record, None if it cannot be recovered; `lacks` says
    why."""

    id: str
    stage: str
    error: str
    record: Record | None
    lacks: str = ""


class _Written(msgspec.Struct):
    """The value of a dead letter, as `dead_letter` writes it."""

    id: str
    stage: str
    error: str
    raw: str | None
    raw_encoding: str
    dropped: int = 0
    key: str | None = None
    key_base64: str | None = None
    timestamp: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """Dead letters with the same cause: `error` without its variable parts, the ids of the first
    and last."""

    stage: str
    error: str
    count: int
    replayable: int
    first: str
    last: str

    def joined(self, later: Group) -> Group:
        """Return both as one group, under the name of this one."""
        count, replayable = self.count + later.count, self.replayable + later.replayable
        return replace(self, count=count, replayable=replayable, last=later.last)


# The name of the last group if there are too many kinds.
OTHER, RARER = "other", "rarer kinds, counted together"

decode = msgspec.json.Decoder(_Written).decode


def dead_letter(record: Record, defect: RecordError) -> Outgoing:
    """Return the dead letter for a record that could not become a feature vector or an output."""
    raw, encoding = (None, "none") if record.value is None else as_text(record.value)
    body = DeadLetter(record.id, defect.stage, defect.error, raw, encoding)
    if record.dropped:
        body.dropped = record.dropped
    return Outgoing(
        topic=Topic.DEAD_LETTER,
        value=to_json(body)[:-1] + end(record.key, record.timestamp_ms),
        key=record.key,
        headers=(*record.headers, ("detectd-stage", defect.stage.encode())),
        timestamp_ms=record.timestamp_ms,
        partition=record.partition,
    )


def size(out: Outgoing) -> int:
    """Return the size in bytes of key, value and headers, including their length fields."""
    total = len(out.value) + len(out.key or b"")
    for name, value in out.headers:
        total += len(name) + len(value) + 10
    return total


def too_large(record: Record, out: Outgoing, limits: Mapping[Topic, int]) -> Outgoing:
    """Return the dead letter for a record whose output is too large for its topic.

    It keeps the record's bytes if they fit; otherwise it names the position where they can be read.
    """
    defect = RecordError(
        Stage.ENCODE,
        f"the output has {size(out):,} bytes and the topic {out.topic} takes "
        f"{limits[out.topic]:,}; raise its max.message.bytes",
    )
    whole = dead_letter(record, defect)
    if size(whole) <= limits.get(Topic.DEAD_LETTER, size(whole)):
        return whole
    rest = f"{defect.error}; the record's bytes have no room here; they are still at the source"
    return dead_letter(
        msgspec.structs.replace(record, value=None, key=None, headers=()),
        RecordError(defect.stage, rest),
    )


def read(
    found: Record, columns: tuple[str, ...] | None = None, dialect: Dialect | None = None
) -> Letter:
    """Return the dead letter at `found.id`; its record stood under `columns`, in that `dialect`."""
    try:
        written = decode(found.value or b"")
        value, key = _raw(written), _key(written)
    except (ValueError, RecursionError) as broken:
        return Letter(found.id, "unknown", f"not a dead letter: {broken}", None, "no dead letter")
    letter = Letter(written.id, written.stage, written.error, None)
    if value is None:
        return msgspec.structs.replace(letter, lacks="its bytes were not kept")
    if written.dropped:
        return msgspec.structs.replace(letter, lacks="its bytes were truncated")
    ours = tuple(
        (name, content) for name, content in found.headers if name not in (STAGE, REPLAYED)
    )
    place = PLACE.fullmatch(written.id)
    record = Record(
        id=written.id,
        value=value,
        key=key,
        headers=(*ours, (REPLAYED, found.id.encode())),
        timestamp_ms=written.timestamp,
        partition=int(place[1]) if place else None,
        columns=columns,
        dialect=dialect or Dialect(),
    )
    return msgspec.structs.replace(letter, record=record)


def grouped(letters: Iterable[Letter], most: int = memory_budget.GROUPS) -> list[Group]:
    """Group by stage and error, most frequent first; within a group keep the order of `letters`.

    Return at most `most` groups. If there are more kinds, the rarest so far are merged into a last
    group of stage `other`; later ones of a merged kind start a new count.
    """
    groups: dict[tuple[str, str], Group] = {}
    others: Group | None = None
    for letter in letters:
        alike = _shown(letter.stage), _shown(pattern(letter.error))
        one = Group(*alike, 1, int(letter.record is not None), _shown(letter.id), _shown(letter.id))
        groups[alike] = groups[alike].joined(one) if alike in groups else one
        if len(groups) > most:
            others = _merged(groups, others, most)
    ranked = sorted(groups.values(), key=_rank)
    return ranked if others is None else [*ranked, others]


def _merged(groups: dict[tuple[str, str], Group], others: Group | None, most: int) -> Group:
    """Remove the rarer half of `groups`; return it merged with the `others` so far."""
    ranked = sorted(groups.values(), key=_rank)
    for group in ranked[most // 2 :]:
        del groups[group.stage, group.error]
        others = others.joined(group) if others else replace(group, stage=OTHER, error=RARER)
    assert others is not None
    return others


def _rank(group: Group) -> tuple[int, str, str]:
    return -group.count, group.stage, group.error


def _shown(text: str) -> str:
    """Return text of a dead letter, which anyone may have written, cut to fit a table."""
    most = memory_budget.TEXT_CHARACTERS
    return text if len(text) <= most else f"{text[:most]}…"


def pattern(error: str) -> str:
    """Return the error without the numbers and values that differ from record to record."""
    error = error[: memory_budget.ESCAPED_BYTES]  # a table shows far less
    error = WHAT_IS_THERE.sub(r"\1", error)
    return PARTICULARS.sub(lambda found: found[1] or ("N" if found[0].isdecimal() else "…"), error)


def _raw(written: _Written) -> bytes | None:
    if written.raw is None:
        return None
    if written.raw_encoding == "base64":
        return base64.b64decode(written.raw, validate=True)
    return written.raw.encode()


def _key(written: _Written) -> bytes | None:
    if written.key_base64 is not None:
        return base64.b64decode(written.key_base64, validate=True)
    return None if written.key is None else written.key.encode()
