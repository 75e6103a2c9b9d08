# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One question as an application asks it, to an Atlas or to a server behind it, with one deadline over all of it.

No library is used: each of them says SET first, which Atlas sends to the writer, and none has one deadline for everything.
The login is the one that Atlas uses itself, so a server that wants another one is refused here as it is there.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import socket
import struct
import time
from dataclasses import dataclass, field

from .wire import CAPABILITIES, CHARSET, LONGEST_PACKET, Malformed, Reader, printable, scramble

# What a real Atlas was asked, and a reader answers. With the mark it goes to the writer.
READ = "select @@port"
WRITE = f"/*master*/{READ}"
_COM_QUERY, _COM_QUIT = b"\x03", b"\x01"
_GREETING, _OK, _EOF, _ERR = 10, 0x00, 0xFE, 0xFF
_MOST = 1 << 16  # bytes of one packet
_NOBODY = (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)


class How(enum.Enum):
    """What a question showed."""

    OK = "ok"
    REFUSED = "refused"  # nobody takes connections
    SILENT = "silent"  # connections are taken, and no answer comes in time: frozen, or slow
    BROKEN = "broken"  # it hangs up, or says no
    UNASKED = "unasked"


@dataclass(frozen=True)
class Answer:
    """text: what went wrong, for a person."""

    how: How = How.UNASKED
    text: str = ""

    @property
    def ok(self) -> bool:
        return self.how is How.OK


UNASKED = Answer()


@dataclass(frozen=True)
class Account:
    """As whom to ask. timeout: seconds for one question, from the connection to the answer."""

    user: str
    password: str = field(repr=False)
    timeout: float = 1.0


class _No(Exception):
    """It said no."""


def ask(host: str, port: int, account: Account, *statements: str) -> Answer:
    """Log in, and ask one statement after the other. None: the login only, which an Atlas answers by itself."""
    line = _Line(time.monotonic() + account.timeout)
    try:
        line.open(host, port)
        line.login(account)
        for statement in statements:
            line.query(statement)
        line.leave()
    except TimeoutError:
        return Answer(How.SILENT, f"no {line.awaits} within {account.timeout:g} s")
    except OSError as error:
        reason = error.strerror or str(error)
        return Answer(How.REFUSED if line.awaits == "connection" and error.errno in _NOBODY else How.BROKEN, f"{reason} ({line.awaits})")
    except (_No, Malformed) as error:
        return Answer(How.BROKEN, str(error))
    finally:
        line.close()
    return Answer(How.OK)


class _Line:
    """A connection that never waits longer than until its deadline. awaits: what it waits for now."""

    def __init__(self, deadline: float) -> None:
        self._deadline = deadline
        self._socket: socket.socket | None = None
        self._next = 0
        self.awaits = "connection"

    @property
    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def open(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), self._left)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()

    def leave(self) -> None:
        """A server that is not told counts an aborted client."""
        self._next = 0
        with contextlib.suppress(OSError):
            self._send(_COM_QUIT)

    def login(self, account: Account) -> None:
        self.awaits = "greeting"
        greeting = Reader(self._packet())
        kind = greeting.take(1)[0]
        if kind != _GREETING:
            raise _No(f"greets with {_words(greeting)}" if kind == _ERR else "is no server of this kind")
        greeting.to_nul()
        greeting.take(4)
        challenge = greeting.take(8)
        greeting.take(1 + 2 + 1 + 2 + 2 + 1 + 10)
        challenge += greeting.to_nul()
        proof = scramble(account.password.encode("utf-8", "surrogateescape"), challenge)
        self.awaits = "answer to the login"
        self._send(
            struct.pack("<IIB23x", CAPABILITIES, LONGEST_PACKET, CHARSET) + account.user.encode() + b"\0" + bytes([len(proof)]) + proof
        )
        answer = Reader(self._packet())
        kind = answer.take(1)[0]
        if kind == _ERR:
            raise _No(f"refuses the login: {_words(answer)}")
        if kind != _OK:
            raise _No("wants another login than mysql_native_password, which Atlas does not know")

    def query(self, statement: str) -> None:
        """Raises where the answer is no table that ends."""
        self.awaits = "answer"
        self._next = 0
        self._send(_COM_QUERY + statement.encode())
        first = Reader(self._packet())
        kind = first.take(1)[0]
        if kind == _ERR:
            raise _No(_words(first))
        ends = 0
        while ends < 2:
            packet = self._packet()
            ends += packet[:1] == bytes([_EOF]) and len(packet) < 9
            if packet[:1] == bytes([_ERR]):
                raise _No(_words(Reader(packet[1:])))

    def _send(self, payload: bytes) -> None:
        if self._socket is None:
            raise OSError(errno.ENOTCONN, "not connected")
        self._socket.settimeout(self._left)
        self._socket.sendall(len(payload).to_bytes(3, "little") + bytes([self._next]) + payload)
        self._next = self._next + 1 & 0xFF

    def _packet(self) -> bytes:
        head = self._some(4)
        length, self._next = int.from_bytes(head[:3], "little"), head[3] + 1 & 0xFF
        if not 0 < length <= _MOST:
            raise _No("answers as no server of this kind does")
        return self._some(length)

    def _some(self, count: int) -> bytes:
        if self._socket is None:
            raise OSError(errno.ENOTCONN, "not connected")
        data = bytearray()
        while len(data) < count:
            self._socket.settimeout(self._left)
            part = self._socket.recv(count - len(data))
            if not part:
                raise _No(f"hangs up instead of the {self.awaits}")
            data += part
        return bytes(data)


def _words(error: Reader) -> str:
    """The text of an error packet after its first byte. It may name the account, never a password."""
    error.take(2)
    text = error.rest().decode("utf-8", "replace")
    return printable(text[6:] if text.startswith("#") else text)
