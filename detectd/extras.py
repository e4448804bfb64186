"""How to get what is optional. No index has detectd, so nothing here names it to pip."""

from __future__ import annotations

# What the Debian package and the container image bring (requirements/package.txt); too big: torch.
PACKAGED = ("avro", "codecs", "confluent")


def how_to_get(extra: str) -> str:
    """Return what to do to have the extra `extra`, as the end of an error's line."""
    install = f"run pip install '.[{extra}]' in a checkout of detectd"
    if extra in PACKAGED:
        return f"{install} (the Debian package and the container image have it)"
    return f"{install} (neither the Debian package nor the container image has it)"
