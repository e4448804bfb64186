"""Brokers that speak TLS and want to know who we are, and what is said to those kept out."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from detectd.errors import BrokerUnavailableError, ConfigError, RefusedError
from detectd.kafka.tokens import Tokens
from detectd.settings.kafka import KafkaSettings
from tests.support import shared_broker
from tests.support.certificates import PASSWORD
from tests.support.command import TOPICS, detectd, events, start
from tests.support.examples import CONFIG, COUNT, answered_from, elsewhere, json_lines, stop_when
from tests.support.guarded import SECRET, behind_certificate, behind_seal
from tests.support.kafka_service import committed, service, stop
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.broker import Broker
    from tests.support.certificates import Authority


@pytest.fixture(scope="module")
def trusted() -> Authority:
    """Who has signed the broker's certificate."""
    return shared_broker.trusted()


def unsecured_token(name: str) -> str:
    """A token that says who we are and is signed by nobody, as Kafka's own validator takes it."""
    claims = {"sub": name, "iat": int(time.time()), "exp": int(time.time()) + 600}
    parts = ({"alg": "none"}, claims)
    coded = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*coded, ""])


@pytest.fixture(scope="module")
def guarded(kafka_broker: Broker, trusted: Authority) -> Broker:
    """A broker behind TLS that takes every login there is."""
    return behind_seal(kafka_broker, trusted)


@pytest.fixture
def inside(fitted: Any, guarded: Broker, trusted: Authority) -> Any:
    source, *sinks = guarded.create_topics("in", *TOPICS, partitions=2)
    fitted.source, fitted.sinks = source, dict(zip(TOPICS, sinks, strict=True))
    (fitted.home / "password").write_text(SECRET + "\n")
    (fitted.home / "token").write_text(unsecured_token("detectd"))
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_seconds": 0.2},
        sink={"kind": "kafka", "directory": None},
        topics=fitted.sinks,
        server={"listen": ""},
        kafka={
            "bootstrap_servers": list(guarded.servers),
            "group_id": source,
            "security_protocol": "SASL_SSL",
            "ssl_ca_file": str(trusted.certificate),
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "detectd",
            "sasl_password_file": "password",
            "retry_seconds": 20,
            "session_timeout_seconds": 6,
        },
    )
    return fitted


@pytest.mark.parametrize(
    ("mechanism", "library"),
    [
        ("SCRAM-SHA-512", "kafka-python"),
        ("SCRAM-SHA-256", "confluent"),
        ("PLAIN", "confluent"),
        ("OAUTHBEARER", "kafka-python"),
        ("OAUTHBEARER", "confluent"),
    ],
)
def test_the_service_logs_in_and_tells_nobody_its_secret(
    inside: Any, guarded: Broker, mechanism: str, library: str
) -> None:
    token = {"sasl_token_file": "token", "sasl_username": None, "sasl_password_file": None}
    changes = token if mechanism == "OAUTHBEARER" else {}
    inside.write(
        kafka={"sasl_mechanism": mechanism, "client": library} | changes, log={"level": "debug"}
    )
    guarded.produce(inside.source, *(line.encode() for line in events(200)))
    environment = {"CREDENTIALS_DIRECTORY": str(inside.home)}
    with service(inside, env=environment) as running:
        until(lambda: committed(guarded, inside) == 200)
        stop(running)
    checked = inside.run("check", env=environment)
    assert checked.returncode == 0
    token_of_ours = (inside.home / "token").read_text()
    secrets = (SECRET, token_of_ours, base64.b64encode(SECRET.encode()).decode())
    for output in (running.log.read_text(), checked.stdout, checked.stderr):
        assert not any(secret in output for secret in secrets)


def test_the_example_of_a_fleet(guarded: Broker, trusted: Authority, tmp_path: Path) -> None:
    """Only the authority, the number of brokers and names that are nobody else's are others."""
    (tmp_path / "kafka-password").write_text(SECRET)
    (source,) = guarded.create_topics("metrics")
    sinks = {topic: f"{source}.{topic}" for topic in TOPICS}
    guarded.produce(source, *(line.encode() for line in json_lines()))
    environment = elsewhere(guarded, source, sinks) | {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        "DETECTD_KAFKA__MODELS_TOPIC": f"{source}.models",
        "DETECTD_KAFKA__REPLICATION_FACTOR": "1",
        "DETECTD_KAFKA__SSL_CA_FILE": str(trusted.certificate),
    }
    example = ("--config", shutil.copy(CONFIG / "kafka-fleet.toml", tmp_path))
    with start("run", *example, cwd=tmp_path, env=environment) as running:
        stop_when(lambda: answered_from(guarded, source) >= COUNT, running)
    written = guarded.read_committed(*sinks.values())
    assert sum(map(len, written.values())) == COUNT


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"sasl_username": "nobody"}, 77, "rejects the login by SCRAM-SHA-512"),
        ({"sasl_mechanism": "PLAIN", "sasl_username": "nobody"}, 77, "rejects the login by PLAIN"),
        ({"sasl_password_file": "nothing"}, 78, "kafka.sasl_password_file"),
        ({"ssl_ca_file": None}, 78, "name the authority that signed it in kafka.ssl_ca_file"),
        ({"ssl_ca_file": "nowhere.pem"}, 78, "/nowhere.pem cannot be read"),
    ],
)
def test_what_keeps_us_out_is_one_line_and_soon(
    inside: Any, changes: dict[str, Any], code: int, words: str
) -> None:
    inside.write(kafka=changes)
    done = detectd("run", "--config", inside.path, cwd=inside.home)
    assert (done.returncode, len(done.stderr.splitlines()[-1:])) == (code, 1), done.stderr
    assert words in done.stderr.splitlines()[-1]
    assert SECRET not in done.stderr
    assert "service.interrupted" not in done.stderr  # no wait for what does not pass


