# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other end of a hand: a process here, or one on the peer by ssh."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import time
import typing as t

from .. import errors
from ..errors import OperationFailed, Refused, TandemError, Unreachable
from .config import PROTOCOL, Side

COMMAND = "/usr/local/sbin/tandem-hand"
_KEY = "/etc/tandem/ssh/hand"
_KNOWN_HOSTS = "/etc/tandem/ssh/hand_known_hosts"
_USER = "tandem-hand"
# Seconds.
_CONNECT = 10.0
_ANSWER = 30.0
_HEARD = 0.1


def local_command() -> list[str]:
    return [COMMAND]


def peer_command(peer: Side) -> list[str]:
    """The key is good for one command there: the hand."""
    options = {
        "BatchMode": "yes",
        "ConnectTimeout": "5",
        "HostKeyAlias": peer.address,  # the same line of known hosts on any port
        "IdentitiesOnly": "yes",
        "Port": str(peer.ssh_port),
        "ServerAliveInterval": "1",
        "ServerAliveCountMax": "3",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": _KNOWN_HOSTS,
        "GlobalKnownHostsFile": "/dev/null",
    }
    said = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
    return ["ssh", "-T", "-F", "/dev/null", "-i", _KEY, *said, f"{_USER}@{peer.address}", "hand"]


class HandLost(Unreachable):
    """The hand does not answer any more. What it did last is not known here; it recovers by itself."""


class Line(t.Protocol):
    """What carries requests to a hand and answers back."""

    def write(self, data: bytes) -> None: ...
    def read(self) -> bytes: ...
    def fileno(self) -> int: ...
    def complaint(self) -> str: ...
    def close(self) -> None: ...


class ProcessLine:
    """A process: the hand itself, or ssh."""

    def __init__(self, argv: t.Sequence[str]) -> None:
        # A session of its own: what ends this process must not end the hand, which has to take back what was done.
        self._process = subprocess.Popen(
            list(argv), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )

    def write(self, data: bytes) -> None:
        stdin = t.cast("t.IO[bytes]", self._process.stdin)
        stdin.write(data)
        stdin.flush()

    def read(self) -> bytes:
        return os.read(self.fileno(), 65536)

    def fileno(self) -> int:
        return t.cast("t.IO[bytes]", self._process.stdout).fileno()

    def complaint(self) -> str:
        """What it said on its way out."""
        errors_of = t.cast("t.IO[bytes]", self._process.stderr)
        if self._process.poll() is None and not select.select([errors_of], [], [], 0)[0]:
            return ""
        return os.read(errors_of.fileno(), 2000).decode(errors="replace").strip().replace("\n", " ")

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            if pipe is not None:
                try:
                    pipe.close()
                except OSError:
                    continue
        try:
            self._process.wait(0.2)
        except subprocess.TimeoutExpired:
            return


class SocketLine:
    """A socket of systemd, which starts the hand (or ssh) for whoever may connect. Raises HandLost if it does not listen."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(_ANSWER)
        try:
            self._socket.connect(path)
        except OSError as error:
            self._socket.close()
            raise HandLost(f"{path}: {error.strerror or error}.", "Was playbooks/operations.yml run?") from None

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionError:
            return b""

    def fileno(self) -> int:
        return self._socket.fileno()

    def complaint(self) -> str:
        return ""

    def close(self) -> None:
        self._socket.close()


class HandClient:
    """Requests to one node.

    Raises HandLost when the line is broken or silent, and whatever TandemError the node itself raised. A silent one may still answer,
    and that would be taken for the answer to something else: so the line is closed, and nothing is asked any more.
    """

    def __init__(self, name: str, line: t.Sequence[str] | Line) -> None:
        self.name = name
        self._line: Line = ProcessLine(line) if isinstance(line, (list, tuple)) else t.cast(Line, line)
        self._received = b""
        self._lost_by = ""

    def greet(self, same: bool = True) -> dict[str, t.Any]:
        """Wait until it is there, and (same) see that it speaks the same. Raises Refused if it does not."""
        self.send("hello")
        seen = self.receive(_CONNECT)
        if same and seen["protocol"] != PROTOCOL:
            raise Refused(
                f"{self.name} has another version of the collection (protocol {seen['protocol']}, here {PROTOCOL}).",
                "Run playbooks/operations.yml on both nodes.",
            )
        return t.cast("dict[str, t.Any]", seen)

    def call(self, what: str, timeout: float = _ANSWER, **arguments: t.Any) -> t.Any:
        """Ask, and wait for the answer."""
        self.send(what, **arguments)
        return self.receive(timeout)

    def send(self, what: str, **arguments: t.Any) -> None:
        """Ask, without waiting: the other node can work meanwhile."""
        self._require_line()
        line = json.dumps({"do": what, "with": arguments}, separators=(",", ":")) + "\n"
        try:
            self._line.write(line.encode())
        except (OSError, ValueError):
            raise self._lost("is gone") from None

    def receive(self, timeout: float = _ANSWER) -> t.Any:
        """The answer to the oldest request that has none."""
        self._require_line()
        deadline = time.monotonic() + timeout
        while b"\n" not in self._received:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._line.fileno()], [], [], left)[0]:
                raise self._lost(f"has not answered for {timeout:g} s")
            part = self._line.read()
            if not part:
                raise self._lost("has ended")
            self._received += part
        line, _newline, self._received = self._received.partition(b"\n")
        try:
            reply = json.loads(line)
        except ValueError:
            raise self._lost(f"says something else than an answer: {line[:80]!r}") from None
        if reply["ok"]:
            return reply["value"]
        kind = getattr(errors, str(reply["kind"]), None)
        if not (isinstance(kind, type) and issubclass(kind, TandemError)) or kind is errors.StatementFailed:
            kind = OperationFailed
        message = str(reply["message"])
        raise kind(message if self.name in message else f"{self.name}: {message}", reply["remedy"])

    def _require_line(self) -> None:
        if self._lost_by:
            raise HandLost(
                f"The hand on {self.name} was lost before, as it {self._lost_by}. What it had begun it brings to an end by itself.",
                "See playbooks/status.yml.",
            )

    def _lost(self, why: str) -> HandLost:
        said = self._line.complaint()
        self._lost_by = why
        self._line.close()
        return HandLost(f"The hand on {self.name} {why}{': ' + said if said else ''}.", "Is the node up, and was playbooks/operations.yml run?")

    def close(self) -> None:
        """Break the line. A hand whose operation has not ended recovers its node."""
        self._line.close()


def both(first: HandClient, second: HandClient, what: str, timeout: float = _ANSWER, **arguments: t.Any) -> tuple[t.Any, t.Any]:
    """The same on both nodes at the same time. If one of them fails, the other one is still asked, and waited for."""
    failed: TandemError | None = None
    asked = []
    for hand in (first, second):
        try:
            hand.send(what, **arguments)
            asked.append(hand)
        except TandemError as error:
            failed = failed or error
    answers = []
    until = time.monotonic() + timeout
    for hand in asked:
        try:
            # Also when the first one was silent all the time: what the second one has said by then is heard.
            answers.append(hand.receive(max(_HEARD, until - time.monotonic())))
        except TandemError as error:
            failed = failed or error
    if failed is not None:
        raise failed
    return answers[0], answers[1]
