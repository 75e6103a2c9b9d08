# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Notifications: who sends what, what is sent once, and what happens when a channel does not take it.

submit() and tick() never block: call them from the event loop. Each channel has a thread and a queue of its own.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
import typing as t
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from . import reading
from .alarms import described
from .channels import Channel, ChannelError, Message

LOG = logging.getLogger("tandem.notify")
PROBLEM, RECOVERED, INFO = "problem", "recovered", "info"
SEVERITIES = ("critical", "warning", "info")  # worst first
WINDOW = 900.0  # seconds in which the same is not said again
BURST, REFILL = 10, 60.0  # messages at once; seconds for one more
RESERVE = 3  # of the burst, for what is critical
HELD, KEYS, QUEUE = 200, 500, 100
GIVE_UP = 6 * 3600.0
LONGEST_DELAY = 300.0


@dataclass(frozen=True)
class Event:
    """Something a person should know. node: whom it is about; key: what belongs together (default: node and kind)."""

    node: str
    kind: str
    summary: str
    state: str = PROBLEM
    severity: str = "warning"
    reason: str = ""
    key: str = ""
    details: t.Mapping[str, t.Any] = field(default_factory=dict)
    unix: float = field(default_factory=time.time)

    @property
    def topic(self) -> str:
        return self.key or f"{self.node}/{self.kind}"


def speaks(event: Event, me: str, peer_alive: bool | None) -> bool:
    """Does this node send it? Who lives speaks for itself; for a dead node its peer speaks. Not knowing is not dead."""
    return event.node == me or peer_alive is False


def alarm_events(
    node: str,
    before: t.Collection[str],
    now: t.Collection[str],
    reason: str = "",
    details: t.Mapping[str, t.Any] | None = None,
    unix: float | None = None,
) -> list[Event]:
    """What to submit when a node's alarms were before and are now: what is new is a problem, what is gone is over."""
    at = time.time() if unix is None else unix
    made = []
    for names, state in (([name for name in now if name not in before], PROBLEM), ([name for name in before if name not in now], RECOVERED)):
        for name in names:
            severity, words = described(name)
            made.append(Event(node, name, f"{node}: {words}", state, severity, reason if state == PROBLEM else "", details=details or {}, unix=at))
    return made


def message_of(event: Event, sender: str, repeats: int) -> dict[str, t.Any]:
    """What the channels are given. The same event always has the same id."""
    name = f"{event.topic}|{event.state}|{event.unix!r}".encode("utf-8", "replace")
    return {
        "id": hashlib.sha256(name).hexdigest()[:16],
        "key": event.topic,
        "node": event.node,
        "sender": sender,
        "kind": event.kind,
        "state": event.state,
        "severity": event.severity,
        "summary": event.summary,
        "reason": event.reason,
        "time": reading.iso(event.unix),
        "unix": event.unix,
        "repeats": repeats,
        "details": dict(event.details),
    }


@dataclass
class _Seen:
    """What is remembered of a key."""

    state: str
    sent: float | None = None
    unsent: int = 0  # since the last one that was sent
    total: int = 0  # since the trouble began


class Gate:
    """What is sent now, later, or never: the same once per window, and no flood. Pure; now is any steady clock's seconds."""

    def __init__(self, window: float = WINDOW, burst: int = BURST, refill: float = REFILL) -> None:
        self.repeats = 0  # events that were counted instead of sent
        self.dropped = 0  # events that nobody will ever be told
        self._window, self._burst, self._refill = window, burst, refill
        self._tokens, self._counted_at = float(burst), 0.0
        self._seen: OrderedDict[str, _Seen] = OrderedDict()
        self._held: OrderedDict[str, Event] = OrderedDict()

    def offer(self, event: Event, now: float) -> list[tuple[Event, int]]:
        """Take an event; what may be sent now, each with the number of its repeats."""
        key = event.topic
        seen = self._seen.setdefault(key, _Seen(event.state))
        self._seen.move_to_end(key)
        waiting = key in self._held
        if waiting or (seen.sent is not None and seen.state == event.state and now - seen.sent < self._window):
            seen.unsent += 1
            seen.total += 1
            self.repeats += 1
        if waiting or seen.sent is None or seen.state != event.state or now - seen.sent >= self._window:
            if event.state == PROBLEM and seen.state != PROBLEM and not waiting:
                seen.total = seen.unsent = 0
            seen.state = event.state
            self._held.pop(key, None)
            self._held[key] = event
        self._bound()
        return self.due(now)

    def _bound(self) -> None:
        while len(self._held) > HELD:
            worst_last = sorted(self._held, key=lambda key: _rank(self._held[key]))[-1]
            del self._held[worst_last]
            self.dropped += 1
        for key in list(self._seen):
            if len(self._seen) <= KEYS:
                break
            if key not in self._held:
                del self._seen[key]

    def due(self, now: float) -> list[tuple[Event, int]]:
        """What was held back and may be sent now; the worst first, then the oldest."""
        self._tokens = min(float(self._burst), self._tokens + max(0.0, now - self._counted_at) / self._refill)
        self._counted_at = now
        sent = []
        for key in sorted(self._held, key=lambda key: _rank(self._held[key])):  # stable: the oldest of a rank first
            reserve = 0 if self._held[key].severity == "critical" else min(RESERVE, self._burst - 1)
            if self._tokens - reserve < 1:
                break
            self._tokens -= 1
            event, seen = self._held.pop(key), self._seen[key]
            sent.append((event, seen.total if event.state == RECOVERED else seen.unsent))
            seen.sent, seen.unsent = now, 0
        return sent

    @property
    def held(self) -> int:
        return len(self._held)


