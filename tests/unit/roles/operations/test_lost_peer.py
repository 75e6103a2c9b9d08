# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real sshd with the role's settings: a peer that says nothing any more, as one without power, loses its hand."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import jinja2
import pytest
import yaml
from ansible.parsing.dataloader import DataLoader

ROLE = Path(__file__).resolve().parents[4] / "roles" / "operations"
TEMPLATE = "etc/ssh/sshd_config.d/60-tandem-operations.conf"
SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def settings(user: str) -> str:
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined)
    environment.filters["comment"] = "# {}".format
    text = (ROLE / "templates" / f"{TEMPLATE}.j2").read_text(encoding="utf-8")
    return environment.from_string(text).render(ansible_managed="managed", __operations_user=user)


def wait_for(what: Callable[[], bool], seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, f"not within {seconds:g} s"
        time.sleep(0.05)


def answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 0.2).close()
    except OSError:
        return False
    return True


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """An sshd that runs, in place of the hand, what ends with its line and says so."""
    assert SSHD is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = int(taken.getsockname()[1])
    for name in ("host", "key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True, stdin=subprocess.DEVNULL)
    hand = f"echo ready; cat > {tmp_path}/heard; echo > {tmp_path}/ended"
    (tmp_path / "admitted").write_text(f'restrict,command="{hand}" {(tmp_path / "key.pub").read_text()}', encoding="ascii")
    (tmp_path / "config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/admitted\nSetEnv HOME={tmp_path} SHLVL=2\n"
        f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nPasswordAuthentication no\n{settings(getpass.getuser())}",
        encoding="utf-8",
    )
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    server = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "config")], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: answers(port), 30)
        yield port
    finally:
        server.terminate()
        server.wait(10)


def test_its_hand_ends_soon_but_not_at_once(tmp_path: Path, port: int) -> None:
    options = [f"Port={port}", "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", f"IdentityFile={tmp_path}/key"]
    argv = ["ssh", "-q", "-T", "-F", "/dev/null", *(part for option in options for part in ("-o", option)), f"{getpass.getuser()}@127.0.0.1", "hand"]
    client = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        client.send_signal(signal.SIGSTOP)
        silent = time.monotonic()
        wait_for((tmp_path / "ended").exists, 40)
        # Longer than a virtual machine stands still, and than the peer itself waits (ServerAlive of hand/client.py).
        assert time.monotonic() - silent > 6
    finally:
        client.kill()
        client.wait(10)


def test_sshd_is_told_of_them_once_they_are_good() -> None:
    (entry,) = (each for each in yaml.safe_load((ROLE / "vars" / "main.yml").read_text())["__operations_entries"] if TEMPLATE in each.get("content", ""))
    assert entry["validate"] == "/usr/sbin/sshd -t -f %s"
    (task,) = (each for each in DataLoader().load_from_file(str(ROLE / "tasks" / "main.yml")) if "tandem.lemp.files" in each)
    known = {each["name"] for each in DataLoader().load_from_file(str(ROLE / "handlers" / "main.yml"))}
    assert set(task["notify"]) == known
