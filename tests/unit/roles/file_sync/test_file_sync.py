# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program of role file_sync: what it refuses, and what it reads out of its tools."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pytest

FILES = Path(__file__).resolve().parents[4] / "roles" / "file_sync" / "files"
sys.path.insert(0, str(FILES))

from tandem_file_sync import __main__ as main  # noqa: E402
from tandem_file_sync import guard, link, rsync, server, state, unison  # noqa: E402
from tandem_file_sync import job as jobs  # noqa: E402
from tandem_file_sync.job import Job, Stop  # noqa: E402


@pytest.fixture
def job(tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "STATE", tmp_path / "state")
    root = tmp_path / "uploads"
    root.mkdir()
    (root / ".tandem-sync-root").write_text("blog\nDo not remove.\n", encoding="utf-8")
    (tmp_path / "state" / "blog" / "private").mkdir(parents=True)
    return Job(
        name="blog", method="unison", user="site-blog", root=root,
        node="node-a", address="192.0.2.1", peer="node-b", peer_address="192.0.2.2", ssh_port=22,
        initiator=True, active_address="", excludes=("*.tmp", "/cache"),
        delete_files=100, delete_percent=25, delete_free=10, bwlimit=0, full_check_hours=24,
    )  # fmt: skip


PLAN = (
    """\
Looking for changes
| 2026/a.jpg\r          \rReconciling changes

node-a         node-b
changed  ====> changed    both.txt
deleted  ---->            2026
         <---- deleted    old.png
         <---- new file   a file  with spaces.txt
new file <-?-> new file   same.txt  [] /
new file <-?-> new file   same.txt

Proceed with propagating updates? [] """.replace("txt\n", "txt  \n")
    .replace("2026\n", "2026  \n")
    .replace("png\n", "png  \n")
)


def test_the_plan_is_read_as_unison_prints_it():
    assert [(row.here, row.arrow, row.there, row.path) for row in unison.rows(PLAN)] == [
        ("changed", "====>", "changed", "both.txt"),
        ("deleted", "---->", "", "2026"),
        ("", "<----", "deleted", "old.png"),
        ("", "<----", "new file", "a file  with spaces.txt"),
        ("new file", "<-?->", "new file", "same.txt"),
    ]


def test_a_deleted_directory_counts_with_all_that_was_in_it():
    known = {"2026/a.jpg", "2026/b/c.jpg", "2026x", "old.png"}
    assert unison.deletions(unison.rows(PLAN), known) == (1, 2)


def test_a_deletion_of_something_unknown_counts():
    assert unison.deletions(unison.rows(PLAN), set()) == (1, 1)


@pytest.mark.parametrize(
    ("deletions", "total", "braked"),
    [
        (0, 0, False),
        (10, 10, False),
        (11, 1000, False),
        (11, 40, True),
        (11, 44, False),
        (101, 100000, True),
        (11, 0, True),
    ],
)
def test_the_brake(job, deletions, total, braked):
    if not braked:
        guard.check_deletions(job, deletions, total, "node-b", confirmed=False)
        return
    with pytest.raises(Stop, match=f"{deletions} of {total} files .* node-b, more than") as stop:
        guard.check_deletions(job, deletions, total, "node-b", confirmed=False)
    assert stop.value.result == "braked"
    guard.check_deletions(job, deletions, total, "node-b", confirmed=True)


def test_a_root_without_its_marker_is_refused(job):
    guard.check_root(job)
    job.marker.unlink()
    with pytest.raises(Stop, match="not mounted, or the directory was replaced"):
        guard.check_root(job)


def test_the_marker_of_another_job_is_refused(job):
    job.marker.write_text("shop\n", encoding="utf-8")
    with pytest.raises(Stop, match="belongs to the job 'shop'"):
        guard.check_root(job)


@pytest.fixture
def settings(job, tmp_path, monkeypatch):
    """The job as role file_sync wrote it, found by the command line."""
    places = tmp_path / "jobs"
    places.mkdir()
    for module in (jobs, main):
        monkeypatch.setattr(module, "JOBS", places)
        monkeypatch.setattr(module, "STATE", tmp_path / "state")
    mine = dataclasses.replace(job, user=pwd.getpwuid(os.getuid()).pw_name)

    def write(name):
        renamed = dataclasses.replace(mine, name=name)
        renamed.private.mkdir(parents=True, exist_ok=True)
        values = {**dataclasses.asdict(renamed), "root": str(renamed.root)}
        (places / f"{name}.json").write_text(json.dumps(values), encoding="utf-8")
        return renamed

    write("blog")
    return write


def renamed(settings, job):
    """A second directory of the same last name was added: the job has a longer name now."""
    (job.home.parent / "blog.marked").touch()
    state.save(job, {"root": str(job.root)})
    (jobs.JOBS / "blog.json").unlink()
    return settings("blog-srv-uploads")


def test_a_job_with_a_new_name_keeps_its_root(job, settings, capsys):
    new = renamed(settings, job)
    assert main.setup() == 0
    guard.check_root(new)
    assert "marked" in capsys.readouterr().out
    assert main.setup() == 0
    assert capsys.readouterr().out == ""


