"""What a node says arrives as it was meant; anything else says nothing."""

from __future__ import annotations

import json

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Database, Said, State, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.words import heard, spoken
from ansible_collections.tandem.lemp.plugins.module_utils.health.heartbeat import MAX_SIZE, Conversation

SAID = Said(
    state=State.GOING_ALONE, database=Database.STALLED, term=Term(12, "node-a", True), ceded=11, fenced=True, takeover=True, able=True,
    in_step=True, ahead=False, paused_until=1.5, failover_at=2.5, echo=3.25,
)  # fmt: skip


@pytest.mark.parametrize("said", [Said(), SAID])
def test_what_is_said_is_what_is_heard(said: Said) -> None:
    told = heard(json.loads(json.dumps(spoken(said, 7.5, said.echo))))
    assert told == (said, 7.5)


@pytest.mark.parametrize(
    "plain", [None, {}, [], "x", {**spoken(SAID, 1.0, None), "term": [1]}, {**spoken(SAID, 1.0, None), "state": "king"}, {"at": 1}]
)
def test_what_is_not_understood_says_nothing(plain: object) -> None:
    assert heard(plain) is None


@pytest.mark.parametrize("wrong", [{"fenced": "yes"}, {"able": 1}, {"ahead": "true"}, {"at": True}, {"at": float("nan")}])
def test_truth_is_never_guessed_from_something_else(wrong: dict[str, object]) -> None:
    assert heard({**spoken(Said(), 1.0, None), **wrong}) is None


def test_it_fits_into_a_heartbeat() -> None:
    """With everything else that a beat carries, at its longest."""
    name = "a-rather-long-name-of-a-node-in-a-domain.example.com"
    said = Said(**{**SAID.__dict__, "term": Term(10**9, name, True), "paused_until": 1.9e9, "failover_at": 1.9e9})
    state = {"severity": 2, "down": ["web", "outside", "inside", "database", "php"], "fault": False, "role": "primary",
             "strikes": {"outside": 999, "inside": 999}, "agent": spoken(said, 123456789.1234, 123456789.1234)}  # fmt: skip
    assert len(Conversation(b"k" * 32, name, name + "2").encode("outside", state)) < MAX_SIZE
