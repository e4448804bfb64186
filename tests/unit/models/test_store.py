import json
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from detectd.detectors import Coding
from detectd.errors import ConfigError, DetectdError, UsageError
from detectd.features.declaring import declare
from detectd.models import archive
from detectd.models.integrity import sha256
from detectd.models.model import Recipe
from detectd.models.store import Store
from detectd.models.training import refit, train
from tests.support.counts import record_observed

FEATURES = ("a", "b", "c")
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def model(seed=0, hour=12):
    rows = np.random.default_rng(seed).normal(size=(400, 3))
    return train(rows, Recipe("HBOS", 0.1, seed=seed), FEATURES, NOON.replace(hour=hour))


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "models")


def test_a_stored_model_comes_back_and_scores_the_same(store):
    saved = model()
    store.save(saved)
    loaded = store.load(saved.version)
    assert not loaded.drift
    rows = np.random.default_rng(9).normal(size=(50, 3))
    assert np.array_equal(
        loaded.model.detector.decision_function(rows), saved.detector.decision_function(rows)
    )
    assert np.array_equal(loaded.model.calibration, saved.calibration)
    assert loaded.model.recipe == saved.recipe
    assert loaded.model.features == FEATURES


def test_the_version_tells_when_and_what():
    assert model().version.startswith("20260301T120000Z-")
    assert model().version == model().version
    assert model(seed=1).version.split("-")[1] != model().version.split("-")[1]


@pytest.mark.parametrize("name", ["detector.pkl", "calibration.npy", "medians.npy", "rows.npy"])
@pytest.mark.parametrize("harm", ["flip", "cut", "remove"])
def test_a_damaged_file_is_refused_by_name(store, name, harm):
    saved = model()
    store.save(saved)
    path = store.directory / saved.version / name
    content = bytearray(path.read_bytes())
    if harm == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(content if harm == "flip" else content[:-1])
    with pytest.raises(ConfigError, match=name) as refused:
        store.load(saved.version)
    assert "rollback" in str(refused.value)


@pytest.mark.parametrize("content", [b"", b"{", b"{}", b"[1]", b'{"version": "x"}'])
def test_a_damaged_manifest_is_refused(store, content):
    saved = model()
    store.save(saved)
    (store.directory / saved.version / "manifest.json").write_bytes(content)
    with pytest.raises(ConfigError, match="manifest"):
        store.load(saved.version)
    assert "DAMAGED" in store.describe(saved.version)


def test_rollback_works_when_the_active_model_is_damaged(store):
    older, newer = model(hour=10), model(seed=1)
    for each in (older, newer):
        store.save(each)
        store.activate(each.version)
    (store.directory / newer.version / "detector.pkl").write_bytes(b"")
    assert store.rollback() == older.version
    assert store.load(store.active()).model.version == older.version
    with pytest.raises(DetectdError, match="no earlier model"):
        store.rollback()


@pytest.mark.parametrize("part", ["", "{version}", "{version}/detector.pkl"])
def test_a_store_that_others_can_write_to_is_refused(store, part):
    saved = model()
    store.save(saved)
    path = store.directory / part.format(version=saved.version)
    path.chmod(path.stat().st_mode | stat.S_IWOTH)
    with pytest.raises(ConfigError, match="is writable by any user, "):
        store.load(saved.version)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_model_of_another_user_is_refused(store):
    saved = model()
    store.save(saved)
    os.chown(store.directory / saved.version / "detector.pkl", 12345, -1)
    with pytest.raises(ConfigError, match="belongs to uid 12345"):
        store.load(saved.version)


def test_nothing_is_unpickled_before_it_is_verified(store):
    """A pickle that would leave a trace, put in place of the detector, leaves none."""
    saved = model()
    store.save(saved)
    trace = store.directory / "trace"
    command = f"touch {trace}".encode()
    payload = b"cos\nsystem\n(S'" + command + b"'\ntR."
    (store.directory / saved.version / "detector.pkl").write_bytes(payload)
    with pytest.raises(ConfigError, match="sha256"):
        store.load(saved.version)
    assert not trace.exists()


