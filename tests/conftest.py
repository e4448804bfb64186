"""What all tests share: one Kafka for the session, started when the first test asks for it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from tests.support.broker import Broker

# Each has a gigabyte, with the processes that it starts.
MOST_WORKERS = 8
UNIT = Path(__file__).parent / "unit"

# How long an example takes depends on what else the machine does.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")
# For `make test-unit`: `--hypothesis-profile` is read after this.
settings.register_profile("quick", settings.get_profile("any machine"), max_examples=25)

# Their assertions tell as much as those of the tests that call them.
pytest.register_assert_rewrite("tests.support")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the files with slow tests first: workers take files in turn, and should end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: is_quick(item, slow))


def pytest_xdist_auto_num_workers() -> int:
    """Return one worker more than cores: tests of services wait a third of their time."""
    return min(1 + (os.cpu_count() or 1), MOST_WORKERS)


def is_quick(item: pytest.Item, slow: set[Path]) -> bool:
    """Return whether it is a unit test in a file without slow ones."""
    return UNIT in item.path.parents and item.path not in slow


def _keep_bytecode() -> None:
    """Let each module be compiled once, beside its source, by all workers and what they start.

    A directory of its own for bytecode would have none of the libraries'.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False


def _keep_to_one_thread() -> None:
    """Let linear algebra run in one thread, here and in what is started.

    There are more workers than cores, and threads that wait for each other keep a core busy.
    """
    for library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{library}_NUM_THREADS", "1")


def _share_a_kafka() -> None:
    from tests.support import shared_broker

    shared_broker.prepare()


_keep_bytecode()
_keep_to_one_thread()
_share_a_kafka()


@pytest.fixture(scope="session")
def kafka_broker() -> Broker:
    """A running Kafka. Without Java or Maven its tests are skipped, under CI=true they fail."""
    from tests.support import broker, shared_broker

    try:
        return shared_broker.shared()
    except broker.UnavailableError as missing:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        return give_up(f"no Kafka to test with: {missing}, or set DETECTD_TEST_KAFKA=host:port")


@pytest.fixture(scope="session")
def logrotate() -> str:
    """The real one. Without it its tests are skipped, under CI=true they fail."""
    found = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("there is no logrotate here: apt install logrotate")
    return str(found)


@pytest.fixture(scope="session")
def promtool() -> str:
    """Prometheus's own tool. Without it its tests are skipped, under CI=true they fail."""
    found = shutil.which("promtool")
    if found is None:
        give_up = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
        give_up("there is no promtool here; Debian's package prometheus has it")
    return str(found)
