# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent and its configuration with a witness: what the state machine asks for is asked, what is known is seen and shown."""

from __future__ import annotations

import json
import time
import typing as t
from dataclasses import replace
from pathlib import Path

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.agent import agent as module
from ansible_collections.tandem.lemp.plugins.module_utils.agent.acts import Compared
from ansible_collections.tandem.lemp.plugins.module_utils.agent.agent import Agent, clock
from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Database, Memory, State, Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.policy import Policy
from ansible_collections.tandem.lemp.plugins.module_utils.agent.seen import Seen
from ansible_collections.tandem.lemp.plugins.module_utils.agent.store import Store
from ansible_collections.tandem.lemp.plugins.module_utils.agent.why import why
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.keeper import Keeper
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.lease import Lease
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.rfc2136 import DnsSettings
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.ssh import SshSettings
from ansible_collections.tandem.lemp.plugins.module_utils.gtid import GtidSet
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import ConfigError, parse

from .servers import wait_for
from .test_keeper import FREE, Shared

POLICY = Policy(name="a", peer="b", witness=True)
SILENT = {"outside": 9.0, "inside": 9.0}


class Acts:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.silent = False

    def __getattr__(self, name: str) -> t.Callable[..., t.Any]:
        if name == "compare":
            return Compared

        def act(*arguments: t.Any) -> t.Any:
            self.done.append(name)
            return ({}, ["done"]) if name == "promote" else name

        return act


class Pair:
    """One node's agent, with a witness in memory."""

    def __init__(self, directory: Path, shared: Shared) -> None:
        self.acts = Acts()
        store = Store(str(directory))
        store.keep(Memory(term=Term(4, "b")))
        lease = Lease("a", POLICY.lease, POLICY.clock_error, clock)
        self.keeper = Keeper(lambda: t.cast(t.Any, shared), lease, 2.5, clock, lambda: None)
        self.agent = Agent(POLICY, t.cast(t.Any, self.acts), store, lambda _kind, _details: None, witness=self.keeper)

    def step(self, **seen: t.Any) -> State:
        return self.agent.step(replace(Seen(database=Database.CLOSED, heard=SILENT, knock=False, gateway=0.1), **seen)).state


@pytest.fixture
def shared() -> Shared:
    return Shared()


@pytest.fixture
def pair(tmp_path: Path, shared: Shared, monkeypatch: pytest.MonkeyPatch) -> t.Iterator[Pair]:
    monkeypatch.setattr(module.lock, "is_taken", lambda: False)
    made = Pair(tmp_path, shared)
    wait_for(lambda: made.keeper.view(clock()).reachable)
    yield made
    made.agent.close()


FOLLOWS = {"follows_peer": True, "replicates": True, "lag": 0.0, "heard": {"outside": 0.1, "inside": 0.1}, "knock": None}


def become_replica(pair: Pair) -> None:
    has = GtidSet.parse("0-1-100", "mariadb")
    pair.agent._catching_up.compared(pair.agent._catching_up.turn, has, has)
    for _each in range(4):
        pair.step(**FOLLOWS)
    pair.agent.memory = replace(pair.agent.memory, state=State.REPLICA)


def test_the_replica_asks_for_the_lease_and_publishes_its_term_before_it_opens(pair: Pair, shared: Shared) -> None:
    become_replica(pair)
    until = time.monotonic() + 30
    while pair.agent.memory.state is not State.PROMOTING:
        pair.step()
        assert time.monotonic() < until
        time.sleep(0.02)
    assert "promote" not in pair.acts.done, "not before the witness knows of it"
    while "promote" not in pair.acts.done:
        pair.step()
        assert time.monotonic() < until
        time.sleep(0.02)
    assert "/5/a/1/" in (shared.text or "")
    lease = pair.agent.status()["lease"]
    assert (lease["configured"], lease["holder"], lease["reachable"], lease["problem"]) == (True, "a", True, "")
    assert 2 < lease["left"] <= 3.92
    assert any("Lease: held by a" in line for line in why({"node": "a", "agent": pair.agent.status()}, []))


def test_it_is_not_taken_from_a_living_holder(pair: Pair, shared: Shared) -> None:
    become_replica(pair)
    other = Lease("b", 4.0, 0.02, clock)
    other.renew(shared, Term(4, "b"))
    wait_for(lambda: pair.keeper.view(clock()).holder == "b")
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert pair.step() in (State.REPLICA, State.CLOSED)
        time.sleep(0.05)
    assert "/b/" in (shared.text or "") and "promote" not in pair.acts.done


def test_a_closed_node_gives_it_back(pair: Pair, shared: Shared) -> None:
    pair.keeper.renew(Term(4, "b"))
    wait_for(lambda: pair.keeper.view(clock()).left > 0)
    for _each in range(4):
        pair.step(**FOLLOWS)
    wait_for(lambda: (shared.text or "").startswith("tandem1//") and shared.text != FREE)


def config(**witness: t.Any) -> str:
    return json.dumps(
        {
            "node": "a", "peer": "b", "secret_file": "/k", "fault_file": "/f", "state_file": "/s", "http": [], "port": 1, "interval": 0.1,
            "strikes": 3, "patience": 9, "peer_ticks": 7, "networks": {"inside": {"interface": "e", "address": "x", "peer_address": "y"}},
            "database": {"option_file": "/o", "socket": "/x"},
            "agent": {"here": "/h", "there": "/t", "directory": "/d", "policy": {}, "witness": witness or None},
        }
    )  # fmt: skip


def test_the_configuration_names_it() -> None:
    ssh = parse(config(driver="ssh", host="w", port=22, user="u", identity="/i", known_hosts="/n")).agent
    dns = parse(config(driver="dns", server="192.0.2.1", port=53, zone="z", record="r", key_name="k", algorithm="hmac-sha256", secret_file="/s")).agent
    none = parse(config()).agent
    assert ssh is not None and ssh.witness == SshSettings("w", 22, "u", "/i", "/n")
    assert dns is not None and dns.witness == DnsSettings("192.0.2.1", 53, "z", "r", "k", "hmac-sha256", "/s")
    assert none is not None and none.witness is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"driver": "smoke"}, "neither ssh nor dns"), ({"driver": "ssh", "host": "w"}, "'port' is missing"), ({"host": "w"}, "'driver'")],
)
def test_a_wrong_configuration_says_what(wrong: dict[str, t.Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(config(**wrong))
