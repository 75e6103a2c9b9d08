"""A ledger: uniquely numbered rows, written through HTTP and SQL while something is broken, and the proof of what became of them.

Every acknowledged number has to be in both databases exactly once. Both databases are asked 100 times a second whether they
take writes, and each row says which server took it.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
import json
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from nodes_of_lab import PAIR, Place
from shell import LabError

PROGRAMS = Path(__file__).with_name("programs")
PAGE = "/tandem-ledger.php"
SECRET = "/etc/wordpress/tandem-ledger"
ROOT_OF_SITE = "/usr/share/wordpress"
HTTP = {"writers": 5, "interval": 0.1, "page_interval": 0.01, "connect": 0.3, "timeout": 3.0}
SQL = {"interval": 0.025, "timeout": 5.0}
TABLE = """
DROP TABLE IF EXISTS tandem_ledger;
CREATE TABLE tandem_ledger (
  id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  number VARCHAR(64) CHARACTER SET ascii NOT NULL,
  via VARCHAR(8) CHARACTER SET ascii NOT NULL,
  node VARCHAR(64) CHARACTER SET ascii NOT NULL,
  KEY (number)
) ENGINE=InnoDB;
"""


class Event(NamedTuple):
    """Something asked, and its answer."""

    what: str
    begun: float
    ended: float
    outcome: str
    number: str
    node: str


@dataclass
class Verdict:
    """What is proven. Times in seconds."""

    acknowledged: int = 0
    refused: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    duplicated: dict[str, list[str]] = field(default_factory=dict)
    unequal: int = 0
    both_open: float = 0.0
    both_acknowledged: float = 0.0
    looks: dict[str, int] = field(default_factory=dict)
    widest_look: float = 0.0
    writes_out: float = 0.0
    http_out: float = 0.0
    pages_out: float = 0.0
    pages_failed: int = 0
    normal: float = 0.0


def longest_gap(ends: Iterable[float], begin: float, end: float) -> float:
    """The longest time without an answer between two moments; what began before the first counts from its last answer."""
    inside = sorted(moment for moment in ends if begin <= moment <= end)
    return max((two - one for one, two in itertools.pairwise([begin, *inside, end])), default=0.0)


def open_spans(looks: Sequence[Event]) -> list[tuple[float, float]]:
    """When a database surely took writes: from one answer that it is open to the question of the next such answer."""
    return [(one.ended, two.begun) for one, two in itertools.pairwise(looks) if one.outcome == two.outcome == "open" and two.begun > one.ended]


def overlap(first: Sequence[tuple[float, float]], second: Sequence[tuple[float, float]]) -> float:
    """Seconds that are in spans of both. Spans of one side are in order and apart."""
    total, place = 0.0, 0
    for begin, end in first:
        while place < len(second) and second[place][1] <= begin:
            place += 1
        for other_begin, other_end in itertools.islice(second, place, None):
            if other_begin >= end:
                break
            total += max(0.0, min(end, other_end) - max(begin, other_begin))
    return total


def taking_spans(writes: Sequence[Event]) -> list[tuple[float, float]]:
    """When a server took writes: from one acknowledgement to the beginning of a later acknowledged write, if that came soon.
    A write that waits in a queue begins early, so a role that moves in order gives spans that do not meet."""
    begins = sorted(event.begun for event in writes)
    spans: list[tuple[float, float]] = []
    for ended in sorted(event.ended for event in writes):
        place = bisect.bisect_left(begins, ended + SOON) - 1
        if place < 0 or begins[place] <= ended:
            continue
        if spans and ended <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(spans[-1][1], begins[place]))
        else:
            spans.append((ended, begins[place]))
    return spans


# Seconds. Any failover takes longer, so between two writes of one server that are closer it was not another one's turn.
SOON = 0.2


def judge(events: Sequence[Event], rows: dict[str, Counter[str]], taken_by: dict[str, str], broken: float, ended: float) -> Verdict:
    """From what was answered, and what is in each database (how often each number)."""
    writes = [event for event in events if event.what in ("http", "sql")]
    good = [event for event in writes if event.outcome == "ok"]
    numbers = {event.number for event in good}
    pages = [event for event in events if event.what == "page"]
    looks = {node: sorted((event for event in events if event.what == "look" and event.node == node), key=lambda event: event.begun) for node in rows}
    first, second = (open_spans(found) for found in looks.values())
    verdict = Verdict(acknowledged=len(numbers), refused=len(writes) - len(good))
    for node, found in rows.items():
        verdict.lost[node] = sorted(numbers - set(found))
        verdict.duplicated[node] = sorted(number for number, times in found.items() if times > 1)
        verdict.looks[node] = len(looks[node])
    one, two = rows.values()
    verdict.unequal = sum(((one - two) + (two - one)).values())
    verdict.both_open = overlap(first, second)
    taken = {node: taking_spans([event for event in good if taken_by.get(event.number) == node]) for node in rows}
    verdict.both_acknowledged = overlap(*taken.values())
    verdict.widest_look = max((b.begun - a.begun for found in looks.values() for a, b in itertools.pairwise(found)), default=0.0)
    ends = [event.ended for event in good]
    start = max((moment for moment in ends if moment <= broken), default=broken)
    verdict.writes_out = longest_gap(ends, start, ended)
    verdict.normal = longest_gap(ends, min(ends, default=broken), start)
    verdict.http_out = longest_gap([event.ended for event in good if event.what == "http"], start, ended)
    page_ends = [event.ended for event in pages if event.outcome == "ok"]
    verdict.pages_out = longest_gap(page_ends, max((moment for moment in page_ends if moment <= broken), default=broken), ended)
    verdict.pages_failed = sum(event.outcome != "ok" for event in pages)
    return verdict


class Worker:
    """A program in a node that prints a line per event. It is started again whenever its node is there again."""

    def __init__(self, place: Place, node: str, program: str, asked: dict[str, Any]) -> None:
        self.place, self.node, self.asked = place, node, asked
        self.text = (PROGRAMS / program).read_text(encoding="utf-8")
        self.events: list[Event] = []
        self.errors: list[str] = []
        self.over = threading.Event()
        self.process: subprocess.Popen[str] | None = None
        self.thread = threading.Thread(target=self._live, daemon=True)
        self.thread.start()

    def _live(self) -> None:
        while not self.over.is_set():
            try:
                argv = self.place.argv(self.node, "python3", "-u", "-c", self.text)
            except LabError:
                self.over.wait(0.2)
                continue
            with subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1, start_new_session=True
            ) as process:
                self.process = process
                with contextlib.suppress(OSError):
                    if process.stdin is not None:
                        process.stdin.write(json.dumps(self.asked) + "\n")
                        process.stdin.flush()
                    if self.over.is_set():
                        self._close()
                for line in process.stdout or ():
                    try:
                        what, begun, ended, outcome, number = json.loads(line)
                    except ValueError:  # the last line of a killed node may be half a line
                        self.errors.append(line.rstrip()[:200])
                    else:
                        self.events.append(Event(what, begun, ended, outcome, number, self.node))
            self.place.forget(self.node)
            self.over.wait(0.2)

    def wake(self) -> None:
        """A node that shuts down stops all its processes for a moment, and nsenter stops with its own. Then nobody would
        bury it, and the node could not end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)

    def _close(self) -> None:
        if self.process is not None and self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):
                self.process.stdin.close()

    def tell_to_end(self) -> None:
        """The end of its input is the end of it."""
        self.over.set()
        self._close()

    def wait(self, seconds: float) -> None:
        """Until it has told everything, or is given up."""
        self.thread.join(max(0.1, seconds))
        if self.thread.is_alive() and self.process is not None:
            self.process.kill()
            self.thread.join(5)


