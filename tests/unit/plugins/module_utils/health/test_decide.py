# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a node lets go of the addresses, and when it must not."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.tandem.lemp.plugins.module_utils.health.decide import decide
from ansible_collections.tandem.lemp.plugins.module_utils.health.model import (
    WEIGHT,
    Finding,
    Local,
    Peer,
    Verdict,
)

UP = Finding(Verdict.UP, "answers")
UNKNOWN = Finding(Verdict.UNKNOWN, "nobody can tell")
STARTING = Finding(Verdict.STARTING, "not looked at yet")


def dead(*names: str, evidence: str = "reference", frozen: bool = False, **more: Finding) -> Local:
    findings = dict.fromkeys(WEIGHT, UP)
    findings.update({name: Finding(Verdict.DOWN, f"{name} is dead", evidence) for name in names})
    findings.update(more)
    return Local(findings, frozen)


HEALTHY, NO_DATABASE, NO_WEB, SILENT = Peer(0), Peer(1, ("database",)), Peer(2, ("web",)), Peer(None)

CASES = [
    # here, peer, decision (None: as it is), words of the reason
    ("healthy nodes", dead(), HEALTHY, False, "can serve"),
    ("healthy, peer dead", dead(), SILENT, False, "can serve"),
    ("nginx is dead", dead("web"), HEALTHY, True, "the peer is better"),
    ("nginx is dead, the peer only lacks its database", dead("web"), NO_DATABASE, True, "the peer is better"),
    ("nginx is dead on both", dead("web"), NO_WEB, False, "no better"),
    ("nginx is dead, nobody else is known", dead("web"), SILENT, True, "nothing can be served"),
    ("the database is dead", dead("database"), HEALTHY, True, "the peer is better"),
    ("the database is dead on both", dead("database"), NO_DATABASE, False, "no better"),
    ("the database is dead here, nginx there", dead("database"), NO_WEB, False, "no better"),
    ("the database is dead, the peer too", dead("database"), SILENT, False, "as well as it can"),
    ("php-fpm is dead", dead("php"), HEALTHY, True, "the peer is better"),
    ("silent cut outside", dead("outside"), HEALTHY, True, "outside is dead"),
    ("silent cut inside", dead("inside"), HEALTHY, True, "inside is dead"),
    (
        "the outside switch is dead: the peer is about to see it",
        dead("outside"),
        Peer(0, (), {"outside": 2}),
        None,
        "waiting",
    ),
    (
        "the outside switch is dead: the peer saw it",
        dead("outside"),
        Peer(2, ("outside",), {"outside": 5}),
        False,
        "no better",
    ),
    ("cut outside, the peer doubts only its inside", dead("outside"), Peer(0, (), {"inside": 2}), True, "better"),
    (
        "nginx is dead too: no need to wait for the peer's look",
        dead("web", "outside"),
        Peer(0, (), {"outside": 2}),
        True,
        "better",
    ),
    ("cut off on both sides", dead("outside", "inside"), SILENT, True, "cut off"),
    ("peer and gateway are dead, the inside switch is not", dead("outside"), SILENT, False, "as well as it can"),
    (
        "peer dead behind a direct cable, and the gateway: no carrier proves nothing about us",
        dead("outside", "inside", evidence="carrier"),
        SILENT,
        False,
        "as well as it can",
    ),
    ("inside is cut for both, nobody has a reference", dead(inside=UNKNOWN), HEALTHY, False, "can serve"),
    ("slow database", dead(database=UNKNOWN), HEALTHY, False, "can serve"),
    ("just started", dead(database=STARTING), HEALTHY, None, "database"),
    ("just started, nginx dead", dead("web", database=STARTING), HEALTHY, None, "not everything"),
    ("the peer and with it the inside switch have just died", dead("inside"), Peer(0, quiet=True), None, "waiting"),
    ("nginx is dead and the peer quiet: nothing to lose", dead("web"), Peer(0, quiet=True), True, "better"),
    ("frozen and thawed", dead(frozen=True), HEALTHY, True, "stood still"),
]


@pytest.mark.parametrize(
    ("here", "peer", "fault", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_table(here: Local, peer: Peer, fault: bool | None, words: str) -> None:
    decision = decide(here, peer)
    assert decision.fault is fault
    assert words in decision.reason


verdicts = st.sampled_from([Verdict.UP, Verdict.DOWN, Verdict.UNKNOWN])
evidence = st.sampled_from(["reference", "carrier", "peer"])
findings = st.builds(Finding, verdicts, st.just("why"), evidence)
nodes = st.builds(lambda found: Local(dict(zip(WEIGHT, found, strict=True))), st.tuples(*[findings] * len(WEIGHT)))


def as_seen(local: Local, strikes: dict[str, int] | None = None) -> Peer:
    return Peer(local.severity(), local.down(), strikes or {})


@pytest.mark.parametrize(
    ("here", "peer", "fault"),
    [
        (dead(), HEALTHY, True),
        (dead("database"), NO_DATABASE, True),
        (dead(database=STARTING), NO_DATABASE, True),
        (dead(), NO_DATABASE, False),
        (dead(), NO_WEB, False),
        (dead("database"), NO_WEB, False),
        (dead(), SILENT, False),
    ],
    ids=["healthy", "equally ill", "not looked yet", "the peer is worse", "the peer serves nothing", "the same, and no database here", "silent"],
)
def test_addresses_that_the_agent_keeps_away_are_on_a_peer_that_takes_them(here: Local, peer: Peer, fault: bool) -> None:
    decision = decide(here, peer, "the agent keeps them away")
    assert decision.fault is fault
    assert ("the agent keeps" in decision.reason) is fault


@given(nodes, nodes)
def test_a_node_whose_agent_keeps_them_away_and_its_peer_never_both_let_go(one: Local, other: Local) -> None:
    assert not (decide(one, as_seen(other), "kept away").fault and decide(other, as_seen(one)).fault)


@given(nodes, nodes)
def test_two_nodes_that_know_each_other_never_both_let_go(one: Local, other: Local) -> None:
    assert not (decide(one, as_seen(other)).fault and decide(other, as_seen(one)).fault)


@given(nodes, nodes)
def test_the_better_node_may_always_have_the_addresses(one: Local, other: Local) -> None:
    better, worse = sorted((one, other), key=lambda node: node.severity() or 0)
    assert decide(better, as_seen(worse)).fault is False
    expected = better.severity() != worse.severity()
    assert decide(worse, as_seen(better)).fault is expected


@given(nodes)
def test_a_node_that_is_alone_keeps_the_addresses_unless_nobody_can_be_served(alone: Local) -> None:
    if decide(alone, SILENT).fault:
        assert {"web"} & set(alone.down()) or {"outside", "inside"} <= set(alone.down())


def test_every_pair_of_ills_leaves_the_addresses_somewhere() -> None:
    """Exhaustive: all 32 x 32 combinations of dead parts, each node knowing the other."""
    powerset = [dead(*names) for size in range(6) for names in itertools.combinations(WEIGHT, size)]
    for one, other in itertools.product(powerset, repeat=2):
        may_hold = [node for node, peer in ((one, other), (other, one)) if not decide(node, as_seen(peer)).fault]
        best = min(one.severity() or 0, other.severity() or 0)
        assert may_hold
        assert best in [node.severity() for node in may_hold]
