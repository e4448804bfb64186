import os
import re
import tomllib

import pytest

from detectd import derive
from detectd.errors import ConfigError
from detectd.features.catalogue import CATALOGUE
from detectd.features.declaring import declare
from detectd.features.learnt import LEARNT
from detectd.settings import Settings
from detectd.settings.loader import load
from tests.support.paths import ROOT

GOOD = """\
[source]
kind = "file"
path = "events.jsonl"
[sink]
kind = "stdout"
[event]
features = ["a", "b"]
"""


@pytest.fixture(autouse=True)
def no_inherited_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("DETECTD_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def write(tmp_path):
    def write_config(text):
        path = tmp_path / "detectd.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write_config


def mistakes(path):
    with pytest.raises(ConfigError) as refused:
        load(path)
    return str(refused.value).splitlines()


def test_the_smallest_configuration_is_enough(write):
    settings = load(write(GOOD))
    assert settings.source.path.name == "events.jsonl"
    assert settings.event.features == ("a", "b")
    assert settings.rejector.T is None


@pytest.mark.parametrize(
    ("old", "new", "key", "mend"),
    [
        ('kind = "stdout"', 'kind = "stdot"', "sink.kind", "'file', 'stdout' or 'kafka'"),
        ('kind = "stdout"', 'kind = "file"', "sink", "needs directory"),
        ('path = "events.jsonl"', "", "source", "needs path"),
        ('kind = "file"\npath = "events.jsonl"', 'kind = "kafka"', "source", "needs topics"),
        ('path = "events.jsonl"', 'pth = "x"', "source.pth", "did you mean path?"),
        ('path = "events.jsonl"', "path = 7", "source.path", "path"),
        ('["a", "b"]', "[]", "event.features", "at least one"),
        ('["a", "b"]', '["a", "b", "a"]', "event.features", "'a' is listed twice"),
        ('["a", "b"]', '"a"', "event.features", "must be a list"),
        ('["a", "b"]', '["a", 3]', "event.features[1]", "must be text"),
        (
            'path = "events.jsonl"',
            'path = "events.jsonl.gz"\nfollow = true',
            "source",
            "set follow = false",
        ),
        (
            'kind = "file"\npath = "events.jsonl"\n[sink]\nkind = "stdout"',
            'kind = "kafka"\ntopics = ["detectd.normal"]\n[sink]\nkind = "kafka"',
            "source.topics",
            "also an output",
        ),
        ("[event]", "[evnt]", "evnt", "did you mean event?"),
        ("[event]", "[source.extra]\nx = 1\n[event]", "source.extra", "unknown key"),
    ],
)
def test_a_mistake_names_file_key_and_mend(write, old, new, key, mend):
    assert old in GOOD
    path = write(GOOD.replace(old, new, 1))
    line = next(line for line in mistakes(path) if f" {key}:" in line)
    assert line.startswith(f"{path}: {key}: ")
    assert mend in line


@pytest.mark.parametrize(
    ("added", "key", "mend"),
    [
        ("[rejector]\nT = 0.69", "rejector.T", "greater than"),
        ("[rejector]\nT = inf", "rejector.T", "must be a finite number (it is Infinity)"),
        ('[rejector]\nT = "32"', "rejector.T", "without quotes"),
        ("[rejector]\nT = 32\nmax_abstain_rate = 0.1", "rejector", "both set"),
        ("[rejector]\nmax_abstain_rate = 1.0", "rejector.max_abstain_rate", "less than 1"),
        ("[rejector]\ndelta = 0", "rejector.delta", "greater than 0"),
        ("[rejector]\ncost_rejection = -1", "rejector.cost_rejection", "must be at least 0"),
        ("[keys]\nmax = 50000000", "keys.max", "must be at most 10,000,000 (it is 50,000,000)"),
        ("[keys]\nmax = -5", "keys.max", "must be at least"),
        (
            '[output]\nexplain = "maybe"',
            "output.explain",
            'must be true or false, without quotes (it is "maybe")',
        ),
        ("[detector]\ncontamination = 0.6", "detector.contamination", "a number in (0, 0.5]"),
        ("[detector]\ncontamination = 0.0", "detector.contamination", "a number in (0, 0.5]"),
        ("[detector]\ncontamination = nan", "detector.contamination", "it is NaN"),
        ('[detector]\nseed = "7"', "detector.seed", "without quotes"),
        ("[detector]\nseed = true", "detector.seed", "whole number"),
        ("[detector]\nseed = -1", "detector.seed", "must be at least 0 (it is -1)"),
        ("[detector]\nparams = 3", "detector.params", "table"),
        ('[topics]\nnormal = "x"\nanomaly = "x"', "topics", "different names"),
        ("[training]\nwarmup = 1", "training.warmup", "must be at least 2 events (it is 1)"),
        ("[training]\nwarmup = 10.5", "training.warmup", "whole number"),
        ('[calibration]\nmethod = "split"', "calibration.method", "'holdout', 'cross'"),
        ("[calibration]\nfraction = 1", "calibration.fraction", "less than 1"),
        ('[models]\ndirectory = ["x"]', "models.directory", "path"),
        ('[log]\nlevel = "loud"', "log.level", "'debug', 'info'"),
        ("[kafka]\nbootstrap_servers = []", "kafka.bootstrap_servers", "at least one"),
        ('[kafka]\nssl_ca_file = "ca.pem"', "kafka", 'need security_protocol = "SSL"'),
        ('[kafka]\nsecurity_protocol = "SASL_SSL"', "kafka", "sasl_mechanism goes with"),
        ('[kafka]\nsasl_mechanism = "PLAIN"', "kafka", "sasl_mechanism goes with"),
        (
            '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "PLAIN"',
            "kafka",
            "needs sasl_username, sasl_password_file",
        ),
        (
            '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_mechanism = "OAUTHBEARER"',
            "kafka",
            "either sasl_token_file or sasl_token_url",
        ),
        (
            '[kafka]\nsecurity_protocol = "SSL"\nssl_certificate_file = "me.pem"',
            "kafka",
            "go together",
        ),
        (
            "[kafka]\ntransaction_timeout_seconds = 200",
            "kafka",
            "at most half of max_poll_interval_seconds",
        ),
        ('[kafka]\ndelivery = "at_least_once"', "kafka.delivery", "needs Kafka at both ends"),
        ('[output]\nvalue = "original"', "output.value", 'set "envelope"'),
        ('[schema_registry]\nusername = "x"', "schema_registry", "go together"),
        ('[source.csv]\ndelimiter = ";;"', "source.csv.delimiter", "one character"),
        ("[source.csv]\ndelimiter = '\\t'", "source.csv.delimiter", '"\\t" in double quotes'),
        ('[source.csv]\ndelimiter = "x"', "source.csv.delimiter", "one character"),
        ('[source.csv]\nencoding = "latin-l"', "source.csv.encoding", "is not a known encoding"),
        ('[source.csv]\nencoding = "utf-16"', "source.csv.encoding", "convert the file to UTF-8"),
        ('[source.csv]\nencoding = "base64"', "source.csv.encoding", "convert the file to UTF-8"),
        ('[source.csv]\ncolumns = ["a", "b", "a"]', "source.csv.columns", "listed twice"),
        ('[source.csv]\ncolumns = ["A", "b"]', "source.csv.columns", "did you mean 'A'?"),
        ('[source.csv]\ndelimitr = ";"', "source.csv.delimitr", "did you mean delimiter?"),
        ("log = 3", "log", "table"),
        ("colour = 3", "colour", "unknown key"),
    ],
)
def test_a_bad_value_names_file_key_and_mend(write, added, key, mend):
    top_level = "[" not in added.splitlines()[0]
    path = write(f"{added}\n{GOOD}" if top_level else f"{GOOD}\n{added}")
    lines = mistakes(path)
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}: {key}: ")
    assert mend in lines[0]


