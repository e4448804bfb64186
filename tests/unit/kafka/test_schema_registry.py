"""The registry client against a registry that fails over real sockets."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError, RefusedError
from detectd.kafka.avro import Registry, reader
from detectd.kafka.known_schemas import UNKNOWN_IDS, UNKNOWN_SECONDS
from detectd.pipeline.memory_budget import ANSWER_BYTES
from detectd.pipeline.records import RecordError
from tests.support import registry as registries
from tests.support.avro_records import record_of
from tests.support.registry import StandIn, breaks_off, drops, fails, framed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from detectd.pipeline.schema import Read

SEVEN = framed(7, b"\x02")


POINT = record_of("Point", x="int")


@pytest.fixture
def registry() -> Iterator[StandIn]:
    with registries.stand_in() as stand_in:
        stand_in.add(7, POINT)
        yield stand_in


def read_of(registry: StandIn, clock: Any = time.monotonic, **options: Any) -> Read:
    return reader(Registry(registry.url, **{"timeout": 5.0, **options}), clock=clock)


def error_of(kind: type[DetectdError], read: Read, value: bytes = SEVEN) -> str:
    with pytest.raises(kind) as raised:
        read(value)
    assert type(raised.value) is kind
    assert "\n" not in str(raised.value)
    return str(raised.value)


def defect_of(read: Read, value: bytes) -> str:
    with pytest.raises(RecordError) as raised:
        read(value)
    assert "\n" not in raised.value.error
    return raised.value.error


def test_a_schema_is_asked_for_once(registry: StandIn) -> None:
    read = read_of(registry)
    assert [read(SEVEN)[0] for _ in range(3)] == [{"x": 1}] * 3
    assert registry.asked == ["/schemas/ids/7"]


def test_an_unknown_schema_is_asked_for_again_only_after_a_while(registry: StandIn) -> None:
    now = 0.0
    read = read_of(registry, clock=lambda: now)
    late = framed(8, b"\x02")
    for now in (0.0, 10.0, 29.0):  # noqa: B007 - the clock reads it
        assert defect_of(read, late) == "schema 8 is not in the registry"
    assert registry.asked == ["/schemas/ids/8"]
    registry.add(8, POINT)
    now = 31.0
    assert read(late)[0] == {"x": 1}


def test_unknown_schemas_are_asked_for_at_a_bounded_rate(registry: StandIn) -> None:
    now = 0.0
    read = read_of(registry, clock=lambda: now)
    read(SEVEN)
    errors = [defect_of(read, framed(number, b"")) for number in range(1000, 1500)]
    assert len(registry.asked) == UNKNOWN_IDS + 1
    assert errors[:100] == [f"schema {n} is not in the registry" for n in range(1000, 1100)]
    assert "was not looked up" in errors[100]
    assert read(SEVEN)[0] == {"x": 1}, "one that is known by now"
    now = UNKNOWN_SECONDS / UNKNOWN_IDS
    registry.add(1499, POINT)
    assert read(framed(1499, b"\x02"))[0] == {"x": 1}, "after a while one more"
    now += UNKNOWN_SECONDS
    for number in range(1600, 2000):
        defect_of(read, framed(number, b""))
    assert len(registry.asked) == 2 * UNKNOWN_IDS + 2


def test_what_a_schema_refers_to_is_asked_for_once(registry: StandIn) -> None:
    a, b, c = record_of("n.A", x="int"), record_of("n.B", a="A"), record_of("n.C", a="A", b="B")
    to_a = {"name": "n.A", "subject": "with space/slash", "version": 3}
    to_b = {"name": "n.B", "subject": "b", "version": 1}
    registry.add(9, c, references=[to_b, to_a])
    registry.add_version("b", 1, b, references=[to_a])
    registry.add_version("with%20space%2Fslash", 3, a)
    assert read_of(registry)(framed(9, b"\x02\x04"))[0] == {"a": {"x": 1}, "b": {"a": {"x": 2}}}
    assert registry.asked == [
        "/schemas/ids/9",
        "/subjects/b/versions/1",
        "/subjects/with%20space%2Fslash/versions/3",
    ]


def test_a_reference_that_leads_nowhere_is_a_dead_letter(registry: StandIn) -> None:
    registry.add(9, POINT, references=[{"name": "n.A", "subject": "gone", "version": 2}])
    error = defect_of(read_of(registry), framed(9, b"\x02"))
    assert error == "schema 9 refers to gone version 2, which is not in the registry"


def test_a_schema_of_another_kind_is_a_dead_letter(registry: StandIn) -> None:
    registry.add(9, "message", schemaType="PROTOBUF")
    assert defect_of(read_of(registry), framed(9, b"")) == "schema 9 is PROTOBUF, not Avro"


@pytest.mark.parametrize(
    "fault", [fails(500), fails(503, b"\xff<html>"), fails(429), drops, breaks_off]
)
def test_a_passing_fault_is_tried_again(registry: StandIn, fault: Any) -> None:
    registry.faults = [fault, fault]
    assert read_of(registry)(SEVEN)[0] == {"x": 1}
    assert len(registry.asked) == 3


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (fails(500), "cannot answer now (500 Internal Server Error)"),
        (fails(503), "cannot answer now (503 Service Unavailable)"),
        (fails(429), "cannot answer now (429 Too Many Requests)"),
        (drops, "no answer from"),
        (breaks_off, "no answer from"),
    ],
)
def test_a_lasting_fault_interrupts_and_is_no_dead_letter(
    registry: StandIn, fault: Any, said: str
) -> None:
    registry.faults = [fault] * 3
    read = read_of(registry)
    assert said in error_of(BrokerUnavailableError, read)
    assert read(SEVEN)[0] == {"x": 1}


def test_a_registry_that_hangs_is_given_up_in_time(registry: StandIn) -> None:
    registry.faults = [registry.hang] * 2
    began = time.monotonic()
    error = error_of(BrokerUnavailableError, read_of(registry, timeout=0.3, attempts=2))
    assert error.startswith(f"schema_registry.url: no answer from {registry.url}: ")
    assert "timed out" in error
    assert 0.6 <= time.monotonic() - began < 8  # left alone, two attempts take 10


def test_a_registry_that_is_not_there_interrupts() -> None:
    error = error_of(BrokerUnavailableError, reader(Registry("http://127.0.0.1:1", attempts=1)))
    assert "Connection refused" in error
    assert "start the registry, or correct the address" in error


@pytest.mark.parametrize("status", [401, 403])
def test_a_registry_that_refuses_ends_the_service(registry: StandIn, status: int) -> None:
    registry.faults = [fails(status)]
    client = Registry(registry.url, "me", "secret-word")
    error = error_of(RefusedError, reader(client))
    assert str(status) in error
    assert "username" in error
    assert "secret-word" not in error + repr(client)
    assert len(registry.asked) == 1


@pytest.mark.parametrize(
    "fault",
    [
        fails(404, b"<html>"),
        fails(404, {"error_code": 404}),
        fails(404, []),
        fails(400),
        fails(200, b"<html>welcome"),
        fails(200, [1]),
        fails(200, {}),
        fails(200, {"schema": "{"}),
        fails(200, {"schema": '"int"', "references": [{"subject": "a"}]}),
        fails(200, {"schema": '"int"', "references": 7}),
    ],
)
def test_what_is_no_registry_makes_no_dead_letters(registry: StandIn, fault: Any) -> None:
    registry.faults = [fault]
    assert "it is not a schema registry" in error_of(ConfigError, read_of(registry))


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (fails(200, {}), ConfigError),
        (fails(404, {"error_code": 40401}), ConfigError),
        (fails(401), RefusedError),
    ],
)
def test_the_check_finds_what_would_fail_later(
    registry: StandIn, fault: Any, kind: type[DetectdError]
) -> None:
    registry.faults = [fault]
    with pytest.raises(kind):
        Registry(registry.url).check()


def to(location: str) -> Any:
    """A fault: redirect to there."""

    def redirects(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return redirects


def test_a_redirection_to_another_server_is_not_followed(registry: StandIn) -> None:
    with registries.stand_in() as front:
        front.faults = [to(registry.url + "/schemas/ids/7")]
        read = read_of(front, username="Aladdin", password="open sesame")
        assert f"{front.url} redirects to {registry.url}, so" in error_of(ConfigError, read)
        assert front.authorizations == ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="]
        assert registry.asked == []


def test_a_redirection_within_the_registry_is_followed_with_credentials(registry: StandIn) -> None:
    registry.faults = [to("/schemas/ids/7?again")]
    registry.faults.append(to("/schemas/ids/7"))
    read = read_of(registry, username="Aladdin", password="open sesame")
    assert read(SEVEN)[0] == {"x": 1}
    assert registry.authorizations == ["Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="] * 3


@pytest.mark.parametrize("where", ["", "http://[::1", "/a b", "/\xe9", "ftp://h/", "//user:pw@h:x"])
def test_a_redirection_that_leads_nowhere_ends_the_question(registry: StandIn, where: str) -> None:
    registry.faults = [to(where)]
    error = error_of(ConfigError, read_of(registry))
    assert "redirects to" in error
    assert "pw" not in error


def test_redirections_without_end_are_given_up(registry: StandIn) -> None:
    registry.faults = [to("/schemas/ids/7")] * 10
    assert "redirects more than 3 times" in error_of(ConfigError, read_of(registry))


def drips(*, header: bool) -> Any:
    """A fault: an answer that comes byte by byte, each in time for a limit for each."""

    def drip(handler: Any) -> None:
        if not header:
            handler.send_response(200)
            handler.send_header("Content-Length", "100000")
            handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b" " if not header else b"H")
                time.sleep(0.02)

    return drip


@pytest.mark.parametrize("header", [True, False])
def test_a_registry_that_drips_is_given_up_in_time(registry: StandIn, *, header: bool) -> None:
    registry.faults = [drips(header=header)] * 2
    error = error_of(BrokerUnavailableError, read_of(registry, timeout=0.3, attempts=2))
    assert error.startswith(f"schema_registry.url: no answer from {registry.url}: timed out")
    assert len(registry.asked) == 2


def test_an_answer_without_end_is_given_up(registry: StandIn) -> None:
    def gushes(handler: Any) -> None:
        handler.send_response(200)
        handler.end_headers()
        with contextlib.suppress(OSError):
            while True:
                handler.wfile.write(b"[" * 65536)

    registry.faults = [gushes, fails(200, b" " * (ANSWER_BYTES + 1))]
    for _ in registry.faults.copy():
        said = error_of(ConfigError, read_of(registry))
        assert f"answers with more than {ANSWER_BYTES:,} bytes, so it is not a schema" in said


def test_a_length_that_nobody_has_room_for_takes_none(registry: StandIn) -> None:
    def boasts(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(10**15))
        handler.end_headers()
        handler.close_connection = True

    registry.faults = [boasts] * 3
    assert "no answer from" in error_of(BrokerUnavailableError, read_of(registry))


def test_schemas_that_refer_to_each_other_without_end_are_a_dead_letter(registry: StandIn) -> None:
    to_itself = {"name": "n.A", "subject": "a", "version": 1}
    registry.add_version("a", 1, POINT, references=[to_itself])
    registry.add(9, POINT, references=[to_itself])
    assert defect_of(read_of(registry), framed(9, b"")) == "schema 9 refers to too many others"
    assert len(registry.asked) < 50


def test_a_schema_that_refers_to_a_thousand_is_a_dead_letter(registry: StandIn) -> None:
    many = [{"name": f"n.A{n}", "subject": "a", "version": n} for n in range(1000)]
    for n in range(1000):
        registry.add_version("a", n, POINT)
    registry.add(9, POINT, references=many)
    assert defect_of(read_of(registry), framed(9, b"")) == "schema 9 refers to too many others"
    assert len(registry.asked) < 300


def test_a_schema_that_is_nested_too_deep_is_a_dead_letter(registry: StandIn) -> None:
    registry.schemas[9] = {"schema": "[" * 100_000}
    assert defect_of(read_of(registry), framed(9, b"")) == "schema 9 is nested too deep"


def test_a_page_for_a_person_is_called_that(registry: StandIn) -> None:
    registry.faults = [fails(200, b"\n<!doctype html><title>Log in</title>")]
    assert "answers with a page of HTML, so it is no" in error_of(ConfigError, read_of(registry))


def test_tls_is_trusted_by_the_ca_file_alone(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=registry", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    with registries.stand_in(server) as registry:
        registry.add(7, POINT)
        assert read_of(registry, ca_file=certificate)(SEVEN)[0] == {"x": 1}
        error = error_of(ConfigError, read_of(registry))
        assert error.startswith("schema_registry.ca_file: ")
        assert "self-signed certificate" in error


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, content: str | None) -> None:
    ca_file = tmp_path / "ca.pem"
    if content:
        ca_file.write_text(content)
    with pytest.raises(ConfigError, match=rf"^schema_registry\.ca_file: {ca_file}: .+; name a"):
        Registry("https://localhost", ca_file=ca_file)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8081",
        "ftp://localhost",
        "file:///etc/passwd",
        "http://",
        "http://host:port",
        "http://a b",
        "http://host/ä",
        "http://[::1",
        "http://host/?a=b",
        "http://me:secret-word@host",
    ],
)
def test_what_is_no_address_is_refused_at_once(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^schema_registry\.url: ") as raised:
        Registry(url)
    assert "secret-word" not in str(raised.value)


def test_without_fastavro_the_extra_is_named() -> None:
    code = """
import sys
sys.modules["fastavro"] = None
from detectd.kafka.avro import Registry, reader
from detectd.errors import ConfigError
try:
    reader(Registry("http://localhost:8081"))
except ConfigError as error:
    print(error)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert told.stdout.startswith(
        "source.format: \"avro\" needs fastavro; run pip install '.[avro]' in a checkout"
    )
