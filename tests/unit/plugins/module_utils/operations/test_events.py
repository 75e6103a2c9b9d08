# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The new primary learns which scheduled events are off, also when the operation dies after the point of no return."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.operations import failover, switchover

OFF = {"blog.purge": "DISABLED"}


def moves(world, kind: str):
    old, new = world.line("node-a"), world.line("node-b")
    if kind == "switchover":
        return switchover.Switchover(old, new, switchover.Wish())
    return failover.Failover(new, old, "node-a", failover.Wish(force_fence=True))


@pytest.mark.parametrize("kind", ["switchover", "failover"])
def test_the_old_primary_is_asked_before_it_closes(make_world, kind: str) -> None:
    world = make_world()
    assert moves(world, kind).run().result == "done"
    assert world.nodes["node-b"].ran == [OFF]
    assert world.messages.index("node-a events") < world.messages.index("node-a close")


@pytest.mark.parametrize("kind", ["switchover", "failover"])
def test_they_run_although_the_operation_died_after_the_point_of_no_return(make_world, engine_died, kind: str) -> None:
    world = make_world()
    moves(world, kind).run()
    number = world.messages.index("node-b open") + 1
    world = make_world()
    world.die_at = (number, "before")
    with pytest.raises(engine_died):
        moves(world, kind).run()
    world.end()
    assert world.nodes["node-b"].writable and world.nodes["node-b"].ran == [OFF]
    assert world.nodes["node-a"].ran == []


def test_those_of_a_dead_one_are_told_of(make_world) -> None:
    world = make_world()
    world.nodes["node-a"].state, world.nodes["node-a"].writable = "stopped", False
    world.nodes["node-a"].unit_state = "inactive"
    world.nodes["node-b"].run_events = lambda before=None: ["blog.purge"] if before is None else []
    report = moves(world, "failover").run()
    assert report.result == "done"
    assert [warning for warning in report.warnings if "Scheduled events on node-b now: blog.purge." in warning]
