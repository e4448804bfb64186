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

from detectd.settings.across_sections import mistakes
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
        # One validator for all rules: pydantic does not call another after one has failed.
        if found := mistakes(self):
            raise ValueError("\n".join(found))
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
