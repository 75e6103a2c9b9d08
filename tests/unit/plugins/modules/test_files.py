# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files are exactly as given, all new ones are tried before any is swapped, and nothing is written without need."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import pytest
from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.testing import patch_module_args

from ansible_collections.tandem.lemp.plugins.module_utils.placing import Entry, PlacingError, act, plan
from ansible_collections.tandem.lemp.plugins.module_utils.runner import Runner
from ansible_collections.tandem.lemp.plugins.module_utils.walking import LinkError
from ansible_collections.tandem.lemp.plugins.modules import files

Run = t.Callable[..., dict[str, t.Any]]


@pytest.fixture(name="run")
def _run(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*entries: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        with patch_module_args({"files": list(entries), **more}), pytest.raises(SystemExit):
            files.main()
        result: dict[str, t.Any] = json.loads(capsys.readouterr().out)
        return result

    return run


def names(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


def entry(path: Path, content: str = "one\n", **more: t.Any) -> dict[str, t.Any]:
    return {"path": str(path), "content": content, **more}


def test_create_change_and_rest(run: Run, tmp_path: Path) -> None:
    one, two = tmp_path / "new" / "one", tmp_path / "two"
    assert run(entry(one), entry(two))["changed_paths"] == [str(one), str(two)]
    assert run(entry(one), entry(two))["changed"] is False
    assert run(entry(one), entry(two, "2\n"))["changed_paths"] == [str(two)]
    assert (one.read_text(), two.read_text()) == ("one\n", "2\n")
    assert two.stat().st_mode & 0o7777 == 0o644
    assert names(tmp_path) == ["new", "two"]


def test_what_is_right_is_not_written(run: Run, tmp_path: Path) -> None:
    run(entry(tmp_path / "a"))
    before = (tmp_path / "a").stat()
    run(entry(tmp_path / "a"))
    after = (tmp_path / "a").stat()
    # Not the time of access: comparing the file reads it.
    assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)


def test_a_mode_is_mended_without_a_new_file(run: Run, tmp_path: Path) -> None:
    run(entry(tmp_path / "a", mode="0600"))
    inode = (tmp_path / "a").stat().st_ino
    (tmp_path / "a").chmod(0o666)
    result = run(entry(tmp_path / "a", mode="0600"), _ansible_diff=True)
    assert result["changed"] is True
    assert "mode: 0666" in result["diff"][0]["before"] and "mode: 0600" in result["diff"][0]["after"]
    assert ((tmp_path / "a").stat().st_ino, (tmp_path / "a").stat().st_mode & 0o7777) == (inode, 0o600)


def test_a_mode_that_is_not_given_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    (tmp_path / "a").chmod(0o640)
    run(entry(tmp_path / "a"))
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o640


def test_what_somebody_else_wrote_is_kept_once(run: Run, tmp_path: Path) -> None:
    path, former = tmp_path / "nginx.conf", tmp_path / "nginx.conf.before-tandem"
    path.write_bytes(b"theirs \xff\n")
    path.chmod(0o640)
    wanted = entry(path, "# Ansible managed\n1\n", keep_former=True, mode="0644")
    run(wanted, _ansible_check_mode=True)
    assert names(tmp_path) == ["nginx.conf"]
    assert run(wanted)["changed_paths"] == [str(path)]
    assert (former.read_bytes(), former.stat().st_mode & 0o7777) == (b"theirs \xff\n", 0o640)
    assert run(wanted)["changed"] is False
    run(entry(path, "# Ansible managed\n2\n", keep_former=True))
    path.write_text("somebody again\n")
    run(wanted)
    assert former.read_bytes() == b"theirs \xff\n"
    assert names(tmp_path) == ["nginx.conf", "nginx.conf.before-tandem"]


@pytest.mark.parametrize("before", [None, "# Ansible managed\nold\n"])
def test_what_is_ours_is_not_kept(run: Run, tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "haproxy.cfg"
    if before is not None:
        path.write_text(before)
    run(entry(path, "# Ansible managed\nnew\n", keep_former=True))
    assert names(tmp_path) == ["haproxy.cfg"]


def test_nothing_is_kept_of_what_is_not_replaced(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "haproxy.cfg"
    path.write_text("theirs\n")
    assert run(entry(path, keep_former=True, validate="false %s"))["failed"] is True
    assert names(tmp_path) == ["haproxy.cfg"]


def test_no_moment_in_which_a_secret_is_open(run: Run, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    check = f"""sh -c 'stat -c %a "$0" > {seen}' %s"""
    run(entry(tmp_path / "key", mode="0600", validate=check))
    assert seen.read_text() == "600\n"


@pytest.mark.parametrize("mode", ["644", "u=rw", "0999", "420"])
def test_a_mode_that_could_be_misread_is_refused(run: Run, tmp_path: Path, mode: str) -> None:
    assert "is not four octal digits" in run(entry(tmp_path / "a", mode=mode))["msg"]


def test_links_are_replaced_not_followed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("theirs\n")
    (tmp_path / "a").symlink_to(tmp_path / "elsewhere")
    assert run(entry(tmp_path / "a"))["changed"] is True
    assert (tmp_path / "elsewhere").read_text() == "theirs\n"
    assert not (tmp_path / "a").is_symlink()


def test_directories(run: Run, tmp_path: Path) -> None:
    wanted = {"path": str(tmp_path / "a" / "b"), "state": "directory", "mode": "0750"}
    assert run(wanted)["changed"] is True
    assert run(wanted)["changed"] is False
    assert (tmp_path / "a" / "b").stat().st_mode & 0o7777 == 0o750
    (tmp_path / "a" / "b").chmod(0o700)
    assert run(wanted)["changed_paths"] == [str(tmp_path / "a" / "b")]
    (tmp_path / "link").symlink_to(tmp_path / "a" / "b")
    assert run({**wanted, "path": str(tmp_path / "link")})["changed"] is False


def test_a_directory_can_keep_the_mode_that_it_has(run: Run, tmp_path: Path) -> None:
    wanted = {"path": str(tmp_path / "storage"), "state": "directory", "owner": str(os.getuid()), "group": str(os.getgid()), "mode": "0750", "keep_mode": True}
    assert run(wanted)["changed"] is True
    assert (tmp_path / "storage").stat().st_mode & 0o7777 == 0o750
    (tmp_path / "storage").chmod(0o2770)
    assert run(wanted)["changed"] is False
    other = next((gid for gid in os.getgroups() if gid != os.getgid()), os.getgid() + 1)
    if os.getuid() == 0 or other in os.getgroups():
        assert run({**wanted, "group": str(other)})["changed"] is True
        assert (tmp_path / "storage").stat().st_gid == other
    assert (tmp_path / "storage").stat().st_mode & 0o7777 == 0o2770
    assert run({**wanted, "keep_mode": False})["changed"] is True


@pytest.fixture(name="theirs")
def _theirs(tmp_path: Path) -> Path:
    """A directory in which others may put what they want; beside it one of root's."""
    (tmp_path / "etc").mkdir(mode=0o700)
    (tmp_path / "site").mkdir()
    (tmp_path / "site").chmod(0o777)
    return tmp_path / "site"


REACHED = {
    "a directory": {"path": "uploads", "state": "directory", "mode": "0755"},
    "below it": {"path": "uploads/deep/deeper", "state": "directory"},
    "pruned": {"path": "uploads", "state": "directory", "prune": ["*"]},
    "a file in it": {"path": "uploads/passwd", "content": "one\n", "mode": "0644"},
    "a file that goes": {"path": "uploads/passwd", "state": "absent"},
}


def test_a_directory_behind_a_link_of_theirs_can_be_left_as_it_is(run: Run, theirs: Path) -> None:
    etc = theirs.parent / "etc"
    (theirs / "current").symlink_to(etc)
    wanted = {"path": str(theirs / "current"), "state": "directory", "mode": "0755", "keep_behind_link": True}
    assert run(wanted)["changed"] is False
    assert etc.stat().st_mode & 0o777 == 0o700
    assert "is a link" in run({**wanted, "path": str(theirs / "current" / "new")})["msg"]
    assert names(etc) == []


@pytest.mark.parametrize("relative", [False, True], ids=["absolute", "relative"])
@pytest.mark.parametrize("wanted", list(REACHED.values()), ids=list(REACHED))
def test_a_link_that_is_not_roots_leads_nowhere(run: Run, theirs: Path, wanted: dict[str, t.Any], relative: bool) -> None:
    etc = theirs.parent / "etc"
    (etc / "passwd").write_text("root\n")
    (etc / "passwd").chmod(0o600)
    (theirs / "uploads").symlink_to("../etc" if relative else etc)
    for check in (True, False):
        result = run({**wanted, "path": str(theirs / wanted["path"])}, _ansible_check_mode=check, _ansible_diff=True)
        assert f"{theirs}/uploads" in result["msg"] and "'uploads' on the way is a link" in result["msg"]
    assert (names(etc), (etc / "passwd").read_text()) == (["passwd"], "root\n")
    assert (etc.stat().st_mode & 0o777, (etc / "passwd").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_link_of_roots_into_a_directory_of_theirs_ends_there(run: Run, theirs: Path) -> None:
    (theirs.parent / "short").symlink_to("site")
    uploads = {"path": str(theirs.parent / "short" / "uploads"), "state": "directory"}
    assert run(uploads)["changed"] is True
    assert names(theirs) == ["uploads"]
    (theirs / "uploads").rmdir()
    (theirs / "uploads").symlink_to("../etc")
    assert "is a link" in run(uploads)["msg"]


@pytest.mark.parametrize("state", ["directory", "file"])
def test_a_link_that_comes_after_the_look_leads_nowhere(theirs: Path, state: str) -> None:
    etc, place = theirs.parent / "etc", theirs / "it"
    (etc / "passwd").write_text("root\n")
    if state == "file":
        place.write_text("one\n")
    else:
        place.mkdir()
    place.chmod(0o700)
    changes = plan([Entry(str(place), state, content="one\n", mode=0o755)])
    assert [change.attributes for change in changes] == [True]
    place.rename(theirs / "x")
    place.symlink_to(etc / "passwd" if state == "file" else etc)
    before = [(each.stat().st_mode, each.stat().st_ctime_ns) for each in (etc, etc / "passwd")]
    with pytest.raises((LinkError, PlacingError)):
        act(changes, Runner())
    assert [(each.stat().st_mode, each.stat().st_ctime_ns) for each in (etc, etc / "passwd")] == before


@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_in_the_way_of_a_directory(run: Run, tmp_path: Path, target: str) -> None:
    (tmp_path / "link").symlink_to(target)
    assert run({"path": str(tmp_path / "link"), "state": "directory"})["failed"] is True
    assert run(entry(tmp_path / "link" / "a"))["failed"] is True
    assert names(tmp_path) == ["link"]


def test_absent(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    gone = {"path": str(tmp_path / "a"), "state": "absent"}
    assert run(gone)["changed"] is True
    assert run(gone)["changed"] is False
    assert "is a directory and is not removed" in run({"path": str(tmp_path), "state": "absent"})["msg"]


def test_a_file_where_a_directory_is_wanted_and_the_other_way(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x\n")
    (tmp_path / "b").mkdir()
    assert f"{tmp_path}/a shall be a directory" in run({"path": str(tmp_path / "a"), "state": "directory"})["msg"]
    assert f"{tmp_path}/b shall be a file" in run(entry(tmp_path / "b"))["msg"]


def test_one_bad_file_keeps_all_others_away(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a").write_text("old\n")
    wanted = [entry(tmp_path / "a", "good\n", validate="grep -q good %s"), entry(tmp_path / "b", "bad\n", validate="grep good %s")]
    result = run(*wanted)
    assert f"The new {tmp_path}/b was refused" in result["msg"] and "grep ended with 1" in result["msg"]
    assert (tmp_path / "a").read_text() == "old\n"
    assert names(tmp_path) == ["a"]


def test_all_together_sees_new_and_removed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x\n")
    probe = tmp_path / "probe"
    probe.write_text(f'#!/bin/sh\ncat "$1/new{tmp_path}/a" "$1/removed" > {tmp_path}/seen\nexit "$(cat {tmp_path}/status)"\n')
    probe.chmod(0o755)
    wanted = [entry(tmp_path / "a"), {"path": str(tmp_path / "old"), "state": "absent"}]
    (tmp_path / "status").write_text("1")
    assert "was refused and not made" in run(*wanted, validate=f"{probe} %s")["msg"]
    assert names(tmp_path) == ["old", "probe", "seen", "status"]
    (tmp_path / "status").write_text("0")
    assert run(*wanted, validate=f"{probe} %s")["changed"] is True
    assert (tmp_path / "seen").read_text() == f"one\n{tmp_path}/old\n"
    assert names(tmp_path) == ["a", "probe", "seen", "status"]
    (tmp_path / "status").write_text("1")
    assert run(*wanted, validate=f"{probe} %s")["changed"] is False


def test_check_mode_says_the_same_and_writes_nothing(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x\n")
    wanted = [
        {"path": str(tmp_path / "d" / "e"), "state": "directory", "owner": "nobody-yet"},
        entry(tmp_path / "d" / "e" / "f", owner="nobody-yet", group="no-group-yet", mode="0640", validate="false %s"),
        {"path": str(tmp_path / "old"), "state": "absent"},
    ]
    result = run(*wanted, _ansible_check_mode=True, _ansible_diff=True)
    assert result["changed_paths"] == [each["path"] for each in wanted]
    assert [part["after"] for part in result["diff"]][1:] == ["one\n", ""]
    assert "owner: nobody-yet" in result["diff"][0]["after"]
    assert names(tmp_path) == ["old"]


def test_a_user_that_does_not_exist_is_named_with_the_path(run: Run, tmp_path: Path) -> None:
    assert f"{tmp_path}/a: there is no user 'nobody-yet'" in run(entry(tmp_path / "a", owner="nobody-yet"))["msg"]
    (tmp_path / "a").write_text("one\n")
    assert run(entry(tmp_path / "a", group="no-group-yet"), _ansible_check_mode=True)["changed"] is True


def test_secrets_are_in_no_result(run: Run, tmp_path: Path) -> None:
    for more in ({}, {"_ansible_check_mode": True}):
        result = run(entry(tmp_path / "a", "geheim\n", sensitive=True), _ansible_diff=True, **more)
        assert "geheim" not in json.dumps(result)
        assert "not shown" in json.dumps(result["diff"]) or not result["changed"]
    failed = run(entry(tmp_path / "b", "geheim\n", validate="false %s"))
    assert failed["failed"] is True and "geheim" not in json.dumps(failed)


def test_contents_are_not_logged_on_the_node() -> None:
    """The hook belongs to AnsibleModule: when it goes by another name, contents would be logged."""
    assert hasattr(AnsibleModule, "_log_invocation")
    assert files.QuietModule._log_invocation is not AnsibleModule._log_invocation


def test_prune(run: Run, tmp_path: Path) -> None:
    library = tmp_path / "library"
    tree = {"path": str(library), "state": "directory", "prune": ["*"]}
    run(tree, entry(library / "a.py"), entry(library / "b.py"))
    (library / "__pycache__").mkdir()
    assert run(tree, entry(library / "a.py"), entry(library / "b.py"))["changed"] is False
    assert run(tree, entry(library / "a.py"), _ansible_check_mode=True)["changed_paths"] == [str(library / "b.py")]
    assert run(tree, entry(library / "a.py"))["changed_paths"] == [str(library / "b.py")]
    assert names(library) == ["__pycache__", "a.py"]
    (library / "theirs").mkdir()
    assert f"{library}/theirs is a directory and is not removed" in run(tree, entry(library / "a.py"))["msg"]


def test_prune_by_pattern(run: Run, tmp_path: Path) -> None:
    for name in ("tandem-a.conf", "tandem-b.conf", "www.conf", "other.conf"):
        (tmp_path / name).write_text("one\n")
    tree = {"path": str(tmp_path), "state": "directory", "prune": ["tandem-*.conf", "www.conf"]}
    run(tree, entry(tmp_path / "tandem-a.conf"))
    assert names(tmp_path) == ["other.conf", "tandem-a.conf"]


@pytest.mark.parametrize("path", ["relative", "/a/../b", "/a/", "/a//b"])
def test_a_path_that_is_not_plain_is_refused(run: Run, path: str) -> None:
    if not path.startswith("/"):
        path = os.path.join("..", path)
    assert "is not an absolute path in its plain form" in run({"path": path, "content": ""})["msg"]


def test_a_path_twice_and_a_validation_of_nothing_are_refused(run: Run, tmp_path: Path) -> None:
    assert f"{tmp_path}/a is named more than once" in run(entry(tmp_path / "a"), entry(tmp_path / "a"))["msg"]
    assert f"{tmp_path}/a: validate has no %s" in run(entry(tmp_path / "a", validate="true"))["msg"]


def test_a_change_is_told_of_until_somebody_has_listened(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The run that made it may have been broken off before its handlers."""
    monkeypatch.setattr(files, "PENDING", tmp_path / "pending")
    one, two = tmp_path / "one", tmp_path / "two"
    assert run(entry(one), pending="service")["changed_paths"] == [str(one)]
    assert run(entry(one), entry(two), pending="service")["changed_paths"] == [str(two), str(one)]
    assert run(entry(one), entry(two), pending="service", _ansible_check_mode=True)["changed"] is True
    assert run(entry(one), entry(two), pending="another")["changed"] is False
    (tmp_path / "pending" / "service").unlink()
    assert run(entry(one), entry(two), pending="service")["changed"] is False
    assert run(entry(one), pending="../x")["failed"] is True
