# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease: who may be open without hearing the other one.

No clock is ever compared with another machine's. The holder counts from before it sent what was granted. Whoever watches
counts from when it has received the answer that showed the present record for the first time: that record was written,
and so sent, earlier. It may take the lease when the record has not changed for the whole lease since, and clock_error of it.
No two records are equal, so "not changed" means that nobody has renewed. The witness itself needs no clock.
"Nothing there" is not different each time: whoever finds nothing writes a record of an unknown holder, and waits for its end.
"""

from __future__ import annotations

import math
import secrets
import typing as t
from dataclasses import dataclass, replace

from ..model import Term, Witness
from .record import NOBODY_KNOWN, Record, parse
from .register import Misconfigured, Register

# Own records whose fate is not known. More are not needed: each was sent later than the one before.
_REMEMBERED = 8
UNKNOWN = "an unknown node"


@dataclass(frozen=True)
class Known:
    """What is known of the witness: immutable, so that another thread may look at it. Times are the clock's seconds.

    asked_at: when the newest question that was answered was sent. mine_from: when the newest record that was granted was sent.
    """

    asked_at: float = -math.inf
    record: Record | None = None
    seen_at: float = math.inf
    mine_from: float = -math.inf
    problem: str = ""


@dataclass(frozen=True)
class Granted:
    """until: by this node's clock."""

    until: float


@dataclass(frozen=True)
class Refused:
    """holder: a node, or UNKNOWN."""

    holder: str
    left: float


class Lease:
    """Of one node. Only one thread calls; others may look at known and ask seen()."""

    def __init__(self, node: str, seconds: float, clock_error: float, clock: t.Callable[[], float]) -> None:
        self._node, self._seconds, self._error, self._clock = node, seconds, clock_error, clock
        self.known = Known()
        self._text: str | None = None
        self._sent: dict[str, float] = {}
        self._life, self._number = secrets.token_hex(6), 0

    # Asking. Each raises WitnessError.

    def look(self, register: Register) -> None:
        asked = self._clock()
        self._saw(register.read(), asked)

    def renew(self, register: Register, term: Term) -> Granted | Refused:
        """Take it or keep it. A term of this node's own is published with it."""
        for tries in range(2):
            if tries == 0 and (self.known.seen_at == math.inf or self._refused() is not None):
                self.look(register)
            refused = self._refused()
            if refused is not None:
                return refused
            if self.known.record is None and not self._holds:
                if self._swap(register, NOBODY_KNOWN, term):
                    break
            elif self._swap(register, self._node, term):
                return Granted(self.known.mine_from + self._counted)
            # Somebody has written, perhaps this node itself when no answer came.
            self.look(register)
        return self._refused() or Refused(UNKNOWN, 0.0)

    def release(self, register: Register) -> None:
        """Nobody has to wait for its end. From now on this node does not count on it, whatever comes of that."""
        self._sent.clear()
        self.known = replace(self.known, mine_from=-math.inf)
        for _try in range(2):
            self.look(register)
            record = self.known.record
            if record is None or record.holder != self._node or self._swap(register, "", record.term):
                return

    def failed(self, problem: str) -> None:
        """The last question has not been answered."""
        self.known = replace(self.known, problem=problem)

    # What follows from it.

    @property
    def _counted(self) -> float:
        """Seconds of a lease for its holder."""
        return self._seconds * (1 - self._error)

    def seen(self, now: float, fresh: float, void_before: float = -math.inf) -> Witness:
        """fresh: seconds for which an answer means that it is there. void_before: what was sent earlier is not counted on."""
        known = self.known
        reachable = now - known.asked_at <= fresh
        if known.record is None or not known.record.holder:
            return Witness(reachable, "", 0.0, known.record.term if known.record else Term())
        if known.record.holder == self._node:
            until = known.mine_from + self._counted if known.mine_from > void_before else -math.inf
        else:
            until = known.seen_at + self._awaited(known.record)
        return Witness(reachable, _shown(known.record), max(0.0, until - now), known.record.term)

    @property
    def _holds(self) -> bool:
        return self._clock() < self.known.mine_from + self._counted

    def _awaited(self, record: Record) -> float:
        return max(self._seconds, record.lease) * (1 + self._error)

    def _refused(self) -> Refused | None:
        """None: it may be taken now."""
        record = self.known.record
        if record is None or record.holder in ("", self._node):
            return None
        if record.holder == NOBODY_KNOWN and self._holds:
            return None  # what this node held was removed: nobody else can have taken it yet
        left = self.known.seen_at + self._awaited(record) - self._clock()
        return Refused(_shown(record), left) if left > 0 else None

    def _swap(self, register: Register, holder: str, term: Term) -> bool:
        before = self.known.record.term if self.known.record else Term()
        mine = term.writer == self._node and term.rank > before.rank
        self._number += 1
        new = Record(holder, f"{self._life}-{self._number}", self._seconds, term if mine else before)
        asked = self._clock()
        if holder == self._node:
            self._sent[new.serial] = asked
            while len(self._sent) > _REMEMBERED:
                del self._sent[next(iter(self._sent))]
        if not register.swap(self._text, new.text):
            return False
        self._saw(new.text, asked)
        return True

    def _saw(self, text: str | None, asked: float) -> None:
        now = self._clock()
        record = parse(text) if text is not None else None
        if text is not None and record is None:
            raise Misconfigured(f"it keeps something that is no lease: {text[:60]!r}. Remove it, and both nodes begin anew.")
        known = self.known
        if text != self._text or known.seen_at == math.inf:
            known = replace(known, record=record, seen_at=now)
            self._text = text
        # It is there, so it was granted, even where the answer was lost.
        mine = self._sent.get(record.serial) if record is not None and record.holder == self._node else None
        if mine is not None:
            known = replace(known, mine_from=max(known.mine_from, mine))
        self.known = replace(known, asked_at=max(known.asked_at, asked), problem="")


def _shown(record: Record) -> str:
    return UNKNOWN if record.holder == NOBODY_KNOWN else record.holder
