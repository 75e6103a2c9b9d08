# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real servers on loopback, started and ended by the tests: sshd with the forced command of roles/witness, and named."""

from __future__ import annotations

import base64
import contextlib
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import typing as t
from pathlib import Path

from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.rfc2136 import DnsSettings
from ansible_collections.tandem.lemp.plugins.module_utils.agent.witness.ssh import SshSettings

ROOT = Path(__file__).resolve().parents[4]
PROGRAM = ROOT / "roles" / "witness" / "files" / "tandem-witness.sh"
_PATH = os.pathsep.join([os.environ["PATH"], "/usr/sbin", "/sbin"])


def program(name: str) -> str:
    """Raises RuntimeError: a test that needs it must not be left out in silence."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        raise RuntimeError(f"{name} is not installed: run tests/ci/setup.sh packages")
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_for(what: t.Callable[[], bool], seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, "it took too long"
        time.sleep(0.02)


def answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
        return True
    return False


def children(pid: int) -> list[int]:
    """That process and all below it."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text(encoding="ascii").split():
            found += children(int(child))
    return found


def stopped(pid: int) -> bool:
    """All its threads are. See proc_pid_stat(5): the state is behind the name, which may hold anything."""
    states = [task.read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()[0] for task in Path(f"/proc/{pid}/task").glob("*/stat")]
    return all(state == "T" for state in states)


class Server:
    """A process on a port."""

    port: int
    process: subprocess.Popen[bytes]

    def signal_all(self, number: signal.Signals, but_itself: bool = False) -> None:
        for pid in children(self.process.pid)[1 if but_itself else 0 :]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def freeze(self) -> None:
        """SIGSTOP for all, and wait: a thread that runs on another processor stops a moment later."""
        self.signal_all(signal.SIGSTOP)
        wait_for(lambda: all(stopped(pid) for pid in children(self.process.pid)))

    def stop(self) -> None:
        self.signal_all(signal.SIGKILL)
        self.process.wait(10)


class Sshd(Server):
    """names: the nodes that may ask, each with a key of its own. command: as in authorized_keys, NODE and DIRECTORY are replaced."""

    def __init__(self, directory: Path, names: t.Sequence[str], command: str = f"{PROGRAM} NODE DIRECTORY") -> None:
        self.directory, self.port = directory, free_port()
        self.lease = directory / "lease"
        self.lease.mkdir()
        lines = []
        for name in ("host", "stranger", *names):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(directory / name)], check=True, stdin=subprocess.DEVNULL)
        for name in names:
            forced = command.replace("NODE", name).replace("DIRECTORY", str(self.lease))
            lines.append(f'restrict,command="{forced}" {self.public(name)}')
        (directory / "authorized_keys").write_text("\n".join(lines) + "\n", encoding="ascii")
        self.known_hosts = directory / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.public('host')}\n", encoding="ascii")
        (directory / "sshd_config").write_text(
            f"Port {self.port}\nListenAddress 127.0.0.1\nHostKey {directory / 'host'}\nAuthorizedKeysFile {directory / 'authorized_keys'}\n"
            # No start-up file of the user who runs the tests is read: what a test kills there could stay locked.
            f"SetEnv HOME={directory} SHLVL=2\n"
            "StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nMaxStartups 100\nPasswordAuthentication no\n",
            encoding="ascii",
        )
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        self.start()

    def public(self, name: str) -> str:
        return (self.directory / f"{name}.pub").read_text(encoding="ascii").strip()

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            words = [program("sshd"), "-D", "-e", "-f", str(self.directory / "sshd_config")]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: answers(self.port))

    def settings(self, name: str) -> SshSettings:
        key = str(self.directory / name)
        return SshSettings("127.0.0.1", self.port, getpass.getuser(), key, str(self.known_hosts), program("ssh"))


class Named(Server):
    """A primary server of lease.test with a key that may change one record, and one that may change nothing."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.secret = base64.b64encode(os.urandom(32)).decode()
        # A copy: where AppArmor knows named by its path, it may not read a test's directory.
        self.program = shutil.copy(program("named"), directory / "named")
        keys = "".join(f'key "{name}" {{ algorithm hmac-sha256; secret "{self.secret}"; }};\n' for name in ("pair", "guest"))
        (directory / "named.conf").write_text(
            f'options {{ directory "{directory}"; listen-on port {self.port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; pid-file none;\n'
            f' session-keyfile "{directory}/session.key"; managed-keys-directory "{directory}"; lock-file none;\n'
            " recursion no; dnssec-validation no; notify no; };\n"
            f'controls {{ }};\n{keys}zone "lease.test" {{ type primary; file "lease.test.zone";\n'
            ' allow-query { key "pair"; key "guest"; }; update-policy { grant "pair" name pair.lease.test. TXT; }; };\n',
            encoding="ascii",
        )
        (directory / "lease.test.zone").write_text("$TTL 60\n@ SOA ns.lease.test. root.lease.test. 1 60 60 60 0\n@ NS ns\nns A 127.0.0.1\n", encoding="ascii")
        self.start()

    def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            words = [str(self.program), "-g", "-n", "1", "-c", str(self.directory / "named.conf")]
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_for(lambda: answers(self.port))

    def settings(self, secret: str = "", key: str = "pair", zone: str = "lease.test", record: str = "pair", port: int = 0) -> DnsSettings:
        file = self.directory / f"key.{abs(hash(secret))}"
        file.write_text((secret or self.secret) + "\n", encoding="ascii")
        return DnsSettings("127.0.0.1", port or self.port, zone, record, key, "hmac-sha256", str(file))


class Says(Server):
    """Answers whatever it is asked by TCP with the same bytes."""

    def __init__(self, what: bytes) -> None:
        code = (
            "import socket, sys\nserver = socket.create_server(('127.0.0.1', int(sys.argv[1])))\n"
            "while True:\n    line = server.accept()[0]\n    line.recv(4096)\n    line.sendall(bytes.fromhex(sys.argv[2]))\n    line.close()\n"
        )
        self.port = free_port()
        words = shlex.split("python3 -I -c") + [code, str(self.port), what.hex()]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL)
        wait_for(lambda: answers(self.port))
