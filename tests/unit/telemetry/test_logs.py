"""What a traceback shows: where, and never the values that were there."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap

import pytest
import structlog

from detectd.settings.operation import LogSettings
from detectd.telemetry import logs

SECRET = "hush-hush"


@pytest.fixture(autouse=True)
def configured_again():
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def log_in(password):
    token = f"Bearer {password}"
    raise ValueError(len(token))


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_has_no_locals(capsys, form):
    logs.configure(LogSettings(format=form))
    try:
        log_in(SECRET)
    except ValueError:
        structlog.get_logger().exception("server.failed")
        logging.getLogger("somebody.else").exception("failed")
    said = capsys.readouterr().err
    assert said.count("log_in") >= 2  # The frames are there,
    assert SECRET not in said  # and what was in them is not.
    assert "test_logs.py" in said
    if form == "json":
        assert [json.loads(line)["event"] for line in said.splitlines()] == [
            "server.failed",
            "failed",
        ]


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_clients_of_kafka_do_not_log_the_bytes_of_a_login(capsys, form):
    logs.configure(LogSettings(level="debug", format=form))
    kafka = logging.getLogger("kafka.net.connection")
    kafka.debug("Sending SaslAuthenticateRequest(auth_bytes=%r)", SECRET.encode())
    kafka.info("Connected")
    said = capsys.readouterr().err
    assert SECRET not in said
    assert "Connected" in said


def test_debug_shows_frames_without_locals():
    program = f"""
        import sys
        from detectd import cli
        from detectd.commands import check

        def fails(arguments, console):
            "Fail."
            password = {SECRET!r}.upper().lower()
            raise RuntimeError("unforeseen")

        check.check = fails
        sys.exit(cli.main(["check", "--debug"]))
    """
    program = textwrap.dedent(program).replace(repr(SECRET), "'-'.join(['hush'] * 2)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert "in fails" in done.stderr
    assert "RuntimeError: unforeseen" in done.stderr
    assert SECRET not in done.stderr + done.stdout
