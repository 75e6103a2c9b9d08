"""What the bench asks of the lab's pair: its databases, its files, whether it is healthy."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "lab"))

import nodes  # noqa: E402
from shell import LabError, as_root, wait_for  # noqa: E402

SERVERS = ("server1", "server2")
UPLOADS = "/srv/www/bench/uploads"
# The client program has one name with MariaDB and another with MySQL.
SQL = 'exec "$(command -v mariadb || command -v mysql)" --batch --skip-column-names --default-character-set=utf8mb4 "$@"'
REPLICA_STATUS = 'exec "$(command -v mariadb || command -v mysql)" --batch -E --execute "$1"'


@dataclass(frozen=True)
class Database:
    """One database server as its own node sees it."""

    writable: bool
    follows: bool  # both threads run
    lag: int | None  # seconds


def inside(lab: nodes.Lab, node: str, script: str, *arguments: str) -> str | None:
    """Run a shell script in a node; None if it failed or the node is not there."""
    command = ["podman", "exec", lab.container(node), "sh", "-c", script, "sh", *arguments]
    try:
        done = subprocess.run(as_root(command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=60)
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None


def ask(lab: nodes.Lab, node: str, statement: str) -> str | None:
    """One statement on a node's own database, over its socket."""
    return inside(lab, node, SQL, "--execute", statement)


def database(lab: nodes.Lab, node: str) -> Database | None:
    """The state of one database; None if it does not answer."""
    read_only = ask(lab, node, "SELECT @@global.read_only")
    if read_only is None:
        return None
    status = inside(lab, node, REPLICA_STATUS, "SHOW REPLICA STATUS") or ""
    fields = {name.strip(): value for name, sign, value in (line.partition(": ") for line in status.splitlines()) if sign}
    threads = [value for name, value in fields.items() if name.endswith(("_IO_Running", "_SQL_Running"))]
    behind = next((value for name, value in fields.items() if name.startswith("Seconds_Behind_")), "NULL")
    return Database(
        read_only.strip() in ("0", "OFF"), len(threads) == 2 and set(threads) == {"Yes"}, int(behind) if behind.isdigit() else None
    )


def primary(lab: nodes.Lab) -> str:
    """The one node whose database is writable; empty if it is none or both."""
    found = [node for node in SERVERS if (seen := database(lab, node)) is not None and seen.writable]
    return found[0] if len(found) == 1 else ""


def is_following(state: Database | None) -> bool:
    """Is it closed, and in step with whom it follows?"""
    return state is not None and not state.writable and state.follows and state.lag == 0


def are_paired(lab: nodes.Lab) -> bool:
    """One is writable, the other follows it without lag."""
    seen = [database(lab, node) for node in SERVERS]
    return sum(state is not None and state.writable for state in seen) == 1 and sum(map(is_following, seen)) == 1


def is_replicating(lab: nodes.Lab) -> bool:
    """Paired, and both nodes call themselves healthy."""
    return are_paired(lab) and all(
        inside(lab, node, "exec curl -sf -m 2 -o /dev/null http://127.0.0.1:9200/health") is not None for node in SERVERS
    )


def wait_until_replicating(lab: nodes.Lab, seconds: float = 120) -> None:
    """Wait for the state in which the next switchover may begin."""
    wait_for("one database to be writable, the other to follow it, and both nodes to be healthy", lambda: is_replicating(lab), seconds)


def password(lab: nodes.Lab) -> str:
    """Of the application's account: bench/inventory has it made where the lab keeps its own."""
    file: Path = lab.directory / "secrets" / "site_bench"
    if not file.exists():
        raise LabError(
            f"{file} is missing: build the pair with "
            "ansible-playbook -i inventories/lab -i bench/inventory site.yml bench/deploy.yml"
        )
    return file.read_text(encoding="utf-8").split()[0]


def empty(lab: nodes.Lab) -> None:
    """Remove the rows of earlier loads. Their uploads stay: file_sync rightly stops when a directory is emptied."""
    node = primary(lab)
    if not node:
        raise LabError("not exactly one database is writable")
    if ask(lab, node, "TRUNCATE TABLE bench.writes") is None:
        raise LabError(f"bench.writes on {node} cannot be emptied: was bench/deploy.yml run?")


def rows(lab: nodes.Lab, node: str) -> set[str] | None:
    """The tokens in a node's database."""
    text = ask(lab, node, "SELECT token FROM bench.writes")
    return None if text is None else set(text.split())


def files(lab: nodes.Lab, node: str) -> set[str] | None:
    """The tokens of the uploads that a node has."""
    text = inside(lab, node, 'find "$1" -type f -name "*.bin" -printf "%f\\n"', UPLOADS)
    return None if text is None else {name.removesuffix(".bin") for name in text.split()}


def show(value: object) -> str:
    """As JSON a person can read."""
    return json.dumps(value, indent=2)
