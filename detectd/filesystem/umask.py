"""Restrict created files to this user, except outputs, which get the configured mode.

State, models and compiled code are private, whatever the umask at the start, since they are code or
equivalent. Outputs are readable for others, as far as that umask allows.
"""

from __future__ import annotations

import os

_given: int | None = None


def restrict() -> None:
    """Create files for this user alone from now on."""
    global _given  # noqa: PLW0603 - a umask is the process's
    _given = os.umask(0o077)


def share(descriptor: int, mode: int) -> None:
    """Give a new output the `mode` that it would have had without `restrict`."""
    if _given is not None:
        os.fchmod(descriptor, mode & ~_given)
