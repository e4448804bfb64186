"""What is anomalous? Asked of the outputs, of the running service and of the report."""

import json
import re
from datetime import UTC, datetime

import pytest

from tests.support.command import events, start
from tests.support.complaints import only_line
from tests.support.live import append, serving
from tests.support.waiting import until

BEGIN = 1_790_000_000
# Copies to the clipboard, begins an escape sequence, turns the line around.
HOSTILE = "\x1b]52;c;aGk=\x07\x9b2J\u202e<script>alert(1)</script>"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]")


def hosts(count, seed):
    """Events of five hosts, a second apart, one with a number that no double holds."""
    for line in events(count, seed):
        event = json.loads(line)
        event |= {"host": f"h{event['n'] % 5}", "t": BEGIN + event["n"]}
        if event["n"] % 5 == 4:
            event["host"] = HOSTILE
        yield json.dumps(event, ensure_ascii=False)[:-1] + ',"x":1e400}'


@pytest.fixture
def answered(fitted):
    """A world whose run has found anomalies."""
    fitted.write(event={"key": "host", "timestamp": "t"}, output={"explain": True})
    fitted.lines(fitted.events, hosts(5000, seed=3))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    return fitted


def written(world, topic="anomaly"):
    # The service may be writing the next one.
    lines = (world.out / f"{topic}.jsonl").read_text().rpartition("\n")[0].splitlines()
    return [json.loads(line.replace("1e400", "1e300")) for line in lines]


def said(world, *arguments):
    done = world.run(*arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert not OBEYED.search(done.stdout)
    return done.stdout


def test_the_latest_anomalies_are_those_of_the_outputs(answered):
    found = written(answered)
    assert len(found) > 20
    told = json.loads(said(answered, "anomalies", "--last", "7", "--format", "json"))
    for shown, record in zip(told["anomalies"], found[-7:], strict=True):
        assert (shown["id"], shown["score"], shown["p_value"], shown["key"], shown["time_ms"]) == (
            record["id"],
            record["score"],
            record["p_value"],
            record["event"]["host"],
            record["timestamp"],
        )
        values = {feature["name"]: feature["value"] for feature in shown["features"]}
        assert values == {name: record["event"][name] for name in ("a", "b")}
        shares = [feature["share"] for feature in shown["features"]]
        assert shares == [None, None] or sum(shares) == pytest.approx(1)
    lines = said(answered, "anomalies").splitlines()
    assert lines[0].split() == ["time", "key", "score", "p-value", "features", "id"]
    assert [line.split()[-1] for line in lines[1:]] == [record["id"] for record in found[-20:]]
    abstained = said(answered, "anomalies", "--verdict", "abstain", "--last", "3").splitlines()
    last = [record["id"] for record in written(answered, "abstain")[-3:]]
    assert [line.split()[-1] for line in abstained[1:]] == last


def test_since_a_time_and_by_key(answered):
    found = written(answered)
    only_line(answered.run("anomalies", "--since", "noon"), 2, "--since", "2h", "ISO 8601 time")
    since = found[len(found) // 2]["timestamp"]
    moment = datetime.fromtimestamp(since / 1000, UTC).isoformat()
    told = json.loads(said(answered, "anomalies", "--since", moment, "--format", "json"))
    expected = [record["id"] for record in found if record["timestamp"] >= since]
    assert [each["id"] for each in told["anomalies"]] == expected
    assert said(answered, "anomalies", "--since", "0s") == "no anomalies\n"
    groups = json.loads(said(answered, "anomalies", "--by", "key", "--format", "json"))["keys"]
    for group in groups:
        own = [record for record in found if record["event"]["host"] == group["key"]]
        assert group["count"] == len(own)
        assert group["latest"]["id"] == own[-1]["id"]
        assert group["strongest"]["p_value"] == min(record["p_value"] for record in own)
    assert sum(group["count"] for group in groups) == len(found)
    assert said(answered, "anomalies", "--by", "key").startswith("key ")


def test_what_cannot_be_asked_says_why(fitted):
    only_line(fitted.run("anomalies"), 1, "sink.directory", "no outputs yet")
    fitted.lines(fitted.events, events(500))
    assert fitted.run("run").returncode == 0
    assert "time" not in fitted.run("anomalies").stdout.splitlines()[0]
    only_line(fitted.run("anomalies", "--since", "1h"), 2, "--since", "event.timestamp")
    fitted.write(sink={"kind": "stdout", "directory": None})
    only_line(fitted.run("anomalies"), 2, "sink.kind", "stdout")


@pytest.mark.parametrize("format_", ["json", "text"])
def test_tap_shows_what_was_there_and_nothing_drives_the_terminal(answered, format_):
    many = str(len(written(answered)))
    arguments = ["--verdict", "anomaly", "--last", many, "--n", many, "--format", format_]
    lines = said(answered, "tap", *arguments).splitlines()
    assert len(lines) == int(many)
    if format_ == "json":
        assert [json.loads(line.replace("1e400", "1e300")) for line in lines] == written(answered)
    else:
        assert all(line.startswith("anomaly  score ") for line in lines)


def test_tap_goes_on_from_the_last(answered):
    last = written(answered)[-1]["id"]
    with serving(answered):
        command = ["tap", "--verdict", "anomaly", "--last", 1, "--config", answered.path]
        with start(*command) as tap:
            assert json.loads(tap.stdout.readline().replace("1e400", "1"))["id"] == last
            append(answered, hosts(300, seed=4))
            until(lambda: written(answered)[-1]["id"] != last)
            record = json.loads(tap.stdout.readline().replace("1e400", "1"))
            ids = [each["id"] for each in written(answered)]
            assert record["id"] == ids[ids.index(last) + 1]
            tap.terminate()
            tap.stdout.read()
            assert tap.wait(timeout=30) == 0


def test_the_report_and_the_status_say_whose_they_are(answered):
    found = written(answered)
    report = json.loads(said(answered, "report", "--format", "json"))["anomalies"]
    assert [each["id"] for each in report["latest"]] == [record["id"] for record in found[-20:]]
    scores = sorted((record["score"] for record in found), reverse=True)
    assert [each["score"] for each in report["strongest"]] == scores[:20]
    counts = {key["key"]: key["count"] for key in report["keys"]}
    assert sum(counts.values()) == len(found)
    text = said(answered, "report")
    assert "latest anomalies" in text
    assert report["strongest"][0]["id"] in text
    page = said(answered, "report", "--format", "html")
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert report["strongest"][0]["id"] in page
    with serving(answered):
        append(answered, hosts(10, seed=4))
        status = said(answered, "status", "--format", "json")
        assert {k["key"] for k in json.loads(status)["anomalies"]["keys"]} == set(counts)
        assert "expected" in said(answered, "status")
