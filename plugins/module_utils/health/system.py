# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small talks with systemd and the file system."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import time

LOG = logging.getLogger("tandem.health")


def notify(message: str) -> None:
    """sd_notify: tell systemd how we are; nothing happens when nobody listens."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return
    if path.startswith("@"):
        path = "\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock, contextlib.suppress(OSError):
        sock.connect(path)
        sock.send(message.encode())


class Readiness:
    """What whoever restarts one node after the other waits for. It is told once, after within seconds in any case."""

    def __init__(self, within: float) -> None:
        self._until, self._told = time.monotonic() + within, False

    def look(self, ready: bool) -> None:
        if not self._told and (ready or time.monotonic() >= self._until):
            self._told = True
            notify("READY=1")


def inherited_sockets() -> list[socket.socket]:
    """Listening sockets of tandem-health.socket: they outlive a restart, so checks wait instead of failing."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=descriptor) for descriptor in range(3, 3 + count)]


class FaultFile:
    """The file keepalived tracks: 0 = may hold the addresses, 1 = must not.

    Written in place, both values are of one size: keepalived's inotify never sees it missing or empty.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._complaint = ""
        self.value = self._read()

    def _read(self) -> bool:
        try:
            with open(self._path, encoding="ascii", errors="replace") as handle:
                return handle.read(8).strip() not in ("", "0")
        except OSError:
            return False

    def write(self, fault: bool) -> bool:
        """True when it is on disk."""
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                os.pwrite(descriptor, b"1\n" if fault else b"0\n", 0)
                os.ftruncate(descriptor, 2)
            finally:
                os.close(descriptor)
        except OSError as error:
            if str(error) != self._complaint:
                LOG.error("cannot write %s: %s", self._path, error)
            self._complaint = str(error)
            return False
        self._complaint = ""
        self.value = fault
        return True

    def drifted(self) -> bool:
        """Somebody else changed or removed it."""
        return not os.path.exists(self._path) or self._read() != self.value


class Memory:
    """What must survive a restart of this daemon (not of the node): references that have answered once."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.trusted: set[str] = set()
        with contextlib.suppress(OSError, ValueError, TypeError), open(path, encoding="utf-8") as handle:
            self.trusted = set(json.load(handle)["trusted_references"])

    def trust(self, reference: str) -> None:
        if reference in self.trusted:
            return
        self.trusted.add(reference)
        temporary = f"{self._path}.new"
        try:
            with open(temporary, "w", encoding="utf-8") as handle:
                json.dump({"trusted_references": sorted(self.trusted)}, handle)
            os.replace(temporary, self._path)
        except OSError as error:
            LOG.warning("cannot write %s: %s", self._path, error)


class Carrier:
    """Whether an interface has a link. The file stays open: this is asked many times a second."""

    def __init__(self, interface: str) -> None:
        self._path = f"/sys/class/net/{interface}/carrier"
        self._descriptor: int | None = None

    def __call__(self) -> bool | None:
        """None: no such interface."""
        for _attempt in range(2):  # an interface that was removed and came back needs its file opened again
            try:
                if self._descriptor is None:
                    self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                return os.pread(self._descriptor, 1, 0) == b"1"
            except FileNotFoundError:
                return None
            except OSError as error:
                if error.errno == errno.EINVAL:  # administratively down
                    return False
                self.close()
        return None

    def close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def process_of(pid_file: str, name: str) -> int | None:
    """The process a pid file names, if it lives and is what it should be."""
    try:
        with open(pid_file, encoding="ascii", errors="replace") as handle:
            pid = int(handle.read(20).strip())
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as handle:
            return pid if handle.read(64).strip() == name else None
    except (OSError, ValueError):
        return None
