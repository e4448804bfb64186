"""The endpoint that grants tokens, over real sockets: whatever it does is a token or a line."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError, RefusedError
from detectd.http_client import Answer
from detectd.kafka import tokens
from detectd.kafka.tokens import MOST_LIFE_SECONDS, TOKEN_BYTES, Tokens, granted
from detectd.settings.kafka import KafkaSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SECRET = "hush-hush"
HTML = b"<!doctype html><title>Log in</title>"


class Endpoint:
    """What answers each request, the next first; `asked` are the requests as they came."""

    def __init__(self) -> None:
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.asked: list[tuple[str, str]] = []
        self.url = ""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    there = Endpoint()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            there.asked.append((f"{self.command} {self.path}", body))
            there.answers.pop(0)(self)

        def do_GET(self) -> None:
            there.asked.append((f"{self.command} {self.path}", ""))
            there.answers.pop(0)(self)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """A client that leaves is part of the tests."""

    with Server(("127.0.0.1", 0), Handler) as server:
        there.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,)).start()
        yield there
        server.shutdown()


@pytest.fixture
def asked(endpoint: Endpoint, tmp_path: Any) -> KafkaSettings:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    return KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        sasl_token_url=f"{endpoint.url}/token?tenant=ours",
        sasl_client_id="detectd",
        sasl_client_secret_file=secret,
    )


def says(status: int, body: Any, **header: str) -> Callable[[BaseHTTPRequestHandler], None]:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in header.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(raw)))
        handler.end_headers()
        handler.wfile.write(raw)

    return answer


def drips(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(200)
    handler.end_headers()
    with contextlib.suppress(OSError):
        while True:
            handler.wfile.write(b" ")
            time.sleep(0.02)


def error_of(kind: type[DetectdError], settings: KafkaSettings) -> str:
    with pytest.raises(kind) as raised:
        granted(settings)
    assert type(raised.value) is kind
    said = str(raised.value)
    assert said.startswith("kafka.sasl_token_url: http://127.0.0.1:")
    assert "\n" not in said
    assert not {SECRET, "tenant=ours"} & {*said.split()}
    assert SECRET not in said
    assert "ours" not in said
    return said


def test_a_token_is_asked_for_with_the_secret_and_without_a_query_in_errors(
    endpoint: Endpoint, asked: KafkaSettings
) -> None:
    endpoint.answers = [says(200, {"access_token": "abc", "expires_in": "600"})]
    assert granted(asked) == ("abc", 600.0)
    form = f"grant_type=client_credentials&client_id=detectd&client_secret={SECRET}"
    assert endpoint.asked == [("POST /token?tenant=ours", form)]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (HTML, "answers with a page of HTML"),
        (b"", "answers but not with JSON"),
        (b"[" * 100_000, "answers but not with JSON"),
        (b"\xff", "answers but not with JSON"),
        ([], "without an access_token"),
        ("access_token", "without an access_token"),
        ({"token": "abc"}, "without an access_token"),
        ({"access_token": None}, "returns an access_token with invalid characters"),
        ({"access_token": 7}, "returns an access_token with invalid characters"),
        ({"access_token": ""}, "returns an access_token with invalid characters"),
        ({"access_token": "a\x01auth=b"}, "returns an access_token with invalid characters"),
        ({"access_token": "é"}, "returns an access_token with invalid characters"),
    ],
)
def test_what_is_no_token_is_said_in_a_line(
    endpoint: Endpoint, asked: KafkaSettings, body: Any, said: str
) -> None:
    endpoint.answers = [says(200, body)]
    assert said in error_of(ConfigError, asked)


@pytest.mark.parametrize(
    "life", ["NaN", "Infinity", "-Infinity", "-1", "0", '"soon"', "null", "[]", "true", "-1e999"]
)
def test_a_life_that_is_no_time_is_refused(
    endpoint: Endpoint, asked: KafkaSettings, life: str
) -> None:
    endpoint.answers = [says(200, f'{{"access_token": "abc", "expires_in": {life}}}'.encode())]
    assert "expires_in" in error_of(ConfigError, asked)


@pytest.mark.parametrize("life", ["1e300", "9" * 400, "31536000"])
def test_a_long_life_is_taken_for_a_day(
    endpoint: Endpoint, asked: KafkaSettings, life: str
) -> None:
    endpoint.answers = [says(200, f'{{"access_token": "abc", "expires_in": {life}}}'.encode())]
    assert granted(asked) == ("abc", MOST_LIFE_SECONDS)


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": "invalid_scope"}, RefusedError, "(400 invalid_scope)"),
        (401, {"error": "\x1b]52;x"}, RefusedError, "(401 Unauthorized)"),
        (403, HTML, RefusedError, "(403 Forbidden)"),
        (404, b"", ConfigError, "answers 404 Not Found, so it grants no OAuth tokens"),
        (204, b"", ConfigError, "answers 204 No Content"),
        (429, b"", BrokerUnavailableError, "cannot answer now (429 Too Many Requests)"),
        (500, HTML, BrokerUnavailableError, "cannot answer now (500 Internal Server Error)"),
        (503, b"", BrokerUnavailableError, "cannot answer now (503 Service Unavailable)"),
    ],
)
def test_each_status_is_what_it_is_to_us(
    endpoint: Endpoint,
    asked: KafkaSettings,
    status: int,
    body: Any,
    kind: type[DetectdError],
    said: str,
) -> None:
    endpoint.answers = [says(status, body)]
    assert said in error_of(kind, asked)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("where", ["/elsewhere", "http://127.0.0.1:1/", "https://evil.example/"])
def test_a_secret_follows_no_redirection(
    endpoint: Endpoint, asked: KafkaSettings, status: int, where: str
) -> None:
    endpoint.answers = [says(status, b"", Location=where)]
    assert "redirects to http" in error_of(ConfigError, asked)
    assert len(endpoint.asked) == 1


def test_an_endpoint_that_drips_is_given_up_in_time(
    endpoint: Endpoint, asked: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "TOKEN_SECONDS", 0.3)
    endpoint.answers = [drips]
    assert error_of(BrokerUnavailableError, asked).endswith("does not answer: timed out")


def test_more_than_any_token_has_is_not_read(endpoint: Endpoint, asked: KafkaSettings) -> None:
    endpoint.answers = [says(200, b" " * (TOKEN_BYTES + 1))]
    assert f"answers with more than {TOKEN_BYTES:,} bytes" in error_of(ConfigError, asked)


@pytest.mark.slow
@given(
    st.binary()
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["access_token", "expires_in", "x"]), inner)
        ),
    ).map(lambda said: json.dumps(said).encode())
)
def test_every_answer_is_a_token_with_a_finite_life_or_one_line(body: bytes) -> None:
    try:
        token, life = tokens._token("https://login", Answer(200, "OK", body))
    except ConfigError as error:
        said = str(error)
    else:
        assert 0 < life <= MOST_LIFE_SECONDS
        said = token
    assert said
    assert "\n" not in said


@pytest.mark.parametrize("content", ["a b", "a\x01auth=b", "é", " \n", "a\nb"])
def test_a_file_with_more_than_a_token_is_refused(tmp_path: Any, content: str) -> None:
    (tmp_path / "token").write_text(content)
    settings = KafkaSettings(
        security_protocol="SASL_SSL",
        sasl_mechanism="OAUTHBEARER",
        sasl_token_file=tmp_path / "token",
    )
    with pytest.raises(
        ConfigError, match=r"^kafka\.sasl_token_file: .*only the token in it$"
    ) as raised:
        Tokens(settings).token()
    assert content.strip() not in str(raised.value) or not content.strip()
