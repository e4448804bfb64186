"""Compressed files are read like others, and a damaged one is not taken for a short one."""

import bz2
import gzip
import lzma
import sys
import tracemalloc

import pytest
import zstandard

from detectd.errors import ConfigError, DetectdError
from detectd.pipeline import memory_budget
from detectd.sources.compression import DamagedError, Unpacked
from detectd.sources.file import FileSource

LINES = [b"%d" % n for n in range(100_000)]
CONTENT = b"".join(line + b"\n" for line in LINES)
PACKERS = {
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": zstandard.compress,
}


@pytest.fixture(params=PACKERS)
def path(request, tmp_path):
    path = tmp_path / f"events.jsonl{request.param}"
    half = len(CONTENT) // 2
    pack = PACKERS[request.param]
    path.write_bytes(pack(CONTENT[:half]) + pack(CONTENT[half:]))
    return path


def source(path, follow=False):
    return FileSource(
        path, row_format="json", follow=follow, max_record_bytes=1000, batch_bytes=1 << 30
    )


def test_a_packed_file_is_read_in_parts(path):
    position, got = None, []
    for _ in range(5):
        reading = source(path)
        reading.start(position)
        batch = reading.read(30_000, 0)
        got += [record.value for record in batch.records]
        position = batch.position
        reading.close()
    assert got == LINES


def test_a_packed_file_that_breaks_off_is_damaged(path):
    path.write_bytes(path.read_bytes()[:-20])
    reading = source(path)
    reading.start(None)
    with pytest.raises(DetectdError, match=r"damaged \w+ after line \d+"):
        reading.read(1_000_000, 0)
    reading.close()


def test_the_tail_is_found_in_a_packed_file(path):
    live = path.with_name("log")
    live.write_bytes(CONTENT)
    reading = source(live, follow=True)
    reading.start(None)
    position = reading.read(90_000, 0).position
    reading.close()
    path.rename(live.with_name(f"log.1{path.suffix}"))
    live.unlink()
    live.write_bytes(b"new\n")
    again = source(live, follow=True)
    again.start(position)
    records = again.read(20_000, 0).records
    again.close()
    assert [record.value for record in records] == [*LINES[90_000:], b"new"]


def test_without_the_library_for_zstd_nothing_is_passed_over(tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(b"1\n2\n")
    reading = source(path, follow=True)
    reading.start(None)
    position = reading.read(1, 0).position
    reading.close()
    path.unlink()
    (tmp_path / "log.1.zst").write_bytes(zstandard.compress(b"1\n2\n"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    for again, at in (
        (source(path, follow=True), position),
        (source(tmp_path / "log.1.zst"), None),
    ):
        with pytest.raises(ConfigError, match=r"log\.1\.zst.*pip install"):
            again.start(at)
        again.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [".zst", ".xz", ".gz", ".bz2"])
def test_a_bomb_is_unpacked_in_bounded_memory(tmp_path, kind):
    whole, most = 6 * memory_budget.PIECE_BYTES, 3 * memory_budget.PIECE_BYTES
    path = tmp_path / f"bomb{kind}"
    path.write_bytes(PACKERS[kind](bytes(whole)))
    assert path.stat().st_size < 1 << 18
    tracemalloc.start()
    try:
        with path.open("rb") as raw:
            unpacked, size = Unpacked(raw, path), 0
            while content := unpacked.read(1 << 18):
                size += len(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size == whole
    assert peak < most


def test_what_would_take_a_large_window_is_damaged(tmp_path):
    path = tmp_path / "wide.xz"
    wide = {"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 512 << 20}
    path.write_bytes(lzma.compress(b"{}", filters=[wide]))
    with path.open("rb") as raw, pytest.raises(DamagedError, match="limit"):
        Unpacked(raw, path).read(1)


def test_xz_streams_may_be_padded(tmp_path):
    path = tmp_path / "padded.xz"
    path.write_bytes(lzma.compress(b"a\n") + b"\0" * 8 + lzma.compress(b"b\n") + b"\0" * 4)
    with path.open("rb") as raw:
        assert Unpacked(raw, path).read(10) == b"a\nb\n"
