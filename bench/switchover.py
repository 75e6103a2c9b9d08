"""Judges a switchover: the same load, the same pair, any command that exchanges primary and replica, many times.

Each run: empty the table, load until it is steady, watch a while as the measure of normal, run the command, watch on,
end the load, look for every acknowledged write on both databases, wait until replication is healthy. The figures of a
run are those from the command's start until a while after its end; "added p99" is against the same load before.
Where nodes and controller share their processors, whatever the command computes is felt as well: so what falls into the
operation itself, from its first step until a second after its last, is told apart, if the command reports when that was.
What the host of this machine did to it meanwhile is told as well: the processor time that it gave to others ("stolen"), and
the longest time for which the machine stood still.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

import load
import nodes
import pair
import runtime
import summary
from shell import LabError, say
from standstill import Standstill

REPORT = pair.ROOT / ".cache" / "bench" / "report.json"
COMMAND = f"ansible-playbook -i inventories/lab -i bench/inventory playbooks/switchover.yml -e confirm=yes -e report_file={REPORT}"
# Names under which the report of a switchover may tell what it did.
REPORTED = ("pause_ms", "held", "killed")
# Seconds after its last step that still belong to an operation: the first writes on the new primary.
SETTLES = 1.0
VIEWS = {"new SQL connections": "new SQL", "HTTP": "HTTP", "all": "all"}


def environment(lab: nodes.Lab) -> dict[str, str]:
    """What the command finds: the lab it is about, and the programs of this checkout."""
    programs = str(pair.ROOT / ".venv" / "bin")
    return os.environ | {
        "PATH": programs + os.pathsep + os.environ["PATH"],
        "ANSIBLE_CONFIG": str(pair.ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "TANDEM_LAB": lab.name,
        "TANDEM_LAB_NET": str(lab.net),
    }


def run_command(lab: nodes.Lab, command: str, log: Path, limit: float) -> int:
    """Its exit code; 124 if it had to be ended."""
    with log.open("w", encoding="utf-8") as output:
        try:
            return subprocess.run(
                shlex.split(command),
                cwd=pair.ROOT,
                env=environment(lab),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                check=False,
                timeout=limit,
            ).returncode
        except subprocess.TimeoutExpired:
            return 124


def reported(file: Path | None, since: float) -> dict[str, Any]:
    """What the switchover says of itself, if it wrote a report in this run."""
    if file is None or not file.exists() or file.stat().st_mtime < since:
        return {}
    told = json.loads(file.read_text(encoding="utf-8"))
    return told if isinstance(told, dict) else {}


def itself(events: Sequence[summary.Event], told: dict[str, Any]) -> dict[str, float]:
    """The longest pauses while the operation ran, in ms; empty: it does not say when that was."""
    if not (told.get("began_at") and told.get("steps")):
        return {}
    begin = datetime.fromisoformat(told["began_at"]).timestamp()
    end = begin + max(step["began_ms"] + step["ms"] for step in told["steps"]) / 1000 + SETTLES
    pauses = summary.summarize(events, begin, end)["write_pauses"]
    return {short: pauses[name]["ms"] for name, short in VIEWS.items()}


def processors() -> tuple[int, int]:
    """Processor time of this machine until now, and how much of it its host gave to others; see proc_stat(5)."""
    ticks = [int(word) for word in Path("/proc/stat").read_text(encoding="ascii").splitlines()[0].split()[1:9]]
    return sum(ticks), ticks[7]


def once(lab: nodes.Lab, asked: argparse.Namespace, number: int) -> dict[str, Any]:
    """One switchover under load."""
    pair.wait_until_replicating(lab)
    pair.empty(lab)
    pair.wait_until_replicating(lab)
    before = pair.primary(lab)
    log = load_log(number)
    with load.Load(lab, load.options_of(asked)) as running:
        running.wait_until_steady(asked.steady_limit)
        calm = running.wait_until_calm(asked.calm, asked.steady_limit)
        quiet = time.time()
        time.sleep(asked.before)
        begin, had = time.time(), processors()
        with Standstill() as still:
            code = run_command(lab, asked.command, log, asked.limit)
            done = time.time()
            time.sleep(asked.after)
        end, has = time.time(), processors()
    events = running.events
    normal = summary.summarize(events, quiet, begin)
    window = summary.summarize(events, begin, end)
    verified = load.verify(lab, events, want_files=asked.files)
    after = pair.primary(lab)
    told = reported(asked.report, begin)
    sql = Counter({kind: count for name, row in window["classes"].items() if name.startswith("sql-") for kind, count in row["kinds"].items()})
    return {
        "run": number,
        "calm": calm,
        "exit_code": code,
        "primary_before": before,
        "primary_after": after,
        "moved": bool(after) and after != before,
        "command_s": round(done - begin, 2),
        "pause_ms": {short: window["write_pauses"][name]["ms"] for name, short in VIEWS.items()},
        "itself_ms": itself(events, told),
        "normal_pause_ms": {short: normal["write_pauses"][name]["ms"] for name, short in VIEWS.items()},
        "stolen_percent": round(100 * (has[1] - had[1]) / max(1, has[0] - had[0]), 1),
        "stood_still_ms": round(still.longest * 1000),
        "failed_http": window["http"]["failed"],
        "http_kinds": window["http"]["kinds"],
        "failed_sql": window["sql"]["failed"],
        "sql_kinds": dict(sql),
        "p99_ms": window["http"]["p99_ms"],
        "added_p99_ms": round(window["http"]["p99_ms"] - normal["http"]["p99_ms"], 1),
        "max_ms": window["http"]["max_ms"],
        "lost": load.lost(verified),
        "complete": load.is_complete(verified),
        "reported": {name: told[name] for name in REPORTED if name in told},
        "fallen": running.fallen(),
        "normal": normal,
        "window": window,
        "verify": verified,
    }


def load_log(number: int) -> Path:
    """Where the command's output of a run is kept."""
    directory = pair.ROOT / ".cache" / "bench"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"switchover-{number}.log"


