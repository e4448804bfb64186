"""What is installed is pinned by hash, and nothing asks an index for what is not there."""

from __future__ import annotations

import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from detectd import extras
from tests.support.paths import ROOT

PINNED = ROOT / "requirements"
# A requirement with its hashes on lines of their own; a comment says what asks for it.
PIN = re.compile(
    r"^([\w.-]+)==(\S+)(?: ; (.*?))?((?: \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.MULTILINE
)
EVERY = sorted(path.name for path in PINNED.glob("*.txt"))


@cache
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def group(name):
    """The requirements of a dependency group and of those that it includes."""
    found = []
    for each in project()["dependency-groups"][name]:
        found += group(each["include-group"]) if isinstance(each, dict) else [each]
    return found


def asked(*, extra=(), groups=(), project_too=True):
    tables = project()["project"]
    named = [*tables["dependencies"]] if project_too else []
    for name in extra:
        named += tables["optional-dependencies"][name]
    for name in groups:
        named += group(name)
    return [Requirement(each) for each in named]


def pins(name):
    """{name: versions} of a file: more than one where Pythons need different ones."""
    found = {}
    for pinned, version, _, _ in PIN.findall((PINNED / name).read_text(encoding="utf-8")):
        found.setdefault(canonicalize_name(pinned), set()).add(version)
    return found


WANTED = {
    "runtime.txt": lambda: asked(groups=["backend"]),
    "package.txt": lambda: asked(extra=extras.PACKAGED),
    "build.txt": lambda: asked(groups=["build"], project_too=False),
    "docs.txt": lambda: asked(groups=["docs"], project_too=False),
    "tools.txt": lambda: asked(groups=["tools"], project_too=False),
    "fuzz.txt": lambda: asked(groups=["fuzz"], project_too=False),
    "dev.txt": lambda: asked(extra=extras.PACKAGED, groups=["dev", "bench"]),
}


def test_every_file_is_held_against_the_project():
    assert sorted(WANTED) == EVERY


@pytest.mark.parametrize("name", EVERY)
def test_what_the_project_asks_for_is_pinned_in_a_version_that_it_allows(name):
    pinned = pins(name)
    for requirement in WANTED[name]():
        versions = pinned.get(canonicalize_name(requirement.name), set())
        assert versions, f"{requirement} is not in requirements/{name}: make lock"
        ruled_out = [each for each in versions if each not in requirement.specifier]
        assert not ruled_out, f"{requirement} rules out {ruled_out}: make lock"


@pytest.mark.parametrize("name", EVERY)
def test_every_pin_has_a_hash_and_no_line_says_where_to_look(name):
    text = (PINNED / name).read_text(encoding="utf-8")
    rest = re.sub(r"^\s*#.*\n", "", PIN.sub("", text), flags=re.MULTILINE)
    assert not rest.strip(), "neither a pin with its hashes nor a comment"
    assert "://" not in text


@pytest.mark.parametrize("name", [each for each in EVERY if each != "dev.txt"])
def test_tests_run_with_the_versions_that_are_shipped(name):
    tested = pins("dev.txt")
    for pinned, versions in pins(name).items():
        assert tested.get(pinned, versions) == versions, pinned


def test_the_build_backend_is_the_one_that_is_pinned():
    assert group("backend") == project()["build-system"]["requires"]


def test_the_demo_needs_no_tools_of_development():
    tools = {canonicalize_name(Requirement(each).name) for each in [*group("dev"), *group("bench")]}
    own = {canonicalize_name(each.name) for each in WANTED["runtime.txt"]()}
    # Libraries of the service may need one of them themselves.
    needed = {"packaging", "matplotlib"}
    assert not (tools - own - needed) & set(pins("runtime.txt"))


def committed():
    listed = subprocess.run(
        ["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0"):
        path = ROOT / name
        if not name or path == Path(__file__) or not path.is_file() or path.is_symlink():
            continue
        if path.suffix != ".gz":  # what a release has left on disk, for the test of upgrades
            yield name, path.read_text(encoding="utf-8")


def test_no_script_installs_what_is_not_pinned_and_no_text_names_us_to_an_index():
    """`detectd` is on no index: whoever claims the name there would be installed."""
    command = r"\b(?:pip3?|pipx|uv(?: pip| tool)?) +(?:install|add|run|download)"
    claimed = re.compile(command + r"(?: +[^\s'\"`;|&]+)*? +['\"]?detectd\b(?![-_/])")
    extra = re.compile(r"(?<![\w.])detectd\[\w")
    for name, text in committed():
        assert not claimed.search(text), f"{name}: {claimed.search(text)}"
        assert not extra.search(text), f"{name}: {extra.search(text)}"
    for name in ("Makefile", "Containerfile", ".ci/run", "packaging/deb", "packaging/environment"):
        text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(
            r"^(?!PIP := )[^#\n]*pip.? install.*|^.*\$\(PIP\) .*|^.*\"\$\{into.*",
            text,
            re.MULTILINE,
        ):
            assert "--require-hashes" in line or "--no-deps" in line, f"{name}: {line}"


def test_secrets_lie_in_one_directory_everywhere():
    handed = re.compile(r"LoadCredential=[\w-]+:(\S+)")
    named = [(name, path) for name, text in committed() for path in handed.findall(text)]
    assert {name for name, _ in named} >= {"docs/how-to/systemd.md", "systemd/detectd@.service"}
    assert [each for each in named if not each[1].startswith("/etc/detectd/secrets/")] == []


def test_an_error_says_how_to_get_what_is_optional():
    for extra in project()["project"]["optional-dependencies"]:
        said = extras.how_to_get(extra)
        assert f"pip install '.[{extra}]'" in said
        assert ("image have it" in said) == (extra in extras.PACKAGED)
