# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: what the holder may count on, and when another one may take it."""

from __future__ import annotations

import typing as t
from dataclasses import replace

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.lease import UNKNOWN, Granted, Lease, Refused
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.record import NOBODY_KNOWN, Record, parse
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Misconfigured, Unreachable

from .world import ERROR, LEASE, TwoHolders, World

MINE, WAIT = LEASE * (1 - ERROR), LEASE * (1 + ERROR)
GIVEN_BACK = Record("", "x-1", LEASE, Term(3, "b")).text


class Paper:
    """A register in memory; each question takes so many seconds there, and so many back."""

    def __init__(self, text: str | None = GIVEN_BACK) -> None:
        self.text, self.now, self.there, self.back = text, 100.0, 0.1, 0.2
        self.lost = False

    def clock(self) -> float:
        return self.now

    def read(self) -> str | None:
        self.now += self.there
        found = self.text
        self.now += self.back
        return found

    def swap(self, old: str | None, new: str) -> bool:
        self.now += self.there
        done = self.text == old
        if done:
            self.text = new
        self.now += self.back
        if self.lost:
            raise Unreachable("no answer")
        return done

    def close(self) -> None:
        """Nothing to do."""


def node(paper: Paper, name: str = "a", seconds: float = LEASE) -> Lease:
    return Lease(name, seconds, ERROR, paper.clock)


def left(lease: Lease, paper: Paper) -> float:
    return lease.seen(paper.now, 9.0).left


def record(paper: Paper) -> Record:
    found = parse(paper.text or "")
    assert found is not None
    return found


def test_the_holder_counts_from_before_it_sent() -> None:
    paper = Paper()
    lease = node(paper)
    lease.look(paper)
    sent = paper.now
    assert lease.renew(paper, Term()) == Granted(sent + MINE)
    assert left(lease, paper) == pytest.approx(MINE - 0.3)
    assert record(paper).holder == "a"


def test_another_one_waits_for_the_whole_lease_from_when_it_had_the_answer() -> None:
    paper = Paper()
    holder, other = node(paper), node(paper, "b")
    holder.renew(paper, Term())
    other.look(paper)
    seen = paper.now
    refused = other.renew(paper, Term())
    assert isinstance(refused, Refused) and refused.holder == "a"
    paper.now = seen + WAIT - 0.301  # asking takes 0.3 s
    assert isinstance(other.renew(paper, Term()), Refused) and record(paper).holder == "a"
    paper.now = seen + WAIT
    assert isinstance(other.renew(paper, Term()), Granted) and record(paper).holder == "b"
    assert left(holder, paper) == 0.0


def test_a_renewal_that_was_not_seen_counts() -> None:
    paper = Paper()
    holder, other = node(paper), node(paper, "b")
    holder.renew(paper, Term())
    other.look(paper)
    paper.now += 2
    holder.renew(paper, Term())
    paper.now += 2.5
    assert isinstance(other.renew(paper, Term()), Refused) and record(paper).holder == "a"
    assert left(other, paper) == pytest.approx(WAIT, abs=0.01)


def test_a_longer_lease_of_the_holder_is_waited_for() -> None:
    paper = Paper()
    node(paper, "a", 9.0).renew(paper, Term())
    other = node(paper, "b")
    other.look(paper)
    paper.now += WAIT
    assert isinstance(other.renew(paper, Term()), Refused)
    paper.now += 5 * (1 + ERROR)
    assert isinstance(other.renew(paper, Term()), Granted)


def test_a_grant_whose_answer_was_lost_counts_from_when_it_was_sent() -> None:
    paper = Paper()
    lease = node(paper)
    lease.look(paper)
    sent, paper.lost = paper.now, True
    with pytest.raises(Unreachable):
        lease.renew(paper, Term())
    assert left(lease, paper) == 0.0
    paper.lost = False
    paper.now += 1
    lease.look(paper)
    assert left(lease, paper) == pytest.approx(sent + MINE - paper.now)
    assert isinstance(lease.renew(paper, Term()), Granted)


def test_what_is_given_back_is_free_at_once_and_lost_at_once() -> None:
    paper = Paper()
    holder, other = node(paper), node(paper, "b")
    holder.renew(paper, Term(7, "a", True))
    other.look(paper)
    paper.lost = True
    with pytest.raises(Unreachable):
        holder.release(paper)
    assert left(holder, paper) == 0.0
    paper.lost = False
    assert isinstance(other.renew(paper, Term()), Granted)
    assert record(paper).term == Term(7, "a", True)
    holder.release(paper)
    assert record(paper).holder == "b"


def test_where_nothing_is_somebody_unknown_is_waited_for() -> None:
    paper = Paper(None)
    lease, other = node(paper), node(paper, "b")
    assert lease.renew(paper, Term()) == Refused(UNKNOWN, pytest.approx(WAIT))
    assert isinstance(other.renew(paper, Term()), Refused)
    assert lease.seen(paper.now, 9.0).holder == UNKNOWN
    paper.now += WAIT
    assert isinstance(lease.renew(paper, Term()), Granted)


