"""The wheel: built, installed into an environment of its own, and run from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.support.paths import ROOT


def run(*command, **options):
    done = subprocess.run(
        [*map(str, command)], text=True, capture_output=True, timeout=240, **options
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", dist, ROOT)
    (built,) = dist.glob("detectd-*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The command, in a new environment; the libraries are those of the tests, behind it."""
    home = tmp_path_factory.mktemp("venv")
    run(sys.executable, "-m", "venv", "--without-pip", home)
    pip = (sys.executable, "-m", "pip", "--python", home / "bin" / "python")
    run(*pip, "install", "--quiet", "--no-deps", "--no-compile", wheel)
    theirs = sysconfig.get_path("purelib", vars={"base": str(home), "platbase": str(home)})
    (Path(theirs) / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    return home / "bin" / "detectd"


def test_the_wheel_has_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].split("-")[0] for name in names} == {"detectd"}
    assert "detectd/py.typed" in names
    for name in ("reference.toml", "schema.json"):
        with zipfile.ZipFile(wheel) as built:
            assert built.read(f"detectd/share/{name}") == (ROOT / "config" / name).read_bytes()
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "detectd").rglob("*.py")}
    assert ours <= set(names)


def test_it_runs_from_any_directory(installed, tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("DETECTD_", "PYTHON"))}
    here = {"cwd": tmp_path, "env": environment}
    where = run(
        installed.with_name("python"), "-c", "import detectd; print(detectd.__file__)", **here
    )
    assert Path(where).is_relative_to(installed.parents[1])
    assert run(installed, "--version", **here).startswith("detectd ")
    begun = run(installed, "init", "-o", "first.toml", **here)
    (reference,) = re.findall(r"with its default: (.*)", begun)
    assert Path(reference).read_bytes() == (ROOT / "config" / "reference.toml").read_bytes()
    assert Path(reference).is_relative_to(installed.parents[1])
    shown = run(installed, "demo", "--events", "2000", "--directory", "demo", **here)
    assert "abstained" in shown
    checked = run(installed, "check", "--config", tmp_path / "demo" / "detectd.toml", **here)
    assert "exactly once" in checked


def test_a_checkout_is_installed_by_the_build_backend_alone(tmp_path):
    """`make demo` installs it with no package that is not pinned in requirements/runtime.txt."""
    code = """
import sys
sys.modules["editables"] = None
from hatchling import build
print(build.build_editable(sys.argv[1]))
"""
    name = run(sys.executable, "-c", code, tmp_path, cwd=ROOT).strip()
    with zipfile.ZipFile(tmp_path / name) as built:
        (path,) = [each for each in built.namelist() if each.endswith(".pth")]
        assert built.read(path).decode().split() == [str(ROOT)]
