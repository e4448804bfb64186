"""The first connection to a broker, by one that is none."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time

import pytest

from detectd.errors import BrokerUnavailableError
from detectd.kafka.login_probe import log_in


def drips(client):
    client.sendall(struct.pack(">i", 1000))
    while True:
        client.sendall(b"\0")
        time.sleep(0.02)


def gushes(client):
    client.sendall(struct.pack(">i", 2**31 - 1))
    while True:
        client.sendall(b"x" * 65536)


@pytest.fixture
def broker(request):
    """An address at which every client is served by the parameter, until it goes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve():
            with contextlib.suppress(OSError):
                client, _ = listening.accept()
                with client:
                    request.param(client)

        serving = threading.Thread(target=serve)
        serving.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        serving.join()


@pytest.mark.parametrize(("broker", "seconds"), [(drips, 0.3), (gushes, 60.0)], indirect=["broker"])
def test_a_broker_that_answers_without_end_is_given_up(broker, seconds):
    with pytest.raises(BrokerUnavailableError, match=f"^kafka.security_protocol: {broker} closes"):
        log_in(broker, {}, seconds)
