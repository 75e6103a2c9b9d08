# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from dataclasses import asdict

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused
from ansible_collections.tandem.lemp.plugins.module_utils.operations.failover import Failover, Wish, story
from ansible_collections.tandem.lemp.plugins.module_utils.plan import Undone


def failover(world, old_reachable=True, **wish):
    old = world.line("node-a") if old_reachable else None
    return Failover(world.line("node-b"), old, "node-a", Wish(**wish), "" if old else "The hand on node-a has not answered.")


def power_off(world):
    world.nodes["node-a"].state, world.nodes["node-a"].writable = "stopped", False
    return world


def refused(operation) -> str:
    with pytest.raises(Refused) as caught:
        operation.run()
    assert operation.report.result == "refused"
    return str(caught.value)


def test_silence_is_no_proof(make_world) -> None:
    world = power_off(make_world())
    assert "-e peer_is=dead" in refused(failover(world, old_reachable=False))
    assert world.open_nodes() == []


def test_a_dead_one_is_followed_by_the_survivor(make_world) -> None:
    world = power_off(make_world())
    operation = failover(world, old_reachable=False, peer_is_dead=True)
    report = operation.run()
    assert world.open_nodes() == ["node-b"]
    assert (report.result, report.lost) == ("done", "unknown")
    assert "rejoin.yml" in report.next
    told = "\n".join(story(asdict(report)))
    assert "silent ssh port" in told
    assert "may be lost: unknown" in told


def test_one_that_answers_is_not_dead(make_world) -> None:
    world = power_off(make_world())
    world.peer_answers = True
    assert "ssh port: open" in refused(failover(world, old_reachable=False, peer_is_dead=True))


def test_nobody_calls_dead_what_answers(make_world) -> None:
    assert "peer_is=dead was said" in refused(failover(power_off(make_world()), peer_is_dead=True))


def test_a_living_primary_is_a_case_for_a_switchover(make_world) -> None:
    world = make_world()
    assert "switchover.yml" in refused(failover(world))
    assert world.open_nodes() == ["node-a"]


def test_what_only_the_old_one_has_is_rescued_and_kept(make_world) -> None:
    world = power_off(make_world())
    world.nodes["node-a"].executed_text = "0-1-105"
    report = failover(world).run()
    assert (report.rescued, report.lost) == (5, "none")
    assert world.nodes["node-b"].executed_text == "0-1-105"


def test_what_is_given_up_is_told(make_world) -> None:
    world = power_off(make_world())
    world.loss_is_accepted = True
    world.nodes["node-a"].executed_text = "0-1-105"
    report = failover(world, give_up_rescue=True).run()
    assert report.lost == "5 transactions: 0-1-101..105"


def test_a_rebooted_old_primary_sends_the_rest_itself(make_world) -> None:
    world = make_world()
    world.nodes["node-a"].writable = False
    world.nodes["node-a"].executed_text = "0-1-105"
    report = failover(world).run()
    assert (report.rescued, report.lost) == (0, "none")
    assert world.nodes["node-b"].executed_text == "0-1-105"


@pytest.mark.parametrize("comes", ["0-1-105", "0-1-103"])
def test_what_comes_by_itself_while_it_is_rescued_is_not_fetched(make_world, monkeypatch, comes) -> None:
    """It was not here when the wait for it ended, and is here when replication has been stopped."""
    world = power_off(make_world())
    old, new = world.nodes["node-a"], world.nodes["node-b"]
    old.executed_text = "0-1-105"
    stop = new.stop_replication

    def comes_at_last():
        new.executed_text = new.received = comes
        stop()

    monkeypatch.setattr(new, "stop_replication", comes_at_last)
    operation = failover(world)
    report = operation.run()
    said = {step["name"]: step["said"] for step in report.steps}["rescue"]
    if comes == "0-1-105":
        assert (report.rescued, report.rescue_file, report.lost, report.executed) == (0, "", "none", "0-1-105")
        assert "rescue_extract" not in old.done and "rescue_apply" not in new.done
        assert said.startswith("nothing is missing")
    else:
        assert report.rescued == 2 and "rescue_apply" in new.done
    assert new.executed_text == "0-1-105" and world.open_nodes() == ["node-b"] and not world.violations


def test_what_the_binary_log_does_not_hold_is_named_and_nothing_is_applied(make_world, monkeypatch) -> None:
    world = power_off(make_world())
    old, new = world.nodes["node-a"], world.nodes["node-b"]
    old.executed_text = "0-1-105"
    monkeypatch.setattr(old, "rescue_extract", lambda name, known, seconds: {"transactions": 0, "bytes": 0, "sha256": "", "gtid": "", "file": "file"})
    with pytest.raises(Undone, match=r"node-b lacks 5 transactions of node-a, whose binary log does not hold them"):
        failover(world).run()
    assert "rescue_apply" not in new.done and world.open_nodes() == []


