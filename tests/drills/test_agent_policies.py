"""What the agent does by another policy than the lab's: failover by a person only, and role and addresses that go home.

Only with TANDEM_LAB_FAILOVER=automatic, as the other drills of the agent.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pair
from agents import agent, alarms, closed, tandem
from pair import must, other, playbook, primary, ssh

# Longer than the agent waits for anything before it takes over.
LONG = 10


@contextlib.contextmanager
def policy(**wanted: str) -> Iterator[None]:
    """Both nodes follow it meanwhile."""
    before = agent(primary())["policy"]
    must(playbook("sql_proxy", **{f"tandem_{name}": value for name, value in wanted.items()}))
    try:
        assert all(agent(node)["policy"] != before for node in pair.PAIR)
        yield
    finally:
        must(playbook("sql_proxy"))
        assert all(agent(node)["policy"] == before for node in pair.PAIR)


def test_with_manual_a_person_is_told_and_decides() -> None:
    old = primary()
    new = other(old)
    with pair.writing(new, 300) as written, policy(failover="manual"):
        pair.pass_some_writes(old)
        pair.fault("kill", old)
        try:
            pair.wait("it asks for a person", lambda: "manual_failover_needed" in alarms(new), 30)
            why = tandem(new, "why").text
            assert "policy: found manual; needed automatic" in why, why
            end = time.monotonic() + LONG
            while time.monotonic() < end:
                assert closed(new)
            must(tandem(new, "failover", "--peer-is", "dead"))
            pair.pass_some_writes(new)
        finally:
            pair.fault("start", old)
        pair.wait_until_whole()
        assert primary() == new
    assert not pair.missing(written, new)
    assert not pair.missing(written, old)


def test_role_and_addresses_go_home_once_both_are_equal() -> None:
    home = primary()
    away = other(home)
    with policy(failback="when_in_sync", preferred=home), pair.writing(away, 300) as written:
        pair.pass_some_writes(home)
        pair.fault("kill", home)
        try:
            pair.wait("the survivor takes writes", lambda: pair.read_only(away) is False, 30)
            pair.pass_some_writes(away)
        finally:
            pair.fault("start", home)
        # Until then, or for ten minutes, the agents move nothing: what has failed once may fail again.
        must(tandem(away, "ack"))
        pair.wait("the role goes home", lambda: pair.read_only(home) is False, 180)
        pair.wait("the addresses go home", lambda: len(pair.glance(home).addresses) == 2, 30)
        pair.pass_some_writes(home)
        pair.wait_until_whole()
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    assert primary() == home
    assert not pair.missing(written, home)
    assert not pair.missing(written, away)
    assert ssh(home, "tandem journal").says("failback")
