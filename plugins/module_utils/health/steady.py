# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From single looks to a verdict: a blip is not a fault, and slow is not dead. Pure; time is an argument."""

from __future__ import annotations

import typing as t

from .model import Finding, Raw, Verdict


class Steady:
    """One part's verdict over time.

    DOWN after down_after seconds of nothing but BROKEN, or silent_after seconds of nothing but SILENT
    (None: silence alone never proves death). UP after up_count OKs in a row.
    """

    def __init__(self, down_after: float, silent_after: float | None, up_count: int = 2) -> None:
        self._limit: dict[Raw, float | None] = {Raw.BROKEN: down_after, Raw.SILENT: silent_after}
        self._up_count = up_count
        self._last: Raw | None = None
        self._since = 0.0
        self._looks = 0
        self.finding = Finding(Verdict.STARTING, "not looked at yet")

    def observe(self, raw: Raw, reason: str, now: float) -> Finding:
        if raw is not self._last:
            self._last, self._since, self._looks = raw, now, 0
        self._looks += 1
        self.finding = self._judge(raw, reason, now)
        return self.finding

    def break_now(self, reason: str, now: float) -> Finding:
        """Death was witnessed: no waiting."""
        self._last, self._since, self._looks = None, now, 0
        self.finding = Finding(Verdict.DOWN, reason)
        return self.finding

    def _judge(self, raw: Raw, reason: str, now: float) -> Finding:
        before = self.finding.verdict
        if raw is Raw.OK:
            if before is Verdict.DOWN and self._looks < self._up_count:
                return self.finding
            return Finding(Verdict.UP, reason)
        if raw is Raw.BUSY:
            return Finding(Verdict.UNKNOWN, reason)
        limit = self._limit[raw]
        if limit is not None and now - self._since >= limit:
            return Finding(Verdict.DOWN, reason)
        if before in (Verdict.DOWN, Verdict.STARTING):
            return Finding(before, reason)
        return Finding(Verdict.UNKNOWN, reason)


class NetworkWatch:
    """One network: carrier, a reference that should always answer a ping, and the peer's heartbeats.

    Counts own ticks, not seconds, so that a pause of this process looks like nothing at all.
    A reference that has never answered is ignored. One that is silent while the peer is still heard on the
    same network may just be busy: then only patience strikes count.
    """

    def __init__(self, reference: str | None, trusted: bool, strikes: int, patience: int, peer_ticks: int) -> None:
        self.reference = reference
        self.trusted = trusted and reference is not None
        self.strikes = 0
        self._limit, self._patience, self._peer_ticks = strikes, patience, peer_ticks
        self._answers = 0
        self._peer_silence = peer_ticks + 1
        self._ticks = 0
        self._carrier: bool | None = None
        self.finding = Finding(Verdict.STARTING, "not looked at yet")

    def answered(self) -> None:
        self.trusted = True
        self.strikes = 0
        self._answers += 1

    def heard_peer(self) -> None:
        self._peer_silence = 0

    @property
    def peer_heard(self) -> bool:
        return self._peer_silence <= self._peer_ticks

    @property
    def quiet(self) -> bool:
        """The last ping was answered and the peer has just been heard: the next ping may be left out."""
        return self.strikes == 0 and self._peer_silence <= 1

    def tick(self, carrier: bool | None, asks: bool = True) -> Finding:
        """One interval has passed. asks: the next ping goes out now. carrier None: the interface does not exist."""
        self._ticks += 1
        self._peer_silence += 1
        self._carrier = carrier
        if asks:
            self.strikes += 1
        if self.strikes > 1:
            self._answers = 0
        self.finding = self._judge()
        return self.finding

    def _judge(self) -> Finding:
        if self._carrier is None:
            return Finding(Verdict.DOWN, "the interface does not exist", "carrier")
        if not self._carrier:
            return Finding(Verdict.DOWN, "no carrier", "carrier")
        if self.trusted:
            return self._judge_by_reference()
        if self.peer_heard:
            return Finding(Verdict.UP, "the peer is heard", "peer")
        if self._ticks <= self._peer_ticks:
            return Finding(Verdict.STARTING, "nothing heard yet")
        why = "has never answered" if self.reference is not None else "is not configured"
        return Finding(Verdict.UNKNOWN, f"the peer is silent here and a reference {why}")

    def _judge_by_reference(self) -> Finding:
        # strikes counts the ping that has just gone out as well: "missed" are those that had their time.
        missed = self.strikes - 1
        was_down = self.finding.verdict is Verdict.DOWN
        if missed >= (self._patience if self.peer_heard else self._limit):
            return Finding(Verdict.DOWN, f"{self.reference} does not answer", "reference")
        if was_down and (missed > 0 or self._answers < self._limit):
            return self.finding
        return Finding(Verdict.UP, f"{self.reference} answers", "reference")


def public_strikes(watches: t.Mapping[str, NetworkWatch]) -> dict[str, int]:
    """What the peer may know: pings in a row without an answer, for networks with a trusted reference."""
    return {name: max(0, watch.strikes - 1) for name, watch in watches.items() if watch.trusted}
