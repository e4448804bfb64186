"""The command as its users meet it: exit codes, one-line errors, outputs that add up."""

import json
import os
import signal
import subprocess
import sys

import pytest

from tests.support.command import TOPICS, detectd, events, start
from tests.support.complaints import one_line
from tests.support.crashes import with_little_space
from tests.support.waiting import until


def test_help_and_usage():
    assert detectd("--help").returncode == 0
    assert detectd("--version").stdout.startswith("detectd ")
    assert detectd().returncode == 2
    assert detectd("dance").returncode == 2
    assert detectd("fit").returncode == 2


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--config", "detectd.toml"]])
def test_quick_commands_import_no_slow_library(world, arguments):
    world.lines(world.events, events(10))
    code = (
        "import sys; from detectd.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "slow = {'pyod', 'numba', 'sklearn', 'kafka'} & set(sys.modules)\n"
        "sys.exit(f'imported {slow}' if slow else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=world.home, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_check_tells_what_is_good(fitted):
    fitted.lines(fitted.events, events(10))
    done = fitted.run("check")
    assert done.returncode == 0, done.stderr
    for word in ("exactly once", "KNN", "promise", "out"):
        assert word in done.stdout


def test_each_record_ends_on_one_topic_and_the_promise_is_kept(fitted):
    lines = fitted.lines(fitted.events, events(5000, poison=0.02)).read_text().splitlines()
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    outputs = fitted.outputs()
    assert sum(map(len, outputs.values())) == len(lines)
    by_id = {record["id"]: record for records in outputs.values() for record in records}
    assert set(by_id) == {f"events.jsonl:{i + 1}" for i in range(len(lines))}
    for verdict in ("normal", "anomaly", "abstain"):
        for record in outputs[verdict]:
            assert record["verdict"] == verdict
            assert record["event"] == json.loads(lines[record["event"]["n"]])
    assert {record["raw"] for record in outputs["dead_letter"]} == {"poison"}
    assert "kept" in done.stdout
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["observed"]["events"] == 5000 - len(outputs["dead_letter"])
    assert report["observed"]["abstain"] == len(outputs["abstain"])
    assert report["observed"]["inside_promise"] is True


def test_an_output_record_has_every_field_of_the_contract(fitted):
    fitted.lines(fitted.events, events(300))
    fitted.run("run")
    record = fitted.outputs()["abstain"][0]
    assert list(record) == [
        "verdict", "reason", "score", "rank", "p_value", "confidence",
        "log_p_anomaly", "log_p_normal", "model", "id", "event",
    ]  # fmt: skip
    assert record["reason"] == "unstable"
    assert 0.5 <= record["confidence"] <= 1


def test_a_second_run_finds_nothing_left_to_do(fitted):
    fitted.lines(fitted.events, events(500))
    fitted.run("run")
    before = fitted.raw_outputs()
    assert fitted.run("run").returncode == 0
    assert fitted.raw_outputs() == before


def test_the_report_has_every_field_of_the_contract(fitted):
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    contract = {
        "model": "version detector n contamination m T calibration",
        "zone": "rank_low rank_high score_low score_high anomaly_reachable normal_reachable",
        "exact": "expected_rejection_rate rejection_rate_upper delta expected_cost_bound "
        "cost_upper plug_in_rejection_rate",
        "paper": "expected_rejection_rate rejection_rate_upper cost_upper valid",
        "observed": "events normal anomaly abstain rejection_rate inside_promise",
    }
    for part, fields in contract.items():
        assert set(fields.split()) <= set(report[part]), part
    assert report["model"]["n"] == 500
    assert report["observed"]["rejection_rate"] is None
    target = fitted.home / "report.txt"
    assert fitted.run("report", "-o", target).returncode == 0
    assert report["model"]["version"] in target.read_text()


def test_without_a_model_run_warms_up_and_goes_on(world):
    world.write(training={"warmup": 800})
    world.lines(world.events, events(2000, poison=0.05))
    done = world.run("run")
    assert done.returncode == 0, done.stderr
    outputs = world.outputs()
    warming = [r for r in outputs["abstain"] if r["reason"] == "warming_up"]
    assert len(warming) == 800
    assert all(record["model"] is None and record["score"] is None for record in warming)
    assert sum(map(len, outputs.values())) == 2000
    scored = [r for topic in TOPICS[:3] for r in outputs[topic] if r["model"]]
    assert len(scored) == 2000 - 800 - len(outputs["dead_letter"])
    assert "* " in world.run("models", "list").stdout


def test_a_warm_up_that_is_not_complete_says_what_it_wants_and_goes_on(world):
    world.write(training={"warmup": 800}, source={"follow": False})
    world.lines(world.events, events(500))
    assert "300 more events are needed" in world.run("run").stdout
    with world.events.open("a") as file:
        file.writelines(f"{line}\n" for line in events(300, seed=2))
    done = world.run("run")
    assert "wanted" not in done.stdout
    assert "* " in world.run("models", "list").stdout


def test_a_model_that_cannot_say_anomaly_is_reported_loudly(world):
    world.write(detector={"contamination": 0.01}, rejector={"T": 32.0})
    done = world.fit()
    assert done.returncode == 0
    assert "never say anomaly" in done.stdout
    world.lines(world.events, events(10))
    assert "never say anomaly" in world.run("check").stdout
    report = json.loads(world.run("report", "--format", "json").stdout)
    assert report["zone"]["anomaly_reachable"] is False
    assert report["zone"]["score_high"] is None


def test_tied_scores_are_pointed_out(world):
    """Rows of whole numbers have few distances; a tie across an edge of the zone is rejected."""
    rows = [{name: round(value) for name, value in json.loads(e).items()} for e in events(1000)]
    training = world.lines(world.home / "training.jsonl", map(json.dumps, rows))
    assert "scores are tied" in world.run("fit", "--input", training).stdout


def test_models_are_listed_shown_activated_rolled_back_and_pruned(fitted):
    first = fitted.run("models", "show").stdout
    fitted.write(detector={"seed": 7})
    assert fitted.fit(seed=2).returncode == 0
    versions = fitted.run("models", "list").stdout.splitlines()
    assert len(versions) == 2
    newest = json.loads(fitted.run("models", "show").stdout)["version"]
    oldest = json.loads(first)["version"]
    assert newest != oldest
    assert fitted.run("models", "rollback").stdout == f"active: {oldest}\n"
    one_line(fitted.run("models", "rollback"), 1, "no earlier model")
    assert fitted.run("models", "activate", newest).returncode == 0
    one_line(fitted.run("models", "activate", "nope"), 2, "nope", "models list")
    assert fitted.run("models", "prune", "--keep", 1).stdout == f"removed: {oldest}\n"
    assert len(fitted.run("models", "list").stdout.splitlines()) == 1


def test_a_damaged_model_is_refused_by_name_and_rollback_works(fitted):
    good = json.loads(fitted.run("models", "show").stdout)["version"]
    assert fitted.fit(seed=3).returncode == 0
    bad = json.loads(fitted.run("models", "show").stdout)["version"]
    (fitted.home / "models" / bad / "calibration.npy").write_bytes(b"")
    fitted.lines(fitted.events, events(300))
    one_line(fitted.run("run"), 78, bad, "calibration.npy", "rollback")
    one_line(fitted.run("report"), 78, bad)
    assert fitted.run("models", "rollback").stdout == f"active: {good}\n"
    assert fitted.run("run").returncode == 0


def test_a_model_of_other_library_versions_is_fitted_again_stored_and_said(fitted):
    shown = json.loads(fitted.run("models", "show").stdout)
    manifest = fitted.home / "models" / shown["version"] / "manifest.json"
    shown["libraries"]["pyod"] = "0.1"
    manifest.write_text(json.dumps(shown))
    fitted.lines(fitted.events, events(300))
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    assert "0.1 -> " in done.stderr
    again = json.loads(fitted.run("models", "show").stdout)
    assert again["version"] != shown["version"]
    assert again["files"]["calibration.npy"] == shown["files"]["calibration.npy"]


def test_terms_that_the_model_cannot_meet_are_one_line(fitted):
    fitted.lines(fitted.events, events(10))
    fitted.write(detector={"contamination": 0.001})
    for command in ("check", "report", "run"):
        one_line(fitted.run(command), 78, fitted.path, "rejector", "at least 1000")


def test_a_full_disk_while_storing_leaves_the_model_before(fitted):
    before = fitted.run("models", "list").stdout
    training = fitted.lines(fitted.home / "training.jsonl", events(3000))
    done = with_little_space(fitted, "fit", "--input", training, limit=20_000)
    one_line(done, 1, "models.directory", "cannot be stored")
    assert fitted.run("models", "list").stdout == before


def test_a_budget_chooses_the_threshold(fitted):
    fitted.write(rejector={"max_abstain_rate": 0.05})
    report = json.loads(fitted.run("report", "--format", "json").stdout)
    assert report["exact"]["rejection_rate_upper"] <= 0.05
    fitted.write(rejector={"max_abstain_rate": None, "T": report["model"]["T"] + 0.5})
    wider = json.loads(fitted.run("report", "--format", "json").stdout)
    assert wider["exact"]["rejection_rate_upper"] > 0.05


def test_a_plan_needs_no_data_and_no_configuration(tmp_path):
    nowhere = ("--config", tmp_path / "none.toml")
    done = detectd("plan", *nowhere, "--contamination", 0.1, "--T", 32, "--n", 1000, "--n", 5)
    assert "814-958" in done.stdout
    assert "14.486%" in done.stdout
    assert "expect no anomaly" in done.stdout
    asked = ("--contamination", 0.01, "--T", 32, "--n", 1000, "--format", "json")
    found = json.loads(detectd("plan", *nowhere, *asked).stdout)
    assert found["plans"][0]["anomaly_reachable"] is False
    assert found["smallest_n"] == 1700
    assert detectd("plan", *nowhere, "--n", 0).returncode == 2
    one_line(detectd("plan", *nowhere, "--T", 0.5), 78, "rejector.T")


def test_kernels_compile_where_no_cache_can_be_written(tmp_path):
    nowhere = {"NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator", "NUMBA_CACHE_DIR": ""}
    done = detectd("plan", "--config", tmp_path / "none.toml", "--n", 1000, env=nowhere)
    assert done.returncode == 0, done.stderr


def test_a_plan_takes_the_terms_of_the_configuration_and_those_of_the_command_line(world):
    world.write(detector={"contamination": 0.1}, rejector={"T": 8, "delta": 0.2})
    found = json.loads(
        world.run("plan", "--max-abstain-rate", 0.05, "--n", 1000, "--format", "json").stdout
    )
    assert (found["contamination"], found["delta"], found["max_abstain_rate"]) == (0.1, 0.2, 0.05)
    assert found["plans"][0]["rejection_rate_upper"] <= 0.05


def test_all_bad_records_stop_the_run_before_anything_is_consumed(fitted):
    fitted.lines(fitted.events, ['{"a": 1}'] * 1500)
    one_line(fitted.run("run"), 78, "first 1000 records", "'b' is missing", "event")
    assert sum(map(len, fitted.outputs().values())) == 0
    fitted.write(event={"features": ["a"]})
    one_line(fitted.run("run"), 78, "event.features")


def test_a_stretch_of_bad_records_does_not_stop_a_stream_that_has_been_read(fitted):
    fitted.lines(fitted.events, events(600))
    assert fitted.run("run").returncode == 0
    with fitted.events.open("a") as file:
        file.write('{"a": null}\n' * 1000)
    done = fitted.run("run")
    assert done.returncode == 0, done.stderr
    assert len(fitted.outputs()["dead_letter"]) == 1000


def test_rows_of_other_features_do_not_train_a_model(world):
    world.write(training={"warmup": 400})
    world.lines(world.events, events(200))
    world.run("run")
    world.write(event={"features": ["b", "a"]})
    with world.events.open("a") as file:
        file.writelines(f"{line}\n" for line in events(300, seed=2))
    assert "100 more events are needed" in world.run("run").stdout


def test_a_warm_up_that_could_never_train_is_refused_before_anything_is_read(world):
    world.write(training={"warmup": 20})
    world.lines(world.events, events(50))
    for command in ("check", "run"):
        one_line(world.run(command), 78, "training.warmup", "at least 39 rows")
    assert sum(map(len, world.outputs().values())) == 0


def test_a_detector_that_is_not_there_is_refused_before_anything_is_read(world):
    world.write(detector={"name": "IFrest"})
    world.lines(world.events, events(50))
    one_line(world.run("run"), 78, "detector.name", "IForest")
    assert not any(world.outputs().values())


def test_check_tells_all_that_is_wrong(world):
    world.write(detector={"name": "Nope"}, source={"path": str(world.home / "e.jsonl.gz")})
    (world.home / "e.jsonl.gz").write_bytes(b"no gzip")
    done = world.run("check")
    assert done.returncode == 78
    assert "Nope" in done.stderr
    assert "gzip" in done.stderr


def test_a_closed_stdout_is_no_failure(fitted):
    fitted.lines(fitted.events, events(50))
    line = f"{sys.executable} -m detectd run --config {fitted.path} >&-"
    assert subprocess.run(["sh", "-c", line], stderr=subprocess.DEVNULL).returncode == 0


def test_a_small_file_of_bad_records_is_all_dead_letters(fitted):
    fitted.lines(fitted.events, ["", "[]", "x"])
    assert fitted.run("run").returncode == 0
    assert len(fitted.outputs()["dead_letter"]) == 3


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.touch(), "empty"),
        (lambda path: path.mkdir(), "directory"),
    ],
)
def test_an_input_that_is_not_there_is_named(fitted, make, words):
    make(fitted.events)
    one_line(fitted.run("run"), 78, "source.path", words)
    one_line(fitted.run("check"), 78, "source.path", words)
    one_line(fitted.run("fit", "--input", fitted.events), 2, "--input", words)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (events(30), "give at least 39 rows"),
        (['{"a": 1, "b": 2}'] * 500, "all 500 rows are equal"),
        (['{"a": 1, "b": 2}'], "1 rows for 2 features"),
        (["x"] * 10, "none of its 10 records"),
    ],
)
def test_rows_that_cannot_carry_a_model_are_refused(world, lines, words):
    training = world.lines(world.home / "training.jsonl", lines)
    one_line(world.run("fit", "--input", training), 1, words)
    assert world.run("models", "list").stdout == ""


