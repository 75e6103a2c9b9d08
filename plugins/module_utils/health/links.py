# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sockets of one network: heartbeats to and from the peer, pings to the reference. Each is bound to its interface."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import os
import socket
import struct
import time
import typing as t

from ..agent.echo import Echoes
from .config import Network

LOG = logging.getLogger("tandem.health")
IPV6_FREEBIND = 78
ICMP_FILTER = 1
ICMP6_FILTER = 1
ECHO_REQUEST, ECHO_REPLY = 8, 0
ECHO_REQUEST6, ECHO_REPLY6 = 128, 129


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


class Link:
    """A socket that is opened again when it broke: interfaces come and go."""

    WAKES = True  # what comes is read at once

    def __init__(self, network: Network, what: str) -> None:
        self.network = network
        self._what = what
        self._sock: socket.socket | None = None
        self._complaint: str | None = None

    def _create(self) -> socket.socket:
        raise NotImplementedError

    def _receive(self, sock: socket.socket) -> None:
        raise NotImplementedError

    def _bind_to_interface(self, sock: socket.socket) -> None:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self.network.interface.encode() + b"\0")
        except PermissionError:
            self._complain("not bound to the interface: no CAP_NET_RAW")

    def _readable(self) -> None:
        sock = self._sock
        if sock is None:
            return
        try:
            for _turn in range(32):
                self._receive(sock)
        except BlockingIOError:
            pass
        except OSError as error:
            # Queued errors (a refused datagram before the peer has started) are not the socket's end.
            if error.errno not in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH):
                self._broken(error)

    def _send(self, data: bytes, address: tuple[str, int]) -> None:
        try:
            if self._sock is None:
                sock = self._create()
                sock.setblocking(False)
                self._sock = sock
                if self.WAKES:
                    asyncio.get_running_loop().add_reader(sock, self._readable)
            self._sock.sendto(data, address)
            self._complaint = None
        except BlockingIOError:
            pass
        except OSError as error:
            if error.errno in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EPERM, errno.ENOBUFS):
                self._complain(str(error))
            else:
                self._broken(error)

    def _broken(self, error: OSError) -> None:
        self._complain(str(error))
        self.close()

    def close(self) -> None:
        if self._sock is not None:
            if self.WAKES:
                asyncio.get_running_loop().remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _complain(self, text: str) -> None:
        if text != self._complaint:
            self._complaint = text
            LOG.info("%s on %s: %s", self._what, self.network.name, text)


class PeerLink(Link):
    """UDP to and from the peer on one network."""

    def __init__(self, network: Network, port: int, received: t.Callable[[str, bytes], None]) -> None:
        super().__init__(network, "heartbeat")
        self._port = port
        self._received = received

    def _create(self) -> socket.socket:
        v6 = ipaddress.ip_address(self.network.address).version == 6
        sock = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if v6:
                sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
            else:
                sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: the address may come later
            self._bind_to_interface(sock)
            sock.bind((self.network.address, self._port))
        except OSError:
            sock.close()
            raise
        return sock

    def _receive(self, sock: socket.socket) -> None:
        data, sender = sock.recvfrom(2048)
        if sender[0] == self.network.peer_address:
            self._received(self.network.name, data)

    def send(self, data: bytes) -> None:
        self._send(data, (self.network.peer_address, self._port))


class Reference(Link):
    """Pings to an address that should always answer.

    source: where the answers are to go; an address of the pair, whether it is on this node now or not.
    Answers lie in the socket until somebody looks: what they prove depends on when the ping was sent.
    """

    WAKES = False

    def __init__(self, network: Network, address: str, answered: t.Callable[[], None], source: str = "") -> None:
        super().__init__(network, "ping")
        self._address = address
        self._source = source
        self._answered = answered
        self._v6 = ipaddress.ip_address(address).version == 6
        self._id = struct.unpack("!H", os.urandom(2))[0]
        self._nonce = os.urandom(8)
        self._sequence = 0
        self._echoes = Echoes()

    @property
    def proven_at(self) -> float:
        """When the newest ping that was answered was sent (CLOCK_BOOTTIME); -inf: none was."""
        return self._echoes.newest

    def _create(self) -> socket.socket:
        if self._v6:
            sock = socket.socket(socket.AF_INET6, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMPV6)
        else:
            sock = socket.socket(socket.AF_INET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.IPPROTO_ICMP)
        try:
            if self._v6:
                words = [0xFFFFFFFF] * 8
                words[ECHO_REPLY6 >> 5] &= ~(1 << (ECHO_REPLY6 & 31))
                sock.setsockopt(socket.IPPROTO_ICMPV6, ICMP6_FILTER, struct.pack("=8I", *words))
            else:
                sock.setsockopt(
                    socket.SOL_RAW if hasattr(socket, "SOL_RAW") else 255, ICMP_FILTER, struct.pack("=I", 0xFFFFFFFE)
                )
            self._bind_to_interface(sock)
            if self._source:
                if self._v6:
                    sock.setsockopt(socket.IPPROTO_IPV6, IPV6_FREEBIND, 1)
                else:
                    sock.setsockopt(socket.SOL_IP, 15, 1)  # IP_FREEBIND: the address may be on the other node
                sock.bind((self._source, 0))
        except OSError:
            sock.close()
            raise
        return sock

    def _receive(self, sock: socket.socket) -> None:
        data, sender = sock.recvfrom(2048)
        if sender[0] != self._address:
            return
        if not self._v6:
            data = data[(data[0] & 15) * 4 :]
        if len(data) < 16 or data[0] != (ECHO_REPLY6 if self._v6 else ECHO_REPLY):
            return
        identifier, sequence = struct.unpack("!HH", data[4:8])
        if identifier != self._id or data[8:16] != self._nonce or not self._echoes.answered(sequence):
            return
        if (self._sequence - sequence) & 0xFFFF < 3:
            self._answered()

    def collect(self) -> None:
        """Read the answers that have come."""
        self._readable()

    def ping(self) -> None:
        self._sequence = (self._sequence + 1) & 0xFFFF
        kind = ECHO_REQUEST6 if self._v6 else ECHO_REQUEST
        body = struct.pack("!HH", self._id, self._sequence) + self._nonce
        total = 0 if self._v6 else _checksum(struct.pack("!BBH", kind, 0, 0) + body)
        self._echoes.sent(self._sequence, time.clock_gettime(time.CLOCK_BOOTTIME))
        self._send(struct.pack("!BBH", kind, 0, total) + body, (self._address, 0))
