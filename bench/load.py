"""Puts a load on the lab's pair as visitors and programs do, and says what they got.

Requests come from the client node through the outside address; SQL writers run on both nodes. Needs a pair built with
bench/inventory and bench/deploy.yml. Ends with figures, and with what each database holds of the writes that were
acknowledged. Exit code 1: something failed or is missing.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

import nodes
import pair
import runtime
import summary
from pair import SERVERS
from shell import LabError, as_root, say, wait_for

SITE = "bench.example.com"
STEADY = 3.0  # seconds without a failure, in which every class was served
PATIENCE = 45.0  # seconds for the last answers after the end
SHOWN = 5


@dataclass(frozen=True)
class Options:
    """How much load."""

    rate: float = 100.0
    writers: int = 20
    interval: float = 0.1
    timeout: float = 30.0


class Worker:
    """A program that runs in a node and prints one line per event. What it printed before its node died is kept."""

    def __init__(self, lab: nodes.Lab, node: str, program: str, asked: dict[str, object]) -> None:
        self.node, self.events = node, list[summary.Event]()
        self.errors: deque[str] = deque(maxlen=20)
        text = Path(__file__).with_name(program).read_text(encoding="utf-8")
        command = ["podman", "exec", "--interactive", lab.container(node), "python3", "-u", "-c", text]
        # A session of its own: Ctrl-C is for the one who counts, the load is ended in order.
        self.process = subprocess.Popen(
            as_root(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1, start_new_session=True
        )
        self.threads = [threading.Thread(target=self._read, daemon=True), threading.Thread(target=self._read_errors, daemon=True)]
        for thread in self.threads:
            thread.start()
        if self.process.stdin is not None:
            self.process.stdin.write(json.dumps(asked) + "\n")
            self.process.stdin.flush()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            try:
                self.events.append(summary.Event.parse(json.loads(line)))
            except ValueError:  # the last line of a killed node may be half a line
                self.errors.append(f"unreadable: {line[:80]!r}")

    def _read_errors(self) -> None:
        for line in self.process.stderr or ():
            self.errors.append(line.rstrip())

    @property
    def lives(self) -> bool:
        """Does it still run?"""
        return self.process.poll() is None

    def tell_to_end(self) -> None:
        """The end of its input is the end of the load."""
        if self.process.stdin is not None and not self.process.stdin.closed:
            with contextlib.suppress(OSError):  # it is dead already
                self.process.stdin.close()

    def wait(self, seconds: float) -> None:
        """Until it has told everything, or is given up."""
        try:
            self.process.wait(max(0.1, seconds))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for thread in self.threads:
            thread.join(2)


class Load:
    """Everything that runs at once. Use as a context: leaving it ends the load."""

    def __init__(self, lab: nodes.Lab, options: Options) -> None:
        self.lab, self.options = lab, options
        self.run = f"{time.time_ns() // 1_000_000:x}"
        self.workers: list[Worker] = []
        self.begun = self.ended = 0.0

    def __enter__(self) -> Self:
        options, password = self.options, pair.password(self.lab)
        self.begun = time.time()
        try:
            if options.rate > 0:
                web = {"host": f"10.{self.lab.net}.10.100", "name": SITE, "rate": options.rate, "timeout": options.timeout, "run": self.run}
                self.workers.append(Worker(self.lab, "client", "load_http.py", web))
            for place, node in enumerate(SERVERS):
                count = options.writers // 2 + (options.writers % 2 if place == 0 else 0)
                if count:
                    sql = {"node": node, "run": self.run, "password": password, "writers": count}
                    pace = {"interval": options.interval, "timeout": options.timeout}
                    self.workers.append(Worker(self.lab, node, "load_sql.py", sql | pace))
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Nothing new is asked; what is under way is waited for."""
        self.ended = self.ended or time.time()
        for worker in self.workers:
            worker.tell_to_end()
        limit = time.monotonic() + PATIENCE
        for worker in self.workers:
            worker.wait(limit - time.monotonic())

    @property
    def events(self) -> list[summary.Event]:
        """What was told so far, in the order in which it was due."""
        return sorted((event for worker in self.workers for event in list(worker.events)), key=lambda event: event.due)

    def _is_steady(self) -> bool:
        dead = [worker for worker in self.workers if not worker.lives]
        if dead:
            raise LabError(f"the load on {dead[0].node} ended: {' '.join(dead[0].errors)}")
        now = time.time()
        if now - self.begun < STEADY:
            return False
        recent = [event for event in self.events if event.ended > now - STEADY]
        kinds = {event.kind for event in recent if event.ok}
        wanted = {"http-read", "http-read-reader", "http-write", "http-upload"} if self.options.rate > 0 else set()
        wanted |= {"sql-new", "sql-kept"} if self.options.writers >= 4 else set()
        return wanted <= kinds and not any(event.failed for event in recent)

    def wait_until_steady(self, seconds: float = 60) -> None:
        """Until every class is served and nothing failed for a while."""
        wait_for("the load to be served without a failure", self._is_steady, seconds)

    def wait_until_calm(self, limit_ms: float, seconds: float) -> bool:
        """Until 99 % of the requests of a while take no longer than this. False: the machine is busy with other things."""
        end = time.monotonic() + seconds
        while True:
            recent = [event.latency for event in self.events if event.ok and event.due > time.time() - STEADY and summary.is_http(event)]
            if recent and summary.milliseconds(summary.percentile(recent, 0.99)) <= limit_ms:
                return True
            if time.monotonic() > end:
                return False
            time.sleep(0.25)

    def fallen(self) -> dict[str, str]:
        """Programs that ended in error, by node."""
        return {
            worker.node: " | ".join([f"exit code {worker.process.returncode}", *worker.errors])
            for worker in self.workers
            if worker.process.returncode not in (0, None)
        }


