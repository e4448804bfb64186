"""Libraries are kept quiet in the thread that calls them, and in no other."""
# ruff: noqa: T201 - what is printed is what is tested

import io
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from detectd import quiet
from detectd.detectors import scorer

ROUNDS = 50


class Noisy:
    """A detector that prints, warns, and swaps the warnings' filters as scikit-learn does."""

    def __init__(self, during=lambda: None):
        self.during = during

    def decision_function(self, rows):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            print("noise")
            print("noise", file=sys.stderr)
            self.during()
        warnings.warn("noise", UserWarning, stacklevel=1)
        return np.zeros(len(rows))

    def fit(self, rows):
        self.decision_function(rows)


@pytest.fixture
def streams(monkeypatch):
    """Gives standard output and error of the process, as `install` finds them. (To be called in the
    test: pytest puts its own in place after the fixtures.)"""

    def installed():
        out, err = io.StringIO(), io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        quiet.install()
        quiet.install()
        return out, err

    return installed


def test_another_thread_is_heard_while_a_detector_is_not(streams):
    out, err = streams()
    inside, said = threading.Barrier(2, timeout=30), threading.Barrier(2, timeout=30)

    def meanwhile():
        inside.wait()
        said.wait()

    scoring = threading.Thread(
        target=lambda: scorer.fit(Noisy(meanwhile), np.ones((3, 1))), daemon=True
    )
    before = sys.stdout, sys.stderr
    scoring.start()
    inside.wait()
    assert (sys.stdout, sys.stderr) == before
    print("heard")
    print("heard", file=sys.stderr)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        warnings.warn("heard", UserWarning, stacklevel=1)
    said.wait()
    scoring.join(30)
    assert (sys.stdout, sys.stderr) == before
    assert [str(each.message) for each in told] == ["heard"]
    assert out.getvalue() == err.getvalue() == "heard\n"


def test_detectors_in_many_threads_leave_streams_and_filters_as_they_were(streams):
    out, err = streams()
    rows = np.ones((2, 1))
    scorer.BatchScorer(Noisy()).score(rows)
    before, filters = (sys.stdout, sys.stderr), list(warnings.filters)
    begin = threading.Barrier(4, timeout=30)

    def score():
        begin.wait()
        for _ in range(ROUNDS):
            scorer.BatchScorer(Noisy()).score(rows)

    threads = [threading.Thread(target=score) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sys.stdout, sys.stderr) == before
    assert list(warnings.filters) == filters
    assert out.getvalue() == err.getvalue() == ""


def test_warnings_are_heard_again_afterwards_and_where_quiet_is_nested():
    with quiet.quiet():
        with quiet.quiet():
            warnings.warn("lost", UserWarning, stacklevel=1)
        warnings.warn("lost", UserWarning, stacklevel=1)
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", UserWarning, stacklevel=1)


def test_a_failing_detector_does_not_leave_its_thread_quiet(streams):
    out, _ = streams()

    def fail():
        raise ValueError

    with pytest.raises(Exception, match="cannot be fitted"):
        scorer.fit(Noisy(fail), np.ones((3, 1)))
    print("heard")
    assert out.getvalue() == "heard\n"


def test_a_closed_stream_stays_closed(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    quiet.install()
    assert sys.stdout is None


def test_streams_are_as_before_in_all_else():
    code = (
        "import sys; from detectd import quiet; quiet.install();"
        "assert sys.stdout.fileno() == 1 and not sys.stdout.isatty();"
        "sys.stdout.writelines(['a', 'b\\n']); sys.stdout.buffer.write(b'c'); print('e', end='')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ab\nce", "")
