"""`detectd init`: a first configuration from a look at a file, with comments that say why."""

from __future__ import annotations

import json
import math
from contextlib import closing
from typing import TYPE_CHECKING, Any

from detectd import wiring
from detectd.decode import fields_of
from detectd.errors import DetectdError, UsageError
from detectd.guessing import Field, Guess, guess
from detectd.input import InputFile
from detectd.settings import SUFFIXES, EventSettings, Settings, SinkSettings, SourceSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from detectd.settings import RowFormat

# So many records are looked at, from the first on.
LOOKED_AT = 20_000

CONTAMINATION = 0.02

# Without a file to look at: something to fill in, which `detectd check` complains of.
EXAMPLE = Guess(
    time=None,
    key=None,
    features=[Field("cpu", "put the numbers here by which to judge an event"), Field("memory", "")],
    left_out=[],
    numeric_strings=False,
    gaps=False,
)


def first_config(path: Path | None, home: Path) -> str:
    """A configuration for the file at `path`, to be kept in the directory `home`.

    Raises UsageError if the file cannot be read, DetectdError if nothing in it can be a feature.
    """
    if path is None:
        return _rendered(EXAMPLE, '"events.jsonl"', "the file to read", "auto", CONTAMINATION)
    path = path.absolute()
    row_format = _format(path)
    settings = _reading(path, row_format)
    events, total = _look(path, settings)
    found = guess(events, rows=row_format == "csv")
    if not found.features:
        fields = "; ".join(f"{field.name}: {field.why}" for field in found.left_out)
        raise DetectdError(
            f"--input {path}: no field of its first {total:,} records is a number that varies, so "
            f"there is nothing to judge by ({fields or 'they have no fields'})"
        )
    inside = path.is_relative_to(home)
    written = json.dumps(str(path.relative_to(home) if inside else path), ensure_ascii=False)
    looked = f"its first {total:,} records were looked at"
    named = any(suffix in SUFFIXES for suffix in path.suffixes)
    return _rendered(found, written, looked, "auto" if named else row_format, _share(total))


def _format(path: Path) -> RowFormat:
    """By the name; without one by the first character of the content."""
    named = next((SUFFIXES[end] for end in reversed(path.suffixes) if end in SUFFIXES), None)
    if named == "csv":
        return named
    settings = _reading(path, "json")
    with closing(InputFile(path, settings)) as file:
        records = file.read(1).records
    first = (records[0].value or b"").strip()[:1] if records else b""
    if first == b"[":
        raise UsageError(
            f"--input {path}: is one JSON array and has no record a line; "
            "write one with: jq -c '.[]'"
        )
    return named or ("json" if first == b"{" else "csv")


def _reading(path: Path, row_format: RowFormat) -> Settings:
    """What it takes to read a file, whatever is in it."""
    return Settings(
        source=SourceSettings(kind="file", path=path, format=row_format),
        sink=SinkSettings(kind="stdout"),
        event=EventSettings(features=("any",)),
    )


def _look(path: Path, settings: Settings) -> tuple[list[Mapping[str, Any]], int]:
    """The first events that can be read, and of how many records they are."""
    schema = wiring.schema(settings)
    events: list[Mapping[str, Any]] = []
    total = 0
    with closing(InputFile(path, settings)) as file:
        ended = False
        while not ended and total < LOOKED_AT:
            batch = file.read()
            read = (fields_of(record, schema) for record in batch.records)
            events += [fields for fields in read if fields is not None]
            total += len(batch.records)
            ended = batch.ended
    if not events:
        raise DetectdError(
            f"--input {path}: none of its {total:,} records can be read; one JSON object a line, "
            "or CSV under a header"
        )
    return events, total


def _share(records: int) -> float:
    """The usual contamination; more for so few records that it would expect no anomaly at all."""
    least = 2 / max(records // 2, 4)
    return max(CONTAMINATION, math.ceil(100 * least) / 100)


def _rendered(found: Guess, path: str, looked: str, row_format: str, contamination: float) -> str:
    return "\n".join(
        [
            "# Written by `detectd init`: look it over, then `detectd check`.",
            "# Relative paths start at the directory of this file.",
            "",
            "[source]",
            'kind = "file"               # or "stdin", "kafka"',
            f"path = {path}  # {looked}",
            *([f'format = "{row_format}"  # by its content'] if row_format != "auto" else []),
            "follow = false              # true: go on as the file grows, through rotation",
            "",
            "[sink]",
            'kind = "file"               # or "stdout", "kafka"',
            'directory = "verdicts"      # normal.jsonl, anomaly.jsonl, abstain.jsonl, ...',
            "",
            "[event]",
            *_event(found),
            "",
            "[detector]",
            'name = "IForest"            # a PyOD detector',
            f"contamination = {contamination:<12g}# the share of anomalies that you expect",
            "",
            "[models]",
            'directory = "models"        # where models are kept',
            "",
        ]
    )


def _event(found: Guess) -> Iterator[str]:
    yield "features = ["
    for field in found.features:
        comment = f"  # {field.why}" if field.why else ""
        yield f"  {_quoted(field.name)},{comment}"
    yield "]"
    if found.left_out:
        yield "# Left out:"
        yield from (f"#   {_quoted(field.name)}: {field.why}" for field in found.left_out)
    yield _named("timestamp", found.time, "the field with the event's time")
    yield _named("key", found.key, "the field with what an event is about, a host for example")
    if found.numeric_strings:
        yield "numeric_strings = true  # the numbers are in quotes"
    if found.gaps:
        yield 'missing = "median"  # some records lack a feature; "dead_letter" sets them aside'


def _named(key: str, field: Field | None, use: str) -> str:
    if field is None:
        return f'# {key} = "…"  # {use}; none was found'
    return f"{key} = {_quoted(field.name)}  # {field.why}"


def _quoted(name: str) -> str:
    return json.dumps(name, ensure_ascii=False)