def test_what_was_received_and_cannot_be_applied_refuses(make_world) -> None:
    world = power_off(make_world())
    replica = world.nodes["node-b"]
    replica.received, replica.sql_running = "0-1-103", False
    assert "3 transactions to apply, applying is stopped" in refused(failover(world))
    world.end()
    replica.sql_running, replica.sql_error = True, "duplicate key"
    assert "duplicate key" in refused(failover(world))
    assert world.open_nodes() == []


def test_two_that_diverged_are_not_mixed(make_world) -> None:
    world = power_off(make_world())
    world.nodes["node-a"].executed_text = "0-1-105"
    world.nodes["node-b"].executed_text = world.nodes["node-b"].received = "0-1-100,0-2-101"
    assert "0-2-" in refused(failover(world))


def test_what_two_wrote_that_diverged_is_counted_when_it_is_given_up(make_world) -> None:
    """The survivor has written more since: its sequence is higher, and hides nothing."""
    world = power_off(make_world())
    world.nodes["node-a"].executed_text = "0-1-110"
    world.nodes["node-b"].executed_text = world.nodes["node-b"].received = "0-1-100,0-2-120"
    operation = failover(world)
    assert "node-b lacks 10 transactions, node-a lacks 0-2-" in refused(operation)
    world.end()
    assert failover(world, give_up_rescue=True).run().lost == "10 transactions: 0-1-101..110"


def test_other_data_are_refused(make_world, monkeypatch) -> None:
    world = power_off(make_world())
    observe = world.nodes["node-b"].observe
    monkeypatch.setattr(
        world.nodes["node-b"], "observe", lambda: {**(seen := observe()), "server": {**seen["server"], "lineage": ""}}
    )
    assert "was never a replica here" in refused(failover(world))


def test_what_replication_leaves_out_is_told_and_keeps_nothing_from_happening(make_world) -> None:
    world = power_off(make_world())
    world.nodes["node-b"].filters = ["replicate_ignore_table = blog.cache", "it stays 60 s behind"]
    report = failover(world).run()
    assert report.warnings == ["What replication leaves out never came to node-b: replicate_ignore_table = blog.cache; it stays 60 s behind."]
    assert world.open_nodes() == ["node-b"]


def test_a_survivor_that_does_not_say_is_opened_all_the_same(make_world) -> None:
    world = power_off(make_world())
    world.nodes["node-b"].fail_at = "left_out"
    report = failover(world).run()
    assert "cannot be seen" in report.warnings[0] and world.open_nodes() == ["node-b"]


def test_twice_does_nothing_the_second_time(make_world) -> None:
    world = power_off(make_world())
    failover(world).run()
    world.end()
    assert failover(world).run().result == "nothing to do"
    assert world.open_nodes() == ["node-b"]


def test_a_rehearsal_changes_nothing(make_world) -> None:
    world = power_off(make_world())
    report = failover(world).rehearse()
    assert report.result == "planned"
    assert not {"begin", "commit"} & {message.partition(" ")[2] for message in world.messages}
    assert world.open_nodes() == []


@pytest.mark.parametrize("action", ["kill_sessions", "close", "apply_received", "stop_replication", "rescue_apply"])
def test_every_failure_before_the_point_of_no_return_is_taken_back(make_world, action) -> None:
    world = make_world()
    world.nodes["node-a"].executed_text = "0-1-105"
    world.nodes["node-b"].io_running = False
    for node in world.nodes.values():
        node.fail_at = action
    operation = failover(world, force_fence=True)
    with pytest.raises(Undone):
        operation.run()
    assert operation.report.result == "undone"
    assert world.open_nodes() == ["node-a"]
    assert not world.violations


@pytest.mark.parametrize("hung", ["unknown", "activating"])
def test_one_that_hangs_or_flaps_is_stopped(make_world, hung) -> None:
    world = power_off(make_world())
    old = world.nodes["node-a"]
    if hung == "unknown":
        old.state = "unknown"
    else:
        old.unit_state = hung
    if hung == "unknown":
        assert "force_fence" in refused(failover(world))
        world.end()
    report = failover(world, force_fence=True).run()
    assert "stop_unit" in old.done
    assert "its unit is stopped" in " ".join(report.warnings)
    assert world.open_nodes() == ["node-b"]
