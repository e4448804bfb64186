"""The meaning of each errno of a file, disk or pipe for the service, in one table.

PASSING   the other side is away (a network file system): wait, reopen, continue
RETRY     exit 1: started again later it may work, for example once space is freed
OPERATOR  exit 78: it fails until an operator changes a path, a permission or a limit

Kafka's error codes have a table of their own. An errno that is not here is taken for RETRY.
"""

from __future__ import annotations

import errno
import os
from enum import Enum
from typing import NamedTuple

from detectd.errors import BrokerUnavailableError, ConfigError, DetectdError


class Kind(Enum):
    """Whether a retry helps, and who retries."""

    PASSING = "passing"
    RETRY = "retry"
    OPERATOR = "operator"


class Meaning(NamedTuple):
    """The meaning of an errno, and its fix."""

    kind: Kind
    fix: str


_FILE_SERVER = "check the network and the file server"
_PERMISSIONS = "let the service's user read and write it (chown, chmod), or name another"
_DEVICE = "check the disk and its cable (dmesg), then start again"

TABLE: dict[int, Meaning] = {
    # The network file system, or the process that holds the file, is temporarily unavailable.
    errno.EINTR: Meaning(Kind.PASSING, "try again"),
    errno.EAGAIN: Meaning(Kind.PASSING, "try again"),
    errno.EBUSY: Meaning(Kind.PASSING, "wait until nothing else uses it"),
    errno.ESTALE: Meaning(Kind.PASSING, "mount the file system again if this lasts"),
    errno.ETIMEDOUT: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.EHOSTDOWN: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.EHOSTUNREACH: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.ENETDOWN: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.ENETUNREACH: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.ECONNRESET: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.ECONNREFUSED: Meaning(Kind.PASSING, _FILE_SERVER),
    errno.ENOLCK: Meaning(Kind.PASSING, "check the lock service of the file server"),
    # A resource is exhausted or broken.
    errno.ENOSPC: Meaning(Kind.RETRY, "free space and run again"),
    errno.EDQUOT: Meaning(Kind.RETRY, "free space or raise the quota, and run again"),
    errno.EFBIG: Meaning(Kind.RETRY, "rotate it, or raise the limit on file sizes (ulimit -f)"),
    errno.EIO: Meaning(Kind.RETRY, _DEVICE),
    errno.EREMOTEIO: Meaning(Kind.RETRY, _DEVICE),
    errno.EMFILE: Meaning(Kind.RETRY, "raise the limit on open files (LimitNOFILE=, ulimit -n)"),
    errno.ENFILE: Meaning(Kind.RETRY, "the whole host has too many open files; raise fs.file-max"),
    errno.ENOMEM: Meaning(Kind.RETRY, "free memory, or raise MemoryMax="),
    errno.ENOBUFS: Meaning(Kind.RETRY, "free memory, or raise MemoryMax="),
    errno.EPIPE: Meaning(Kind.RETRY, "restart its reader"),
    # It is permanent until an operator changes it.
    errno.EACCES: Meaning(Kind.OPERATOR, _PERMISSIONS),
    errno.EPERM: Meaning(Kind.OPERATOR, _PERMISSIONS),
    errno.EROFS: Meaning(
        Kind.OPERATOR, "mount it for writing, or allow it in the unit (ReadWritePaths=)"
    ),
    errno.ENOENT: Meaning(Kind.OPERATOR, "create it, or name another"),
    errno.ENOTDIR: Meaning(Kind.OPERATOR, "a part of the path is a file; name another"),
    errno.EISDIR: Meaning(Kind.OPERATOR, "it is a directory; name a file"),
    errno.ENAMETOOLONG: Meaning(Kind.OPERATOR, "name a shorter path"),
    errno.ELOOP: Meaning(Kind.OPERATOR, "its symbolic links form a loop; correct them"),
    errno.EEXIST: Meaning(Kind.OPERATOR, "something else is there; move it away or name another"),
    errno.ENOTEMPTY: Meaning(Kind.OPERATOR, "move away what is in it"),
    errno.EXDEV: Meaning(Kind.OPERATOR, "keep it on one file system"),
    errno.ENXIO: Meaning(Kind.OPERATOR, "it is not a regular file; name one"),
    errno.ENODEV: Meaning(Kind.OPERATOR, "its device is missing; name another"),
    errno.ESPIPE: Meaning(Kind.OPERATOR, "it is a pipe; name a regular file"),
    errno.EINVAL: Meaning(Kind.OPERATOR, "the file system does not support this; name another"),
    errno.ENOTSUP: Meaning(Kind.OPERATOR, "the file system does not support this; name another"),
    errno.ENOSYS: Meaning(Kind.OPERATOR, "the file system does not support this; name another"),
    errno.EBADF: Meaning(Kind.OPERATOR, "it was closed; redirect it"),
    errno.ETXTBSY: Meaning(Kind.OPERATOR, "a program is running from it; name another"),
}
UNKNOWN = Meaning(Kind.RETRY, "try again")


def meaning(failed: OSError) -> Meaning:
    """Return the table's entry for an error."""
    return TABLE.get(failed.errno or 0, UNKNOWN)


def explained(
    failed: OSError,
    what: str,
    fix: str | None = None,
    *,
    operators: type[DetectdError] = ConfigError,
) -> DetectdError:
    """Return the error to raise instead of `failed`: one line with what failed, why, and the fix.

    `fix` replaces the table's words if an operator must act; `operators` is the class then.
    """
    kind, usual = meaning(failed)
    # Some libraries raise OSError without an errno.
    reason = failed.strerror or str(failed) or type(failed).__name__
    if kind is Kind.OPERATOR:
        return operators(f"{what}: {reason}; {fix or usual}")
    if kind is Kind.PASSING:
        return BrokerUnavailableError(f"{what}: {reason}; {usual}")
    return DetectdError(f"{what}: {reason}; {usual}")


def located(failed: OSError) -> DetectdError:
    """Return `explained` for an unforeseen error, by the file that it names."""
    if failed.filename is None:
        reason = failed.strerror or str(failed) or type(failed).__name__
        return DetectdError(f"{type(failed).__name__}: {reason}; {meaning(failed).fix}")
    name = os.fsdecode(failed.filename) if isinstance(failed.filename, bytes) else failed.filename
    return explained(failed, str(name))
