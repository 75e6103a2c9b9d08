# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that asks: the agent's loop never waits for it."""

from __future__ import annotations

import threading
import time
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.keeper import Keeper
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.lease import Lease
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.record import Record, parse
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Misconfigured, Unreachable

from .servers import wait_for

FREE = Record("", "x", 1.0, Term()).text


class Shared:
    """A register in memory that can be held up, or fail."""

    def __init__(self) -> None:
        self.text: str | None = FREE
        self.go, self.asked = threading.Event(), threading.Event()
        self.go.set()
        self.fault: Exception | None = None
        self.closed = False

    def _gate(self) -> None:
        self.asked.set()
        self.go.wait(10)
        if self.fault is not None:
            raise self.fault

    def read(self) -> str | None:
        self._gate()
        return self.text

    def swap(self, old: str | None, new: str) -> bool:
        self._gate()
        done = self.text == old
        self.text = new if done else self.text
        return done

    def close(self) -> None:
        self.closed = True
        self.go.set()


Make = t.Callable[..., Keeper]


@pytest.fixture
def make() -> t.Iterator[Make]:
    made: list[Keeper] = []

    def one(register: t.Any, name: str = "a", seconds: float = 1.0, woken: t.Callable[[], None] = lambda: None) -> Keeper:
        maker = register if callable(register) else lambda: register
        made.append(Keeper(maker, Lease(name, seconds, 0.02, time.monotonic), 0.8, time.monotonic, woken))
        return made[-1]

    yield one
    for keeper in made:
        keeper.close()


def left(keeper: Keeper) -> float:
    return keeper.view(time.monotonic()).left


def held(keeper: Keeper, name: str) -> bool:
    """left is also what a node has to wait for, where the other one is the holder."""
    seen = keeper.view(time.monotonic())
    return seen.holder == name and seen.left > 0


def test_it_takes_renews_and_gives_back(make: Make) -> None:
    shared, woken = Shared(), threading.Event()
    keeper = make(shared, woken=woken.set)
    keeper.renew(Term(1, "a"))
    wait_for(lambda: left(keeper) > 0)
    assert woken.is_set()
    seen = keeper.view(time.monotonic())
    assert (seen.reachable, seen.holder, seen.term) == (True, "a", Term(1, "a"))
    keeper.release()
    assert left(keeper) == 0.0
    wait_for(lambda: keeper.view(time.monotonic()).holder == "")
    found = parse(shared.text or "")
    assert found is not None and (found.holder, found.term) == ("", Term(1, "a"))


def test_a_slow_witness_delays_nobody_and_its_late_grant_counts_from_when_it_was_asked(make: Make) -> None:
    shared = Shared()
    keeper = make(shared)
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    shared.go.clear()
    asked = time.monotonic()
    keeper.renew(Term())
    for _each in range(100):
        keeper.renew(Term())
        keeper.view(time.monotonic())
        keeper.status(time.monotonic())
    assert time.monotonic() - asked < 2
    wait_for(lambda: not keeper.view(time.monotonic()).reachable)
    last = time.monotonic()
    wait_for(lambda: time.monotonic() > last + 2)
    shared.go.set()
    wait_for(lambda: keeper.view(time.monotonic()).holder == "a")
    assert left(keeper) == 0.0


def test_a_grant_that_comes_after_it_was_given_up_is_not_counted_on(make: Make) -> None:
    shared = Shared()
    keeper = make(shared)
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    shared.go.clear()
    shared.asked.clear()
    keeper.renew(Term())
    shared.asked.wait(10)
    keeper.release()
    watched = threading.Event()
    held: list[float] = []

    def watch() -> None:
        while not watched.is_set():
            held.append(left(keeper))

    watcher = threading.Thread(target=watch)
    watcher.start()
    shared.go.set()
    wait_for(lambda: shared.text != FREE and parse(shared.text or "").holder == "")  # type: ignore[union-attr]
    watched.set()
    watcher.join()
    assert held and max(held) == 0.0


def test_the_second_waits_for_the_end_of_the_first(make: Make) -> None:
    shared = Shared()
    first, second = make(shared, "a"), make(shared, "b")
    first.renew(Term())
    wait_for(lambda: left(first) > 0)
    wait_for(lambda: second.view(time.monotonic()).holder == "a")
    taken = False
    while not taken:
        second.renew(Term())
        # In this order: what the first holds can only end in between.
        taken = held(second, "b")
        assert not (taken and held(first, "a"))


def test_faults_are_said_once_and_asking_goes_on(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    shared = Shared()
    shared.fault = Unreachable("no answer within 1 s")
    keeper = make(shared)
    wait_for(lambda: keeper.status(time.monotonic())["problem"] == "no answer within 1 s")
    assert not keeper.view(time.monotonic()).reachable
    wait_for(lambda: keeper._failures >= 3)
    shared.fault = None
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    assert keeper.status(time.monotonic())["problem"] == ""
    # The thread says it just after it has the answer.
    wait_for(lambda: len(caplog.records) >= 2)
    assert [entry.getMessage() for entry in caplog.records] == ["witness: no answer within 1 s", "the witness answers"]


def test_a_register_that_cannot_be_made_is_tried_again(make: Make) -> None:
    tries: list[int] = []

    def maker() -> Shared:
        tries.append(1)
        if len(tries) < 3:
            raise Misconfigured("python3-dnspython is not installed on this node")
        return Shared()

    keeper = make(maker)
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    assert len(tries) == 3


def test_a_fault_of_our_own_does_not_end_the_thread(make: Make) -> None:
    shared = Shared()
    shared.fault = ZeroDivisionError("ours")
    keeper = make(shared)
    wait_for(lambda: "ours" in keeper.status(time.monotonic())["problem"])
    shared.fault = None
    wait_for(lambda: keeper.view(time.monotonic()).reachable)


def test_what_was_asked_for_long_ago_is_not_done(make: Make) -> None:
    shared = Shared()
    keeper = make(shared)
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    shared.go.clear()
    shared.asked.clear()
    wait_for(shared.asked.is_set)  # it looks, and hangs
    keeper.renew(Term())
    asked = time.monotonic()
    wait_for(lambda: time.monotonic() > asked + 1.7)
    shared.go.set()
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    wait_for(lambda: time.monotonic() > asked + 2.5)
    assert shared.text == FREE


def test_closing_breaks_off(make: Make) -> None:
    shared = Shared()
    keeper = make(shared)
    wait_for(lambda: keeper.view(time.monotonic()).reachable)
    shared.go.clear()
    keeper.close()
    assert shared.closed
