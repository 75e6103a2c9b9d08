# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happened is remembered, whatever the disk does."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import history as subject
from ansible_collections.tandem.lemp.plugins.module_utils.agent.history import History, Sample, Samples

NOON = 1_763_726_400.0  # 2025-11-21 12:00:00 UTC


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "history.jsonl")


def make(path, **options):
    return History("node-a", path, clock=lambda: NOON, **options)


def lines(path):
    with open(path, encoding="utf-8") as handle:
        return handle.read().splitlines()


def test_an_entry_has_every_key_and_survives_a_restart(path) -> None:
    history = make(path)
    history.record("transition", "replica", "primary", "peer_dead", "silent on both networks", 7, {"silence": 3.1})
    assert history.unsaved == 1
    assert not os.path.exists(path)  # record() never touches the disk
    assert history.flush()
    assert history.unsaved == 0
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    again = make(path)
    assert again.load() == 0
    assert again.entries == [
        {
            "time": "2025-11-21T12:00:00.000Z",
            "unix": NOON,
            "node": "node-a",
            "kind": "transition",
            "from": "replica",
            "to": "primary",
            "rule": "peer_dead",
            "reason": "silent on both networks",
            "epoch": 7,
            "details": {"silence": 3.1},
        }
    ]


@pytest.mark.parametrize("torn", [b'{"time":"2025', b"\0" * 300, b'{"kind":"x"}', b"[1]", b'"text"', b"\xff\xfe", b"[" * 100_000])
def test_a_torn_last_line_costs_only_itself(path, torn) -> None:
    history = make(path)
    history.record("first")
    history.flush()
    with open(path, "ab") as handle:
        handle.write(torn)
    after = make(path)
    assert after.load() == (0 if torn.strip(b"\0") == b"" else 1)
    after.record("second")
    after.flush()
    last = make(path)
    last.load()
    assert [made["kind"] for made in last.entries] == ["first", "second"]


def test_it_rotates_and_stays_bounded(path) -> None:
    history = make(path, max_bytes=4000)
    for number in range(100):
        history.record("event", reason=str(number))
        history.flush()
    assert os.path.getsize(path) <= 4000
    assert os.path.getsize(f"{path}.1") <= 4000
    assert sorted(os.listdir(os.path.dirname(path))) == ["history.jsonl", "history.jsonl.1"]
    again = make(path, max_bytes=4000)
    again.load()
    reasons = [int(made["reason"]) for made in again.entries]
    assert reasons == list(range(reasons[0], 100))
    assert len(reasons) > 20


def test_memory_is_bounded(path, monkeypatch) -> None:
    monkeypatch.setattr(subject, "UNSAVED", 10)
    history = make(path, keep=5)
    for number in range(25):
        history.record("event", reason=str(number))
    assert len(history.entries) == 5
    assert (history.unsaved, history.dropped) == (10, 15)


def test_a_full_disk_is_told_and_made_up_for(path, monkeypatch) -> None:
    history = make(path)
    history.record("before")
    history.flush()
    size = os.path.getsize(path)
    real = os.write
    room = [20]

    def write(descriptor, content):
        if room[0] <= 0:
            raise OSError(28, "No space left on device")
        done = real(descriptor, bytes(content)[: room[0]])
        room[0] -= done
        return done

    monkeypatch.setattr(subject.os, "write", write)
    history.record("during")
    assert not history.flush()
    assert "No space left" in history.problem
    assert os.path.getsize(path) == size  # the half line was taken back
    assert [made["kind"] for made in history.entries] == ["before", "during"]
    room[0] = 1_000_000
    assert history.flush()
    assert history.problem == ""
    assert [json.loads(line)["kind"] for line in lines(path)] == ["before", "during"]


def test_a_directory_that_is_missing(tmp_path) -> None:
    history = make(str(tmp_path / "missing" / "history.jsonl"))
    history.record("event")
    assert not history.flush()
    assert "No such file" in history.problem
    assert history.unsaved == 1


def test_a_link_is_not_followed(tmp_path, path) -> None:
    target = tmp_path / "target"
    target.write_text("precious\n")
    os.symlink(target, path)
    history = make(path)
    history.record("event")
    assert not history.flush()
    assert target.read_text() == "precious\n"


