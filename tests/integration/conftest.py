"""What the tests against real brokers share."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["kafka-python", "confluent"])
def library(request: pytest.FixtureRequest) -> str:
    return str(request.param)
