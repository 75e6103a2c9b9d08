# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests can fail: each rule is broken once, and a scene or a random run has to notice."""

from __future__ import annotations

import math
import typing as t
from functools import cached_property

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import machine
from ansible_collections.tandem.lemp.plugins.module_utils.agent.facts import Facts
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Action, Memory, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy

from . import sim, test_scenes
from .schedule import run

Patch = pytest.MonkeyPatch


def say(name: str, work_out: t.Callable[[t.Any], t.Any]) -> t.Callable[[Patch], None]:
    """Replace one condition."""

    def patch(monkeypatch: Patch) -> None:
        broken = cached_property(work_out)
        broken.__set_name__(Facts, name)
        monkeypatch.setattr(Facts, name, broken)

    return patch


def without(kind: str, name: str) -> t.Callable[[Patch], None]:
    """Leave out one condition of a promotion."""
    whole = Facts.__dict__[kind].func
    return say(kind, lambda facts: [row for row in whole(facts) if row.name != name])


def forget(*names: str) -> t.Callable[[Patch], None]:
    """Do not write that to disk."""
    empty = Memory()
    reborn = sim.reborn

    def poorer(memory: Memory) -> Memory:
        return sim.replace(reborn(memory), **{name: getattr(empty, name) for name in names})

    return lambda monkeypatch: monkeypatch.setattr(sim, "reborn", poorer)


def no_kill(monkeypatch: Patch) -> None:
    reflexes = machine._reflexes

    def tame(facts: Facts, actions: list[Action]) -> tuple[Memory, list[Action]]:
        memory, wanted = reflexes(facts, actions)
        return memory, [action for action in wanted if action is not Action.KILL_SELF]

    monkeypatch.setattr(machine, "_reflexes", tame)


def trust_promises_too_long(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Policy, "promise", property(lambda policy: policy.promote_after * 1.6))


def no_time_to_close(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Policy, "close_budget", property(lambda policy: 0.0))


def proposals_count(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Term, "rank", property(lambda term: (term.epoch, {"": 0, "b": 1, "a": 2}[term.writer], term.solo)))


def only_quick_answers(monkeypatch: Patch) -> None:
    """As if an answer counted only until the third question after it."""
    answered = sim.Echoes.answered
    monkeypatch.setattr(sim.Echoes, "answered", lambda echoes, number: number > max(echoes._sent) - 3 and answered(echoes, number))


def act_on_what_is_not_kept(monkeypatch: Patch) -> None:
    monkeypatch.setattr(machine, "hold", lambda _policy, _memory, _view, decision: decision)


def frozen_at_once(monkeypatch: Patch) -> None:
    monkeypatch.setattr(Policy, "evidence_fresh", property(lambda policy: policy.contact_fresh))


def isolated() -> None:
    for seed in range(1, 8):
        SCENES.test_an_isolated_primary_is_closed_before_the_other_one_decides(seed)


SCENES = test_scenes
BREAKS: dict[str, tuple[t.Callable[[Patch], None], t.Callable[[], object]]] = {
    "promise trusted for too long": (trust_promises_too_long, isolated),
    "no time left for closing": (no_time_to_close, isolated),
    "closing that hangs is not followed by a kill": (no_kill, isolated),
    "the isolated primary relies on evidence": (
        say("proven", lambda facts: math.inf), isolated),
    "incomplete data are promoted": (
        say("complete", lambda facts: True), SCENES.test_both_networks_cut_and_the_witness_decides_for_one),
    "evidence of a node that was cut off": (without("of_silence", "watched"), SCENES.test_a_replica_that_was_cut_off_itself_proves_nothing),
    "old heartbeats are believed": (say("in_contact", lambda facts: facts.heard), SCENES.test_a_replica_that_slept_believes_no_heartbeat_from_before),
    "alone without being ceded": (
        say("peer_ceded", lambda facts: facts.heard), SCENES.test_a_primary_that_was_not_answered_does_not_go_alone),
    "alone before the witness knows": (
        say("published", lambda facts: facts.lease_mine and facts.memory.term.solo and not facts.memory.sealed),
        SCENES.test_a_holder_does_not_go_alone_before_the_witness_has_heard_of_it),
    "ceding is not kept": (without("of_silence", "not ceded"), SCENES.test_what_the_peer_ceded_is_ceded_also_when_it_hears_nothing_more),
    "ceding is not on disk": (forget("ceded"), SCENES.test_what_the_peer_ceded_survives_the_restart_of_its_daemon),
    "the term is not on disk": (forget("term", "sealed"), SCENES.test_the_only_one_with_everything_boots_alone),
    "a machine that answers is called dead": (
        without("of_silence", "primary's machine"), SCENES.test_an_agent_that_is_silent_on_a_living_machine_is_not_dead),
    "the address is not looked at": (say("taken_elsewhere", lambda facts: False), SCENES.test_both_networks_cut_and_the_address_decides_for_one),
    "a proposal outranks a promotion": (proposals_count, SCENES.test_a_proposal_that_came_to_nothing_does_not_outrank_a_promotion),
    "no cool-down": (without("of_takeover", "cool-down"), SCENES.test_no_second_failover_back_within_the_cool_down),
    "a replica that cannot is promoted": (
        without("preconditions", "in step"), SCENES.test_a_replica_that_cannot_take_over_lets_the_primary_open_again),
    "a pause does not count": (say("paused", lambda facts: False), SCENES.test_maintenance_decides_nothing_and_ends_by_itself),
    "what was acknowledged alone is replaced": (
        say("replace_due", lambda facts: facts.extra_transactions and facts.peer_open),
        SCENES.test_extra_transactions_of_a_primary_that_was_alone_wait_for_a_person),
    "an answer that comes late proves nothing": (
        only_quick_answers, lambda: SCENES.test_a_busy_primary_goes_on_alone_although_its_gateway_answers_late(1)),
    "a moment without a processor ends the evidence": (
        frozen_at_once, lambda: SCENES.test_a_primary_that_gets_no_processor_for_a_moment_goes_on_alone(1)),
    "the gateway proves for too long": (
        say("proven", lambda facts: facts.view.now - facts.view.gateway + facts.policy.promise + 1.2), isolated),
    "what is not on the disk is acted on": (
        act_on_what_is_not_kept, lambda: SCENES.test_a_primary_that_cannot_write_its_memory_tells_the_truth(False)),
    "an order counts beside an open primary": (
        say("peer_writes", lambda facts: False), lambda: SCENES.test_an_order_that_was_given_while_the_primary_is_open_opens_nothing_later(0.3)),
    "going alone is said once": (say("still_waits", lambda facts: False), SCENES.test_going_alone_is_asked_for_again_where_it_fails),
    "both may claim": (
        say("agreed", lambda facts: facts.heard and facts.database_closed), SCENES.test_a_claim_needs_the_answer_of_the_other_one),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_a_broken_rule_is_noticed(name: str, monkeypatch: Patch) -> None:
    patch, scene = BREAKS[name]
    scene()
    patch(monkeypatch)
    with pytest.raises(AssertionError):
        scene()


def test_a_broken_rule_is_noticed_by_chance_too(monkeypatch: Patch) -> None:
    say("authority", lambda facts: facts.view.now + 9)(monkeypatch)
    with pytest.raises(sim.Broken, match="again: pytest tests/unit/agent --seed gateway:"):
        for seed in range(8, 300):
            run("gateway", seed)
