"""The pair looks after itself: failures are noticed, fenced and followed, and the old primary comes back by itself.

Only with TANDEM_LAB_FAILOVER=automatic; the other drills are those of a pair that leaves all of it to people.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import threading
import time
from collections.abc import Iterator

import pair
import pytest
from pair import must, other, playbook, primary, ssh

LOOK = """
import os, time
import pymysql
connection = None
while not os.path.exists("/run/tandem-look-stop"):
    try:
        connection = connection or pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", connect_timeout=1, read_timeout=1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@global.read_only")
            word = "closed" if cursor.fetchone()[0] else "open"
    except Exception:
        connection, word = None, "gone"
    print(f"{time.time():.4f} {word}", flush=True)
    time.sleep(0.01)
"""


def open_times(lines: list[str]) -> list[tuple[float, float]]:
    """From one look that found it open to the next that did."""
    looks = [(float(line.split()[0]), line.split()[1]) for line in lines]
    return [(one[0], two[0]) for one, two in itertools.pairwise(looks) if one[1] == two[1] == "open"]


@contextlib.contextmanager
def never_two(moves: bool = True) -> Iterator[None]:
    """Looks at both databases 50 times a second or so. The nodes of the lab have one clock. moves: the primary has to change."""
    looking = {}
    for node in pair.PAIR:
        ssh(node, "rm -f /run/tandem-look-stop; cat > /root/tandem-look.py", LOOK)
        looking[node] = subprocess.Popen(pair.ssh_argv(node, "python3 /root/tandem-look.py"), stdout=subprocess.PIPE, text=True)
    lines: dict[str, list[str]] = {node: [] for node in looking}
    readers = [threading.Thread(target=lambda node=node: lines[node].extend(looking[node].stdout or [])) for node in looking]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        for node in looking:
            ssh(node, "touch /run/tandem-look-stop")
        for reader in readers:
            reader.join(60)
        for process in looking.values():
            process.wait(60)
    first, second = (open_times(lines[node]) for node in pair.PAIR)
    assert (first and second) if moves else bool(first) != bool(second), {node: len(found) for node, found in lines.items()}
    both = [(max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) < min(b, d)]
    assert both == [], f"both open for {sum(end - begin for begin, end in both) * 1000:.0f} ms"
    longest = max((two[0] - one[1] for one, two in zip(sorted(first + second), sorted(first + second)[1:], strict=False)), default=0.0)
    print(f"nobody open for {longest:.2f} s")


def tandem(node: str, *words: str) -> pair.Done:
    return ssh(node, " ".join(["tandem", *words]))


def agent(node: str) -> dict[str, object]:
    said = must(tandem(node, "status", "--json"))
    return dict(json.loads(said.text)["agent"])


def closed(node: str) -> bool:
    """Its server refuses writes, or does not run."""
    return pair.read_only(node) is not False


@pytest.fixture(autouse=True)
def acknowledged(whole: None) -> None:
    """A failover that nobody has seen keeps the next one from being automatic for ten minutes."""
    for node in pair.PAIR:
        must(tandem(node, "ack"))


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


def test_a_fence_of_a_person_holds() -> None:
    old = primary()
    must(playbook("fence", node=old, confirm="yes"))
    end = time.monotonic() + 8  # longer than any wait of the agent that could open it
    while time.monotonic() < end:
        assert pair.read_only(old) is True
        assert closed(other(old))
    must(playbook("unfence", node=old, confirm="yes"))
    assert primary() == old
