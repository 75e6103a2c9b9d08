# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a silent peer's machine is called dead: after a second without an answer on any way, and not before."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import typing as t

import pytest

from ansible_collections.tandem.lemp.plugins.module_utils.health import knock
from ansible_collections.tandem.lemp.plugins.module_utils.health.config import Network
from ansible_collections.tandem.lemp.plugins.module_utils.health.knock import Knocks, Verdict
from ansible_collections.tandem.lemp.plugins.module_utils.health.links import Reference

PEER = "127.0.0.98"
NETWORKS = (Network("inside", "lo", "127.0.0.1", PEER, None),)
TICK = 0.15


def tries(verdict: Verdict, moments: t.Iterable[float], lasts: float = knock.TRY) -> None:
    for began in moments:
        verdict.begin(began)
        verdict.unanswered(began, began + lasts)


def test_one_lost_packet_proves_nothing() -> None:
    verdict = Verdict()
    tries(verdict, [0.0])
    assert (verdict.answers, verdict.quiet) == (None, True)
    verdict.answered(0.3)
    tries(verdict, [10.0])
    assert (verdict.answers, verdict.quiet) == (True, True)


def test_a_second_without_an_answer_is_enough_also_at_the_slowest() -> None:
    verdict = Verdict()
    tries(verdict, [0.0, 0.3, 0.6])
    assert verdict.answers is None
    tries(verdict, [0.9])
    assert verdict.answers is False


def test_an_answer_on_another_way_counts() -> None:
    verdict = Verdict()
    for turn in range(40):
        tries(verdict, [turn * 0.3])
        if turn % 3 == 2:
            verdict.answered(turn * 0.3 + 0.2)
    assert verdict.answers is True


def test_a_process_that_stood_still_has_asked_nobody() -> None:
    verdict = Verdict()
    tries(verdict, [0.0, 1.2, 2.4, 3.6, 4.8], lasts=1.1)
    assert verdict.answers is None


class Unanswered(Reference):
    """The loopback interface answers every ping."""

    def ping(self) -> None:
        return


def full(port: int = 0) -> list[socket.socket]:
    """Its queue is full and nobody accepts: the kernel drops who comes. The first one is the door."""
    door = socket.create_server((PEER, port), backlog=0)
    waiting = [socket.socket() for _turn in range(3)]
    for one in waiting:
        one.setblocking(False)
        one.connect_ex(door.getsockname())
    return [door, *waiting]


def ask(port: int, database: str, seconds: float) -> bool | None:
    """What is known after so many seconds; where nothing is, as tries of a busy machine do not count, what is known first."""

    async def run() -> bool | None:
        knocks = Knocks(NETWORKS, port)
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds or (knocks.answers is None and passed < 60):
            knocks.ask(database)
            await asyncio.sleep(TICK)
        knocks.close()
        return knocks.answers

    return asyncio.run(run())


@pytest.mark.parametrize(("pings", "database", "answers"), [(False, False, False), (False, True, True), (True, False, True)],
                         ids=["nothing", "the database's port", "a ping"])  # fmt: skip
def test_a_full_queue_at_the_health_port_is_no_dead_machine(
    pings: bool, database: bool, answers: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if pings and os.geteuid() != 0:
        pytest.skip("a ping needs CAP_NET_RAW")
    if not pings:
        monkeypatch.setattr(knock, "Reference", Unanswered)
    doors = full()
    other = socket.create_server((PEER, 0))
    refused = other.getsockname()[1]
    other.close()
    try:
        assert ask(doors[0].getsockname()[1], f"{PEER}:{refused}" if database else "", 1.4) is answers
    finally:
        for one in doors:
            one.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="a ping needs CAP_NET_RAW")
def test_nobody_reads_the_pings_while_the_peer_speaks_so_they_are_closed() -> None:
    """What others are answered would fill their sockets, and the peer's own answers would lie behind it."""

    async def run() -> list[bool]:
        knocks = Knocks(NETWORKS, 9)
        knocks.ask("")
        before = [ping._sock is not None for ping in knocks._pings]
        knocks.heard()
        return [*before, *(ping._sock is None for ping in knocks._pings)]

    assert all(asyncio.run(run()))
