"""What is observed is of one run of the stream: a rerun begins anew, a restart goes on."""

import json
import shutil
from datetime import UTC, datetime

import pytest

from tests.support.command import events


def observed(world):
    done = world.run("report", "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["observed"]


def run(world):
    done = world.run("run")
    assert done.returncode == 0, done.stderr


def test_a_file_that_is_run_again_with_fresh_outputs_is_counted_once(fitted):
    fitted.lines(fitted.events, events(300))
    before = datetime.now(UTC).replace(microsecond=0)
    run(fitted)
    first = observed(fitted)
    assert first["events"] == 300
    assert before <= datetime.fromisoformat(first["since"]) <= datetime.now(UTC)
    run(fitted)  # to the end of what it has read already: nothing begins anew
    assert observed(fitted) == first
    shutil.rmtree(fitted.out)
    run(fitted)
    again = observed(fitted)
    assert again == first | {"since": again["since"]}
    fitted.write(sink={"directory": str(fitted.home / "other")})
    assert observed(fitted)["events"] == 0
    run(fitted)
    assert observed(fitted)["events"] == 300
    report = fitted.run("report").stdout
    words = observed(fitted)["since"][:19].replace("T", " ")
    assert f"observed  300 events since {words} UTC: " in report
    page = fitted.run("report", "--format", "html").stdout
    assert f"of 300 events since {words} UTC were abstained from" in page


def test_a_restart_in_the_middle_goes_on(fitted):
    lines = events(500)
    fitted.lines(fitted.events, lines[:200])
    run(fitted)
    first = observed(fitted)
    fitted.lines(fitted.events, lines)
    run(fitted)
    both = observed(fitted)
    assert (both["events"], both["since"]) == (500, first["since"])


@pytest.mark.parametrize("kind", ["file", "stdin"])
def test_into_a_pipe_every_run_begins_anew(fitted, kind):
    fitted.write(source={"kind": kind}, sink={"kind": "stdout", "directory": None})
    if kind == "stdin":
        fitted.write(source={"path": None, "format": "json"})
    for count in (300, 200):
        lines = events(count)
        fitted.lines(fitted.events, lines)
        given = {"input": "".join(f"{line}\n" for line in lines)} if kind == "stdin" else {}
        done = fitted.run("run", **given)
        assert done.returncode == 0, done.stderr
        assert observed(fitted)["events"] == count
