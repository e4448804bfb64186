"""The feed of models survives any record, and refuses each in one line."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import tarfile
from datetime import UTC, datetime
from types import SimpleNamespace

import numpy as np
import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.models import archive, training
from detectd.models.announcement import (
    MOST_PIECES,
    Announcement,
    Pieces,
    announced,
    require_possible,
)
from detectd.models.model import Recipe
from detectd.models.replication import Feed
from detectd.models.store import Store

VERSION = "20260301T000000Z-abcdef"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """The archive of a sound model, and its version."""
    store = Store(tmp_path_factory.mktemp("ours"))
    rows = np.random.default_rng(1).normal(size=(300, 2))
    model = training.train(rows, Recipe("HBOS", 0.1), ("a", "b"), datetime(2026, 3, 1, tzinfo=UTC))
    store.save(model)
    return archive.pack(store, model.version), model.version


class Topic:
    """A feed over records that are handed to it, as the consumer would."""

    def __init__(self, directory):
        self.store = Store(directory / "theirs")
        self.store.make()
        self.feed = Feed(None, "models", self.store)
        self.offset = 0

    def send(self, key, value):
        """Hand over a record, and return the lines that the log has of it."""
        self.offset += 1
        record = SimpleNamespace(key=key, value=value, offset=self.offset)
        with structlog.testing.capture_logs() as lines:
            self.feed._take(record, self.store.directory / "feed.json")
        return lines

    def publish(self, content, version=VERSION, size=100_000, **claims):
        pieces = [content[at : at + size] for at in range(0, len(content), size)]
        for number, piece in enumerate(pieces):
            assert self.send(f"{version}/{number}".encode(), piece) == []
        digest = hashlib.sha256(content).hexdigest()
        claim = {"version": version, "pieces": len(pieces), "sha256": digest} | claims
        return self.send(b"active", json.dumps(claim).encode())

    def answers(self, packed):
        """Whether a sound model still gets through."""
        content, version = packed
        (line,) = self.publish(content, version)
        return line["event"] == "models.received" and self.store.active() == version


@pytest.fixture
def topic(tmp_path):
    return Topic(tmp_path)


def refused(topic, lines):
    (line,) = lines
    assert line["event"] == "models.refused"
    assert len(line["reason"]) <= 400
    assert topic.feed.refused == 1
    assert topic.store.versions() == []
    return line["reason"]


ANNOUNCEMENTS = {
    "not JSON": b"\xff\x00",
    "nothing": b"",
    "null": b"null",
    "deep": b'{"version":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep and unknown": b'{"x":' + b'{"x":' * 5_000 + b"1" + b"}" * 5_001,
    "huge number": b'{"version": "v", "pieces": 1' + b"0" * 5_000 + b', "sha256": "0"}',
    "other types": b'{"version": ["v"], "pieces": "1", "sha256": 0}',
    "a fraction": b'{"version": "v", "pieces": 1.5, "sha256": "0"}',
    "none": b'{"version": "v", "pieces": 0, "sha256": "0"}',
    "less than none": b'{"version": "v", "pieces": -1, "sha256": "0"}',
    "10^12": b'{"version": "v", "pieces": 1000000000000, "sha256": "0"}',
    "not there": b'{"version": "v", "pieces": 3, "sha256": "0"}',
    "a path": b'{"version": "../v", "pieces": 1, "sha256": "0"}',
    "NUL": b'{"version": "v\\u0000", "pieces": 1, "sha256": "0"}',
    "half a pair": b'{"version": "\\ud83d", "pieces": 1, "sha256": "0"}',
    "long": b'{"version": "' + b"v" * 100_000 + b'", "pieces": 1, "sha256": "0"}',
}


@pytest.mark.parametrize("value", ANNOUNCEMENTS.values(), ids=ANNOUNCEMENTS.keys())
def test_an_announcement_that_is_none_is_refused_in_one_line(topic, packed, value):
    refused(topic, topic.send(b"active", value))
    assert topic.answers(packed)


@pytest.mark.parametrize(
    "key", [None, b"", b"\xff", b"../v/0", b"v", b"v/-1", b"v/00", b"v/1/2", b"a" * 10_000]
)
def test_a_record_that_is_no_piece_is_refused_in_one_line(topic, packed, key):
    refused(topic, topic.send(key, b"x" * 1000))
    assert topic.answers(packed)


def test_a_flood_of_them_is_no_flood_of_lines(topic, packed):
    lines = [line for _ in range(1000) for line in topic.send(b"?", b"x")]
    assert [line["records"] for line in lines] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]
    assert topic.feed.refused == 1000
    assert topic.answers(packed)


def test_tombstones_duplicates_and_records_out_of_order_do_no_harm(topic, packed):
    content, version = packed
    assert topic.send(b"active", None) == []
    assert topic.send(f"{version}/0".encode(), None) == []
    claim = {"version": version, "pieces": 1, "sha256": hashlib.sha256(content).hexdigest()}
    refused(topic, topic.send(b"active", json.dumps(claim).encode()))  # before its piece
    for piece in (b"another", content, content):
        assert topic.send(f"{version}/0".encode(), piece) == []
    (line,) = topic.send(b"active", json.dumps(claim).encode())
    assert line["event"] == "models.received"


def test_pieces_that_nothing_announces_take_no_more_memory_than_the_limit(topic, packed):
    pieces = topic.feed._pieces = Pieces(most=1_000_000)
    lines = [line for n in range(100) for line in topic.send(b"v/%d" % n, bytes(50_000))]
    assert pieces.weight <= 1_000_000
    assert {line["event"] for line in lines} == {"models.refused"}
    assert topic.answers(packed)
    assert pieces.weight == 0


def members(content):
    with tarfile.open(fileobj=io.BytesIO(content)) as opened:
        return {entry.name: opened.extractfile(entry).read() for entry in opened}


def tar(files, **changes):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            for attribute, value in changes.items():
                setattr(entry, attribute, value)
            opened.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def with_manifest(files, **changes):
    """The files, with a changed manifest that has the hashes of the others."""
    manifest = json.loads(files["manifest.json"]) | changes
    for name, content in files.items():
        if name in manifest["files"]:
            manifest["files"][name] = hashlib.sha256(content).hexdigest()
    return files | {"manifest.json": json.dumps(manifest).encode()}


def with_files(files, named):
    return json.dumps(json.loads(files["manifest.json"]) | {"files": named}).encode()


def huge_array(_):
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        made, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    return {"rows.npy": made.getvalue()}


class Raises:
    """A pickle that raises what no reader expects."""

    def __reduce__(self):
        return exec, ("raise RecursionError('planted')",)


ARCHIVES = {
    "no tar": lambda files: b"no",
    "truncated": lambda files: tar(files)[:3000],
    "compressed": lambda files: gzip.compress(tar({"manifest.json": bytes(50_000_000)})),
    "a directory": lambda files: tar(files, type=tarfile.DIRTYPE),
    "a link": lambda files: tar(files, type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "a device": lambda files: tar(files, type=tarfile.CHRTYPE),
    "a path": lambda files: tar(files | {"../x": b"x"}),
    "a long name": lambda files: tar(files | {"x" * 5000: b"x"}),
    "a file too many": lambda files: tar(files | {"more.so": b"x"}),
    "no manifest": lambda files: tar({k: v for k, v in files.items() if "json" not in k}),
    "a deep manifest": lambda files: tar(files | {"manifest.json": b"[" * 100_000}),
    "a manifest of numbers": lambda files: tar(files | {"manifest.json": b"1"}),
    "another version": lambda files: tar(with_manifest(files, version="other")),
    "no files": lambda files: tar(with_manifest(files) | {"manifest.json": b'{"version": "v"}'}),
    "files elsewhere": lambda files: tar(
        files | {"manifest.json": with_files(files, {"/etc/passwd": "0"})}
    ),
    "an array of 10^12": lambda files: tar(with_manifest(files | huge_array(files))),
    "a pickle that raises": lambda files: tar(
        with_manifest(files | {"detector.pkl": pickle.dumps(Raises())})
    ),
    "no pickle": lambda files: tar(with_manifest(files | {"detector.pkl": b"\x80"})),
    "other shapes": lambda files: tar(with_manifest(files, features=["a", "b", "c"])),
    "features of numbers": lambda files: tar(with_manifest(files, features=[1, 2])),
    "another recipe": lambda files: tar(with_manifest(files, recipe={"x": 1})),
}


@pytest.mark.parametrize("harm", ARCHIVES.values(), ids=ARCHIVES.keys())
def test_an_archive_that_is_no_model_is_refused_in_one_line(topic, packed, harm, tmp_path):
    content, version = packed
    lines = topic.publish(harm(members(content)), version)
    refused(topic, lines)
    assert topic.store.active() is None
    assert {path.name for path in tmp_path.iterdir()} == {"theirs"}
    assert topic.answers(packed)


def test_a_wrong_hash_or_a_flipped_bit_is_refused(topic, packed):
    content, version = packed
    assert "sha256" in refused(topic, topic.publish(content, version, sha256="0" * 64))
    assert topic.answers(packed)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_announcement_or_are_refused(value):
    try:
        found = announced(value)
        require_possible(found)
    except ConfigError:
        return
    assert 1 <= found.pieces <= MOST_PIECES


@given(st.lists(st.tuples(st.integers(0, 5), st.none() | st.binary(max_size=30)), max_size=40))
def test_the_weight_is_that_of_what_is_held(steps):
    pieces = Pieces(most=60)
    for number, value in steps:
        try:
            pieces.take(b"v/%d" % number, value)
        except ConfigError:
            assert value
        assert pieces.weight == sum(map(len, pieces._held.values())) <= 60
    with pytest.raises(ConfigError):
        pieces.archive(Announcement("w", 1, "0"))
