"""Breaking things, and mending them."""

from __future__ import annotations

import json

import runtime
from nodes import NETWORKS, Lab, forget_connections, require, wait_until_ready
from shell import LabError, podman, run, say, wait_for

ACTIONS = ("kill", "start", "pause", "unpause", "cut", "heal", "link-down", "link-up", "reboot", "crash")
WITH_SIDE = ("cut", "heal", "link-down", "link-up")


def _bridge(lab: Lab, side: str) -> str:
    name: str = json.loads(podman("network", "inspect", lab.network(side)))[0]["network_interface"]
    return name


def _veth(lab: Lab, node: str, side: str) -> str:
    """The host's end of a node's interface; it is another one after each start, so it is asked each time."""
    pid = podman("inspect", "--format", "{{.State.Pid}}", require(lab, node))
    if pid == "0":
        raise LabError(f"{node} is not running")
    interface = NETWORKS[side][1]
    # Over the namespace, not podman exec: a paused node can be cut too.
    index = run(["nsenter", "-t", pid, "-n", "ip", "-j", "link", "show", "dev", interface]).stdout
    peer = json.loads(index)[0]["link_index"]
    for link in json.loads(run(["ip", "-j", "link"]).stdout):
        if link["ifindex"] == peer:
            return str(link["ifname"])
    raise LabError(f"no link of this machine belongs to {interface} of {node}")


def apply(lab: Lab, action: str, node: str, side: str | None) -> None:
    """Do one fault, or undo it."""
    container = require(lab, node)
    if (side is not None) != (action in WITH_SIDE):
        raise LabError(f"{action} {'needs outside or inside' if side is None else 'takes no network'}")
    if action == "kill":
        podman("kill", container)
    elif action == "start":
        forget_connections(lab, [node])
        runtime.make_room()
        podman("start", container)
        wait_until_ready(lab, [node])
    elif action in ("pause", "unpause"):
        podman(action, container)
    elif action == "reboot":
        forget_connections(lab, [node])
        before = podman("inspect", "--format", "{{.State.StartedAt}}", container)
        run(["podman", "exec", container, "systemctl", "reboot"], check=False)
        _wait_for_restart(lab, node, before)
    elif action == "crash":
        forget_connections(lab, [node])
        before = podman("inspect", "--format", "{{.State.StartedAt}}", container)
        run(["kill", "-9", podman("inspect", "--format", "{{.State.Pid}}", container)])
        _wait_for_restart(lab, node, before)
    elif side is not None:
        link = _veth(lab, node, side)
        change = {
            "cut": ["nomaster"],  # the carrier stays: nobody is told
            "heal": ["master", _bridge(lab, side)],
            "link-down": ["down"],
            "link-up": ["up"],
        }[action]
        run(["ip", "link", "set", "dev", link, *change])
    say(f"{action} {node}{f' {side}' if side else ''}: done")


def _wait_for_restart(lab: Lab, node: str, before: str) -> None:
    container = lab.container(node)
    wait_for(f"{node} to start again", lambda: podman("inspect", "--format", "{{.State.StartedAt}}", container, check=False) != before)
    wait_until_ready(lab, [node])