def verify(lab: nodes.Lab, events: Sequence[summary.Event], seconds: float = 60, want_files: bool = True) -> dict[str, Any]:
    """Which acknowledged writes does each node lack? Replication and synchronisation get this long to bring them.

    A node that cannot be asked is told as null: that is not the same as nothing missing.
    """
    acknowledged = {event.token for event in events if event.ok and event.token}
    uploads = {event.token for event in events if event.ok and event.kind == "http-upload"}
    limit = time.monotonic() + seconds
    missing: dict[str, list[str] | None] = {}
    missing_files: dict[str, list[str] | None] = {}
    unacknowledged: dict[str, dict[str, int]] = {}
    answers = {event.token: event.outcome for event in events if event.token}
    while True:
        for node in SERVERS:
            held = pair.rows(lab, node)
            missing[node] = None if held is None else sorted(acknowledged - held)
            unacknowledged[node] = dict(Counter(answers.get(token, "no answer told") for token in (held or set()) - acknowledged))
            if want_files:
                kept = pair.files(lab, node)
                missing_files[node] = None if kept is None else sorted(uploads - kept)
        if not any([*missing.values(), *missing_files.values()]) or time.monotonic() > limit:
            break
        time.sleep(0.5)
    return {
        "acknowledged": len(acknowledged),
        "missing": missing,
        "uploads": len(uploads),
        "missing_files": missing_files,
        # Rows that are there although their writer was told an error, by what it was told.
        "rows_not_acknowledged": unacknowledged,
    }


def lost(verified: dict[str, Any]) -> int:
    """How many acknowledged writes lack on one of the databases that could be asked, or on both."""
    return len({token for tokens in verified["missing"].values() for token in tokens or ()})


def is_complete(verified: dict[str, Any]) -> bool:
    """Could both nodes be asked, and did both have everything?"""
    return all(tokens == [] for tokens in [*verified["missing"].values(), *verified["missing_files"].values()])


