"""Read secrets from files, never from the configuration or the environment."""

from __future__ import annotations

import os
import stat
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, get_args
from urllib.parse import urlsplit

from detectd.errors import ConfigError
from detectd.filesystem.os_errors import explained
from detectd.settings.types import SecretFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.settings import Settings


def read_secret(key: str, path: Path) -> str:
    """Return the secret in the file, looked up among systemd's credentials first.

    Raise ConfigError with the `key` of the configuration, without the secret.
    """
    there = _found(path)
    try:
        # Editors on Windows may save a byte order mark: no secret begins with one.
        secret = there.read_text(encoding="utf-8-sig").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise ConfigError(
            f"{key}: {there} cannot be read: it is not UTF-8 text; save it as UTF-8"
        ) from None
    except OSError as failed:
        raise explained(
            failed, f"{key}: {there} cannot be read", "name a file that this user can read"
        ) from None
    if not secret:
        raise ConfigError(f"{key}: {there} is empty; put the secret into it")
    return secret


def exposed(settings: Settings) -> Iterator[str]:
    """Yield a line for each file with a secret that every user of this host can read."""
    for section, table in settings:
        for key, field in type(table).model_fields.items():
            value = getattr(table, key)
            if SecretFile in get_args(field.annotation) and value is not None:
                there = _found(value)
                if _open_to_all(there):
                    yield (f"{section}.{key}: any user on this host can read {there}; chmod o-r it")


def in_the_clear(settings: Settings) -> Iterator[str]:
    """Yield a line for each secret that is sent over a network without encryption.

    SCRAM does not send the secret, and local connections do not use the network.
    """
    kafka, registry, server = settings.kafka, settings.schema_registry, settings.server
    bare = kafka.security_protocol == "SASL_PLAINTEXT"
    abroad = any(not _is_near(f"kafka://{broker}") for broker in kafka.bootstrap_servers)
    if bare and abroad and kafka.sasl_mechanism in ("PLAIN", "OAUTHBEARER"):
        what = "the password" if kafka.sasl_mechanism == "PLAIN" else "the token"
        yield (
            f"kafka.security_protocol: SASL_PLAINTEXT sends {what} to the brokers unencrypted; "
            'set "SASL_SSL"'
        )
    if kafka.sasl_token_url and _is_bare(kafka.sasl_token_url):
        yield (
            "kafka.sasl_token_url: http:// sends the client secret, and returns the token, "
            "unencrypted; use https://"
        )
    if registry.url and registry.username and _is_bare(registry.url):
        yield "schema_registry.url: http:// sends the password unencrypted; use https://"
    listen = server.listen
    if server.token_file and listen and not (listen.startswith("unix:") or _is_near(f"//{listen}")):
        yield (
            f"server.listen: clients of {listen} send the token unencrypted; listen on "
            "127.0.0.1 behind a proxy with TLS, or let only a trusted network reach it"
        )


def _is_bare(url: str) -> bool:
    return url.lower().startswith("http://") and not _is_near(url)


def _is_near(url: str) -> bool:
    """Return whether the host of the address is this one."""
    try:
        host = urlsplit(url).hostname or ""
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _found(path: Path) -> Path:
    home = os.environ.get("CREDENTIALS_DIRECTORY")
    return Path(home) / path if home and (Path(home) / path).is_file() else path


def _open_to_all(path: Path) -> bool:
    """Return whether others may read the file, and enter all the directories that it is in."""
    try:
        above = path.resolve().parents
        return bool(path.stat().st_mode & stat.S_IROTH) and all(
            directory.stat().st_mode & stat.S_IXOTH for directory in above
        )
    except OSError:
        return False