def test_other_library_versions_are_told_and_nothing_is_unpickled(store):
    saved = model()
    store.save(saved)
    path = store.directory / saved.version / "manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["libraries"]["numpy"] = "1.0"
    path.write_text(json.dumps(manifest))
    loaded = store.load(saved.version)
    assert set(loaded.drift) == {"numpy"}
    assert loaded.drift["numpy"][0] == "1.0"
    assert loaded.model.detector is None


def test_prune_keeps_the_newest_and_the_active(store):
    models = [model(seed=i, hour=i) for i in range(5)]
    for each in models:
        store.save(each)
    store.activate(models[0].version)
    gone = store.prune(keep=2)
    assert gone == [m.version for m in models[1:3]]
    assert store.versions() == [models[0].version, models[3].version, models[4].version]
    assert store.active() == models[0].version
    assert store.prune(keep=0) == [m.version for m in models[3:]]


def test_an_unknown_version_is_a_mistake_of_the_command_line(store):
    with pytest.raises(UsageError, match="no model 'x'"):
        store.activate("x")


def test_a_half_written_model_is_not_a_model(store):
    saved = model()
    store.save(saved)
    beside = store.directory / ".20260101T000000Z-abcdef.new"
    beside.mkdir()
    (beside / "manifest.json").touch()
    assert store.versions() == [saved.version]


def test_observed_counts_belong_to_a_version(store):
    record_observed(store, "x", {"normal": 3})
    assert store.observed("x") == {"normal": 3}
    assert store.observed("y") == {}
    more = {"normal": 4, "history": [[4, 0, 0, None]], "alarms": [{"number": 1}]}
    record_observed(store, "x", more)
    assert store.observed("x") == more


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"x": 3}', b'{"x": [1]}', b'{"x": null}'])
def test_damaged_observations_are_none(store, content):
    store.make()
    (store.directory / "observed.json").write_bytes(content)
    assert store.observed("x") == {}


@pytest.fixture
def scaled():
    """A model of columns of very different sizes."""
    rows = np.random.default_rng(0).normal(size=(400, 3)) * [1e9, 1.0, 1.0]
    return train(rows, Recipe("KNN", 0.1, scale="robust"), FEATURES, NOON)


def test_a_scaling_is_kept_with_the_model(store, scaled):
    store.save(scaled)
    loaded = store.load(scaled.version).model
    assert np.array_equal(loaded.scaling.center, scaled.scaling.center)
    assert np.array_equal(loaded.scaling.spread, scaled.scaling.spread)
    again = refit(loaded, NOON)
    assert again.recipe.scale == "robust"
    assert np.array_equal(again.calibration, scaled.calibration)


@pytest.fixture
def coded():
    """A model of a number and a category, of 5, 6 and 7."""
    rng = np.random.default_rng(0)
    rows = np.column_stack((rng.normal(size=400), rng.choice([5.0, 6.0, 7.0], 400)))
    declared = ("a", declare({"of": "s", "fn": "onehot", "top": 2}))
    recipe = Recipe("KNN", 0.1, scale="robust", codings=(Coding(1, "onehot", 2),))
    return train(rows, recipe, declared, NOON)


def test_categories_are_kept_with_the_model_and_a_refit_of_its_rows_counts_the_same(store, coded):
    store.save(coded)
    loaded = store.load(coded.version).model
    assert (loaded.recipe, loaded.declared) == (coded.recipe, coded.declared)
    assert np.array_equal(loaded.encoding(coded.rows), coded.encoding(coded.rows))
    assert np.array_equal(refit(loaded, NOON).calibration, coded.calibration)


