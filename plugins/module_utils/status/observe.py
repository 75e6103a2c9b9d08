# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks at one node: addresses, services, health, proxies, web, file jobs, disks. Reads only; what it cannot see is None."""

from __future__ import annotations

import csv
import http.client
import io
import json
import os
import pathlib
import socket
import time
from typing import Any

from ..atlas.admin import Admin
from ..atlas.wire import Endpoint
from ..errors import TandemError
from ..fence.record import Record
from ..machine import RunCommand, disk, interfaces, read

SERVICES = {
    "nginx": ("nginx.service",),
    "php-fpm": ("php*-fpm.service",),
    "database": ("mariadb.service", "mysql.service", "mysqld.service"),
    "haproxy": ("haproxy.service",),
    "atlas": ("atlas-*.service",),
    "keepalived": ("keepalived.service",),
    "tandem-health": ("tandem-health.service",),
}
TIMEOUT = 3.0


def why(error: Exception) -> str:
    """Say what an exception says, without its number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def uptime() -> float:
    """Return the seconds since process 1 started: in a container the kernel's own figure would be its host's."""
    now = float(read("/proc/uptime").partition(" ")[0] or 0)
    fields = read("/proc/1/stat").rpartition(")")[2].split()
    return round(now - int(fields[19]) / os.sysconf("SC_CLK_TCK"), 1) if len(fields) > 19 else now


def services(run: RunCommand) -> dict[str, str]:
    """Read how each service of the pair is: active, failed, inactive, or absent when it is not installed."""
    found = dict.fromkeys(SERVICES, "absent")
    for name, patterns in SERVICES.items():
        code, out, _err = run(["systemctl", "show", "--property=Id,LoadState,ActiveState", *patterns])
        if code != 0:
            continue
        units = [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in out.split("\n\n")]
        states = {unit["Id"]: unit["ActiveState"] for unit in units if unit.get("LoadState") in ("loaded", "masked")}
        if states:
            found[name] = next((state for state in states.values() if state == "active"), next(iter(states.values())))
    return found


def fetch(url_path: str, port: int) -> tuple[int, str]:
    """Ask a local HTTP service."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("GET", url_path)
        answer = connection.getresponse()
        return answer.status, answer.read(2**20).decode("utf-8", "replace")
    finally:
        connection.close()


def health(port: int) -> dict[str, Any]:
    """Read what the health daemon says, or why it says nothing."""
    try:
        code, body = fetch("/status.json", port)
        said = json.loads(body) if code == 200 else None
    except (OSError, http.client.HTTPException, ValueError) as error:
        return {"answers": False, "reason": why(error), "said": None}
    if not isinstance(said, dict):
        return {"answers": False, "reason": f"HTTP {code}", "said": None}
    return {"answers": True, "reason": "", "said": said}


def web(path: str, port: int = 80) -> dict[str, Any]:
    """Ask the web server of this node."""
    started = time.monotonic()
    try:
        code, _body = fetch(path, port)
    except (OSError, http.client.HTTPException) as error:
        return {"answers": False, "code": None, "milliseconds": None, "reason": why(error)}
    spent = round(1000 * (time.monotonic() - started), 1)
    return {
        "answers": code == 200,
        "code": code,
        "milliseconds": spent,
        "reason": "" if code == 200 else f"HTTP {code}",
    }


def proxy(path: str) -> dict[str, dict[str, Any]] | None:
    """Read from the socket of HAProxy where each backend leads; None when it does not answer."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(TIMEOUT)
            link.connect(path)
            link.sendall(b"show stat\n")
            said = b""
            while chunk := link.recv(65536):
                said += chunk
    except OSError:
        return None
    return proxy_backends(said.decode("utf-8", "replace"))


def proxy_backends(table: str) -> dict[str, dict[str, Any]]:
    """Read the table that HAProxy prints. A backend leads to its servers that are up, or else to its first spare one."""
    found: dict[str, dict[str, Any]] = {}
    spares: dict[str, list[str]] = {}
    for row in csv.DictReader(io.StringIO(table.removeprefix("# "))):
        server, backend = row.get("svname"), row.get("pxname") or ""
        if server in (None, "FRONTEND", "BACKEND"):
            continue
        how = row["status"].partition(" ")[0]
        entry = found.setdefault(backend, {"leads_to": [], "servers": {}})
        entry["servers"][server] = how
        if how == "UP":
            (spares.setdefault(backend, []) if row.get("bck") == "1" else entry["leads_to"]).append(server)
    for backend, names in spares.items():
        if not found[backend]["leads_to"]:
            found[backend]["leads_to"] = names[:1]
    return found


def atlas(port: Endpoint | None) -> dict[str, Any] | None:
    """Read where the Atlas of this node sends writes and reads, or why it does not say so; None where there shall be none."""
    if port is None:
        return None
    try:
        with Admin(port) as admin:
            return {"backends": [backend.as_dict() for backend in admin.backends()], "reason": ""}
    except TandemError as error:
        return {"backends": [], "reason": str(error)}


def fences(record: Record) -> dict[str, bool]:
    """By what somebody keeps applications from writing here, and what of that had been open. A record that cannot be read names nothing."""
    try:
        return {driver: bool(changed.get("was_open")) for driver, changed in sorted(record.read().items())}
    except TandemError:
        return {}


def file_jobs(directory: str, configured: str = "/etc/tandem/file_sync/jobs") -> list[dict[str, Any]]:
    """Read what the last run of each file job left behind; a job that never ran yet has no result, one that is gone is left out."""
    jobs = []
    for path in sorted(pathlib.Path(directory).glob("*.json")):
        if pathlib.Path(configured).is_dir() and not (pathlib.Path(configured) / path.name).exists():
            continue
        try:
            job = json.loads(read(str(path)))
        except ValueError:
            job = None
        jobs.append({**(job if isinstance(job, dict) else {"result": "unreadable"}), "name": path.stem})
    return jobs


def addresses(run: RunCommand) -> list[str]:
    """List the IPv4 addresses that this node holds now."""
    return sorted(address for link in interfaces(run).values() for address in link["addresses"])


def node(run: RunCommand, settings: dict[str, Any]) -> dict[str, Any]:
    """Look at everything."""
    held = addresses(run)
    return {
        "time": round(time.time(), 3),
        "uptime": uptime(),
        "load": os.getloadavg()[0],
        "addresses": {name: address in held for name, address in settings["vips"].items()},
        "services": services(run),
        "health": health(settings["health_port"]),
        "web": web(settings["web_path"]),
        "proxy": proxy(settings["proxy_socket"]),
        "atlas": atlas(settings.get("atlas")),
        "fences": fences(Record()),
        "files": file_jobs(settings["file_state"]),
        "disks": {path: disk(path) for path in settings["disks"]},
    }
