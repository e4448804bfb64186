"""Host headers: no page of a browser reads us under a name of its own."""

from __future__ import annotations

import http.client
import json
import socket

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from detectd.errors import ConfigError
from detectd.settings.loader import settle
from detectd.telemetry.endpoints import EDGES
from detectd.telemetry.hosts import Hosts, hosts_of
from detectd.telemetry.server import serve

TOKEN = "s3cret"
HOST = socket.gethostname()


@pytest.fixture(autouse=True)
def told():
    with structlog.testing.capture_logs() as events:
        yield events


def send(address, request):
    if address.startswith("unix:"):
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(10)
        client.connect(address.removeprefix("unix:"))
    else:
        port = int(address.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
    with client:
        client.sendall(request.encode("latin-1"))
        answer = http.client.HTTPResponse(client)
        answer.begin()
        return answer.status, answer.read()


def code(address, *hosts, path="/status", version="HTTP/1.1", **header):
    fields = [f"Host: {host}" for host in hosts]
    fields += [f"{name}: {value}" for name, value in header.items()]
    return send(address, "\r\n".join((f"GET {path} {version}", *fields, "", "")))[0]


@pytest.fixture
def near(health, metrics):
    with serve("127.0.0.1:0", None, health, metrics) as bound:
        yield bound


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:9464",
        "localhost",
        "LOCALHOST:1",
        "localhost.",
        "localhost:",
        "[::1]:9464",
        "10.0.0.7:9464",
        "[fe80::1%eth0]",
        HOST,
        f"{HOST}:9464",
    ],
)
def test_an_address_and_our_own_names_are_answered(near, host, told):
    assert code(near, host) == 200
    assert not [event for event in told if event["event"] == "server.host_refused"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:9464",
        "localhost.evil.example",
        "evil-localhost",
        "127.0.0.1.evil.example",
        "127.1",
        "2130706433",
        "[127.0.0.1]",
        "::1",
        "",
        "localhost@evil.example",
        "localhost:9464:1",
        "localhost:x",
        "local host",
        "\xe9",
    ],
)
@pytest.mark.parametrize("path", ["/status", "/metrics", "/healthz", "/nothing"])
def test_other_names_are_refused_and_get_nothing(near, host, path):
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"
    assert send(near, request) == (
        421,
        b"no service here has this name; if one should, set server.allowed_hosts\n",
    )


def test_the_first_name_that_is_refused_is_logged_and_no_other(near, told):
    for name in ("first.example", "second.example", "third.example"):
        assert code(near, name) == 421
    refused = [event for event in told if event["event"] == "server.host_refused"]
    assert [event["host"] for event in refused] == ["first.example"]
    assert "server.allowed_hosts" in refused[0]["hint"]


def test_http_1_1_needs_one_host_and_1_0_none(near):
    assert code(near) == 400
    assert code(near, "localhost", "localhost") == 400
    assert code(near, "localhost", "evil.example") == 400
    assert code(near, "localhost", "localhost", version="HTTP/1.0") == 400
    assert code(near, version="HTTP/1.0") == 200
    assert code(near, "evil.example", version="HTTP/1.0") == 421


def test_a_host_in_front_of_the_path_counts_more_than_the_header(near):
    assert code(near, "localhost", path="http://evil.example/status") == 421
    assert code(near, "evil.example", path="http://localhost/status") == 200
    assert code(near, "localhost", path="http://[/status") == 400


def test_more_names_can_be_allowed(health, metrics):
    allowed = ("detectd.example.com", ".svc.cluster.local")
    with serve("127.0.0.1:0", None, health, metrics, allowed) as bound:
        assert code(bound, "DETECTD.example.com:80") == 200
        assert code(bound, "a.b.svc.cluster.local") == 200
        assert code(bound, "svc.cluster.local") == 421
        assert code(bound, "example.com") == 421


def test_with_the_token_any_name_will_do(health, metrics):
    """Prometheus may scrape by whatever name leads here; a page in a browser has no token."""
    with serve("0.0.0.0:0", TOKEN, health, metrics) as bound:
        assert code(bound, "detectd.monitoring:9464", Authorization=f"Bearer {TOKEN}") == 200
        assert code(bound, "detectd.monitoring:9464", Authorization="Bearer other") == 421
        assert code(bound, "detectd.monitoring:9464", path="/readyz") == 421
        assert code(bound, "10.0.0.7:9464", path="/healthz") == 200
        assert code(bound, "10.0.0.7:9464") == 401


def test_on_a_unix_socket_any_name_will_do(health, metrics, tmp_path):
    with serve(f"unix:{tmp_path}/socket", None, health, metrics) as bound:
        assert code(bound, "whatever") == 200
        assert code(bound) == 400


def test_the_name_that_is_listened_at_is_ours():
    assert hosts_of("detectd.example.com", ()).admit("Detectd.example.com:9464")
    assert not hosts_of("0.0.0.0", ()).admit("detectd.example.com")


@given(st.text())
def test_every_text_is_a_host_or_none(text):
    Hosts(("a", ".b")).admit(text)


@given(st.from_regex(r"[a-z0-9-]{1,20}(\.[a-z0-9-]{1,20}){0,3}", fullmatch=True))
def test_no_name_is_ours_unless_it_was_given(name):
    digits = all(part.isdigit() for part in name.split("."))
    assert Hosts(()).admit(name) is False or name == "localhost" or digits
    assert Hosts((name,)).admit(name)


@pytest.mark.parametrize("name", ["a:1", "http://a", "a/b", "", "a b", "*", "a..b", "é"])
def test_what_is_no_host_name_is_refused_in_the_configuration(name):
    with pytest.raises(ConfigError, match=r"^x: server\.allowed_hosts\[0\]: must "):
        settle(
            {
                "source": {"kind": "stdin"},
                "sink": {"kind": "stdout"},
                "event": {"features": ["a"]},
                "server": {"allowed_hosts": [name]},
            },
            "x",
        )


def status_of(address, **header):
    fields = "".join(f"{name}: {value}\r\n" for name, value in header.items())
    request = f"GET /status HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n"
    return json.loads(send(address, request)[1])


def test_where_the_zone_lies_is_for_the_token_and_the_socket_alone(
    health, metrics, answer, serving, tmp_path
):
    answer()
    zone = serving.promise.rejector.zone
    with serve("127.0.0.1:0", None, health, metrics) as bound:
        open_to_all = status_of(bound)
    with serve("127.0.0.1:0", TOKEN, health, metrics) as bound:
        by_token = status_of(bound, Authorization=f"Bearer {TOKEN}")
    with serve(f"unix:{tmp_path}/socket", None, health, metrics) as bound:
        by_socket = status_of(bound)
    for page in (by_token, by_socket):
        assert page["promise"]["zone"]["rank_low"] == zone.rank_low
        assert {*EDGES} <= page["promise"]["zone"].keys()
        assert page["withheld"] is None
    assert not {*EDGES} & open_to_all["promise"]["zone"].keys()
    assert "server.token_file" in open_to_all["withheld"]
    left = ("score_low", "score_high")
    exact = [repr(by_token["promise"]["zone"][name]) for name in left]
    assert not any(score in json.dumps(open_to_all) for score in exact)
    rest = {**by_token["promise"], "zone": open_to_all["promise"]["zone"]}
    assert open_to_all["promise"] == rest


def test_without_a_model_there_is_nothing_to_withhold(health, metrics):
    with serve("127.0.0.1:0", None, health, metrics) as bound:
        assert status_of(bound)["withheld"] is None
