# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a machine says about itself, read from the kernel and the distribution. Nothing is changed."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import pathlib
import re
import sys
from collections.abc import Callable
from typing import Any

RunCommand = Callable[[list[str]], tuple[int, str, str]]


def read(path: str) -> str:
    """Read a small file; an absent one is empty."""
    try:
        return pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def distribution() -> dict[str, str]:
    """Read name, version and title of the distribution."""
    fields = {}
    for line in read("/etc/os-release").splitlines():
        key, _equals, value = line.partition("=")
        fields[key] = value.strip("\"'")
    return {
        "distribution": fields.get("ID", ""),
        "distribution_version": fields.get("VERSION_ID", ""),
        "distribution_title": fields.get("PRETTY_NAME", ""),
    }


def memory_mb() -> int:
    """Read the size of the memory."""
    for line in read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return 0


def disk(path: str) -> dict[str, int]:
    """Measure the file system that holds a path, or would hold it once the path is made."""
    place = pathlib.Path(path)
    while not place.exists():
        place = place.parent
    size = os.statvfs(place)
    return {
        "device": os.stat(place).st_dev,
        "free_mb": size.f_bavail * size.f_frsize // 2**20,
        "total_mb": size.f_blocks * size.f_frsize // 2**20,
        "used_percent": round(100 * (size.f_blocks - size.f_bfree) / size.f_blocks) if size.f_blocks else 0,
    }


def machine_mark() -> str:
    """Tell machines apart without giving away the machine id, which is confidential."""
    identity = read("/etc/machine-id").strip()
    return hashlib.sha256(identity.encode()).hexdigest()[:16] if identity else ""


def interfaces(run: RunCommand) -> dict[str, dict[str, Any]]:
    """Read the interfaces: hardware address, IPv4 addresses with their prefixes, up or not."""
    code, out, _err = run(["ip", "-json", "address", "show"])
    if code != 0:
        return {}
    return {
        link["ifname"]: {
            "mac": link.get("address", ""),
            "up": "UP" in link.get("flags", []) and link.get("operstate") != "DOWN",
            "addresses": {
                entry["local"]: entry["prefixlen"]
                for entry in link.get("addr_info", [])
                if entry.get("family") == "inet" and "local" in entry
            },
        }
        for link in json.loads(out)
        if link.get("ifname")
    }


def packages_installed(run: RunCommand, names: list[str]) -> list[str]:
    """List those of some packages that are installed."""
    code, out, _err = run(["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\n", *names])
    if code not in (0, 1):
        return []
    return sorted(line.split()[1] for line in out.splitlines() if line.startswith("installed "))


def packages_available(run: RunCommand, names: list[str]) -> list[str] | None:
    """List those of some packages that can be installed; None when no package list was ever fetched."""
    if not glob.glob("/var/lib/apt/lists/*_Packages*"):
        return None
    code, out, _err = run(["apt-cache", "policy", *names])
    if code != 0:
        return None
    found, name = [], ""
    for line in out.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found.append(name)
    return sorted(found)


def upgrades_itself(run: RunCommand) -> bool:
    """True if the distribution installs updates when it pleases, and restarts what they belong to."""
    if "unattended-upgrades" not in packages_installed(run, ["unattended-upgrades"]):
        return False
    _code, configured, _err = run(["apt-config", "dump", "APT::Periodic::Unattended-Upgrade"])
    _code, timer, _err = run(["systemctl", "is-enabled", "apt-daily-upgrade.timer"])
    return timer.strip() == "enabled" and re.search(r'"(0|)";', configured) is None and bool(configured.strip())


def homes() -> dict[str, str]:
    """Read the homes of the machine's own accounts."""
    lines = [line.split(":") for line in read("/etc/passwd").splitlines()]
    return {fields[0]: fields[5] for fields in lines if len(fields) > 5}


def listeners(run: RunCommand) -> list[dict[str, Any]]:
    """List the TCP sockets that are listened on, with the names of their processes. Root sees all names."""
    code, out, _err = run(["ss", "-Hltnp"])
    found = []
    for fields in (line.split(None, 5) for line in out.splitlines() if code == 0):
        address, _colon, port = fields[3].rpartition(":")
        names = re.findall(r'\("([^"]+)",pid=', fields[5]) if len(fields) > 5 else []
        found.append({"address": address.strip("[]").partition("%")[0], "port": int(port), "processes": sorted(set(names))})
    return found


def atlas_units(directory: str = "/etc/systemd/system") -> list[str]:
    """Name the units of Atlas that role atlas has made, whether they run or not."""
    return [os.path.basename(path) for path in sorted(glob.glob(f"{directory}/atlas-*.service")) if "/bin/mysql-proxy " in read(path)]


def ssh_client() -> str:
    """Find the address that this session comes from. sudo drops the variable, so the callers are asked too."""
    process = os.getpid()
    while process > 1:
        for item in read(f"/proc/{process}/environ").split("\0"):
            if item.startswith("SSH_CONNECTION="):
                return item.partition("=")[2].partition(" ")[0]
        fields = read(f"/proc/{process}/stat").rpartition(")")[2].split()
        process = int(fields[1]) if len(fields) > 1 else 0
    return ""


def describe(run: RunCommand, disks: list[str], packages: list[str], files: list[str]) -> dict[str, Any]:
    """Gather everything the preflight judges, except who answers for addresses and what the time is."""
    return {
        **distribution(),
        "root": os.geteuid() == 0,
        "systemd": os.path.isdir("/run/systemd/system"),
        "python": list(sys.version_info[:3]),
        "memory_mb": memory_mb(),
        "disks": {path: disk(path) for path in disks},
        "machine": machine_mark(),
        "interfaces": interfaces(run),
        "packages_installed": packages_installed(run, packages),
        "packages_available": packages_available(run, packages),
        "upgrades_itself": upgrades_itself(run),
        "listeners": listeners(run),
        "atlas_units": atlas_units(),
        "homes": homes(),
        "files_missing": [path for path in files if not os.path.isfile(path)],
        "ssh_client": ssh_client(),
    }
