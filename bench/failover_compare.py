"""The table of failovers: our agent, and Pacemaker with Debian's MariaDB resource agent; same lab, same faults, same writer.

A lab is built and removed for each of them. Takes about a minute a run. Nothing here judges: what was seen is printed and kept.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

import failover
import nodes
import pair
import random_drill
import runtime
import switchover
from nodes_of_lab import PAIR, Place
from shell import LabError, say, step, wait_for

RESULTS = pair.ROOT / ".cache" / "bench"
HEAD = (
    "| | fault | role moved | without a write, median / worst | failed writes, median | acknowledged and lost"
    " | came back by itself | after, median / worst |"
)
SITE = "ansible-playbook -i inventories/lab site.yml"


@dataclass(frozen=True)
class Way:
    """Something that looks after a pair."""

    name: str
    title: str
    failover: str  # TANDEM_LAB_FAILOVER
    prepare: tuple[str, ...]
    host: str  # where writers find the primary; {net}: the lab's second octet
    port: int
    seen: str  # on both nodes: "I have seen the last failover", so that the next one is automatic at once


WAYS = (
    Way("agent", "tandem's agent", "automatic", (), "127.0.0.1", 6446, "tandem ack"),
    Way("pacemaker", "Pacemaker", "none", ("bench/rivals/pacemaker.sh prepare",), "10.{net}.20.100", 3306, "crm_resource --cleanup"),
)


def run(lab: nodes.Lab, command: str, name: str) -> None:
    """Raises LabError with the end of what it said."""
    log = RESULTS / f"failover-{name}.log"
    with step(command):
        code = switchover.run_command(lab, command, log, 1800)
    if code != 0:
        raise LabError("\n".join([*log.read_text(encoding="utf-8", errors="replace").splitlines()[-20:], f"{command}: failed, see {log}"]))


def build(lab: nodes.Lab, way: Way) -> None:
    """From nothing to a whole pair."""
    nodes.remove(lab.name)
    nodes.up(lab, "bookworm", nodes.HOSTS)
    for command in (SITE, *way.prepare):
        run(lab, command, way.name)


def wait_until_whole(place: Place, way: Way) -> None:
    """One open, the other follows, nothing is held against the next failover. Raises LabError."""
    if way.failover == "automatic":
        lacking = random_drill.wait_until_whole(place, 120)
        if lacking:
            raise LabError(f"the pair is not whole: {lacking}")
    wait_for("one database to be writable and the other to follow it", lambda: pair.are_paired(place.lab), 120)
    for node in PAIR:
        place.sh(node, way.seen)


def measure(place: Place, way: Way, count: int, rows: list[dict[str, Any]]) -> None:
    """All faults in turn. Raises LabError where the pair does not become whole again."""
    for number in range(1, count + 1):
        for fault in failover.FAULTS:
            wait_until_whole(place, way)
            row = {"run": number, "load": os.getloadavg()[0]} | failover.measure(place, fault, way.host.format(net=place.lab.net), way.port)
            rows.append(row)
            back = f"back after {row['back_s']} s" if row["back_s"] is not None else f"NOT BACK: {row['back_because']}"
            say(
                f"{way.title}, {fault.what} {number}/{count}: writes out {row['out_s']:.2f} s, {row['failed']} failed, {row['lost']} lost, "
                f"{back}{'' if row['moved'] else ', THE ROLE DID NOT MOVE'}"
            )
            if row["back_s"] is None:
                nodes.save_logs(place.lab)
                mend(place, way, str(row["old"]))


def mend(place: Place, way: Way, node: str) -> None:
    """As a person would."""
    if way.failover == "automatic":
        run(place.lab, "ansible-playbook -i inventories/lab playbooks/rejoin.yml -e confirm=yes", f"{way.name}-mend")
    else:
        run(place.lab, f"bench/rivals/pacemaker.sh reseed {node}", f"{way.name}-mend")


def row_of(way: Way, fault: failover.Fault, rows: Sequence[dict[str, Any]]) -> str:
    """One line of the table."""
    mine = [row for row in rows if row["fault"] == fault.name]
    moved = [row for row in mine if row["moved"]]
    if not moved:
        return f"| {way.title} | {fault.what} | 0 of {len(mine)} | | | | | |"
    out, failed = ([row[name] for row in moved] for name in ("out_s", "failed"))
    back = [row["back_s"] for row in mine if row["back_s"] is not None]
    after = f"{statistics.median(back):.1f} / {max(back):.1f} s" if back else ""
    return (
        f"| {way.title} | {fault.what} | {len(moved)} of {len(mine)} | {statistics.median(out):.2f} / {max(out):.2f} s | {statistics.median(failed):.0f}"
        f" | {sum(row['lost'] for row in mine)} | {len(back)} of {len(mine)} | {after} |"
    )


def main() -> int:
    """Measure, print, keep. Exit code 1: a lab or a way did not work."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--runs", type=int, default=5, help="of each fault")
    line.add_argument("--name", default="failover", help="of the lab")
    line.add_argument("--net", type=int, default=85, help="its second octet")
    line.add_argument("--way", choices=[way.name for way in WAYS], action="append", help="default: all")
    line.add_argument("--keep", action="store_true", help="use the pair that is there, as this one way has made it, and leave it")
    asked = line.parse_args()
    ways = [way for way in WAYS if way.name in (asked.way or [way.name])]
    if asked.keep and len(ways) != 1:
        line.error("--keep needs one --way")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    RESULTS.mkdir(parents=True, exist_ok=True)
    runtime.prepare()
    place, table, good = Place(asked.name, asked.net), [], True
    for way in ways:
        rows: list[dict[str, Any]] = []
        os.environ["TANDEM_LAB_FAILOVER"] = way.failover
        try:
            if not asked.keep:
                build(place.lab, way)
            measure(place, way, asked.runs, rows)
        except LabError as error:
            say(str(error))
            good = False
        except KeyboardInterrupt:
            say("told to end")
            good = False
            break
        finally:
            (RESULTS / f"failover-{way.name}.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
            table += [row_of(way, fault, rows) for fault in failover.FAULTS]
            if not asked.keep:
                nodes.remove(asked.name)
    print("\n".join(["", HEAD, "| --- " * 8 + "|", *table]))
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"failover_compare: {error}", file=sys.stderr)
        sys.exit(1)
