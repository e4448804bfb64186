"""Secrets that others can read or hear are named, once; no message has a secret in it."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import get_args

import pytest

from detectd.errors import ConfigError
from detectd.settings import Settings
from detectd.settings.loader import load
from detectd.settings.secrets import exposed, in_the_clear
from detectd.settings.types import SecretFile
from detectd.telemetry.listen_address import parse

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
    said = [*exposed(settings_with(open_directory, 0o644))]
    files = {"schema_registry.password_file": "password", "server.token_file": "token"}
    assert said == [
        f"{key}: any user on this host can read {open_directory / name}; chmod o-r it"
        for key, name in files.items()
    ]


def test_a_file_for_its_owner_and_group_is_well_kept(open_directory):
    assert not [*exposed(settings_with(open_directory, 0o640))]


def test_a_directory_that_others_cannot_enter_is_enough(open_directory):
    settings = settings_with(open_directory, 0o644)
    open_directory.chmod(0o750)
    assert not [*exposed(settings)]


def test_the_file_that_is_read_is_the_one_that_is_looked_at(open_directory, monkeypatch):
    credentials = open_directory / "credentials"
    credentials.mkdir()
    (credentials / "token").write_text("hush")
    (credentials / "token").chmod(0o400)
    (open_directory / "token").write_text("hush")
    monkeypatch.chdir(open_directory)
    settings = Settings(**STREAM, server={"token_file": "token"})
    assert [*exposed(settings)]
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert not [*exposed(settings)]


@pytest.mark.parametrize(
    ("section", "key", "instead"),
    [
        ("schema_registry", "url", "schema_registry.username and schema_registry.password_file"),
        (
            "kafka",
            "sasl_token_url",
            "kafka.sasl_client_id and kafka.sasl_client_secret_file",
        ),
        (
            "kafka",
            "bootstrap_servers",
            "kafka.sasl_username and kafka.sasl_password_file",
        ),
    ],
)
@pytest.mark.parametrize(
    "url",
    [
        "https://me:hush@host:1",
        "https://hush@host",
        "https://[me:hush@host",  # no address at all
        "https://me:hu/sh@host",
        "https://me:hu#sh@host",
        "me:hush@host:1",
        "HTTPS://me:%68ush@host",
    ],
)
@pytest.mark.parametrize("in_environment", [False, True])
def test_credentials_in_an_address_are_refused_and_not_repeated(
    tmp_path, monkeypatch, section, key, instead, url, in_environment
):
    config = tmp_path / "detectd.toml"
    value = json.dumps([url]) if key == "bootstrap_servers" else json.dumps(url)
    if in_environment:
        text = value if key == "bootstrap_servers" else url
        monkeypatch.setenv(f"DETECTD_{section}__{key}".upper(), text)
    table = "" if in_environment else f"[{section}]\n{key} = {value}\n"
    config.write_text(
        '[source]\nkind = "stdin"\n[sink]\nkind = "stdout"\n[event]\nfeatures = ["a"]\n' + table
    )
    with pytest.raises(ConfigError) as refused:
        load(config)
    said = str(refused.value)
    assert f"{section}.{key}" in said
    assert f"credentials do not belong in an address; set {instead}" in said
    assert not any(part in said for part in ("hush", "hu/sh", "hu#sh", "@", "sh@"))
    assert "\n" not in said


def test_credentials_in_the_address_to_listen_at_are_refused_and_not_repeated():
    with pytest.raises(ConfigError, match=r"^server\.listen: .*server\.token_file$") as refused:
        parse("me:hush@127.0.0.1:9464", None)
    assert "hush" not in str(refused.value)


def clear(**sections):
    return [why.split(":")[0] for why in in_the_clear(Settings(**STREAM | sections))]


def sasl(mechanism, protocol="SASL_PLAINTEXT", *servers, **more):
    grant = {"sasl_username": "me", "sasl_password_file": "p"}
    if mechanism == "OAUTHBEARER":
        grant = {"sasl_token_file": "t"}
    return {
        "security_protocol": protocol,
        "sasl_mechanism": mechanism,
        "bootstrap_servers": servers or ("broker:9092",),
    } | (more or grant)


def test_what_sends_a_secret_in_the_clear_is_named():
    key = ["kafka.security_protocol"]
    assert clear(kafka=sasl("PLAIN")) == key
    assert clear(kafka=sasl("OAUTHBEARER")) == key
    assert clear(kafka=sasl("PLAIN", "SASL_PLAINTEXT", "localhost:1", "[2001:db8::1]:1")) == key
    granted = {"sasl_client_id": "me", "sasl_client_secret_file": "s"}
    by = {"sasl_token_url": "HTTP://login/token", **granted}
    assert clear(kafka=sasl("OAUTHBEARER", "SASL_SSL", **by)) == ["kafka.sasl_token_url"]
    login = {"username": "me", "password_file": "p"}
    assert clear(schema_registry={"url": "http://r", **login}) == ["schema_registry.url"]
    for listen in ("0.0.0.0:1", "[::]:1", "host:1"):
        assert clear(server={"listen": listen, "token_file": "t"}) == ["server.listen"]


def test_what_is_encrypted_or_stays_on_the_host_or_is_no_secret_is_not_named():
    assert not clear(kafka=sasl("PLAIN", "SASL_SSL"))
    assert not clear(kafka=sasl("SCRAM-SHA-256"))
    for near in ("localhost:1", "127.9.9.9:1", "[::1]:1"):
        assert not clear(kafka=sasl("PLAIN", "SASL_PLAINTEXT", near))
        assert not clear(server={"listen": near, "token_file": "t"})
    login = {"username": "me", "password_file": "p"}
    assert not clear(schema_registry={"url": "https://r", **login})
    assert not clear(schema_registry={"url": "http://localhost:8081", **login})
    assert not clear(schema_registry={"url": "http://r"})
    granted = {"sasl_client_id": "me", "sasl_client_secret_file": "s"}
    by = {"sasl_token_url": "https://login/token", **granted}
    assert not clear(kafka=sasl("OAUTHBEARER", "SASL_SSL", **by))
    assert not clear(server={"listen": "unix:/run/s", "token_file": "t"})
    assert not clear(server={"listen": "", "token_file": "t"})


def test_every_file_among_the_settings_is_known_to_hold_a_secret_or_to_be_public():
    for section, described in Settings.model_fields.items():
        for key, field in described.annotation.model_fields.items():
            if key.endswith("_file"):
                secret = SecretFile in get_args(field.annotation)
                assert secret != key.endswith(PUBLIC), f"{section}.{key}"
