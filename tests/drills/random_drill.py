"""Breaks a lab's pair at random, again and again, with a ledger that says what became of every acknowledged write.

  random_drill.py --runs 200 --seed 7             --faults kill_database,cut_both: only those
  random_drill.py --runs 1 --seed 7 --first 41    run 41 of that seed once more

The pair has to look after itself (tandem_failover: automatic) and to have the lab's site "blog". Prints a line per run, and
writes a dated report as JSON and HTML after each. Exit code 1: something acknowledged was lost or is there twice, both
databases were open, the pair did not come back, or the role went elsewhere than documented.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import catalogue
import drill_report
import ledger
from nodes_of_lab import PAIR, Place, other
from shell import LabError, run

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 90.0
PAUSE = 0.25
SERVED_WITHIN = 8.0
GIVE_UP = 2.0  # seconds for which a node says that it is diverged
BEGIN_WITHIN = 30.0


@dataclass
class Run:
    """All about one run. Times in seconds; ``problems`` is empty when all is as documented."""

    number: int
    seed: str
    fault: str
    victim: str = ""
    role: str = ""
    moment: float = 0.0
    hold: float = 0.0
    at: str = ""
    notes: list[str] = field(default_factory=list)
    moved: bool = False
    rejoin: float | None = None
    took: float = 0.0
    load: float = 0.0
    verdict: dict[str, Any] = field(default_factory=dict)
    decisions: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


def deck(seed: str, names: list[str], count: int) -> list[str]:
    """Every fault once before any comes again, in an order of the seed's."""
    dice = random.Random(f"{seed}/deck")
    cards: list[str] = []
    while len(cards) < count:
        cards += dice.sample(names, len(names))
    return cards[:count]


def unwell(place: Place) -> str:
    """Why the pair is not whole yet; empty if it is."""
    seen = {node: place.status(node) for node in PAIR}
    for node, status in seen.items():
        if status is None or not status.get("agent"):
            return f"the daemon of {node} does not answer"
    states = {node: status["agent"]["state"] for node, status in seen.items() if status}
    if sorted(states.values()) != ["primary", "replica"]:
        return ", ".join(f"{node} is {state}" for node, state in states.items())
    for node, status in seen.items():
        if status is None:
            continue
        if status["fault"] or status["severity"]:
            return f"{node}: {status['reason']}"
        if status["agent"]["alarms"]:
            return f"{node}: alarm {', '.join(status['agent']['alarms'])}"
        if status["agent"]["operation"]:
            return f"{node}: an operation runs"
    for name in ("outside", "inside"):
        if sum(status["addresses"][name] for status in seen.values() if status) != 1:
            return f"not exactly one node has the {name} address"
    replica = next(node for node, status in seen.items() if status and status["agent"]["state"] == "replica")
    heard = (seen[other(replica)] or {})["peer"]["agent"] or {}
    if not heard.get("in_step"):
        return f"{replica} is not in step"
    return ""


def wait_until_whole(place: Place, patience: float) -> str:
    """Empty, or what still lacks in the end. Twice in a row, so that nothing old is believed. What only a person
    can mend is not waited for."""
    limit, good, hopeless, reason = time.monotonic() + patience, 0, 0, ""
    while good < 2:
        reason = unwell(place)
        good = 0 if reason else good + 1
        hopeless = hopeless + 1 if "diverged" in reason and "primary alone" in reason else 0
        if hopeless * PAUSE > GIVE_UP:
            return reason
        if time.monotonic() > limit:
            return reason or "whole, but not for long"
        time.sleep(PAUSE)
    return ""


def acknowledge(place: Place) -> None:
    """A failover that nobody has seen keeps the next one from being automatic for ten minutes."""
    for node in PAIR:
        place.run(node, "tandem", "ack")