def test_nothing_twice_is_not_nothing_all_the_time() -> None:
    """What is there in between was granted to somebody."""
    paper = Paper(None)
    slow, holder = node(paper, "b"), node(paper)
    slow.look(paper)
    paper.text = GIVEN_BACK
    paper.now += WAIT
    holder.renew(paper, Term())
    paper.text = None
    assert isinstance(slow.renew(paper, Term()), Refused)
    assert isinstance(holder.renew(paper, Term()), Granted)


def test_a_record_that_somebody_removed_is_written_again_by_its_holder_only() -> None:
    paper = Paper()
    holder, other = node(paper), node(paper, "b")
    holder.renew(paper, Term())
    other.look(paper)
    paper.text = None
    paper.now += 1
    assert isinstance(other.renew(paper, Term()), Refused)
    assert isinstance(holder.renew(paper, Term()), Granted)
    paper.now += WAIT
    paper.text = None
    assert isinstance(holder.renew(paper, Term()), Refused)


def test_a_new_life_of_the_holder_takes_it_again_but_does_not_count_on_the_old_one() -> None:
    paper = Paper()
    node(paper).renew(paper, Term())
    again = node(paper)
    again.look(paper)
    assert again.seen(paper.now, 9.0).holder == "a" and left(again, paper) == 0.0
    assert isinstance(again.renew(paper, Term()), Granted)


def test_something_else_is_not_overwritten() -> None:
    paper = Paper("v=spf1 -all")
    with pytest.raises(Misconfigured, match="no lease: 'v=spf1 -all'"):
        node(paper).renew(paper, Term())
    assert paper.text == "v=spf1 -all"


def test_the_highest_term_stays() -> None:
    paper = Paper()
    lease = node(paper)
    lease.renew(paper, Term(2, "a"))
    assert record(paper).term == Term(3, "b")
    lease.renew(paper, Term(4, "b"))
    assert record(paper).term == Term(3, "b"), "only the writer publishes a term"
    lease.renew(paper, Term(4, "a", True, False))
    assert record(paper).term == Term(4, "a", True, False)
    assert lease.seen(paper.now, 9.0).term == Term(4, "a", True, False)


def test_it_is_reachable_as_long_as_an_answer_is_fresh() -> None:
    paper = Paper()
    lease = node(paper)
    assert not lease.seen(paper.now, 2.5).reachable
    asked = paper.now
    lease.look(paper)
    assert lease.seen(asked + 2.5, 2.5).reachable
    assert not lease.seen(asked + 2.6, 2.5).reachable


@pytest.mark.parametrize("base", range(4))
def test_never_two_holders(base: int) -> None:
    """Replay one: World(seed).run_until(300)."""
    taken = 0
    for seed in range(base * 100, base * 100 + 25):
        world = World(seed)
        try:
            world.run_until(300)
        except TwoHolders as error:
            raise TwoHolders(f"seed {seed}: {error}") from None
        taken += sum(node.granted for node in world.nodes)
    assert taken > 25 * 10, "it has to change hands, or nothing is tested"


class Hasty(Lease):
    """Waits for less than the holder counts."""

    def _awaited(self, record: Record) -> float:
        return self._seconds * 0.85


class Backdated(Lease):
    """Counts a foreign lease from when it asked."""

    def _saw(self, text: str | None, asked: float) -> None:
        before = self.known.seen_at
        super()._saw(text, asked)
        if self.known.seen_at != before:
            self.known = replace(self.known, seen_at=asked)


class Late(Lease):
    """Counts its own lease from when the answer came."""

    def _saw(self, text: str | None, asked: float) -> None:
        super()._saw(text, asked)
        if self.known.record and self.known.record.serial in self._sent:
            self.known = replace(self.known, mine_from=self._clock())


class Forgetful(Lease):
    """Goes on counting on what it has given back."""

    def release(self, register: t.Any) -> None:
        held = self.known.mine_from
        super().release(register)
        self.known = replace(self.known, record=Record(self._node, "x", 4.0, Term()), mine_from=held)


class Careless(Lease):
    """Takes what was never written, or removed, at once."""

    def _refused(self) -> Refused | None:
        unknown = self.known.record and self.known.record.holder == NOBODY_KNOWN
        return None if unknown else super()._refused()


@pytest.mark.parametrize("broken", [Hasty, Backdated, Late, Forgetful, Careless], ids=lambda each: each.__name__)
def test_the_simulation_notices_a_broken_lease(broken: type[Lease]) -> None:
    def breaks(seed: int) -> bool:
        try:
            World(seed, broken).run_until(600)
        except TwoHolders:
            return True
        return False

    assert any(breaks(seed) for seed in range(120))


@pytest.mark.parametrize("text", ["", "-", "tandem1", GIVEN_BACK + "/1", GIVEN_BACK.replace("tandem1", "tandem2"), "tandem1/a//4/1/a/0/1",
                                  "tandem1/a/x/nan/1/a/0/1", "tandem1/a/x/0/1/a/0/1", "tandem1/a/x/4/one/a/0/1", "tandem1/a/x/4/1/a/yes/1"])  # fmt: skip
def test_nonsense_is_no_record(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize("name", ["a", "node-1.example.org", "with/slash and space", "ü%2F"])
def test_a_record_survives_being_written(name: str) -> None:
    kept = Record(name, "f00-1", 4.5, Term(12, name, True, False))
    assert parse(kept.text) == kept
    assert set(kept.text) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._~%/-")
