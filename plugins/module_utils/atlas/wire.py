# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The admin port on the wire: exactly as much of MySQL's protocol as Atlas speaks there.

No library is used: all of them say SET NAMES first, which Atlas refuses, and would log in at whoever answers. Here the
password is used only where an admin port has said what it is. Every wait is bounded, and nothing that comes is believed.
"""

from __future__ import annotations

import hashlib
import socket
import struct
import time
import typing as t
from dataclasses import dataclass, field

from .errors import CommandFailed, Interrupted, NotAdmin, NotListening, Silent, WrongLogin

CAPABILITIES = 0x2A205  # LONG_PASSWORD LONG_FLAG PROTOCOL_41 TRANSACTIONS SECURE_CONNECTION MULTI_RESULTS
_NEEDED = 0x8200  # PROTOCOL_41 SECURE_CONNECTION
LONGEST_PACKET = 1 << 24
CHARSET = 8
_GREETING = 10
_OK, _EOF, _ERR, _NULL = 0x00, 0xFE, 0xFF, 0xFB
_DENIED = 1045
_COM_QUERY = b"\x03"
_ADMIN = "agent-admin"
_PROXY = "5.0.81-log"

# Far above what an Atlas says.
_GREETING_MOST = 1024  # bytes
_ANSWER_MOST = 1 << 20  # bytes
_COLUMNS_MOST = 16


@dataclass(frozen=True)
class Endpoint:
    """An admin port and as whom to log in. timeout: seconds for the login and for each command, all waits together."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)
    timeout: float = 5

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def printable(text: str, most: int = 200) -> str:
    """What a server said, fit for a message: on one line, not too long, nothing that a terminal obeys."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown if len(shown) <= most else shown[: most - 3] + "..."


def scramble(password: bytes, challenge: bytes) -> bytes:
    """mysql_native_password: proves the password without telling it."""
    once = hashlib.sha1(password).digest()
    twice = hashlib.sha1(once).digest()
    return bytes(a ^ b for a, b in zip(once, hashlib.sha1(challenge + twice).digest(), strict=True))


class Malformed(Exception):
    """An answer that no Atlas gives."""


class Reader:
    """The fields of one packet."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise Malformed("a packet that ends too early")
        self._at += count
        return self._data[self._at - count : self._at]

    def to_nul(self) -> bytes:
        end = self._data.find(b"\0", self._at)
        if end < 0:
            raise Malformed("a text without an end")
        return self.take(end - self._at + 1)[:-1]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self) -> int:
        first = self.take(1)[0]
        width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
        if width is None and first >= _NULL:
            raise Malformed("a value that is missing")
        return first if width is None else int.from_bytes(self.take(width), "little")

    def text(self) -> str:
        return self.take(self.number()).decode("utf-8", "replace")

    def end(self) -> None:
        if self._at != len(self._data):
            raise Malformed("a packet with more in it than belongs there")


def _is_here(host: str) -> bool:
    return host == "localhost" or host.startswith("127.")


