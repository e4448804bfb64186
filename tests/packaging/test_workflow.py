"""The forge's workflow: it calls what a person calls, and runs no code that can change under it."""

from __future__ import annotations

import re

import pytest
import yaml

from tests.support.paths import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(params=WORKFLOWS, ids=lambda path: path.stem)
def workflow(request):
    # YAML 1.1 takes the key `on` for true.
    return yaml.safe_load(request.param.read_text(encoding="utf-8"))


def steps(workflow):
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


def test_every_action_is_pinned_by_its_commit(workflow):
    for step in steps(workflow):
        if "uses" in step:
            assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", step["uses"])


def test_it_may_read_and_no_more_and_every_job_ends(workflow):
    assert workflow["permissions"] == {"contents": "read"}
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 60
        assert "permissions" not in job


def test_what_it_runs_is_there(workflow):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.MULTILINE))
    ran = "\n".join(step.get("run", "") for step in steps(workflow))
    called = set(re.findall(r"(?:^|; |&& |\s{2})make ([\w-]+)(?: |$)", ran, re.MULTILINE))
    assert called <= targets
    for script in re.findall(r"^\.[\w./-]+", ran, re.MULTILINE):
        assert (ROOT / script).stat().st_mode & 0o100


def test_vulnerabilities_are_looked_for_every_week_and_at_every_change():
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert {"push", "pull_request", "schedule"} <= set(ci[True])
    assert [step.get("run") for step in ci["jobs"]["audit"]["steps"]][-1] == "make audit"
    assert "if" not in ci["jobs"]["audit"]
