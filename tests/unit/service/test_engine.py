"""Who answers while models come and go and the configuration changes."""

import json
import tempfile
import threading
from collections import Counter

import msgspec
import numpy as np
import pytest

from detectd import derive, wiring
from detectd.errors import ConfigError, DetectdError
from detectd.models import serving, trainer_process, training
from detectd.models.collection import Goal
from detectd.models.store import Store
from detectd.pipeline.records import Gap, Record, Topic
from detectd.service import activation, model_loading, stream_rows
from detectd.service.engine import ScoringEngine
from detectd.service.warmup_log import Origin, RowLog
from tests.support.engines import model, settings
from tests.support.trainers import InThisProcess


@pytest.fixture(scope="module")
def models():
    return [model(number) for number in range(3)]


@pytest.fixture
def home(tmp_path, models):
    store = Store(tmp_path / "models")
    for each in models:
        store.save(each)
    store.activate(store.versions()[0])
    return tmp_path


@pytest.fixture
def versions(home):
    return Store(home / "models").versions()


@pytest.fixture
def store(home):
    return Store(home / "models")


@pytest.fixture
def engine(home):
    asked = settings(home)
    made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
    made.load()
    made.restore({})
    yield made
    made.close()


def answer(engine, count=100, seed=5):
    """Answer and commit so many events."""
    rows = np.random.default_rng(seed).normal(size=(count, 2)).tolist()
    values = [json.dumps({"a": a, "b": b}).encode() for a, b in rows]
    records = [Record(id=str(i), value=value) for i, value in enumerate(values)]
    outgoing = engine.answer(records)
    counts = Counter(out.topic for out in outgoing)
    engine.settle(counts, outgoing)
    state = engine.snapshot()
    engine.on_commit()
    return state


def look(engine, monkeypatch):
    """A turn of the loop in which it is time to look into the store."""
    monkeypatch.setattr(activation, "LOOK_SECONDS", -1.0)
    engine.advance(lambda: None)


def until(engine, monkeypatch, wanted):
    """Look again and again; what is prepared beside the loop ends by itself."""
    pause = threading.Event()
    for _ in range(10_000):  # a trainer gives way: on a busy machine it gets little of a processor
        look(engine, monkeypatch)
        if wanted():
            return
        pause.wait(0.02)
    raise AssertionError("it never came")


def parts(engine):
    """The models and the retrainer."""
    return engine.phases.serving


def seen(engine):
    """All that a reload may not touch unasked."""
    champion, shadow, retrainer = engine.champion, parts(engine).shadow, parts(engine).retrainer
    return {
        "serving": champion.serving.model.version,
        "promise": champion.serving.promise.exact,
        "report": champion.report(),
        "evidence": champion.drift_monitor.evidence,
        "limit": champion.drift_monitor.average_run_length,
        "state": engine.snapshot(),
        "shadow": shadow and shadow.report(),
        "settings": engine.settings,
        "renewal": retrainer and retrainer.snapshot(),
    }


def older(store, version):
    """Let the stored version be one of other libraries."""
    path = store.directory / version / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["libraries"]["numpy"] = "1.0"
    path.write_text(json.dumps(manifest))


class Gate:
    """Stops whoever comes through at another time than the loop's thread."""

    def __init__(self, monkeypatch):
        self.arrived, self.open = threading.Event(), threading.Event()
        self._serve, self._loop = serving.serve, threading.get_ident()
        monkeypatch.setattr(serving, "serve", self)

    def __call__(self, *arguments):
        assert threading.get_ident() != self._loop
        self.arrived.set()
        assert self.open.wait(60)
        return self._serve(*arguments)


def test_another_model_is_made_ready_while_the_loop_goes_on(engine, store, versions, monkeypatch):
    gate = Gate(monkeypatch)
    store.activate(versions[1])
    look(engine, monkeypatch)
    assert gate.arrived.wait(60)
    for _ in range(3):
        look(engine, monkeypatch)
        answer(engine)
        assert engine.champion.version == versions[0]
    gate.open.set()
    until(engine, monkeypatch, lambda: engine.champion.version == versions[1])


