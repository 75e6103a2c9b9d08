"""A pair with a witness: what a third machine decides, and what happens without it.

Only with TANDEM_LAB_FAILOVER=automatic and TANDEM_LAB_WITNESS=ssh or dns: the client is the witness.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pair
from agents import agent, closed, never_two, tandem
from pair import must, other, primary, ssh

WITNESS = "client"
BETWEEN = """
table inet tandem_drill {
  chain arriving { type filter hook input priority -300; ip saddr { %(peer)s } drop; }
  chain leaving { type filter hook output priority -300; ip daddr { %(peer)s } drop; }
}
"""


@contextlib.contextmanager
def apart(node: str) -> Iterator[None]:
    """Nothing passes between the two on either network; each reaches everybody else."""
    peer = ", ".join(f"10.{pair.NET}.{network}.{pair.NODES[other(node)]}" for network in (10, 20))
    must(ssh(node, "cat > /run/tandem-drill.nft && nft -f /run/tandem-drill.nft", BETWEEN % {"peer": peer}))
    try:
        yield
    finally:
        must(ssh(node, "nft delete table inet tandem_drill"))


def lease(node: str) -> dict[str, object]:
    found = agent(node)["lease"]
    assert isinstance(found, dict)
    return found


def test_the_primary_holds_the_lease_and_both_nodes_know() -> None:
    for node in pair.PAIR:
        pair.wait("both know the holder", lambda node=node: lease(node)["holder"] == primary() and lease(node)["reachable"] is True, 30)
        assert lease(node)["problem"] == ""
        assert f"Lease: held by {primary()}" in tandem(node, "why").text
    assert float(str(lease(primary())["left"])) > 1


def test_a_lost_primary_is_followed_when_its_lease_has_ended() -> None:
    old = primary()
    new = other(old)
    with pair.writing(new) as written:
        pair.pass_some_writes(old)
        began = time.monotonic()
        pair.fault("kill", old)
        try:
            while pair.read_only(new) is not False:
                assert time.monotonic() < began + 60
            print(f"the survivor is open after {time.monotonic() - began:.2f} s")
            pair.pass_some_writes(new)
            assert lease(new)["holder"] == new
        finally:
            pair.fault("start", old)
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    assert not pair.missing(written, new)
    pair.wait_until_whole()
    assert primary() == new
    assert not pair.missing(written, old)


def test_nodes_that_do_not_hear_each_other_are_not_split() -> None:
    old = primary()
    new = other(old)
    with never_two(moves=False), pair.writing(old) as written:
        pair.pass_some_writes(old)
        with apart(old):
            pair.wait("it goes on alone", lambda: agent(old)["state"] == "primary alone", 60)
            pair.pass_some_writes(old)
            end = time.monotonic() + 12  # three leases
            while time.monotonic() < end:
                assert closed(new)
                assert pair.read_only(old) is False
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    assert not pair.missing(written, old)
    pair.wait_until_whole()
    assert primary() == old
    assert not pair.missing(written, new)


def test_the_witness_alone_is_not_missed() -> None:
    old = primary()
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        pair.fault("kill", WITNESS)
        try:
            pair.wait("it is said", lambda: "witness_not_reachable" in agent(old)["alarms"], 60)  # type: ignore[operator]
            end = time.monotonic() + 10  # more than a lease
            while time.monotonic() < end:
                assert pair.read_only(old) is False
            assert "the witness does not answer" in tandem(old, "why").text
        finally:
            pair.fault("start", WITNESS)
    assert written.failed == []
    pair.wait("it is over", lambda: "witness_not_reachable" not in agent(old)["alarms"], 60)  # type: ignore[operator]
    assert primary() == old


def test_without_the_witness_the_loss_of_the_replica_closes_the_primary_until_one_of_them_is_back() -> None:
    old = primary()
    lost = other(old)
    with pair.writing(old) as written:
        pair.pass_some_writes(old)
        pair.fault("kill", WITNESS)
        try:
            pair.wait("it is said", lambda: "witness_not_reachable" in agent(old)["alarms"], 60)  # type: ignore[operator]
            pair.fault("kill", lost)
            try:
                pair.wait("the primary has closed itself", lambda: pair.read_only(old) is not False, 30)
            finally:
                pair.fault("start", lost)
        finally:
            pair.fault("start", WITNESS)
    print(f"without a write for {written.longest:.2f} s, {len(written.failed)} failed: {written.failed[:3]}")
    pair.wait_until_whole()
    for node in pair.PAIR:
        assert not pair.missing(written, node)
