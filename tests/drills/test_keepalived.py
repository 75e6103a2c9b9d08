"""keepalived itself: what happens to it again and again in years of operation."""

from __future__ import annotations

import pair
import pytest


def processes(node: str) -> list[str]:
    """Number and scheduling class of each of keepalived's processes."""
    return pair.ssh(node, "pgrep keepalived | xargs ps --no-headers -o pid=,cls= -p").text.split("\n")[:-1]


def reloads(node: str) -> int:
    """How many reloads the VRRP process has begun since it was started."""
    return int(pair.ssh(node, "journalctl -u keepalived -t Keepalived_vrrp --no-pager | grep --count Reloading").text.split()[-1])


@pytest.mark.parametrize("node", pair.PAIR)
def test_reloads_move_nothing_and_end_nothing(node: str) -> None:
    """A second VRRP process, or a new one, would mean that the addresses have moved for a moment."""
    before = processes(node)
    where = {name: seen.addresses for name, seen in pair.both().items()}
    assert len(before) == 2 and all(line.split()[1] == "RR" for line in before), before
    begun = reloads(node)
    for wanted in range(begun + 1, begun + 11):
        assert pair.ssh(node, "systemctl reload keepalived").status == 0
        pair.wait(f"reload {wanted - begun} has begun", lambda wanted=wanted: reloads(node) >= wanted, 10)
    assert processes(node) == before
    assert {name: seen.addresses for name, seen in pair.both().items()} == where
