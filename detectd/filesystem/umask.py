"""What this process creates is its own alone, but for outputs: those have the mode that was asked.

State, models and compiled code are code or as good as that, whatever umask the process was started
with. Outputs are there for others to read, as far as that umask allows.
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
