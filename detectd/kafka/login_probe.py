"""Open one plain connection to one broker, to find out why it denies access.

kafka-python treats a refused login, or an untrusted certificate, as a lost connection and retries;
so the first connection is made here, step by step.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple

from kafka import errors as kafka_errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.metadata import ApiVersionsRequest
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from detectd.errors import BrokerUnavailableError, ConfigError, RefusedError
from detectd.filesystem.os_errors import explained as os_failure

if TYPE_CHECKING:
    from collections.abc import Mapping

# The maximum size of a response, a few kilobytes.
ANSWER_BYTES = 1 << 20


class Admitted(NamedTuple):
    """The accepted login: the version of TLS and the SASL mechanism, None if there is none."""

    tls: str | None
    sasl: str | None


def log_in(server: str, options: Mapping[str, Any], seconds: float) -> Admitted:
    """Connect to `host:port` as kafka-python would with `options`, and disconnect.

    Raise RefusedError if access is denied, ConfigError if TLS fails, and BrokerUnavailableError if
    no broker responds within `seconds`.
    """
    deadline = time.monotonic() + seconds
    host, _, port = server.rpartition(":")
    protocol = options.get("security_protocol", "PLAINTEXT")
    try:
        plain = socket.create_connection((host.strip("[]"), int(port)), timeout=seconds)
    except ValueError:
        raise ConfigError(
            f"kafka.bootstrap_servers: {server!r} is not host:port; write it as kafka-1:9092"
        ) from None
    except OSError as away:
        raise BrokerUnavailableError(
            f"kafka.bootstrap_servers: no answer from {server}: {away.strerror or away}"
        ) from None
    with closing(plain):
        connection = _secure(plain, host, server, options) if "SSL" in protocol else plain
        try:
            with closing(connection):
                talk = _Talk(connection, deadline)
                if "SASL" in protocol:
                    _authenticate(talk, host, server, options)
                talk.ask(ApiVersionsRequest(version=0))
                tls = connection.version() if isinstance(connection, ssl.SSLSocket) else None
                return Admitted(tls, options.get("sasl_mechanism"))
        except ssl.SSLError as refused:
            raise _alert(server, refused, options) from None
        except (OSError, EOFError, kafka_errors.KafkaError):
            raise BrokerUnavailableError(
                f"kafka.security_protocol: {server} closes the connection; it may not speak "
                f"{protocol} on this port"
            ) from None


class _Talk:
    """Requests and responses, one after the other, all before the deadline."""

    def __init__(self, connection: socket.socket, deadline: float) -> None:
        self._connection = connection
        self._deadline = deadline
        self._protocol = KafkaProtocol(client_id="detectd")

    def ask(self, request: Any) -> Any:
        self._protocol.send_request(request)
        self._connection.sendall(self._protocol.send_bytes())
        received = 0
        while True:
            # A timeout per step would never end for a response that arrives byte by byte.
            self._connection.settimeout(max(0.001, self._deadline - time.monotonic()))
            data = self._connection.recv(65536)
            received += len(data)
            if not data:
                raise EOFError
            if received > ANSWER_BYTES:
                raise OSError(errno.EMSGSIZE, "its answer is too long")
            answers = self._protocol.receive_bytes(data)
            if answers:
                return answers[0][1]


def _secure(
    plain: socket.socket, host: str, server: str, options: Mapping[str, Any]
) -> ssl.SSLSocket:
    context = ssl.create_default_context(cafile=options.get("ssl_cafile"))
    context.check_hostname = bool(options.get("ssl_check_hostname", True))
    certificate = options.get("ssl_certfile")
    if certificate:
        try:
            context.load_cert_chain(
                certificate, options.get("ssl_keyfile"), options.get("ssl_password") or ""
            )
        except ssl.SSLError as wrong:
            raise ConfigError(
                f"kafka.ssl_certificate_file: {certificate} and its key cannot be used: "
                f"{wrong.strerror or wrong}; correct kafka.ssl_key_file or its password"
            ) from None
        except OSError as failed:
            raise os_failure(
                failed,
                f"kafka.ssl_certificate_file: {certificate} and its key cannot be used",
                "correct kafka.ssl_key_file",
            ) from None
    try:
        return context.wrap_socket(plain, server_hostname=host.strip("[]"))
    except ssl.SSLCertVerificationError as distrusted:
        fix = (
            "correct the address, or set kafka.ssl_check_hostname = false"
            if "match" in distrusted.verify_message.lower()
            else "name the authority that signed it in kafka.ssl_ca_file"
        )
        raise ConfigError(
            f"kafka.ssl_ca_file: {server}: its certificate is not trusted: "
            f"{distrusted.verify_message}; {fix}"
        ) from None
    except ssl.SSLError as wrong:
        raise _alert(server, wrong, options) from None
    except OSError as away:
        raise BrokerUnavailableError(
            f"kafka.bootstrap_servers: no answer from {server}: {away}"
        ) from None


def _alert(server: str, refused: ssl.SSLError, options: Mapping[str, Any]) -> Exception:
    reason = (refused.reason or str(refused)).replace("_", " ").lower()
    if "alert" in reason and not options.get("ssl_certfile"):
        return ConfigError(
            f"kafka.ssl_certificate_file: {server} requires a client certificate; name one"
        )
    if "alert" in reason:
        return RefusedError(
            f"kafka.ssl_certificate_file: {server} rejects the client certificate: {reason}; have "
            "it signed by an authority that the brokers trust"
        )
    return ConfigError(
        f"kafka.security_protocol: {server} does not speak TLS ({reason}); correct the port or "
        "the protocol"
    )


def _authenticate(talk: _Talk, host: str, server: str, options: Mapping[str, Any]) -> None:
    mechanism = options["sasl_mechanism"]
    greeted = talk.ask(SaslHandshakeRequest(version=1, mechanism=mechanism))
    if kafka_errors.for_code(greeted.error_code) is not kafka_errors.NoError:
        raise RefusedError(
            f"kafka.sasl_mechanism: {server} does not accept {mechanism}, only "
            f"{', '.join(greeted.mechanisms) or 'nothing'}; correct it"
        )
    exchange = get_sasl_mechanism(mechanism)(host=host, **options)
    try:
        while not exchange.is_done():
            answer = talk.ask(SaslAuthenticateRequest(version=1, auth_bytes=exchange.auth_bytes()))
            if kafka_errors.for_code(answer.error_code) is not kafka_errors.NoError:
                raise _refused(server, mechanism)
            exchange.receive(answer.auth_bytes)
    except EOFError:
        # A broker that denies access may close before its response is read.
        raise _refused(server, mechanism) from None
    except (ValueError, kafka_errors.KafkaError):
        raise _refused(server, mechanism) from None
    if not exchange.is_authenticated():
        raise _refused(server, mechanism)


def _refused(server: str, mechanism: str) -> RefusedError:
    return RefusedError(
        f"kafka: {server} rejects the login by {mechanism}; correct the user name or the secret"
    )