def test_a_constant_feature_is_pointed_out(world):
    lines = [json.dumps({"a": float(i % 97), "b": 5}) for i in range(500)]
    done = world.run("fit", "--input", world.lines(world.home / "t.jsonl", lines))
    assert done.returncode == 0, done.stderr
    assert "constant" in done.stderr
    assert ": b" in done.stderr


def test_missing_features_are_imputed_where_configured_and_named(world):
    world.write(event={"missing": "median"})
    assert world.fit().returncode == 0
    world.lines(world.events, ['{"a": 0.1}', '{"a": 0.1, "b": 0.2}'])
    assert world.run("run").returncode == 0
    records = [r for topic in TOPICS[:3] for r in world.outputs()[topic]]
    assert {record["id"]: record.get("imputed") for record in records} == {
        "events.jsonl:1": ["b"],
        "events.jsonl:2": None,
    }


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize("place", ["inside", "linked inside", "linked from inside", "output"])
def test_a_source_among_the_outputs_is_refused(fitted, command, place):
    fitted.out.mkdir()
    inside = fitted.lines(fitted.out / "events.jsonl", events(10))
    if place == "linked inside":
        (fitted.home / "link.jsonl").symlink_to(inside)
        inside = fitted.home / "link.jsonl"
    elif place == "linked from inside":
        inside.rename(fitted.events)
        inside.symlink_to(fitted.events)
    elif place == "output":
        inside.rename(fitted.out / "normal.jsonl")
        inside = fitted.home / "hard.jsonl"
        inside.hardlink_to(fitted.out / "normal.jsonl")
    fitted.write(source={"path": str(inside)})
    refused = fitted.run(command)
    assert (refused.returncode, "source.path" in refused.stderr) == (78, True), refused