def _rank(event: Event) -> int:
    return SEVERITIES.index(event.severity) if event.severity in SEVERITIES else len(SEVERITIES)


def backoff(attempt: int) -> float:
    """Seconds to wait after so many failures: 1, 2, 4 ... LONGEST_DELAY."""
    return min(LONGEST_DELAY, 2.0 ** min(attempt - 1, 20))


class _Worker:
    """One channel's queue and thread."""

    def __init__(self, channel: Channel, delay: t.Callable[[int], float], give_up: float, taken: t.Callable[[Message], None]) -> None:
        self.sent = self.failed = 0
        self._taken = taken
        self._channel, self._delay, self._give_up = channel, delay, give_up
        self._queue: deque[tuple[Message, float]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._busy = False
        self._complaint = ""
        self._thread = threading.Thread(target=self._run, name=f"notify-{channel.name}", daemon=True)
        self._thread.start()

    @property
    def queued(self) -> int:
        with self._changed:
            return len(self._queue) + self._busy

    def put(self, message: Message) -> None:
        with self._changed:
            if len(self._queue) >= QUEUE:
                # Of those that wait the oldest goes; one that is critical only if all are.
                index = next((i for i, (waiting, _at) in enumerate(self._queue) if waiting.get("severity") != "critical"), 0)
                del self._queue[index]
                self.failed += 1
            self._queue.append((message, time.monotonic()))
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def join(self, timeout: float) -> None:
        self._thread.join(timeout)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._stopping)
                if not self._queue:
                    return
                message, since = self._queue.popleft()
                self._busy = True
            taken = self._deliver(message, since)
            with self._changed:
                self._busy = False
                self.sent, self.failed = self.sent + taken, self.failed + (not taken)

    def _deliver(self, message: Message, since: float) -> bool:
        """Try until it is taken, or not worth it. When the agent stops, everything gets one try."""
        attempt = 0
        while True:
            attempt += 1
            final = False
            with self._changed:
                last = self._stopping
            try:
                self._channel.send(message)
            except ChannelError as error:
                final, complaint = error.final, str(error)
            except Exception as error:
                complaint = f"a fault of the agent itself: {type(error).__name__}"  # its text may hold anything
            else:
                self._say("", message)
                self._taken(message)
                return True
            self._say(complaint, message)
            with self._changed:
                if final or last or time.monotonic() - since >= self._give_up:
                    LOG.error("%s: given up on %s", self._channel.name, message.get("key"))
                    return False
                self._changed.wait_for(lambda: self._stopping, self._delay(attempt))

    def _say(self, complaint: str, message: Message) -> None:
        if complaint and complaint != self._complaint:
            LOG.warning("%s did not take %s: %s", self._channel.name, message.get("key"), complaint)
        elif not complaint and self._complaint:
            LOG.info("%s takes messages again", self._channel.name)
        self._complaint = complaint


class Notifier:
    """Everything together, for one node. From one thread (the event loop's)."""

    def __init__(
        self,
        me: str,
        channels: t.Iterable[Channel],
        gate: Gate | None = None,
        clock: t.Callable[[], float] = time.monotonic,
        delay: t.Callable[[int], float] = backoff,
        give_up: float = GIVE_UP,
        taken: t.Callable[[Message], None] = lambda _message: None,
    ) -> None:
        """taken: told of each message that a channel has taken, in that channel's thread."""
        self._me, self._clock = me, clock
        self._gate = gate or Gate()
        self._workers = {channel.name: _Worker(channel, delay, give_up, taken) for channel in channels}

    def submit(self, event: Event, peer_alive: bool | None) -> bool:
        """Tell people, if it is this node's to tell. False: the peer does."""
        if not speaks(event, self._me, peer_alive):
            return False
        self._send(self._gate.offer(event, self._clock()))
        return True

    def tick(self) -> None:
        """Send what was held back, when it is time. Call it every few seconds."""
        self._send(self._gate.due(self._clock()))

    def _send(self, ready: list[tuple[Event, int]]) -> None:
        for event, repeats in ready:
            message = message_of(event, self._me, repeats)
            for worker in self._workers.values():
                worker.put(message)

    def status(self) -> dict[str, t.Any]:
        """For the status: key "notifications"."""
        workers = self._workers.items()
        return {
            "sent": {name: worker.sent for name, worker in workers},
            "failed": {name: worker.failed for name, worker in workers},
            "queued": {name: worker.queued for name, worker in workers},
            "held": self._gate.held,
            "repeats": self._gate.repeats,
            "dropped": self._gate.dropped,
        }

    def close(self, timeout: float = 5.0) -> None:
        """Everything that waits gets one more try, all within timeout seconds."""
        ends = time.monotonic() + timeout
        for worker in self._workers.values():
            worker.stop()
        for worker in self._workers.values():
            worker.join(max(0.0, ends - time.monotonic()))
