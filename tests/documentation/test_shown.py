"""What a page shows is so: commands, configurations, keys, metrics and figures."""

from __future__ import annotations

import json
import re
import shlex
import tomllib

import pytest

from detectd import errors
from detectd.commands import COMMANDS
from detectd.detectors.kernels import MODULES
from detectd.features.catalogue import CATALOGUE
from detectd.features.declaring import declare
from detectd.features.description import describe
from detectd.features.learnt import LEARNT
from detectd.settings import Settings
from detectd.settings.loader import settle
from detectd.sinks import delivery
from detectd.telemetry.metrics import METRICS
from tests.documentation.pages import DOCS, PAGES, ROOT, blocks, built, name, prose

README = ROOT / "README.md"
INSTANCE = re.compile(
    r"^(?:sudo )?(?:-u detectd )?(?:docker compose exec \w+ |kubectl exec \w+ -- )?"
)
GROUPS = {command.split()[0] for command in COMMANDS}
FRAGMENT = {
    "source": {"kind": "file", "path": "events.jsonl"},
    "sink": {"kind": "file", "directory": "verdicts"},
    "event": {"features": ["cpu"]},
}


def read(path):
    return path.read_text(encoding="utf-8")


def commands(text):
    """Every command line of detectd that a page shows: in blocks, and whole in its sentences."""
    lines = [
        line
        for block in blocks(text)
        if block.language in {"", "sh", "text", "console"}
        for line in block.text.replace("\\\n", " ").splitlines()
    ]
    spans = re.findall(r"`([^`]+)`", prose(text).replace("\\|", "|"))
    for line in [*lines, *(" ".join(span.split()) for span in spans)]:
        for part in re.split(r" \| ", line.strip().removeprefix("$ ")):
            command = INSTANCE.sub("", part.strip())
            if re.match(r"detectd [a-z]", command):
                yield re.sub(r"\s+#.*", "", command)


def is_syntax(command):
    """A synopsis, or the name of a command without its arguments, is not a command line."""
    words = command.split()
    named = " ".join(words[1:]) in COMMANDS or (len(words) == 2 and words[1] in GROUPS)
    return named or "[" in command or "…" in command or bool(re.search(r"\w\|\w", command))


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_command_on_a_page_is_one(page):
    from walk import command_line

    known = command_line()
    for command in commands(read(page)):
        if is_syntax(command):
            words = re.split(r"[\s|]", command)
            assert words[1] in GROUPS, f"{name(page)}: {command}"
            continue
        try:
            known.parse_args(shlex.split(command)[1:])
        except SystemExit:
            pytest.fail(f"{name(page)}: {command}")


def test_commands_are_found_wherever_they_stand():
    text = "`sudo -u detectd detectd check --connect`\n\n```sh\ndetectd run | jq .  # all\n```\n"
    assert list(commands(text)) == ["detectd run", "detectd check --connect"]


def test_every_command_and_option_is_on_the_page_of_commands():
    from walk import actions, command_line, leaves

    page = DOCS / "reference/cli.md"
    for command in COMMANDS:
        group, _, action = command.rpartition(" ")
        assert f"`detectd {group or action}" in read(page)
        assert action in read(page)
    whole = built(page)
    for leaf in leaves(command_line()):
        section = whole.partition(f"\n## {leaf.prog}\n")[2].partition("\n## ")[0]
        assert section, leaf.prog
        for each in actions(leaf):
            for option in each.option_strings:
                assert f"`{option}" in section or each.dest in {"help", "debug", "config"}


def test_every_key_is_on_the_page_of_the_configuration():
    whole = built(DOCS / "reference/configuration.md")
    for section, field in Settings.model_fields.items():
        for key in field.annotation.model_fields:
            there = f'id="{section}.{key}"' in whole or f"## [{section}.{key}]" in whole
            assert there, f"{section}.{key}"


def shown_settings():
    for page in PAGES:
        text = built(page) if page.is_relative_to(DOCS) else read(page)
        for block in blocks(text):
            if block.language == "toml":
                yield pytest.param(block.text, id=f"{name(page)}: {block.text.splitlines()[0]}")


@pytest.mark.parametrize("text", [*shown_settings()])
def test_every_configuration_on_a_page_loads(text):
    """A part of one, as part of a small one."""
    written = tomllib.loads(text)
    whole = dict(FRAGMENT)
    for section, table in written.items():
        known = whole.get(section, {})
        whole[section] = table if "kind" in table else known | table
    settle(whole, "page")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_object_on_a_page_is_json(page):
    for block in blocks(read(page)):
        if block.language == "json":
            json.loads(block.text)


