"""Looking into a running service from another terminal."""

import json
import signal
import time
from pathlib import Path

from tests.support.command import detectd, events, start
from tests.support.complaints import only_line
from tests.support.live import append, serving
from tests.support.waiting import until


def test_status_shows_a_running_service_and_says_when_there_is_none(fitted):
    fitted.write(server={"listen": f"unix:{fitted.home}/detectd.sock"})
    only_line(fitted.run("status"), 1, "no detectd answers at unix:", "is the service running?")
    with serving(fitted):
        append(fitted, events(1000))
        until(lambda: fitted.answered() == 1000)
        told = json.loads(fitted.run("status", "--format", "json").stdout)
        done = fitted.run("status")
    assert told["observed"]["events"] <= 1000
    assert told["ready"]
    assert told["address"] == f"unix:{fitted.home}/detectd.sock"
    assert (done.returncode, done.stderr) == (0, "")
    for word in ("ready, up", "KNN", told["model"]["version"], "promise", "observed", "alarms"):
        assert word in done.stdout


def test_a_refused_reload_is_seen_from_outside_until_one_succeeds(fitted):
    with serving(fitted) as service:

        def hang_up(**changes):
            fitted.write(**changes)
            service.send_signal(signal.SIGHUP)

        def told():
            return json.loads(fitted.run("status", "--format", "json").stdout)

        assert told()["last_reload"]["successful"]
        hang_up(source={"path": str(fitted.home / "other.jsonl")})
        until(lambda: not told()["last_reload"]["successful"])
        assert told()["last_reload"]["refused"].startswith("source.path: cannot change")
        assert "REFUSED     the last reload: source.path: cannot" in fitted.run("status").stdout
        hang_up(source={"path": str(fitted.events)})
        until(lambda: told()["last_reload"]["successful"])
        assert told()["last_reload"]["refused"] is None


def test_status_shows_the_services_of_its_configuration_and_all_of_them_with_all(fitted):
    with serving(fitted):
        copied = fitted.home / "other.toml"
        copied.write_text(fitted.path.read_text())
        named = fitted.run("status").stdout.splitlines()
        only_line(detectd("status", "--config", copied), 1, "no service runs", copied, "--all")
        done = detectd("status", "--all", "--config", copied)
    assert named[0].startswith(f"service     {fitted.path.stem}: ready")
    assert named[2].strip() == str(fitted.path)
    assert (done.returncode, str(fitted.path) in done.stdout) == (0, True)


def test_a_service_with_a_token_is_seen_by_those_who_know_it(fitted):
    token, wrong = fitted.home / "token", fitted.home / "wrong"
    for file, secret in ((token, "s3cret\n"), (wrong, "guess\n")):
        file.write_text(secret)
        file.chmod(0o600)
    fitted.write(server={"token_file": str(token)})
    with serving(fitted):
        assert json.loads(fitted.run("status", "--format", "json").stdout)["ready"]
        elsewhere = {"DETECTD_SERVER__TOKEN_FILE": str(wrong)}
        only_line(fitted.run("status", env=elsewhere), 1, "a token other than")


def test_tap_shows_what_is_committed_from_now_on_and_stops_at_n(fitted):
    with serving(fitted):
        append(fitted, events(500, seed=1, poison=0.1))
        until(lambda: fitted.answered() == 500)
        with start("tap", "--verdict", "normal", "--n", 5, "--config", fitted.path) as tap:
            seed = 2
            while tap.poll() is None:  # it may not look yet
                append(fitted, events(50, seed=seed, poison=0.2))
                seed += 1
                time.sleep(0.1)
            lines = tap.stdout.readlines()
            assert (tap.returncode, tap.stderr.read(), len(lines)) == (0, "", 5)
    written = (fitted.out / "normal.jsonl").read_text()
    assert "".join(lines) in written
    assert json.loads(lines[0])["verdict"] == "normal"


def test_tap_ends_quietly_at_a_signal(fitted):
    fitted.lines(fitted.events, events(300))
    assert fitted.run("run").returncode == 0
    with start("tap", "--verdict", "abstain", "--config", fitted.path) as tap:
        until(lambda: catches(tap.pid, signal.SIGTERM))
        tap.send_signal(signal.SIGINT)
        assert (tap.stdout.read(), tap.stderr.read(), tap.wait(timeout=30)) == ("", "", 0)


def catches(pid, number):
    """Whether the process has taken the signal into its own hands."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = status.partition("SigCgt:")[2].split()[0]
    return int(caught, 16) >> (number - 1) & 1


def test_tap_and_dead_letters_say_what_they_lack(fitted):
    only_line(fitted.run("tap", "--verdict", "abstain"), 1, "sink.directory", "no outputs yet")
    only_line(fitted.run("dead-letters", "list"), 1, "sink.directory", "no outputs yet")
    fitted.write(sink={"kind": "stdout", "directory": None})
    for command in (["tap", "--verdict", "abstain"], ["dead-letters", "list"]):
        only_line(fitted.run(*command), 2, "sink.kind", "stdout")
    assert fitted.run("tap").returncode == 2
    assert fitted.run("tap", "--verdict", "maybe").returncode == 2
