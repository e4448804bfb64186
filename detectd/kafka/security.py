"""Convert `[kafka]` to the connection options of kafka-python and librdkafka.

Secrets are read from files when a client is created; they are in no setting, log or message.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from detectd.errors import ConfigError
from detectd.kafka.tokens import Tokens
from detectd.settings.secrets import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.settings.kafka import KafkaSettings


def kafka_python_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the options of kafka-python's clients beside the addresses. Raise ConfigError."""
    options: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if "SSL" in kafka.security_protocol:
        options |= {
            "ssl_check_hostname": kafka.ssl_check_hostname,
            "ssl_cafile": _file("ssl_ca_file", kafka.ssl_ca_file),
            "ssl_certfile": _file("ssl_certificate_file", kafka.ssl_certificate_file),
            "ssl_keyfile": _file("ssl_key_file", kafka.ssl_key_file),
            "ssl_password": _secret("ssl_key_password_file", kafka.ssl_key_password_file),
        }
    if "SASL" in kafka.security_protocol:
        options["sasl_mechanism"] = kafka.sasl_mechanism
        if kafka.sasl_mechanism == "OAUTHBEARER":
            options["sasl_oauth_token_provider"] = Tokens(kafka)
        else:
            options["sasl_plain_username"] = kafka.sasl_username
            options["sasl_plain_password"] = _secret("sasl_password_file", kafka.sasl_password_file)
    return options


def confluent_options(kafka: KafkaSettings) -> dict[str, Any]:
    """Return the options of librdkafka's clients beside the addresses. Raise ConfigError."""
    options: dict[str, Any] = {"security.protocol": kafka.security_protocol}
    if "SSL" in kafka.security_protocol:
        files = {
            "ssl.ca.location": _file("ssl_ca_file", kafka.ssl_ca_file),
            "ssl.certificate.location": _file("ssl_certificate_file", kafka.ssl_certificate_file),
            "ssl.key.location": _file("ssl_key_file", kafka.ssl_key_file),
            "ssl.key.password": _secret("ssl_key_password_file", kafka.ssl_key_password_file),
        }
        options |= {name: value for name, value in files.items() if value is not None}
        if not kafka.ssl_check_hostname:
            options["ssl.endpoint.identification.algorithm"] = "none"
    if "SASL" in kafka.security_protocol:
        options["sasl.mechanism"] = kafka.sasl_mechanism
        if kafka.sasl_mechanism == "OAUTHBEARER":
            tokens = Tokens(kafka)
            options["oauth_cb"] = lambda _: (tokens.token(), tokens.good_until)
        else:
            options["sasl.username"] = kafka.sasl_username
            options["sasl.password"] = _secret("sasl_password_file", kafka.sasl_password_file)
    return options


def _file(key: str, path: Path | None) -> str | None:
    if path is not None and not os.access(path, os.R_OK):
        raise ConfigError(
            f"kafka.{key}: {path} cannot be read; name a file that this user can read"
        )
    return None if path is None else str(path)


def _secret(key: str, path: Path | None) -> str | None:
    return None if path is None else read_secret(f"kafka.{key}", path)
