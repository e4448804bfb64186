"""What an alarm, a refusal and an operator do to the rows of the next model."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from structlog.testing import capture_logs

from detectd import derive
from detectd.errors import DetectdError
from detectd.models import serving
from detectd.models.store import Store
from detectd.rejection import NORMAL
from detectd.service import challenger_training
from detectd.service.options import retraining_options
from detectd.service.retraining import Retrainer
from detectd.service.training_window import Guard
from detectd.sinks import commit_metadata
from tests.support.engines import model, settings
from tests.support.trainers import InThisProcess

QUARANTINE = 50


@pytest.fixture(scope="module")
def first():
    return model(0)


@pytest.fixture(autouse=True)
def _trained_here(request, monkeypatch):
    if "real_trainer" not in request.fixturenames:
        monkeypatch.setattr(challenger_training, "TrainerProcess", InThisProcess)


@pytest.fixture
def real_trainer():
    """Trains in a process of its own."""


def training(refit, **more):
    every = {"every_events": 100_000} if refit == "every" else {}
    return {"refit": refit, "quarantine": QUARANTINE, "guard": "none"} | every | more


def begun(home, first, **keys):
    store = Store(home / "models")
    store.save(first)
    asked = settings(home, training=keys, source={"follow": False})  # so that it waits for a refit
    retrainer = Retrainer(
        retraining_options(asked), store, serving.serve(first, derive.serving_options(asked))
    )
    retrainer.restore({})
    return retrainer


def scored(begin, end):
    rows = np.repeat(np.arange(begin, end, dtype=float)[:, None], 2, axis=1)
    return SimpleNamespace(
        rows=rows,
        scores=np.zeros(len(rows)),
        found=SimpleNamespace(verdict=np.full(len(rows), NORMAL, dtype=np.int8)),
    )


def collected(retrainer):
    """The numbers of the rows in the window, and how many wait."""
    rows = retrainer._rows.kept
    return rows.window.rows()[:, 0].astype(int).tolist(), rows.waiting


def see(retrainer, cuts, alarms):
    """The stream in batches that end at `cuts`, with alarms after the events of those numbers."""
    for begin, end in zip([0, *cuts], cuts, strict=False):
        within = [alarm - begin for alarm in alarms if begin < alarm <= end]
        retrainer.see(scored(begin, end), within)
        retrainer.on_commit()


def left_by_a_slow_list(count, alarms, refit):
    """The same by lists: the window without its bound, and what waits."""
    window, waiting, alarmed = [], [], False
    for number in range(count):
        waiting.append(number)
        if len(waiting) > QUARANTINE:
            window.append(waiting.pop(0))
        for _ in range(alarms.count(number + 1)):
            if refit == "every":
                waiting = []
            elif not alarmed:
                window, waiting, alarmed = [], [], True
    return window[-400:], len(waiting)


@examples(max_examples=25, deadline=None)
@given(
    st.sampled_from(["every", "on_drift"]),
    st.lists(st.integers(1, 900), max_size=4, unique=True).map(sorted),
    st.lists(st.integers(1, 899), max_size=9, unique=True).map(sorted),
)
def test_alarms_drop_the_same_rows_however_the_stream_is_cut(
    tmp_path_factory, first, refit, alarms, cuts
):
    retrainer = begun(tmp_path_factory.mktemp("renewal"), first, **training(refit))
    see(retrainer, [*cuts, 900], alarms)
    assert collected(retrainer) == left_by_a_slow_list(900, alarms, refit)
    before, state = collected(retrainer), retrainer.snapshot()
    retrainer.rollback()
    assert (collected(retrainer), retrainer.snapshot()) == (before, state)
    retrainer.close()


@pytest.mark.parametrize("how", ["discard", "rollback"])
@pytest.mark.parametrize("quarantine", [0, QUARANTINE])
def test_an_operator_drops_all_rows_also_while_the_service_is_down(
    tmp_path, first, how, quarantine
):
    def speak():
        if how == "discard":
            retrainer._store.discard()
        else:
            for version in (second.version, first.version, second.version):
                retrainer._store.activate(version)
            retrainer._store.rollback()

    second = model(1)
    retrainer = begun(tmp_path, first, **training("every", quarantine=quarantine))
    retrainer._store.save(second)
    see(retrainer, [300], [])
    speak()
    assert collected(retrainer)[0]
    assert retrainer.heed()
    assert collected(retrainer) == ([], 0)
    assert not retrainer.heed()
    see(retrainer, [300], [])
    state = retrainer.snapshot()
    speak()
    retrainer.close()
    again = begun(tmp_path, first, **training("every", quarantine=quarantine))
    again.restore(state)
    assert collected(again) == ([], 0)
    again.restore(again.snapshot())  # and once is enough
    see(again, [300], [])
    again.rollback()
    assert collected(again)[0]
    again.close()


def through(retrainer):
    """Wait for what is being trained."""
    return retrainer.advance(lambda: None)


def real(count, seed, shift=0.0):
    rows = np.random.default_rng(seed).normal(size=(count, 2)) + shift
    return SimpleNamespace(
        rows=rows,
        scores=np.zeros(count),
        found=SimpleNamespace(verdict=np.full(count, NORMAL, dtype=np.int8)),
    )


ONE = {"every_events": 500, "cooldown_events": 0}


def test_a_refused_model_takes_its_rows_and_those_that_wait_with_it(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("every", **ONE, max_changed=0.0))
    retrainer.see(real(1000, 7, shift=1.0), [])
    retrainer.on_commit()
    assert through(retrainer) is None
    assert retrainer.outcomes() == ["refused"]
    assert collected(retrainer) == ([], 0)
    retrainer.close()


def test_without_a_quarantine_a_refused_model_leaves_the_window(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("every", **ONE, quarantine=0, max_changed=0.0))
    retrainer.see(real(1000, 7, shift=1.0), [])
    retrainer.on_commit()
    through(retrainer)
    assert retrainer.outcomes() == ["refused"]
    assert len(collected(retrainer)[0]) == 400
    retrainer.close()


HOLD = {"after_alarm": "hold", "cooldown_events": 0}


@pytest.mark.parametrize("refit", ["on_drift", "every"])
def test_a_model_after_an_alarm_waits_for_an_operator_across_restarts(tmp_path, first, refit):
    keys = training(refit, **HOLD, max_changed=1.0) | (ONE if refit == "every" else {})
    retrainer = begun(tmp_path, first, **keys)
    retrainer.see(real(1000, 7), [100])
    retrainer.on_commit()
    state = retrainer.snapshot()
    assert through(retrainer) is None
    held = retrainer.held
    assert held in retrainer._store.versions()
    assert retrainer.outcomes() == ["held"]
    assert retrainer._store.active() is None
    calm = retrainer.snapshot()
    retrainer.close()

    again = begun(tmp_path, first, **keys)  # killed before the next commit
    again.restore(state)
    assert again.snapshot() == calm
    again.see(real(1000, 8), [200])
    again.on_commit()
    through(again)
    assert (again.held, again.outcomes()) == (held, [])  # no other is trained meanwhile
    assert again._store.prune(1) == [first.version]
    assert again._store.versions() == [held]

    again._store.activate(held)
    again.heed()
    assert again.held is None
    again.close()


def test_an_alarm_of_the_release_before_holds_the_model_too(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("on_drift", **HOLD, max_changed=1.0))
    retrainer.see(real(1000, 7), [100])
    retrainer.on_commit()
    state = retrainer.snapshot()
    del state["since"]["warned"]  # It knew one kind of alarm.
    retrainer.close()
    again = begun(tmp_path, first, **training("on_drift", **HOLD, max_changed=1.0))
    again.restore(state)
    through(again)
    assert again.outcomes() == ["held"]
    again.close()


def test_what_an_operator_discarded_once_is_not_told_of_at_each_start(tmp_path, first):
    store = Store(tmp_path / "models")
    store.save(first)
    store.discard()
    with capture_logs() as log:
        retrainer = begun(tmp_path, first, **training("every"))
        state = retrainer.snapshot()
        retrainer.restore(state)
        retrainer.close()
    assert [line for line in log if line["event"] == "window.discarded"] == []


def test_a_model_on_which_our_code_fails_does_not_end_the_stream(tmp_path, first, monkeypatch):
    monkeypatch.setattr(
        challenger_training, "agreement", lambda *_: (_ for _ in ()).throw(TypeError("a defect"))
    )
    retrainer = begun(tmp_path, first, **training("every", **ONE))
    retrainer.see(real(1000, 7), [])
    retrainer.on_commit()
    assert through(retrainer) is None
    assert retrainer.outcomes() == ["failed"]
    retrainer.close()


@pytest.mark.slow
@pytest.mark.usefixtures("real_trainer")
def test_without_an_alarm_nothing_is_held(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("every", **(HOLD | ONE), max_changed=1.0))
    retrainer.see(real(1000, 7), [])
    retrainer.on_commit()
    assert through(retrainer) is not None
    assert (retrainer.held, retrainer.outcomes()) == (None, ["accepted"])
    retrainer.close()


def test_a_store_that_cannot_hold_a_model_does_not_let_it_answer(tmp_path, first, monkeypatch):
    retrainer = begun(tmp_path, first, **training("on_drift", **HOLD))
    retrainer.see(real(1000, 7), [100])
    retrainer.on_commit()

    def full(_version):
        raise DetectdError("no space left")

    monkeypatch.setattr(retrainer._store, "hold", full)
    assert through(retrainer) is None
    assert (retrainer.held, retrainer.outcomes()) == (None, ["failed"])
    retrainer.close()


@pytest.mark.parametrize("how", ["held", "discarded"])
def test_the_guard_that_an_alarm_has_lifted_comes_back(tmp_path, first, how):
    retrainer = begun(tmp_path, first, **training("on_drift", **HOLD, guard="anomaly"))
    assert retrainer._rows.kept.window.guard == Guard(0.1)
    retrainer.see(real(1000, 7), [100])
    retrainer.on_commit()
    assert retrainer._rows.kept.window.guard == Guard()
    if how == "held":
        through(retrainer)
        assert retrainer.held
    else:
        retrainer._store.discard()
        retrainer.heed()
    assert retrainer._rows.kept.window.guard == Guard(0.1)
    retrainer.close()


def test_discard_ends_the_waiting(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("on_drift", **HOLD))
    retrainer.see(real(1000, 7), [100])
    retrainer.on_commit()
    through(retrainer)
    assert retrainer._store.discard() == retrainer.held
    assert retrainer.heed()
    assert retrainer.held is None
    assert collected(retrainer) == ([], 0)
    retrainer.close()


def test_nothing_suspicious_trains_under_normal_only_not_even_after_an_alarm(tmp_path, first):
    """Rows that the guard let in before it was set do not either."""
    keys = training("on_drift", quarantine=0, cooldown_events=0, max_changed=1.0)
    retrainer = begun(tmp_path, first, **keys)
    far = real(300, 9, shift=50.0)
    far.found.verdict[:] = 1
    retrainer.see(far, [10])
    strict = {"training": keys | {"guard": "normal_only"}, "source": {"follow": False}}
    retrainer.succeed(retrainer.champion, retraining_options(settings(tmp_path, **strict)))
    retrainer.see(real(1400, 7), [])
    retrainer.see(far, [])
    retrainer.on_commit()
    ready = through(retrainer)
    assert ready is not None
    assert retrainer.outcomes() == ["accepted"]
    assert ready.model.rows.max() < 10
    trained = {tuple(row) for row in ready.model.rows.tolist()}
    assert trained & {tuple(row) for row in first.rows.tolist()}  # the tail of the one before
    retrainer.close()


def test_what_a_commit_says_fits_into_kafka_s_offsets(tmp_path, first):
    retrainer = begun(tmp_path, first, **training("every"))
    see(retrainer, [300], [200])
    said = commit_metadata.write({"state": retrainer.snapshot(), "padding": "x" * 3000})
    assert not said.startswith(commit_metadata.COMPRESSED)
    assert commit_metadata.read(said)["state"] == retrainer.snapshot()
    retrainer.close()
