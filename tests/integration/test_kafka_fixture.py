"""Where Kafka cannot be had, its tests do not pass by not running."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import shared_broker
from tests.support.paths import ROOT

TESTS = ROOT / "tests"
ONE = "tests/integration/test_kafka_source.py::test_missing_topics_are_named"


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 error")])
def test_without_java_a_test_is_skipped_and_under_ci_it_fails(
    tmp_path: Path, ci: str, outcome: str
) -> None:
    environment = {**os.environ, "PATH": str(tmp_path), "CI": ci}
    for name in ("DETECTD_TEST_KAFKA", shared_broker.DIRECTORY):
        environment.pop(name, None)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-n", "0", ONE]
    done = subprocess.run(
        command, cwd=TESTS.parent, env=environment, capture_output=True, text=True, timeout=60
    )
    assert outcome in done.stdout
    assert "no java: install a JRE" in done.stdout
    assert "DETECTD_TEST_KAFKA=host:port" in done.stdout
