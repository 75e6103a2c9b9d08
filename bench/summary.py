"""What the lines of a load amount to. Pure: lines in, figures out.

A line is [class, due, begun, ended, outcome, detail, token], see load_http.py; times are seconds since the epoch.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

CLOSED = "closed between statements"
WRITES = ("http-write", "http-upload", "sql-new", "sql-kept")
EXAMPLES = 5
BUCKET = 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Event:
    """One request or statement."""

    kind: str
    due: float
    begun: float
    ended: float
    outcome: str
    detail: str
    token: str

    @classmethod
    def parse(cls, line: Sequence[Any]) -> Self:
        """From a line; ValueError if it is none."""
        if len(line) != 7:
            raise ValueError(f"{len(line)} fields instead of 7: {line!r}")
        kind, due, begun, ended, outcome, detail, token = line
        return cls(str(kind), float(due), float(begun), float(ended), str(outcome), str(detail), str(token))

    @property
    def ok(self) -> bool:
        """Was it done and acknowledged?"""
        return self.outcome == "ok"

    @property
    def failed(self) -> bool:
        """Did somebody not get what was asked for? A connection that ended while nothing was asked of it is no failure."""
        return self.outcome not in ("ok", CLOSED)

    @property
    def latency(self) -> float:
        """Seconds from when it was due."""
        return self.ended - self.due


def is_http(event: Event) -> bool:
    """Asked through the outside address?"""
    return event.kind.startswith("http-")


def is_write(event: Event) -> bool:
    """Would it change the database?"""
    return event.kind in WRITES


# What a pause of writing is looked for in.
VIEWS: dict[str, Callable[[Event], bool]] = {
    "new SQL connections": lambda event: event.kind == "sql-new",
    "kept SQL connections": lambda event: event.kind == "sql-kept",
    "HTTP": lambda event: is_http(event) and is_write(event),
    "all": is_write,
}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed; 0 of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else 0.0


def milliseconds(seconds: float) -> float:
    """Rounded to a tenth."""
    return round(seconds * 1000, 1)


def between(events: Iterable[Event], begin: float, end: float) -> list[Event]:
    """Those that were due in this time."""
    return [event for event in events if begin <= event.due < end]


def pause(events: Iterable[Event], begin: float, end: float) -> tuple[float, float]:
    """Longest time in which no write was acknowledged, and when it began; the edges of the time count as well."""
    times = sorted(event.ended for event in events if event.ok and begin <= event.ended < end)
    longest, at = 0.0, begin
    for before, after in zip([begin, *times], [*times, end], strict=True):
        if after - before > longest:
            longest, at = after - before, before
    return longest, at


def figures(events: Sequence[Event], begin: float) -> dict[str, Any]:
    """Of one class of requests."""
    latencies = [event.latency for event in events if event.ok]
    failures = [event for event in events if event.failed]
    return {
        "count": sum(event.outcome != CLOSED for event in events),
        "failed": len(failures),
        "kinds": dict(Counter(event.outcome for event in events if not event.ok)),
        "examples": [
            {"at_s": round(event.due - begin, 3), "after_ms": milliseconds(event.latency), "outcome": event.outcome, "detail": event.detail}
            for event in failures[:EXAMPLES]
        ],
        "p50_ms": milliseconds(percentile(latencies, 0.50)),
        "p99_ms": milliseconds(percentile(latencies, 0.99)),
        "max_ms": milliseconds(max(latencies, default=0.0)),
    }


def timeline(events: Iterable[Event], begin: float, end: float) -> list[dict[str, float]]:
    """What ended in each tenth of a second."""
    rows: list[dict[str, float]] = [
        {"at_s": round(number * BUCKET, 1), "http": 0, "http_failed": 0, "writes": 0, "sql_failed": 0, "closed": 0, "max_ms": 0.0}
        for number in range(math.ceil((end - begin) / BUCKET))
    ]
    for event in events:
        place = int((event.ended - begin) / BUCKET)
        if not 0 <= place < len(rows):
            continue
        row = rows[place]
        row["http"] += event.ok and is_http(event)
        row["http_failed"] += event.failed and is_http(event)
        row["writes"] += event.ok and is_write(event)
        row["sql_failed"] += event.failed and not is_http(event)
        row["closed"] += event.outcome == CLOSED
        row["max_ms"] = max(row["max_ms"], milliseconds(event.latency))
    return rows


def summarize(events: Sequence[Event], begin: float, end: float) -> dict[str, Any]:
    """Everything about what was due between two moments; seconds count from the first one."""
    chosen = between(events, begin, end)
    kinds = sorted({event.kind for event in chosen})
    http = [event for event in chosen if is_http(event)]
    pauses = {}
    for name, belongs in VIEWS.items():
        length, at = pause((event for event in events if belongs(event)), begin, end)
        pauses[name] = {"ms": milliseconds(length), "at_s": round(at - begin, 3)}
    return {
        "seconds": round(end - begin, 3),
        "http": figures(http, begin),
        "sql": figures([event for event in chosen if not is_http(event)], begin),
        "classes": {kind: figures([event for event in chosen if event.kind == kind], begin) for kind in kinds},
        "http_rate": round(len(http) / (end - begin), 1) if end > begin else 0.0,
        "client_late_ms": milliseconds(percentile([event.begun - event.due for event in http], 0.99)),
        "write_pauses": pauses,
        "timeline": timeline(events, begin, end),
    }