def test_a_second_process_on_one_directory_refuses(fitted):
    fitted.write(source={"follow": True}, log={"level": "debug"})
    fitted.lines(fitted.events, events(50))
    with start("run", "--config", fitted.path) as first:
        assert "service.started" in wait_for(first, "service.started")
        wait_for(first, '"batch"')
        one_line(fitted.run("run"), 1, fitted.out)
        # What was observed is written down once a second.
        until(lambda: observed(fitted)["events"] == 50)
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=30) == 0


def observed(world):
    return json.loads(world.run("report", "--format", "json").stdout)["observed"]


def wait_for(process, word):
    """Read stderr up to the line with `word`."""
    for line in process.stderr:
        if word in line:
            return line
    raise AssertionError(f"{word} never came")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_batch_commits_and_exits_0(fitted, number):
    """The batch in hand is not full, and would wait for a minute more."""
    fitted.write(
        source={"follow": True, "batch_seconds": 60, "batch_records": 500},
        log={"level": "debug"},
    )
    fitted.lines(fitted.events, events(700))
    with start("run", "--config", fitted.path) as service:
        wait_for(service, '"batch"')
        service.send_signal(number)
        assert service.wait(timeout=10) == 0
    # The signal found the service between two batches, or with the second in hand.
    ids = [record["id"] for records in fitted.outputs().values() for record in records]
    assert len(ids) == len(set(ids))
    # It begins with few records, to learn how long they take.
    assert len(ids) in {64, 64 + 256, 700}


