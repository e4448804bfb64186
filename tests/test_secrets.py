"""Secrets that others can read are told of; those that they cannot are not."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import get_args

import pytest

from detectd.secrets import exposed
from detectd.settings import Settings
from detectd.settings.section import SecretFile

STREAM = {"source": {"kind": "stdin"}, "sink": {"kind": "stdout"}, "event": {"features": ["a"]}}
PUBLIC = ("ca_file", "certificate_file")


@pytest.fixture
def open_directory():
    """pytest's own directories let nobody in; this one lets everybody."""
    with tempfile.TemporaryDirectory() as made:
        directory = Path(made)
        directory.chmod(0o755)
        yield directory


def settings_with(directory, mode):
    for name in ("token", "password"):
        (directory / name).write_text("hush")
        (directory / name).chmod(mode)
    registry = {"url": "https://r", "username": "u", "password_file": directory / "password"}
    return Settings(**STREAM, server={"token_file": directory / "token"}, schema_registry=registry)


def test_every_file_that_others_can_read_is_named(open_directory):
    said = [*exposed(settings_with(open_directory, 0o644), open_directory / "none.toml")]
    files = {"schema_registry.password_file": "password", "server.token_file": "token"}
    assert said == [
        f"{key}: every user of this host can read {open_directory / name}; chmod o-r it"
        for key, name in files.items()
    ]


def test_a_file_for_its_owner_and_group_is_well_kept(open_directory):
    assert not [*exposed(settings_with(open_directory, 0o640), open_directory / "none.toml")]


def test_a_directory_that_others_cannot_enter_is_enough(open_directory):
    settings = settings_with(open_directory, 0o644)
    open_directory.chmod(0o750)
    assert not [*exposed(settings, open_directory / "none.toml")]


def test_the_file_that_is_read_is_the_one_that_is_looked_at(open_directory, monkeypatch):
    credentials = open_directory / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("hush")
    (credentials / "token").chmod(0o400)
    (open_directory / "token").write_text("hush")
    monkeypatch.chdir(open_directory)
    settings = Settings(**STREAM, server={"token_file": "token"})
    assert [*exposed(settings, Path("none.toml"))]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert not [*exposed(settings, Path("none.toml"))]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://me:hush@registry", True),
        ("https://me@registry", False),
        ("https://registry", False),
        ("https://[me:hush@registry", False),  # no URL at all
    ],
)
def test_a_password_in_the_configuration_is_told(open_directory, url, told):
    config = open_directory / "detectd.toml"
    config.write_text("")
    settings = Settings(**STREAM, schema_registry={"url": url})
    assert bool([*exposed(settings, config)]) is told
    config.chmod(0o640)
    assert not [*exposed(settings, config)]


def test_every_file_among_the_settings_is_known_to_hold_a_secret_or_to_be_public():
    for section, described in Settings.model_fields.items():
        for key, field in described.annotation.model_fields.items():
            if key.endswith("_file"):
                secret = SecretFile in get_args(field.annotation)
                assert secret != key.endswith(PUBLIC), f"{section}.{key}"
