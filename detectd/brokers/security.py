"""From `[kafka]` to the options with which kafka-python and librdkafka open a connection.

Secrets are read from files when a client is made; they are in no setting, log or message.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING, Any

from kafka.net.sasl.oauth import AbstractTokenProvider

from detectd.errors import ConfigError, Interrupted, RefusedError
from detectd.secrets import read_secret

if TYPE_CHECKING:
    from pathlib import Path

    from detectd.settings.kafka import KafkaSettings

TOKEN_SECONDS = 10.0

# A token is asked for anew when this share of its life has passed.
LIFE_SHARE = 0.8
REFUSED = (400, 401, 403)


def kafka_python_options(kafka: KafkaSettings) -> dict[str, Any]:
    """What kafka-python's clients are given beside the addresses. Raises ConfigError."""
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
    """What librdkafka's clients are given beside the addresses. Raises ConfigError."""
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


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens for OAUTHBEARER: from a file read at each login, or by client credentials."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__()
        self._kafka = kafka
        self._token = ""
        self._ask_again = 0.0
        self.good_until = 0.0

    def token(self) -> str:
        """A token that is good now.

        Raises RefusedError where none is granted, Interrupted where nobody answers.
        """
        if self._kafka.sasl_token_file is not None:
            # Whoever writes the file renews it in time; it is read at every login.
            self.good_until = time.time() + 60
            return read_secret("kafka.sasl_token_file", self._kafka.sasl_token_file).strip()
        if time.time() >= self._ask_again:
            self._grant()
        return self._token

    def extensions(self) -> dict[str, str]:
        """None."""
        return {}

    def _grant(self) -> None:
        kafka, url = self._kafka, self._kafka.sasl_token_url
        assert url
        assert kafka.sasl_client_secret_file
        form = {
            "grant_type": "client_credentials",
            "client_id": kafka.sasl_client_id or "",
            "client_secret": read_secret(
                "kafka.sasl_client_secret_file", kafka.sasl_client_secret_file
            ),
        }
        if kafka.sasl_scope:
            form["scope"] = kafka.sasl_scope
        request = urllib.request.Request(url, urllib.parse.urlencode(form).encode())  # noqa: S310 - checked in settings
        try:
            with urllib.request.urlopen(request, timeout=TOKEN_SECONDS) as answer:  # noqa: S310
                granted = json.load(answer)
            self._token, life = str(granted["access_token"]), float(granted.get("expires_in", 60))
        except urllib.error.HTTPError as failed:
            if failed.code not in REFUSED:
                raise Interrupted(f"kafka.sasl_token_url: {url} answers {failed.code}") from None
            raise RefusedError(
                f"kafka.sasl_token_url: {url} grants no token ({failed.code} {failed.reason}); "
                "correct kafka.sasl_client_id or its secret"
            ) from None
        except OSError as away:
            raise Interrupted(f"kafka.sasl_token_url: {url} does not answer: {away}") from None
        except (ValueError, KeyError, TypeError):
            raise ConfigError(
                f"kafka.sasl_token_url: {url} gives no OAuth token; correct the address"
            ) from None
        self.good_until = time.time() + life
        self._ask_again = time.time() + LIFE_SHARE * life


def _file(key: str, path: Path | None) -> str | None:
    if path is not None and not os.access(path, os.R_OK):
        raise ConfigError(
            f"kafka.{key}: {path} cannot be read; name a file that this user can read"
        )
    return None if path is None else str(path)


def _secret(key: str, path: Path | None) -> str | None:
    return None if path is None else read_secret(f"kafka.{key}", path)
