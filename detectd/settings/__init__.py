"""The configuration, and nothing else: every option is declared here, once.

Values come from one TOML file; the environment overrides them as `DETECTD_SECTION__KEY`, see
`detectd.settings.environment`. Unknown keys are errors. `detectd.commands.check` checks everything
that needs more than the value itself (does PyOD have this detector, is this directory writable).
"""

from __future__ import annotations

import os
from typing import Annotated, Self

from pydantic import model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from detectd.nearest import nearest
from detectd.settings.detector import CalibrationSettings, DetectorSettings, RejectorSettings
from detectd.settings.ends import OutputSettings, SinkSettings, SourceSettings, TopicsSettings
from detectd.settings.environment import overrides
from detectd.settings.event import EventSettings  # noqa: TC001 - pydantic needs it
from detectd.settings.kafka import KafkaSettings, SchemaRegistrySettings
from detectd.settings.keys import KeysSettings
from detectd.settings.operation import LogSettings, ModelsSettings, PathsSettings, ServerSettings
from detectd.settings.training import DriftSettings, TrainingSettings
from detectd.settings.types import RELOADABLE


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True)

    source: SourceSettings
    sink: SinkSettings
    topics: TopicsSettings = TopicsSettings()
    kafka: KafkaSettings = KafkaSettings()
    schema_registry: SchemaRegistrySettings = SchemaRegistrySettings()
    event: EventSettings
    keys: KeysSettings = KeysSettings()
    output: OutputSettings = OutputSettings()
    detector: DetectorSettings = DetectorSettings()
    rejector: Annotated[RejectorSettings, RELOADABLE] = RejectorSettings()
    calibration: CalibrationSettings = CalibrationSettings()
    training: TrainingSettings = TrainingSettings()
    drift: Annotated[DriftSettings, RELOADABLE] = DriftSettings()
    models: ModelsSettings = ModelsSettings()
    server: ServerSettings = ServerSettings()
    log: Annotated[LogSettings, RELOADABLE] = LogSettings()
    paths: PathsSettings = PathsSettings()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source.format == "avro" and self.schema_registry.url is None:
            raise ValueError('schema_registry.url: source.format = "avro" needs it')
        if self.training.on_warmup == "hold" and self.source.kind == "stdin":
            raise ValueError(
                'training.on_warmup: "hold" rereads the stream, which stdin does not allow; set '
                '"abstain" or "pass"'
            )
        backfill = self.source.kind == "file" and self.source.bounded
        if backfill and self.training.every_seconds is not None:
            raise ValueError(
                "training.every_seconds: a file that is read to its end gives the same verdicts "
                "each time, so retraining cannot follow the clock; set every_events, or "
                "source.follow = true"
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
            raise ValueError("kafka.delivery: at_least_once needs Kafka at both ends; remove it")
        if self.output.value == "original" and self.sink.kind != "kafka":
            raise ValueError(
                f'output.value: "original" puts the verdict in headers, and a {self.sink.kind} '
                'sink has none; set "envelope"'
            )
        return self

    @model_validator(mode="after")
    def _zones_have_keys(self) -> Self:
        if self.calibration.by_key and self.event.key is None and self.source.kind != "kafka":
            raise ValueError(
                "calibration.by_key: it is keys that have a zone of their own; set event.key to "
                "the field that holds them"
            )
        return self

    @model_validator(mode="after")
    def _silence_can_be_told(self) -> Self:
        if self.keys.silent_after is None:
            return self
        recorded = self.source.kind == "kafka"
        if self.event.key is None and not recorded:
            raise ValueError(
                "keys.silent_after: only keys fall silent; set event.key to the field that holds "
                "them"
            )
        if self.event.timestamp is None and not recorded:
            raise ValueError(
                "keys.silent_after: silence is a span of event time; set event.timestamp to the "
                "field that holds it"
            )
        if self.topics.alerts is None:
            raise ValueError(
                "keys.silent_after: silences are reported as alerts; set topics.alerts"
            )
        return self

    @model_validator(mode="after")
    def _routine_can_be_known(self) -> Self:
        if not self.keys.routine or self.source.kind == "kafka":
            return self
        for key, what in (
            (
                "key",
                "each key has a routine of its own; set event.key to the field that is the key",
            ),
            ("timestamp", "routine goes by the time of day; set event.timestamp to its field"),
        ):
            if getattr(self.event, key) is None:
                raise ValueError(f"keys.routine: {what}")
        return self

    @model_validator(mode="after")
    def _columns_hold_the_features(self) -> Self:
        columns = self.source.csv.columns
        lacks = next((name for name in self.event.fields if name not in columns), None)
        if columns and lacks is not None:
            close = nearest(lacks, columns)
            asks = f"did you mean {close!r}?" if close else f"they are {', '.join(columns)}"
            raise ValueError(
                f"source.csv.columns: {lacks!r} of event.features is not one of them; {asks}"
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
        """Return the environment before what the file says, and nothing else."""
        tables = overrides(settings_cls, os.environ).tables
        return (InitSettingsSource(settings_cls, tables), init_settings)
