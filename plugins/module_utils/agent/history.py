# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What this node did and when, on disk and in memory; and the last day's lag and roles, for the graph.

record() never touches the disk, so a stalled or full one cannot stop who decides. flush() writes and blocks: call it
in a thread. What could not be written stays in memory, is tried again, and is told (problem, unsaved, dropped).
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import threading
import time
import typing as t
from collections import deque

from . import reading

PATH = "/var/lib/tandem/agent/history.jsonl"
SAMPLES_PATH = "/var/lib/tandem/agent/samples.json"
MODE = 0o640
MAX_BYTES = 1_000_000  # of the file that is written to; one older file of that size is kept
KEEP = 1000  # entries in memory
UNSAVED = 2000
LONGEST_TEXT = 2000
LONGEST_LINE = 16_000
Entry = dict[str, t.Any]


def _plain(value: t.Any, depth: int = 4) -> t.Any:
    """Something json can write: bounded, finite, keys are text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) < 2**63 else str(value.bit_length()) + " bits"
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if depth > 0 and isinstance(value, t.Mapping):
        return {str(key)[:200]: _plain(item, depth - 1) for key, item in list(value.items())[:50]}
    if depth > 0 and isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item, depth - 1) for item in list(value)[:100]]
    return str(value)[:LONGEST_TEXT].encode("utf-8", "replace").decode()


def entry(
    node: str,
    kind: str,
    before: str | None = None,
    after: str | None = None,
    rule: str = "",
    reason: str = "",
    epoch: int | None = None,
    details: t.Mapping[str, t.Any] | None = None,
    unix: float | None = None,
) -> Entry:
    """One entry. kind: "transition" (then before and after are states) or the name of an event."""
    at = time.time() if unix is None else unix
    made: Entry = {
        "time": reading.iso(at),
        "unix": round(at, 6),
        "node": node,
        "kind": kind,
        "from": before,
        "to": after,
        "rule": rule,
        "reason": reason,
        "epoch": epoch,
        "details": details or {},
    }
    return t.cast(Entry, _plain(made))


def _line(made: Entry) -> bytes:
    line = json.dumps(made, separators=(",", ":"))
    if len(line) > LONGEST_LINE:
        line = json.dumps({**made, "details": {"left_out": f"{len(line)} bytes"}}, separators=(",", ":"))
    return line.encode() + b"\n"


def parse(content: bytes) -> tuple[list[Entry], int]:
    """Entries of a file, and how many lines were none (torn by a loss of power, or somebody else's)."""
    entries: list[Entry] = []
    torn = 0
    for line in content.split(b"\n"):
        line = line.strip(b"\0 \t\r")
        if not line:
            continue
        try:
            made = json.loads(line)
        except (ValueError, RecursionError):
            made = None
        if isinstance(made, dict) and reading.number(made, "unix") is not None and isinstance(made.get("kind"), str):
            entries.append(made)
        else:
            torn += 1
    return entries, torn


def merged(mine: t.Iterable[Entry], peers: t.Iterable[Entry], limit: int = 50) -> list[Entry]:
    """Both nodes' entries in the order of their clocks, newest last, none twice."""
    seen: dict[tuple[str, ...], Entry] = {}
    for made in [*mine, *peers]:
        if reading.number(made, "unix") is not None:
            key = tuple(reading.text(made, name) for name in ("unix", "node", "kind", "from", "to", "rule"))
            seen.setdefault(key, made)
    return sorted(seen.values(), key=lambda made: reading.number(made, "unix") or 0.0)[-limit:]


def _read_tail(path: str, limit: int) -> bytes:
    """The last bytes of a file; b"" when there is none."""
    try:
        with open(path, "rb") as handle:
            size = handle.seek(0, os.SEEK_END)
            handle.seek(max(0, size - limit))
            content = handle.read(limit)
    except OSError:
        return b""
    return content.split(b"\n", 1)[-1] if size > limit else content


class History:
    """This node's journal. One writer; record() and entries from any thread."""

    def __init__(self, node: str, path: str = PATH, max_bytes: int = MAX_BYTES, keep: int = KEEP, clock: t.Callable[[], float] = time.time) -> None:
        self.node = node
        self.problem = ""  # why the last flush failed
        self.dropped = 0  # entries that will never be on disk
        self._path, self._max_bytes, self._clock = path, max_bytes, clock
        self._entries: deque[Entry] = deque(maxlen=keep)
        self._pending: deque[bytes] = deque()
        self._lock = threading.Lock()  # the two deques
        self._disk = threading.Lock()  # one flush at a time

    def load(self) -> int:
        """Read what is on disk, before anything is recorded. The number of lines that could not be read."""
        found, torn = parse(_read_tail(f"{self._path}.1", 2 * self._max_bytes))
        newer, torn_too = parse(_read_tail(self._path, 2 * self._max_bytes))
        with self._lock:
            self._entries.extend(found + newer)
        return torn + torn_too

    @property
    def entries(self) -> list[Entry]:
        """Newest last."""
        with self._lock:
            return list(self._entries)

    @property
    def unsaved(self) -> int:
        """Entries that are only in memory yet."""
        with self._lock:
            return len(self._pending)

    def record(
        self,
        kind: str,
        before: str | None = None,
        after: str | None = None,
        rule: str = "",
        reason: str = "",
        epoch: int | None = None,
        details: t.Mapping[str, t.Any] | None = None,
    ) -> Entry:
        """Remember; at once, without the disk. What entry() takes."""
        made = entry(self.node, kind, before, after, rule, reason, epoch, details, self._clock())
        line = _line(made)
        with self._lock:
            self._entries.append(made)
            self._pending.append(line)
            if len(self._pending) > UNSAVED:
                self._pending.popleft()
                self.dropped += 1
        return made

    def flush(self) -> bool:
        """Write what is only in memory. Blocks. False: it could not be written; problem says why."""
        with self._disk:
            with self._lock:
                lines = list(self._pending)
            if not lines:
                return not self.problem
            try:
                written = self._append(lines)
                self.problem = ""
            except OSError as error:
                written, self.problem = 0, f"{self._path}: {error.strerror or error}"
            with self._lock:
                # Only what is still there: a full queue may have thrown away its oldest meanwhile.
                done = {id(line) for line in lines[:written]}
                while self._pending and id(self._pending[0]) in done:
                    self._pending.popleft()
            return not self.problem

    def _append(self, lines: list[bytes]) -> int:
        """All of them, or none and an OSError: a line that is half there is taken back."""
        content = b"".join(lines)
        descriptor, size = self._open(len(content))
        try:
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                content = b"\n" + content  # the last line is torn
            try:
                view = memoryview(content)
                while view:
                    view = view[os.write(descriptor, view) :]
                os.fdatasync(descriptor)
            except OSError:
                os.ftruncate(descriptor, size)
                raise
        finally:
            os.close(descriptor)
        return len(lines)

    def _open(self, coming: int) -> tuple[int, int]:
        """A descriptor to append with, and the size of the file."""
        descriptor = self._open_once()
        size = os.fstat(descriptor).st_size
        if size and size + coming > self._max_bytes:
            os.close(descriptor)
            os.replace(self._path, f"{self._path}.1")
            descriptor, size = self._open_once(), 0
        return descriptor, size

    def _open_once(self) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
        os.fchmod(descriptor, MODE)
        return descriptor


class Sample(t.NamedTuple):
    """One point of the graph: at unix seconds; this node's role; its and its peer's lag in seconds (None: none or not known)."""

    unix: float
    role: str
    lag: float | None
    peer_lag: float | None


def sample(status: t.Any, unix: float) -> Sample:
    """The point that a status makes."""
    return Sample(unix, reading.role_of(status), reading.lag_of(status), reading.lag_of(reading.peer_of(status)))


def _worse(one: float | None, other: float | None) -> float | None:
    return max((lag for lag in (one, other) if lag is not None), default=None)


class Samples:
    """The last day: one sample per step seconds, the worst lag of the step. Times are unix seconds."""

    def __init__(self, path: str | None = SAMPLES_PATH, step: float = 10.0, keep: float = 86_400.0, save_every: float = 900.0) -> None:
        self.problem = ""
        self.step, self.keep = step, keep
        self._path, self._save_every, self._saved = path, save_every, 0.0
        self._ring: deque[Sample] = deque(maxlen=int(keep / step))
        self._lock = threading.Lock()

    def __iter__(self) -> t.Iterator[Sample]:
        with self._lock:
            return iter(list(self._ring))

    def __len__(self) -> int:
        return len(self._ring)

    def add(self, point: Sample) -> None:
        """Any number of times per step."""
        with self._lock:
            self._add(point)

    def _add(self, point: Sample) -> None:
        ring = self._ring
        while ring and ring[-1].unix > point.unix + self.step:
            ring.pop()  # the clock was set back: what it said before is not true
        while ring and ring[0].unix < point.unix - self.keep:
            ring.popleft()
        if ring and ring[-1].unix // self.step == point.unix // self.step:
            last = ring.pop()
            point = Sample(last.unix, point.role, _worse(last.lag, point.lag), _worse(last.peer_lag, point.peer_lag))
        ring.append(point)

    def due(self, unix: float) -> bool:
        """Is it time to save?"""
        return self._path is not None and abs(unix - self._saved) >= self._save_every

    def save(self, unix: float) -> bool:
        """Write all of them beside, then in place. Blocks. False: it could not be written; problem says why."""
        if self._path is None:
            return False
        self._saved = unix
        content = json.dumps([list(point) for point in self], separators=(",", ":")).encode()
        beside = f"{self._path}.new"
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, MODE)
            with os.fdopen(descriptor, "wb") as handle:
                handle.write(content)
            os.replace(beside, self._path)
        except OSError as error:
            self.problem = f"{self._path}: {error.strerror or error}"
            with contextlib.suppress(OSError):
                os.unlink(beside)  # half a file on a full disk helps nobody
            return False
        self.problem = ""
        return True

    def load(self, unix: float) -> int:
        """Read the last saved ones that are of the last day. The number read; a file that cannot be read is none."""
        if self._path is None:
            return 0
        self._saved = unix
        try:
            with open(self._path, "rb") as handle:
                raw = json.loads(handle.read(4_000_000))
        except (OSError, ValueError, RecursionError):
            return 0
        points = []
        for item in raw if isinstance(raw, list) else []:
            at = reading.number(item[0]) if isinstance(item, list) and len(item) == 4 else None
            if at is not None and unix - self.keep <= at <= unix:
                points.append(Sample(at, reading.text(item[1]), reading.number(item[2]), reading.number(item[3])))
        for point in sorted(points, key=lambda point: point.unix):
            self.add(point)
        return len(points)
