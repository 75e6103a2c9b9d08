"""The agent looks after the Atlas of its node. Only with ATLAS_TREE and TANDEM_LAB_FAILOVER=automatic."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pair
import pytest
from agents import agent, status, tandem
from atlas_client import ask, ask_in_background, prepare_to_ask, reads_from, writes_to
from pair import PAIR, must, other, playbook, primary, ssh

UNIT = "atlas-main"
DEAF = """
table inet tandem_drill {
  chain out { type filter hook output priority -1; oifname "lo" tcp dport %d drop; }
}
"""


def atlas(node: str) -> dict[str, Any]:
    return dict(status(node)["atlas"])


def alarms(node: str) -> list[str]:
    return [str(name) for name in status(node)["agent"]["alarms"]]


def well(node: str) -> bool:
    seen = atlas(node)
    works = seen["state"] == "up" and seen["reads"] and seen["writes"] and all(one["state"] == "up" for one in seen["backends"])
    return bool(works) and not alarms(node)


@pytest.fixture(autouse=True)
def all_well(whole: None) -> Iterator[None]:
    for node in PAIR:
        pair.wait(f"the Atlas of {node} is well", lambda node=node: well(node), 60)
    assert ask(primary(), "CREATE TABLE IF NOT EXISTS tandem_drill (token VARCHAR(40) PRIMARY KEY)") == [[]]
    yield


@contextmanager
def deaf(node: str, port: int) -> Iterator[None]:
    """A port of this node that takes nothing and says nothing."""
    must(ssh(node, "nft -f -", DEAF % port))
    try:
        yield
    finally:
        must(ssh(node, "nft delete table inet tandem_drill"))


def metric(node: str, name: str) -> str:
    lines = ssh(node, "curl -sS http://127.0.0.1:9200/metrics").text.splitlines()
    return next((line.rpartition(" ")[2] for line in lines if line.startswith(name)), "absent")


def test_all_know_it() -> None:
    for node in PAIR:
        assert metric(node, "tandem_atlas_up") == "1"
        assert metric(node, 'tandem_probe{part="atlas",verdict="up"}') == "1"
        assert "Atlas: answers." in tandem(node, "why").text
        assert "writes to 127.0.0.1:6446" in ssh(node, "curl -sS http://127.0.0.1:9200/").text
    done = must(playbook("check", output="json"))
    rows = json.loads(done.text[done.text.index("{") : done.text.rindex("}") + 1])["rows"]
    found = [row for row in rows if row["check"].startswith("atlas-")]
    assert len(found) == 18
    assert [row for row in found if row["state"] != "pass"] == []


def test_a_reader_that_hangs_is_left_and_taken_back() -> None:
    """Nobody reads meanwhile, so nothing of Atlas is stuck yet: it is in time."""
    node = primary()
    with deaf(node, 6448):
        began = time.monotonic()
        pair.wait("the agent has taken it offline", lambda: atlas(node)["backends"][1]["taken_offline"], 30)
        print(f"offline after {time.monotonic() - began:.1f} s")
        for _time in range(4):
            assert reads_from(node) == primary()
        assert writes_to(node) == primary()
        pair.wait("it says so", lambda: alarms(node) == ["atlas_reader_away"], 20)
        assert "the agent has taken it offline" in tandem(node, "why").text
    began = time.monotonic()
    pair.wait("it is used again", lambda: well(node) and reads_from(node) == other(primary()), 60)
    print(f"online after {time.monotonic() - began:.1f} s")


def test_who_reads_while_the_reader_hangs_waits_until_it_is_ended() -> None:
    """Both threads are stuck in a connection that comes to nothing. Offline does not free them: the process has to end."""
    node = primary()
    before = atlas(node)["restarts"]
    prepare_to_ask(node, "SELECT 1")
    with deaf(node, 6448):
        began = time.monotonic()
        # All at once: in 3 s the agent has taken the reader offline, and nobody is stuck.
        ask_in_background(node, clients=4)
        pair.wait("it was ended", lambda: atlas(node)["restarts"] == before + 1, 90)
        pair.wait("it takes writes", lambda: ask(node, "REPLACE INTO tandem_drill VALUES ('after it was ended')") == [[]], 30)
        print(f"writes go on after {time.monotonic() - began:.1f} s")
        assert reads_from(node) == primary()


@pytest.mark.parametrize("node", PAIR)
def test_one_that_hangs_is_ended(node: str) -> None:
    before = atlas(node)["restarts"]
    began = time.monotonic()
    ssh(node, f"systemctl kill --signal=STOP {UNIT}")
    try:
        pair.wait("the alarm is raised", lambda: "atlas_frozen" in alarms(node), 30)
        print(f"alarm after {time.monotonic() - began:.1f} s")
        pair.wait("it takes writes again", lambda: atlas(node)["restarts"] == before + 1 and well(node), 60)
    finally:
        ssh(node, f"systemctl kill --signal=CONT {UNIT}")
    print(f"works after {time.monotonic() - began:.1f} s")
    assert ask(node, "REPLACE INTO tandem_drill VALUES ('thawed')") == [[]]
    said = tandem(node, "journal").text
    assert "alarm: atlas_frozen" in said and "done: end Atlas" in said, said


def test_one_that_is_killed_comes_back_without_an_alarm() -> None:
    node = primary()
    ssh(node, f"systemctl kill --signal=KILL {UNIT}")
    pair.wait("it takes writes again", lambda: ask(node, "REPLACE INTO tandem_drill VALUES ('after the end')") == [[]], 15)
    assert alarms(node) == []


def holder() -> str:
    """Who has the outside address; "" in the moment in which nobody has it."""
    return next((node for node in PAIR if f"10.{pair.NET}.10.100/" in ssh(node, "ip -brief address").text), "")


def test_visitors_are_served_where_it_works() -> None:
    old = holder()
    ssh(old, f"systemctl stop {UNIT}")
    try:
        pair.wait("the addresses move", lambda: holder() == other(old), 30)
        pair.wait("it says why", lambda: "atlas_dead" in alarms(old), 20)
        assert ssh(old, f"systemctl is-failed {UNIT}").text.strip() == "inactive"
    finally:
        ssh(old, f"systemctl start {UNIT}")
    pair.wait("it works again", lambda: well(old), 30)
    assert agent(old)["alarms"] == []


def test_a_second_account_is_told() -> None:
    """Nobody uses it here: that would end the process."""
    node = primary()
    ssh(node, "cat > /root/admin.py", ADMIN)
    must(ssh(node, "python3 /root/admin.py 'ADD PWD second:secret'"))
    try:
        pair.wait("the alarm is raised", lambda: alarms(node) == ["atlas_altered"], 20)
        assert "It has 2 accounts." in tandem(node, "why").text
    finally:
        must(ssh(node, "python3 /root/admin.py 'REMOVE PWD second'"))
    pair.wait("it is over", lambda: alarms(node) == [], 20)


ADMIN = """
import json, sys
sys.path.insert(0, "/usr/local/lib/tandem")
from tandem_engine.atlas.wire import Endpoint, Wire
port = json.load(open("/etc/tandem/health.json"))["atlas"]
password = json.load(open("/etc/tandem/atlas.json"))["admin_password"]
Wire(Endpoint(*port["admin"], port["admin_user"], password)).query(sys.argv[1], ["status"])
"""
