"""Print the JSON schema of a configuration, for editors: the settings, and what the reference says.

Types, bounds and defaults are those of `detectd.settings`; the sentence for each key is its comment
in config/reference.toml.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from detectd.settings import Settings

REFERENCE = Path(__file__).parents[1] / "config" / "reference.toml"
SECTION = re.compile(r"\[([\w.]+)\]")
KEY = re.compile(r"(?:# )?(\w+) = .*?(?:\s# (.*))?")


def comments() -> dict[tuple[str, str], str]:
    """What the reference says of each (section, key), its commented-out keys included."""
    said: dict[tuple[str, str], str] = {}
    section = ""
    for line in REFERENCE.read_text(encoding="utf-8").splitlines():
        if header := SECTION.match(line):
            section = header[1]
        elif key := KEY.fullmatch(line):
            said[section, key[1]] = (key[2] or "").strip()
    return said


def schema() -> dict[str, Any]:
    """The schema; TOML has no null, so a key without a default is a key that may be left out."""
    whole = Settings.model_json_schema()
    said = comments()
    for section, table in whole["properties"].items():
        _describe(whole["$defs"], table["$ref"], section, said)
        whole["properties"][section] = {"$ref": table["$ref"]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of detectd",
        **{key: value for key, value in whole.items() if key != "title"},
    }


def _describe(
    definitions: dict[str, Any], reference: str, section: str, said: dict[tuple[str, str], str]
) -> None:
    """Put the comments into the definition of a section, and of the sections within it."""
    properties = definitions[reference.rpartition("/")[2]]["properties"]
    for key, described in properties.items():
        if "$ref" in described:
            _describe(definitions, described["$ref"], f"{section}.{key}", said)
            properties[key] = {"$ref": described["$ref"]}
            continue
        comment = said.get((section, key))
        properties[key] = _without_null(described) | ({"description": comment} if comment else {})


def _without_null(described: dict[str, Any]) -> dict[str, Any]:
    kept = {k: v for k, v in described.items() if k not in {"anyOf", "title"} and v is not None}
    choices = [each for each in described.get("anyOf", ()) if each.get("type") != "null"]
    return kept | {"anyOf": choices} if len(choices) > 1 else dict(*choices) | kept


if __name__ == "__main__":
    sys.stdout.write(json.dumps(schema(), indent=1, ensure_ascii=False) + "\n")