class Ledger:
    """Everything that writes and looks. Use as a context: leaving it ends it."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.run = f"{time.time_ns() // 1_000_000:x}"
        self.workers: list[Worker] = []
        self.ended = 0.0

    def __enter__(self) -> Self:
        place, net = self.place, self.place.lab.net
        secret = place.secret("site_blog")
        http = {"host": f"10.{net}.10.100", "path": PAGE, "run": self.run, **HTTP}
        self.workers = [Worker(place, "client", "ledger_http.py", http)]
        for node in PAIR:
            self.workers.append(Worker(place, node, "ledger_look.py", {}))
            sql = {"run": self.run, "node": node, "user": "blog", "schema": "blog", "password": secret, **SQL}
            self.workers.append(Worker(place, node, "ledger_sql.py", sql))
        self.keep_awake()
        return self

    def keep_awake(self) -> None:
        """For as long as one of them lives."""
        threading.Thread(target=self._wake, daemon=True).start()

    def _wake(self) -> None:
        while not self.ended or any(worker.thread.is_alive() for worker in self.workers):
            for worker in self.workers:
                worker.wake()
            time.sleep(0.2)

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing new is asked; what is under way is waited for."""
        self.ended = self.ended or time.time()
        for worker in self.workers:
            worker.tell_to_end()
        limit = time.monotonic() + SQL["timeout"] + 3
        for worker in self.workers:
            worker.wait(limit - time.monotonic())

    @property
    def events(self) -> list[Event]:
        """What was told so far."""
        return [event for worker in self.workers for event in list(worker.events)]

    def served(self, since: float, ways: int) -> bool:
        """Have so many programs had writes acknowledged, and a page come, since then? And do both look?"""
        late = [event for event in self.events if event.begun >= since]
        writers = {(event.what, event.node) for event in late if event.what in ("http", "sql") and event.outcome == "ok"}
        looking = {event.node for event in late if event.what == "look"}
        return len(writers) >= ways and looking >= set(PAIR) and any(event.what == "page" and event.outcome == "ok" for event in late)


def deploy(place: Place) -> None:
    """The page, on both nodes. It reads the site's password from a file that only the site may read."""
    page = (PROGRAMS / "ledger.php").read_text(encoding="utf-8")
    for node in PAIR:
        place.run(node, "sh", "-c", f"umask 077; cat > {SECRET}; chown site-blog {SECRET}", stdin=place.secret("site_blog"))
        place.run(node, "sh", "-c", f"cat > {ROOT_OF_SITE}{PAGE}", stdin=page)


def remove(place: Place, primary: str) -> None:
    """The page and the table."""
    for node in PAIR:
        place.sh(node, f"rm -f {ROOT_OF_SITE}{PAGE} {SECRET}")
    place.sql(primary, "DROP TABLE IF EXISTS tandem_ledger")


def rows(place: Place, node: str, run: str) -> tuple[Counter[str], dict[str, str]]:
    """How often each number is in a node's database, and which server took it."""
    text = place.sql(node, f"SELECT number, node FROM tandem_ledger WHERE number LIKE '{run}-%'")
    pairs = [line.split("\t") for line in text.splitlines()]
    return Counter(number for number, _node in pairs), dict(pairs)
