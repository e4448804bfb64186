"""CSV and values as people have them, through the whole command."""

import json

import numpy as np
import pytest

from tests.support.command import detectd, events

HEAD = "zeit;ort;a;b;falsch"


def german(count, seed, head=True):
    """Excel's CSV in Latin-1: semicolons, decimal commas, epoch milliseconds, CRLF."""
    rng = np.random.default_rng(seed)
    lines = [HEAD] if head else []
    for n, (a, b) in enumerate(rng.normal(size=(count, 2))):
        numbers = f"{a:.4f};{b:.4f}".replace(".", ",")
        lines.append(f'{1795860000000 + n};"Köln; am Rhein";{numbers};{n % 50 == 0:d}')
    return "".join(f"{line}\r\n" for line in lines).encode("latin-1")


@pytest.fixture
def csv_world(world):
    world.write(
        source={
            "path": str(world.home / "events.csv"),
            "csv": {"encoding": "latin-1", "columns": HEAD.split(";")},
        },
        event={"timestamp": "zeit", "key": "ort"},
    )
    (world.home / "history.csv").write_bytes(german(1000, 1))
    (world.home / "events.csv").write_bytes(german(300, 2, head=False))
    return world


def test_csv_is_read_alike_by_fit_run_backtest_and_a_pipe(csv_world):
    history = csv_world.home / "history.csv"
    for command in (
        ["fit", "--input", history],
        ["check"],
        ["run"],
        ["backtest", "--input", history, "--label", "falsch"],
    ):
        done = csv_world.run(*command)
        assert done.returncode == 0, done.stderr
    outputs = csv_world.outputs()
    assert not outputs["dead_letter"]
    answered = sorted(
        (each for topic in outputs.values() for each in topic), key=lambda each: each["timestamp"]
    )
    assert [each["timestamp"] for each in answered] == [1795860000000 + n for n in range(300)]
    assert {each["key"] for each in answered} == {"Köln; am Rhein"}
    csv_world.write(
        source={"kind": "stdin", "path": None, "format": "csv"},
        sink={"kind": "stdout", "directory": None},
    )
    done = detectd(
        "run", "--config", csv_world.path, input=german(300, 2).decode("latin-1"),
        encoding="latin-1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    piped = [json.loads(line.encode("latin-1")) for line in done.stdout.splitlines()]
    assert [each["score"] for each in piped] == [each["score"] for each in answered]


def test_a_header_without_a_feature_is_one_line_with_what_there_is(world):
    world.write(source={"path": str(world.home / "events.csv")}, event={"features": ["a", "bb"]})
    (world.home / "events.csv").write_text("a;b ;c\n1;2;3\n")
    for command, code in (("check", 78), ("run", 78)):
        done = world.run(command)
        assert done.returncode == code
        assert "there is no column 'bb' (event.features)" in done.stderr
        assert "did you mean 'b'? the columns are a, b, c" in done.stderr


def test_an_event_without_a_feature_says_what_it_has(world):
    world.write(event={"features": ["a", "bb"]})
    world.lines(world.events, events(1200))
    done = world.run("run")
    assert done.returncode == 78
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("detectd: ")]
    assert "feature 'bb' is missing; did you mean 'b'? the fields are n, a, b" in line


def test_half_a_surrogate_pair_goes_through_and_is_read_again(fitted):
    written = [json.loads(line) | {"truth": 0, "x": "cut \ud83d"} for line in events(300)]
    lines = fitted.lines(fitted.events, map(json.dumps, written)).read_text().splitlines()
    assert "ud83d" in lines[0]
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    raw = b"".join(fitted.raw_outputs().values())
    assert raw.count(b'"event":') == 300
    assert all(line.encode() in raw for line in lines)
    done = fitted.run("backtest", "--input", fitted.events, "--label", "truth")
    assert done.returncode == 0, done.stderr
