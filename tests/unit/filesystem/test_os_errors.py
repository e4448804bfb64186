"""What an errno means is said in one table, and all parts go by it."""

import ast
import errno
import os
from pathlib import Path

import pytest

import detectd
from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError, UsageError
from detectd.filesystem.os_errors import TABLE, Kind, explained, located

PASSING = {errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.EAGAIN}
RETRY = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
OPERATOR = {
    errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG,
    errno.EROFS, errno.ELOOP,
}  # fmt: skip


def failure(code):
    return OSError(code, os.strerror(code))


@pytest.mark.parametrize(
    ("codes", "kind", "raised", "exit_code"),
    [
        (PASSING, Kind.PASSING, BrokerUnavailableError, 1),
        (RETRY, Kind.RETRY, DetectdError, 1),
        (OPERATOR, Kind.OPERATOR, ConfigError, 78),
    ],
)
def test_each_kind_has_its_exit_code_and_each_errno_its_fix(codes, kind, raised, exit_code):
    for code in codes:
        assert TABLE[code].kind is kind
        error = explained(failure(code), "sink.directory: out")
        assert type(error) is raised
        assert error.exit_code == exit_code
        assert str(error) == f"sink.directory: out: {os.strerror(code)}; {TABLE[code].fix}"


def test_an_errno_that_nobody_has_listed_is_worth_another_try():
    assert explained(failure(errno.EXFULL), "out").exit_code == 1
    assert str(explained(OSError("torn"), "out")) == "out: torn; try again"


def test_the_callers_own_fix_is_for_what_an_operator_must_change():
    assert str(explained(failure(errno.EACCES), "out", "chown it")).endswith("; chown it")
    assert "free space" in str(explained(failure(errno.ENOSPC), "out", "chown it"))
    assert type(explained(failure(errno.ENOENT), "-o x", operators=UsageError)) is UsageError


def test_an_error_that_nobody_foresaw_names_its_file():
    assert str(located(OSError(errno.ENOSPC, "full", "/x"))) == "/x: full; free space and run again"
    assert located(OSError(errno.EACCES, "no", b"/x")).exit_code == 78
    assert located(ConnectionResetError(errno.ECONNRESET, "reset")).exit_code == 1


# These say nothing of the file, or have nothing to raise.
EXEMPT = {"os_failures.py", "login.py", "security.py", "asking.py", "identity.py", "registry.py"}


def test_no_part_decides_by_itself_what_an_errno_is_worth():
    """An OSError that is caught is not turned into a class of our errors beside the table."""
    found = []
    for path in sorted(Path(detectd.__file__).parent.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name in EXEMPT or "except OSError" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ExceptHandler) and ast.unparse(node.type or node) == "OSError":
                raised = [
                    ast.unparse(n.exc) for n in ast.walk(node) if isinstance(n, ast.Raise) and n.exc
                ]
                found += [
                    f"{path.name}: {r}"
                    for r in raised
                    if r.startswith(("ConfigError(", "DetectdError("))
                ]
    assert found == []
