# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""rsync between two nodes whose address moves: nothing that only one of them has is lost. With the real rsync; ssh is replaced."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[4] / "roles" / "file_sync" / "files"
sys.path.insert(0, str(FILES))

from tandem_file_sync import __main__ as main  # noqa: E402
from tandem_file_sync import job as jobs  # noqa: E402
from tandem_file_sync import link, rsync  # noqa: E402
from tandem_file_sync.job import Job, Stop  # noqa: E402

ARGUMENTS = rsync.arguments
# Enters the other node as its sshd would, with that node's paths.
SSH = """\
#!{python}
import os, sys
from pathlib import Path
sys.path.insert(0, {files!r})
from tandem_file_sync import job as jobs, link, server
here, there = {here!r}, {there!r}
jobs.STATE, jobs.JOBS = Path(there, "state"), Path(there, "jobs")
link.holds = lambda address: Path(there, "active").exists()
wanted = sys.argv[sys.argv.index("peer") + 1:]
os.environ["SSH_ORIGINAL_COMMAND"] = " ".join(wanted).replace(here, there)
sys.exit(server.main(["blog"]))
"""


class Node:
    def __init__(self, path: Path, other: Path) -> None:
        self.path = path
        self.root = path / "uploads"
        for each in (self.root, path / "state" / "blog" / "private", path / "state" / "blog" / "backups", path / "jobs"):
            each.mkdir(parents=True)
        (self.root / ".tandem-sync-root").write_text("blog\n", encoding="utf-8")
        self.job = Job(
            name="blog", method="rsync", user=pwd.getpwuid(os.getuid()).pw_name, root=self.root,
            node=path.name, address="192.0.2.1", peer=other.name, peer_address="192.0.2.2", ssh_port=22,
            initiator=False, active_address="192.0.2.100", excludes=(),
            delete_files=100, delete_percent=25, delete_free=10, bwlimit=0, full_check_hours=24,
        )  # fmt: skip
        values = {**dataclasses.asdict(self.job), "root": str(self.root)}
        (path / "jobs" / "blog.json").write_text(json.dumps(values), encoding="utf-8")
        self.ssh = path / "ssh"
        self.ssh.write_text(SSH.format(python=sys.executable, files=str(FILES), here=str(path), there=str(other)), encoding="utf-8")
        self.ssh.chmod(0o755)

    def files(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in self.root.iterdir() if path.name != jobs.MARKER and path.is_file()}

    def put(self, name: str, text: str, age: float = 0) -> None:
        (self.root / name).write_text(text, encoding="utf-8")
        then = time.time() - age
        os.utime(self.root / name, (then, then))