@pytest.mark.parametrize("text", ["7d", "36h", "90m", "1w", "1.5d", "60s"])
def test_a_warm_up_may_last_a_span(write, monkeypatch, text):
    timed = GOOD + 'timestamp = "ts"\n'
    asked = load(write(f'{timed}[training]\nwarmup = "{text}"')).training
    assert asked.warmup == text
    assert asked.warmup_span_ms >= 60_000
    assert asked.warmup_rows == asked.window
    monkeypatch.setenv("DETECTD_TRAINING__WARMUP", text)
    assert load(write(timed)).training.warmup == text
    monkeypatch.setenv("DETECTD_TRAINING__WARMUP", "500")
    assert load(write(timed)).training.warmup == 500


def test_every_rule_between_sections_gets_its_line(write):
    asked = '[keys]\nsilent_after = "5m"\nroutine = true\n[calibration]\nby_key = true\n'
    path = write(GOOD + asked + '[output]\nvalue = "original"\n[training]\nwarmup = "7d"')
    lines = mistakes(path)
    assert all(line.startswith(f"{path}: ") for line in lines)
    field = "to the field that holds it"
    assert [line.removeprefix(f"{path}: ") for line in lines] == [
        'output.value: "original" puts the verdict in headers, and a stdout sink has none; set '
        '"envelope"',
        f'training.warmup: "7d" is a span of event time; set event.timestamp {field}, or give a '
        "number of events",
        f"keys.silent_after: needs the event's time; set event.timestamp {field}",
        f"keys.routine: needs the event's time; set event.timestamp {field}",
        f"calibration.by_key: needs a key; set event.key {field}",
        f"keys.silent_after: needs a key; set event.key {field}",
        f"keys.routine: needs a key; set event.key {field}",
        "keys.silent_after: silences are written as alerts; set topics.alerts to a topic (with "
        "files any name: they go to alerts.jsonl)",
    ]