HEAD = (
    f"{'run':>3} {'to':<8} {'pause ms: new SQL':>17} {'HTTP':>6} {'all':>6} {'itself: new SQL':>15} {'HTTP':>6} {'all':>6} {'failed HTTP':>11} {'SQL':>5} "
    f"{'p99 ms':>7} {'added':>7} {'max ms':>7} {'lost':>5} {'s':>6} {'stolen %':>8} {'still ms':>8}  SQL by kind; the report's words"
)


def line_of(row: dict[str, Any]) -> str:
    """One run."""
    pauses = row["pause_ms"]
    own = {name: round(row["itself_ms"][name]) if row["itself_ms"] else "-" for name in VIEWS.values()}
    words = [f"{count} {kind}" for kind, count in sorted(row["sql_kinds"].items())]
    words += [f"{name}={value}" for name, value in row["reported"].items()]
    silent = Counter[str]()
    for kinds in row["verify"]["rows_not_acknowledged"].values():
        silent |= Counter(kinds)
    words += [f"{count} rows are there although their writer was told: {kind}" for kind, count in sorted(silent.items())]
    if row["exit_code"] != 0:
        words.append(f"THE COMMAND ENDED WITH {row['exit_code']}")
    if not row["calm"]:
        words.append("THE MACHINE WAS BUSY")
    if not row["moved"]:
        words.append("THE PRIMARY DID NOT MOVE")
    if not row["complete"]:
        words.append("NOT EVERYTHING IS ON BOTH NODES")
    return (
        f"{row['run']:>3} {row['primary_after'] or '?':<8} {pauses['new SQL']:>17.0f} {pauses['HTTP']:>6.0f} {pauses['all']:>6.0f} "
        f"{own['new SQL']:>15} {own['HTTP']:>6} {own['all']:>6} "
        f"{row['failed_http']:>11} {row['failed_sql']:>5} {row['p99_ms']:>7.0f} {row['added_p99_ms']:>7.0f} {row['max_ms']:>7.0f} "
        f"{row['lost']:>5} {row['command_s']:>6.1f} {row['stolen_percent']:>8.1f} {row['stood_still_ms']:>8}  {', '.join(words)}"
    )


