# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""While clients wait, a node that hangs is waited for no longer than they may be."""

from __future__ import annotations

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.errors import OperationFailed, TandemError
from ansible_collections.tandem.lemp.plugins.module_utils.hand.client import HandLost
from ansible_collections.tandem.lemp.plugins.module_utils.operations import switchover
from ansible_collections.tandem.lemp.plugins.module_utils.plan import HalfDone, Undone

REFUSED_BY_THE_PROXY = 10.0
HOLDS = ["hold", "drain", "wait_for"]


class Hangs:
    """The hand of a node that freezes at a request. Waiting for it moves the clock on; then the line is closed."""

    def __init__(self, line, clock: list[float], at: str, armed) -> None:
        self.line, self.clock, self.at, self.armed, self.name, self.lost = line, clock, at, armed, line.name, False
        self.asked: list[str] = []

    def send(self, what, **arguments):
        self._require()
        self.asked.append(what)
        if not (what == self.at and self.armed()):
            self.line.send(what, **arguments)

    def receive(self, timeout=30.0):
        self._require()
        if self.asked.pop(0) == self.at and self.armed():
            self.clock[0] += timeout
            self.lost = True
            self.line.break_off()
            raise HandLost(f"{self.name} has not answered for {timeout:g} s")
        return self.line.receive(timeout)

    def call(self, what, timeout=30.0, **arguments):
        self.send(what, **arguments)
        return self.receive(timeout)

    def _require(self):
        if self.lost:
            raise HandLost(f"{self.name} was lost before")


def switch(world, at, frozen="node-b", **wish):
    clock = [1000.0]
    held: list[float] = []
    lines = {name: world.line(name) for name in ("node-a", "node-b")}
    hangs = Hangs(lines[frozen], clock, at, lambda: bool(world.nodes["node-b"].holds))
    lines[frozen] = hangs
    operation = switchover.Switchover(lines["node-a"], lines["node-b"], switchover.Wish(**wish), clock=lambda: clock[0])
    if at == "hold":
        hangs.armed = lambda: "prepare_hold" in world.nodes["node-b"].done
    with pytest.raises(TandemError) as told:
        operation.run()
    held.append(clock[0] - operation._held_at)
    return operation, told.value, held[0]


@pytest.mark.parametrize("at", HOLDS)
@pytest.mark.parametrize("max_pause", [5.0, 8.0])
def test_a_new_node_that_freezes_holds_nobody_until_the_proxy_refuses(make_world, at, max_pause) -> None:
    world = make_world()
    operation, error, seconds = switch(world, at, max_pause=max_pause)
    assert isinstance(error, HalfDone) and operation.report.result == "half done"
    assert seconds <= max_pause + 1 < REFUSED_BY_THE_PROXY
    assert world.open_nodes() == ["node-a"] and not world.nodes["node-a"].holds
    world.end()
    assert world.open_nodes() == ["node-a"] and not any(node.holds for node in world.nodes.values()) and not world.violations


def test_a_close_that_takes_its_time_is_not_given_up(make_world) -> None:
    """The server itself gives up waiting for a lock; a hand that is lost meanwhile would take back where nobody sees it."""
    _operation, _error, seconds = switch(make_world(), "close", frozen="node-a", max_pause=1.0)
    assert seconds > 1 + 2 * 2


def test_an_old_primary_whose_commits_wait_for_the_dead_one_is_open_again(make_world) -> None:
    """The journal ends, so that its agent may let it go on alone. Semi-sync is as it was."""
    world = make_world()
    old, new = world.nodes["node-a"], world.nodes["node-b"]

    def dies(transactions, seconds):
        if new.holds:
            old.commits_wait = True
            raise OperationFailed("It died.")
        new.executed_text = transactions

    new.wait_for = dies
    operation = switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish())
    with pytest.raises(Undone):
        operation.run()
    assert (operation.report.result, operation.report.warnings) == ("undone", ["node-a waits for its replica."])
    assert world.open_nodes() == ["node-a"] and old.semi_sync_was == [None]
    world.end()
    assert not any(line.failed for line in world.lines.values())


def test_a_hand_that_takes_back_alone_says_the_same(make_world) -> None:
    world = make_world()
    old = world.nodes["node-a"]
    line = world.line("node-a")
    line.call("begin", operation="20261121T100000Z-0001", kind="switchover", old="node-a", new="node-b")
    line.call("close")
    old.commits_wait = True
    line.break_off()
    assert not line.failed and world.open_nodes() == ["node-a"] and old.semi_sync_was == [None]
    assert world.line("node-a").call("hello")["unfinished"] == []


def test_what_an_administrator_commits_after_the_close_takes_it_all_back(make_world) -> None:
    """MariaDB's read_only does not stop root: what it wrote would be on the old primary only."""
    world = make_world()
    old, new = world.nodes["node-a"], world.nodes["node-b"]

    def commits_meanwhile(transactions, seconds):
        new.executed_text = new.received = transactions
        if not old.writable:
            old.executed_text = "0-1-101"

    new.wait_for = commits_meanwhile
    operation = switchover.Switchover(world.line("node-a"), world.line("node-b"), switchover.Wish())
    with pytest.raises(Undone, match=r"node-a was written to after it was closed.*An administrator"):
        operation.run()
    assert world.open_nodes() == ["node-a"] and not world.violations and not old.holds


def test_no_proxy_believes_a_health_daemon_that_has_not_looked_since(make_world) -> None:
    world = make_world()
    lines = [world.line(name) for name in ("node-a", "node-b")]
    assert switchover.Switchover(*lines, switchover.Wish()).run().result == "done"
    assert [node.believes_both for node in world.nodes.values()] == [True, True]