# Those of Kafka and of other programs, and files.
FOREIGN = {"source.csv"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_key_that_a_page_names_is_one(page):
    sections = "|".join(Settings.model_fields)
    for section, key in re.findall(rf"`({sections})\.([a-z_A-Z]+)(?: = [^`]*)?`", read(page)):
        if f"{section}.{key}" in FOREIGN:
            continue
        source = "\n".join(read(path) for path in (ROOT / "detectd").rglob("*.py"))
        known = key in Settings.model_fields[section].annotation.model_fields
        assert known or f'"{section}.{key}"' in source, f"{name(page)}: {section}.{key}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_metric_that_a_page_names_is_one(page):
    named = set(re.findall(r"`(detectd_[a-z_]+)(?:\{[^`]*)?`", read(page)))
    assert named <= {metric.name for metric in METRICS}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_file_of_the_source_that_a_page_names_is_there(page):
    tops = "detectd|tests|packaging|dashboards|benchmarks|config|systemd|requirements|docs"
    for path in re.findall(rf"`((?:{tops})/[\w./*@-]*)`", read(page)):
        assert any(ROOT.glob(path)), f"{name(page)}: {path}"


def test_the_folders_of_the_architecture_are_there():
    table = read(DOCS / "explanation/architecture.md").partition("| folder today |")[2]
    named = re.findall(r"`([\w/]+(?:/|\.py))`", table.partition("## ")[0])
    assert len(named) > 12
    assert [path for path in named if not (ROOT / "detectd" / path).exists()] == []


def test_every_exit_code_is_on_its_page():
    codes = {kind.exit_code for kind in vars(errors).values() if hasattr(kind, "exit_code")}
    listed = re.findall(r"^\| (\d+) \|", read(DOCS / "reference/exit-codes.md"), re.MULTILINE)
    assert set(map(int, listed)) == {0} | codes


def test_the_guarantees_are_those_that_check_prints():
    page = read(DOCS / "reference/delivery.md")
    for (source, sink), how in delivery.EXACTLY_ONCE.items():
        pair = f"{source} to {sink}".replace("kafka", "Kafka")
        assert f"| {pair} | {how.replace('a group', 'per group')} |".lower() in page.lower()
    table = page.partition("| from")[2].splitlines()
    for row in table[2:5]:
        source, *cells = (cell.strip().lower() for cell in row.strip("|").split("|"))
        for sink, cell in zip(("file", "kafka", "stdout"), cells, strict=True):
            assert cell in delivery.guarantee(source, sink)


def test_the_kernels_are_those_that_there_are():
    row = re.search(r"by a kernel of detectd.*\| (.*) \|", read(DOCS / "reference/detectors.md"))
    assert row[1].split(", ") == sorted(MODULES)


def test_the_functions_of_a_key_are_those_that_there_are():
    page = read(DOCS / "how-to/key-features.md")
    table = page.partition("<!-- functions -->")[2].partition("<!-- /functions -->")[0]
    shown = set()
    for row in table.strip().splitlines()[2:]:
        example, _, parameters, whole, size = (cell.strip() for cell in row.strip("|").split("|"))
        table_of_it = tomllib.loads(f"it = {example.strip('`')}")["it"]
        feature = declare(table_of_it)
        amount = f"{size} bytes per key"
        assert next(describe([feature], "time")).endswith(
            f"complete after {whole} of a key; {amount}"
        )
        taken = {each.name for each in CATALOGUE[feature.fn].parameters}
        named = set(re.findall(r"`([a-z_]+)`", parameters))
        assert named == taken or (not parameters and feature.fn in shown), example
        shown.add(feature.fn)
    assert shown == set(CATALOGUE)
    assert all(f'fn = "{fn}"' in page for fn in LEARNT)


def test_the_readme_is_short_and_its_figures_are_those_of_the_benchmarks():
    text = read(README)
    assert len(text.split()) <= 1000
    assert "\nmake demo " in text
    assert "\nmake test " in text
    rows = re.findall(r"^\| (.*) × \|$", text, re.MULTILINE)
    assert len(rows) == 5
    for row in rows:
        assert f"| {row} × |" in read(DOCS / "benchmarks/index.md"), row


def test_the_readme_shows_what_the_pages_show():
    shown = {block.text for block in blocks(read(DOCS / "reference/output-records.md"))}
    assert {block.text for block in blocks(read(README)) if block.language == "json"} <= shown
