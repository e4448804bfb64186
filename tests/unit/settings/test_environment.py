"""Variables: every key of the schema can be set by one, and one that sets nothing is named."""

import json
import os
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from detectd.errors import ConfigError
from detectd.settings import Settings
from detectd.settings.environment import literal, overrides, variables
from detectd.settings.loader import examine
from tests.support.paths import ROOT

SCHEMA = json.loads((ROOT / "config" / "schema.json").read_text())
PLAIN = """\
[source]
kind = "stdin"
[sink]
kind = "stdout"
[event]
features = ["a"]
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.upper().startswith("DETECTD_")]:
        monkeypatch.delenv(name)

    def load_with(extra="", **environment):
        for name, text in environment.items():
            monkeypatch.setenv(name, text)
        path = tmp_path / "detectd.toml"
        path.write_text(PLAIN + extra, encoding="utf-8")
        return examine(path)

    return load_with


def described(table=SCHEMA, *sections):
    """The path of each key, and what the schema says of it."""
    for key, says in table["properties"].items():
        if "$ref" in says:
            yield from described(SCHEMA["$defs"][says["$ref"].rpartition("/")[2]], *sections, key)
        else:
            yield pytest.param((*sections, key), says, id=".".join((*sections, key)))


def variable(path):
    return f"DETECTD_{'__'.join(path)}".upper()


def kind_of(path):
    table: Any = Settings
    for section in path[:-1]:
        table = table.model_fields[section].annotation
    return TypeAdapter(table.model_fields[path[-1]].rebuild_annotation())


def samples(says):
    """Values that the schema allows, each as a variable would have it: (text, value)."""
    for choice in says.get("anyOf", [says]):
        if "enum" in choice or "const" in choice:
            yield from ((each, each) for each in choice.get("enum", [choice.get("const")]))
        elif choice["type"] == "boolean":
            yield from (("true", True), ("True", True), ("0", False))
        elif choice["type"] in ("number", "integer"):
            low = choice.get("minimum", choice.get("exclusiveMinimum", 0))
            high = choice.get("maximum", choice.get("exclusiveMaximum", 2 * low + 8))
            number = (low + high) / 2
            number = int(number) if choice["type"] == "integer" else number
            yield str(number), number
        elif choice["type"] == "array":
            yield '["x", "2"]', ("x", "2")
        elif choice["type"] == "object":
            yield '{"n": 3, "of": [true]}', {"n": 3, "of": [True]}
        elif "pattern" in choice:
            yield "7d", "7d"  # the one kind of text that is bound to a form: a span
        else:
            # What looks like a number or a truth is text where the key takes text.
            yield from (("x y", "x y"), ("12", "12"), ("true", "true"))


@pytest.mark.parametrize("spelt", [str.upper, str.lower, str.title], ids=lambda f: f.__name__)
@pytest.mark.parametrize(("path", "says"), [*described()])
def test_every_key_of_the_schema_can_be_set(path, says, spelt):
    kind = kind_of(path)
    tried = list(samples(says))
    assert tried
    for text, value in tried:
        found = overrides(Settings, {spelt(variable(path)): text})
        assert not found.warnings
        assert list(found.names) == [path]
        given = reduce(getitem, path, found.tables)
        assert kind.validate_python(given) == kind.validate_python(value)


@pytest.mark.parametrize(("path", "says"), [*described()])
def test_a_variable_comes_before_the_file(load, path, says):
    """Keys that go together are refused together; any other takes effect."""
    text, value = next(iter(samples(says)))
    try:
        loaded = load(**{variable(path): text})
    except ConfigError as refused:
        kinds = (
            "valid",
            "without quotes",
            "must be text",
            "must be a list",
            "must be a number",
            "JSON",
        )
        assert not any(kind in str(refused) for kind in kinds)  # noqa: PT017 - others may be right
        return
    found = reduce(getattr, path, loaded.settings)
    assert found == (Path.cwd() / value if isinstance(found, Path) else value)


def test_the_variables_are_those_of_the_schema():
    assert {variable(each.values[0]) for each in described()} == set(variables(Settings))


def test_the_contamination_is_a_number_or_a_word(load):
    for text, value in (("0.02", 0.02), (".02", 0.02), ("estimate", "estimate")):
        detector = load(DETECTD_DETECTOR__CONTAMINATION=text).settings.detector
        assert detector.contamination == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("200", 200),
        ("0.5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("none", None),
        ("[1, 2]", [1, 2]),
        ('{"a": 1}', {"a": 1}),
        ("auto", "auto"),
        ('"200"', "200"),
        ("", ""),
        ("[1,", "[1,"),
    ],
)
def test_an_argument_of_the_detector_is_what_it_looks_like(load, text, value):
    extra = "[detector.params]\nn_estimators = 50\nother = 1"
    params = load(extra, DETECTD_DETECTOR__PARAMS__N_ESTIMATORS=text).settings.detector.params
    assert params == {"n_estimators": value, "other": 1}
    assert type(params["n_estimators"]) is type(literal(text)) is type(value)


def test_an_argument_in_mixed_case_is_meant_as_it_is_written(load):
    params = load(DETECTD_DETECTOR__PARAMS__Gamma_X="1").settings.detector.params
    assert params == {"Gamma_X": 1}


def test_an_empty_variable_unsets_what_may_be_unset(load):
    loaded = load("[rejector]\nmax_abstain_rate = 0.1", DETECTD_REJECTOR__MAX_ABSTAIN_RATE="")
    assert loaded.settings.rejector.max_abstain_rate is None
    with pytest.raises(ConfigError, match=r"\$DETECTD_REJECTOR__DELTA: rejector.delta: must be"):
        load(DETECTD_REJECTOR__DELTA="")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("DETECTD_DETECTOR_CONTAMINATION", "did you mean $DETECTD_DETECTOR__CONTAMINATION?"),
        ("DETECTD_REJCTOR__T", "did you mean $DETECTD_REJECTOR__T?"),
        ("DETECTD_REJECTOR__TT", "did you mean $DETECTD_REJECTOR__T?"),
        ("DETECTD_DETECTOR__PARAM__X", "did you mean $DETECTD_DETECTOR__PARAMS?"),
        ("DETECTD_DETECTOR__PARAMS__", "did you mean $DETECTD_DETECTOR__PARAMS?"),
        ("detectd_sorce__path", "did you mean $DETECTD_SOURCE__PATH?"),
        ("DETECTD_CONFG", "did you mean $DETECTD_CONFIG?"),
        ("DETECTD_BUILD_OF_OURS", "no key has that name"),
        ("DETECTD_", "no key has that name"),
    ],
)
def test_a_variable_that_sets_nothing_is_warned_of(load, name, meant):
    (warning,) = load(**{name: "1"}).warnings
    assert warning.startswith(f"${name} sets nothing: ")
    assert meant in warning


@pytest.mark.parametrize(
    "name",
    [
        "DETECTD_CONFIG",
        "DETECTD_TEST_KAFKA",
        "DETECTD_SERVICE_HOST",
        "DETECTD_PORT",
        "DETECTD_PORT_9464_TCP_ADDR",
        "DETECTD_KAFKA_SERVICE_PORT_HTTP",
        "DETECTDX_LOG",
    ],
)
def test_variables_of_others_are_passed_over(load, name):
    assert load(**{name: "1"}).warnings == []


def test_of_two_spellings_the_usual_one_counts_and_the_other_is_named(load):
    loaded = load(DETECTD_REJECTOR__T="40", detectd_rejector__t="50")
    assert loaded.settings.rejector.T == 40
    (warning,) = loaded.warnings
    assert warning == "$detectd_rejector__t sets nothing: $DETECTD_REJECTOR__T is set, too"


def test_a_table_and_a_key_in_it_do_not_go_together(load):
    with pytest.raises(ConfigError, match="keep one of them"):
        load(DETECTD_DETECTOR__PARAMS__A="1", DETECTD_DETECTOR__PARAMS__A__B="2")