@pytest.mark.parametrize("codings", [[], [[1, "onehot", 3]]])
def test_a_model_without_the_categories_of_its_recipe_is_refused(store, coded, codings):
    store.save(coded)
    manifest = _manifest(store, coded)
    manifest["recipe"]["codings"] = codings
    _write(store, coded, manifest)
    with pytest.raises(ConfigError, match="the recipe's categories contradict the encoding"):
        store.load(coded.version)


def test_a_model_of_before_scales_nothing(store):
    """Its manifest says nothing of a scale."""
    saved = model()
    store.save(saved)
    manifest = _manifest(store, saved)
    del manifest["recipe"]["scale"]
    _write(store, saved, manifest)
    loaded = store.load(saved.version).model
    assert loaded.recipe.scale == "none"
    assert loaded.scaling is None


def test_a_model_whose_scaling_is_gone_is_refused(store, scaled):
    store.save(scaled)
    manifest = _manifest(store, scaled)
    del manifest["files"]["scaling.npy"]
    _write(store, scaled, manifest)
    with pytest.raises(ConfigError, match="scale"):
        store.load(scaled.version)


@pytest.mark.parametrize(
    "content", [np.zeros((2, 3)), np.ones((2, 2)), np.full((2, 3), np.inf), np.ones((2, 3), int)]
)
def test_a_scaling_that_cannot_be_is_refused(store, scaled, content):
    store.save(scaled)
    path = store.directory / scaled.version / "scaling.npy"
    np.save(path, content)
    manifest = _manifest(store, scaled)
    manifest["files"]["scaling.npy"] = sha256(path.read_bytes())
    _write(store, scaled, manifest)
    with pytest.raises(ConfigError, match="scaling"):
        store.load(scaled.version)


def _manifest(store, saved):
    return json.loads((store.directory / saved.version / "manifest.json").read_bytes())


def _write(store, saved, manifest):
    (store.directory / saved.version / "manifest.json").write_text(json.dumps(manifest))


def keyed(seed=0):
    rows = np.random.default_rng(seed).normal(size=(400, 3))
    keys = np.random.default_rng(seed).choice(np.array([0, 7, 2**63 + 5], dtype=np.uint64), 400)
    return train(rows, Recipe("HBOS", 0.1, seed=seed), FEATURES, NOON, keys)


def test_the_keys_of_the_rows_come_back_with_the_model(store):
    saved = keyed()
    store.save(saved)
    loaded = store.load(saved.version).model
    assert np.array_equal(loaded.keys.rows, saved.keys.rows)
    assert np.array_equal(loaded.keys.calibration, saved.keys.calibration)
    assert saved.version != model().version
    again = refit(loaded, NOON)
    assert np.array_equal(again.keys.calibration, saved.keys.calibration)


def test_a_model_without_keys_has_no_files_of_them_and_loads(store):
    saved = model()
    store.save(saved)
    names = {path.name for path in (store.directory / saved.version).iterdir()}
    assert not any("keys" in name for name in names)
    assert store.load(saved.version).model.keys is None


@pytest.mark.parametrize("name", ["row_keys.npy", "calibration_keys.npy"])
def test_damaged_keys_are_refused_by_name(store, name):
    saved = keyed()
    store.save(saved)
    path = store.directory / saved.version / name
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=name):
        store.load(saved.version)


def test_keys_of_another_number_of_rows_are_refused(store):
    saved = keyed()
    store.save(replace(saved, keys=replace(saved.keys, rows=saved.keys.rows[1:])))
    with pytest.raises(ConfigError, match="keys have the wrong shape"):
        store.load(saved.version)


def test_keys_travel_with_the_archive_of_a_model(store, tmp_path):
    saved, other = keyed(), Store(tmp_path / "other")
    store.save(saved)
    archive.unpack(other, saved.version, archive.pack(store, saved.version))
    assert np.array_equal(other.load(saved.version).model.keys.rows, saved.keys.rows)
