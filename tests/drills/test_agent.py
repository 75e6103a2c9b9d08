"""The pair looks after itself: failures are noticed, fenced and followed, and the old primary comes back by itself.

Only with TANDEM_LAB_FAILOVER=automatic; the other drills are those of a pair that leaves all of it to people.
"""

from __future__ import annotations

import json
import time

import pair
from agents import agent, alarms, closed, never_two, tandem
from pair import must, other, playbook, primary, ssh


def test_both_agents_know_their_roles() -> None:
    old = primary()
    assert agent(old)["state"] == "primary"
    assert agent(other(old))["state"] == "replica"
    assert agent(old)["alarms"] == []


def test_a_killed_server_is_followed_and_comes_back_as_the_replica() -> None:
    old = primary()
    new = other(old)
    with never_two(), pair.writing(new) as written:
        pair.pass_some_writes(old)
        ssh(old, f"systemctl kill --kill-whom=main --signal=KILL {pair.ENGINE}")
        pair.wait("the survivor takes writes", lambda: pair.read_only(new) is False, 30)
        pair.pass_some_writes(new)
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    assert not pair.missing(written, new)
    pair.wait_until_whole()
    assert primary() == new
    assert not pair.missing(written, old)


def test_a_lost_node_is_followed_and_comes_home_by_itself() -> None:
    old = primary()
    new = other(old)
    with pair.writing(new) as written:
        pair.pass_some_writes(old)
        pair.fault("kill", old)
        try:
            pair.wait("the survivor takes writes", lambda: pair.read_only(new) is False, 30)
            pair.pass_some_writes(new)
        finally:
            pair.fault("start", old)
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    assert not pair.missing(written, new)
    pair.wait_until_whole()
    assert primary() == new
    assert not pair.missing(written, old)


def test_a_primary_that_is_cut_off_closes_itself_before_the_other_one_opens() -> None:
    old = primary()
    new = other(old)
    with never_two(), pair.writing(new) as written:
        pair.pass_some_writes(old)
        for network in ("outside", "inside"):
            pair.fault("cut", old, network)
        try:
            pair.wait("the survivor takes writes", lambda: pair.read_only(new) is False, 30)
            assert closed(old)
            pair.pass_some_writes(new)
            assert closed(old)
        finally:
            for network in ("outside", "inside"):
                pair.fault("heal", old, network)
    assert not pair.missing(written, new)
    pair.wait_until_whole()
    assert primary() == new
    assert not pair.missing(written, old)


def test_a_replica_that_is_cut_off_does_not_close_a_busy_primary() -> None:
    old = primary()
    lost = other(old)
    hogs = "for hog in 1 2 3 4 5 6; do systemd-run --quiet --unit=tandem-hog-$hog sh -c 'while :; do :; done'; done"
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        must(ssh(old, hogs))
        try:
            for network in ("outside", "inside"):
                pair.fault("cut", lost, network)
            pair.wait("it goes on alone", lambda: agent(old)["state"] == "primary alone", 30)
            end = time.monotonic() + 15
            while time.monotonic() < end:
                assert pair.read_only(old) is False
                assert closed(lost)
        finally:
            must(ssh(old, "systemctl stop 'tandem-hog-*'"))
            for network in ("outside", "inside"):
                pair.fault("heal", lost, network)
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    pair.wait_until_whole()
    assert primary() == old
    assert not pair.missing(written, lost)


def test_the_replicas_death_stops_nobody_for_long() -> None:
    old = primary()
    lost = other(old)
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        pair.fault("kill", lost)
        try:
            pair.wait("it goes on alone", lambda: agent(old)["state"] == "primary alone", 30)
            pair.pass_some_writes(old)
        finally:
            pair.fault("start", lost)
    assert written.longest < 10
    pair.wait_until_whole()
    assert primary() == old
    pair.wait("commits wait for the replica again", lambda: agent(old)["state"] == "primary")
    assert not pair.missing(written, lost)


def test_a_switchover_of_a_person_is_left_alone() -> None:
    old = primary()
    with never_two(), pair.writing(old) as written:
        pair.pass_some_writes(old)
        must(playbook("switchover", confirm="yes"))
        pair.pass_some_writes(old)
    assert written.failed == []
    assert primary() == other(old)
    pair.wait("the agents agree", lambda: (agent(other(old))["state"], agent(old)["state"]) == ("primary", "replica"), 30)
    must(tandem(old, "switchover"))
    assert primary() == old


def test_nothing_is_decided_during_maintenance() -> None:
    old = primary()
    new = other(old)
    must(tandem(new, "pause", "10"))
    try:
        pair.wait("the replica pauses", lambda: agent(new)["state"] == "paused", 10)
        ssh(old, f"systemctl kill --kill-whom=main --signal=KILL {pair.ENGINE}")
        pair.wait("the primary opens again by itself", lambda: pair.read_only(old) is False, 60)
        assert closed(new)
    finally:
        must(tandem(new, "resume"))
    pair.wait_until_whole()
    assert primary() == old


