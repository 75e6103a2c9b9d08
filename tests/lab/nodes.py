"""Nodes, networks and volumes of one lab."""

from __future__ import annotations

import hashlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import image
import runtime
from shell import LABEL, ROOT, STATE, LabError, podman, run, say, step, wait_for

HOSTS = {"server1": 11, "server2": 12, "client": 13}
# network: (third octet, interface in the node)
NETWORKS = {"outside": (10, "eth0"), "inside": (20, "eth1"), "management": (30, "eth2")}


@dataclass(frozen=True)
class Lab:
    """One lab: its name keeps it apart from others, its octet its addresses."""

    name: str
    net: int

    @property
    def directory(self) -> Path:
        """Keys, secrets and the pair's CA of this lab."""
        return STATE / self.name

    def container(self, node: str) -> str:
        """Name podman knows the node by."""
        return f"tandem-{self.name}-{node}"

    def network(self, side: str) -> str:
        """Name podman knows the network by."""
        return f"tandem-{self.name}-{side}"

    def address(self, node: str, side: str) -> str:
        """Address of a node on one network."""
        return f"10.{self.net}.{NETWORKS[side][0]}.{HOSTS[node]}"

    def networks_of(self, node: str) -> tuple[str, ...]:
        """The client knows nothing of the inside network."""
        return tuple(side for side in NETWORKS if node != "client" or side != "inside")


def state(lab: Lab, node: str) -> str:
    """running, exited, paused, ..., or absent."""
    done = run(["podman", "inspect", "--type", "container", "--format", "{{.State.Status}}", lab.container(node)], check=False)
    return done.stdout.strip() if done.returncode == 0 else "absent"


def _create_networks(lab: Lab) -> None:
    known = set(podman("network", "ls", "--format", "{{.Name}}").split())
    for side, (octet, _interface) in NETWORKS.items():
        if lab.network(side) in known:
            continue
        prefix = f"10.{lab.net}.{octet}"
        internal = [] if side == "outside" else ["--internal"]
        podman(
            *("network", "create", "--label", f"{LABEL}={lab.name}", "--subnet", f"{prefix}.0/24", "--gateway", f"{prefix}.1"),
            *("--disable-dns", *internal, lab.network(side)),
        )


def _create_node(lab: Lab, node: str, image_name: str) -> None:
    networks: list[str] = []
    for side in lab.networks_of(node):
        octet, interface = NETWORKS[side]
        # A fixed MAC: otherwise each restart gets another one and neighbours lose seconds to a stale ARP entry.
        mac = f"02:{lab.net:02x}:{octet:02x}:00:00:{HOSTS[node]:02x}"
        networks += ["--network", f"{lab.network(side)}:ip={lab.address(node, side)},mac={mac},interface_name={interface}"]
    volume = [] if node == "client" else ["--volume", f"tandem-{lab.name}-{node}-db:/var/lib/mysql"]
    if volume:
        podman("volume", "create", "--label", f"{LABEL}={lab.name}", f"tandem-{lab.name}-{node}-db", check=False)
    real_time = [] if node == "client" else runtime.real_time()
    podman(
        *("create", "--name", lab.container(node), "--hostname", node, "--label", f"{LABEL}={lab.name}"),
        *("--systemd=always", "--restart=always", "--no-hosts", "--dns-opt", "timeout:1", "--dns-opt", "attempts:2"),
        # Where podman confines containers by AppArmor, nothing in them may mount or set a kernel parameter. Elsewhere it says nothing.
        *("--security-opt", "apparmor=unconfined", "--security-opt", "unmask=/proc/sys"),
        *("--cap-add", "NET_ADMIN,NET_RAW,SYS_ADMIN,SYS_NICE", *real_time, *volume, *networks, image_name),
    )


def _is_booted(lab: Lab, node: str) -> bool:
    done = run(["podman", "exec", lab.container(node), "systemctl", "is-system-running"], check=False)
    return done.stdout.strip() in ("running", "degraded")


