"""What a stranger looks for first: the licence, the targets, the checks before a commit."""

from __future__ import annotations

import hashlib
import re
import subprocess
import tomllib

import pytest
import yaml

from tests.documentation.pages import ROOT, read

PROJECT = tomllib.loads(read(ROOT / "pyproject.toml"))["project"]
MAKEFILE = read(ROOT / "Makefile")
# The Apache License 2.0, word for word, as Debian's base-files has it.
APACHE = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_licence_is_the_same_everywhere():
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    assert PROJECT["authors"] == [{"name": "the detectd authors"}]
    stanzas = read(ROOT / "debian/copyright").split("\n\n")
    assert [re.search("^License: (.*)$", each, re.MULTILINE)[1] for each in stanzas[1:]] == [
        "Apache-2.0",
        "Apache-2.0",
    ]
    assert not any("License ::" in each for each in PROJECT["classifiers"])


def test_help_lists_every_target():
    phony = " ".join(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)).split()
    done = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True)
    listed = [
        line.split()[0] for line in done.stdout.splitlines() if re.match(r"[a-z-]+ +\S", line)
    ]
    assert sorted(listed) == sorted(phony)
    targets = re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE)
    assert sorted(targets) == sorted(phony)


def test_the_prose_is_checked_with_the_rest():
    assert re.search(r"^lint: .*\bprose\b", MAKEFILE, re.MULTILINE)
    assert re.search(r"^check: .*\blint\b", MAKEFILE, re.MULTILINE)


def test_hooks_run_what_is_installed_here():
    (repo,) = yaml.safe_load(read(ROOT / ".pre-commit-config.yaml"))["repos"]
    assert repo["repo"] == "local"
    for hook in repo["hooks"]:
        tool = hook["entry"].split()[0]
        assert tool.startswith(".venv/bin/")
        package = {"lint-imports": "import-linter", "python": "pytest"}
        name = tool.removeprefix(".venv/bin/")
        pinned = rf"^{package.get(name, name)}=="
        assert re.search(pinned, read(ROOT / "requirements/dev.txt"), re.MULTILINE), tool


@pytest.mark.parametrize("target", ["docs", "audit"])
def test_ci_calls_what_a_person_calls(target):
    jobs = yaml.safe_load(read(ROOT / ".github/workflows/ci.yml"))["jobs"]
    assert f"make {target}" in [step.get("run") for step in jobs[target]["steps"]]
