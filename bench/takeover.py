"""How long the client is without an answer when a part of the active node is lost."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import faults
import nodes
from shell import LabError, as_root, podman, wait_for

SERVERS = ("server1", "server2")
PATH = "/healthz"
LIMIT = 40.0
STEADY = 2.0


@dataclass(frozen=True)
class Fault:
    """What is lost, how it is mended."""

    name: str
    what: str
    breaks: Callable[[nodes.Lab, str], None]
    mends: Callable[[nodes.Lab, str], None]


def _fault(action: str, side: str | None = None) -> Callable[[nodes.Lab, str], None]:
    return lambda lab, node: faults.apply(lab, action, node, side)


def _in_node(script: str) -> Callable[[nodes.Lab, str], None]:
    return lambda lab, node: (podman("exec", lab.container(node), "sh", "-c", script), None)[1]


FAULTS = (
    Fault("node-killed", "podman kill of the active node", _fault("kill"), _fault("start")),
    Fault(
        "nginx-killed",
        "kill -9 of all of nginx on the active node",
        _in_node("kill -9 $(pgrep -d ' ' -x nginx)"),
        _in_node("systemctl reset-failed nginx; systemctl start nginx"),
    ),
    Fault("outside-cut", "silent cut of its outside network", _fault("cut", "outside"), _fault("heal", "outside")),
    Fault("inside-cut", "silent cut of its inside network", _fault("cut", "inside"), _fault("heal", "inside")),
)


def holder(lab: nodes.Lab) -> str:
    """The node that has both VIPs; empty while nobody, or more than one, has them."""
    found = []
    for node in SERVERS:
        text = podman("exec", lab.container(node), "ip", "-4", "-o", "address", check=False)
        if all(f" 10.{lab.net}.{octet}.100/" in text for octet in (10, 20)):
            found.append(node)
    return found[0] if len(found) == 1 else ""


def is_whole(lab: nodes.Lab) -> bool:
    """Do both nodes find themselves healthy, and does one of them hold both VIPs?"""
    for node in SERVERS:
        ask = ["podman", "exec", lab.container(node), "curl", "-sf", "-m", "2", "-o", "/dev/null", "http://127.0.0.1:9200/health"]
        if subprocess.run(as_root(ask), stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode != 0:
            return False
    return bool(holder(lab))


def wait_until_steady(lab: nodes.Lab) -> None:
    """Whole for two seconds on end: a node that has just come back still has to find its place."""
    since: list[float] = []

    def steady() -> bool:
        if not is_whole(lab):
            since.clear()
            return False
        since.append(time.monotonic())
        return since[-1] - since[0] >= STEADY

    wait_for("both nodes to be healthy and one of them to hold the addresses", steady, 180)


def measure(lab: nodes.Lab, fault: Fault) -> dict[str, object]:
    """One loss of the active node's part, as the client sees it."""
    wait_until_steady(lab)
    active = holder(lab)
    program = Path(__file__).with_name("prober.py").read_text(encoding="utf-8")
    command = ["podman", "exec", "--interactive", lab.container("client"), "python3", "-c", program, f"10.{lab.net}.10.100", PATH, str(LIMIT)]
    with subprocess.Popen(as_root(command), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as prober:
        if prober.stdout is None or prober.stdout.readline().strip() != "ready":
            raise LabError(f"the client gets no answer from http://10.{lab.net}.10.100{PATH}")
        begin = time.monotonic()
        fault.breaks(lab, active)
        seen = json.loads(prober.stdout.readline())
    result = {"fault": fault.name, "active": active, **seen, "watched_s": round(time.monotonic() - begin, 1)}
    if fault.name == "node-killed" and nodes.state(lab, active) == "running":
        raise LabError(f"{active} runs although it was killed")
    result["moved"] = holder_is_other(lab, active)
    fault.mends(lab, active)
    return result


def holder_is_other(lab: nodes.Lab, active: str) -> bool:
    """Did the other node take both addresses?"""
    other = next(node for node in SERVERS if node != active)
    text = podman("exec", lab.container(other), "ip", "-4", "-o", "address", check=False)
    return all(f" 10.{lab.net}.{octet}.100/" in text for octet in (10, 20))
