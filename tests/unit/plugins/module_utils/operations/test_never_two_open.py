# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever dies at whatever message: never two servers that take writes, and never a promise broken."""

from __future__ import annotations

import contextlib
import itertools

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import Refused, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.fence.record import Record
from ansible_collections.tandem.lemp.plugins.module_utils.hand import recover
from ansible_collections.tandem.lemp.plugins.module_utils.hand.client import HandLost
from ansible_collections.tandem.lemp.plugins.module_utils.hand.journal import Journal
from ansible_collections.tandem.lemp.plugins.module_utils.operations import failover, switchover
from ansible_collections.tandem.lemp.plugins.module_utils.plan import HalfDone

ORDERS = (("node-a", "node-b"), ("node-b", "node-a"))
MOMENTS = ("before", "after")
_MORE_THAN_ANY_PLAN = 200


def switch(world):
    return switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish(move_vips=True))


def fail_over(world, old_reachable=True, **wish):
    old = world.line("node-a") if old_reachable else None
    return failover.Failover(world.line("node-b"), old, "node-a", failover.Wish(**wish), "silent")


def behind(world):
    """node-b lacks what node-a wrote last, and does not get it by itself."""
    world.nodes["node-a"].executed_text = "0-1-105"
    world.nodes["node-b"].io_running = False


def forced(world):
    behind(world)
    return fail_over(world, force_fence=True)


def crashed(world):
    behind(world)
    world.nodes["node-a"].state, world.nodes["node-a"].writable = "stopped", False
    return fail_over(world)


def ahead(world):
    world.follows_ahead = True
    return switch(world)


PLANS = {"switchover": switch, "switchover, connected ahead": ahead, "forced failover": forced, "failover of a crashed one": crashed}


def messages_of(make_world, plan) -> int:
    world = make_world()
    PLANS[plan](world).run()
    world.end()
    assert world.open_nodes() == ["node-b"]
    assert not world.violations
    return len(world.messages)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("order", ORDERS, ids="-first ".join)
def test_the_engine_dies_at_any_message(make_world, engine_died, plan, order) -> None:
    """Before the point of no return exactly the old primary is open afterwards (if it was), after it exactly the new one."""
    count = messages_of(make_world, plan)
    assert 10 < count < _MORE_THAN_ANY_PLAN
    for number, moment in itertools.product(range(1, count + 1), MOMENTS):
        world = make_world()
        operation = PLANS[plan](world)
        was_open = world.open_nodes()
        world.die_at = (number, moment)
        with pytest.raises(engine_died):
            operation.run()
        world.end(order)
        where = f"died {moment} message {number}, {world.messages[-1]}"
        assert not world.violations, where
        assert not any(line.failed for line in world.lines.values()), where
        commits = [name for name in world.nodes if world.committed(name)]
        if not commits:
            assert world.open_nodes() == was_open, where
            assert world.nodes["node-b"].sql_running, where
        elif commits == ["node-a"]:
            # One message wide: the old one may not open any more, the new one not yet.
            assert world.open_nodes() == [], where
        else:
            assert world.open_nodes() == ["node-b"], where
        assert not any(world.nodes[name].source for name in world.open_nodes()), where


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("victim", ["node-a", "node-b"])
@pytest.mark.parametrize("blind", [False, True], ids=["nodes see each other", "blind"])
def test_a_node_loses_power_at_any_message_and_comes_back(make_world, engine_died, plan, victim, blind) -> None:
    """Its database comes back closed, and its journal, found late, never opens it beside the other one."""
    count = messages_of(make_world, plan)
    for number, moment in itertools.product(range(1, count + 1), MOMENTS):
        world = make_world()
        operation = PLANS[plan](world)
        world.loss_is_accepted = True  # who is open is the question here
        world.power_off_at = (number, moment, victim)
        with contextlib.suppress(TandemError):
            operation.run()
        world.end()
        where = f"{victim} lost power {moment} message {number}, {world.messages[-1]}"
        assert len(world.open_nodes()) <= 1, where
        # Somebody makes the other one the primary, then the node returns and takes part in an operation.
        survivor = world.nodes["node-b" if victim == "node-a" else "node-a"]
        survivor.writable = True
        world.blind = blind
        world.nodes[victim].state = "running"
        world.power_off_at = None
        returned = world.line(victim)
        with contextlib.suppress(TandemError):
            returned.call("begin", operation="later", kind="switchover", old=survivor.name, new=victim)
        returned.break_off()
        assert world.open_nodes() == [survivor.name], where
        assert not world.violations, where


