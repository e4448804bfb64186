"""The package's logrotate snippet, by the real logrotate, under a sink that goes on writing."""

from __future__ import annotations

import getpass
import grp
import gzip
import json
import os
import re
import subprocess

import pytest

from detectd.pipeline.records import Outgoing, Position, Topic
from detectd.sinks.file import FileSink
from detectd.sinks.file_reader import FileOutputs
from tests.support.paths import ROOT

SNIPPET = ROOT / "debian" / "detectd.logrotate"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "main" / "verdicts"


@pytest.fixture
def rotate(tmp_path, logrotate):
    """Rotates what is under `tmp_path` as the package does, whatever day it is."""
    own = f"su {getpass.getuser()} {grp.getgrgid(os.getegid()).gr_name}" if not os.geteuid() else ""
    text = SNIPPET.read_text(encoding="utf-8").replace("/var/lib/detectd", str(tmp_path))
    text = re.sub(r"^ *su detectd detectd$", own, text, count=1, flags=re.MULTILINE)
    configuration = tmp_path / "logrotate.conf"
    configuration.write_text(text, encoding="utf-8")
    configuration.chmod(0o600)

    def run():
        done = subprocess.run(
            [logrotate, "--force", "--state", tmp_path / "state", configuration],
            capture_output=True,
            text=True,
        )
        assert (done.returncode, done.stderr) == (0, "")

    return run


def commit(sink, *numbers, topic=Topic.NORMAL):
    outgoing = [Outgoing(topic, b'{"n":%d}' % n) for n in numbers]
    sink.commit(outgoing, Position({"n": numbers[-1]}))


def age(path):
    number = path.name.removesuffix(".gz").rpartition(".")[2]
    return -int(number) if number.isdecimal() else 0


def held(out, topic=Topic.NORMAL):
    """The records of all files, the oldest first."""
    paths = sorted(out.glob(f"{topic}.jsonl*"), key=lambda path: age(path) or 1)
    contents = [
        p.read_bytes() if p.suffix != ".gz" else gzip.decompress(p.read_bytes()) for p in paths
    ]
    return [json.loads(line)["n"] for content in contents for line in content.splitlines()]


def test_each_record_is_there_once_through_rotations_while_it_runs_and_while_it_does_not(
    out, rotate
):
    sink = FileSink(out, fsync=False)
    sink.open()
    for n in range(0, 60, 2):
        commit(sink, n, n + 1)
        if n % 10 == 0:
            rotate()
        if n % 14 == 0:
            sink.close()
            rotate()
            sink = FileSink(out, fsync=False)
            assert sink.open() == Position({"n": n + 1})
    sink.close()
    assert held(out) == list(range(60))
    assert list(out.glob("normal.jsonl.*.gz"))
    assert not list(out.glob("*.backup"))


def test_dead_letters_wait_for_their_replay_in_compressed_files_too(out, rotate):
    sink = FileSink(out, fsync=False)
    sink.open()
    for n in range(4):
        commit(sink, n, topic=Topic.DEAD_LETTER)
        rotate()
    sink.close()
    batches = FileOutputs(out).dead_letters(replayed=False)
    assert [json.loads(r.value)["n"] for batch in batches for r in batch.records] == [0, 1, 2, 3]


def test_the_snippet_of_an_instance_with_its_own_user_is_of_that_instance_alone():
    """By the command in own-user.conf, on the package's snippet."""
    drop_in = (ROOT / "systemd" / "own-user.conf").read_text(encoding="utf-8")
    [script] = re.findall(r"^#     sed '(s\|.*su detectd .*)' \\$", drop_in, re.MULTILINE)
    made = subprocess.run(
        ["sed", script.replace("NAME", "payments"), SNIPPET], text=True, capture_output=True
    )
    lines = [line.strip() for line in made.stdout.splitlines() if not line.startswith("#")]
    assert lines[:3] == [
        "/var/lib/detectd/payments/verdicts/*.jsonl {",
        "su detectd-payments detectd",
        "ignoreduplicates",
    ]
    same = SNIPPET.read_text(encoding="utf-8").splitlines()
    assert lines[3:] == [line.strip() for line in same if not line.startswith("#")][2:]
