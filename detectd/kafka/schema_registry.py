"""A client for reading from a schema registry, by Confluent's HTTP interface.

GET /schemas/ids/{id}                   a schema, and what it refers to
GET /subjects/{name}/versions/{number}  what another refers to
GET /schemas/types                      whether there is a registry at all
"""

from __future__ import annotations

import base64
import json
import random
import ssl
import time
from dataclasses import dataclass
from http.client import HTTPException
from typing import TYPE_CHECKING, Any
from urllib.error import URLError
from urllib.parse import quote, urlsplit

from detectd import http_client
from detectd.errors import BrokerUnavailableError, ConfigError, RefusedError
from detectd.filesystem.os_errors import explained as os_failure
from detectd.pipeline import memory_budget
from detectd.pipeline.records import RecordError, Stage

if TYPE_CHECKING:
    from pathlib import Path

ACCEPT = "application/vnd.schemaregistry.v1+json, application/json"

# The registry's error code for an unknown subject, version or schema. A 404 without it comes from
# another kind of server, and says nothing about the record.
UNKNOWN = range(40400, 40500)
REFUSALS = (401, 403)
TOO_MANY = 429
PAUSE_SECONDS = 0.1

# The total seconds for a schema and all that it references.
SCHEMA_SECONDS = 30.0
MOST_REFERENCES = 256
MOST_REFERENCES_DEEP = 32


@dataclass(frozen=True, slots=True)
class Registered:
    """A schema as parsed JSON, and the schemas it references, dependencies first."""

    id: int
    schema: Any
    referenced: tuple[Any, ...] = ()


