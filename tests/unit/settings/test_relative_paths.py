"""Relative paths start at the configuration; what an earlier version left elsewhere is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from detectd.settings import relative_paths
from detectd.settings.loader import examine

CONFIG = """\
[source]
kind = "file"
path = "events.jsonl"
[sink]
kind = "file"
directory = "verdicts"
[event]
features = ["a"]
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """The configuration in one directory, and the command in another."""
    for name in [name for name in os.environ if name.upper().startswith("DETECTD_")]:
        monkeypatch.delenv(name)
    for name in ("conf", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "conf" / "detectd.toml").write_text(CONFIG, encoding="utf-8")
    monkeypatch.chdir(tmp_path / "work")


def placed(tmp_path, extra="", path=None):
    config = path or tmp_path / "conf" / "detectd.toml"
    config.write_text(CONFIG + extra, encoding="utf-8")
    settings, warnings = examine(config)
    return (settings.source.path, settings.sink.directory, settings.models.directory), warnings


def test_paths_start_at_the_configuration(tmp_path):
    here = tmp_path / "conf"
    (here / "events.jsonl").touch()
    found, warnings = placed(tmp_path)
    assert found == (here / "events.jsonl", here / "verdicts", here / "models")
    assert not warnings


def test_nothing_is_anywhere_yet(tmp_path):
    here = tmp_path / "conf"
    assert placed(tmp_path) == ((here / "events.jsonl", here / "verdicts", here / "models"), [])


def test_a_setup_of_an_earlier_version_goes_on_where_it_is(tmp_path):
    """Its outputs too, which are not made yet: they belong together."""
    there = tmp_path / "work"
    (there / "events.jsonl").touch()
    (there / "models").mkdir()
    found, warnings = placed(tmp_path)
    assert found == (there / "events.jsonl", there / "verdicts", there / "models")
    keys = [warning.split(":")[0] for warning in warnings]
    assert keys == ["source.path", "sink.directory", "models.directory"]
    for path, warning in zip(found, warnings, strict=True):
        assert f"{path} is used, as before" in warning
        assert f"which means {tmp_path / 'conf' / path.name}" in warning


def test_what_is_in_both_places_is_the_configurations_and_said_so(tmp_path):
    here, there = tmp_path / "conf", tmp_path / "work"
    for each in (here, there):
        (each / "events.jsonl").touch()
    (there / "models").mkdir()
    found, warnings = placed(tmp_path)
    assert found == (here / "events.jsonl", here / "verdicts", there / "models")
    assert f"{here / 'events.jsonl'} is used, and no longer {there / 'events.jsonl'}" in warnings[0]
    assert f"{there / 'models'} is used, as before" in warnings[1]
    assert len(warnings) == 2


def test_in_the_configurations_own_directory_nothing_differs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path / "conf")
    (tmp_path / "conf" / "events.jsonl").touch()
    found, warnings = placed(tmp_path, path=Path("detectd.toml"))
    assert found[0] == tmp_path / "conf" / "events.jsonl"
    assert not warnings


@pytest.mark.parametrize("spelt", ["../conf/detectd.toml", "../link/detectd.toml"])
def test_a_path_is_the_same_however_the_configuration_is_named(tmp_path, spelt):
    """The sink knows its source by its path."""
    (tmp_path / "link").symlink_to("conf")
    assert placed(tmp_path, path=Path(spelt)) == placed(tmp_path)


def test_a_variable_means_where_one_is(tmp_path, monkeypatch):
    monkeypatch.setenv("DETECTD_SOURCE__PATH", "other.jsonl")
    (tmp_path / "conf" / "other.jsonl").touch()
    found, warnings = placed(tmp_path)
    assert found[0] == tmp_path / "work" / "other.jsonl"
    assert not warnings


def test_an_installed_instance_writes_where_its_unit_may(tmp_path, monkeypatch):
    monkeypatch.setattr(relative_paths, "INSTALLED", tmp_path / "conf")
    monkeypatch.setattr(relative_paths, "STATE", tmp_path / "state")
    here, state = tmp_path / "conf", tmp_path / "state" / "payments"
    found, _ = placed(tmp_path, path=here / "payments.toml")
    assert found == (here / "events.jsonl", state / "verdicts", state / "models")


def test_a_secret_is_a_credential_first(tmp_path, monkeypatch):
    (tmp_path / "cred").mkdir()
    (tmp_path / "cred" / "token").write_text("x")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "cred"))
    config = tmp_path / "conf" / "detectd.toml"
    for name, home in (("token", "cred"), ("other", "conf")):
        config.write_text(f'{CONFIG}[server]\ntoken_file = "{name}"\n', encoding="utf-8")
        assert examine(config).settings.server.token_file == tmp_path / home / name


def test_a_working_directory_may_be_gone(tmp_path):
    (tmp_path / "work").rmdir()
    found, warnings = placed(tmp_path)
    assert found[0] == tmp_path / "conf" / "events.jsonl"
    assert not warnings
