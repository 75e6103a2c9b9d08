# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the agent tells: its history, its samples, messages to people, and the answers for browsers and Prometheus.

Called in the daemon's event loop; what may block (the disk, drawing the page) has a thread of its own.
"""

from __future__ import annotations

import time
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor

from . import metrics, page
from .announced import Announced
from .channels import Channel, Message
from .history import History, Samples, merged, sample
from .model import State
from .notify import INFO, PROBLEM, Event, Notifier, alarm_events
from .why import why

_SAMPLE_EVERY = 10.0
_FLUSH_EVERY = 1.0
_PAGE_KEEPS = 1.0
# What is still so after a restart of the daemon has shown itself by then; some alarms wait before they are one.
_SHOWS_WITHIN = 180.0
_SHOWN = 50
Answer = tuple[str, str, t.Mapping[str, str]]


class Voice:
    """channels: where messages go. status: what the daemon knows now."""

    def __init__(self, node: str, directory: str, channels: t.Iterable[Channel], status: t.Callable[[], dict[str, t.Any]]) -> None:
        self.node = node
        self._status = status
        self.history = History(node, f"{directory}/history.jsonl")
        self.samples = Samples(f"{directory}/samples.json")
        self.history.load()
        self.samples.load(time.time())
        self.peer_history: list[dict[str, t.Any]] = []
        self.counters: dict[str, t.Any] = {"failovers": 0, "primary_changes": 0, "transitions": {}}
        self._writer = ""
        self._announced = Announced(f"{directory}/alarms.json")
        self._announced.load()
        self._notifier = Notifier(node, channels, taken=self._taken)
        # Told before this daemon was started, and not seen by it yet.
        self._unseen, self._began = set(self._announced.names), time.monotonic()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="telling")
        self._writing: Future[None] | None = None
        self._sampled = self._flushed = 0.0
        self._page, self._page_at = "", 0.0

    # What happens.

    def note(self, kind: str, details: dict[str, t.Any], peer_alive: bool | None) -> None:
        """An event of the agent."""
        if kind == "transition":
            self.history.record(kind, details["from"], details["to"], details["rule"], details["reason"], details["epoch"])
            seen = self.counters["transitions"]
            seen[details["rule"]] = seen.get(details["rule"], 0) + 1
        else:
            self.history.record(kind, reason=str(details.get("reason") or details.get("said") or details.get("name") or ""), details=details)
        if kind == "failover":
            self.counters["failovers"] += 1
            # Each is an event of its own, and none has an end.
            lost, key = details["report"].get("lost"), f"{self.node}/failover/{details['report'].get('operation')}"
            text = f"{self.node} is the primary now; transactions that may be lost: {lost}"
            self._notifier.submit(Event(self.node, "failover", text, state=INFO, severity="critical", key=key), peer_alive)
        elif kind in ("alarm", "over"):
            before, name = set(self._announced.names), details["name"]
            now = before | {name} if kind == "alarm" else before - {name}
            self._announced.tell(now)
            self._unseen.discard(name)
            for event in alarm_events(self.node, before, now, reason=str(details.get("reason", ""))):
                self._notifier.submit(event, peer_alive)

    def _taken(self, message: Message) -> None:
        """In a channel's thread."""
        if message["state"] != INFO:
            self._announced.taken(message["kind"], message["state"] == PROBLEM)

    def writer(self, name: str) -> None:
        """Who may write now. The first one that is known is no change."""
        if name and self._writer and name != self._writer:
            self.counters["primary_changes"] += 1
        self._writer = name or self._writer

    def tick(self) -> None:
        """Often."""
        now = time.time()
        if abs(now - self._sampled) >= _SAMPLE_EVERY:
            self._sampled = now
            self.samples.add(sample(self._status(), now))
            self._notifier.tick()
        if self._unseen and time.monotonic() - self._began >= _SHOWS_WITHIN:
            for name in sorted(self._unseen):
                self.note("over", {"name": name}, None)
        if abs(now - self._flushed) >= _FLUSH_EVERY and (self._writing is None or self._writing.done()):
            self._flushed = now
            if self.history.unsaved or self.samples.due(now) or self._announced.unsaved:
                self._writing = self._thread.submit(self._write, now)

    def _write(self, now: float) -> None:
        self.history.flush()
        if self._announced.unsaved:
            self._announced.save()
        if self.samples.due(now):
            self.samples.save(now)

    def status(self) -> dict[str, t.Any]:
        return {"notifications": self._notifier.status(), "history": {"unsaved": self.history.unsaved, "problem": self.history.problem}}

    # Answers.

    def entries(self) -> list[dict[str, t.Any]]:
        """Of both nodes, newest last."""
        return merged(self.history.entries, self.peer_history, _SHOWN)

    def answer(self, path: str) -> Answer | None:
        """Content type, body and headers; None: there is no such page."""
        if path == "/metrics":
            return metrics.CONTENT_TYPE, metrics.render(self._status(), [state.value for state in State]), {}
        if path == "/why":
            return "text/plain; charset=utf-8", "\n".join(why(self._status(), self.entries())) + "\n", {}
        if path in ("/", "/index.html"):
            now = time.monotonic()
            if now - self._page_at >= _PAGE_KEEPS:
                self._page, self._page_at = page.render(self._status(), self.entries(), self.samples), now
            return page.CONTENT_TYPE, self._page, {name: value for name, value in page.HEADERS.items() if name != "Content-Type"}
        return None

    def close(self) -> None:
        """The last words are said and written down."""
        self.history.record("stopped")
        self._notifier.close(1.0)
        self._thread.submit(self._write, time.time())
        self._thread.shutdown(wait=True)
