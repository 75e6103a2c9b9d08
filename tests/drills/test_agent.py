"""The pair looks after itself: failures are noticed, fenced and followed, and the old primary comes back by itself.

Only with TANDEM_LAB_FAILOVER=automatic; the other drills are those of a pair that leaves all of it to people.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator

import pair
import pytest
from pair import must, other, playbook, primary, ssh


class Watch:
    """Looks at both databases all the time."""

    def __init__(self) -> None:
        self.both_open = 0
        self.looks = 0
        self._stop = threading.Event()

    def run(self) -> None:
        while not self._stop.is_set():
            self.looks += 1
            # The one that was looked at first may have been closed meanwhile, so it is asked again.
            first, second, again = (pair.read_only(node) for node in (*pair.PAIR, pair.PAIR[0]))
            self.both_open += (first, second, again) == (False, False, False)

    def end(self) -> None:
        self._stop.set()


@contextlib.contextmanager
def never_two() -> Iterator[None]:
    watch = Watch()
    thread = threading.Thread(target=watch.run)
    thread.start()
    try:
        yield
    finally:
        watch.end()
        thread.join(60)
    assert watch.looks > 3
    assert watch.both_open == 0


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


def test_a_fence_of_a_person_holds() -> None:
    old = primary()
    must(playbook("fence", node=old, confirm="yes"))
    end = time.monotonic() + 8  # longer than any wait of the agent that could open it
    while time.monotonic() < end:
        assert pair.read_only(old) is True
        assert closed(other(old))
    must(playbook("unfence", node=old, confirm="yes"))
    assert primary() == old
