# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Small talks with systemd and the file system."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import typing as t

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
            LOG.error("cannot write %s: %s", self._path, error)
            return False
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

    def trust(self, references: t.Iterable[str]) -> None:
        if set(references) <= self.trusted:
            return
        self.trusted |= set(references)
        temporary = f"{self._path}.new"
        try:
            with open(temporary, "w", encoding="utf-8") as handle:
                json.dump({"trusted_references": sorted(self.trusted)}, handle)
            os.replace(temporary, self._path)
        except OSError as error:
            LOG.warning("cannot write %s: %s", self._path, error)


def carrier(interface: str) -> bool | None:
    """None: no such interface."""
    try:
        with open(f"/sys/class/net/{interface}/carrier", "rb") as handle:
            return handle.read(1) == b"1"
    except FileNotFoundError:
        return None
    except OSError:  # EINVAL: the interface is administratively down
        return False


def process_of(pid_file: str, name: str) -> int | None:
    """The process a pid file names, if it lives and is what it should be."""
    try:
        with open(pid_file, encoding="ascii", errors="replace") as handle:
            pid = int(handle.read(20).strip())
        with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as handle:
            return pid if handle.read(64).strip() == name else None
    except (OSError, ValueError):
        return None
