"""The log of keys on disk: a restart finds what the last commit had, whatever came after it."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.features.key_rows import HEADER_WORDS
from detectd.features.key_table import KeyTable
from detectd.features.key_tables import KeyTables
from detectd.models.locks import DirectoryLockedError
from detectd.service import key_frames, key_log
from detectd.service.key_log import KeyLog
from detectd.service.key_memory import key_memory
from detectd.stream_names import keys_stream
from tests.support.engines import settings as settings_of
from tests.support.key_tables import EVENTS, contents, score
from tests.support.paths import ROOT

OPS = (("mean(cpu)", 2), ("last(cpu)", 1))
PARTITIONS = ("a/0", "a/1")


def opened(directory, ops=OPS, max_keys=4, sync=False, stream="s"):
    words = sum(size for _, size in ops)
    tables = KeyTables(lambda: KeyTable(words, max_keys=max_keys, idle_ms=30.0))
    return KeyLog("sink.directory", directory, tables, ops, stream=stream, sync=sync)


def see(log, events):
    """Let the events pass, every second one in the other partition."""
    return [score(log.tables.of(name), events[i::2]) for i, name in enumerate(PARTITIONS)]


def everything(log):
    return {name: contents(log.tables.of(name)) for name in PARTITIONS}, [
        log.tables.of(name).counters for name in PARTITIONS
    ]


def commit(log):
    state = log.snapshot()
    log.on_commit()
    return json.loads(json.dumps(state))


def batch(number, count=30, keys=6):
    """Return events that depend on the number alone."""
    rng = np.random.default_rng(number)
    return [
        (b"k%d" % rng.integers(keys), float(rng.integers(90)), float(rng.normal()))
        for _ in range(count)
    ]


def logs(directory):
    return sorted(directory.glob("keys-*.log"))


def test_a_restart_finds_nothing_where_nothing_was(tmp_path):
    log = opened(tmp_path)
    assert log.restore({})
    assert log.snapshot() == {}
    log.on_commit()
    log.close()
    assert logs(tmp_path) == []


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(st.lists(EVENTS, min_size=1, max_size=8), st.booleans(), st.data())
def test_a_crash_at_any_moment_takes_back_what_was_not_committed(
    tmp_path_factory, batches, compact, data
):
    """The same batches without and with crashes, after each of which the uncommitted come again."""
    directory = tmp_path_factory.mktemp("keys")
    whole = opened(tmp_path_factory.mktemp("whole"))
    log, state = opened(directory), {}
    more, key_log.MORE = key_log.MORE, 0 if compact else key_log.MORE
    try:
        for number, events in enumerate(batches):
            for lost in batches[number : number + data.draw(st.integers(0, 2), label="lost")]:
                see(log, lost)
                if data.draw(st.booleans(), label="written"):
                    log.snapshot()
            if data.draw(st.booleans(), label="process ends"):
                log.close()
                log = opened(directory)
                assert log.restore(state)
            else:
                log.rollback()
            assert everything(log) == everything(whole)
            assert repr(see(log, events)) == repr(see(whole, events))
            state = commit(log)
            whole.tables.on_commit()
        assert len(logs(directory)) <= 1
    finally:
        key_log.MORE = more
        log.close()
        whole.close()


@pytest.mark.parametrize("compacts", [False, True])
def test_cut_anywhere_behind_the_commit_it_is_that_commit(tmp_path, monkeypatch, compacts):
    """A process killed while it writes has written any part of it, in this file or a new one."""
    log = opened(tmp_path)
    see(log, batch(1))
    commit(log)
    see(log, batch(2))
    state, committed = commit(log), everything(log)
    (old,) = logs(tmp_path)
    if compacts:
        monkeypatch.setattr(key_log, "MORE", -(1 << 30))
    see(log, batch(3))
    log.snapshot()
    log.close()
    written = next(path for path in logs(tmp_path) if compacts == (path != old))
    content = written.read_bytes()
    first = 0 if compacts else state["bytes"]
    assert first < len(content) - 100
    for length in range(first, len(content) + 1):
        written.write_bytes(content[:length])
        log = opened(tmp_path)
        assert log.restore(state)
        assert everything(log) == committed
        log.close()
        assert old.stat().st_size == state["bytes"]
    log = opened(tmp_path)
    log.restore(state)
    see(log, batch(4))
    commit(log)
    assert len(logs(tmp_path)) == 1
    log.close()


@pytest.mark.parametrize("where", ["cut", "flipped"])
def test_damage_in_what_counts_is_refused_in_a_line(tmp_path, where):
    log = opened(tmp_path)
    for number in range(3):
        see(log, batch(number))
        state = commit(log)
    log.close()
    (path,) = logs(tmp_path)
    content = path.read_bytes()
    for at in range(0, len(content), 7):
        wrong = bytearray(content)
        wrong[at] ^= 0x10
        path.write_bytes(content[:at] if where == "cut" else bytes(wrong))
        log = opened(tmp_path)
        with pytest.raises(ConfigError) as refused:
            log.restore(state)
        assert str(refused.value).startswith(f"sink.directory: {path} is ")
        assert "let all keys start over" in str(refused.value)
        assert "\n" not in str(refused.value)
        log.close()
    path.write_bytes(content)
    log = opened(tmp_path)
    assert log.restore(state)
    log.close()


def test_a_log_that_is_gone_begins_anew_and_says_so(tmp_path):
    log = opened(tmp_path)
    see(log, batch(1))
    state = commit(log)
    log.close()
    logs(tmp_path)[0].unlink()
    log = opened(tmp_path)
    assert not log.restore(state)
    assert [*log.tables.items()] == []
    see(log, batch(1))
    assert log.restore(commit(log))
    log.close()


def test_the_log_is_bounded_and_not_written_anew_each_time(tmp_path, monkeypatch):
    monkeypatch.setattr(key_log, "MORE", 20_000)
    log, names, largest, live = opened(tmp_path, max_keys=50), set(), 0, 0
    for number in range(300):
        see(log, batch(number, keys=40))
        state = commit(log)
        names.add(state["file"])
        live = max(live, state["began"])
        largest = max(largest, state["bytes"])
        assert len(logs(tmp_path)) == 1
    log.close()
    assert largest < key_log.GROWTH * live + 20_000 + 3_000
    assert 3 < len(names) < 60


def test_a_commit_without_events_writes_nothing(tmp_path):
    log = opened(tmp_path)
    see(log, batch(1))
    state = commit(log)
    (path,) = logs(tmp_path)
    before = path.stat()
    assert commit(log) == state
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    log.close()


def test_a_commit_writes_the_words_that_changed_alone(tmp_path):
    ops = (("season(cpu)", 1_500),)
    log = opened(tmp_path, ops)
    table = log.tables.of("a/0")

    def event(time):
        slots = table.slots_of([b"k"], np.array([time]))
        table.rows[slots.slot, HEADER_WORDS + 7] = time
        return commit(log)

    slots = table.slots_of([b"k"], np.array([0.0]))
    table.rows[slots.slot, HEADER_WORDS:] = 1.0
    first = commit(log)
    assert first["bytes"] > 1_500 * 10
    assert event(1.0)["bytes"] - first["bytes"] < 150
    log.close()


def test_ops_that_stay_keep_their_words_and_others_begin(tmp_path, capsys):
    log = opened(tmp_path)
    see(log, [(b"k", 1.0, 5.0), (b"k", 2.0, 6.0), (b"k", 3.0, 7.0)])
    state = commit(log)
    log.close()
    log = opened(tmp_path, (("new", 2), ("last(cpu)", 1), ("mean(mem)", 2)))
    assert log.restore(state)
    assert log.snapshot() == state
    (row,) = log.tables.of("a/0").rows[:1].tolist()
    assert row[HEADER_WORDS:] == [0.0, 0.0, 7.0, 0.0, 0.0]
    assert row[1] == 2.0
    log.on_commit()
    log.close()
    # Until something is committed, the old one is as good as ever; then it is gone.
    log = opened(tmp_path)
    assert log.restore(state)
    assert log.tables.of("a/0").rows[0, HEADER_WORDS:].tolist() == [2.0, 9.5, 7.0]
    log.close()
    log = opened(tmp_path, OPS[::-1])
    assert log.restore(state)
    assert log.tables.of("a/0").rows[0, HEADER_WORDS:].tolist() == [7.0, 2.0, 9.5]
    see(log, batch(1))
    assert commit(log)["file"] != state["file"]
    assert len(logs(tmp_path)) == 1
    log.close()


def test_what_is_here_is_not_read_again_and_what_another_wrote_is(tmp_path, monkeypatch):
    log = opened(tmp_path)
    see(log, batch(1))
    first = commit(log)
    see(log, batch(2))
    second, before = commit(log), everything(log)
    see(log, batch(3))
    with monkeypatch.context() as patched:
        patched.setattr(key_frames, "payloads", None)  # It would be called for each reading.
        assert log.restore(second)
    assert everything(log) == before
    assert log.restore(first)
    assert everything(log) != before
    log.close()


def test_streams_that_take_turns_in_a_directory_keep_a_log_each(tmp_path):
    states, committed = {}, {}
    for turn in range(3):
        for stream in ("one", "other"):
            log = opened(tmp_path, stream=stream)
            assert log.restore(states.get(stream, {}))
            if turn:
                assert everything(log) == committed[stream]
            see(log, batch(turn + 10 * (stream == "one")))
            states[stream], committed[stream] = commit(log), everything(log)
            log.close()
    assert len(logs(tmp_path)) == 2


def test_a_log_named_by_an_earlier_version_goes_on_and_is_removed_when_replaced(
    tmp_path, monkeypatch
):
    log = opened(tmp_path)
    see(log, batch(1))
    state, committed = commit(log), everything(log)
    log.close()
    (path,) = logs(tmp_path)
    old, of_another = (tmp_path / f"keys-{digit * 16}.log" for digit in "ab")
    of_another.write_bytes(path.read_bytes())
    path.rename(old)
    log = opened(tmp_path)
    assert log.restore(state | {"file": old.name})
    assert everything(log) == committed
    see(log, batch(2))
    assert commit(log)["file"] == old.name
    monkeypatch.setattr(key_log, "MORE", -(1 << 30))
    see(log, batch(3))
    state = commit(log)
    log.close()
    assert logs(tmp_path) == sorted([of_another, tmp_path / state["file"]])


def test_a_copied_checkpoint_does_not_write_into_the_log_of_the_original(tmp_path):
    log = opened(tmp_path)
    see(log, batch(1))
    state, committed = commit(log), everything(log)
    see(log, batch(2))
    log.snapshot()  # what a crash leaves behind the commit
    log.close()
    (path,) = logs(tmp_path)
    content = path.read_bytes()
    copy = opened(tmp_path, stream="copy")
    assert copy.restore(state)
    assert everything(copy) == committed
    see(copy, batch(3))
    assert commit(copy)["file"] != state["file"]
    copy.close()
    assert path.read_bytes() == content
    log = opened(tmp_path)
    assert log.restore(state)
    assert everything(log) == committed
    log.close()


def test_a_copied_checkpoint_is_written_anew_before_its_original_can_go(tmp_path):
    log = opened(tmp_path)
    see(log, batch(1))
    state, committed = commit(log), everything(log)
    log.close()
    copy = opened(tmp_path, stream="copy")
    assert copy.restore(state)
    own = commit(copy)  # no key has changed
    copy.close()
    (tmp_path / state["file"]).unlink()
    copy = opened(tmp_path, stream="copy")
    assert copy.restore(own)
    assert everything(copy) == committed
    assert commit(copy) == own
    copy.close()


def test_on_the_way_to_kafka_the_stream_is_that_of_its_transactions(tmp_path):
    names = [
        keys_stream(
            settings_of(
                tmp_path,
                source={"path": tmp_path / path},
                sink={"kind": "kafka", "directory": None},
                kafka={"bootstrap_servers": ["broker:9092"], "group_id": group},
            )
        )
        for path, group in [("a", "one"), ("b", "one"), ("a", "two")]
    ]
    assert names[0] == names[1] != names[2]


def test_the_stream_is_that_of_the_commits(tmp_path):
    names = set()
    for sink in ("one", "two"):
        asked = settings_of(
            tmp_path,
            event={"features": ["a", {"of": "b", "fn": "lag"}]},
            sink={"directory": tmp_path / sink},
        )
        memory = key_memory(asked)
        memory.features.tables.of("").slots_of([b"k"], np.array([1.0]))
        names.add(memory.snapshot()["log"]["file"].rpartition("-")[0])
        memory.on_commit()
        memory.close()
    assert len(names) == len(logs(tmp_path / "models")) == 2


@pytest.mark.parametrize("file", ["../victim", "/etc/passwd", "keys.lock", 7, None])
def test_a_commit_names_no_file_but_a_log_of_keys(tmp_path, file):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "keys").mkdir()
    log = opened(tmp_path / "keys")
    assert not log.restore({"file": file, "bytes": 0, "began": 0})
    see(log, batch(1))
    commit(log)
    assert victim.read_bytes() == b"precious"
    log.close()


def test_a_log_of_another_version_is_refused(tmp_path, monkeypatch):
    log = opened(tmp_path)
    see(log, batch(1))
    state = commit(log)
    log.close()
    monkeypatch.setattr(key_frames, "FORMAT", 2)
    log = opened(tmp_path)
    with pytest.raises(ConfigError, match="written by another version"):
        log.restore(state)
    log.close()


def test_a_second_process_is_refused(tmp_path):
    log = opened(tmp_path)
    with pytest.raises(DirectoryLockedError, match=r"another detectd keeps the state of its keys"):
        opened(tmp_path)
    log.close()
    opened(tmp_path).close()


def test_files_are_private(tmp_path):
    log = opened(tmp_path)
    see(log, batch(1))
    commit(log)
    log.close()
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


FULL = """
import json, sys
from pathlib import Path
from detectd.errors import DetectdError
from tests.unit.service.test_key_log import batch, commit, everything, opened, see
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
directory = Path(sys.argv[1])
log = opened(directory)
see(log, batch(1))
state = commit(log)
committed = everything(log)
resource.setrlimit(resource.RLIMIT_FSIZE, (state["bytes"] + 40,) * 2)
see(log, batch(2))
try:
    log.snapshot()
except DetectdError as failed:
    print(failed)
log.rollback()
assert everything(log) == committed
log.close()
log = opened(directory)
assert log.restore(state)
assert everything(log) == committed
"""


@pytest.mark.slow
def test_a_full_disk_fails_the_commit_and_harms_nothing(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"sink.directory: {tmp_path} cannot be written: ")
    assert done.stdout.count("\n") == 1
