# Copyright: The tandem.lemp developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who on this wire answers for an IPv4 address? ARP probes after RFC 5227, by a raw socket: no program is needed.

A probe names no sender address, so it changes nobody's ARP table: asking is harmless even when the address is in use.
"""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

PROBES = 3
WAIT = 0.9
_ETH_P_ARP = 0x0806
_REQUEST, _REPLY = 1, 2
_FRAME = struct.Struct("!6s6sH HHBBH 6s4s6s4s")
_BROADCAST = b"\xff" * 6
_NOBODY = b"\x00" * 6
_PACKET_OUTGOING = 4


class ProbeError(Exception):
    """The question could not be asked."""


@dataclass(slots=True)
class _Wire:
    """One interface and the addresses asked for on it."""

    name: str
    socket: socket.socket
    mac: bytes
    asked: set[str] = field(default_factory=set)


def probe_frame(mac: bytes, address: str) -> bytes:
    """Build the broadcast that asks who has an address."""
    return _FRAME.pack(
        _BROADCAST, mac, _ETH_P_ARP, 1, 0x0800, 6, 4, _REQUEST, mac, b"\x00" * 4, _NOBODY, socket.inet_aton(address)
    )


def holder(frame: bytes, own: bytes) -> tuple[str, str] | None:
    """Read (address, hardware address) of the machine that claims an address in this frame, or None."""
    if len(frame) < _FRAME.size:
        return None
    _to, _from, kind, hardware, protocol, size, width, operation, mac, address, _mac, _address = _FRAME.unpack_from(
        frame
    )
    if (kind, hardware, protocol, size, width) != (_ETH_P_ARP, 1, 0x0800, 6, 4) or operation not in (_REQUEST, _REPLY):
        return None
    if mac in (own, _NOBODY) or address == b"\x00" * 4:
        return None
    return socket.inet_ntoa(address), mac.hex(":")


def _open(name: str) -> _Wire:
    try:
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP))
    except OSError as error:
        raise ProbeError(f"no raw socket: {error.strerror}") from error
    try:
        wire.bind((name, _ETH_P_ARP))
        mac = wire.getsockname()[4]
    except OSError as error:
        wire.close()
        raise ProbeError(f"interface {name}: {error.strerror}") from error
    return _Wire(name, wire, mac)


def find_holders(questions: Iterable[tuple[str, str]], probes: int = PROBES, wait: float = WAIT) -> dict[str, set[str]]:
    """Ask for (interface, address) pairs, all at once; return the hardware addresses that claim each address.

    The addresses this machine itself holds are not found: the kernel does not hear its own broadcast.
    """
    wires: dict[str, _Wire] = {}
    found: dict[str, set[str]] = {}
    try:
        for name, address in questions:
            if name not in wires:
                wires[name] = _open(name)
            wires[name].asked.add(address)
            found[address] = set()
        if wires:
            _ask(list(wires.values()), found, probes, wait)
    finally:
        for wire in wires.values():
            wire.socket.close()
    return found


def _ask(wires: list[_Wire], found: dict[str, set[str]], probes: int, wait: float) -> None:
    start = time.monotonic()
    for turn in range(probes):
        for wire in wires:
            for address in sorted(wire.asked):
                _send(wire, address)
        _listen(wires, found, start + wait * (turn + 1) / probes)


def _send(wire: _Wire, address: str) -> None:
    try:
        wire.socket.send(probe_frame(wire.mac, address))
    except OSError as error:
        raise ProbeError(f"interface {wire.name}: {error.strerror}") from error


def _listen(wires: list[_Wire], found: dict[str, set[str]], until: float) -> None:
    by_socket = {wire.socket: wire for wire in wires}
    while (left := until - time.monotonic()) > 0:
        ready, _writable, _failed = select.select(list(by_socket), [], [], left)
        for each in ready:
            frame, sender = each.recvfrom(2048)
            wire = by_socket[each]
            claim = None if sender[2] == _PACKET_OUTGOING else holder(frame, wire.mac)
            if claim and claim[0] in wire.asked:
                found[claim[0]].add(claim[1])