def test_a_drill_of_a_person_breaks_something_only_where_the_pair_can_mend_it() -> None:
    old = primary()
    must(tandem(old, "pause", "10"))
    try:
        pair.wait("it pauses", lambda: agent(old)["paused_until"] is not None, 10)
        done = playbook("drill", fault="kill_database", confirm="yes")
        assert done.status != 0 and done.says("Nothing was broken"), done.text[-2000:]
    finally:
        must(tandem(old, "resume"))
    pair.wait("both decide again", lambda: not any(agent(node)["paused_until"] for node in pair.PAIR), 10)
    assert primary() == old
    done = must(playbook("drill", fault="kill_agent", confirm="yes"))
    assert done.says("0 of them lost") and done.says(f"primary now: {old}"), done.text[-2000:]
    assert pair.sql(old, "SELECT COUNT(*) FROM tandem.canary WHERE name LIKE 'drill-%'") == "0"


def test_a_drill_on_the_node_and_one_acknowledgement_for_both() -> None:
    old = primary()
    new = other(old)
    asked = tandem(old, "drill", "kill-database")
    assert asked.status != 0 and asked.says("Say --yes"), asked.text
    done = must(tandem(old, "drill", "kill-database", "--yes"))
    assert done.says("0 of them lost") and done.says(f"primary now: {new}") and done.says("whole again"), done.text
    pair.wait_until_whole()
    refused = tandem(old, "drill", "kill-nginx", "--yes")
    assert refused.status != 0 and refused.says("not acknowledged"), refused.text
    must(tandem(old, "ack"))
    for node in pair.PAIR:
        pair.wait("both know", lambda node=node: agent(node)["cooldown_until"] is None, 5)
        pair.wait("it is kept there", lambda node=node: "acknowledged_at" in ssh(node, "cat /var/lib/tandem-health/said.json").text, 5)
    assert primary() == new


def test_what_keepalived_does_is_in_the_journals() -> None:
    holder = next(node for node in pair.PAIR if _vrrp(node)["outside"] == "MASTER")
    must(ssh(holder, "systemctl kill --kill-whom=all --signal=KILL keepalived"))
    pair.wait("the other one has the addresses", lambda: _vrrp(other(holder)) == {"outside": "MASTER", "inside": "MASTER"}, 20)
    pair.wait("keepalived is heard again", lambda: _vrrp(holder) == {"outside": "BACKUP", "inside": "BACKUP"}, 20)
    found = must(ssh(other(holder), "journalctl -q --since=-1min TANDEM_EVENT=vrrp TANDEM_INSTANCE=outside TANDEM_STATE=MASTER -o cat"))
    assert found.says("keepalived: outside is MASTER"), found.text
    assert must(tandem(other(holder), "journal")).says("keepalived: outside is MASTER")
    assert "both_masters" not in agent(holder)["alarms"]  # type: ignore[operator]


def test_two_masters_are_told_and_are_one_again() -> None:
    """Whatever keeps keepalived's adverts from the other node, and nothing else."""
    deaf = "table inet tandem_drill { chain arriving { type filter hook input priority -300; ip protocol vrrp drop; }; }"
    for node in pair.PAIR:
        must(ssh(node, "nft -f -", deaf))
    try:
        pair.wait("the alarm", lambda: all("both_masters" in alarms(node) for node in pair.PAIR), 30)
    finally:
        for node in pair.PAIR:
            must(ssh(node, "nft delete table inet tandem_drill"))
    pair.wait("it is over", lambda: not any("both_masters" in alarms(node) for node in pair.PAIR), 30)


def _vrrp(node: str) -> dict[str, str]:
    return dict(json.loads(must(tandem(node, "status", "--json")).text)["vrrp"]["here"] or {})


def test_a_fence_of_a_person_holds() -> None:
    old = primary()
    must(playbook("fence", node=old, confirm="yes"))
    end = time.monotonic() + 8  # longer than any wait of the agent that could open it
    while time.monotonic() < end:
        assert pair.read_only(old) is True
        assert closed(other(old))
    must(playbook("unfence", node=old, confirm="yes"))
    assert primary() == old


def test_a_fence_said_on_the_node_holds_too() -> None:
    old = primary()
    must(tandem(old, "fence"))
    end = time.monotonic() + 8
    while time.monotonic() < end:
        assert pair.read_only(old) is True
        assert closed(other(old))
    must(tandem(old, "unfence"))
    pair.wait("it is open again", lambda: pair.read_only(old) is False, 10)
    assert primary() == old