def test_a_job_that_gets_its_old_name_back_keeps_its_root(job, settings):
    new = renamed(settings, job)
    main.setup()
    state.save(new, {"root": str(new.root)})
    (jobs.JOBS / f"{new.name}.json").unlink()
    old = settings("blog")
    main.setup()
    guard.check_root(old)


def test_a_new_name_does_not_mark_a_root_that_is_not_mounted(job, settings, capsys):
    new = renamed(settings, job)
    job.marker.unlink()
    assert main.setup() == 0
    assert capsys.readouterr().out == ""
    with pytest.raises(Stop, match="not mounted"):
        guard.check_root(new)
    job.root.rmdir()
    main.setup()
    assert not job.root.exists()


def test_a_job_that_is_gone_with_its_root_is_forgotten(job, settings, capsys):
    assert main.setup() == 0
    record = job.home.parent / "blog.marked"
    state.save(job, {"root": str(job.root)})
    state.save_manifest(job, {"a"})
    (job.backups / "a").mkdir(parents=True)
    (job.private / "unison").symlink_to("/etc")
    (jobs.JOBS / "blog.json").unlink()
    main.setup()
    assert record.exists() and state.load_manifest(job) == {"a"}
    job.marker.unlink()
    job.root.rmdir()
    capsys.readouterr()
    main.setup()
    assert "forgot blog" in capsys.readouterr().out
    assert not record.exists() and sorted(path.name for path in job.home.iterdir()) == ["backups"]
    new = settings("blog")
    job.root.mkdir()
    main.setup()
    guard.check_root(new)


@pytest.mark.parametrize("other", ["copied", "live", "foreign"])
def test_setup_leaves_the_marker_of_another_job(job, settings, other):
    """One that was copied here, one of a job that is still there, and one of no job at all."""
    new = renamed(settings, job)
    if other == "copied":
        state.save(job, {"root": "/srv/elsewhere"})
    elif other == "live":
        settings("blog")
    else:
        job.marker.write_text("../blog\n", encoding="utf-8")
    main.setup()
    with pytest.raises(Stop, match="tandem-file-sync mark blog-srv-uploads"):
        guard.check_root(new)


def test_a_person_may_mark_a_root_that_is_another_jobs(job, settings):
    new = renamed(settings, job)
    job.marker.unlink()
    job.marker.symlink_to("/etc/hostname")
    main.mark(new, first=False)
    guard.check_root(new)
    assert not job.marker.is_symlink()


def test_a_pipe_for_a_marker_keeps_nobody_waiting(job, settings):
    job.marker.unlink()
    os.mkfifo(job.marker)
    assert guard.marked_for(job) == ""


def test_a_pipe_or_a_link_for_a_state_keeps_nobody_waiting(job, tmp_path):
    os.mkfifo(job.home / "state.json")
    assert state.load(job) == {}
    (job.home / "state.json").unlink()
    (tmp_path / "secret").write_text('{"root": "/"}', encoding="utf-8")
    (job.home / "state.json").symlink_to(tmp_path / "secret")
    assert state.load(job) == {}


def test_a_missing_root_is_refused(job):
    with pytest.raises(Stop, match="is missing"):
        guard.check_root(dataclasses.replace(job, root=job.root / "nowhere"))


def test_an_emptied_root_is_refused_unless_it_was_empty_or_is_confirmed(job):
    guard.check_not_emptied(job, None, confirmed=False)
    guard.check_not_emptied(job, set(), confirmed=False)
    guard.check_not_emptied(job, {"a"}, confirmed=True)
    with pytest.raises(Stop, match="held 1 files at the last success"):
        guard.check_not_emptied(job, {"a"}, confirmed=False)
    (job.root / "a").touch()
    guard.check_not_emptied(job, {"a"}, confirmed=False)


def test_a_confirmation_is_good_for_one_run_and_one_hour(job):
    path = job.home / "confirm"
    path.touch()
    assert guard.take_confirmation(job)
    assert not guard.take_confirmation(job)
    path.touch()
    os.utime(path, (1, 1))
    assert not guard.take_confirmation(job)


def test_the_lock_ends_with_a_killed_holder(job, tmp_path):
    with guard.locked(job), pytest.raises(Stop) as stop, guard.locked(job):
        pass
    assert stop.value.result == "busy"
    script = f"import fcntl, time; f = open({str(job.home / 'lock')!r}); fcntl.flock(f, fcntl.LOCK_EX); print(1, flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline()
        with pytest.raises(Stop), guard.locked(job):
            pass
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        with guard.locked(job, wait=5):
            pass


def test_a_child_that_outlives_the_run_keeps_the_lock(job):
    with guard.locked(job) as lock:
        child = subprocess.Popen(["sleep", "60"], pass_fds=(lock,))
    with pytest.raises(Stop), guard.locked(job):
        pass
    child.kill()
    child.wait()
    with guard.locked(job, wait=5):
        pass


@pytest.mark.parametrize("wanted", ["unison -server", "unison -server __new-rpc-mode"])
def test_unison_may_be_served(job, wanted):
    assert server.command(job, wanted) == wanted.split()


