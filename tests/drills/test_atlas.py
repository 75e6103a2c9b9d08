"""A pair with Atlas: what goes where, the fence, the runbooks, and the way out. With ATLAS_TREE only."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pair
import pytest
from atlas_client import PORT, ask, reads_from, writes_to
from pair import PAIR, must, other, playbook, primary, sql, ssh


def states() -> dict[str, list[str]]:
    """By node, what its Atlas says of the writer and of the reader."""
    return {
        name: [f"{each['type']} {each['state']}" for each in node["atlas"]["backends"]] for name, node in pair.status()["nodes"].items()
    }


ALL_UP = {node: ["rw up", "ro up"] for node in PAIR}


@pytest.mark.parametrize("node", PAIR)
def test_writes_go_to_the_primary_and_reads_to_the_replica(node: str) -> None:
    assert states() == ALL_UP
    assert writes_to(node) == primary()
    pair.wait("reads come from the replica", lambda: reads_from(node) == other(primary()), 30)
    token = f"from {node}"
    said = ask(node, "CREATE TABLE IF NOT EXISTS tandem_drill (token VARCHAR(40) PRIMARY KEY)", f"REPLACE INTO tandem_drill VALUES ('{token}')")
    assert said == [[], []], said
    pair.wait("the row is on the replica", lambda: token in sql(other(primary()), "SELECT token FROM tandem_drill", "blog"), 10)


def test_it_listens_where_it_may() -> None:
    for node in PAIR:
        listening = ssh(node, "ss --no-header --tcp --listening --numeric | awk '{print $4}'").text.split()
        assert [each for each in listening if each.endswith(f":{PORT}")] == [f"127.0.0.1:{PORT}"]
        assert [each for each in listening if each.endswith(":2345")] == [f"10.{pair.NET}.20.{pair.NODES[node]}:2345"]
        config = ssh(node, "stat --format '%a %U:%G' /usr/local/mysql-proxy/conf/main.cnf").text.strip()
        assert config == "640 root:atlas"
        assert ssh(node, "ps -o user= -C mysql-proxy").text.split() == ["atlas"]


def test_alone_it_is_no_fence() -> None:
    before = states()
    done = playbook("fence", node=primary(), drivers="atlas", confirm="yes")
    assert done.status != 0 and done.says("atlas alone is no fence"), done.text[-2000:]
    assert states() == before


def test_a_fence_takes_the_writer_offline_on_both_and_refuses_a_write() -> None:
    old = primary()
    done = must(playbook("fence", node=old, drivers="atlas,read_only", confirm="yes"))
    assert done.says("offline: 127.0.0.1:6446 at"), done.text[-2000:]
    try:
        assert states() == {node: ["rw offline", "ro up"] for node in PAIR}
        for node in PAIR:
            said = ask(node, "REPLACE INTO tandem_drill VALUES ('refused')")
            assert "Lost connection" in said[-1], said
            print(f"{node}: a write is refused: {said[-1]}")
            assert isinstance(ask(node, "SELECT COUNT(*) FROM tandem_drill")[0], list)
    finally:
        must(playbook("unfence", node=old, drivers="atlas,read_only", confirm="yes"))
    assert states() == ALL_UP
    assert ask(old, "REPLACE INTO tandem_drill VALUES ('taken again')") == [[]]


@pytest.mark.parametrize("keep", [False, True], ids=["new connections", "one connection"])
def test_a_switchover_under_writes(keep: bool) -> None:
    """Nobody takes Atlas offline: HAProxy behind it holds who would write."""
    old = primary()
    with pair.writing(old, keep=keep, port=PORT) as written:
        pair.pass_some_writes(old)
        must(playbook("switchover", confirm="yes"))
        pair.pass_some_writes(other(old))
    print(f"{len(written.tokens)} written, {len(written.failed)} failed {written.failed[:3]}, longest pause {written.longest:.3f} s")
    assert primary() == other(old)
    assert not pair.missing(written, primary())
    assert len(written.failed) <= 2, written.failed
    for node in PAIR:
        assert writes_to(node) == primary()
        pair.wait(f"{node} reads from the new replica", lambda node=node: reads_from(node) == old, 30)


def test_a_switchover_with_set_offline_in_the_order_of_the_old_runbook() -> None:
    """Where somebody wants it: offline on both, the roles change, online and up on both. Who writes meanwhile is refused, and nothing is lost."""
    old = primary()
    with pair.writing(old, port=PORT) as written:
        pair.pass_some_writes(old)
        done = must(playbook("switchover", confirm="yes", atlas_offline="true"))
        pair.pass_some_writes(other(old))
    print(f"{len(written.tokens)} written, {len(written.failed)} failed {written.failed[:3]}, longest pause {written.longest:.3f} s")
    assert done.says("No Atlas sends new writes on: they are refused: done") and done.says("Every Atlas uses its writer again: done"), done.text[-3000:]
    assert primary() == other(old)
    assert states() == ALL_UP
    assert not pair.missing(written, primary())


def test_after_an_outage_one_command_brings_everything_home() -> None:
    """The runbook of the main system: the primary dies, the other one takes over, it returns, failback."""
    home = "server1"
    if primary() != home:
        must(playbook("switchover", confirm="yes", to=home, move_vips=True))
        pair.wait_until_whole()
    away = other(home)
    pair.fault("kill", home)
    try:
        must(playbook("failover", confirm="yes", peer_is="dead"))
        assert ask(away, "REPLACE INTO tandem_drill VALUES ('during the outage')") == [[]]
        assert writes_to(away) == away
    finally:
        pair.fault("start", home)
    pair.wait("the node is back", lambda: ssh(home, "true").status == 0, 60)
    pair.wait("its Atlas runs", lambda: ssh(home, "systemctl is-active atlas-main").text.strip() == "active", 60)
    must(playbook("failback", confirm="yes"))
    assert primary() == home
    pair.wait("Atlas uses everything", lambda: states() == ALL_UP, 30)
    for node in PAIR:
        assert writes_to(node) == home
    assert "during the outage" in sql(home, "SELECT token FROM tandem_drill", "blog")


def goes_on(node: str, writer: str) -> float:
    """When this node's Atlas reads from the writer, and writes."""
    reads = [[[str(pair.NODES[writer])]]]
    pair.wait(f"{node} reads elsewhere", lambda: ask(node, "SELECT @@server_id", seconds=1) == reads, 30)
    pair.wait(f"{node} writes", lambda: ask(node, "REPLACE INTO tandem_drill VALUES ('beside one that hangs')", seconds=1) == [[]], 30)
    return time.monotonic()


