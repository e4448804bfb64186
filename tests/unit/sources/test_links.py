"""Links to a source: whose they are, and whose files they lead to."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from detectd.errors import ConfigError
from detectd.filesystem import owners
from detectd.filesystem.safe_walk import Walk
from detectd.sources.file import MOST_SILENT, FileSource

WRITER, VICTIM = 4001, 4002

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


@pytest.fixture
def opened():
    sources = []

    def opened(place, position=None, **options):
        usual = {"row_format": "json", "follow": True, "max_record_bytes": 1000}
        sources.append(FileSource(place, **usual | options))
        sources[-1].start(position)
        return sources[-1]

    yield opened
    for source in sources:
        source.close()


def values(source):
    return [record.value for record in source.read(1000, 0).records]


def of(owner, path, content=None):
    """A file, directory or link of that user."""
    if content is not None:
        path.write_bytes(content)
    os.chown(path, owner, owner, follow_symlinks=False)
    return path


def link(owner, path, target):
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    return of(owner, path)


@needs_root
def test_a_link_of_one_user_to_a_file_of_another_is_refused_and_both_are_named(tmp_path, opened):
    secret = of(VICTIM, tmp_path / "secret", b"hush\n")
    place = link(WRITER, tmp_path / "events.jsonl", secret)
    with pytest.raises(ConfigError) as refused:
        opened(place)
    for said in (place, secret, f"uid {WRITER}", f"uid {VICTIM}", "source.follow_symlinks = true"):
        assert str(said) in str(refused.value)
    assert values(opened(place, follow_symlinks=True)) == [b"hush"]


@needs_root
@pytest.mark.parametrize("owner", [0, WRITER])
def test_a_link_of_root_or_of_the_owner_is_followed(tmp_path, opened, owner):
    target = of(WRITER, tmp_path / "today.jsonl", b"1\n")
    assert values(opened(link(owner, tmp_path / "events.jsonl", target))) == [b"1"]


@needs_root
def test_every_link_on_the_way_counts(tmp_path, opened):
    (tmp_path / "theirs").mkdir()
    of(VICTIM, tmp_path / "theirs" / "events.jsonl", b"hush\n")
    directory = link(WRITER, tmp_path / "logs", "theirs")
    inner = link(WRITER, tmp_path / "inner", "theirs/events.jsonl")
    outer = link(0, tmp_path / "outer", inner)
    for place in (directory / "events.jsonl", outer):
        with pytest.raises(ConfigError, match=f"symbolic link owned by uid {WRITER}"):
            opened(place)


@needs_root
def test_a_link_that_is_changed_to_a_file_of_another_is_waited_out(tmp_path, opened):
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    secret = of(VICTIM, theirs / "auth.log", b"hush\n")
    of(VICTIM, theirs / "auth.log.1", b"hush, earlier\n")
    days = [of(WRITER, tmp_path / f"day-{n}.jsonl", b"%d\n" % n) for n in (1, 2)]
    place = link(WRITER, tmp_path / "current", days[0])
    source = opened(place)
    assert values(source) == [b"1"]
    link(WRITER, place, secret)
    with capture_logs() as logs:
        assert [values(source) for _ in range(3)] == [[], [], []]
    assert [entry["event"] for entry in logs] == ["source.refused"]
    position = source.read(1, 0).position
    days[0].unlink()
    with pytest.raises(ConfigError, match=f"belongs to uid {VICTIM}"):
        opened(place, position)
    link(WRITER, place, days[1])
    assert values(source) == [b"2"]


@needs_root
def test_a_rotated_name_may_be_such_a_link_too(tmp_path, opened):
    place = of(WRITER, tmp_path / "events.jsonl", b"1\n")
    source = opened(place)
    assert values(source) == [b"1"]
    secret = of(VICTIM, tmp_path / "secret", b"hush\n")
    place.rename(tmp_path / "events.jsonl.2")
    link(WRITER, tmp_path / "events.jsonl.1", secret)
    of(WRITER, place, b"2\n")
    with capture_logs() as logs:
        assert values(source) == [b"2"]
    assert "source.refused" in [entry["event"] for entry in logs]


@needs_root
def test_users_that_cannot_be_told_apart_are_not_taken_for_one(tmp_path, opened, monkeypatch):
    target = of(WRITER, tmp_path / "today.jsonl", b"1\n")
    place = link(WRITER, tmp_path / "events.jsonl", target)
    monkeypatch.setattr(owners, "anonymous", lambda: WRITER)
    with pytest.raises(ConfigError, match="an unknown user"):
        opened(place)


def test_what_was_looked_at_is_what_is_opened(tmp_path):
    place = tmp_path / "events.jsonl"
    place.write_bytes(b"looked at")
    with Walk(place) as walk:
        place.unlink()
        place.write_bytes(b"swapped")
        descriptor = walk.open(os.O_RDONLY)
    with os.fdopen(descriptor, "rb") as file:
        assert file.read() == b"looked at"


def outcome(look):
    try:
        return look()
    except OSError as failed:
        return failed.errno


@given(st.lists(st.sampled_from(["a", "b", "l", "m", "..", "."]), max_size=6), st.data())
def test_a_walk_ends_where_the_kernel_does(tmp_path_factory, parts, data):
    home = tmp_path_factory.mktemp("walk")
    (home / "a" / "b").mkdir(parents=True)
    (home / "b").write_bytes(b"")
    targets = st.sampled_from(["a", "a/b", "b", "../b", "..", "l", "nowhere", str(home / "a")])
    for there in (home / "l", home / "m", home / "a" / "l", home / "a" / "m"):
        there.symlink_to(data.draw(targets))
    place = Path(home, *parts)

    def by_walking():
        with Walk(place) as walk:
            return walk.status.st_ino, walk.place

    assert outcome(by_walking) == outcome(lambda: (place.stat().st_ino, place.resolve()))


def test_a_file_that_the_kernel_makes_is_none(opened):
    with pytest.raises(ConfigError, match="generated by the kernel as it is read"):
        opened(Path("/proc/self/environ"), row_format="csv")


def test_a_file_by_its_descriptor_is_read(tmp_path, opened):
    with (tmp_path / "events.jsonl").open("w+b") as file:
        file.write(b"1\n")
        file.flush()
        assert values(opened(Path(f"/proc/self/fd/{file.fileno()}"), follow=False)) == [b"1"]


@pytest.mark.slow
@pytest.mark.parametrize("follow", [True, False])
def test_a_hole_is_read_a_piece_at_a_time(tmp_path, opened, follow):
    place = tmp_path / "events.jsonl"
    with place.open("wb") as file:
        file.truncate(2 * MOST_SILENT + 1)
        file.seek(0, os.SEEK_END)
        file.write(b"1\n")
    source = opened(place, follow=follow)
    batches = [source.read(1, 0) for _ in range(4)]
    found = [[record.value for record in batch.records] for batch in batches]
    assert found[:1] == [[]]
    assert [value for each in found for value in each] == [b"1"]
    assert 0 < batches[0].position["offset"] <= MOST_SILENT + (1 << 18)
