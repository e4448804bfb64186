"""The source of events, the sink of verdicts, and the format of outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from detectd.filesystem.compressed_names import SUFFIXES as PACKED
from detectd.pipeline import memory_budget
from detectd.pipeline.output_detail import Detail
from detectd.settings.csv import CsvSettings
from detectd.settings.types import RELOADABLE, Name, OutputDirectory, Seconds, Section

RowFormat = Literal["json", "csv"]  # of files and pipes
SUFFIXES: dict[str, RowFormat] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
}


class SourceSettings(Section):
    """The source of events."""

    kind: Literal["file", "stdin", "kafka"]
    path: Path | None = None
    follow: bool = False
    format: Literal["auto", "json", "csv", "avro"] = "auto"
    topics: tuple[Name, ...] = ()
    batch_records: Annotated[int, RELOADABLE] = Field(default=2000, ge=1, le=1_000_000)
    batch_seconds: Annotated[float, RELOADABLE] = Field(default=1.0, gt=0, le=60)
    batch_bytes: int = Field(default=memory_budget.BATCH_BYTES, ge=1 << 20)
    max_record_bytes: int = Field(default=1_048_576, ge=2)
    # Beyond about 300 levels, JSON readers begin to refuse.
    max_depth: int = Field(default=128, ge=1, le=256)
    stale_after: Seconds | None = None
    csv: CsvSettings = CsvSettings()
    follow_symlinks: bool = False
    rotated: tuple[Name, ...] = ()
    rotate_wait_seconds: float = Field(default=5.0, ge=0, le=3600)

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        if self.kind == "file" and self.path is None:
            raise ValueError('kind = "file" needs path')
        if self.kind == "kafka" and not self.topics:
            raise ValueError('kind = "kafka" needs topics, a list of the topics to read')
        if self.follow and self.path is not None and self.path.suffix in PACKED:
            raise ValueError(f"{self.path} is compressed and cannot grow; set follow = false")
        if self.kind != "kafka" and self.format == "avro":
            raise ValueError('format = "avro" is for Kafka records; set kind = "kafka"')
        if self.kind == "kafka" and self.format == "csv":
            raise ValueError('format = "csv" needs a header line, which Kafka records do not have')
        return self

    def row_format(self, path: Path | None) -> RowFormat:
        """Return the format of a file's records: by its name, else as configured, else JSON."""
        suffixes = path.suffixes if path else []
        named = next((SUFFIXES[end] for end in reversed(suffixes) if end in SUFFIXES), None)
        if self.format in ("json", "csv") and (path == self.path or named is None):
            return self.format
        return named or "json"

    @property
    def bounded(self) -> bool:
        """Return whether the source ends by itself."""
        return self.kind == "stdin" or (self.kind == "file" and not self.follow)


class SinkSettings(Section):
    """The sink of verdicts."""

    kind: Literal["file", "stdout", "kafka"]
    directory: OutputDirectory | None = None
    fsync: bool = True

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        if self.kind == "file" and self.directory is None:
            raise ValueError('kind = "file" needs directory')
        return self


class TopicsSettings(Section):
    """The names of the four output topics on Kafka, of the optional alerts topic, and of the topic
    with the state of keys."""

    normal: Name = "detectd.normal"
    anomaly: Name = "detectd.anomaly"
    abstain: Name = "detectd.abstain"
    dead_letter: Name = "detectd.dead_letter"
    alerts: Name | None = None
    keys: Name = "detectd.keys"

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [name for name in self.model_dump().values() if name is not None]
        if len(set(names)) < len(names):
            raise ValueError("the topics must have different names")
        return self


class OutputSettings(Section):
    """The format of an output record."""

    value: Literal["envelope", "original"] = "envelope"
    detail: Detail = "full"
    explain: bool = False

    @model_validator(mode="after")
    def _explains_in_detail(self) -> Self:
        if self.explain and self.detail == "verdict":
            raise ValueError('explanations contain scores; set explain = false or detail = "full"')
        return self