def test_a_model_that_is_no_longer_wanted_when_it_is_ready_does_not_answer(
    engine, store, versions, monkeypatch
):
    gate = Gate(monkeypatch)
    store.activate(versions[1])
    look(engine, monkeypatch)
    assert gate.arrived.wait(60)
    store.activate(versions[2])
    look(engine, monkeypatch)
    gate.open.set()
    until(engine, monkeypatch, lambda: engine.champion.version == versions[2])
    store.rollback()
    store.rollback()
    until(engine, monkeypatch, lambda: engine.champion.version == versions[0])


@pytest.mark.slow
def test_a_model_of_older_libraries_is_fitted_again_in_a_process_of_its_own(
    engine, store, versions, monkeypatch
):
    fits = []
    monkeypatch.setattr(training, "refit", lambda *_: fits.append("in the loop"))
    older(store, versions[1])
    store.activate(versions[1])
    look(engine, monkeypatch)
    assert engine.champion.version == versions[0]
    answer(engine)
    until(engine, monkeypatch, lambda: engine.champion.version != versions[0])
    assert fits == []
    fresh = engine.champion.version
    assert fresh not in versions
    assert store.active() == fresh
    assert not store.load(fresh).drift


def test_a_model_fitted_again_does_not_replace_what_was_activated_meanwhile(
    engine, store, versions, monkeypatch
):
    monkeypatch.setattr(model_loading, "TrainerProcess", InThisProcess)
    older(store, versions[1])
    store.activate(versions[1])
    look(engine, monkeypatch)
    ready = engine.phases.watcher._preparing["active"]
    ready.result()
    store.activate(versions[2])
    until(engine, monkeypatch, lambda: engine.champion.version == versions[2])
    assert store.active() == versions[2]


def test_a_candidate_of_older_libraries_is_fitted_once_and_scores_along(
    engine, store, versions, monkeypatch
):
    monkeypatch.setattr(model_loading, "TrainerProcess", InThisProcess)
    older(store, versions[1])
    store.nominate(versions[1])
    until(engine, monkeypatch, lambda: parts(engine).shadow is not None)
    fresh = parts(engine).shadow.version
    assert store.candidate() == fresh != versions[1]
    for _ in range(3):
        shadow = parts(engine).shadow
        look(engine, monkeypatch)
        assert parts(engine).shadow is shadow
    assert len(store.versions()) == 4


def test_a_refused_model_is_tried_again_when_it_is_activated_again(
    engine, store, versions, monkeypatch
):
    path = store.directory / versions[1] / "detector.pkl"
    sound = path.read_bytes()
    path.write_bytes(b"")
    store.activate(versions[1])
    until(engine, monkeypatch, lambda: engine.phases.watcher.active() is None)
    path.write_bytes(sound)
    store.activate(versions[0])
    look(engine, monkeypatch)
    store.activate(versions[1])
    until(engine, monkeypatch, lambda: engine.champion.version == versions[1])


@pytest.fixture
def busy(engine, home, store, versions, monkeypatch):
    """It has answered, with a candidate and a window."""
    engine.reconfigure(settings(home, training={"refit": "on_drift"}))
    store.nominate(versions[1])
    until(engine, monkeypatch, lambda: parts(engine).shadow is not None)
    answer(engine, 300)
    assert engine.champion.drift_monitor.evidence > 0
    assert parts(engine).retrainer.snapshot()["window"]["offered"] > 200
    return engine


REFIT = {"training": {"refit": "on_drift"}}


def test_a_snapshot_shows_what_is_committed_and_each_end_of_a_training_once(busy, versions):
    parts(busy).retrainer._end("refused")
    shown = busy.take_snapshot()
    assert shown.champion.serving is busy.champion.serving
    assert sum(shown.champion.observed.values()) == 300
    assert shown.champion.drift.evidence == busy.champion.drift_monitor.evidence
    assert (shown.warmup, shown.held, shown.training) == (None, None, False)
    assert shown.refits == ["refused"]
    answer(busy, 100, seed=6)
    assert sum(shown.champion.observed.values()) == 300
    assert busy.take_snapshot().refits == []