def test_another_host_s_certificate_is_not_enough(inside: Any, guarded: Broker) -> None:
    port = guarded.servers[0].split(":")[1]
    inside.write(kafka={"bootstrap_servers": [f"localhost:{port}"]})
    done = detectd("run", "--config", inside.path, cwd=inside.home)
    assert done.returncode == 78
    assert "kafka.ssl_check_hostname = false" in done.stderr


def test_plain_text_to_tls_and_tls_to_plain_text_are_told_apart(
    inside: Any, guarded: Broker, kafka_broker: Broker
) -> None:
    inside.write(kafka={"bootstrap_servers": list(kafka_broker.servers), "retry_seconds": 1})
    done = detectd("run", "--config", inside.path, cwd=inside.home)
    assert done.returncode in {1, 78}
    assert "kafka.security_protocol" in done.stderr.splitlines()[-1]
    plain = dict.fromkeys(("sasl_mechanism", "ssl_ca_file", "security_protocol"))
    inside.write(kafka=plain | {"bootstrap_servers": list(guarded.servers)})
    done = detectd("run", "--config", inside.path, cwd=inside.home)
    assert done.returncode == 1
    assert "may not speak PLAINTEXT" in done.stderr.splitlines()[-1]


@pytest.fixture(scope="module")
def mutual(kafka_broker: Broker, trusted: Authority) -> Broker:
    """A broker that knows its clients by their certificates."""
    return behind_certificate(kafka_broker, trusted)


@pytest.mark.parametrize("library", ["kafka-python", "confluent"])
def test_a_certificate_of_ours_lets_us_in(
    fitted: Any, mutual: Broker, trusted: Authority, library: str
) -> None:
    source, *sinks = mutual.create_topics("in", *TOPICS)
    pem, key = trusted.signed("detectd")
    (fitted.home / "key-password").write_text(PASSWORD)
    fitted.write(
        source={"kind": "kafka", "path": None, "topics": [source], "batch_seconds": 0.2},
        sink={"kind": "kafka", "directory": None},
        topics=dict(zip(TOPICS, sinks, strict=True)),
        server={"listen": ""},
        kafka={
            "bootstrap_servers": list(mutual.servers),
            "client": library,
            "group_id": source,
            "session_timeout_seconds": 6,
            "security_protocol": "SSL",
            "ssl_ca_file": str(trusted.certificate),
            "ssl_certificate_file": str(pem),
            "ssl_key_file": str(key),
            "ssl_key_password_file": str(fitted.home / "key-password"),
        },
    )
    mutual.produce(source, *(line.encode() for line in events(100)))
    fitted.source = source
    with service(fitted) as running:
        until(lambda: committed(mutual, fitted) == 100)
        stop(running)
    without = dict.fromkeys(("ssl_certificate_file", "ssl_key_file", "ssl_key_password_file"))
    fitted.write(kafka=without)
    done = fitted.run("run")
    assert done.returncode == 78
    assert "requires a client certificate" in done.stderr
    (fitted.home / "key-password").write_text("wrong")
    fitted.write(
        kafka={
            "ssl_certificate_file": str(pem),
            "ssl_key_file": str(key),
            "ssl_key_password_file": str(fitted.home / "key-password"),
        }
    )
    done = fitted.run("run")
    assert done.returncode == 78
    assert "or its password" in done.stderr


class Grants(BaseHTTPRequestHandler):
    """Answers as `answer` says, and counts."""

    answer: tuple[int, bytes] = (200, b"{}")
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers["Content-Length"]))
        code, body = self.answer
        self.send_response(code)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def test_tokens_are_granted_kept_and_refused(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with HTTPServer(("127.0.0.1", 0), Grants) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asked = KafkaSettings(
            security_protocol="SASL_SSL",
            sasl_mechanism="OAUTHBEARER",
            sasl_token_url=f"http://127.0.0.1:{server.server_port}/token",
            sasl_client_id="detectd",
            sasl_client_secret_file=secret,
        )
        Grants.answer = (200, b'{"access_token": "abc", "expires_in": 600}')
        tokens = Tokens(asked)
        assert [tokens.token(), tokens.token()] == ["abc", "abc"]
        assert Grants.asked == 1
        for answer, error in [
            ((401, b""), RefusedError),
            ((503, b""), BrokerUnavailableError),
            ((200, b"<html>"), ConfigError),
        ]:
            Grants.answer = answer
            with pytest.raises(error, match=r"kafka\.sasl_token_url"):
                Tokens(asked).token()
        server.shutdown()
    with pytest.raises(BrokerUnavailableError, match="does not answer"):
        Tokens(asked).token()
