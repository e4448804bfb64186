"""Tokens for OAUTHBEARER: from a file, or granted for client credentials (RFC 6749, 4.4)."""

from __future__ import annotations

import json
import math
import re
import time
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from kafka.net.sasl.oauth import AbstractTokenProvider

from detectd import http_client
from detectd.errors import BrokerUnavailableError, ConfigError, RefusedError
from detectd.settings.secrets import read_secret

if TYPE_CHECKING:
    from detectd.settings.kafka import KafkaSettings

# The seconds and the maximum bytes of a response.
TOKEN_SECONDS = 10.0
TOKEN_BYTES = 256 << 10

# A token is renewed after this share of its life, and at least once a day.
LIFE_SHARE = 0.8
LIFE_SECONDS = 60.0  # of a token without a lifetime
MOST_LIFE_SECONDS = 86_400.0

REFUSED = (400, 401, 403)
TOO_MANY = 429

# Visible characters only: others could inject further fields.
TOKEN = re.compile(r"[!-~]+")

# The error field of RFC 6749.
ERROR = re.compile(r"[a-z_]{1,40}")


class Tokens(AbstractTokenProvider):  # type: ignore[misc]
    """Tokens from a file that is read at each login, or from an endpoint."""

    def __init__(self, kafka: KafkaSettings) -> None:
        super().__init__()
        self._kafka = kafka
        self._token = ""
        self._ask_again = 0.0
        self.good_until = 0.0

    def token(self) -> str:
        """Return a token that is valid now.

        Raise RefusedError if none is granted, BrokerUnavailableError if there is no response.
        """
        if self._kafka.sasl_token_file is not None:
            # The file's writer renews it in time; it is read at each login.
            self.good_until = time.time() + LIFE_SECONDS
            found = read_secret("kafka.sasl_token_file", self._kafka.sasl_token_file).strip()
            if not TOKEN.fullmatch(found):
                raise ConfigError(
                    f"kafka.sasl_token_file: {self._kafka.sasl_token_file} does not hold exactly "
                    "one token; put only the token in it"
                )
            return found
        if time.time() >= self._ask_again:
            self._token, life = granted(self._kafka)
            self.good_until = time.time() + life
            self._ask_again = time.time() + LIFE_SHARE * life
        return self._token

    def extensions(self) -> dict[str, str]:
        """None."""
        return {}


def granted(kafka: KafkaSettings) -> tuple[str, float]:
    """Return a token from the endpoint, and its lifetime in seconds.

    Raise RefusedError, BrokerUnavailableError or ConfigError, each in a line that names the
    endpoint.
    """
    assert kafka.sasl_token_url
    assert kafka.sasl_client_secret_file
    secret = read_secret("kafka.sasl_client_secret_file", kafka.sasl_client_secret_file)
    form = {
        "grant_type": "client_credentials",
        "client_id": kafka.sasl_client_id or "",
        "client_secret": secret,
    }
    if kafka.sasl_scope:
        form["scope"] = kafka.sasl_scope
    endpoint = _without_query(kafka.sasl_token_url)
    try:
        answer = http_client.ask(
            kafka.sasl_token_url,
            {"Accept": "application/json", "User-Agent": "detectd"},
            urlencode(form).encode(),
            deadline=time.monotonic() + TOKEN_SECONDS,
            limit=TOKEN_BYTES,
        )
    except (http_client.TooLongError, http_client.RedirectedError) as strange:
        raise _no_endpoint(endpoint, str(strange)) from None
    except (OSError, HTTPException) as away:
        why = " ".join(str(getattr(away, "reason", away)).split())[:200]
        raise BrokerUnavailableError(
            f"kafka.sasl_token_url: {endpoint} does not answer: {why or type(away).__name__}"
        ) from None
    if answer.status != 200:
        raise _meaning(endpoint, answer)
    return _token(endpoint, answer)


def _token(endpoint: str, answer: http_client.Answer) -> tuple[str, float]:
    try:
        said = json.loads(answer.body)
    except (ValueError, RecursionError):
        other = "with a page of HTML" if answer.is_html else "but not with JSON"
        raise _no_endpoint(endpoint, f"answers {other}") from None
    if not isinstance(said, dict) or "access_token" not in said:
        raise _no_endpoint(endpoint, "answers without an access_token")
    token = said["access_token"]
    if not isinstance(token, str) or not TOKEN.fullmatch(token):
        raise _no_endpoint(endpoint, "returns an access_token with invalid characters")
    life = _seconds(said.get("expires_in", LIFE_SECONDS))
    if life is None:
        raise _no_endpoint(
            endpoint, "returns an expires_in that is not a positive number of seconds"
        )
    return token, min(life, MOST_LIFE_SECONDS)


def _seconds(given: Any) -> float | None:
    """Return a positive time, which some servers quote; None for anything else."""
    try:
        seconds = math.nan if isinstance(given, bool) else float(given)
    except OverflowError:
        return MOST_LIFE_SECONDS if given > 0 else None
    except (TypeError, ValueError):
        return None
    return seconds if 0 < seconds < math.inf else None


def _meaning(endpoint: str, answer: http_client.Answer) -> Exception:
    """Return the error for a response other than 200."""
    said = f"{answer.status} {_error(answer.body) or ' '.join(answer.reason.split())[:80]}".strip()
    if answer.status in REFUSED:
        return RefusedError(
            f"kafka.sasl_token_url: {endpoint} grants no token ({said}); correct "
            "kafka.sasl_client_id, its secret or kafka.sasl_scope"
        )
    if answer.status >= 500 or answer.status == TOO_MANY:
        return BrokerUnavailableError(
            f"kafka.sasl_token_url: {endpoint} cannot answer now ({said})"
        )
    return _no_endpoint(endpoint, f"answers {said}")


def _error(body: bytes) -> str:
    try:
        word = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    return word if isinstance(word, str) and ERROR.fullmatch(word) else ""


def _no_endpoint(endpoint: str, what: str) -> ConfigError:
    return ConfigError(
        f"kafka.sasl_token_url: {endpoint} {what}, so it grants no OAuth tokens; correct the "
        "address"
    )


def _without_query(url: str) -> str:
    """Return the address without its query, which may contain a secret."""
    return urlsplit(url)._replace(query="", fragment="").geturl()