@pytest.mark.parametrize(
    "wanted",
    [
        "",
        "id",
        "unison",
        "unison -server; id",
        "unison -server\nid",
        "unison -server $(id)",
        "/tmp/unison -server",
        "rsync --server . /",
    ],
)
def test_nothing_else_may(job, wanted):
    with pytest.raises(Stop, match="for unison only"):
        server.command(job, wanted)


def push(job, options="-logDtpAHXre.iLsfxCIvu --delete-delay", end=None):
    return f"rsync --server {options} {end or f'. {job.root}/'}"


def test_an_rsync_push_of_the_job_may_be_received(job):
    job = dataclasses.replace(job, method="rsync")
    wanted = push(
        job,
        f"-blogDtpAHXrne.iLsfxCIvu --log-format=%i --bwlimit=100 --backup-dir {job.backups} --max-delete=7 --timeout=60 --partial-dir .rsync-partial",
    )
    assert server.command(job, wanted) == wanted.split()


@pytest.mark.parametrize(
    ("options", "end"),
    [
        ("--sender -logDtpre.iLsfxCIvu", ". /etc/"),
        ("--sender -logDtpre.iLsfxCIvu --remove-source-files", None),
        ("-logDtpre.iLsfxCIvu --sender", None),
        ("-logDtpre.iLsfxCIvu", ". /"),
        ("-logDtpre.iLsfxCIvu", ". /etc/"),
        ("--backup-dir /tmp", None),
        ("--backup-dir=/tmp", None),
        ("--partial-dir /tmp", None),
        ("--log-file=/tmp/x", None),
        ("--remove-source-files", None),
        ("--daemon", None),
        ("--backup-dir", None),
        ("'", None),
    ],
)
def test_any_other_rsync_is_refused(job, options, end):
    job = dataclasses.replace(job, method="rsync")
    with pytest.raises(Stop) as stop:
        server.command(job, push(job, options, end))
    assert stop.value.result == "refused"


@pytest.mark.parametrize("name", ["", "../x", "a/b", "-x", "A", "x" * 65])
def test_a_job_is_a_plain_name(name):
    with pytest.raises(Stop, match="no name of a job"):
        Job.load(name)


def test_what_rsync_says_is_understood():
    output = """\
<f+++++++++ new file
.d..t...... ./
*deleting   old/
sending incremental file list

Number of files: 1,234 (reg: 1,200, dir: 34)
Number of created files: 2 (reg: 2)
Number of deleted files: 3 (reg: 3)
Number of regular files transferred: 2
"""
    assert rsync.statistics(output) == {"files": 1234, "created": 2, "deleted": 3, "transferred": 2}
    assert rsync.changes(output) == ["<f+++++++++ new file", ".d..t...... ./", "*deleting   old/"]


@pytest.mark.parametrize(
    ("output", "result", "message"),
    [
        ("tandem-file-sync: refused: no marker\nrsync: connection unexpectedly closed", "refused", "node-b: no marker"),
        ("rsync: connection unexpectedly closed (0 bytes)", "unreachable", "the connection to node-b was lost"),
        ("write failed: No space left on device (28)\nrsync: Broken pipe", "error", "No space left"),
        ("Permission denied (publickey)", "error", "Permission denied"),
        ("", "error", "without a word"),
    ],
)
def test_failures_are_told_apart(output, result, message):
    stop = link.explain(output, "node-b")
    assert stop.result == result
    assert message in stop.message


def test_manifest_and_state_come_back_as_they_were(job):
    assert state.load_manifest(job) is None
    assert state.load(job) == {}
    (job.root / "d").mkdir()
    odd = os.fsdecode(b"d/\xff\n.jpg")
    (job.root / odd).touch()
    state.save_manifest(job, state.files_below(job.root))
    assert state.load_manifest(job) == {odd}
    state.save_manifest(job, [])
    assert state.load_manifest(job) == set()
    state.save(job, {"result": "ok"})
    assert state.load(job) == {"result": "ok"}
    assert (job.home / "state.json").stat().st_mode & 0o777 == 0o644
    (job.home / "state.json").write_text("{", encoding="utf-8")
    assert state.load(job) == {}


def test_the_marker_is_never_carried_over(job):
    assert "Path .tandem-sync-root" in unison.arguments(job, full_check=False, confirmed=False, fresh=False)
    assert "--exclude=/.tandem-sync-root" in rsync.arguments(job)


def test_excludes_are_names_or_paths(job):
    words = unison.arguments(job, full_check=False, confirmed=False, fresh=False)
    assert "Name *.tmp" in words
    assert "Path cache" in words


def test_stale_locks_of_unison_are_removed_and_archives_kept(job):
    directory = job.private / "unison"
    directory.mkdir()
    for name in ("lk123", "ar123"):
        (directory / name).touch()
    unison.drop_stale_locks(job)
    assert [path.name for path in directory.iterdir()] == ["ar123"]


def test_the_role_writes_every_field_of_a_job():
    template = (FILES.parent / "templates/etc/tandem/file_sync/job.json.j2").read_text(encoding="utf-8")
    for field in dataclasses.fields(Job):
        assert f"'{field.name}':" in template
