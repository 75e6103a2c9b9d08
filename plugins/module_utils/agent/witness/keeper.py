# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The thread that asks the witness. A slow witness delays this thread, and nobody else."""

from __future__ import annotations

import logging
import math
import threading
import typing as t

from ..model import Term, Witness
from .lease import Lease
from .register import Misconfigured, Register, WitnessError

LOG = logging.getLogger("tandem.agent.witness")
# Seconds. Between two looks while nothing else is asked; from one failure to the next try, at first and at last.
_LOOK_EVERY = 0.5
# What was asked for so long ago has been asked for again, or is not wanted any more.
_WANTED_FOR = 1.5
_AGAIN, _UNREACHABLE, _MISCONFIGURED = 0.25, 2.0, 10.0


class Keeper:
    """What the agent's loop calls never waits.

    make: the register, which may raise Misconfigured; called in this thread until it does not.
    woken: called from this thread when something else is known than before.
    """

    def __init__(
        self, make: t.Callable[[], Register], lease: Lease, fresh: float, clock: t.Callable[[], float], woken: t.Callable[[], None]
    ) -> None:
        self._make, self._lease, self._fresh, self._clock, self._woken = make, lease, fresh, clock, woken
        self._register: Register | None = None
        self._lock = threading.Condition()
        self._term: Term | None = None
        self._asked_at = -math.inf
        self._give_back = False
        self._void_before = -math.inf
        self._ends = False
        self._failures = 0
        threading.Thread(target=self._run, name="witness", daemon=True).start()

    # From the agent's loop.

    def renew(self, term: Term) -> None:
        with self._lock:
            self._term, self._asked_at, self._give_back = term, self._clock(), False
            self._lock.notify()

    def release(self) -> None:
        """At once for this node: what it had asked for before is not counted on any more."""
        with self._lock:
            self._term, self._give_back, self._void_before = None, True, self._clock()
            self._lock.notify()

    def view(self, now: float) -> Witness:
        return self._lease.seen(now, self._fresh, self._void_before)

    def status(self, now: float) -> dict[str, t.Any]:
        """For people."""
        seen, known = self.view(now), self._lease.known
        return {
            "configured": True,
            "holder": seen.holder,
            "left": round(seen.left, 2) if seen.holder else None,
            "reachable": seen.reachable,
            "problem": "" if seen.reachable else known.problem,
        }

    def close(self) -> None:
        with self._lock:
            self._ends = True
            self._lock.notify()
        register = self._register
        if register is not None:
            register.close()

    # The thread.

    def _run(self) -> None:
        wait = 0.0
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._ends or (not self._failures and self._asked), wait)
                if self._ends:
                    return
                late = self._clock() - self._asked_at > _WANTED_FOR
                term, give_back = None if late else self._term, self._give_back
                self._term, self._give_back = None, False
            before = self._summary()
            wait = self._turn(term, give_back)
            if self._summary() != before:
                self._woken()

    @property
    def _asked(self) -> bool:
        return self._term is not None or self._give_back

    def _turn(self, term: Term | None, give_back: bool) -> float:
        """Returns the seconds until the next look or try."""
        try:
            register = self._register = self._register or self._make()
            if give_back:
                self._lease.release(register)
            elif term is not None:
                self._lease.renew(register, term)
            else:
                self._lease.look(register)
        except WitnessError as error:
            return self._missed(str(error), _MISCONFIGURED if isinstance(error, Misconfigured) else _UNREACHABLE)
        except Exception as error:
            # The thread's last line: a fault of ours must be seen, and asking goes on.
            LOG.exception("asking the witness")
            return self._missed(repr(error), _MISCONFIGURED)
        if self._failures:
            LOG.warning("the witness answers")
        self._failures = 0
        return _LOOK_EVERY

    def _missed(self, problem: str, longest: float) -> float:
        if problem != self._lease.known.problem and not self._ends:
            LOG.warning("witness: %s", problem)
        self._lease.failed(problem)
        self._failures += 1
        return min(longest, _AGAIN * float(2 ** min(self._failures - 1, 10)))

    def _summary(self) -> tuple[t.Any, ...]:
        known = self._lease.known
        record = known.record
        return (bool(known.problem), record.holder if record else None, record.term if record else None, known.mine_from > -math.inf)