def test_a_database_that_hangs_freezes_atlas_for_a_moment_only() -> None:
    """Atlas itself would wait for it for ever, and everybody with it: HAProxy lets go, on the node of the one that hangs as well."""
    writer = primary()  # one that hangs cannot be asked
    replica = other(writer)
    ssh(replica, "systemctl kill --signal=STOP mariadb")
    try:
        begin = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            took = dict(zip(PAIR, pool.map(lambda node: goes_on(node, writer) - begin, PAIR), strict=True))
        print(f"reads and writes go on after {took} s")
        # Whoever is only slow is not left for 10 s: Atlas must not wait for that.
        assert max(took.values()) < 9, took
    finally:
        ssh(replica, "systemctl kill --signal=CONT mariadb")
    for node in PAIR:
        pair.wait(f"{node} reads from the replica again", lambda node=node: reads_from(node) == replica, 30)


def test_a_process_that_ends_comes_back() -> None:
    for node in PAIR:
        ssh(node, "systemctl kill --signal=KILL atlas-main")
        pair.wait("it takes writes again", lambda node=node: ask(node, "REPLACE INTO tandem_drill VALUES ('after the end')") == [[]], 15)


def test_last_the_way_to_haproxy_costs_nothing() -> None:
    """One variable and a playbook. The writer asks the site's configuration where its database is, each time."""
    with pair.writing(primary(), seconds=600, port=0) as written:
        pair.pass_some_writes(primary())
        os.environ["TANDEM_LAB_SQL_PROXY"] = "haproxy"
        must(playbook("leave_atlas", confirm="yes"))
        pair.pass_some_writes(primary())
    print(f"{len(written.tokens)} written, {len(written.failed)} failed, longest pause {written.longest:.3f} s")
    assert written.failed == []
    assert not pair.missing(written, primary())
    for node in PAIR:
        assert ssh(node, "systemctl is-active atlas-main").text.strip() != "active"
        assert ssh(node, "ls /usr/local/mysql-proxy/conf").text.split() == []
        assert ssh(node, f"ss --no-header --tcp --listening --numeric 'sport = :{PORT} or sport = :2345 or sport = :6448'").text == ""
