"""`detectd init`: generate a first configuration from a file, with explanatory comments."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

from detectd import share
from detectd.commands.init_sample import Sample, sample
from detectd.errors import DetectdError, UsageError
from detectd.filesystem import atomic_files
from detectd.filesystem.os_errors import explained
from detectd.nearest import exists, missing
from detectd.pipeline.field_guessing import Field, Guess, guess
from detectd.settings.ends import SUFFIXES

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from detectd.commands.console import Console

STDOUT = Path("-")

CONTAMINATION = 0.02

# The template without a file, with placeholders that `detectd check` rejects.
EXAMPLE = Guess(
    time=None,
    key=None,
    features=[
        Field("cpu", "list the numeric fields by which to judge an event"),
        Field("memory", ""),
    ],
    left_out=[],
    numeric_strings=False,
    gaps=False,
)


def init(arguments: argparse.Namespace, console: Console) -> None:
    """Run `detectd init`."""
    to_stdout = arguments.output == STDOUT
    output = (arguments.output.parent.resolve() / arguments.output.name).absolute()
    if not (to_stdout or arguments.force) and output.exists():
        raise UsageError(
            f"-o {output}: already exists; overwrite it with --force, or name another file"
        )
    text = first_config(arguments.input, output.parent)
    if to_stdout:
        console.say(text)
        return
    try:
        atomic_files.replace(output, text.encode())
    except OSError as refused:
        raise explained(
            refused, f"-o {output}", "name another file", operators=UsageError
        ) from None
    console.say(f"written: {output}")
    history = arguments.input or "history.jsonl"
    console.say(
        f"Review it, then:\n  detectd check --config {output}\n"
        f"  detectd fit --config {output} --input {history}\n  detectd run --config {output}\n"
        f"Every key, with its default: {share.REFERENCE}\nFor editors: {share.SCHEMA}"
    )


def first_config(path: Path | None, home: Path) -> str:
    """Return a configuration for the file at `path`, to be kept in the directory `home`.

    Raise UsageError if the file cannot be read, DetectdError if nothing in it can be a feature.
    """
    if path is None:
        return _rendered(EXAMPLE, '"events.jsonl"', None)
    path = path.absolute()
    if not exists(path):
        raise UsageError(f"--input {missing(path, 'name a file with events')}")
    looked_at = sample(path)
    if not looked_at.events:
        raise DetectdError(
            f"--input {path}: none of its {looked_at.total:,} records can be read; write one JSON "
            "object per line, or CSV"
        )
    found = guess(looked_at.events, rows=looked_at.row_format == "csv")
    if not found.features:
        fields = "; ".join(f"{field.name}: {field.why}" for field in found.left_out)
        raise DetectdError(
            f"--input {path}: no field of its first {looked_at.total:,} records is a number that "
            f"varies, so there is nothing to judge by ({fields or 'they have no fields'})"
        )
    inside = path.is_relative_to(home)
    return _rendered(found, _quoted(str(path.relative_to(home) if inside else path)), looked_at)


def _share(records: int) -> float:
    """Return the default contamination; more if so few records would make less than one anomaly
    expected."""
    least = 2 / max(records // 2, 4)
    return max(CONTAMINATION, math.ceil(100 * least) / 100)


def _rendered(found: Guess, path: str, looked_at: Sample | None) -> str:
    looked = f"its first {looked_at.total:,} records were looked at" if looked_at else "the file"
    contamination = _share(looked_at.total) if looked_at else CONTAMINATION
    return "\n".join(
        [
            "# Written by `detectd init`: review it, then run `detectd check`.",
            "# Relative paths start at the directory of this file.",
            "",
            "[source]",
            'kind = "file"               # or "stdin", "kafka"',
            f"path = {path}  # {looked}",
            *(_format(path, looked_at) if looked_at else ()),
            "follow = false              # true: continue as the file grows, through rotation",
            "",
            *(_csv(looked_at) if looked_at else ()),
            "[sink]",
            'kind = "file"               # or "stdout", "kafka"',
            'directory = "verdicts"      # normal.jsonl, anomaly.jsonl, abstain.jsonl, ...',
            "",
            "[event]",
            *_event(found),
            "",
            "[detector]",
            'name = "GMM"                # a PyOD detector; it scores all features together',
            f"contamination = {contamination:<12g}# the share of anomalies that you expect",
            "",
            "[models]",
            'directory = "models"        # where models are kept',
            "",
        ]
    )


def _format(path: str, looked_at: Sample) -> Iterator[str]:
    if not any(f"{suffix}." in f"{path[:-1]}." for suffix in SUFFIXES):
        yield f'format = "{looked_at.row_format}"             # by its content'


def _csv(looked_at: Sample) -> Iterator[str]:
    """Yield the settings that the header and the file name do not imply."""
    if looked_at.csv:
        yield "[source.csv]"
        for key, (value, why) in looked_at.csv.items():
            yield f"{key} = {_quoted(value)}  # {why}"
        yield ""


def _event(found: Guess) -> Iterator[str]:
    yield "features = ["
    for field in found.features:
        comment = f"  # {field.why}" if field.why else ""
        yield f"  {_quoted(field.name)},{comment}"
    if found.time:
        yield '  # {fn = "hour"},  # if what is normal depends on the time of day (UTC)'
    yield "]"
    if found.left_out:
        yield "# Left out:"
        yield from (f"#   {_quoted(field.name)}: {field.why}" for field in found.left_out)
    yield _named("timestamp", found.time, "the field with the event's time")
    yield _named("key", found.key, "the field with what an event is about, such as a host")
    if found.numeric_strings:
        yield "numeric_strings = true  # the numbers are in quotes"
    if found.gaps:
        yield 'missing = "median"  # some records lack a feature; "dead_letter" sets them aside'


def _named(key: str, field: Field | None, use: str) -> str:
    if field is None:
        return f'# {key} = "…"  # {use}; none was found'
    return f"{key} = {_quoted(field.name)}  # {field.why}"


def _quoted(value: str | list[str]) -> str:
    """Return the value as TOML, whose strings and lists are like JSON's."""
    return json.dumps(value, ensure_ascii=False)
