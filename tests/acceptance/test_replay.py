"""Dead letters of files: listed by what is wrong with them, and answered after a mend."""

import json
import os
from collections import Counter

import pytest

from detectd import wiring
from detectd.commands.dead_letters import replay_all
from detectd.errors import DetectdError
from detectd.pipeline import dead_letters
from detectd.service.loop import Service
from detectd.settings.loader import load
from detectd.signals import Stop
from detectd.sinks import file_reader as file_outputs
from detectd.sinks.file import FileSink, ReplaySink
from tests.support.command import World, events

MENDED = {"numeric_strings": True}


def damaged(count, seed=5):
    """Events of which a tenth have text for b, and another tenth are no JSON."""
    lines = [json.loads(line) for line in events(count, seed)]
    for i in range(3, count, 10):
        lines[i]["b"] = str(lines[i]["b"])
    lines = [json.dumps(line) for line in lines]
    lines[7::10] = ["poison"] * len(lines[7::10])
    return lines


def serve(world):
    """The service, in this process, to the end of its file."""
    Service(load(world.path), Stop()).run()


def again(world, **options):
    return replay_all(load(world.path), Stop(), **options)


def listed(world, *, replayed=False):
    """How many there are of each stage."""
    batches = wiring.outputs(load(world.path)).dead_letters(replayed=replayed)
    letters = [dead_letters.read(found) for batch in batches for found in batch.records]
    return {group.stage: group.count for group in dead_letters.grouped(letters)}


def ids(world):
    """How often each record was given a verdict, and how often it died."""
    outputs = world.outputs()
    dead = Counter(record["id"] for record in outputs.pop("dead_letter"))
    return Counter(record["id"] for records in outputs.values() for record in records), dead


@pytest.fixture
def ailing(fitted):
    """A world whose run has left 200 dead letters of two kinds among 1,000 records."""
    fitted.write(log={"level": "error"}, server={"listen": ""})
    fitted.lines(fitted.events, damaged(1000))
    serve(fitted)
    return fitted


def test_they_are_listed_by_what_is_wrong(ailing):
    found = json.loads(ailing.run("dead-letters", "list", "--format", "json").stdout)
    assert (found["dead_letters"], found["replayable"]) == (200, 200)
    assert {(g["stage"], g["count"], g["first"], g["last"]) for g in found["groups"]} == {
        ("features", 100, "events.jsonl:4", "events.jsonl:994"),
        ("decode", 100, "events.jsonl:8", "events.jsonl:998"),
    }
    assert "feature 'b' is text, not a number: …" in {g["error"] for g in found["groups"]}
    text = ailing.run("dead-letters", "list").stdout
    assert "feature 'b' is text" in text
    assert "events.jsonl:998" in text


def test_the_command_answers_them_after_a_mend_and_rehearses_without_a_trace(ailing):
    before = ailing.raw_outputs()
    ailing.write(event=MENDED)
    rehearsed = json.loads(
        ailing.run("dead-letters", "replay", "--dry-run", "--format", "json").stdout
    )
    assert (rehearsed["replayed"], rehearsed["dead_letter"], rehearsed["left"]) == (200, 100, {})
    assert ailing.raw_outputs() == before
    done = ailing.run("dead-letters", "replay")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("200 dead letters replayed")
    answered, dead = ids(ailing)
    assert (len(answered), set(answered.values())) == (900, {1})
    assert (len(dead), dead.total()) == (200, 300)  # the poison twice


def test_each_is_answered_as_if_it_had_never_died(ailing):
    ailing.write(event=MENDED)
    again(ailing)
    whole = World(ailing.home, ailing.config)
    whole.write(sink={"directory": str(ailing.home / "whole")})
    serve(whole)
    for topic in ("normal", "anomaly", "abstain"):
        lines = (ailing.home / "whole" / f"{topic}.jsonl").read_text().splitlines()
        assert sorted(lines) == sorted((ailing.out / f"{topic}.jsonl").read_text().splitlines())


def test_what_died_again_is_listed_and_what_was_replayed_is_not(ailing):
    ailing.write(event=MENDED)
    again(ailing)
    assert listed(ailing) == {"decode": 100}
    assert listed(ailing, replayed=True) == {"features": 100, "decode": 200}
    again(ailing)
    answered, dead = ids(ailing)
    assert (set(answered.values()), dead.total()) == ({1}, 400)


def test_the_service_goes_on_where_it_was(ailing):
    ailing.write(event=MENDED)
    again(ailing)
    with ailing.events.open("a") as file:
        file.write("".join(f"{line}\n" for line in damaged(500, seed=6)))
    serve(ailing)
    answered, dead = ids(ailing)
    assert (len(answered), set(answered.values())) == (1350, {1})
    assert dead.total() == 300 + 50
    assert listed(ailing) == {"decode": 150}


class PowerCutError(Exception):
    pass


@pytest.mark.parametrize("half_written", [False, True])
def test_a_replay_that_is_cut_off_goes_on_and_answers_nothing_twice(
    ailing, monkeypatch, half_written
):
    ailing.write(event=MENDED)
    monkeypatch.setattr(file_outputs, "BLOCK", 2000)
    commit = ReplaySink.commit
    commits = []

    def cut_off(sink, outgoing, position):
        commits.append(position)
        if len(commits) == 4:
            if half_written:
                for out in outgoing:
                    sink._outputs[out.topic].append(out.value)
            raise PowerCutError
        commit(sink, outgoing, position)

    monkeypatch.setattr(ReplaySink, "commit", cut_off)
    with pytest.raises(PowerCutError):
        again(ailing)
    left = sum(listed(ailing).values())
    assert again(ailing).topics.total() == left
    answered, dead = ids(ailing)
    assert (len(answered), set(answered.values())) == (900, {1})
    # What had died again before the cut is behind it, and so died in the second replay too.
    assert (len(dead), set(dead.values())) == (200, {1, 2, 3})


def test_a_stop_ends_it_between_two_commits(ailing):
    stop = Stop()
    stop.request()
    assert replay_all(load(ailing.path), stop).topics.total() == 0
    assert sum(listed(ailing).values()) == 200


def test_while_the_service_writes_there_is_no_replay(ailing):
    sink = FileSink(ailing.out)
    sink.open()
    with pytest.raises(DetectdError, match=f"in use by process {os.getpid()}; stop it"):
        again(ailing)
    sink.close()


def test_without_a_model_nothing_can_be_answered(ailing):
    ailing.write(models={"directory": str(ailing.home / "nowhere")})
    with pytest.raises(DetectdError, match="no model is active"):
        again(ailing)


def test_rows_stand_under_the_header_that_the_source_has_now(fitted):
    rows = ["a,b", *(f"{i},{i}" for i in range(100)), "1,oops"]
    path = fitted.lines(fitted.home / "events.csv", rows)
    fitted.write(source={"path": str(path)}, server={"listen": ""})
    serve(fitted)
    fitted.lines(path, ["b,t,a", "1,2,3"])  # one column more than the row that died
    assert again(fitted, rehearse=True).topics == {"dead_letter": 1}
    fitted.lines(path, ["a,c", "1,2"])
    with pytest.raises(DetectdError, match="there is no column 'b'"):
        again(fitted, rehearse=True)
    fitted.lines(path, ["a,b"])
    with pytest.raises(DetectdError, match="no longer has a header"):
        again(fitted)