def table(report: dict[str, Any]) -> list[str]:
    """For a person."""
    lines = [f"{'class':<18} {'count':>7} {'failed':>7} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    for name, row in [*report["classes"].items(), ("all HTTP", report["http"]), ("all SQL", report["sql"])]:
        lines.append(f"{name:<18} {row['count']:>7} {row['failed']:>7} {row['p50_ms']:>8} {row['p99_ms']:>8} {row['max_ms']:>8}")
        lines += [f"    {count} x {kind}" for kind, count in row["kinds"].items()] if name in report["classes"] else []
        lines += [
            f"    at {one['at_s']} s, after {one['after_ms']} ms: {one['outcome']}: {one['detail'][:150]}"
            for one in (row["examples"][:SHOWN] if name in report["classes"] else [])
        ]
    lines.append(f"{report['http_rate']} requests/s for {report['seconds']} s; 99 % of them were begun {report['client_late_ms']} ms late at most")
    for name, one in report["write_pauses"].items():
        lines.append(f"longest time without a write acknowledged, {name}: {one['ms']} ms, at {one['at_s']} s")
    return lines


def verify_table(verified: dict[str, Any]) -> list[str]:
    """For a person."""
    lines = [f"{verified['acknowledged']} writes were acknowledged, {verified['uploads']} of them uploads"]
    for what, answers in (("rows", verified["missing"]), ("files", verified["missing_files"])):
        for node, tokens in answers.items():
            answer = "could not be asked" if tokens is None else f"{len(tokens)} missing" + "".join(f" {token}" for token in tokens[:SHOWN])
            lines.append(f"{what} on {node}: {answer}")
    for node, kinds in verified["rows_not_acknowledged"].items():
        lines += [f"rows on {node} that nobody was told of: {count} x {kind}" for kind, count in kinds.items()]
    return lines


def add_options(line: argparse.ArgumentParser) -> None:
    """What every program that makes a load can be told."""
    line.add_argument("--name", default="demo", help="of the lab")
    line.add_argument("--net", type=int, default=77, help="its second octet")
    line.add_argument("--rate", type=float, default=Options.rate, help="requests per second; 0: none")
    line.add_argument("--writers", type=int, default=Options.writers, help="SQL writers on both nodes together; 0: none")
    line.add_argument("--interval", type=float, default=Options.interval, help="seconds between two rows of one writer")
    line.add_argument("--timeout", type=float, default=Options.timeout, help="seconds after which a visitor gives up")
    line.add_argument("--json", type=Path, metavar="FILE", help="keep all figures there")


def options_of(asked: argparse.Namespace) -> Options:
    """From the command line."""
    return Options(asked.rate, asked.writers, asked.interval, asked.timeout)


def main() -> int:
    """Load for a while, print, keep."""
    line = argparse.ArgumentParser(description=__doc__)
    add_options(line)
    line.add_argument("--seconds", type=float, default=30.0)
    line.add_argument("--no-files", action="store_true", help="do not wait until the uploads are on both nodes")
    asked = line.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runtime.prepare()
    lab = nodes.Lab(asked.name, asked.net)
    pair.empty(lab)
    say(f"{asked.rate:g} requests/s and {asked.writers} SQL writers for {asked.seconds:g} s")
    with Load(lab, options_of(asked)) as load:
        load.wait_until_steady()
        say("it is served without a failure; from now on it counts")
        begin = time.time()
        try:
            while time.time() - begin < asked.seconds and any(worker.lives for worker in load.workers):
                time.sleep(0.1)
        except KeyboardInterrupt:
            say("told to end")
        end = time.time()
    events = load.events
    report = summary.summarize(events, begin, end)
    report["fallen"] = load.fallen()
    print("\n".join(table(report)))
    report["verify"] = verified = verify(lab, events, want_files=not asked.no_files)
    print("\n".join(verify_table(verified)))
    for node, text in report["fallen"].items():
        print(f"the load on {node} ended early: {text}")
    if asked.json:
        asked.json.write_text(pair.show(report) + "\n", encoding="utf-8")
    return 0 if not report["http"]["failed"] + report["sql"]["failed"] and is_complete(verified) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"load: {error}", file=sys.stderr)
        sys.exit(1)