def _ssh_answers(lab: Lab, node: str) -> bool:
    try:
        with socket.create_connection((lab.address(node, "management"), 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def _pin_bridges(lab: Lab) -> None:
    """A bridge takes its MAC from its ports, so the death of a node would change the gateway's: set it, and it stays."""
    for side in NETWORKS:
        bridge = json.loads(podman("network", "inspect", lab.network(side)))[0]["network_interface"]
        address = Path("/sys/class/net", bridge, "address")
        if address.exists():
            run(["ip", "link", "set", "dev", bridge, "address", address.read_text().strip()])


def wait_until_ready(lab: Lab, nodes: Iterable[str]) -> None:
    """Wait until systemd is through with booting and sshd answers."""
    _pin_bridges(lab)
    for node in nodes:
        wait_for(f"{node} to boot", lambda node=node: _is_booted(lab, node), 180)  # type: ignore[misc]
        wait_for(f"sshd of {node} to answer", lambda node=node: _ssh_answers(lab, node))  # type: ignore[misc]
        failed = podman("exec", lab.container(node), "systemctl", "list-units", "--failed", "--plain", "--no-legend", check=False)
        for unit in failed.splitlines():
            say(f"{node}: failed unit: {unit.split()[0]}")


def _give_access(lab: Lab, nodes: Iterable[str]) -> None:
    """Our key into the nodes, their host keys (read over podman, not trusted on first use) into known_hosts."""
    directory = lab.directory / "ssh"
    directory.mkdir(parents=True, exist_ok=True)
    lab.directory.chmod(0o700)
    key = directory / "id_ed25519"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", f"lab {lab.name}", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text(encoding="utf-8")
    for node in nodes:
        script = (
            "umask 077; mkdir -p /root/.ssh; touch /root/.ssh/authorized_keys; read -r key; "
            'grep -qxF "$key" /root/.ssh/authorized_keys || echo "$key" >> /root/.ssh/authorized_keys'
        )
        podman("exec", "-i", lab.container(node), "sh", "-c", script, stdin=public)
    lines = []
    for node in HOSTS:
        if state(lab, node) == "running":
            host_key = podman("exec", lab.container(node), "cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()[:2]
            lines.append(f"{lab.address(node, 'management')} {' '.join(host_key)}\n")
    (directory / "known_hosts").write_text("".join(lines), encoding="utf-8")


def forget_connections(lab: Lab, nodes: Iterable[str]) -> None:
    """End ssh connections that Ansible kept open: after a restart they would hang until they time out."""
    for node in nodes:
        address = lab.address(node, "management")
        for port in ("None", "22"):
            path = Path.home() / ".ansible" / "cp" / hashlib.sha1(f"{address}-{port}-root".encode()).hexdigest()[:10]
            if path.exists():
                subprocess.run(["ssh", "-O", "exit", "-o", f"ControlPath={path}", address], capture_output=True, timeout=10, check=False)


def up(lab: Lab, distro: str, nodes: Iterable[str]) -> None:
    """Make what is missing, start what is stopped, leave what runs."""
    nodes = list(nodes)
    states = {node: state(lab, node) for node in nodes}
    if "absent" in states.values():
        image_name = image.ensure(distro)
        _create_networks(lab)
        for node in nodes:
            if states[node] == "absent":
                _create_node(lab, node, image_name)
    stopped = [node for node in nodes if states[node] != "running"]
    if stopped:
        runtime.make_room()
        with step(f"starting {', '.join(stopped)}"):
            forget_connections(lab, stopped)
            for node in stopped:
                podman("unpause" if states[node] == "paused" else "start", lab.container(node))
            wait_until_ready(lab, nodes)
    else:
        wait_until_ready(lab, nodes)
        say(f"{', '.join(nodes)} already running")
    _give_access(lab, nodes)


def stop(lab: Lab) -> None:
    """Stop the nodes but keep them."""
    for node in HOSTS:
        if state(lab, node) not in ("absent", "exited", "created"):
            podman("stop", "--time", "20", lab.container(node), check=False)
    say(f"lab {lab.name} is stopped; up starts it again")


def remove(name: str) -> None:
    """Remove nodes, volumes, networks and keys of one lab."""
    label = f"label={LABEL}={name}"
    for container in podman("ps", "--all", "--quiet", "--filter", label).split():
        podman("rm", "--force", "--time", "0", "--volumes", container, check=False)
    for volume in podman("volume", "ls", "--quiet", "--filter", label).split():
        podman("volume", "rm", "--force", volume, check=False)
    for network in podman("network", "ls", "--quiet", "--filter", label).split():
        podman("network", "rm", "--force", network, check=False)
    shutil.rmtree(STATE / name, ignore_errors=True)


def save_logs(lab: Lab) -> None:
    """The nodes' journals into .cache/lab: after a failed test the nodes are gone."""
    directory = ROOT / ".cache" / "lab"
    directory.mkdir(parents=True, exist_ok=True)
    for node in HOSTS:
        if state(lab, node) == "running":
            journal = podman("exec", lab.container(node), "journalctl", "--no-pager", "--output=short-precise", check=False)
            (directory / f"{lab.name}-{node}.log").write_text(journal + "\n", encoding="utf-8")
            say(f"journal of {node} is in .cache/lab/{lab.name}-{node}.log")


def labs() -> list[str]:
    """Names of the labs of this checkout that left something on this machine."""
    found: set[str] = set()
    for what in ("container", "volume", "network"):
        everything = ["--all"] if what == "container" else []
        for labels in json.loads(podman(what, "ls", *everything, "--filter", f"label={LABEL}", "--format", "json") or "[]"):
            found.add((labels.get("Labels") or labels.get("labels") or {}).get(LABEL, "image"))
    return sorted(name for name in found - {"image"} if (STATE / name).is_dir())


def status(lab: Lab) -> list[dict[str, str]]:
    """What is there, one row for each node."""
    rows = []
    for node in HOSTS:
        now = state(lab, node)
        row = {"node": node, "state": now}
        if now != "absent":
            for side in lab.networks_of(node):
                row[side] = lab.address(node, side)
            details = json.loads(podman("inspect", "--type", "container", lab.container(node)))[0]
            row["image"] = details["ImageName"].rpartition(":")[2]
        rows.append(row)
    return rows


def require(lab: Lab, node: str) -> str:
    """The container's name, or an error that says what to do."""
    if node not in HOSTS:
        raise LabError(f"there is no node {node}: it is one of {', '.join(HOSTS)}")
    if state(lab, node) == "absent":
        raise LabError(f"{node} of lab {lab.name} does not exist: run lab.py --name {lab.name} up")
    return lab.container(node)
