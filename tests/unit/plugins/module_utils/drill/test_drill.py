# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a drill breaks, what it sees, and what it says."""

from __future__ import annotations

import itertools
import signal
import subprocess
import time
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.connection import Endpoint
from ansible_collections.tandem.lemp.plugins.module_utils.drill import fault, rows, story, watching
from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, StatementFailed, Unreachable


def process(proc: Path, number: int, name: str, unit: str = "") -> None:
    entry = proc / str(number)
    entry.mkdir()
    (entry / "comm").write_text(f"{name}\n", encoding="utf-8")
    (entry / "cgroup").write_text(f"0::/system.slice/{unit}\n", encoding="utf-8")


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    process(tmp_path, 40, "python3", "tandem-health.service")
    process(tmp_path, 41, "python3", "something.service")
    process(tmp_path, 50, "mariadbd")
    process(tmp_path, 61, "php-fpm8.2")
    process(tmp_path, 60, "php-fpm8.2")
    process(tmp_path, 70, "nginx")
    (tmp_path / "self").mkdir()
    (tmp_path / "99").mkdir()  # has ended: nothing in it can be read
    return tmp_path


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("kill_database", [50]),
        ("stop_database", [50]),
        ("kill_php_fpm", [60, 61]),
        ("kill_nginx", [70]),
        ("kill_agent", [40]),
        ("kill_keepalived", []),
    ],
)
def test_exactly_the_processes_of_a_fault_are_found(proc: Path, name: str, numbers: list[int]) -> None:
    assert fault.processes(fault.FAULTS[name][0], proc) == numbers


def test_nobody_to_break_is_an_error_and_one_that_went_meanwhile_is_none() -> None:
    sent: list[tuple[int, int]] = []

    def send(number: int, what: int) -> None:
        if number == 1:
            raise ProcessLookupError
        sent.append((number, what))

    assert fault.strike("kill_nginx", [1, 2], send) == [2]
    assert sent == [(2, signal.SIGKILL)]
    with pytest.raises(Refused):
        fault.strike("kill_nginx", [1], send)
    fault.release([1, 3], send)
    assert sent[-1] == (3, signal.SIGCONT)


def test_who_stands_still_goes_on_though_the_drill_was_killed() -> None:
    victim = subprocess.Popen(["sleep", "60"])

    def state() -> str:
        return Path(f"/proc/{victim.pid}/stat").read_text(encoding="utf-8").split()[2]

    def until(wanted: bool) -> None:
        deadline = time.monotonic() + 10
        while (state() == "T") is not wanted:
            assert time.monotonic() < deadline

    try:
        fault.strike("stop_database", [victim.pid], hold=0.5)
        until(True)
        until(False)  # and nobody has called release()
    finally:
        victim.kill()
        victim.wait()


@pytest.mark.parametrize(("said", "role"), [(0, "primary"), ("OFF", "primary"), (1, "replica"), ("ON", "replica"), ("NO_LOCK_NO_ADMIN", "replica")])
def test_the_role_is_read_as_any_server_says_it(monkeypatch: pytest.MonkeyPatch, said: object, role: str) -> None:
    """MariaDB 12 says a word."""

    class Answers:
        def __init__(self, _endpoint: Endpoint) -> None:
            pass

        def __enter__(self) -> object:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

        def rows(self, _statement: str, _arguments: object) -> list[object]:
            return []

        def value(self, _statement: str) -> object:
            return said

    monkeypatch.setattr(rows, "Connection", Answers)
    assert rows.rows(Endpoint(), "d1", False)["role"] == role


class Server:
    """Answers as it is told: True, or an error."""

    def __init__(self, answers: list[object]) -> None:
        self.answers, self.numbers, self.closed = answers, [], 0

    def rows(self, _statement: str, arguments: tuple[str, ...]) -> list[object]:
        self.numbers.append(arguments[0])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return []

    def close(self) -> None:
        self.closed += 1


def wrote(answers: list[object]) -> tuple[watching.Seen, Server]:
    seen, server, clock = watching.Seen(), Server(answers), iter(range(100))
    writer = watching.Writer(Endpoint(), "d1", "node-a", seen, lambda _endpoint: server)
    for _answer in list(answers):
        writer.step(lambda: float(next(clock)))
    return seen, server


def test_only_what_was_answered_counts_and_every_row_has_its_own_number() -> None:
    seen, server = wrote([True, True, StatementFailed("closed", code=1290), True, Unreachable("gone"), True])
    assert seen.refused == 1 and seen.failed == 1 and server.closed == 1
    assert len(set(server.numbers)) == 6
    assert [number.rpartition("-")[2] for number in seen.acknowledged] == ["1", "2", "4", "6"]
    # Only between the first two was it surely open.
    assert len(seen.spans) == 1


def node(moments: list[float], **more: object) -> dict[str, object]:
    name = str(more.pop("name"))
    acknowledged = {f"{name}-{place}": moment for place, moment in enumerate(moments)}
    spans = list(itertools.pairwise(moments))
    return {
        "seen": {"acknowledged": acknowledged, "spans": spans, "pages": moments, "broken": 3.0, "ended": 10.0},
        "struck": [], "present": [], "role": "replica", **more,
    }  # fmt: skip


def both(**changes: object) -> dict[str, dict[str, object]]:
    first = node([1.0, 2.0, 2.9], name="a", struck=[50])
    second = node([4.1, 5.0, 6.0, 7.0, 8.0, 9.0, 9.9], name="b", role="primary")
    everything = [*first["seen"]["acknowledged"], *second["seen"]["acknowledged"]]
    for one in (first, second):
        one["present"] = list(everything)
    second.update(changes)
    return {"node-a": first, "node-b": second}


def test_a_drill_in_which_nothing_is_lost() -> None:
    verdict = story.judge(both())
    assert story.faultless(verdict)
    assert verdict["writes_out_ms"] == 1200
    assert verdict["primary"] == "node-b"
    assert "  10 writes acknowledged, 0 of them lost" in story.tell("kill_database", verdict)


def test_a_write_that_one_node_lacks_is_lost() -> None:
    present = [f"a-{number}" for number in range(3)]
    verdict = story.judge(both(present=present))
    assert not story.faultless(verdict)
    assert len(verdict["lost"]["node-b"]) == 7


def test_two_writers_are_seen() -> None:
    nodes = both()
    nodes["node-b"]["seen"]["spans"].insert(0, (2.5, 4.1))
    verdict = story.judge(nodes)
    assert verdict["both_wrote_ms"] == 400
    assert not story.faultless(verdict)


def test_a_drill_without_a_write_proves_nothing() -> None:
    nodes = {name: {**found, "seen": {**found["seen"], "acknowledged": {}, "spans": []}} for name, found in both().items()}
    assert not story.faultless(story.judge(nodes))
