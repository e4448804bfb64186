"""What a command that fails may print."""

from __future__ import annotations


def one_line(done, code, *words):
    """The command failed with `code` and one helpful line of ours on stderr."""
    complaints = [line for line in done.stderr.splitlines() if line.startswith("detectd: ")]
    assert done.returncode == code, done.stderr
    assert len(complaints) == 1, done.stderr
    assert "Traceback" not in done.stderr
    for word in words:
        assert str(word) in complaints[0]


def only_line(done, code, *words):
    """The command failed with `code` and one helpful line on stderr, and nothing else there."""
    complaints = done.stderr.splitlines()
    assert (done.returncode, len(complaints)) == (code, 1), done.stderr
    for word in words:
        assert str(word) in complaints[0]