def test_a_snapshot_without_a_model_shows_the_warm_up(tmp_path):
    asked = settings(tmp_path)
    engine = ScoringEngine(asked, wiring.stream_schema(asked), "test")
    engine.load()
    engine.restore({})
    answer(engine, 50)
    shown = engine.take_snapshot()
    engine.close()
    assert shown.champion is None
    assert (shown.warmup.collected, shown.warmup.wanted) == (50, 200)


@pytest.mark.parametrize(
    "change",
    [
        {"log": {"level": "debug"}},
        {"models": {"keep": 3}},
        {"training": {"refit": "on_drift", "max_changed": 0.5}},
        {"source": {"batch_records": 7}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_reload_of_something_else_recomputes_nothing_and_keeps_all(
    busy, home, monkeypatch, change
):
    monkeypatch.setattr(serving, "promise", lambda *_: pytest.fail("the promise is computed"))
    before, window = seen(busy), parts(busy).retrainer._rows.kept
    champion, judge = busy.champion, busy.champion.serving.judge
    fresh = settings(
        home,
        **(REFIT | change | {"models": {"directory": home / "models"} | change.get("models", {})}),
    )
    busy.reconfigure(fresh)
    assert seen(busy) == before | {"settings": fresh}
    assert busy.champion is champion
    assert busy.champion.serving.judge is judge
    assert parts(busy).retrainer._rows.kept is window


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"rejector": {"cost_rejection": 0.5}}, True),
        ({"rejector": {"delta": 0.2}}, True),
        ({"drift": {"average_run_length": 1e4}}, True),
        ({"rejector": {"T": 4.0}}, False),
    ],
    ids=["cost", "delta", "drift", "T"],
)
def test_a_reload_keeps_the_candidate_the_window_and_what_the_zone_allows(busy, home, change, kept):
    before = seen(busy)
    busy.reconfigure(settings(home, **(REFIT | change)))
    after = seen(busy)
    assert after["shadow"] == before["shadow"]
    assert after["renewal"] == before["renewal"]
    assert (after["report"] == before["report"]) == kept
    assert (after["evidence"] == before["evidence"]) == kept
    # What a restart would find is what goes on now.
    answer(busy, 50, seed=6)
    assert busy.champion.report()["normal"] > (before["report"]["normal"] if kept else 0)
    assert (
        sum(map(sum, (r.values() for r in parts(busy).shadow.report()["agreement"].values())))
        == 350
    )


@pytest.mark.parametrize(
    "change",
    [
        {"detector": {"contamination": 0.001}, "rejector": {"T": 4.0}},
        {"training": {"refit": "on_drift", "warmup": 5}, "log": {"level": "debug"}},
        {"event": {"features": ["b", "a"]}},
    ],
    ids=["terms", "warm-up", "features"],
)
def test_a_refused_reload_changes_nothing(busy, home, change):
    def standing():
        phase = parts(busy)
        return phase.champion, phase.shadow, phase.retrainer, phase.retrainer._rows.kept

    before, stood = seen(busy), standing()
    with pytest.raises(ConfigError):
        busy.reconfigure(settings(home, **(REFIT | change)))
    assert seen(busy) == before
    assert standing() == stood
    answer(busy, 50, seed=6)


def test_a_candidate_that_breaks_is_compared_no_longer(busy, monkeypatch):
    """Nobody hears a candidate, so its defect is no event's and ends no stream."""

    def breaks(_scored):
        raise TypeError("a defect")

    refused = []
    monkeypatch.setattr(parts(busy).shadow, "see", breaks)
    monkeypatch.setattr(busy.phases.watcher, "refuse", lambda *said: refused.append(said))
    version, before = parts(busy).shadow.version, sum(busy.champion.observed.values())
    answer(busy, 50, seed=6)
    assert sum(busy.champion.observed.values()) == before + 50
    assert parts(busy).shadow is None
    assert refused == [
        ("candidate", version, f"{version}: it cannot score events: TypeError: a defect")
    ]