def totals(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Median and maximum of what is judged."""
    values: dict[str, list[float]] = {f"write pause, {name}, ms": [row["pause_ms"][name] for row in rows] for name in VIEWS.values()}
    if all(row["itself_ms"] for row in rows):
        values |= {f"in the operation itself, {name}, ms": [row["itself_ms"][name] for row in rows] for name in VIEWS.values()}
    values |= {f"the same without a switchover, {name}, ms": [row["normal_pause_ms"][name] for row in rows] for name in VIEWS.values()}
    for name, text in (
        ("failed_http", "failed HTTP requests"),
        ("failed_sql", "failed SQL writes"),
        ("added_p99_ms", "added p99, ms"),
        ("max_ms", "slowest HTTP request, ms"),
        ("lost", "acknowledged writes that lack somewhere"),
        ("stolen_percent", "processor time that the host took, %"),
        ("stood_still_ms", "the machine stood still, ms"),
    ):
        values[text] = [row[name] for row in rows]
    return {name: {"median": statistics.median(found), "max": max(found), "sum": round(sum(found), 1)} for name, found in values.items()}


def main() -> int:
    """Run, print, keep. Exit code 1: a command failed, the primary did not move, or something is lost."""
    line = argparse.ArgumentParser(description=__doc__)
    load.add_options(line)
    line.add_argument("--runs", type=int, default=20)
    line.add_argument("--command", default=COMMAND, help="exchanges the roles, each time it is run; default: %(default)s")
    line.add_argument("--report", type=Path, metavar="FILE", default=REPORT, help="JSON that the command writes about itself")
    line.add_argument("--title", default="", help="for the table")
    line.add_argument("--before", type=float, default=5.0, help="seconds of steady load before the command")
    line.add_argument("--after", type=float, default=5.0, help="seconds of load after it")
    line.add_argument("--limit", type=float, default=180.0, help="seconds that the command may take")
    line.add_argument("--steady-limit", type=float, default=60.0, help="seconds within which the load must be served well")
    line.add_argument("--calm", type=float, default=150.0, help="p99 in ms up to which the machine counts as calm before the command")
    line.add_argument("--files", action="store_true", help="also wait until every upload is on both nodes")
    asked = line.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    runtime.prepare()
    lab = nodes.Lab(asked.name, asked.net)
    rows: list[dict[str, Any]] = []
    try:
        print(asked.title or asked.command)
        print(HEAD, flush=True)
        for number in range(1, asked.runs + 1):
            rows.append(once(lab, asked, number))
            print(line_of(rows[-1]), flush=True)
            if rows[-1]["exit_code"] != 0:
                print("\n".join(load_log(number).read_text(encoding="utf-8", errors="replace").splitlines()[-20:]))
                break
    except KeyboardInterrupt:
        say("told to end")
    finally:
        # A command that refused to move anything has no pause to be proud of.
        moved = [row for row in rows if row["moved"]]
        report = {"command": asked.command, "title": asked.title, "totals": totals(moved) if moved else {}, "runs": rows}
        if asked.json:
            asked.json.write_text(pair.show(report) + "\n", encoding="utf-8")
    for name, one in report["totals"].items():
        print(f"{name:<46} median {one['median']:>7.0f}   max {one['max']:>7.0f}   sum {one['sum']:>8.0f}")
    good = len(rows) == asked.runs and all(row["exit_code"] == 0 and row["moved"] and row["lost"] == 0 for row in rows)
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"switchover: {error}", file=sys.stderr)
        sys.exit(1)
