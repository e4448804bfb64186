"""Replacements for outputs that their topic rejects.

A verdict becomes a dead letter of stage `deliver`. A dead letter or alert that is rejected, too, is
retried in reduced forms: first without its timestamp, then with only detectd's headers and a key,
and finally without the bytes of its record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from detectd.errors import ConfigError
from detectd.pipeline.dead_letters import DeadLetter, dead_letter, size
from detectd.pipeline.json_pieces import to_json
from detectd.pipeline.records import RecordError, Stage, Topic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from detectd.pipeline.records import Outgoing, Record

OURS = "detectd-"

read_dead_letter = msgspec.json.Decoder(DeadLetter).decode


def undelivered(
    records: Sequence[Record],
    outgoing: Sequence[Outgoing],
    reasons: Mapping[int, str],
    limits: Mapping[Topic, int],
) -> list[Outgoing]:
    """Return the outputs of a commit, with replacements for those in `reasons`, by index.

    Alerts follow the outputs of `records`, and dead letters of earlier records precede them. Raise
    ConfigError for one that is refused in its most reduced form.
    """
    replaced = list(outgoing)
    alerts = sum(out.topic is Topic.ALERTS for out in outgoing)
    earlier = len(outgoing) - alerts - len(records)
    for place, reason in reasons.items():
        out = outgoing[place]
        if out.topic not in (Topic.DEAD_LETTER, Topic.ALERTS):
            replaced[place] = _letter(records[place - earlier], reason, limits)
        elif (plainer := next_form(out)) is not None:
            replaced[place] = plainer
        else:
            raise ConfigError(
                f"topics.{out.topic}: {reason}; refused even without timestamp, headers and the "
                f"record's bytes: {out.value.decode()[:200]}"
            )
    return replaced


def _letter(record: Record, reason: str, limits: Mapping[Topic, int]) -> Outgoing:
    """Return the dead letter of a record whose verdict is refused; with its bytes if they fit."""
    whole = dead_letter(record, RecordError(Stage.DELIVER, reason))
    if size(whole) <= limits.get(Topic.DEAD_LETTER, size(whole)):
        return whole
    bare = msgspec.structs.replace(record, value=None, key=None, headers=())
    where = "the record's bytes have no room here; they are still at the source"
    return dead_letter(bare, RecordError(Stage.DELIVER, f"{reason}; {where}"))


def next_form(out: Outgoing) -> Outgoing | None:
    """Return the dead letter or alert in the next reduced form; None if there is none."""
    return next((form for form in _forms(out) if form != out), None)


def _forms(out: Outgoing) -> Iterator[Outgoing]:
    timeless = msgspec.structs.replace(out, timestamp_ms=None)
    yield timeless
    keyed = msgspec.structs.replace(
        timeless, headers=tuple(_ours(out.headers)), key=out.key or _identity(out)
    )
    yield keyed
    if out.topic is Topic.DEAD_LETTER:
        letter = read_dead_letter(out.value)
        letter.raw, letter.raw_encoding = None, "none"
        yield msgspec.structs.replace(
            keyed, value=to_json(letter), key=letter.id.encode(), headers=keyed.headers[-1:]
        )


def _identity(out: Outgoing) -> bytes:
    """Return a key for an output that has none; compacted topics take no record without."""
    if out.topic is Topic.DEAD_LETTER:
        return read_dead_letter(out.value).id.encode()
    return out.topic.encode()


def _ours(headers: Iterable[tuple[str, bytes]]) -> Iterator[tuple[str, bytes]]:
    return (header for header in headers if header[0].startswith(OURS))
