"""Figures of the pair: how long site.yml takes, and how long a visitor waits when something is lost.

Virgin nodes of a lab of its own; nothing here judges: it prints what was measured and keeps it in .cache/bench.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import nodes  # noqa: E402
import runtime  # noqa: E402
import takeover  # noqa: E402
from shell import LabError, say, step  # noqa: E402

RESULTS = ROOT / ".cache" / "bench"
RECAP = re.compile(r"^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)", re.MULTILINE)


def play(name: str, *playbooks: str) -> dict[str, object]:
    """Run playbooks, return seconds and the number of changes."""
    log = RESULTS / f"{name}.log"
    begin = time.monotonic()
    with step(f"ansible-playbook {' '.join(playbooks)} ({name})"), log.open("w", encoding="utf-8") as output:
        done = subprocess.run(
            [str(ROOT / ".venv" / "bin" / "ansible-playbook"), "-i", "inventories/lab", *playbooks],
            cwd=ROOT,
            env=os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            check=False,
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode != 0:
        raise LabError("\n".join([*text.splitlines()[-30:], f"{' '.join(playbooks)} failed, see {log}"]))
    return {"seconds": round(time.monotonic() - begin, 1), "changed": sum(int(found[3]) for found in RECAP.finditer(text))}


def takeovers(lab: nodes.Lab, runs: int, wanted: list[str]) -> list[dict[str, object]]:
    """Every fault, that many times."""
    rows = []
    for fault in takeover.FAULTS:
        if fault.name in wanted:
            for number in range(1, runs + 1):
                row = takeover.measure(lab, fault)
                moved = "the addresses moved" if row["moved"] else "the addresses stayed"
                say(f"{fault.name} {number}/{runs}: {row['gap_ms']} ms without an answer, {row['failed']} requests failed, {moved}")
                rows.append(row)
    return rows


def table(rows: list[dict[str, object]]) -> list[str]:
    """Median and maximum of each fault."""
    lines = [f"{'lost on the active node':<46} {'runs':>4} {'median':>9} {'max':>9}"]
    for fault in takeover.FAULTS:
        gaps = [int(str(row["gap_ms"])) for row in rows if row["fault"] == fault.name]
        if gaps:
            lines.append(f"{fault.what:<46} {len(gaps):>4} {statistics.median(gaps):>6.0f} ms {max(gaps):>6} ms")
    return lines


def main() -> int:
    """Measure, print, keep."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--runs", type=int, default=5, help="of each fault")
    line.add_argument("--name", default="bench")
    line.add_argument("--net", type=int, default=79)
    line.add_argument("--distro", default=os.environ.get("TANDEM_LAB_DISTRO", "bookworm"))
    line.add_argument("--faults", default=",".join(fault.name for fault in takeover.FAULTS))
    line.add_argument("--keep", action="store_true", help="use nodes that are there, and leave them")
    line.add_argument("--no-site", action="store_true", help="take it that the pair is built; only the takeovers")
    asked = line.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    runtime.prepare()
    lab = nodes.Lab(asked.name, asked.net)
    os.environ |= {"TANDEM_LAB": asked.name, "TANDEM_LAB_NET": str(asked.net)}
    if asked.distro == "mysql":
        os.environ["TANDEM_LAB_ENGINE"] = "mysql"
    report: dict[str, object] = {"distro": asked.distro, "kernel": platform.release(), "processors": os.cpu_count()}
    if not asked.keep:
        nodes.remove(lab.name)
    nodes.up(lab, asked.distro, nodes.HOSTS)
    try:
        if not asked.keep:
            report["first site.yml"] = play("first", "site.yml")
        if not asked.no_site:
            report["second site.yml"] = play("second", "site.yml")
        rows = takeovers(lab, asked.runs, asked.faults.split(","))
        report["takeovers"] = rows
        # A database that was restarted stays closed until somebody asks who is primary.
        if not asked.no_site:
            report["site.yml after all that"] = play("after", "site.yml")
    finally:
        file = RESULTS / f"{time.strftime('%Y%m%dT%H%M%S')}-{asked.distro}.json"
        file.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        if not asked.keep:
            nodes.save_logs(lab)
            nodes.remove(lab.name)
    print(f"\nNodes: {asked.distro}, {report['processors']} processors for all of them together, kernel {report['kernel']}")
    for name in ("first site.yml", "second site.yml", "site.yml after all that"):
        if isinstance(run := report.get(name), dict):
            print(f"{name:<46} {run['seconds']:>6} s  changed={run['changed']}")
    print("\nLongest time without an answer, seen by the client every 10 ms:")
    print("\n".join(table(rows)))
    print(f"\nKept in {file.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except LabError as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(1)