class Pair:
    def __init__(self, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch
        self.a, self.b = Node(work / "a", work / "b"), Node(work / "b", work / "a")

    def on(self, node: Node) -> Job:
        """Be this node from now on."""

        def arguments(job: Job, *options: str, pull: bool = False) -> list[str]:
            words = ARGUMENTS(job, *options, pull=pull)
            words[words.index("-e") + 1] = str(node.ssh)
            return words

        self.patch.setattr(jobs, "STATE", node.path / "state")
        self.patch.setattr(rsync, "arguments", arguments)
        self.patch.setattr(link, "check_peer", lambda job: None)
        self.patch.setattr(link, "holds", lambda address: (node.path / "active").exists())
        return node.job

    def active(self, node: Node) -> None:
        for each in (self.a, self.b):
            (each.path / "active").unlink(missing_ok=True)
        (node.path / "active").touch()

    def run(self, node: Node) -> tuple[str, str]:
        new = main.run(self.on(node))
        return new["result"], new["message"]

    def settle(self, node: Node) -> None:
        """The node is active, and both have the same."""
        self.active(node)
        other = self.b if node is self.a else self.a
        assert self.run(other)[0] == "waiting"
        for _run in range(2):
            assert self.run(node) == ("ok", "")
        assert self.a.files() == self.b.files()


@pytest.fixture(name="pair")
def _pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pair:
    return Pair(tmp_path, monkeypatch)


def unreachable(_job: Job) -> None:
    raise Stop("unreachable", "gone")


def test_in_peace_a_push_deletes(pair: Pair) -> None:
    pair.a.put("old", "x")
    pair.a.put("kept", "x")
    pair.settle(pair.a)
    assert pair.b.files() == {"old": "x", "kept": "x"}
    (pair.a.root / "old").unlink()
    assert pair.run(pair.a) == ("ok", "")
    assert pair.b.files() == {"kept": "x"}


@pytest.mark.parametrize("passive_between", [True, False], ids=["it was seen to be passive", "it was not"])
def test_an_upload_before_the_move_survives_it(pair: Pair, passive_between: bool) -> None:
    pair.a.put("both", "first", age=100)
    pair.settle(pair.a)
    pair.a.put("late", "upload")
    pair.a.put("both", "second")
    pair.active(pair.b)
    if passive_between:
        assert pair.run(pair.a)[0] == "waiting"
    assert pair.run(pair.b) == ("ok", "")
    assert pair.a.files() == pair.b.files() == {"late": "upload", "both": "second"}
    (pair.b.root / "late").unlink()
    assert pair.run(pair.b) == ("ok", "")
    assert pair.a.files() == {"both": "second"}


def test_a_node_that_never_saw_that_the_other_was_active(pair: Pair) -> None:
    pair.settle(pair.a)
    (pair.a.job.merge).unlink(missing_ok=True)
    pair.active(pair.b)
    pair.b.put("upload", "on b")
    pair.on(pair.b)
    pair.b.job.led.touch()  # its run found the peer unreachable
    pair.active(pair.a)
    pair.on(pair.a)
    assert not pair.a.job.merge.exists()
    assert pair.run(pair.a) == ("ok", "")
    assert pair.a.files() == pair.b.files() == {"upload": "on b"}


def test_after_a_reboot_nothing_is_deleted(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.settle(pair.a)
    pair.b.put("upload", "on b")
    monkeypatch.setattr(time, "clock_gettime", lambda clock: 0.0)
    assert pair.run(pair.a) == ("ok", "")
    assert pair.a.files() == {"upload": "on b"}


def test_a_merge_that_did_not_end_is_done_again(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.settle(pair.a)
    pair.a.put("late", "upload")
    pair.active(pair.b)
    pair.on(pair.b)
    with monkeypatch.context() as patch:
        patch.setattr(pair, "on", lambda node: node.job)
        patch.setattr(link, "check_peer", unreachable)
        assert pair.run(pair.b)[0] == "unreachable"
    assert pair.run(pair.b) == ("ok", "")
    assert pair.b.files() == {"late": "upload"}


def test_an_emptied_disk_is_filled_again_not_copied(pair: Pair) -> None:
    """The active node's disk was replaced: mark, or refill where the marker is there."""
    for number in range(5):
        pair.a.put(f"file{number}", "x")
    pair.settle(pair.a)
    for path in pair.a.root.iterdir():
        path.unlink()
    assert pair.run(pair.a)[0] == "refused"
    (pair.a.root / ".tandem-sync-root").write_text("blog\n", encoding="utf-8")
    result, message = pair.run(pair.a)
    assert result == "refused" and "tandem-file-sync refill blog" in message
    main.refill(pair.on(pair.a))
    assert pair.run(pair.a) == ("ok", "")
    assert len(pair.a.files()) == len(pair.b.files()) == 5


def test_a_run_ends_when_the_address_moves(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    job = pair.on(pair.a)
    monkeypatch.setattr(link, "_LOOK_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(Stop, match="moved during the run") as stop:
        link.talk(job, ["sleep", "60"], as_active=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert stop.value.result == "waiting"
    pair.active(pair.a)
    with pytest.raises(Stop) as stop:
        link.talk(job, ["sleep", "60"], as_active=False)
    assert stop.value.result == "refused"
    assert time.monotonic() - started < 30
    assert link.talk(job, ["sh", "-c", "sleep 0.4; echo out; echo err >&2; exit 3"], as_active=True, stdout=-1, stderr=-1) == (3, "out\n", "err\n")


@pytest.mark.parametrize("method", ["rsync", "unison"])
def test_the_wrong_node_takes_no_confirmation(pair: Pair, method: str) -> None:
    pair.active(pair.b)
    job = dataclasses.replace(pair.on(pair.a), method=method)
    with pytest.raises(Stop, match="b starts the runs of blog, not a"):
        main.confirm(job)
    assert not (job.home / "confirm").exists()


def test_a_confirmation_waits_for_the_peer_and_ends_with_the_activity(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.settle(pair.a)
    main.confirm(pair.on(pair.a))
    confirmation = pair.a.job.home / "confirm"
    with monkeypatch.context() as patch:
        patch.setattr(pair, "on", lambda node: node.job)
        patch.setattr(link, "check_peer", unreachable)
        assert pair.run(pair.a)[0] == "unreachable"
    assert confirmation.exists()
    pair.active(pair.b)
    assert pair.run(pair.a)[0] == "waiting"
    assert not confirmation.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is somebody else")
def test_what_root_says_belongs_to_the_jobs_user_and_follows_no_link(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    job = dataclasses.replace(pair.on(pair.a), user="nobody")
    pair.active(pair.a)
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory() as work:  # one that others may enter
        Path(work).chmod(0o755)
        monkeypatch.setattr(jobs, "STATE", Path(work))
        job.private.mkdir(parents=True)
        for path in (job.home, job.private):
            os.chown(path, user.pw_uid, user.pw_gid)
        main.confirm(job)
        main.refill(job)
        assert [path.stat().st_uid for path in (job.home / "confirm", job.home / "lock", job.merge)] == [user.pw_uid] * 3
        assert os.geteuid() == 0
        (Path(work) / "roots").mkdir()
        (Path(work) / "roots" / "file").touch()
        (job.private / "unison").symlink_to(Path(work) / "roots")
        with pytest.raises(PermissionError):
            main.refill(job)
        assert (Path(work) / "roots" / "file").exists()


def test_a_file_of_somebody_else_is_an_error_with_a_state(pair: Pair) -> None:
    job = pair.on(pair.a)
    pair.active(pair.a)
    (job.home / "lock").mkdir()
    result, message = pair.run(pair.a)
    assert result == "error" and "lock" in message
    assert json.loads((job.home / "state.json").read_text())["result"] == "error"
