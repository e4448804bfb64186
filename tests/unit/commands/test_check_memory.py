"""What `check` says of memory that the host does not have."""

import os

import pytest

from detectd.commands.check import _memory
from tests.support.engines import settings

LAG = {"of": "a", "fn": "lag"}


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """A host of 1 GiB."""
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1 << 18, "SC_PAGE_SIZE": 4096}.get)


def told(tmp_path, **sections):
    return [*_memory(settings(tmp_path, **sections))]


def test_more_keys_than_the_host_can_keep_are_warned_of(tmp_path):
    memory, warning = told(tmp_path, event={"features": [LAG]}, keys={"max": 10_000_000})
    assert memory.startswith("memory    at most ")
    amount = memory.split()[3]
    assert warning == (
        f"WARNING   memory: {amount} MiB are more than the 1,024 MiB of this host; set a smaller "
        "keys.max, or fewer or smaller features"
    )


def test_the_keys_of_one_partition_are_enough_for_a_warning(tmp_path):
    kafka = {"kind": "kafka", "path": None, "follow": False, "topics": ["in"]}
    _, warning = told(tmp_path, source=kafka, event={"features": [LAG]}, keys={"max": 10_000_000})
    assert "a smaller keys.max" in warning


def test_a_batch_that_is_too_large_is_not_blamed_on_keys(tmp_path):
    _, warning = told(tmp_path, source={"batch_bytes": 1 << 34})
    assert "set a smaller source.batch_records, source.batch_bytes or" in warning


@pytest.mark.parametrize("features", [["a"], [LAG]])
def test_what_fits_is_not_warned_of(tmp_path, features):
    assert len(told(tmp_path, event={"features": features})) == 1
