# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Eight processes want the lease at the same moment, again and again."""

from __future__ import annotations

import multiprocessing
import time
import typing as t

from ansible_collections.tandem.lemp.plugins.module_utils.agent.model import Term
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.lease import Granted, Lease
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.register import Register

RACERS = [f"node{number}" for number in range(1, 9)]

Make = t.Callable[[str], Register]


def _racer(name: str, make: Make, rounds: int, barrier: t.Any, results: t.Any) -> None:
    register = make(name)
    lease = Lease(name, 4.0, 0.02, time.monotonic)
    lease.look(register)
    for number in range(rounds):
        barrier.wait(60)
        outcome = lease.renew(register, Term())
        results.put((number, name, isinstance(outcome, Granted)))
        barrier.wait(60)
        if isinstance(outcome, Granted):
            lease.release(register)
        barrier.wait(60)
        lease.look(register)
    register.close()


def winners(make: Make, rounds: int) -> list[list[str]]:
    """Who was granted the lease, in each round. It has to be free at the beginning."""
    forks = multiprocessing.get_context("fork")
    barrier, results = forks.Barrier(len(RACERS)), forks.Queue()
    racers = [forks.Process(target=_racer, args=(name, make, rounds, barrier, results), daemon=True) for name in RACERS]
    for racer in racers:
        racer.start()
    told = [results.get(timeout=60) for _each in range(rounds * len(RACERS))]
    for racer in racers:
        racer.join(60)
        assert racer.exitcode == 0
    return [[name for number, name, granted in told if granted and number == wanted] for wanted in range(rounds)]