def test_every_mistake_gets_its_line(write):
    lines = mistakes(write(GOOD + "[log]\nlevel = 3\ncolour = 1\n[training]\nwarmup = 0"))
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[source\nkind = 1", "not TOML"),
        (b"[source]\nkind = 1\nkind = 2", "not TOML"),
        (b"[source]\nkind = '\xff'", "not UTF-8 text (line 2, byte 17); save it as UTF-8"),
        (GOOD.encode("utf-16"), "not UTF-8 text but UTF-16; save it as UTF-8"),
        (GOOD.encode("utf-16-be"), "not UTF-8 text but UTF-16 or binary"),
        (GOOD.encode("utf-32"), "not UTF-8 text but UTF-32; save it as UTF-8"),
        (b"\x1f\x8b\x08\x00", "not UTF-8 text but UTF-16 or binary"),
    ],
)
def test_a_file_that_is_not_toml_says_so(tmp_path, content, words):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    (line,) = mistakes(path)
    assert line.startswith(f"{path}: {words}")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_byte_order_mark_is_no_part_of_the_configuration(tmp_path, line_end):
    path = tmp_path / "marked.toml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", line_end).encode())
    assert load(path).event.features == ("a", "b")


def test_a_missing_file_and_a_directory_are_named(tmp_path):
    assert "does not exist" in mistakes(tmp_path / "none.toml")[0]
    assert "cannot be read" in mistakes(tmp_path)[0]


@pytest.mark.parametrize(
    ("configured", "path", "expected"),
    [
        ("auto", "a.csv", "csv"),
        ("auto", "a.csv.gz", "csv"),
        ("auto", "a.jsonl.1", "json"),
        ("auto", "a.log", "json"),
        ("csv", "a.log", "csv"),
        ("csv", "a.jsonl", "json"),  # the name of another file than the source's
        ("csv", "events.jsonl", "csv"),  # the source's own
    ],
)
def test_the_format_of_a_file_is_its_names_or_as_configured(write, configured, path, expected):
    settings = load(write(GOOD.replace("[sink]", f'format = "{configured}"\n[sink]')))
    assert settings.source.row_format(settings.source.path.with_name(path)) == expected