def test_a_journal_found_late_opens_only_a_server_whose_peer_is_closed(make_world) -> None:
    """The primary alone lost its power after it was closed: nobody else was made primary, so it opens again."""
    world = make_world()
    operation = switch(world)
    number = next(n for n in range(1, 99) if _closes(make_world, n))
    world.power_off_at = (number, "after", "node-a")
    with contextlib.suppress(TandemError):
        operation.run()
    world.end()
    world.nodes["node-a"].state = "running"
    world.power_off_at = None
    world.line("node-a").call("begin", operation="later", kind="switchover", old="node-a", new="node-b")
    assert world.open_nodes() == ["node-a"]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("read_it", [True, False], ids=["it had read it", "it had not"])
def test_a_new_one_that_freezes_at_the_point_of_no_return_leaves_the_old_one_closed(make_world, plan, read_it) -> None:
    """It goes on by itself if it had read the message; nobody here can tell, so nobody opens the old one."""
    world = make_world()
    operation = PLANS[plan](world)
    line = operation.new
    call = line.call

    def freezes(what, timeout=30, **arguments):
        if what != "commit":
            return call(what, timeout, **arguments)
        if read_it:
            call(what, timeout, **arguments)
        line.lost = True
        line.break_off()
        raise HandLost("node-b has not answered for 30 s")

    line.call = freezes
    with pytest.raises(HalfDone, match="node-b was lost at the point of no return"):
        operation.run()
    world.end()
    assert world.open_nodes() == (["node-b"] if read_it else []) and not world.violations


@pytest.mark.parametrize("driver", ["read_only", "grants", "haproxy", "unreadable"])
@pytest.mark.parametrize("late", [False, True], ids=["at once", "late"])
@pytest.mark.parametrize("committed", [False, True], ids=["taking back", "going on"])
def test_a_node_that_a_person_has_fenced_meanwhile_is_not_opened_by_its_journal(make_world, tmp_path, monkeypatch, driver, late, committed) -> None:
    """Nobody else takes writes, so nothing but the fence keeps it closed. One of a proxy leaves the database as it is."""
    path = tmp_path / "fence.json"
    monkeypatch.setattr(recover, "Record", lambda: Record(path))
    world = make_world()
    name = "node-b" if committed else "node-a"
    line = world.line(name)
    line.call("begin", operation="20261121T100000Z-0001", kind="switchover", old="node-a", new="node-b")
    world.nodes["node-a"].writable = False
    line.call("commit" if committed else "close")
    if driver == "unreadable":
        path.write_text("{")
    else:
        Record(path).keep(driver, {"was_open": True})
    if late:
        line.power_off()
        world.nodes[name].state = "running"
        line = world.line(name)
        line.call("begin", operation="20261121T100000Z-0002", kind="switchover", old="node-a", new="node-b")
    line.break_off()
    assert not line.failed and world.open_nodes() == ([name] if driver == "haproxy" else [])
    end = Journal.load(world.directory / name / "journal" / "20261121T100000Z-0001.jsonl").entries[-1]
    assert end["outcome"] == ("left closed" if driver != "haproxy" else "finished" if committed else "undone")


