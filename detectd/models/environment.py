"""The versions under which a detector was fitted, and may be loaded again."""

from __future__ import annotations

import platform
from importlib.metadata import version

# A model fitted under other versions of these is fitted again from its rows: pickles and arithmetic
# may differ.
LIBRARIES = ("numpy", "scipy", "scikit-learn", "pyod")


def libraries() -> dict[str, str]:
    """Return the versions that a fitted detector depends on, as installed here."""
    python = ".".join(platform.python_version_tuple()[:2])
    return {"python": python} | {name: version(name) for name in LIBRARIES}
