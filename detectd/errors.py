"""The failures that end a command, by cause.

Each message is one line: what, where, and how to fix it. The command line prints it and exits with
the class's code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class DetectdError(Exception):
    """A failure that an operator can understand and fix. Exit 1: failed while running."""

    exit_code = 1


class UsageError(DetectdError):
    """The command line names something that does not exist. Exit 2."""

    exit_code = 2


class RefusedError(DetectdError):
    """The other side refused: credentials, access rights. Exit 77; systemd does not restart."""

    exit_code = 77


class ConfigError(DetectdError):
    """The configuration cannot work. Exit 78; systemd does not restart."""

    exit_code = 78


class BrokerUnavailableError(DetectdError):
    """The other side is temporarily unavailable. The service resumes from the last commit.

    With `rival` it is available, but another process uses the same name.
    """

    rival = False


class PartitionsRevokedError(DetectdError):
    """Partitions were revoked before their records were committed: read again."""


class UndeliverableError(DetectdError):
    """The sink will never take some of the outputs. Nothing was committed.

    `reasons` are the reasons by the output's index in the commit.
    """

    def __init__(self, reasons: Mapping[int, str]) -> None:
        super().__init__(f"{len(reasons)} outputs were rejected: {next(iter(reasons.values()))}")
        self.reasons = dict(reasons)