def test_a_candidate_without_memory_is_no_defect_of_it(busy, monkeypatch):
    def breaks(_scored):
        raise MemoryError

    monkeypatch.setattr(parts(busy).shadow, "see", breaks)
    with pytest.raises(MemoryError):
        answer(busy, 50, seed=6)


@pytest.mark.parametrize("refused", [ConfigError("no"), OSError(28, "No space left on device")])
def test_a_reload_that_cannot_keep_its_window_changes_nothing(engine, home, monkeypatch, refused):
    """The last step of a reload fails, after a threshold and a monitor."""

    def fail(*_arguments, **_options):
        raise refused

    answer(engine)
    monkeypatch.setattr(stream_rows, "TrainingRows", fail)
    before, champion = seen(engine), engine.champion
    change = REFIT | {"rejector": {"T": 4.0}, "drift": {"average_run_length": 1e4}}
    with pytest.raises(DetectdError):
        engine.reconfigure(settings(home, **change))
    assert seen(engine) == before
    assert engine.champion is champion


def test_old_models_go_after_an_accepted_refit(busy, home, store, versions):
    busy.reconfigure(settings(home, models={"directory": home / "models", "keep": 1}, **REFIT))
    fresh = model(9)
    store.save(fresh)
    busy.phases._renew(
        busy.phases.serving, serving.serve(fresh, derive.serving_options(busy.settings))
    )
    # The one before can be gone back to, the candidate scores along.
    assert store.versions() == [*versions[:2], fresh.version]
    assert store.rollback() == versions[0]


def test_a_restart_goes_on_with_the_candidates_counts(busy, home):
    state = busy.snapshot()
    busy.close()
    again = ScoringEngine(busy.settings, wiring.stream_schema(busy.settings), "test")
    again.load()
    again.restore(state)
    table = parts(again).shadow.report()["agreement"]
    assert sum(map(sum, (row.values() for row in table.values()))) == 300
    again.close()


def test_a_warm_up_file_that_was_removed_is_not_collected_into(tmp_path, monkeypatch):
    """Whoever held the file is done with it between our opening and our locking it."""
    first = RowLog(tmp_path, 2, Goal(10, 10))
    flock = __import__("fcntl").flock

    def late(descriptor, how):
        monkeypatch.setattr("fcntl.flock", flock)
        first.done()
        flock(descriptor, how)

    monkeypatch.setattr("fcntl.flock", late)
    second = RowLog(tmp_path, 2, Goal(10, 10))
    second.add(np.ones((3, 2)), [Origin("", None, None)] * 3)
    assert second.collected().rows.shape == (3, 2)
    second.close()


def test_a_trainers_directory_that_was_swept_is_made_again(tmp_path, monkeypatch):
    """Another service sweeps between its making and its locking."""
    mkdtemp, swept = tempfile.mkdtemp, []

    def watched(**options):
        path = mkdtemp(**options)
        if not swept:
            trainer_process.sweep(tmp_path)
            swept.append(path)
        return path

    monkeypatch.setattr(tempfile, "mkdtemp", watched)
    with trainer_process._own_directory(tmp_path) as own:
        assert own.is_dir()
        assert str(own) not in swept
        trainer_process.sweep(tmp_path)
        assert own.is_dir()
    assert not own.exists()


@pytest.mark.slow
def test_what_is_remembered_of_keys_is_rolled_back_with_the_outputs(tmp_path):
    asked = settings(
        tmp_path, event={"features": ["a", {"of": "b", "fn": "mean", "window": 3}], "key": "host"}
    )
    tables = []
    for rolls_back in (False, True):
        made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
        made.load()
        made.restore({})
        for batch in range(3):
            if rolls_back:
                rows = [Record(id=f"x{i}", value=b'{"a":9,"b":9,"host":"h"}') for i in range(5)]
                made.answer(rows)
                made.rollback()
            answer(made, 20, seed=batch)
        (table,) = [table for _, table in made._keys.features.tables.items()]
        tables.append((table.counters, table.rows[: len(table)].tolist()))
        made.close()
    assert tables[0][0].events == 60
    assert repr(tables[0]) == repr(tables[1])  # NaN is NaN


