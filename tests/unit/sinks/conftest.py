"""A file sink with its directory of outputs."""

import pytest

from detectd.sinks.file import FileSink


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def sink(out):
    sink = FileSink(out, fsync=False)
    sink.open()
    yield sink
    sink.close()