def test_the_environment_overrides_the_file(write, monkeypatch):
    monkeypatch.setenv("DETECTD_REJECTOR__T", "40")
    monkeypatch.setenv("DETECTD_EVENT__FEATURES", '["c"]')
    monkeypatch.setenv("DETECTD_SOURCE__FOLLOW", "true")
    settings = load(write(GOOD + "[rejector]\nT = 12"))
    assert settings.rejector.T == 40
    assert settings.event.features == ("c",)
    assert settings.source.follow


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("DETECTD_REJECTOR__T", "x", 'rejector.T: must be a number (it is "x")'),
        ("DETECTD_EVENT__FEATURES", "a,b", "written as JSON"),
        ("DETECTD_EVENT__FEATURES", '"a"', "written as JSON"),
        ("DETECTD_EVENT__FEATURES", '["a", 1]', "event.features[1]: must be text"),
        ("DETECTD_DETECTOR__PARAMS", "x=1", "written as JSON"),
        ("DETECTD_LOG", "debug", "better set its keys"),
        ("DETECTD_DETECTOR__CONTAMINATION", "0.7", "a number in (0, 0.5]"),
        ("DETECTD_DETECTOR__CONTAMINATION", "guess", '(it is "guess")'),
        ("detectd_rejector__t", "x", 'rejector.T: must be a number (it is "x")'),
    ],
)
def test_a_mistake_in_the_environment_names_the_variable(
    write, monkeypatch, variable, value, words
):
    monkeypatch.setenv(variable, value)
    (line,) = mistakes(write(GOOD))
    assert line.startswith(f"${variable}: ")
    assert words in line


@pytest.mark.parametrize("value", ["1.5", "0.0", "-1", "true", '"2"'])
def test_a_cap_of_what_may_be_missing_is_a_number_or_a_share(write, value):
    text = GOOD + f'missing = "median"\nmax_missing = {value}'
    (line,) = mistakes(write(text))
    assert "event.max_missing: must be a number of features" in line


@pytest.mark.parametrize(("value", "most"), [("0", 0), ("2", 2), ("0.5", 1), ("0.29", 0)])
def test_a_share_of_features_is_rounded_down(write, value, most):
    settings = load(write(GOOD + f'missing = "median"\nmax_missing = {value}'))
    assert derive.schema(settings).max_missing == most
    assert derive.schema(settings).imputable == min(most, 1)


def test_a_cap_without_medians_is_a_mistake(write):
    assert (
        'max_missing caps what missing = "median" imputes'
        in mistakes(write(GOOD + "max_missing = 1"))[0]
    )


def test_the_environment_reaches_into_csv(write, monkeypatch):
    monkeypatch.setenv("DETECTD_SOURCE__CSV__DELIMITER", "\t")
    monkeypatch.setenv("DETECTD_EVENT__MAX_MISSING", "0.5")
    monkeypatch.setenv("DETECTD_EVENT__MISSING", "median")
    settings = load(write(GOOD + "[source.csv]\ndecimal = ','"))
    assert (settings.source.csv.delimiter, settings.source.csv.decimal) == ("\t", ",")
    assert settings.event.max_missing == 0.5


def test_the_reference_names_every_key_and_the_defaults():
    path = ROOT / "config" / "reference.toml"
    text = path.read_text(encoding="utf-8")
    settings = load(path)
    asked = {"source": settings.source, "sink": settings.sink, "event": settings.event}
    plain = Settings(**asked, models={"directory": path.parent / "models"})
    assert settings == plain
    for section, field in Settings.model_fields.items():
        assert f"[{section}]" in text
        body = text.split(f"[{section}]")[1].split("\n[")[0]
        for key in field.annotation.model_fields:
            assert f"{key} = " in body or f"[{section}.{key}]" in text, f"{section}.{key}"


def test_the_reference_declares_every_function_of_a_key_as_one_may():
    text = (ROOT / "config" / "reference.toml").read_text(encoding="utf-8")
    shown = re.findall(r"^#   (\{.*?\})", text, re.MULTILINE)
    declared = {declare(tomllib.loads(f"it = {each}")["it"]).fn for each in shown}
    assert declared | {"std", "min", "max", "trend", "shingle", "quantile", "diff"} == {
        *CATALOGUE,
        *LEARNT,
    }


@pytest.mark.parametrize("path", sorted((ROOT / "config").glob("*.toml")), ids=lambda p: p.stem)
def test_every_example_is_a_good_configuration(path):
    load(path)