def test_alerts_come_in_the_order_of_their_events_wherever_batches_are_cut(home):
    asked = settings(
        home,
        event={"features": ["a", "b"], "key": "host", "timestamp": "t"},
        keys={"silent_after": "10s"},
        topics={"alerts": "alerts"},
        drift={"average_run_length": 100},
    )
    random = np.random.default_rng(3)
    records, rows = [], random.normal(size=(1500, 2)).tolist()
    for i, (a, b) in enumerate(rows):
        # Each host stops for a while, time and again; some events are no rows.
        host = f"h{random.integers(3) if i // 25 % 2 else 0}"
        event = {"a": a + i / 300, "b": b, "host": host, "t": 1.76e9 + i}
        value = b"{" if i % 7 == 3 else json.dumps(event).encode()
        records.append(Record(id=str(i), value=value))
    told = []
    for size in (1500, 37, 1):
        made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
        made.load()
        made.restore({})
        alerts = []
        for first in range(0, len(records), size):
            made.answer(records[first : first + size])
            alerts += [json.loads(out.value) for out in made.alerts()]
            made.on_commit()
        made.close()
        told.append([(each["id"], each["state"], each.get("event")) for each in alerts])
    assert told[0] == told[2]
    assert told[1] == told[2]
    kinds = "".join(name[0] for name, _, _ in told[0])
    assert "sds" in kinds
    assert kinds.count("d") >= 3


def test_gaps_come_before_the_events_and_only_if_alerts_are_asked_for(home):
    gap = Gap("t/0", 3, False, "retention", 4, 7, "t/0 4 7")
    for topics in ({"alerts": "alerts"}, {}):
        asked = settings(home, topics=topics, drift={"average_run_length": 100})
        made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
        made.load()
        made.restore({})
        made.answer([Record(id=str(i), value=b'{"a": 9, "b": 9}') for i in range(300)])
        told = [json.loads(out.value)["kind"] for out in made.alerts([gap])]
        made.close()
        assert told[:2] == (["gap", "drift"] if topics else [])


def test_what_no_model_decided_and_did_not_go_out_is_not_taken_from_its_abstentions(home):
    """Outputs too large for their topic are dead letters, those of young keys among them."""
    asked = settings(
        home,
        event={"features": ["a", "b"], "key": "host", "timestamp": "t"},
        keys={"silent_after": "1d", "min_events": 30},
        topics={"alerts": "alerts"},
        rejector={"T": 32.0},
    )
    made = ScoringEngine(asked, wiring.stream_schema(asked), "test")
    made.load()
    made.restore({})
    rows = np.random.default_rng(1).normal(size=(300, 2)).tolist()
    outgoing, records = [], []
    for first in (0, 150):  # Two batches in a commit, as at the start of a stream.
        records = [
            Record(id=str(i), value=json.dumps({"a": a, "b": b, "host": "h", "t": i}).encode())
            for i, (a, b) in enumerate(rows[first : first + 150])
        ]
        outgoing += made.answer(records)
    young, judged = outgoing[:30], Counter(out.topic for out in outgoing[30:])
    assert {out.topic for out in young} == {"abstain"}
    assert judged["abstain"] > 20
    died = [msgspec.structs.replace(out, topic=Topic.DEAD_LETTER) for out in young[:20]]
    held = [msgspec.structs.replace(young[0], topic=Topic.DEAD_LETTER)]  # of an earlier model
    outgoing = held + died + outgoing[20:]
    made.settle(Counter(out.topic for out in outgoing), outgoing)
    made.on_commit()
    assert made.champion.observed["abstain"] == judged["abstain"]
    made.close()