def test_a_signal_during_the_start_is_a_stop_like_any_other(fitted):
    fitted.lines(fitted.events, events(2000) * 100)
    with start("run", "--config", fitted.path) as service:
        wait_for(service, "model.serving")
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=30) == 0
    assert sum(map(len, fitted.outputs().values())) < 200_000


def test_a_second_signal_kills_at_once(world):
    """A fit that takes long finishes before the first signal is heard; the second is not."""
    world.write(training={"warmup": 20_000}, detector={"name": "ABOD"})
    world.lines(world.events, events(20_000))
    with start("run", "--config", world.path) as service:
        wait_for(service, "training.started")
        service.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            service.wait(timeout=1)
        service.send_signal(signal.SIGTERM)
        assert service.wait(timeout=10) == -signal.SIGTERM


def test_a_pipe_goes_from_stdin_to_stdout(fitted):
    fitted.write(source={"kind": "stdin", "path": None}, sink={"kind": "stdout", "directory": None})
    lines = events(200, poison=0.05)
    done = fitted.run("run", input="\n".join(lines))
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["id"] for record in records] == [f"stdin:{i + 1}" for i in range(200)]


def test_a_reader_that_goes_away_ends_the_run_in_one_line(fitted):
    fitted.write(source={"kind": "stdin", "path": None}, sink={"kind": "stdout", "directory": None})
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nowhere:
        done = fitted.run("run", input="\n".join(events(10)), stdout=nowhere)
    one_line(done, 1, "stdout")