def test_values_that_json_does_not_know(path) -> None:
    history = make(path)
    loop: dict = {}
    loop["loop"] = loop
    details = {"nan": float("nan"), "set": {1}, "object": object, "deep": loop, "big": 10**6000, "text": "x" * 10_000, 5: "\ud800"}
    made = history.record("event", reason="one\ntwo", details=details)
    assert history.flush()
    assert len(lines(path)) == 1
    assert len(made["details"]["text"]) == 2000
    again = make(path)
    assert again.load() == 0
    assert again.entries[0]["reason"] == "one\ntwo"


def test_a_huge_entry_loses_its_details_only(path) -> None:
    history = make(path)
    history.record("event", reason="kept", details={str(n): "x" * 2000 for n in range(50)})
    history.flush()
    assert os.path.getsize(path) < subject.LONGEST_LINE
    assert json.loads(lines(path)[0])["reason"] == "kept"


def test_many_threads_lose_nothing(path) -> None:
    history = make(path)

    def work(name):
        for number in range(20):
            history.record("event", reason=f"{name}.{number}")
            history.flush()

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    history.flush()
    reasons = [json.loads(line)["reason"] for line in lines(path)]
    assert len(reasons) == len(set(reasons)) == 80


def test_both_nodes_in_one_order() -> None:
    mine = [subject.entry("node-a", "x", unix=NOON + n) for n in (0, 2)]
    peers = [subject.entry("node-b", "y", unix=NOON + 1), mine[0], {"unix": "yesterday"}, {}]
    together = subject.merged(mine, peers)
    assert [made["unix"] - NOON for made in together] == [0, 1, 2]
    assert subject.merged(mine, peers, limit=1) == [mine[1]]


def status(role, lag=None, peer_lag=None):
    def side(role, lag):
        return {"database": {"role": role, "replication": {"running": True, "lag": lag}}}

    return {**side(role, lag), "peer": {"status": side("replica", peer_lag)}}


def test_one_sample_per_step_and_the_worst_lag_of_it() -> None:
    samples = Samples(None)
    for second, lag in ((0, 0.0), (3, 9.0), (7, None), (11, 0.5)):
        samples.add(subject.sample(status("replica", lag), NOON + second))
    assert list(samples) == [Sample(NOON, "replica", 9.0, None), Sample(NOON + 11, "replica", 0.5, None)]


def test_a_day_and_no_more() -> None:
    samples = Samples(None)
    for step in range(9000):
        samples.add(Sample(NOON + 10 * step, "primary", None, 0.0))
    assert len(samples) == 8640
    assert next(iter(samples)).unix == NOON + 10 * 360
    samples.add(Sample(NOON + 10 * 9000 + 86_400, "primary", None, 0.0))
    assert len(samples) <= 2


def test_a_clock_that_is_set_back() -> None:
    samples = Samples(None)
    for unix in (NOON, NOON + 3600, NOON + 3610, NOON + 10):
        samples.add(Sample(unix, "primary", None, None))
    assert [point.unix - NOON for point in samples] == [0, 10]


def test_samples_survive_a_restart(tmp_path) -> None:
    path = str(tmp_path / "samples.json")
    samples = Samples(path)
    assert samples.load(NOON) == 0
    assert not samples.due(NOON + 1)
    assert samples.due(NOON + 900)
    for step in range(3):
        samples.add(Sample(NOON - 86_395 + 10 * step, "replica", 0.25, None))
    assert samples.save(NOON)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o640
    again = Samples(path)
    assert again.load(NOON) == 3
    assert list(again) == list(samples)
    assert Samples(path).load(NOON + 10) == 2  # the oldest is more than a day old
    with open(path, "w", encoding="utf-8") as handle:
        handle.write('[[1, 2], "x", [NaN, "a", 1, 2]')
    assert Samples(path).load(NOON) == 0


def test_samples_that_cannot_be_saved(tmp_path) -> None:
    samples = Samples(str(tmp_path / "missing" / "samples.json"))
    assert not samples.save(NOON)
    assert "No such file" in samples.problem


def test_half_a_file_of_samples_is_taken_away(tmp_path) -> None:
    path = tmp_path / "samples.json"
    path.mkdir()  # nothing can take its place
    samples = Samples(str(path))
    assert not samples.save(NOON)
    assert os.listdir(tmp_path) == ["samples.json"]
