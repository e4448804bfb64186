"""The base class of all sections, and shared types of values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, lt=1)]
Cost = Annotated[float, Field(ge=0, le=1e100, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1)]
SecretFile = Annotated[Path, "holds a secret"]
OutputDirectory = Annotated[Path, "is written"]
# Marks keys, or whole sections, that take effect without a restart. None of them needs a new fit:
# the zone is recomputed from the model's calibration scores.
RELOADABLE = "takes effect with a reload"

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def without_credentials(instead: str) -> AfterValidator:
    """Refuse an address with a user or password: `instead` names the keys for these."""

    def check(address: str) -> str:
        # Anywhere: what follows a "/" or "#" in a password is no longer part of the host.
        if "@" in address:
            raise ValueError(f"credentials do not belong in an address; set {instead}")
        return address

    return AfterValidator(check)


def _host_name(name: str) -> str:
    if not re.fullmatch(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.?", name):
        raise ValueError('must be a host name without a port, or ".example.com" for all under it')
    return name


HostName = Annotated[Name, AfterValidator(_host_name)]


class Section(BaseModel):
    """A table of the file. Booleans and numbers are not converted from other types."""

    model_config = ConfigDict(extra="forbid", frozen=True)
