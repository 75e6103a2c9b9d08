# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A switchover that takes the writers of every Atlas offline puts them back, whatever dies meanwhile."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.operations import switchover


def begin(make_world, **wish):
    world = make_world()
    return world, switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish(**wish))


def test_nobody_is_asked_for_an_atlas_that_is_not_meant(make_world) -> None:
    world, operation = begin(make_world)
    assert operation.run().result == "done"
    assert not any("atlas" in message for message in world.messages)


def test_both_are_offline_before_anybody_is_held_and_back_when_the_new_one_takes_writes(make_world) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    report = operation.run()
    said = world.messages
    assert report.result == "done"
    for node in ("node-a", "node-b"):
        assert said.index(f"{node} atlas_offline") < said.index("node-a hold")
        assert said.index("node-b let_in") < said.index(f"{node} atlas_online")
        assert world.nodes[node].atlas_off == []
    assert {"atlas-offline", "atlas-online"} < {step["name"] for step in report.steps}
    planned = begin(make_world, atlas_offline=True)[1].rehearse().steps
    assert {step["name"] for step in planned} > {"atlas-offline", "atlas-online"}
    assert any("new writes on: they are refused" in str(step) for step in planned)  # the plan that a person is asked about says so


def test_one_that_does_not_answer_is_a_gate(make_world) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    world.nodes["node-b"].fail_at = "atlas_writers"
    with pytest.raises(Refused, match="leave out atlas_offline"):
        operation.run()
    assert world.open_nodes() == ["node-a"]
    assert not any("offline" in message for message in world.messages)


@pytest.mark.parametrize("at", ["atlas_offline", "hold", "commit"])
def test_taking_back_puts_them_online(make_world, at) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    world.nodes["node-b"].fail_at = at if at != "commit" else "wait_for"
    with contextlib.suppress(TandemError):
        operation.run()
    assert world.open_nodes() == ["node-a"]
    assert [node.atlas_off for node in world.nodes.values()] == [[], []]
    if "node-a hold" in world.messages:
        # Its writer is the proxy, which serves nobody while it holds.
        assert world.messages.index("node-b let_through") < world.messages.index("node-a atlas_online")


def test_one_that_does_not_come_back_is_told_and_the_other_one_is_put_online(make_world) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    world.nodes["node-a"].fail_at = "atlas_online"
    report = operation.run()
    assert report.result == "done"
    assert any("node-a: " in warning and "unfence.yml" in warning for warning in report.warnings)
    assert world.nodes["node-b"].atlas_off == []


def test_whatever_dies_each_node_puts_its_own_online(make_world, engine_died) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    operation.run()
    for number, moment in itertools.product(range(1, len(world.messages) + 1), ("before", "after")):
        world, operation = begin(make_world, atlas_offline=True)
        world.die_at = (number, moment)
        with pytest.raises(engine_died):
            operation.run()
        world.end()
        assert [node.atlas_off for node in world.nodes.values()] == [[], []], f"died {moment} {world.messages[-1]}"


def test_an_atlas_that_does_not_answer_is_in_the_way_of_no_recovery(make_world, engine_died) -> None:
    world, operation = begin(make_world, atlas_offline=True)
    operation.run()
    number = world.messages.index("node-a close") + 1
    world, operation = begin(make_world, atlas_offline=True)

    def silent(addresses):
        raise OperationFailed("It does not answer.")

    world.nodes["node-a"].atlas_online = silent
    world.die_at = (number, "after")
    with pytest.raises(engine_died):
        operation.run()
    world.end()
    assert world.open_nodes() == ["node-a"]
    assert not any(line.failed for line in world.lines.values())
