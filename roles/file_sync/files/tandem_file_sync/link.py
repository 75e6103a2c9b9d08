# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The way to the peer: ssh with the job's own key and a pinned host key."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

from .job import KNOWN_HOSTS, Job, Stop
from .state import write_atomically

REFUSAL = "tandem-file-sync: refused: "
_LOOK_SECONDS = 2

_CONFIG = """\
Host peer
    HostName {peer_address}
    HostKeyAlias {peer}
    Port {port}
    User {user}
    BindAddress {address}
    IdentityFile {key}
    IdentitiesOnly yes
    UserKnownHostsFile {known_hosts}
    GlobalKnownHostsFile /dev/null
    StrictHostKeyChecking yes
    BatchMode yes
    PreferredAuthentications publickey
    ConnectTimeout 5
    ServerAliveInterval 5
    ServerAliveCountMax 3
    ControlMaster no
    ForwardAgent no
    LogLevel ERROR
"""


def ssh_config(job: Job) -> Path:
    """Write the client configuration of this job and return its path."""
    path = job.private / "ssh_config"
    text = _CONFIG.format(
        peer_address=job.peer_address,
        peer=job.peer,
        port=job.ssh_port,
        user=job.user,
        address=job.address,
        key=job.private / "id_ed25519",
        known_hosts=KNOWN_HOSTS,
    )
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_atomically(path, text, 0o600)
    return path


def check_peer(job: Job) -> None:
    """Say "unreachable" in one sentence instead of a page of a tool's output."""
    try:
        socket.create_connection((job.peer_address, job.ssh_port), timeout=5).close()
    except OSError as error:
        raise Stop("unreachable", f"{job.peer} does not answer at {job.peer_address}: {error}") from None


def holds(address: str) -> bool:
    """Whether this node has the address now. A bind would lie: ip_nonlocal_bind is on."""
    found = subprocess.run(
        ["ip", "-json", "address", "show", "to", address], check=True, capture_output=True, text=True
    ).stdout
    return any(link.get("addr_info") for link in json.loads(found or "[]"))


def active(job: Job) -> bool:
    """Whether this node pushes (rsync). Without an active address it always does."""
    return not job.active_address or holds(job.active_address)


def talk(job: Job, words: list[str], as_active: bool, **more: Any) -> tuple[int, str, str]:
    """Run rsync to its end, or end it when the active address changes sides. Status, output, errors."""
    with subprocess.Popen(words, text=True, errors="surrogateescape", **more) as process:
        while True:
            try:
                output, errors = process.communicate(timeout=_LOOK_SECONDS)
                return process.returncode, output or "", errors or ""
            except subprocess.TimeoutExpired:
                if job.active_address and holds(job.active_address) != as_active:
                    process.terminate()
                    process.wait()
                    raise Stop("waiting" if as_active else "refused", f"{job.active_address} moved during the run, which was ended") from None
            except BaseException:
                process.kill()
                raise


def explain(output: str, peer: str) -> Stop:
    """Turn the output of a tool that failed into a result."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for line in lines:
        if REFUSAL in line:
            return Stop("refused", f"{peer}: {line.partition(REFUSAL)[2]}")
    for line in lines:
        if any(word in line.lower() for word in ("no space left", "disk quota", "read-only file system")):
            return Stop("error", line)
    lost = (
        "lost connection",
        "connection closed",
        "connection reset",
        "connection timed out",
        "connection unexpectedly",
        "no route to host",
        "broken pipe",
        "not responding",
        "connection refused",
    )
    for line in lines:
        if any(word in line.lower() for word in lost):
            return Stop("unreachable", f"the connection to {peer} was lost: {line}")
    return Stop("error", " / ".join(lines[-4:]) or "the tool failed without a word")