class Wire:
    """A connection that is logged in. After any error but CommandFailed it is closed."""

    def __init__(self, endpoint: Endpoint, clock: t.Callable[[], float] = time.monotonic) -> None:
        self.endpoint = endpoint
        self._clock = clock
        self._deadline = clock() + endpoint.timeout
        self._next = 0
        self._received = 0
        try:
            self._socket = socket.create_connection((endpoint.host, endpoint.port), endpoint.timeout)
        except TimeoutError as error:
            raise NotListening(
                f"Nobody answers at {endpoint} within {endpoint.timeout:g} s.", "Is the address right, and no firewall between?"
            ) from error
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            elsewhere = " The admin port of a pair's Atlas is on the node's inside address (tandem_inside_address)." if _is_here(endpoint.host) else ""
            raise NotListening(f"Nobody takes connections at {endpoint}: {reason}.", f"Does Atlas run? See its log.{elsewhere}") from error
        try:
            self._login(self._greeting())
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Without a word: Atlas knows no COM_QUIT."""
        self._socket.close()

    # Login

    def _greeting(self) -> bytes:
        """The challenge of an admin port. Raises NotAdmin for everybody else."""
        try:
            first = self._some(4)
        except TimeoutError:
            raise Silent(
                f"{self.endpoint} takes connections and says nothing within {self.endpoint.timeout:g} s.",
                "It is no admin port of Atlas (a web server waits like that), or its Atlas is frozen.",
            ) from None
        except OSError as error:
            raise NotAdmin(f"{self.endpoint} hangs up on whoever connects: {error.strerror}.", "Is this the admin-address?") from None
        if not first:
            raise NotAdmin(f"{self.endpoint} hangs up on whoever connects.", "Is this the admin-address of Atlas?")
        if first[3:] not in (b"", b"\0") or (len(first) > 3 and not 0 < int.from_bytes(first[:3], "little") <= _GREETING_MOST):
            said = printable(first.decode("ascii", "replace"))
            raise self._stranger(f"begins with {said!r}, which is not MySQL's protocol")
        greeting = Reader(self._rest_of_packet(first))
        try:
            version = self._version(greeting)
            greeting.take(4)
            challenge = greeting.take(8)
            greeting.take(1)
            capabilities = struct.unpack("<H", greeting.take(2))[0]
            greeting.take(1 + 2 + 2 + 1 + 10)
            challenge += greeting.to_nul()
        except Malformed as error:
            raise self._stranger(f"greets with {error}") from None
        if len(challenge) != 20 or capabilities & _NEEDED != _NEEDED:
            raise self._stranger(f"calls itself {version} and wants a login of another kind")
        return challenge

    def _version(self, greeting: Reader) -> str:
        kind = greeting.take(1)[0]
        if kind == _ERR:
            greeting.take(2)
            text = greeting.rest().decode("utf-8", "replace")
            raise self._stranger(f"refuses everybody who comes from here: {printable(text.removeprefix('#07000'))!r}")
        if kind != _GREETING:
            raise self._stranger(f"speaks version {kind} of MySQL's protocol")
        version = printable(greeting.to_nul().decode("utf-8", "replace"))
        if version == _PROXY:
            raise NotAdmin(
                f"{self.endpoint} is where applications connect to an Atlas (proxy-address), not its admin port.",
                "Give the port of admin-address.",
            )
        if not version.endswith(_ADMIN):
            raise self._stranger(f"is a database server, or looks like one: it calls itself {version}")
        return version

    def _stranger(self, what: str) -> NotAdmin:
        return NotAdmin(f"{self.endpoint} is no admin port of Atlas: it {what}.", "Give the port of admin-address.")

    def _login(self, challenge: bytes) -> None:
        user = self.endpoint.user.encode("utf-8", "replace")
        if not user or b"\0" in user:
            raise WrongLogin("No user of an admin port has such a name.", "Give what admin-username says.")
        proof = scramble(self.endpoint.password.encode("utf-8", "surrogateescape"), challenge)
        self._send(
            struct.pack("<IIB23x", CAPABILITIES, LONGEST_PACKET, CHARSET) + user + b"\0" + bytes([len(proof)]) + proof,
            "the login",
        )
        try:
            self._answer("the login")
        except CommandFailed as error:
            if error.code != _DENIED:
                raise self._nonsense("the login", f"error {error.code}") from None
            unknown = error.message.endswith("unknown user.")
            raise WrongLogin(
                f"The admin port {self.endpoint} does not know the user {printable(self.endpoint.user)!r}."
                if unknown
                else f"The admin port {self.endpoint} refused the password of {printable(self.endpoint.user)!r}.",
                "It is what admin-username says, in the same case." if unknown else "It is what admin-password says.",
            ) from None

    # Commands

    def query(self, command: str, columns: t.Sequence[str]) -> list[tuple[str, ...]]:
        """The rows. columns: what they must be called. Raises CommandFailed where Atlas refuses."""
        if not command.isprintable() or command != command.strip() or ";" in command:
            raise CommandFailed(f"{printable(command)!r} cannot be said to Atlas.", "A name in it holds what does not belong there.")
        self._deadline = self._clock() + self.endpoint.timeout
        self._next = 0
        self._received = 0
        try:
            self._send(_COM_QUERY + command.encode("utf-8"), f"{command!r}")
            return self._rows(command, columns)
        except CommandFailed:
            raise
        except BaseException:
            self.close()
            raise

    def _rows(self, command: str, columns: t.Sequence[str]) -> list[tuple[str, ...]]:
        what = f"{command!r}"
        first = self._answer(what)
        try:
            if len(first) != 1 or not 0 < first[0] <= _COLUMNS_MOST:
                raise Malformed("no table")
            names = [self._column(self._packet(what)) for _number in range(first[0])]
            if names != list(columns):
                raise Malformed(f"the columns {printable(', '.join(names))}")
            self._end_of_part(self._packet(what))
            rows: list[tuple[str, ...]] = []
            while True:
                packet = self._packet(what)
                if _is_end(packet):
                    return rows
                fields = Reader(packet)
                rows.append(tuple(fields.text() for _name in names))
                fields.end()
        except Malformed as error:
            raise self._nonsense(what, str(error)) from None

    @staticmethod
    def _column(packet: bytes) -> str:
        fields = Reader(packet)
        for _catalog_db_table_original in range(4):
            fields.text()
        return fields.text()

    @staticmethod
    def _end_of_part(packet: bytes) -> None:
        if not _is_end(packet):
            raise Malformed("too many columns")

    def _answer(self, what: str) -> bytes:
        """The first packet of an answer. Raises CommandFailed for a refusal, whose text is the server's."""
        packet = self._packet(what)
        if not packet:
            raise self._nonsense(what, "nothing")
        if packet[0] == _ERR:
            code = int.from_bytes(packet[1:3], "little")
            text = packet[3:].decode("utf-8", "replace")
            if text.startswith("#"):
                text = text[6:]
            raise CommandFailed(f"{self.endpoint} refused {what}: {printable(text)}.", code=code)
        if what == "the login" and packet[0] != _OK:
            raise self._nonsense(what, "the wish for another way to prove the password")
        return packet

    def _nonsense(self, what: str, answer: str) -> NotAdmin:
        return NotAdmin(f"{self.endpoint} answers {what} with {answer}, as no Atlas does.", "Is this the admin-address of an Atlas?")

    # Packets

    def _send(self, payload: bytes, what: str) -> None:
        packet = len(payload).to_bytes(3, "little") + bytes([self._next]) + payload
        self._next = self._next + 1 & 0xFF
        try:
            self._socket.settimeout(max(self._deadline - self._clock(), 0.001))
            self._socket.sendall(packet)
        except OSError as error:
            raise self._interrupted(what, error.strerror or "it took nothing") from None

    def _packet(self, what: str) -> bytes:
        try:
            first = self._some(4)
            return self._rest_of_packet(first, what)
        except TimeoutError:
            raise self._interrupted(what, f"no answer within {self.endpoint.timeout:g} s") from None
        except OSError as error:
            raise self._interrupted(what, error.strerror or str(error)) from None

    def _rest_of_packet(self, first: bytes, what: str = "the greeting") -> bytes:
        if len(first) < 4:
            raise self._interrupted(what, "the other side hung up")
        length, number = int.from_bytes(first[:3], "little"), first[3]
        if number != self._next:
            raise self._nonsense(what, "packets out of order")
        self._next = number + 1 & 0xFF
        self._received += length
        if self._received > _ANSWER_MOST:
            raise self._nonsense(what, "more than anybody could want to read")
        try:
            payload = self._some(length)
        except TimeoutError:
            raise self._interrupted(what, f"the answer was not complete within {self.endpoint.timeout:g} s") from None
        except OSError as error:
            raise self._interrupted(what, error.strerror or str(error)) from None
        if len(payload) < length:
            raise self._interrupted(what, "the other side hung up in the middle of a word")
        return payload

    def _some(self, count: int) -> bytes:
        """This many bytes, or fewer at the end of the connection. Raises TimeoutError at the deadline, however slowly they come."""
        data = bytearray()
        while len(data) < count:
            left = self._deadline - self._clock()
            if left <= 0:
                raise TimeoutError
            self._socket.settimeout(left)
            part = self._socket.recv(count - len(data))
            if not part:
                break
            data += part
        return bytes(data)

    def _interrupted(self, what: str, reason: str) -> Interrupted:
        return Interrupted(
            f"The connection to the admin port {self.endpoint} broke at {what}: {reason}.",
            "" if what in ("the greeting", "the login") else "Whether it was done is not known. Look at the backends.",
        )


def _is_end(packet: bytes) -> bool:
    return len(packet) < 9 and packet[:1] == bytes([_EOF])