def history(place: Place, since: float) -> list[str]:
    """What both agents have decided since then."""
    moment = datetime.fromtimestamp(since, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    lines = []
    for node in PAIR:
        try:
            entries = json.loads(place.run(node, "curl", "-sf", "-m", "2", "http://127.0.0.1:9200/history.json"))["entries"]
        except (LabError, ValueError):
            lines.append(f"9999 {node} cannot be asked")
            continue
        for made in entries:
            if made["time"] >= moment and made["node"] == node:
                change = f"{made['from']} -> {made['to']}" if made["to"] else made["kind"]
                lines.append(f"{made['time'][11:]} {node} {change}: {(made['reason'] or '').splitlines()[0] if made['reason'] else ''}")
    return sorted(lines)


def equal_rows(place: Place, book: str, seconds: float = 20.0) -> tuple[dict[str, Any], dict[str, str]]:
    """The rows of both, once they are equal or time is over."""
    limit = time.monotonic() + seconds
    while True:
        found = {node: ledger.rows(place, node, book) for node in PAIR}
        counted = {node: rows for node, (rows, _taken) in found.items()}
        if counted[PAIR[0]] == counted[PAIR[1]] or time.monotonic() > limit:
            return counted, {number: node for _rows, taken in found.values() for number, node in taken.items()}
        time.sleep(0.3)


def decide(result: Run, fault: catalogue.Fault, verdict: ledger.Verdict) -> None:
    """What is not as documented."""
    lost = len({number for found in verdict.lost.values() for number in found})
    twice = len({number for found in verdict.duplicated.values() for number in found})
    if lost:
        result.problems.append(f"{lost} acknowledged writes lost")
    if twice:
        result.problems.append(f"{twice} numbers are there twice")
    if verdict.unequal:
        result.problems.append(f"{verdict.unequal} rows are on one node only")
    if verdict.both_acknowledged > 0:
        result.problems.append(f"both acknowledged for {verdict.both_acknowledged * 1000:.0f} ms")
    if verdict.both_open > fault.thaw:
        result.problems.append(f"both open for {verdict.both_open * 1000:.0f} ms")
    elif verdict.both_open:
        result.remarks.append(f"both open for {verdict.both_open * 1000:.0f} ms after a thaw, which is documented")
    if not verdict.acknowledged:
        result.problems.append("nothing was written")
    expected = fault.moves if result.role == "primary" or fault.name.startswith("in_") else "no"
    if expected != "may" and result.moved != (expected == "yes"):
        result.problems.append(f"the role {'moved' if result.moved else 'did not move'}")


def one(place: Place, number: int, seed: str, fault: catalogue.Fault, directory: Path) -> Run:
    """One run, from a whole pair to a whole pair."""
    begun = time.time()
    result = Run(number, seed, fault.name, at=datetime.now(UTC).isoformat(timespec="seconds"), load=os.getloadavg()[0])
    old = catalogue.primary_of(place)
    dice = random.Random(f"{seed}/{number}")
    result.moment = dice.uniform(0.3, 1.5)
    draw = fault.draw(dice, old)
    result.victim, result.role, result.hold, result.notes = draw.victim, draw.role, draw.hold, draw.notes
    acknowledge(place)
    place.sql(old, ledger.TABLE)
    with ledger.Ledger(place) as book:
        limit = time.monotonic() + BEGIN_WITHIN
        while not book.served(begun, 3):
            if time.monotonic() > limit:
                raise LabError(f"the ledger is not served: {[(worker.node, worker.errors[-2:]) for worker in book.workers]}")
            time.sleep(0.05)
        time.sleep(result.moment)
        broken = time.time()
        try:
            fault.breaks(place, draw)
            time.sleep(draw.hold)
        finally:
            fault.mends(place, draw)
        mended = time.time()
        lacking = wait_until_whole(place, PATIENCE)
        result.rejoin = None if lacking else time.time() - mended
        settle, served = time.time(), bool(lacking)
        limit = time.monotonic() + SERVED_WITHIN
        while not lacking and not (served := book.served(settle, 2)) and time.monotonic() < limit:
            time.sleep(0.05)
    if lacking:
        result.problems.append(f"not whole after {time.time() - mended:.0f} s: {lacking}")
        keep(place, directory / f"run-{number}", "before any repair")
        repair(place, result)
    if not served:
        result.problems.append(f"no write is acknowledged {SERVED_WITHIN:g} s after the agents call the pair whole")
        keep(place, directory / f"run-{number}", "writes hang")
        release(place, result)
    counted, taken = equal_rows(place, book.run)
    verdict = ledger.judge(book.events, counted, taken, broken, book.ended)
    result.verdict = asdict(verdict)
    result.moved = catalogue.primary_of(place) != old
    result.decisions = history(place, begun)
    decide(result, fault, verdict)
    if "diverged" in lacking and fault.person and len(result.problems) == 1:
        result.remarks.append(result.problems.pop() + ", a person was needed")
    result.took = time.time() - begun
    if result.problems:
        keep(place, directory / f"run-{number}", json.dumps(asdict(result), indent=1))
        with (directory / f"run-{number}" / "events.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(json.dumps(event) + "\n" for event in sorted(book.events, key=lambda event: event.begun))
    return result


def keep(place: Place, directory: Path, words: str) -> None:
    """Everything that explains a run, before it is gone."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / f"result-{int(time.time())}.txt").write_text(words + "\n", encoding="utf-8")
    stamp = int(time.time())
    for node in PAIR:
        for name, script in (
            ("tandem", "tandem status; tandem why; tandem journal -n 200; cat /var/lib/tandem-health/memory.*"),
            ("journald", "journalctl --no-pager -o short-precise --since -5min"),
            ("replication", "mysql -e 'SHOW VARIABLES LIKE \"%gtid%\"; SHOW STATUS LIKE \"Rpl_semi%\"'; mysql --vertical -e 'SHOW REPLICA STATUS'"),
        ):
            try:
                text = place.sh(node, f"({script}) 2>&1 || true", timeout=30)
            except LabError as error:
                text = str(error)
            (directory / f"{node}-{name}-{stamp}.txt").write_text(text, encoding="utf-8")


def release(place: Place, result: Run) -> None:
    """Commits that wait for an answer that will not come: as a person would let them go."""
    node = catalogue.primary_of(place)
    if node and not catalogue.IS_MYSQL:
        place.sql(node, "SET GLOBAL rpl_semi_sync_master_enabled=OFF; SET GLOBAL rpl_semi_sync_master_enabled=ON")
        result.remarks.append(f"semi-sync of {node} was switched off and on")


def repair(place: Place, result: Run) -> None:
    """As a person would, so that the next run can begin. Raises LabError."""
    for node in PAIR:
        if not place.runs(node):
            place.fault("start", node)
    if not catalogue.primary_of(place):
        raise LabError(f"run {result.number}: nobody takes writes, see the report's directory")
    done = run(["env", f"TANDEM_LAB={place.lab.name}", f"TANDEM_LAB_NET={place.lab.net}", f"ANSIBLE_CONFIG={ROOT / 'ansible.cfg'}",
                "ansible-playbook", "-i", str(ROOT / "inventories/lab"), str(ROOT / "playbooks/rejoin.yml"), "-e", "confirm=yes"], check=False)  # fmt: skip
    result.remarks.append(f"rejoin.yml ended with {done.returncode}")
    lacking = wait_until_whole(place, PATIENCE)
    if lacking:
        raise LabError(f"run {result.number}: not whole after rejoin.yml: {lacking}")


def line(result: Run) -> str:
    """One run, for the terminal."""
    said = result.verdict
    figures = (
        f"writes out {said['writes_out']:5.2f} s  pages out {said['pages_out']:5.2f} s  {said['acknowledged']:5d} acknowledged  "
        f"{drill_report.count(asdict(result), 'lost')} lost  {drill_report.count(asdict(result), 'duplicated')} twice  two {said['both_open'] * 1000:.0f} ms  "
        f"rejoin {result.rejoin if result.rejoin is None else round(result.rejoin, 1)} s"
        if said
        else ""
    )
    word = "; ".join(result.problems) or ("ok" if not result.remarks else "ok (" + "; ".join(result.remarks) + ")")
    return (
        f"{result.number:4d}  {result.fault:<15} {result.role:<8} {'moved' if result.moved else 'stayed':<6}  {figures}  took {result.took:4.1f} s  {word}"
    )


def main() -> int:
    """Until all runs are done, or the pair cannot be mended."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--name", default=os.environ.get("TANDEM_LAB", "demo"))
    words.add_argument("--net", type=int, default=int(os.environ.get("TANDEM_LAB_NET", "77")))
    words.add_argument("--runs", type=int, default=20)
    words.add_argument("--first", type=int, default=1)
    words.add_argument("--seed", default="", help="any text; without it the date")
    words.add_argument("--faults", default="", help=f"of {', '.join(catalogue.FAULTS)}")
    words.add_argument("--report", type=Path, default=ROOT / ".cache" / "drill", help="a directory")
    words.add_argument("--minutes", type=float, default=0.0, help="begin no run after so many")
    asked = words.parse_args()
    names = [name for name in asked.faults.split(",") if name] or list(catalogue.FAULTS)
    unknown = set(names) - set(catalogue.FAULTS)
    if unknown:
        words.error(f"no such fault: {', '.join(sorted(unknown))}")
    seed = asked.seed or datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    place = Place(asked.name, asked.net)
    directory = asked.report / f"drill-{datetime.now(UTC).strftime('%Y%m%d-%H%M%S')}"
    directory.mkdir(parents=True)
    print(f"seed {seed}, report {directory}/report.html", flush=True)
    lacking = wait_until_whole(place, PATIENCE)
    if lacking:
        raise LabError(f"the pair is not whole: {lacking}")
    ledger.deploy(place)
    results: list[Run] = []
    about = {"seed": seed, "lab": asked.name, "begun": datetime.now(UTC).isoformat(timespec="seconds"), "faults": names, "aborted": ""}
    end = time.monotonic() + asked.minutes * 60 if asked.minutes else float("inf")
    try:
        for number, name in list(enumerate(deck(seed, names, asked.first + asked.runs - 1), 1))[asked.first - 1 :]:
            if time.monotonic() > end:
                break
            try:
                results.append(one(place, number, seed, catalogue.FAULTS[name], directory))
            except LabError as error:
                results.append(Run(number, seed, name, problems=[f"broken off: {error}"]))
                keep(place, directory / f"run-{number}", str(error))
                catalogue.mend_everything(place)
                release(place, results[-1])
                if wait_until_whole(place, PATIENCE):
                    repair(place, results[-1])
            print(line(results[-1]), flush=True)
            drill_report.write(directory, about, [asdict(result) for result in results])
    except LabError as error:
        about["aborted"] = str(error)
        keep(place, directory / "aborted", str(error))
        drill_report.write(directory, about, [asdict(result) for result in results])
        raise
    ledger.remove(place, catalogue.primary_of(place))
    return 1 if any(result.problems for result in results) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"drill: {error}", file=sys.stderr)
        sys.exit(1)
