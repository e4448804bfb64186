"""The schema for editors: that of the settings, with what the reference says of each key."""

from __future__ import annotations

import json
import sys
import tomllib

import jsonschema
import pytest

from tests.support.paths import ROOT

CONFIG = ROOT / "config"
sys.path.insert(0, str(ROOT / "packaging"))

import schema  # noqa: E402 - a script

EXAMPLES = sorted(CONFIG.glob("*.toml"))


@pytest.fixture(scope="module")
def committed():
    return json.loads((CONFIG / "schema.json").read_text(encoding="utf-8"))


def test_the_schema_is_that_of_the_settings(committed):
    assert committed == schema.schema(), "the settings or the reference have changed: make schema"
    jsonschema.Draft202012Validator.check_schema(committed)


def test_the_reference_says_something_of_every_key(committed):
    mute = [".".join(place) for place, comment in schema.comments().items() if not comment]
    assert not mute, "config/reference.toml: write a comment behind each of these"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_satisfies_its_schema_and_names_it(committed, path):
    text = path.read_text(encoding="utf-8")
    assert text.startswith("#:schema ./schema.json\n")
    jsonschema.validate(tomllib.loads(text), committed)


def test_a_key_that_is_commented_out_would_satisfy_it_too(committed):
    """Uncommented one at a time, since some exclude each other."""
    lines = (CONFIG / "reference.toml").read_text(encoding="utf-8").splitlines()
    editor = jsonschema.Draft202012Validator(committed)
    tried = 0
    for i, line in enumerate(lines):
        if line.startswith("# ") and schema.KEY.fullmatch(line):
            text = "\n".join([*lines[:i], line.removeprefix("# "), *lines[i + 1 :]])
            editor.validate(tomllib.loads(text))
            tried += 1
    assert tried > 10


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ('kind = "file"', 'kind = "fille"'),
        ("contamination = 0.02", "contamination = 0.6"),
        ("contamination = 0.02", "contaminatoin = 0.02"),
        ("[detector]", "[detectr]"),
        ('features = ["cpu", "memory", "latency_ms"]', "features = []"),
        ('path = "events.jsonl"', "path = 7"),
    ],
)
def test_an_editor_would_underline_a_mistake(committed, good, bad):
    text = (CONFIG / "file.toml").read_text(encoding="utf-8")
    assert good in text
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(tomllib.loads(text.replace(good, bad, 1)), committed)
