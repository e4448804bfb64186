"""Whose directories models, outputs and compiled code may lie in, and how they are made."""

import grp
import os
import pwd
import stat
import subprocess
import sys
from types import SimpleNamespace

import pytest

from detectd import jit
from detectd.errors import ConfigError, UsageError
from detectd.filesystem import atomic_files, owners, private_directories, umask
from detectd.filesystem.result_file import write_result
from detectd.models.store import Store
from detectd.sinks.file import FileSink
from detectd.sinks.output_file import Output

ATTACKER = 4001

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes files of other users")


@pytest.fixture(autouse=True)
def _fresh():
    """What is known of users and groups is kept for a process; each test has its own."""
    caches = (owners.trusted, owners.anonymous, owners._others)
    for each in caches:
        each.cache_clear()
    yield
    for each in caches:
        each.cache_clear()


def give(path, owner=ATTACKER, group=-1):
    os.chown(path, owner, group, follow_symlinks=False)
    return path


def refused(place):
    try:
        private_directories.require_private("models.directory", place)
    except ConfigError as why:
        return str(why)
    return None


@needs_root
def test_a_directory_of_another_user_is_refused_wherever_it_is_on_the_way(tmp_path):
    place = tmp_path / "a" / "b" / "c"
    place.mkdir(parents=True)
    assert refused(place) is None
    for part in (place, place.parent, place.parent.parent):
        give(part)
        said = refused(place)
        assert f"{part} belongs to uid {ATTACKER}" in said
        assert f"chown {os.geteuid()} {part}" in said
        assert "paths.check_owners = false" in said
        assert refused(place / "to" / "come") == said
        give(part, 0)


def test_a_directory_that_everybody_can_write_to_is_refused_unless_it_is_sticky(tmp_path):
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    place.parent.chmod(0o777)
    assert f"chmod go-w {place.parent}" in refused(place)
    place.parent.chmod(0o1777)
    assert refused(place) is None
    # Whoever can create files in the directory itself can hold its locks.
    assert "is writable by any user" in refused(place.parent)


@needs_root
def test_a_link_of_another_user_is_refused_and_one_of_root_is_not(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real")
    assert refused(link) is None
    give(link)
    assert f"{link} is a symbolic link owned by uid {ATTACKER}" in refused(link)
    assert refused(link / "to come")


@pytest.mark.parametrize(
    ("named", "members", "ours", "said"),
    [
        (False, (), True, None),  # fsGroup of Kubernetes: a number of this process alone
        (False, (), False, "by other processes"),
        (True, (), False, None),
        (True, ("root",), True, None),
        (True, ("mallory",), True, "by mallory"),
    ],
)
def test_a_group_may_write_if_only_we_are_in_it(tmp_path, monkeypatch, named, members, ours, said):
    tmp_path.chmod(0o2770)
    group = tmp_path.stat().st_gid
    account = SimpleNamespace(pw_name="mallory", pw_uid=ATTACKER, pw_gid=ATTACKER)

    def by_number(number):
        if not named:
            raise KeyError(number)
        return SimpleNamespace(gr_name="team", gr_mem=list(members))

    def by_name(name):
        return account if name == "mallory" else SimpleNamespace(pw_uid=0)

    monkeypatch.setattr(grp, "getgrgid", by_number)
    monkeypatch.setattr(pwd, "getpwnam", by_name)
    monkeypatch.setattr(pwd, "getpwall", lambda: [account])
    monkeypatch.setattr(os, "getgroups", lambda: [group] if ours else [])
    monkeypatch.setattr(os, "getegid", lambda: group if ours else group + 1)
    flaw = owners.flaw(tmp_path.stat())
    assert flaw is said is None or said in flaw


@needs_root
def test_members_by_their_first_group_count(tmp_path, monkeypatch):
    nobody = pwd.getpwnam("nobody")
    give(tmp_path, 0, nobody.pw_gid).chmod(0o770)
    assert "is writable by its group nogroup, and so by" in owners.flaw(tmp_path.stat())


def test_users_without_a_number_of_their_own_are_known_by_the_map(monkeypatch):
    files = {"self/uid_map": "  0  0  4294967295\n", "sys/kernel/overflowuid": "65534\n"}
    monkeypatch.setattr(owners, "_proc", files.__getitem__)
    assert owners.anonymous() is None
    owners.anonymous.cache_clear()
    files["self/uid_map"] = "  0  100000  65536\n"
    assert owners.anonymous() == 65534
    assert "an unknown user" in owners.name(65534)


# What is made there


def test_what_is_missing_is_made_with_the_mode_asked(tmp_path):
    place = tmp_path / "a" / "b"
    private_directories.make("models.directory", place, 0o700)
    private_directories.make("models.directory", place, 0o700)
    assert [stat.S_IMODE(each.stat().st_mode) for each in (place, place.parent)] == [0o700] * 2


@needs_root
def test_nothing_is_made_through_a_link_of_another_user(tmp_path):
    (tmp_path / "victim").mkdir()
    link = tmp_path / "link"
    link.symlink_to("victim")
    give(link)
    with pytest.raises(ConfigError):
        private_directories.make("models.directory", link / "models", 0o700)
    assert not list((tmp_path / "victim").iterdir())


@needs_root
def test_a_planted_directory_of_outputs_changes_no_file_of_a_victim(tmp_path):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    planted = tmp_path / "out"
    planted.mkdir()
    (planted / "normal.jsonl").symlink_to(victim)
    give(planted / "normal.jsonl")
    give(planted)
    sink = FileSink(planted)
    with pytest.raises(ConfigError, match=f"{planted} belongs to uid {ATTACKER}"):
        sink.open()
    sink.close()
    with pytest.raises(ConfigError, match="symbolic link owned by another user"):
        Output(planted / "normal.jsonl")
    assert victim.read_bytes() == b"precious"


@needs_root
def test_a_planted_store_is_not_loaded_from(tmp_path):
    (tmp_path / "theirs").mkdir()
    give(tmp_path / "theirs")
    link = give_link(tmp_path / "models", "theirs")
    store = Store(link)
    for act in (store.make, lambda: store.load("any")):
        with pytest.raises(ConfigError, match="symbolic link owned by"):
            act()


def give_link(place, target):
    place.symlink_to(target)
    return give(place)


def test_locks_can_be_held_by_nobody_else(tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").write_bytes(b"")
    (out / ".lock").chmod(0o640)  # as earlier versions made it
    sink = FileSink(out)
    sink.open()
    sink.close()
    assert stat.S_IMODE((out / ".lock").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("given", "outputs", "directory"),
    [(0o000, "640", "750"), (0o027, "640", "750"), (0o077, "600", "700")],
)
def test_outputs_are_readable_as_the_umask_allows_and_all_else_is_ours(
    tmp_path, monkeypatch, given, outputs, directory
):
    monkeypatch.setattr(umask, "_given", None)
    before = os.umask(given)
    try:
        umask.restrict()
        sink = FileSink(tmp_path / "out")
        sink.open()
        sink.close()
        Store(tmp_path / "models").make()
        (tmp_path / "other").touch()
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): f"{stat.S_IMODE(path.stat().st_mode):o}"
        for path in tmp_path.rglob("*")
    }
    assert modes["out"] == directory
    assert modes["models"] == "700"
    assert modes["other"] == modes["out/.lock"] == "600"
    assert modes["out/normal.jsonl"] == modes["out/checkpoint.json"] == outputs


