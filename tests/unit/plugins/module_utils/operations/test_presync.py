# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Before anybody has to wait, the replica comes close; one that does not is no reason for a long pause."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.operations import switchover
from ansible_collections.tandem.lemp.plugins.module_utils.plan import Undone


class Clock:
    """Seconds, moved on by what takes time."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def begin(make_world):
    """A switchover whose replica takes lag(seconds since the first wait) to apply what it is asked for, and the waits it was asked for."""

    def one(lag, **wish):
        world, clock, waits = make_world(), Clock(), []
        replica = world.nodes["node-b"]
        began = clock.now

        def wait_for(transactions, seconds):
            took = lag(clock.now - began)
            waits.append(took)
            clock.now += took
            replica.executed_text = replica.received = transactions
            return {"executed": transactions}

        replica.wait_for = wait_for
        operation = switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish(**wish), clock=clock)
        return world, operation, waits

    return one


def presync(report):
    return next(step for step in report.steps if step["name"] == "presync")


def test_one_that_is_close_is_not_waited_for(begin) -> None:
    _world, operation, waits = begin(lambda _passed: 0.01)
    report = operation.run()
    assert report.result == "done"
    assert presync(report)["said"] == "10 ms behind"
    assert len(waits) == 3  # what was written so far, close, and the rest


def test_one_that_lags_gets_its_chance(begin) -> None:
    _world, operation, _waits = begin(lambda passed: 0.5 if passed < 8 else 0.02)
    report = operation.run()
    assert report.result == "done"
    assert presync(report)["said"] == "20 ms behind"
    assert 8000 <= presync(report)["ms"] < 9000


def test_less_and_less_is_asked_of_one_that_stays_behind(begin) -> None:
    _world, operation, _waits = begin(lambda _passed: 0.2)
    report = operation.run()
    assert report.result == "done"
    assert presync(report)["said"] == "200 ms behind"
    assert 13_000 < presync(report)["ms"] < 15_000  # 0.03 s doubled 2.7 times


def test_one_that_stays_far_behind_ends_it_before_anybody_waits(begin) -> None:
    world, operation, _waits = begin(lambda _passed: 4.6)
    with pytest.raises(Undone, match=r"node-b stays 4.6 s behind node-a: the pause would be longer than max_pause \(5 s\)"):
        operation.run()
    assert operation.report.result == "undone"
    assert world.open_nodes() == ["node-a"]
    assert not any(message.endswith((" hold", " close")) for message in world.messages)


def test_a_longer_pause_can_be_allowed(begin) -> None:
    _world, operation, _waits = begin(lambda _passed: 4.6, max_pause=6)
    report = operation.run()
    assert report.result == "done"
    assert presync(report)["said"] == "stays 4.6 s behind"
