# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the role is already, only the addresses move."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.operations.addresses import (
    NOTHING,
    AddressMove,
    between,
    operation_for,
)
from ansible_collections.tandem.lemp.plugins.module_utils.operations.running import story
from ansible_collections.tandem.lemp.plugins.module_utils.operations.switchover import Wish

CHANGES = {"close", "open", "attach", "hold", "kill_sessions", "commit", "point_at"}


@pytest.fixture
def world(make_world):
    """node-a is the primary; its addresses are at node-b."""
    made = make_world()
    made.nodes["node-a"].vips, made.nodes["node-b"].vips = False, True
    return made


def move(world) -> AddressMove:
    return AddressMove(world.line("node-b"), world.line("node-a"))


def asked(world) -> set[str]:
    return {message.partition(" ")[2] for message in world.messages}


def test_they_move_and_no_database_is_touched(world) -> None:
    report = move(world).run()
    assert (report.result, report.vips_ms, report.warnings) == ("done", 100.0, [])
    assert (world.nodes["node-a"].vips, world.nodes["node-b"].vips) == (True, False)
    assert world.open_nodes() == ["node-a"] and not CHANGES & asked(world)
    told = story(asdict(report))
    assert told[0] == "addresses of node-b to node-a: done" and "the addresses moved" in told[-1]


def test_the_plan_shows_it_and_changes_nothing(world) -> None:
    report = move(world).rehearse()
    assert report.result == "planned" and "  step     Addresses on node-a" in story(asdict(report))
    assert world.nodes["node-b"].vips and asked(world) == {"observe"}


@pytest.mark.parametrize("really", [True, False])
def test_nothing_to_do_where_both_are_there(make_world, really) -> None:
    world = make_world()
    operation = move(world)
    report = operation.run() if really else operation.rehearse()
    assert (report.result, report.steps) == ("nothing to do", []) and "give_addresses" not in asked(world)


def test_nobody_is_asked_to_give_what_it_has_not(make_world) -> None:
    """A pair without addresses, or whose keepalived is stopped everywhere."""
    world = make_world()
    world.nodes["node-a"].vips = False
    report = move(world).run()
    assert report.result == "nothing to do" and "give_addresses" not in asked(world)
    assert report.warnings == ["node-a does not hold all addresses, and node-b holds none that it could give."]


@pytest.mark.parametrize("runs_on", ["node-a", "node-b"])
def test_the_primary_that_lacks_its_addresses_gets_them_wherever_it_is_asked(world, runs_on) -> None:
    here, there = (world.line(name) for name in sorted(world.nodes, reverse=runs_on == "node-b"))
    operation = operation_for(here, there, "node-a", Wish(move_vips=True))
    assert operation.run().result == "done" and operation.report.kind == "addresses"
    assert world.nodes["node-a"].vips and world.open_nodes() == ["node-a"]


def test_the_addresses_stay_where_they_are_unless_that_is_asked(world) -> None:
    here, there = world.line("node-a"), world.line("node-b")
    assert operation_for(here, there, "node-a", Wish()).report.result == "nothing to do"
    assert operation_for(here, there, "node-b", Wish(move_vips=True)).report.kind == "switchover"


def test_who_is_not_the_primary_does_not_take_the_role_itself(world) -> None:
    with pytest.raises(Refused, match="node-b is this node"):
        operation_for(world.line("node-b"), world.line("node-a"), "node-b", Wish(move_vips=True))


def test_a_command_on_either_node_moves_only_what_is_not_there(world) -> None:
    """By the command `tandem`, which runs on either node."""
    a, b = world.line("node-a"), world.line("node-b")
    assert between(b, a, Wish(move_vips=True)).run().kind == "addresses"
    assert between(b, a, Wish()).report.result == NOTHING
    assert between(a, b, Wish()).report.kind == "switchover"


def test_they_do_not_go_where_the_role_is_not(make_world) -> None:
    world = make_world()
    operation = AddressMove(world.line("node-a"), world.line("node-b"))
    with pytest.raises(Refused, match=r"role-of-node-b: found takes no writes; needed: takes writes"):
        operation.run()
    assert operation.report.result == "refused" and world.nodes["node-a"].vips


def test_a_node_that_does_not_take_them_is_named(world, monkeypatch) -> None:
    monkeypatch.setattr(world.nodes["node-a"], "has_addresses", lambda seconds: False)
    operation = move(world)
    with pytest.raises(OperationFailed, match="node-a has not taken the addresses within 10 s"):
        operation.run()
    assert operation.report.result == "half done" and "failed" in story(asdict(operation.report))[-2]
    world.end()
    assert world.open_nodes() == ["node-a"]


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("message", range(1, 9))
def test_killed_at_any_message_the_role_stays(world, engine_died, message, moment) -> None:
    world.die_at = (message, moment)
    operation = move(world)
    try:
        operation.run()
    except engine_died:
        world.end()
    assert world.open_nodes() == ["node-a"] and not world.violations
