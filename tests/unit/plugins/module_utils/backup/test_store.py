# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups are whole or not there, and retention never removes the last one that is proven."""

from __future__ import annotations

import dataclasses
import sys
import tracemalloc

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.backup import manifest as manifests
from ansible_collections.tandem.lemp.plugins.module_utils.backup import stream
from ansible_collections.tandem.lemp.plugins.module_utils.backup.manifest import Manifest, surplus
from ansible_collections.tandem.lemp.plugins.module_utils.backup.restoring import choose
from ansible_collections.tandem.lemp.plugins.module_utils.backup.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused

ONE = Manifest(
    name="20261121T100000Z",
    engine="mariadb",
    version="10.11.19",
    node="node-b",
    role="replica",
    gtid="0-11-100",
    started="2026-11-21 10:00:00",
    taken="2026-11-21 10:00:05",
    finished="2026-11-21 10:00:20",
    duration=20.0,
    file="data.gz",
    size=4,
    unpacked=10,
    sha256="00",
    verified="2026-11-21 10:00:20",
)
TWO = dataclasses.replace(ONE, name="20261121T110000Z", taken="2026-11-21 11:00:05", gtid="0-11-200")
NOW = manifests.seconds("2026-11-21 12:00:00")


def put(store, manifest, data=b"data"):
    made = store.path / ".work" / "made"
    made.mkdir(parents=True)
    (made / manifest.file).write_bytes(data)
    manifest.write(made)
    store.publish(made, manifest.name)
    return store.path / manifest.name


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    ONE.write(tmp_path)
    assert Manifest.read(tmp_path) == ONE


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"format": 2}', '{"format": 1, "name": "x"}'], ids=["empty", "nothing", "list", "newer", "short"]
)
def test_a_manifest_that_makes_no_sense_is_refused(tmp_path, text):
    (tmp_path / manifests.FILE).write_text(text, encoding="ascii")
    with pytest.raises(OperationFailed):
        Manifest.read(tmp_path)


def test_a_manifest_cannot_lead_out_of_its_directory(tmp_path):
    dataclasses.replace(ONE, file="../../etc/shadow").write(tmp_path)
    with pytest.raises(OperationFailed):
        Manifest.read(tmp_path)


@pytest.mark.parametrize(
    ("backups", "keep", "gone"),
    [
        ({}, 3, []),
        ({"a": True}, 1, []),
        ({"a": True, "b": True, "c": True}, 2, ["a"]),
        ({"a": True, "b": True, "c": True}, 0, ["a", "b"]),
        ({"a": True, "b": False, "c": False}, 1, ["b"]),
        ({"a": True, "b": True, "c": False, "d": False}, 1, ["a", "c"]),
        ({"a": False, "b": False}, 1, ["a"]),
    ],
)
def test_retention_keeps_the_newest_and_the_last_proven_one(backups, keep, gone):
    assert surplus(backups, keep) == gone


def test_only_what_is_published_is_a_backup(tmp_path):
    store = Store(str(tmp_path))
    path = put(store, ONE)
    (tmp_path / ".work" / TWO.name).mkdir()
    assert store.backups() == ([ONE], [])
    assert path.stat().st_mode & 0o777 == 0o700
    assert (path / ONE.file).stat().st_mode & 0o777 == 0o600


def test_a_backup_that_was_cut_off_is_named_and_not_offered(tmp_path):
    store = Store(str(tmp_path))
    (put(store, ONE) / ONE.file).write_bytes(b"dat")
    found, faults = store.backups()
    assert found == []
    assert ONE.name in faults[0]


def test_a_removed_backup_is_none_even_if_its_removal_is_killed(tmp_path, monkeypatch):
    store = Store(str(tmp_path))
    put(store, ONE)
    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", lambda *_args, **_named: None)
        store.remove(ONE.name)
    assert store.backups() == ([], [])
    store.sweep()
    assert not list(tmp_path.glob(".removed*"))


def test_two_cannot_work_at_once(tmp_path):
    with Store(str(tmp_path)).locked(), pytest.raises(Refused, match="process"), Store(str(tmp_path)).locked():
        pass
    with Store(str(tmp_path)).locked():
        pass


def test_too_little_room_is_said_before_anything_is_made(tmp_path):
    store = Store(str(tmp_path / "not" / "there"))
    with pytest.raises(Refused, match="needs about"):
        store.require_space(2**60, "the backup")
    assert list(tmp_path.iterdir()) == []