def test_a_file_is_never_written_over_one_that_is_there(tmp_path):
    (tmp_path / "planted").symlink_to("victim")
    with pytest.raises(FileExistsError):
        atomic_files.write(tmp_path / "planted", b"content")
    assert not (tmp_path / "victim").exists()


# -o


@needs_root
def test_a_result_is_not_written_through_a_link_of_another_user(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    link = give_link(tmp_path / "report.html", victim)
    with pytest.raises(UsageError, match=f"symbolic link owned by uid {ATTACKER}"):
        write_result(link, "report")
    assert victim.read_text() == "precious"
    give(link, 0)
    write_result(link, "report")
    assert victim.read_text() == "report"


@needs_root
def test_a_result_is_not_written_into_a_file_that_another_user_has_laid_out_for_it(tmp_path):
    (tmp_path / "report.html").touch()
    give(tmp_path / "report.html")
    write_result(tmp_path / "report.html", "theirs to read, in a directory of ours")
    tmp_path.chmod(0o1777)
    with pytest.raises(UsageError, match="any user could have created it"):
        write_result(tmp_path / "report.html", "report")


def test_a_result_replaces_what_a_file_held_and_goes_to_pipes_too(tmp_path):
    place = tmp_path / "report.json"
    for text in ("a longer one", "short"):
        write_result(place, text)
        assert place.read_text() == text
    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:
        write_result(place.__class__(f"/dev/fd/{writing}"), "piped")
        os.close(writing)
        assert pipe.read() == "piped"
    os.mkfifo(tmp_path / "nobody reads")
    with pytest.raises(UsageError, match="nobody reads"):
        write_result(tmp_path / "nobody reads", "text")
    with pytest.raises(UsageError, match="directory"):
        write_result(tmp_path, "text")
    assert umask._given is None


# Compiled code

JIT = """
from detectd import jit
from detectd.pipeline import nesting
nesting._scan()
print(*jit.refused, sep="\\n")
"""


def refusal(directory):
    done = subprocess.run(
        [sys.executable, "-c", JIT],
        env={
            **os.environ,
            "NUMBA_CACHE_DIR": str(directory),
            "NUMBA_CACHE_LOCATOR_CLASSES": "UserProvidedCacheLocator",
        },
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_compiled_code_that_others_could_have_written_is_not_run(tmp_path, monkeypatch):
    assert refusal(tmp_path) == ""
    (cache,) = tmp_path.iterdir()
    (cache / "kernels.nbi").write_bytes(b"a pickle")
    (cache / "kernels.nbi").chmod(0o666)
    said = refusal(tmp_path)
    assert "kernels are compiled at every start" in said
    assert f"{cache}/kernels.nbi is writable by any user; remove it" in said
    (cache / "kernels.nbi").unlink()
    tmp_path.chmod(0o777)
    monkeypatch.setattr(jit, "refused", [])
    is_safe = jit._is_safe.__wrapped__  # which asks anew
    assert not is_safe(str(cache))
    assert f"chmod go-w {tmp_path}" in jit.refused[0]
    monkeypatch.setenv("DETECTD_PATHS__CHECK_OWNERS", "false")
    assert is_safe(str(cache))