def _closes(make_world, number: int) -> bool:
    world = make_world()
    switch(world).run()
    world.end()
    return world.messages[number - 1] == "node-a close"


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("victim", ["node-a", "node-b"])
def test_a_database_crashes_at_any_message_and_nothing_is_in_the_way_of_what_comes_next(make_world, plan, victim) -> None:
    """Nobody is held for ever, never are two open, and the survivor can be made the primary while the other stays dead."""
    count = messages_of(make_world, plan)
    for number, moment in itertools.product(range(1, count + 1), MOMENTS):
        world = make_world()
        operation = PLANS[plan](world)
        world.loss_is_accepted = True  # a replica that was behind, and its dead source: what is lost is not the question
        world.crash_at = (number, moment, victim)
        with contextlib.suppress(TandemError):
            operation.run()
        world.end()
        where = f"{victim} crashed {moment} message {number}, {world.messages[-1]}"
        assert not world.violations, where
        assert not any(line.failed for line in world.lines.values()), where
        assert not any(node.holds for node in world.nodes.values()), where
        world.crash_at = None
        survivor = "node-b" if victim == "node-a" else "node-a"
        if world.nodes[survivor].writable:
            continue
        world.nodes[survivor].state = "running"
        later = failover.Failover(
            world.line(survivor), world.line(victim), victim, failover.Wish(give_up_rescue=True, force_fence=True), ""
        )
        later.run()
        world.end((survivor, victim))
        assert world.open_nodes() == [survivor], where


def test_a_mistake_in_a_hand_does_not_end_the_conversation(make_world) -> None:
    """Neither a full disk nor a wrong argument leaves a node half-way."""
    world = make_world()
    line = world.line("node-a")
    line.call("begin", operation="20261121T100000Z-0001", kind="switchover", old="node-a", new="node-b")
    line.call("prepare_hold", limit=7)
    line.call("hold", server="node-a", limit=7)
    with pytest.raises(TandemError, match="node-a: TypeError"):
        line.call("close", nonsense=1)

    def full() -> None:
        raise OSError(28, "No space left on device")

    world.nodes["node-a"].close = full
    with pytest.raises(TandemError, match="node-a: No space left on device"):
        line.call("close")
    line.break_off()
    assert world.open_nodes() == ["node-a"]
    assert not world.nodes["node-a"].holds


@pytest.mark.parametrize("kind", ["switchover", "failover"])
def test_over_its_deadline_everything_is_taken_back(make_world, kind) -> None:
    for seconds in range(1, 40):
        world = make_world()
        clock = itertools.count().__next__  # every look takes a second
        wish = {"deadline": float(seconds)}
        if kind == "switchover":
            operation = switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish(max_pause=8, **wish), clock)
        else:
            behind(world)
            operation = failover.Failover(
                world.line("node-b"), world.line("node-a"), "node-a", failover.Wish(force_fence=True, **wish), "", clock
            )
        try:
            operation.run()
        except TandemError as error:
            assert "that is allowed is over" in str(error), error
            assert world.open_nodes() == ["node-a"], seconds
        else:
            assert world.open_nodes() == ["node-b"], seconds
        world.end()
        assert not world.violations and not any(node.holds for node in world.nodes.values())


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("mistake", [KeyError, MemoryError])
def test_a_mistake_of_ours_at_any_message_is_taken_back_by_the_hands(make_world, plan, mistake) -> None:
    """Nobody knows how far it came: no journal may say that the operation has ended."""
    count = messages_of(make_world, plan)
    for number in range(1, count + 1):
        world = make_world()
        operation = PLANS[plan](world)
        was_open = world.open_nodes()
        world.mistake_at = number, mistake
        with pytest.raises(mistake):
            operation.run()
        ended = world.messages[number:]
        world.end()
        where = f"at message {number}, {world.messages[number - 1]}"
        assert not any(message.endswith(" end") for message in ended), where
        assert operation.report.result in ("not begun", "refused", "half done") or world.messages[number - 1].endswith(" end"), where
        commits = [name for name in world.nodes if world.committed(name)]
        assert world.open_nodes() == {0: was_open, 1: [], 2: ["node-b"]}[len(commits)], where
        assert not world.violations and not any(node.holds for node in world.nodes.values()), where


@pytest.mark.parametrize("plan", PLANS)
def test_whoever_was_fenced_by_a_person_is_made_no_primary(make_world, plan) -> None:
    world = make_world()
    operation = PLANS[plan](world)
    before, observe = world.open_nodes(), world.nodes["node-b"].observe
    world.nodes["node-b"].observe = lambda: {**observe(), "fenced": ["read_only"]}
    with pytest.raises(Refused, match="node-b is fenced by read_only"):
        operation.run()
    assert world.open_nodes() == before