class Registry:
    """A schema registry at `url`, with basic authentication if there is a username.

    A request is tried up to `attempts` times if the registry is unavailable or failing, with at
    most `timeout` seconds for each response, and SCHEMA_SECONDS for a schema with all that it
    references. Raise ConfigError if the url or the ca_file cannot be used.
    """

    def __init__(
        self,
        url: str,
        username: str | None = None,
        password: str | None = None,
        ca_file: Path | None = None,
        *,
        timeout: float = 5.0,
        attempts: int = 3,
    ) -> None:
        self.url = _checked(url)
        self._headers = {"Accept": ACCEPT, "User-Agent": "detectd"}
        if username is not None:
            pair = f"{username}:{password or ''}".encode()
            self._headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        self._trusted = _trust(ca_file)
        self._timeout = timeout
        self._attempts = attempts

    def schema(self, number: int) -> Registered:
        """Return the schema with that id, and all that it references.

        Raise RecordError if the registry does not have it or it is not Avro, BrokerUnavailableError
        if the registry is unavailable, RefusedError if it denies access, and ConfigError if it is
        not a registry.
        """
        until = time.monotonic() + SCHEMA_SECONDS
        answer = self._ask(f"/schemas/ids/{number}", f"schema {number}", until)
        kind = answer.get("schemaType", "AVRO")
        if kind != "AVRO":
            raise RecordError(Stage.DECODE, f"schema {number} is {str(kind)[:40]}, not Avro")
        found: dict[str, Any] = {}
        self._follow(answer, number, found, until)
        return Registered(number, self._parsed(answer, number), tuple(found.values()))

    def check(self) -> None:
        """Return the address of a working registry. Raises as `schema` does, but never
        RecordError."""
        try:
            kinds = self._get("/schemas/types", time.monotonic() + SCHEMA_SECONDS)
        except LookupError:
            kinds = None
        if not isinstance(kinds, list):
            raise self._no_registry("has no list of schema types")

    def _follow(
        self,
        answer: dict[str, Any],
        number: int,
        found: dict[str, Any],
        until: float,
        depth: int = 0,
    ) -> None:
        """Add the schemas that the response references to `found`, depth first."""
        try:
            places = [(one["subject"], one["version"]) for one in answer.get("references") or ()]
        except (KeyError, TypeError):
            raise self._no_registry("returns references that cannot be resolved") from None
        for subject, version in places:
            path = (
                f"/subjects/{quote(str(subject), safe='')}/versions/{quote(str(version), safe='')}"
            )
            if path in found:
                continue
            if depth >= MOST_REFERENCES_DEEP or len(found) >= MOST_REFERENCES:
                raise RecordError(Stage.DECODE, f"schema {number} refers to too many others")
            named = f"{_one_line(subject)} version {_one_line(version)}"
            other = self._ask(path, f"schema {number} refers to {named}, which", until)
            self._follow(other, number, found, until, depth + 1)
            found[path] = self._parsed(other, number)

    def _parsed(self, answer: dict[str, Any], number: int) -> Any:
        try:
            return json.loads(answer["schema"])
        except RecursionError:
            raise RecordError(Stage.DECODE, f"schema {number} is nested too deep") from None
        except (KeyError, TypeError, ValueError):
            raise self._no_registry("returns a schema that is not JSON") from None

    def _ask(self, path: str, what: str, until: float) -> dict[str, Any]:
        try:
            answer = self._get(path, until)
        except LookupError:
            raise RecordError(Stage.DECODE, f"{what} is not in the registry") from None
        if not isinstance(answer, dict):
            raise self._no_registry("does not answer with a JSON object")
        return answer

    def _get(self, path: str, until: float) -> Any:
        """Return the JSON at the path. Raise LookupError if the registry does not have it."""
        for attempt in range(self._attempts):
            if attempt:
                # Jitter, so that not all processes retry at once.
                time.sleep(PAUSE_SECONDS * 2**attempt * random.random())  # noqa: S311
            try:
                return self._once(path, min(until, time.monotonic() + self._timeout))
            except BrokerUnavailableError as away:
                last = away
        raise last

    def _once(self, path: str, deadline: float) -> Any:
        try:
            answer = http_client.ask(
                self.url + path,
                self._headers,
                deadline=deadline,
                limit=memory_budget.ANSWER_BYTES,
                context=self._trusted,
            )
        except (http_client.TooLongError, http_client.RedirectedError) as strange:
            raise self._no_registry(str(strange)) from None
        except (OSError, HTTPException) as failed:
            raise self._failure(failed) from None
        if answer.status != 200:
            raise self._meaning(answer)
        try:
            return json.loads(answer.body)
        except (ValueError, RecursionError):
            other = "with a page of HTML" if answer.is_html else "but not with JSON"
            raise self._no_registry(f"answers {other}") from None

    def _meaning(self, answer: http_client.Answer) -> Exception:
        """Return the error for a response other than 200."""
        said = f"{answer.status} {_one_line(answer.reason)}".strip()
        if answer.status in REFUSALS:
            return RefusedError(
                f"schema_registry: {self.url} refuses access ({said}); correct schema_registry."
                "username and password_file, or grant the right to read schemas"
            )
        if answer.status >= 500 or answer.status == TOO_MANY:
            return BrokerUnavailableError(f"schema_registry: {self.url} cannot answer now ({said})")
        if answer.status == 404 and _error_code(answer.body) in UNKNOWN:
            return LookupError(said)
        return self._no_registry(f"answers {said}")

    def _failure(self, failed: Exception) -> Exception:
        """Return the error for a missing or incomplete response."""
        reason = failed.reason if isinstance(failed, URLError) else failed
        why = _one_line(reason) or type(reason).__name__
        if isinstance(reason, ssl.SSLCertVerificationError):
            return ConfigError(
                f"schema_registry.ca_file: {self.url} is not trusted: {why}; name the file "
                "with the certificate of its authority"
            )
        return BrokerUnavailableError(
            f"schema_registry.url: no answer from {self.url}: {why}; start the registry, or "
            "correct the address"
        )

    def _no_registry(self, what: str) -> ConfigError:
        return ConfigError(
            f"schema_registry.url: {self.url} {what}, so it is not a schema registry; correct the "
            "address, with its path if it has one"
        )


def _checked(url: str) -> str:
    if "@" in url:
        raise ConfigError(
            "schema_registry.url: credentials do not belong in an address; set "
            "schema_registry.username and schema_registry.password_file"
        )
    if not http_client.is_address(url):
        raise ConfigError("schema_registry.url: not an address; write it as https://host:port")
    parts = urlsplit(url)
    if parts.query or parts.fragment:
        raise ConfigError(f"schema_registry.url: {url} has more than a path; remove the rest")
    return url.rstrip("/")


def _trust(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError as unusable:
        raise ConfigError(
            f"schema_registry.ca_file: {ca_file}: {_one_line(unusable)}; name a file of PEM "
            "certificates"
        ) from None
    except OSError as unusable:
        raise os_failure(
            unusable,
            f"schema_registry.ca_file: {ca_file}",
            "name a file of PEM certificates",
        ) from None


def _error_code(body: bytes) -> int:
    try:
        said = json.loads(body)["error_code"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return 0
    return said if isinstance(said, int) else 0


def _one_line(what: object) -> str:
    return " ".join(str(what).split())[:200]
