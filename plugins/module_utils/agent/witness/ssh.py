# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A witness behind ssh: a forced command on any third machine, which keeps one line in one file. See roles/witness.

One ssh process stays connected, and each question is a line. So a renewal costs what the way there and back costs.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import selectors
import subprocess
import time
import typing as t
from dataclasses import dataclass

from .register import Misconfigured, Unreachable

# Seconds: until it has introduced itself, and until it has answered a question.
CONNECT, ANSWER = 3.0, 1.0
_HELLO = "tandem-witness 1 "
_NOTHING = "-"
_LONGEST = 4096
# What ssh says when trying again is of no use until a person has mended something.
_FAULTS = (
    ("host key verification failed", "its host key is not the one that the inventory names (host_key)"),
    ("host identification has changed", "its host key is not the one that the inventory names (host_key)"),
    ("permission denied", "it does not accept this node's key (/etc/tandem/ssh/witness.pub)"),
    ("too many authentication failures", "it does not accept this node's key (/etc/tandem/ssh/witness.pub)"),
    ("load key", "the key of this node cannot be read"),
    ("identity file", "the key of this node cannot be read"),
    ("unable to negotiate", "it and this node have no method of encryption in common"),
    ("bad configuration option", "ssh does not know an option that is needed"),
)


@dataclass(frozen=True)
class SshSettings:
    """identity, known_hosts: paths. program: ssh itself."""

    host: str
    port: int
    user: str
    identity: str
    known_hosts: str
    program: str = "/usr/bin/ssh"

    def command(self, connect: float) -> list[str]:
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": str(max(1, round(connect))),
            "ControlPath": "none",
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
            "LogLevel": "ERROR",
            "PreferredAuthentications": "publickey",
            "ServerAliveCountMax": "2",
            "ServerAliveInterval": "5",
            "StrictHostKeyChecking": "yes",
            "UpdateHostKeys": "no",
            "UserKnownHostsFile": self.known_hosts,
        }
        words = [self.program, "-T", "-F", "/dev/null", "-i", self.identity, "-p", str(self.port), "-l", self.user]
        return [*words, *(word for name, value in options.items() for word in ("-o", f"{name}={value}")), "--", self.host]


class SshRegister:
    """A Register. See register.py."""

    def __init__(self, settings: SshSettings, node: str, connect: float = CONNECT, answer: float = ANSWER) -> None:
        self._settings, self._node, self._connect, self._answer = settings, node, connect, answer
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)
        self._rest = b""
        self._closed = False

    def read(self) -> str | None:
        return self._value(self._ask("get"))

    def swap(self, old: str | None, new: str) -> bool:
        words = self._ask("swap", _NOTHING if old is None else old, new)
        if words == ["done"]:
            return True
        self._value(words)
        return False

    def close(self) -> None:
        self._closed = True
        process = self._process
        if process is not None:
            process.kill()  # whoever waits for it sees its end, and tidies up

    def _value(self, words: list[str]) -> str | None:
        if len(words) == 2 and words[0] == "value":
            return None if words[1] == _NOTHING else words[1]
        raise self._nonsense(" ".join(words))

    def _ask(self, *words: str) -> list[str]:
        process = self._process or self._call()
        number = str(next(self._numbers))
        try:
            stdin = t.cast(t.IO[bytes], process.stdin)
            stdin.write(" ".join([number, *words]).encode() + b"\n")
            stdin.flush()
        except (OSError, ValueError):
            raise self._broken(process) from None
        answer = self._line(process, self._answer).split(" ")
        if answer[0] != number or len(answer) < 2:
            raise self._nonsense(" ".join(answer))
        if answer[1] == "error":
            self._hang_up()
            raise Misconfigured(f"its program says: {' '.join(answer[2:])}")
        return answer[1:]

    # The connection.

    def _call(self) -> subprocess.Popen[bytes]:
        """Raises WitnessError."""
        self._rest = b""
        try:
            process = subprocess.Popen(
                self._settings.command(self._connect), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd="/"
            )
        except OSError as error:
            raise Misconfigured(f"ssh cannot be started: {error}") from None
        self._process = process
        if self._closed:
            self._hang_up()
            raise Unreachable("given up")
        hello = self._line(process, self._connect)
        if hello != _HELLO + self._node:
            if hello.startswith(_HELLO):
                self._hang_up()
                raise Misconfigured(f"it takes this node's key for that of {hello.removeprefix(_HELLO)!r}: each node needs its own line there")
            if hello.startswith("0 error "):
                self._hang_up()
                raise Misconfigured(f"its program says: {hello.removeprefix('0 error ')}")
            raise self._nonsense(hello)
        return process

    def _line(self, process: subprocess.Popen[bytes], seconds: float) -> str:
        """The next line, in time, or WitnessError."""
        until = time.monotonic() + seconds
        out = t.cast(t.IO[bytes], process.stdout)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(out, selectors.EVENT_READ)
                while b"\n" not in self._rest:
                    if len(self._rest) > _LONGEST:
                        raise self._nonsense(self._rest.decode("ascii", "replace"))
                    if not selector.select(max(0.0, until - time.monotonic())):
                        self._hang_up()
                        raise Unreachable(f"no answer within {seconds:g} s")
                    came = os.read(out.fileno(), _LONGEST)
                    if not came:
                        raise self._broken(process)
                    self._rest += came
        except (OSError, ValueError):  # closed by another thread
            raise self._broken(process) from None
        line, _newline, self._rest = self._rest.partition(b"\n")
        return line.decode("ascii", "replace").rstrip("\r")

    def _broken(self, process: subprocess.Popen[bytes]) -> Unreachable | Misconfigured:
        """The process has ended, or is about to: why?"""
        said = b""
        with contextlib.suppress(OSError, ValueError, subprocess.TimeoutExpired):
            said = process.communicate(timeout=0.5)[1]
        self._hang_up()
        return reason(said.decode("utf-8", "replace"), process.returncode)

    def _nonsense(self, text: str) -> Misconfigured:
        self._hang_up()
        shown = re.sub(r"[^ -~]", "?", text)[:80]
        return Misconfigured(f"something else than the witness program answers: {shown!r}")

    def _hang_up(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        for pipe in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if pipe is not None:
                    pipe.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1.0)


def reason(said: str, code: int | None) -> Unreachable | Misconfigured:
    """What ssh's last words mean. code: its status; 255 is its own, any other that of the command there."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    for word, meaning in _FAULTS:
        if any(word in line.lower() for line in lines):
            return Misconfigured(meaning)
    last = re.sub(r"[^ -~]", "?", lines[-1])[:120] if lines else ""
    if code in (126, 127):
        return Misconfigured(f"its program cannot be started: {last}" if last else "its program cannot be started")
    return Unreachable(last or "the connection has ended")
