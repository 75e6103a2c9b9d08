"""The nodes of the lab, entered from their host: quick, and while their networks are cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lab"))

import faults
import nodes
import runtime
from shell import LabError, as_root, podman

PAIR = ("server1", "server2")
STATUS = ["curl", "-sf", "-m", "2", "http://127.0.0.1:9200/status.json"]


class Place:
    """One lab."""

    def __init__(self, name: str, net: int) -> None:
        runtime.prepare()
        self.lab = nodes.Lab(name, net)
        self._pids: dict[str, str] = {}

    def forget(self, node: str) -> None:
        """It was started or stopped: its first process is another one."""
        self._pids.pop(node, None)

    def pid(self, node: str) -> str:
        """Of a node's first process. Raises LabError where it does not run."""
        known = self._pids.get(node)
        if known is None or not os.path.exists(f"/proc/{known}"):
            known = podman("inspect", "--format", "{{.State.Pid}}", nodes.require(self.lab, node))
            if known == "0":
                raise LabError(f"{node} does not run")
            self._pids[node] = known
        return known

    def state(self, node: str) -> str:
        """running, exited, paused."""
        return nodes.state(self.lab, node)

    def runs(self, node: str) -> bool:
        try:
            return bool(self.pid(node))
        except LabError:
            return False

    def argv(self, node: str, *words: str) -> list[str]:
        """How a command is run in a node: in its namespaces, not in its control group, so that a pause does not stop it."""
        return as_root(["nsenter", "-t", self.pid(node), "-m", "-u", "-i", "-n", "-p", "--", *words])

    def run(self, node: str, *words: str, stdin: str = "", timeout: float = 30) -> str:
        """What a command says. Raises LabError."""
        try:
            done = subprocess.run(self.argv(node, *words), input=stdin, text=True, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise LabError(f"{node}: {words[0]} took more than {timeout:g} s") from None
        if done.returncode != 0:
            raise LabError(f"{node}: {' '.join(words)[:200]} ended with {done.returncode}: {(done.stderr or done.stdout).strip()[:500]}")
        return done.stdout

    def sh(self, node: str, script: str, timeout: float = 30) -> str:
        """A shell script."""
        return self.run(node, "sh", "-c", script, timeout=timeout)

    def sql(self, node: str, statement: str, schema: str = "blog", timeout: float = 20) -> str:
        """As the administrator, by the socket."""
        return self.run(node, "mysql", "--batch", "--skip-column-names", schema, stdin=statement, timeout=timeout).strip()

    def status(self, node: str) -> dict[str, Any] | None:
        """What its daemon knows. None: it does not say."""
        try:
            return dict(json.loads(self.run(node, *STATUS, timeout=5)))
        except (LabError, ValueError):
            return None

    def fault(self, action: str, node: str, side: str | None = None) -> None:
        """A fault of the lab, or its end."""
        faults.apply(self.lab, action, node, side)
        self.forget(node)

    def secret(self, name: str) -> str:
        return (self.lab.directory / "secrets" / name).read_text(encoding="utf-8").split()[0]


def other(node: str) -> str:
    return PAIR[1 - PAIR.index(node)]
