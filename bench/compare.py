"""The table of switchovers: ours on both engines, and the rivals that know MariaDB, under the same load in the same lab.

A lab of its own is built and removed for each engine. Takes about a minute a run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lab"))

from shell import LabError, say, step

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / ".cache" / "bench"
NAME, NET = "bench", "84"
INVENTORY = ["-i", "inventories/lab", "-i", "bench/inventory"]


@dataclass(frozen=True)
class Way:
    """One way to exchange the roles."""

    title: str
    engine: str
    command: str = ""  # ours by default
    before: str = ""
    after: str = ""


WAYS = (
    Way("switchover.yml, MariaDB", "mariadb"),
    Way("by hand, MariaDB", "mariadb", "bench/rivals/by_hand.sh"),
    Way("MHA, MariaDB", "mariadb", "bench/rivals/mha.sh switch", "bench/rivals/mha.sh prepare", "bench/rivals/mha.sh restore"),
    Way("switchover.yml, MySQL", "mysql"),
)
DISTRO = {"mariadb": "bookworm", "mysql": "mysql"}


def environment(engine: str) -> dict[str, str]:
    """What playbooks and rivals find."""
    return os.environ | {
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_NOCOLOR": "1",
        "TANDEM_LAB": NAME,
        "TANDEM_LAB_NET": NET,
        "TANDEM_LAB_ENGINE": engine,
    }


def run(words: list[str], engine: str, what: str) -> None:
    """Raises LabError with the end of what it said."""
    with step(what):
        done = subprocess.run(words, cwd=ROOT, env=environment(engine), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError("\n".join([*(done.stdout + done.stderr).splitlines()[-20:], f"{what}: failed"]))


def lab(engine: str, verb: str) -> None:
    """Nodes of the lab, all of them."""
    distro = ["--distro", DISTRO[engine]] if verb == "up" else []
    run([sys.executable, "tests/lab/lab.py", "--name", NAME, "--net", NET, verb, *distro], engine, f"lab {verb} ({engine})")


def measure(way: Way, runs: int) -> Path:
    """All runs of one way; its figures."""
    file = RESULTS / f"compare-{way.title.replace(' ', '-').replace(',', '')}.json"
    file.unlink(missing_ok=True)
    command = ["--command", way.command] if way.command else []
    if way.before:
        run(way.before.split(), way.engine, way.before)
    subprocess.run(
        [sys.executable, "bench/switchover.py", "--name", NAME, "--net", NET, "--runs", str(runs), "--title", way.title,
         "--json", str(file), *command],
        cwd=ROOT, env=environment(way.engine), check=False,
    )  # fmt: skip
    if way.after:
        run(way.after.split(), way.engine, way.after)
        run(["ansible-playbook", *INVENTORY, "playbooks/database.yml"], way.engine, "the collection's replication again")
    return file


def row_of(title: str, file: Path) -> str:
    """One line of the table."""
    data = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {"runs": [], "totals": {}}
    moved = [one for one in data["runs"] if one["moved"]]
    if not moved:
        return f"| {title} | 0 of {len(data['runs'])} | | | | | |"
    totals = data["totals"]
    pause, http, sql = (totals[name] for name in ("write pause, all, ms", "failed HTTP requests", "failed SQL writes"))
    return (
        f"| {title} | {len(moved)} of {len(data['runs'])} | {pause['median']:.0f} / {pause['max']:.0f} ms | {http['sum']:.0f} | {sql['sum']:.0f}"
        f" | {totals['added p99, ms']['median']:.0f} ms | {totals['acknowledged writes that lack somewhere']['sum']:.0f} |"
    )


def main() -> int:
    """Run, print the table. Exit code 1: a lab or a way did not work."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--runs", type=int, default=20)
    line.add_argument("--rival-runs", type=int, default=0, help="default: as many")
    line.add_argument("--engine", choices=sorted(DISTRO), action="append", help="default: both")
    asked = line.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    rows, good = [], True
    for engine in asked.engine or list(DISTRO):
        try:
            lab(engine, "up")
            run(["ansible-playbook", *INVENTORY, "site.yml", "bench/deploy.yml"], engine, f"site.yml ({engine})")
            for way in (way for way in WAYS if way.engine == engine):
                file = measure(way, asked.rival_runs or asked.runs if way.command else asked.runs)
                rows.append(row_of(way.title, file))
        except LabError as error:
            say(str(error))
            good = False
        finally:
            lab(engine, "down")
    print("\n| | runs | write pause, median / worst | failed HTTP requests | failed SQL writes | added p99, median | lost |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print("\n".join(rows))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