def test_a_stream_comes_back_as_it_was(tmp_path):
    packed = stream.pack([sys.executable, "-c", "print('x' * 3000000)"], tmp_path / "a.gz", 60, lambda _size: None)
    assert packed.unpacked == 3000001
    assert packed.size == (tmp_path / "a.gz").stat().st_size < 30000
    stream.unpack(tmp_path / "a.gz", ["sh", "-c", f"cat > {tmp_path}/out"], 60, packed.sha256)
    assert (tmp_path / "out").read_text(encoding="ascii") == "x" * 3000000 + "\n"


def test_a_program_that_fails_makes_no_file_that_counts(tmp_path):
    with pytest.raises(OperationFailed, match="no more room"):
        stream.pack(["sh", "-c", "echo begun; echo no more room >&2; exit 3"], tmp_path / "a.gz", 60, lambda _size: None)


@pytest.mark.parametrize("damage", ["flip", "cut", "append"])
def test_a_damaged_file_is_noticed(tmp_path, damage):
    path = tmp_path / "a.gz"
    packed = stream.pack(["seq", "100000"], path, 60, lambda _size: None)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if damage == "flip":
        data[middle] ^= 1
    path.write_bytes(data[:middle] if damage == "cut" else data + b"x" if damage == "append" else data)
    with pytest.raises(OperationFailed, match="checksum"):
        stream.unpack(path, ["sh", "-c", "cat > /dev/null"], 60, packed.sha256)


def test_the_newest_proven_backup_before_the_point_is_chosen():
    assert choose([ONE, TWO], [], "latest", "", NOW)[0] == TWO
    assert choose([ONE, TWO], [], "latest", "2026-11-21 11:30:00", NOW)[0] == TWO
    assert choose([ONE, TWO], [], "latest", "2026-11-21 11:00:00", NOW)[0] == ONE
    assert choose([ONE, TWO], [], "latest", "0-11-150", NOW)[0] == ONE
    assert choose([ONE, TWO], [], "latest", "2026-11-21 11:00:05", NOW)[0] == ONE
    assert choose([ONE, TWO], [], "latest", "2026-11-21 11:00:06", NOW)[0] == TWO
    assert choose([ONE, dataclasses.replace(TWO, verified="")], [], "latest", "", NOW)[0] == ONE


@pytest.mark.parametrize(
    ("name", "until", "why"),
    [
        ("latest", "2026-11-21 09:00:00", "No verified backup"),
        ("20261121T110000Z", "2026-11-21 10:30:00", "not older than the point"),
        ("20261121T110000Z", "2026-11-21 11:00:05", "not older than the point"),
        ("latest", "2026-11-21 10:00:05", "No verified backup"),
        ("20261121T120000Z", "", "no usable backup"),
        ("latest", "2026-11-21 13:00:00", "still to come"),
        ("latest", "yesterday", "neither a time nor a transaction"),
    ],
)
def test_a_backup_that_does_not_fit_is_refused(name, until, why):
    with pytest.raises(Refused, match=why):
        choose([ONE, TWO], [], name, until, NOW)


def test_what_compresses_well_does_not_fill_the_memory(tmp_path):
    packed = stream.pack(["head", "--bytes=67108864", "/dev/zero"], tmp_path / "a.gz", 60, lambda done: None)
    assert packed.size < 2**20
    tracemalloc.start()
    try:
        stream.unpack(tmp_path / "a.gz", ["sh", "-c", f"wc -c > {tmp_path}/out"], 60, packed.sha256)
        _now, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert int((tmp_path / "out").read_text(encoding="ascii")) == 2**26
    assert most < 8 * 2**20


def test_a_backup_whose_newest_transaction_was_written_by_a_clock_that_is_ahead_is_too_late(tmp_path):
    """The copied node thought it was 10:00:05 when it held what had been written at 10:00:30."""
    ahead = dataclasses.replace(ONE, newest="2026-11-21 10:00:30")
    assert choose([ahead], [], "latest", "2026-11-21 10:00:31", NOW)[0] == ahead
    for until in ("2026-11-21 10:00:20", "2026-11-21 10:00:30"):
        assert choose([ONE], [], "latest", until, NOW)[0] == ONE
        with pytest.raises(Refused, match="older than the point"):
            choose([ahead], [], "latest", until, NOW)
        with pytest.raises(Refused, match="is of 2026-11-21 10:00:30 UTC, not older"):
            choose([ahead], [], ahead.name, until, NOW)
    with pytest.raises(Refused, match="older than the point"):
        choose([dataclasses.replace(ONE, newest="2026-11-21 09:00:00")], [], "latest", "2026-11-21 10:00:05", NOW)
    dataclasses.replace(ONE, newest="yesterday").write(tmp_path)
    with pytest.raises(OperationFailed, match="cannot be read"):
        Manifest.read(tmp_path)
