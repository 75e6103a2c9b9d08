"""What drills of a pair that looks after itself ask and watch."""

from __future__ import annotations

import contextlib
import itertools
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

import pair
from pair import must, ssh

LOOK = """
import os, time
import pymysql
connection = None
while not os.path.exists("/run/tandem-look-stop"):
    try:
        connection = connection or pymysql.connect(unix_socket="/run/mysqld/mysqld.sock", user="root", connect_timeout=1, read_timeout=1)
        with connection.cursor() as cursor:
            cursor.execute("SELECT @@global.read_only")
            word = "closed" if cursor.fetchone()[0] else "open"
    except Exception:
        connection, word = None, "gone"
    print(f"{time.time():.4f} {word}", flush=True)
    time.sleep(0.01)
"""


def open_times(lines: list[str]) -> list[tuple[float, float]]:
    """From one look that found it open to the next that did."""
    looks = [(float(line.split()[0]), line.split()[1]) for line in lines]
    return [(one[0], two[0]) for one, two in itertools.pairwise(looks) if one[1] == two[1] == "open"]


@contextlib.contextmanager
def never_two(moves: bool = True) -> Iterator[None]:
    """Looks at both databases 50 times a second or so. The nodes of the lab have one clock. moves: the primary has to change."""
    looking = {}
    for node in pair.PAIR:
        ssh(node, "rm -f /run/tandem-look-stop; cat > /root/tandem-look.py", LOOK)
        looking[node] = subprocess.Popen(pair.ssh_argv(node, "python3 /root/tandem-look.py"), stdout=subprocess.PIPE, text=True)
    lines: dict[str, list[str]] = {node: [] for node in looking}
    readers = [threading.Thread(target=lambda node=node: lines[node].extend(looking[node].stdout or [])) for node in looking]
    for reader in readers:
        reader.start()
    try:
        yield
    finally:
        for node in looking:
            ssh(node, "touch /run/tandem-look-stop")
        for reader in readers:
            reader.join(60)
        for process in looking.values():
            process.wait(60)
    first, second = (open_times(lines[node]) for node in pair.PAIR)
    assert (first and second) if moves else bool(first) != bool(second), {node: len(found) for node, found in lines.items()}
    both = [(max(a, c), min(b, d)) for a, b in first for c, d in second if max(a, c) < min(b, d)]
    assert both == [], f"both open for {sum(end - begin for begin, end in both) * 1000:.0f} ms"
    longest = max((two[0] - one[1] for one, two in zip(sorted(first + second), sorted(first + second)[1:], strict=False)), default=0.0)
    print(f"nobody open for {longest:.2f} s")


def tandem(node: str, *words: str) -> pair.Done:
    return ssh(node, " ".join(["tandem", *words]))


def agent(node: str) -> dict[str, object]:
    said = must(tandem(node, "status", "--json"))
    return dict(json.loads(said.text)["agent"])


def status(node: str) -> dict[str, Any]:
    """Everything that it knows. The exit code only says that there is an alarm."""
    return dict(json.loads(tandem(node, "status", "--json").text))


def alarms(node: str) -> list[str]:
    return list(status(node)["agent"]["alarms"])


def closed(node: str) -> bool:
    """Its server refuses writes, or does not run."""
    return pair.read_only(node) is not False
