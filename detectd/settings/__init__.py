"""The configuration, and nothing else: every option is declared here, once.

Values come from one TOML file; the environment overrides them as `DETECTD_SECTION__KEY`, see
`detectd.settings.environment`. Unknown keys are errors. What needs more than the value itself (does
PyOD have this detector, can this directory be written) is looked at by `detectd.commands.check`.
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from detectd.filesystem.compressed_names import SUFFIXES as PACKED
from detectd.nearest import nearest
from detectd.pipeline import memory_budget
from detectd.pipeline.output_detail import Detail
from detectd.settings.csv import CsvSettings
from detectd.settings.environment import overrides
from detectd.settings.event import EventSettings  # noqa: TC001 - pydantic needs it
from detectd.settings.kafka import KafkaSettings, SchemaRegistrySettings
from detectd.settings.training import DriftSettings, TrainingSettings
from detectd.settings.types import (
    Cost,
    HostName,
    Name,
    OutputDirectory,
    Seconds,
    SecretFile,
    Section,
    Share,
)

RowFormat = Literal["json", "csv"]  # of files and pipes
SUFFIXES: dict[str, RowFormat] = {
    ".json": "json",
    ".jsonl": "json",
    ".ndjson": "json",
    ".csv": "csv",
}


class SourceSettings(Section):
    """Where events come from."""

    kind: Literal["file", "stdin", "kafka"]
    path: Path | None = None
    follow: bool = False
    format: Literal["auto", "json", "csv", "avro"] = "auto"
    topics: tuple[Name, ...] = ()
    batch_records: int = Field(default=2000, ge=1, le=1_000_000)
    batch_seconds: float = Field(default=1.0, gt=0, le=60)
    batch_bytes: int = Field(default=memory_budget.BATCH_BYTES, ge=1 << 20)
    max_record_bytes: int = Field(default=1_048_576, ge=2)
    # Beyond some 300 levels, readers of JSON begin to refuse.
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
            raise ValueError('format = "avro" is how Kafka records are written; set kind = "kafka"')
        if self.kind == "kafka" and self.format == "csv":
            raise ValueError('format = "csv" needs a header line, which Kafka records do not have')
        return self

    def row_format(self, path: Path | None) -> RowFormat:
        """The format of a file's records: by its name, else as configured, else JSON."""
        suffixes = path.suffixes if path else []
        named = next((SUFFIXES[end] for end in reversed(suffixes) if end in SUFFIXES), None)
        if self.format in ("json", "csv") and (path == self.path or named is None):
            return self.format
        return named or "json"

    @property
    def bounded(self) -> bool:
        """Whether the source comes to an end by itself."""
        return self.kind == "stdin" or (self.kind == "file" and not self.follow)


class SinkSettings(Section):
    """Where verdicts go."""

    kind: Literal["file", "stdout", "kafka"]
    directory: OutputDirectory | None = None
    fsync: bool = True

    @model_validator(mode="after")
    def _kind_has_what_it_needs(self) -> Self:
        if self.kind == "file" and self.directory is None:
            raise ValueError('kind = "file" needs directory')
        return self


class TopicsSettings(Section):
    """The names of the four outputs on Kafka, and of the one for alarms where it is wanted."""

    normal: Name = "detectd.normal"
    anomaly: Name = "detectd.anomaly"
    abstain: Name = "detectd.abstain"
    dead_letter: Name = "detectd.dead_letter"
    alerts: Name | None = None

    @model_validator(mode="after")
    def _differ(self) -> Self:
        names = [name for name in self.model_dump().values() if name is not None]
        if len(set(names)) < len(names):
            raise ValueError("the topics must have different names")
        return self


class OutputSettings(Section):
    """What an output record looks like."""

    value: Literal["envelope", "original"] = "envelope"
    detail: Detail = "full"
    explain: bool = False

    @model_validator(mode="after")
    def _explains_in_detail(self) -> Self:
        if self.explain and self.detail == "verdict":
            raise ValueError(
                'an explanation has scores in it; set explain = false or detail = "full"'
            )
        return self


# One error for both: a union of pydantic's own would tell what is wrong with each.
def _contamination(given: Any) -> float | Literal["estimate"]:
    if given == "estimate":
        return "estimate"
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not 0 < given <= 0.5:
        raise ValueError(
            f'must be a number in (0, 0.5], or "estimate" (it is {json.dumps(given, default=str)})'
        )
    return float(given)


Contamination = Annotated[
    float | Literal["estimate"],
    BeforeValidator(
        _contamination,
        json_schema_input_type=Annotated[float, Field(gt=0, le=0.5)] | Literal["estimate"],
    ),
]


class DetectorSettings(Section):
    """Which PyOD detector, and the share of anomalies expected."""

    name: Name = "IForest"
    contamination: Contamination = 0.05
    seed: int = Field(default=0, ge=0, lt=2**32)
    compiled: bool = True
    params: dict[str, Any] = Field(default_factory=dict)


