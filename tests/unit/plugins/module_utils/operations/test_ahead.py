# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""On MySQL the old primary connects to the new one before anybody waits; if it dies then, nobody waits for it."""

from __future__ import annotations

import contextlib

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.operations import switchover


@pytest.fixture
def begin(make_world):
    def one():
        world = make_world()
        world.follows_ahead = True
        return world, switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish())

    return one


def number_of(begin, message: str) -> int:
    world, operation = begin()
    operation.run()
    return world.messages.index(message) + 1


def test_it_connects_before_anybody_waits_and_never_twice(begin) -> None:
    world, operation = begin()
    assert operation.run().result == "done"
    said = world.messages
    assert said.index("node-a follow_ahead") < said.index("node-b followed") < said.index("node-a hold")
    assert "node-a attach" not in said
    assert said.index("node-b let_in") < said.index("node-b forget_source") < said.index("node-a settle")
    assert [node.source for node in world.nodes.values()] == ["192.0.2.2", ""]


def test_one_that_does_not_come_in_time_connects_later(begin) -> None:
    world, operation = begin()
    answers = iter([False, True])
    world.nodes["node-b"].followed = lambda seconds: next(answers)
    assert operation.run().result == "done"
    assert world.messages.index("node-a forget_source") < world.messages.index("node-a hold") < world.messages.index("node-a attach")


@pytest.mark.parametrize("at", ["node-b followed", "node-a hold", "node-a close"])
def test_the_new_one_waits_for_no_old_one_that_died(begin, at) -> None:
    """It would go on applying only when semi-sync gives up: with an agent in an hour."""
    number = number_of(begin, at)
    world, operation = begin()
    world.power_off_at = (number, "before", "node-a")
    with contextlib.suppress(TandemError):
        operation.run()
    assert "settle" in world.nodes["node-b"].done


@pytest.mark.parametrize("at", ["node-b followed", "node-a hold", "node-a close"])
def test_nor_when_the_operation_dies_with_it(begin, engine_died, at) -> None:
    number = number_of(begin, at)
    world, operation = begin()
    world.die_at = (number, "after")
    with pytest.raises(engine_died):
        operation.run()
    world.end()
    assert "settle" in world.nodes["node-b"].done


@pytest.mark.parametrize("moment", ["before", "after"])
def test_one_that_crashes_does_not_come_back_following_before_both_are_known_to_be_equal(begin, moment) -> None:
    """It may have what the new one lacks, and whoever finds a replica that follows does not compare."""
    world, operation = begin()
    operation.run()
    first, last = (world.messages.index(f"node-a {what}") + 1 for what in ("follow_ahead", "settle"))
    for number in range(first, last + 1):
        world, operation = begin()
        world.loss_is_accepted = True  # who is opened is not the question
        world.crash_at = (number, moment, "node-a")
        with contextlib.suppress(TandemError):
            operation.run()
        settled = number == last and moment == "after"
        assert world.nodes["node-a"].would_follow is settled, world.messages[number - 1]


def test_a_journal_found_late_takes_no_source_from_a_replica(begin) -> None:
    """The old one lost its power, was compared and attached without its journal: it stays a replica."""
    number = number_of(begin, "node-a follow_ahead")
    world, operation = begin()
    world.power_off_at = (number, "after", "node-a")
    with contextlib.suppress(TandemError):
        operation.run()
    world.end()
    world.power_off_at = None
    old, new = world.nodes["node-a"], world.nodes["node-b"]
    new.writable, old.state = True, "running"
    assert old.source
    world.line("node-a").call("begin", operation="later", kind="switchover", old="node-b", new="node-a")
    assert old.source


def test_where_it_cannot_be_it_connects_later(begin) -> None:
    """What only saves time is in nobody's way."""
    world, operation = begin()
    world.nodes["node-a"].fail_at = "follow_ahead"
    report = operation.run()
    assert report.result == "done" and "node-a attach" in world.messages
    assert "follow_ahead was made to fail" in next(step["said"] for step in report.steps if step["name"] == "ahead")


def test_the_old_one_is_settled_although_the_new_one_is_lost(begin) -> None:
    """What it applies would wait for the acknowledgement of a dead one."""
    number = number_of(begin, "node-b forget_source")
    world, operation = begin()
    world.power_off_at = (number, "before", "node-b")
    with contextlib.suppress(TandemError):
        operation.run()
    assert world.nodes["node-a"].done.count("settle") == 1