def test_debug_shows_the_traceback(tmp_path):
    done = detectd("check", "--config", tmp_path / "none.toml", "--debug")
    assert done.returncode == 78
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detector": {"name": "IFrest"}}, ["detector.name", "IForest"]),
        ({"detector": {"name": "XGBOD"}}, ["detector.name"]),
        ({"detector": {"name": "LOCI"}}, ["detector.name"]),
        ({"detector": {"name": "AutoEncoder"}}, ["torch"]),
        ({"detector": {"name": "KNN", "params": {"n_neighbours": 3}}}, ["n_neighbors"]),
        ({"detector": {"params": {"contamination": 0.1}}}, ["detector.contamination"]),
        ({"sink": {"directory": "/proc/nowhere"}}, ["sink.directory", "/proc"]),
        ({"sink": {"directory": "/dev/null"}}, ["sink.directory", "not a directory"]),
        ({"models": {"directory": "/proc/nowhere"}}, ["models.directory", "/proc"]),
        ({"event": {"features": ["nope"]}}, ["event", "'nope' is missing"]),
        ({"event": {"features": ["a", "b", "a"]}}, ["event.features", "twice"]),
        ({"rejector": {"T": 3, "max_abstain_rate": 0.1}}, ["rejector", "both"]),
    ],
)
def test_a_broken_configuration_is_one_line_and_78(world, changes, words):
    world.lines(world.events, events(50))
    world.write(**changes)
    one_line(world.run("check"), 78, *words)


def test_check_names_directories_that_others_can_write(world):
    out = world.home / "shared"
    out.mkdir()
    out.chmod(0o777)
    world.lines(world.events, events(10))
    world.events.chmod(0o666)
    world.write(sink={"directory": str(out)})
    done = world.run("check")
    assert done.returncode == 78
    assert f"sink.directory: {out} is writable by any user" in done.stderr
    world.write(paths={"check_owners": False})
    done = world.run("check")
    assert done.returncode == 0, done.stderr
    assert f"WARNING   source.path: any user on this host can write to {world.events}" in (
        done.stdout
    )
