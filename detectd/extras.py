"""How to install optional dependencies. No index has detectd, so nothing here names it to pip."""

from __future__ import annotations

# The extras in the Debian package and the container image (requirements/package.txt); torch is too
# big.
PACKAGED = ("avro", "codecs", "confluent")


def how_to_get(extra: str) -> str:
    """Return how to install the extra `extra`, as the end of an error line."""
    install = f"run pip install '.[{extra}]' in a checkout of detectd"
    if extra in PACKAGED:
        return f"{install} (the Debian package and the container image have it)"
    return f"{install} (neither the Debian package nor the container image has it)"
