# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is counted, and what people are told."""

from __future__ import annotations

import time
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import voice as module
from ansible_collections.tandem.lemp.plugins.module_utils.agent.channels import ChannelError
from ansible_collections.tandem.lemp.plugins.module_utils.agent.voice import Voice

Make = Callable[[], Voice]


class Told:
    """A channel that keeps what it is given."""

    name = "told"

    def __init__(self) -> None:
        self.messages: list[tuple[str, str]] = []
        self.takes = True

    def send(self, message: t.Mapping[str, t.Any]) -> None:
        if not self.takes:
            raise ChannelError("it does not answer")
        self.messages.append((message["kind"], message["state"]))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def make(tmp_path: Path, told: Told) -> Iterator[Make]:
    """Each one is a daemon that was started again."""
    made: list[Voice] = []

    def one() -> Voice:
        if made:
            made.pop().close()
        made.append(Voice("node-a", str(tmp_path), (told,), dict))
        return made[-1]

    yield one
    for voice in made:
        voice.close()


def wait(voice: Voice, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        voice.tick()
        time.sleep(0.005)


def test_a_change_of_the_primary_is_counted_and_nothing_else(make: Make) -> None:
    voice = make()
    for name in ("", "node-b", "node-b", "", "node-b"):  # it goes alone, and has a replica again
        voice.writer(name)
    assert voice.counters["primary_changes"] == 0
    for name in ("node-a", "node-a", "node-b"):
        voice.writer(name)
    assert voice.counters["primary_changes"] == 2


def test_an_alarm_that_goes_on_over_a_restart_is_told_once_and_its_end_too(make: Make, told: Told) -> None:
    make().note("alarm", {"name": "alone", "reason": "the replica is away"}, True)
    voice = make()
    voice.note("alarm", {"name": "alone", "reason": "the replica is away"}, True)
    voice.note("over", {"name": "alone"}, True)
    make()
    assert told.messages == [("alone", "problem"), ("alone", "recovered")]


def test_the_end_of_an_alarm_during_a_restart_is_told(make: Make, told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    voice = make()
    for name in ("alone", "witness_not_reachable"):
        voice.note("alarm", {"name": name}, True)
    voice = make()
    voice.note("alarm", {"name": "witness_not_reachable"}, True)
    voice.tick()
    assert len(told.messages) == 2  # it may show itself yet
    monkeypatch.setattr(module, "_SHOWS_WITHIN", 0.0)
    wait(voice, lambda: len(told.messages) == 3)
    assert told.messages[2] == ("alone", "recovered")
    assert [(made["kind"], made["details"]) for made in voice.history.entries if made["kind"] == "over"] == [("over", {"name": "alone"})]
    monkeypatch.undo()
    make().tick()
    assert len(told.messages) == 3


def test_what_no_channel_took_is_told_by_the_next_daemon(make: Make, told: Told) -> None:
    told.takes = False
    make().note("alarm", {"name": "alone"}, True)
    voice = make()
    told.takes = True
    voice.note("alarm", {"name": "alone"}, True)
    wait(voice, lambda: told.messages == [("alone", "problem")])
    told.takes = False
    voice.note("over", {"name": "alone"}, True)
    voice = make()
    told.takes = True
    assert voice._announced.names == {"alone"}  # and it is called over when it does not show itself


def test_the_daemon_may_be_killed(make: Make, told: Told, tmp_path: Path) -> None:
    voice = make()
    voice.note("alarm", {"name": "alone"}, True)
    wait(voice, (tmp_path / "alarms.json").exists)
    other = Voice("node-a", str(tmp_path), (), dict)
    assert other._announced.names == {"alone"}
    other.close()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"alarms": 3}', '{"alarms": [3, "alone"]}', "[" * 100_000])
def test_what_cannot_be_read_of_them_stops_nobody(make: Make, told: Told, tmp_path: Path, text: str) -> None:
    (tmp_path / "alarms.json").write_text(text)
    voice = make()
    voice.note("alarm", {"name": "diverged"}, True)
    make()
    assert ("diverged", "problem") in told.messages
    assert "diverged" in (tmp_path / "alarms.json").read_text()


def test_each_failover_is_told(make: Make, told: Told) -> None:
    """Also the second one within the quarter of an hour in which nothing is said twice."""
    voice = make()
    for operation in ("one", "two"):
        voice.note("failover", {"report": {"operation": operation, "lost": "none"}}, False)
    wait(voice, lambda: len(told.messages) == 2)
    assert told.messages == [("failover", "info")] * 2