class RejectorSettings(Section):
    """How reluctant the service is to answer, and what its mistakes cost."""

    T: Annotated[float, Field(gt=math.log(2), allow_inf_nan=False)] | None = None
    max_abstain_rate: Share | None = None
    delta: Share = 0.1
    cost_false_positive: Cost = 1.0
    cost_false_negative: Cost = 1.0
    cost_rejection: Cost | None = None

    @model_validator(mode="after")
    def _one_way_to_set_the_threshold(self) -> Self:
        if self.max_abstain_rate is not None and self.T is not None:
            raise ValueError("T and max_abstain_rate are both set; keep one of them")
        return self


class CalibrationSettings(Section):
    """Where the calibration scores come from."""

    method: Literal["holdout", "cross", "in_sample"] = "holdout"
    fraction: Share = 0.5
    folds: int = Field(default=5, ge=2, le=100)


class ModelsSettings(Section):
    """Where models live, and how many of them."""

    directory: OutputDirectory = Path("models")
    keep: int = Field(default=10, ge=1)


class ServerSettings(Section):
    """Where the service shows how it is doing: `address:port`, `unix:/path`, or nowhere."""

    listen: str = "127.0.0.1:9464"
    token_file: SecretFile | None = None
    allowed_hosts: tuple[HostName, ...] = ()


class PathsSettings(Section):
    """What is asked of the directories that are written."""

    check_owners: bool = True


class LogSettings(Section):
    """What goes to stderr, and in which form."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "json", "console"] = "auto"


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    source: SourceSettings
    sink: SinkSettings
    topics: TopicsSettings = TopicsSettings()
    kafka: KafkaSettings = KafkaSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    event: EventSettings
    output: OutputSettings = OutputSettings()
    detector: DetectorSettings = DetectorSettings()
    rejector: RejectorSettings = RejectorSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    training: TrainingSettings = TrainingSettings()
    drift: DriftSettings = DriftSettings()
    models: ModelsSettings = ModelsSettings()
    server: ServerSettings = ServerSettings()
    log: LogSettings = LogSettings()
    paths: PathsSettings = PathsSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source.format == "avro" and self.schema_registry.url is None:
            raise ValueError('schema_registry.url: source.format = "avro" needs it')
        if self.training.on_warmup == "hold" and self.source.kind == "stdin":
            raise ValueError(
                'training.on_warmup: "hold" reads the stream again, and stdin cannot be; '
                'set "abstain" or "pass"'
            )
        backfill = self.source.kind == "file" and self.source.bounded
        if backfill and self.training.every_seconds is not None:
            raise ValueError(
                "training.every_seconds: a file that is read to its end gives the same verdicts "
                "each time, so no clock may decide; set every_events, or source.follow = true"
            )
        if self.event.timed and self.event.timestamp is None and self.source.kind != "kafka":
            raise ValueError(
                f"event.features: {self.event.timed[0]!r} needs the event's time; set "
                "event.timestamp to the field that holds it"
            )
        timed = self.event.timestamp is not None or self.source.kind == "kafka"
        if self.training.warmup_span_ms is not None and not timed:
            raise ValueError(
                f'training.warmup: "{self.training.warmup}" is a span of event time; set '
                "event.timestamp to the field that holds it, or give a number of events"
            )
        both = self.source.kind == "kafka" == self.sink.kind
        if self.kafka.delivery == "at_least_once" and not both:
            raise ValueError("kafka.delivery: at_least_once is between two Kafka ends; remove it")
        if self.output.value == "original" and self.sink.kind != "kafka":
            raise ValueError(
                f'output.value: "original" has the verdict in headers, and a {self.sink.kind} '
                'has none; set "envelope"'
            )
        return self

    @model_validator(mode="after")
    def _columns_hold_the_features(self) -> Self:
        columns = self.source.csv.columns
        lacks = next((name for name in self.event.fields if name not in columns), None)
        if columns and lacks is not None:
            close = nearest(lacks, columns)
            asks = f"did you mean {close!r}?" if close else f"they are {', '.join(columns)}"
            raise ValueError(
                f"source.csv.columns: {lacks!r} of event.features is none of them; {asks}"
            )
        return self

    @model_validator(mode="after")
    def _reads_not_what_it_writes(self) -> Self:
        clash = sorted(set(self.topics.model_dump().values()) & set(self.source.topics))
        if clash and self.sink.kind == "kafka":
            raise ValueError(
                f"source.topics: {clash[0]!r} is also an output in topics; name another"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before what the file says, and nothing else."""
        tables = overrides(settings_cls, os.environ).tables
        return (InitSettingsSource(settings_cls, tables), init_settings)
